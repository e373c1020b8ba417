#include "manager/alloc/vni.h"

#include "proto/base/check.h"

void vnis_init(struct vnis *vnis)
{
    map_init(&vnis->held);
    vnis->cursor = VNI_MAX; // so that VNI_MIN comes first
}

void vnis_fini(struct vnis *vnis)
{
    map_fini(&vnis->held);
}

bool vnis_take(struct vnis *vnis, void *holder, uint32_t *id)
{
    CHECK(holder);
    if (map_count(&vnis->held) > VNI_MAX - VNI_MIN)
        return false;
    uint32_t at = vnis->cursor;
    do {
        at = at >= VNI_MAX ? VNI_MIN : at + 1;
    } while (map_get_u64(&vnis->held, at));
    map_put_u64(&vnis->held, at, holder);
    vnis->cursor = at;
    *id = at;
    return true;
}

void *vnis_claim(struct vnis *vnis, uint32_t id, void *holder)
{
    CHECK(holder);
    void *other = map_get_u64(&vnis->held, id);
    if (!other)
        map_put_u64(&vnis->held, id, holder);
    return other;
}

void vnis_release(struct vnis *vnis, uint32_t id)
{
    CHECK(map_remove_u64(&vnis->held, id));
}
