// gRPC service Dispatcher.
#ifndef MANAGER_DISPATCH_DISPATCH_RPC_H
#define MANAGER_DISPATCH_DISPATCH_RPC_H

#include "manager/dispatch/dispatch.h"
#include "proto/rpc/server_io.h"

// What the handlers are given as rpc_call_ctx. The manager embeds it in whatever it needs around
// it (to forward while it does not lead) and hands calls over with rpc_call_dispatch.
struct dispatch_desk {
    struct dispatch *dispatch; // NULL while this manager does not lead: ABORTED
    const char *node_id;       // of this manager: whose agent calls over the local socket
    // Where the manager of that node id is reached, "host:port": its agent's address, which may
    // call from elsewhere. NULL: no manager. Valid until the next call.
    const char *(*manager_addr)(void *ctx, const char *node_id);
    void *ctx;
};

// The desk outlives the server. `home` is the control loop.
struct rpc_service dispatch_service(struct dispatch_desk *desk, struct loop *home);

#endif
