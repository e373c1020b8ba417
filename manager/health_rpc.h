// SwarmKit's Health service: "" and "Raft" are SERVING as soon as the server runs, even before the
// manager has joined, because whoever admits it asks just then (swarmkit 18.3, 23).
#ifndef MANAGER_HEALTH_RPC_H
#define MANAGER_HEALTH_RPC_H

#include "proto/rpc/server_io.h"

// `desk->control` turns "ControlAPI" on, which only the local socket knows.
struct health_desk {
    bool local;
    bool control; // set once raft has started
};

struct rpc_service health_service(struct health_desk *desk, struct loop *home);

#endif
