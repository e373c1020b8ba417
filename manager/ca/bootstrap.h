// The first cluster object, and what renews its parts: roots, join tokens, bootstrap and unlock
// keys. Pure: randomness and time are parameters.
#ifndef MANAGER_CA_BOOTSTRAP_H
#define MANAGER_CA_BOOTSTRAP_H

#include <stdbool.h>

#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/identity/rng.h"
#include "proto/wire/objects.pb-c.h"

struct bootstrap {
    const char *cluster_id; // O of all certificates; "FIPS." + id when the cluster insists on FIPS
    bool fips;
    const Swarm__ClusterSpec *spec; // NULL: the defaults
    char *const *pools;             // CIDR; none: the default pool
    size_t pools_count;
    uint32_t subnet_size;      // 0: the default
    uint32_t vxlan_port;       // 0: the default
    const char *root_cert_pem; // NULL: a new root
    const char *root_key_pem;  // of root_cert_pem
};

// A new cluster, ready for txn_create: named NAME_CLUSTER, with root, digest, two join tokens and
// the network bootstrap keys, and with an unlock key when the spec locks managers. All of it in
// `arena`.
Swarm__Cluster *bootstrap_cluster(const struct bootstrap *bootstrap, const struct rng *rng,
                                  struct wall now, struct arena *arena);

// The first manager's own node object: role manager, ACCEPTED, certificate ISSUED without bytes
// (section 8.1).
Swarm__Node *bootstrap_node(const Swarm__Cluster *cluster, const char *node_id,
                            struct arena *arena);

// Replaces one or both join tokens of the cluster, for UpdateCluster{rotation}.
void bootstrap_rotate_tokens(Swarm__Cluster *cluster, bool worker, bool manager,
                             const struct rng *rng, struct arena *arena);

// Puts `roots_pem` and `key_pem` in as the root: certificate, digest text and new tokens.
// `key_pem` may be NULL when nobody here signs with it.
void bootstrap_set_root(Swarm__Cluster *cluster, const char *roots_pem, const char *key_pem,
                        const struct rng *rng, struct arena *arena);

// Replaces the managers' unlock key by a new one, or removes it when managers are not locked.
void bootstrap_rotate_unlock_key(Swarm__Cluster *cluster, const struct rng *rng,
                                 struct arena *arena);

// Adds a key per subsystem and drops the oldest ones (section 8.7); makes all of them when there
// are none.
void bootstrap_rotate_network_keys(Swarm__Cluster *cluster, const struct rng *rng,
                                   struct arena *arena);

#endif
