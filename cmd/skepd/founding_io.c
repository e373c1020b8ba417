#include "cmd/skepd/founding_io.h"

#include <string.h>

#include "cmd/skepd/swarmdir_io.h"
#include "manager/found.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/wire/defaults.h"
#include "proto/wire/wire.h"

#define FOUND_ARENA_BYTES ((size_t)64 << 20)

static int save(const struct founding *founding, const struct credentials *credentials,
                const struct keyfile *headers, const uint8_t *lock_key, struct err *err)
{
    const char *data_root = founding->data_root;
    struct remotes remotes;
    remotes_init(&remotes);
    remotes_observe(&remotes, credentials->identity.node_id, founding->place->advertise_addr,
                    REMOTES_OBSERVED_GOOD);
    int result = swarmdir_save_credentials(data_root, credentials, headers, lock_key, err);
    if (!result)
        result = swarmdir_save_managers(data_root, &remotes, err);
    if (!result)
        result = swarmdir_save_place(data_root, founding->place, err);
    if (result)
        swarmdir_forget(data_root, NULL);
    remotes_fini(&remotes);
    return result;
}

static void take_lock(const Swarm__Cluster *cluster, struct founding_result *out)
{
    // A new cluster has a key for its managers alone.
    out->locked = cluster->n_unlock_keys > 0;
    if (!out->locked)
        return;
    CHECK(cluster->unlock_keys[0]->key.len == LOCK_KEY_BYTES);
    memcpy(out->lock_key, cluster->unlock_keys[0]->key.data, LOCK_KEY_BYTES);
}

// The cluster's spec is the user's, but for --autolock.
static Swarm__ClusterSpec *spec_of(const struct backend_init *init, struct arena *arena)
{
    Swarm__ClusterSpec *spec =
        init->spec ? wire_copy(init->spec, arena) : defaults_new_cluster_spec(arena);
    CHECK(spec);
    if (init->auto_lock) {
        if (!spec->encryption_config)
            spec->encryption_config = wire_new(&swarm__encryption_config__descriptor, arena);
        spec->encryption_config->auto_lock_managers = true;
    }
    return spec;
}

int founding_make(const struct founding *founding, struct founding_result *out, struct err *err)
{
    const struct backend_init *init = founding->init;
    struct arena arena;
    arena_init(&arena, FOUND_ARENA_BYTES);
    *out = (struct founding_result){0};
    struct bootstrap bootstrap = {
        .cluster_id = arena_strdup(&arena, entropy_id().text),
        .spec = spec_of(init, &arena),
        .pools = (char *const *)init->address_pools,
        .pools_count = init->address_pools_count,
        .subnet_size = init->subnet_size,
        .vxlan_port = init->data_path_port,
    };
    struct credentials credentials = {0};
    struct keyfile headers = {.raft = {.bytes_count = SEAL_KEY_BYTES}};
    Swarm__Cluster *cluster = NULL;
    entropy_bytes(headers.raft.bytes, SEAL_KEY_BYTES);
    int result = found_cluster(&bootstrap, entropy_id().text, &rng_kernel, wall_now(), &arena,
                               &cluster, &credentials, err);
    if (!result)
        result = charge_check_cluster(cluster, err);
    if (!result) {
        take_lock(cluster, out);
        result = save(founding, &credentials, &headers, out->locked ? out->lock_key : NULL, err);
    }
    if (!result) {
        charge_fill(&out->charge, MANAGER_FOUND, founding->place->advertise_addr, &credentials,
                    &headers.raft);
        out->charge.first_cluster = wire_copy(cluster, NULL);
        out->charge.availability = founding->availability;
        str_copy(out->node_id, sizeof out->node_id, credentials.identity.node_id);
    }
    explicit_bzero(&headers, sizeof headers);
    credentials_fini(&credentials);
    arena_fini(&arena);
    return result;
}
