// Calls that only the leader answers: answered here while we lead, else passed on to the leader
// byte by byte (swarmkit 7.2).
//
// On 2377 a follower passes on what methods.h calls forwarded, with the caller's identity in
// forwarded_* metadata. On the local socket everything but the strictly local is passed on, under
// this manager's own certificate.
#ifndef MANAGER_FORWARD_RPC_H
#define MANAGER_FORWARD_RPC_H

#include "proto/base/loop_io.h"
#include "proto/rpc/client_io.h"
#include "proto/rpc/server_io.h"

// How long a swarm may be without a leader before calls fail at once, and how often one that waits
// looks again.
#define FORWARD_NO_LEADER_MS 10000
#define FORWARD_LOOK_MS      100

// After a broken connection a unary call is tried once more, after this time.
#define FORWARD_AGAIN_MS 500

#define FORWARD_ERR_NO_LEADER                                                                      \
    "The swarm does not have a leader. It's possible that too few managers are online. "           \
    "Make sure more than half of the managers are online."

// What forwarding needs to know, asked on the control loop.
struct forward_view {
    bool (*leading)(void *ctx); // we may answer ourselves
    // The connection to the leader, NULL while none is known or it is not reachable.
    struct rpc_client *(*leader)(void *ctx);
    void *ctx;
};

struct forward;

// Wraps `services` (their tables and contexts are borrowed): every method in them that is to be
// forwarded, over TCP or on the local socket, becomes a row of forward_service; the others stay.
struct forward *forward_new(struct loop *loop, bool local, const struct rpc_service *services,
                            size_t services_count, const struct forward_view *view);

// The service to give to the server instead: all methods of all the services.
struct rpc_service forward_service(struct forward *forward);

// There is another leader, or none for the moment: calls that wait look again at once. Calls that
// the former one has not answered are tried once more, as after a broken connection (it may be cut
// off, and would let them wait until their deadline); streams end, UNAVAILABLE.
void forward_leader_changed(struct forward *forward);

// Ends the calls on their way (UNAVAILABLE) and frees.
void forward_free(struct forward *forward);

#endif
