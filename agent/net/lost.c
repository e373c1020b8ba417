#include "agent/net/lost.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"

struct lost {
    uint32_t *vips; // with tasks, at the last update
    size_t vips_count;
    uint32_t list[LOST_MAX];
    size_t count;
};

struct lost *lost_new(void)
{
    return MEM_NEW(struct lost);
}

void lost_free(struct lost *lost)
{
    if (!lost)
        return;
    free(lost->vips);
    free(lost);
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static bool has(const uint32_t *sorted, size_t count, uint32_t address)
{
    return count && bsearch(&address, sorted, count, sizeof *sorted, compare);
}

void lost_had(struct lost *lost, const uint32_t *vips, size_t count)
{
    lost->vips = mem_realloc(lost->vips, (lost->vips_count + count + 1) * sizeof *vips);
    size_t known = lost->vips_count;
    for (size_t i = 0; i < count; i++)
        if (!has(lost->vips, known, vips[i]) && !has(lost->list, lost->count, vips[i]))
            lost->vips[lost->vips_count++] = vips[i];
    if (lost->vips_count)
        qsort(lost->vips, lost->vips_count, sizeof *lost->vips, compare);
    size_t kept = 0;
    for (size_t i = 0; i < lost->vips_count; i++)
        if (i == 0 || lost->vips[i] != lost->vips[i - 1])
            lost->vips[kept++] = lost->vips[i];
    lost->vips_count = kept;
}

bool lost_update(struct lost *lost, const uint32_t *vips, size_t vips_count,
                 const uint32_t *endpoints, size_t endpoints_count)
{
    uint32_t next[LOST_MAX];
    size_t count = 0;
    // Those that are lost are not among those that had tasks, so no address comes twice.
    for (size_t i = 0; i < lost->count + lost->vips_count && count < LOST_MAX; i++) {
        uint32_t vip = i < lost->count ? lost->list[i] : lost->vips[i - lost->count];
        if (!has(vips, vips_count, vip) && !has(endpoints, endpoints_count, vip))
            next[count++] = vip;
    }
    if (count)
        qsort(next, count, sizeof next[0], compare);
    bool changed = count != lost->count || memcmp(next, lost->list, count * sizeof next[0]) != 0;
    memcpy(lost->list, next, count * sizeof next[0]);
    lost->count = count;
    free(lost->vips);
    lost->vips = mem_alloc_array(vips_count + 1, sizeof *vips);
    if (vips_count)
        memcpy(lost->vips, vips, vips_count * sizeof *vips);
    lost->vips_count = vips_count;
    return changed;
}

const uint32_t *lost_list(const struct lost *lost, size_t *count)
{
    *count = lost->count;
    return lost->list;
}
