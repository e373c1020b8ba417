// gRPC services CA and NodeCA.
#ifndef MANAGER_CA_CA_RPC_H
#define MANAGER_CA_CA_RPC_H

#include "manager/ca/ca.h"
#include "proto/rpc/server_io.h"

// What the handlers are given as rpc_call_ctx. The manager embeds it in whatever it needs around
// it (to forward while it does not lead) and hands calls over with rpc_call_dispatch.
struct ca_desk {
    struct ca *ca;       // NULL while this manager does not lead: ABORTED "CA signer is stopped"
    struct store *store; // for what every caught-up manager can answer: root and unlock key
    const char *node_id; // of this manager: whose renewals come over the local socket
};

// Rows of both services; the desk outlives the server. `home` is the control loop.
struct rpc_service ca_service(struct ca_desk *desk, struct loop *home);

#endif
