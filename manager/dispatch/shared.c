#include "manager/dispatch/shared.h"

#include <string.h>

#include "proto/base/str.h"
#include "proto/wire/defaults.h"
#include "proto/wire/raw.h"
#include "proto/wire/wire.h"

#define SHARED_BYTES_MAX ((size_t)4 << 20)

enum {
    SESSION_MANAGERS = 3,
    SESSION_KEYS = 4,
    SESSION_ROOT = 5,
    WEIGHTED_PEER = 1,
    WEIGHTED_WEIGHT = 2,
    PEER_NODE = 1,
    PEER_ADDR = 2,
    CLUSTER_ROOT = 4,
    CLUSTER_KEYS = 5,
    ROOT_CERT = 2,
};

void shared_init(struct shared *shared)
{
    *shared = (struct shared){.generation = 1, .heartbeat_ns = DEFAULT_HEARTBEAT_NS};
    buf_init(&shared->managers, SHARED_BYTES_MAX);
    buf_init(&shared->cluster, SHARED_BYTES_MAX);
}

void shared_fini(struct shared *shared)
{
    buf_fini(&shared->managers);
    buf_wipe(&shared->cluster); // keys
}

void shared_touch(struct shared *shared)
{
    shared->generation++;
}

static void put_manager(struct buf *out, const struct dispatch_manager *manager)
{
    struct buf peer;
    struct buf weighted;
    buf_init(&peer, SHARED_BYTES_MAX);
    buf_init(&weighted, SHARED_BYTES_MAX);
    raw_put_text(&peer, PEER_NODE, manager->node_id);
    raw_put_text(&peer, PEER_ADDR, manager->addr);
    raw_put_message(&weighted, WEIGHTED_PEER, peer.data, peer.len);
    raw_put_uint(&weighted, WEIGHTED_WEIGHT, REMOTE_WEIGHT);
    raw_put_message(out, SESSION_MANAGERS, weighted.data, weighted.len);
    buf_fini(&peer);
    buf_fini(&weighted);
}

bool shared_set_managers(struct shared *shared, const struct dispatch_manager *managers,
                         size_t managers_count)
{
    struct buf fresh;
    buf_init(&fresh, SHARED_BYTES_MAX);
    for (size_t i = 0; i < managers_count; i++)
        if (!str_empty(managers[i].addr))
            put_manager(&fresh, &managers[i]);
    bool same = fresh.len == shared->managers.len &&
                (fresh.len == 0 || memcmp(fresh.data, shared->managers.data, fresh.len) == 0);
    if (same || fresh.len == 0) {
        buf_fini(&fresh);
        return false;
    }
    buf_fini(&shared->managers);
    shared->managers = fresh;
    shared_touch(shared);
    return true;
}

static int64_t heartbeat_of(const struct object *object)
{
    struct arena arena;
    arena_init(&arena, OBJECT_ARENA_BYTES);
    Swarm__Cluster *cluster = object_unpack(object, &arena);
    int64_t period_ns = cluster && wire_settle(cluster, &arena)
                            ? defaults_cluster(cluster).heartbeat_ns
                            : DEFAULT_HEARTBEAT_NS;
    arena_fini(&arena);
    return period_ns;
}

void shared_set_cluster(struct shared *shared, const struct object *cluster)
{
    size_t size;
    const uint8_t *bytes = object_bytes(cluster, &size);
    struct cursor cursor = cursor_of(bytes, size);
    struct cursor root = raw_inside(bytes, size, CLUSTER_ROOT);
    struct raw field;
    buf_wipe(&shared->cluster);
    while (raw_next(&cursor, &field))
        if (field.number == CLUSTER_KEYS)
            raw_put_message(&shared->cluster, SESSION_KEYS, field.bytes, field.size);
    if (raw_find(root.at, cursor_left(&root), ROOT_CERT, &field))
        raw_put_bytes(&shared->cluster, SESSION_ROOT, field.bytes, field.size);
    shared->heartbeat_ns = heartbeat_of(cluster);
    shared_touch(shared);
}

bool shared_ready(const struct shared *shared)
{
    return shared->managers.len > 0;
}

void shared_put(const struct shared *shared, struct buf *message)
{
    buf_put(message, shared->managers.data, shared->managers.len);
    if (shared->cluster.len > 0)
        buf_put(message, shared->cluster.data, shared->cluster.len);
}
