// The address pools that networks get their subnets from when nobody names one.
#include <stdlib.h>

#include "manager/alloc/state.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

void pools_set(struct alloc *alloc, const struct object *object)
{
    struct arena arena;
    arena_init(&arena, OBJECT_ARENA_BYTES);
    const Swarm__Cluster *cluster = object_unpack(object, &arena);
    CHECK(cluster);
    MEM_FREE(alloc->pools);
    alloc->pools_count = 0;
    alloc->pools = mem_alloc_array(cluster->n_defaultaddresspool + 1, sizeof(*alloc->pools));
    for (size_t i = 0; i < cluster->n_defaultaddresspool; i++) {
        struct prefix pool;
        if (prefix_parse(cluster->defaultaddresspool[i], &pool) && pool.bytes == 4)
            alloc->pools[alloc->pools_count++] = prefix_network(pool);
    }
    alloc->subnet_bits = cluster->subnetsize ? cluster->subnetsize : ALLOC_SUBNET_BITS_DEFAULT;
    arena_fini(&arena);
}

const struct subnet *pools_overlap(const struct alloc *alloc, const struct prefix *network)
{
    MAP_EACH (entry, &alloc->nets) {
        const struct net *net = entry->value;
        for (size_t i = 0; i < net->subnets_count; i++)
            if (prefix_overlaps(&net->subnets[i].ipam.subnet, network))
                return &net->subnets[i];
    }
    return NULL;
}

// The lowest free subnet of a pool, or the highest. After an overlap with a wide network the search
// goes on behind that.
static bool pool_next(const struct alloc *alloc, const struct prefix *pool, bool from_end,
                      struct prefix *out)
{
    unsigned bits = alloc->subnet_bits;
    if (bits < pool->bits || bits > 30)
        return false;
    uint64_t count = UINT64_C(1) << (bits - pool->bits);
    uint64_t step = UINT64_C(1) << (32 - bits);
    for (uint64_t i = 0; i < count;) {
        uint64_t at = from_end ? count - 1 - i : i;
        *out = prefix_at(pool, at * step);
        out->bits = (uint8_t)bits;
        const struct subnet *met = pools_overlap(alloc, out);
        if (!met)
            return true;
        unsigned wider = met->ipam.subnet.bits < bits ? bits - met->ipam.subnet.bits : 0;
        uint64_t block = wider < 32 ? UINT64_C(1) << wider : count;
        // To the edge of the wide network, in the direction of the search.
        i += from_end ? at % block + 1 : block - at % block;
    }
    return false;
}

bool pools_choose(const struct alloc *alloc, bool from_end, struct prefix *out)
{
    struct prefix fallback;
    CHECK(prefix_parse(ALLOC_POOL_DEFAULT, &fallback));
    if (alloc->pools_count == 0)
        return pool_next(alloc, &fallback, from_end, out);
    for (size_t i = 0; i < alloc->pools_count; i++) {
        size_t at = from_end ? alloc->pools_count - 1 - i : i;
        if (pool_next(alloc, &alloc->pools[at], from_end, out))
            return true;
    }
    return false;
}

int pools_overlap_error(const struct prefix *wanted, const struct prefix *met, const char *name,
                        struct err *err)
{
    char a[PREFIX_TEXT_BYTES];
    char b[PREFIX_TEXT_BYTES];
    return err_set(err, ERR_FAILED_PRECONDITION, "subnet %s overlaps with subnet %s of network %s",
                   prefix_format(wanted, a), prefix_format(met, b), name);
}
