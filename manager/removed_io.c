#include "manager/removed_io.h"

#include <pthread.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/map.h"
#include "proto/base/str.h"

// A lock and not RCU: it is held for one look into a small table, and RCU guards the store's root
// alone.
struct removed {
    pthread_rwlock_t lock;
    struct map ids; // no values
};

struct removed *removed_new(void)
{
    struct removed *removed = MEM_NEW(struct removed);
    int result = pthread_rwlock_init(&removed->lock, NULL);
    CHECK(result == 0);
    map_init(&removed->ids);
    return removed;
}

void removed_free(struct removed *removed)
{
    map_fini(&removed->ids);
    pthread_rwlock_destroy(&removed->lock);
    free(removed);
}

void removed_update(struct removed *removed, const Swarm__Cluster *cluster)
{
    struct map ids;
    map_init(&ids);
    for (size_t i = 0; i < cluster->n_blacklisted_certificates; i++)
        map_put_str(&ids, cluster->blacklisted_certificates[i]->key, removed);
    pthread_rwlock_wrlock(&removed->lock);
    struct map before = removed->ids;
    removed->ids = ids;
    pthread_rwlock_unlock(&removed->lock);
    map_fini(&before);
}

bool removed_has(void *ctx, const char *node_id)
{
    struct removed *removed = ctx;
    pthread_rwlock_rdlock(&removed->lock);
    bool has = map_has_str(&removed->ids, node_id);
    pthread_rwlock_unlock(&removed->lock);
    return has;
}
