// The Control API: what users ask of the cluster (swarmkit 20). One file per noun; this is what
// they share with the manager around them.
//
// Reads come from the committed state; writes are transactions that only a leader can commit, and a
// call that writes is answered once its entry is committed. Validation is SwarmKit's, texts and
// codes included.
#ifndef MANAGER_CONTROL_CONTROL_H
#define MANAGER_CONTROL_CONTROL_H

#include "manager/store/store.h"
#include "proto/base/clock.h"
#include "proto/identity/rng.h"
#include "proto/rpc/server_io.h"
#include "proto/wire/objects.pb-c.h"

// A manager as Raft sees it.
struct control_member {
    uint64_t raft_id;
    const char *addr; // valid during the call that asked
    bool leader;
    bool reachable;
};

// What becomes of the cluster's root with another configuration. It may take seconds: authorities
// outside of the cluster are asked.
struct control_settle {
    Swarm__Cluster *cluster; // as it is but for the wanted spec; with all else in the arena
    struct arena *arena;
    // The end, once, maybe before settle_root returns: the root as it is to be, or NULL and *err.
    void (*settled)(struct control_settle *settle, const Swarm__RootCA *root,
                    const struct err *err);
    void *handle; // the CA's
};

// What the services are given as rpc_call_ctx. The manager fills it and keeps it for as long as the
// server lives.
struct control_desk {
    struct store *store;
    const struct rng *rng;
    uint64_t mark;       // drawn at random: names the store's life in listings (wire/listing.h)
    const char *node_id; // of this manager, whose own node calls over the local socket

    // Of Raft: false when the node is no member.
    bool (*member)(void *ctx, const char *node_id, struct control_member *out);
    size_t (*members_count)(void *ctx);
    // Whether the member may be removed without losing the quorum.
    int (*check_removal)(void *ctx, const char *node_id, struct err *err);

    // Of the CA: renew parts of a cluster object in place.
    void (*rotate_tokens)(Swarm__Cluster *cluster, bool worker, bool manager, const struct rng *rng,
                          struct arena *arena);
    void (*rotate_unlock_key)(Swarm__Cluster *cluster, const struct rng *rng, struct arena *arena);
    void (*rotate_network_keys)(Swarm__Cluster *cluster, const struct rng *rng,
                                struct arena *arena);
    // Settles the root for another configuration, and forgets that somebody asked.
    void (*settle_root)(void *ctx, struct control_settle *settle);
    void (*forget_root)(void *ctx, struct control_settle *settle);
    void *ctx;
};

// All methods of Control. `home` is the control loop.
struct rpc_service control_service(struct control_desk *desk, struct loop *home);

#endif
