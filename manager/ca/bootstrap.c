#include "manager/ca/bootstrap.h"

#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/identity/rootca.h"
#include "proto/identity/token.h"
#include "proto/wire/defaults.h"
#include "proto/wire/names.h"
#include "proto/wire/wire.h"

// Room for a root certificate or key as PEM.
#define PEM_BYTES 65536

// Lamport times begin at a random 16-bit number.
#define LAMPORT_START_MASK UINT64_C(0xffff)

static ProtobufCBinaryData keep(struct arena *arena, const void *bytes, size_t size)
{
    ProtobufCBinaryData data = {.len = size, .data = arena_memdup(arena, bytes, size)};
    CHECK(data.data);
    return data;
}

static void *keep_list(struct arena *arena, size_t count)
{
    void *list = arena_alloc_array(arena, count, sizeof(void *));
    CHECK(list);
    return list;
}

static const char *keep_token(const Swarm__Cluster *cluster, const struct rng *rng,
                              struct arena *arena)
{
    char token[TOKEN_TEXT_BYTES];
    ProtobufCBinaryData roots = cluster->root_ca->ca_cert;
    token_make(roots.data, roots.len, cluster->fips, rng, token);
    return arena_strdup(arena, token);
}

void bootstrap_rotate_tokens(Swarm__Cluster *cluster, bool worker, bool manager,
                             const struct rng *rng, struct arena *arena)
{
    Swarm__RootCA *ca = cluster->root_ca;
    if (!ca->join_tokens)
        ca->join_tokens = wire_new(&swarm__join_tokens__descriptor, arena);
    if (worker)
        ca->join_tokens->worker = keep_token(cluster, rng, arena);
    if (manager)
        ca->join_tokens->manager = keep_token(cluster, rng, arena);
}

void bootstrap_set_root(Swarm__Cluster *cluster, const char *roots_pem, const char *key_pem,
                        const struct rng *rng, struct arena *arena)
{
    Swarm__RootCA *ca = cluster->root_ca;
    char hash[ROOTCA_HASH_TEXT_BYTES];
    ca->ca_cert = keep(arena, roots_pem, strlen(roots_pem));
    ca->ca_key = key_pem ? keep(arena, key_pem, strlen(key_pem)) : (ProtobufCBinaryData){.len = 0};
    rootca_hash_text(ca->ca_cert.data, ca->ca_cert.len, hash);
    ca->ca_cert_hash = arena_strdup(arena, hash);
    bootstrap_rotate_tokens(cluster, true, true, rng, arena);
}

// ---- keys ---------------------------------------------------------------------------------------

static const char *const subsystems[] = {NAME_SUBSYSTEM_GOSSIP, NAME_SUBSYSTEM_IPSEC};

static Swarm__EncryptionKey *make_network_key(Swarm__Cluster *cluster, const char *subsystem,
                                              const struct rng *rng, struct arena *arena)
{
    uint8_t bytes[BOOTSTRAP_KEY_BYTES];
    Swarm__EncryptionKey *key = wire_new(&swarm__encryption_key__descriptor, arena);
    CHECK(key);
    rng_fill(rng, bytes, sizeof bytes);
    key->subsystem = subsystem;
    key->algorithm = SWARM__ENCRYPTION_KEY__ALGORITHM__AES_128_GCM;
    key->key = keep(arena, bytes, sizeof bytes);
    key->lamport_time = ++cluster->encryption_key_lamport_clock;
    return key;
}

// The subsystem's keys that stay, oldest dropped, and one or (when there were none) three new ones.
static size_t turn_keys(Swarm__Cluster *cluster, const char *subsystem, Swarm__EncryptionKey **out,
                        const struct rng *rng, struct arena *arena)
{
    size_t count = 0;
    size_t oldest = 0;
    for (size_t i = 0; i < cluster->n_network_bootstrap_keys; i++) {
        Swarm__EncryptionKey *key = cluster->network_bootstrap_keys[i];
        if (!str_equal(key->subsystem, subsystem))
            continue;
        if (count > 0 && key->lamport_time < out[oldest]->lamport_time)
            oldest = count;
        out[count++] = key;
    }
    if (count >= BOOTSTRAP_KEYS_PER_SUBSYSTEM) {
        memmove(&out[oldest], &out[oldest + 1], (count - oldest - 1) * sizeof(out[0]));
        count--;
    }
    do
        out[count++] = make_network_key(cluster, subsystem, rng, arena);
    while (count < BOOTSTRAP_KEYS_PER_SUBSYSTEM);
    return count;
}

void bootstrap_rotate_network_keys(Swarm__Cluster *cluster, const struct rng *rng,
                                   struct arena *arena)
{
    size_t room =
        cluster->n_network_bootstrap_keys + COUNT_OF(subsystems) * BOOTSTRAP_KEYS_PER_SUBSYSTEM;
    Swarm__EncryptionKey **keys = keep_list(arena, room);
    size_t count = 0;
    if (cluster->encryption_key_lamport_clock == 0) {
        uint64_t start;
        rng_fill(rng, &start, sizeof start);
        cluster->encryption_key_lamport_clock = start & LAMPORT_START_MASK;
    }
    for (size_t i = 0; i < COUNT_OF(subsystems); i++)
        count += turn_keys(cluster, subsystems[i], keys + count, rng, arena);
    CHECK(count <= room);
    cluster->network_bootstrap_keys = keys;
    cluster->n_network_bootstrap_keys = count;
}

void bootstrap_rotate_unlock_key(Swarm__Cluster *cluster, const struct rng *rng,
                                 struct arena *arena)
{
    const Swarm__EncryptionConfig *config = cluster->spec->encryption_config;
    bool locked = config && config->auto_lock_managers;
    Swarm__EncryptionKey **keys = keep_list(arena, cluster->n_unlock_keys + 1);
    size_t count = 0;
    for (size_t i = 0; i < cluster->n_unlock_keys; i++)
        if (!str_equal(cluster->unlock_keys[i]->subsystem, NAME_SUBSYSTEM_MANAGER))
            keys[count++] = cluster->unlock_keys[i];
    if (locked) {
        uint8_t bytes[LOCK_KEY_BYTES];
        Swarm__EncryptionKey *key = wire_new(&swarm__encryption_key__descriptor, arena);
        CHECK(key);
        lock_key_make(rng, bytes);
        key->subsystem = NAME_SUBSYSTEM_MANAGER;
        key->key = keep(arena, bytes, sizeof bytes);
        keys[count++] = key;
    }
    cluster->unlock_keys = keys;
    cluster->n_unlock_keys = count;
}

// ---- the first objects --------------------------------------------------------------------------

static void make_root(Swarm__Cluster *cluster, const struct rng *rng, struct wall now,
                      struct arena *arena)
{
    struct buf cert;
    struct buf key;
    buf_init(&cert, PEM_BYTES);
    buf_init(&key, PEM_BYTES);
    rootca_make(rng, now, &cert, &key);
    bootstrap_set_root(cluster, buf_cstr(&cert), buf_cstr(&key), rng, arena);
    buf_fini(&cert);
    buf_wipe(&key);
}

static void set_pools(Swarm__Cluster *cluster, const struct bootstrap *bootstrap,
                      struct arena *arena)
{
    const char **pools = keep_list(arena, bootstrap->pools_count);
    for (size_t i = 0; i < bootstrap->pools_count; i++)
        pools[i] = arena_strdup(arena, bootstrap->pools[i]);
    cluster->defaultaddresspool = pools;
    cluster->n_defaultaddresspool = bootstrap->pools_count;
}

Swarm__Cluster *bootstrap_cluster(const struct bootstrap *bootstrap, const struct rng *rng,
                                  struct wall now, struct arena *arena)
{
    Swarm__Cluster *cluster = wire_new(&swarm__cluster__descriptor, arena);
    CHECK(cluster);
    cluster->id = arena_strdup(arena, bootstrap->cluster_id);
    cluster->fips = bootstrap->fips;
    cluster->spec =
        bootstrap->spec ? wire_copy(bootstrap->spec, arena) : defaults_new_cluster_spec(arena);
    CHECK(cluster->spec);
    CHECK(wire_settle(cluster, arena));
    cluster->spec->annotations->name = NAME_CLUSTER;
    cluster->subnetsize = bootstrap->subnet_size ? bootstrap->subnet_size : DEFAULT_SUBNET_SIZE;
    cluster->vxlanudpport = bootstrap->vxlan_port ? bootstrap->vxlan_port : DEFAULT_VXLAN_PORT;
    if (bootstrap->pools_count > 0)
        set_pools(cluster, bootstrap, arena);
    if (bootstrap->root_cert_pem)
        bootstrap_set_root(cluster, bootstrap->root_cert_pem, bootstrap->root_key_pem, rng, arena);
    else
        make_root(cluster, rng, now, arena);
    bootstrap_rotate_network_keys(cluster, rng, arena);
    bootstrap_rotate_unlock_key(cluster, rng, arena);
    CHECK(!arena_overflowed(arena));
    return cluster;
}

Swarm__Node *bootstrap_node(const Swarm__Cluster *cluster, const char *node_id, struct arena *arena)
{
    Swarm__Node *node = wire_new(&swarm__node__descriptor, arena);
    CHECK(node);
    node->id = arena_strdup(arena, node_id);
    node->role = SWARM__NODE_ROLE__MANAGER;
    node->spec->desired_role = SWARM__NODE_ROLE__MANAGER;
    node->spec->membership = SWARM__NODE_SPEC__MEMBERSHIP__ACCEPTED;
    node->certificate->cn = node->id;
    node->certificate->role = SWARM__NODE_ROLE__MANAGER;
    node->certificate->status->state = SWARM__ISSUANCE_STATUS__STATE__ISSUED;
    node->vxlanudpport = cluster->vxlanudpport;
    return node;
}
