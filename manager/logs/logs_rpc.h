// gRPC services Logs (clients) and LogBroker (agents).
#ifndef MANAGER_LOGS_LOGS_RPC_H
#define MANAGER_LOGS_LOGS_RPC_H

#include "manager/logs/logs.h"
#include "proto/rpc/server_io.h"

// What the handlers are given as rpc_call_ctx.
struct logs_desk {
    struct logs *logs;   // NULL while this manager does not lead
    const char *node_id; // of this manager: whose agent calls over the local socket
};

// The desk outlives the server. `home` is the control loop. They are two services because a
// follower passes LogBroker on, and answers Logs itself.
struct rpc_service logs_service(struct logs_desk *desk, struct loop *home);
struct rpc_service log_broker_service(struct logs_desk *desk, struct loop *home);

#endif
