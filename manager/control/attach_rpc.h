// gRPC service ResourceAllocator: nodes ask for an address on an attachable network for a container
// that is no task's, and give it back (swarmkit 17.5).
//
// What is asked for becomes a task of its own, bound to the node that asked; allocator, scheduler
// and dispatcher know no difference.
#ifndef MANAGER_CONTROL_ATTACH_RPC_H
#define MANAGER_CONTROL_ATTACH_RPC_H

#include "manager/control/control.h"

// The desk is that of the Control API. `home` is the control loop.
struct rpc_service attach_service(struct control_desk *desk, struct loop *home);

#endif
