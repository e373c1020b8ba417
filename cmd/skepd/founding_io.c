#include "cmd/skepd/founding_io.h"

#include <string.h>

#include "cmd/skepd/swarmdir_io.h"
#include "manager/found.h"
#include "proto/base/clock_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/wire/wire.h"

#define FOUND_ARENA_BYTES ((size_t)64 << 20)

static int save(const char *data_root, const struct place *place,
                const struct credentials *credentials, const struct keyfile *headers,
                struct err *err)
{
    struct remotes remotes;
    remotes_init(&remotes);
    remotes_observe(&remotes, credentials->identity.node_id, place->advertise_addr,
                    REMOTES_OBSERVED_GOOD);
    int result = swarmdir_save_credentials(data_root, credentials, headers, NULL, err);
    if (!result)
        result = swarmdir_save_managers(data_root, &remotes, err);
    if (!result)
        result = swarmdir_save_place(data_root, place, err);
    remotes_fini(&remotes);
    return result;
}

int founding_make(const char *data_root, const struct place *place, const struct backend_init *init,
                  struct charge *charge, char node_id[IDENTITY_TEXT_BYTES], struct err *err)
{
    struct arena arena;
    arena_init(&arena, FOUND_ARENA_BYTES);
    struct bootstrap bootstrap = {
        .cluster_id = arena_strdup(&arena, entropy_id().text),
        .spec = init->spec,
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
    if (!result)
        result = save(data_root, place, &credentials, &headers, err);
    if (result) {
        swarmdir_forget(data_root, NULL);
    } else {
        charge_fill(charge, MANAGER_FOUND, place->advertise_addr, &credentials, &headers.raft);
        charge->first_cluster = wire_copy(cluster, NULL);
        str_copy(node_id, IDENTITY_TEXT_BYTES, credentials.identity.node_id);
    }
    explicit_bzero(&headers, sizeof headers);
    credentials_fini(&credentials);
    arena_fini(&arena);
    return result;
}
