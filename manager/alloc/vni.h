// VXLAN network ids: serial from 4096, wrapping (swarmkit.md section 17.1).
#ifndef MANAGER_ALLOC_VNI_H
#define MANAGER_ALLOC_VNI_H

#include "proto/base/map.h"

#define VNI_MIN 4096u
#define VNI_MAX 16777215u

// Where overlay networks keep their ids: one per IPv4 subnet, separated by commas.
#define VNI_OPTION "com.docker.network.driver.overlay.vxlanid_list"

struct vnis {
    struct map held; // id -> holder's token
    uint32_t cursor;
};

void vnis_init(struct vnis *vnis);
void vnis_fini(struct vnis *vnis);

// Takes the next free id. False when all are held. `holder` is not NULL.
bool vnis_take(struct vnis *vnis, void *holder, uint32_t *id);

// Takes that id: ids below VNI_MIN may be asked for by name. Returns NULL, or who holds it.
void *vnis_claim(struct vnis *vnis, uint32_t id, void *holder);
void vnis_release(struct vnis *vnis, uint32_t id);

#endif
