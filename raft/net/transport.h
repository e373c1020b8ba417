// What raft/node needs from whatever carries messages to other members: the gRPC peers of this
// folder, or a fake in tests.
#ifndef RAFT_NET_TRANSPORT_H
#define RAFT_NET_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "raft/core/types.h"

// Implemented by embedding. All calls come on the control loop; none blocks.
struct transport {
    // Sends one message to message->to: copies what it keeps. `snapshot` is the data of a MsgSnap
    // (own reference taken when kept), else NULL. Order to one peer is kept. What cannot be queued
    // is reported like a failed send.
    void (*send)(struct transport *transport, const struct raft_message *message,
                 struct raft_blob *snapshot);

    // From now on `raft_id` is node `node_id` at `addr` (host:port); replaces what it was before.
    void (*set_peer)(struct transport *transport, uint64_t raft_id, const char *node_id,
                     const char *addr);

    // The member is gone: what is queued for it may still drain for a while.
    void (*remove_peer)(struct transport *transport, uint64_t raft_id);

    // True when the last send to the member (or the first health check) succeeded.
    bool (*reachable)(struct transport *transport, uint64_t raft_id);
};

// What a transport reports back, on the control loop, never inside a call above.
struct transport_reports {
    void (*unreachable)(void *ctx, uint64_t raft_id);
    void (*snapshot_sent)(void *ctx, uint64_t raft_id, bool ok);

    // An answer to a heartbeat came outside of the services; lives until this returns.
    void (*answered)(void *ctx, const struct raft_message *message);

    // The peer says that we were removed from the cluster (swarmkit 18.4).
    void (*removed)(void *ctx);
    void *ctx;
};

#endif
