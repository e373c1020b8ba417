// gRPC service Watch: what changes in this manager's copy of the store, commit by commit.
//
// Served by every manager from its own store, leader or not, and never forwarded: a watcher lives
// on through changes of the leader. Keys and the data of secrets are left out of what it sees.
#ifndef MANAGER_CONTROL_WATCH_RPC_H
#define MANAGER_CONTROL_WATCH_RPC_H

#include "manager/control/control.h"

// Watchers at once; one more gets RESOURCE_EXHAUSTED.
#define WATCHERS_MAX 1024

struct watchers;

struct watchers *watchers_new(struct loop *loop, struct store *store);

// Ends all streams with UNAVAILABLE and takes no further ones, so that the servers can close.
void watchers_stop(struct watchers *watchers);

// After the servers, before the store.
void watchers_free(struct watchers *watchers);

// `home` is the control loop. The service may be given to several servers.
struct rpc_service watch_service(struct watchers *watchers, struct loop *home);

#endif
