// Which row of which service answers a path.
#ifndef PROTO_RPC_ROUTES_IO_H
#define PROTO_RPC_ROUTES_IO_H

#include "proto/base/map.h"
#include "proto/rpc/server_io.h"

// A method ready to be called: the row with what proto/wire/methods.h says filled in.
struct route {
    struct rpc_method method;
    const struct rpc_service *service;
};

struct routes {
    struct map by_path; // path -> struct route
};

void routes_init(struct routes *routes);
void routes_fini(struct routes *routes);

// All rows of a service, which is borrowed. A path that is there already is a broken invariant.
void routes_add(struct routes *routes, const struct rpc_service *service);

// NULL with the status for none.
const struct route *routes_find(const struct routes *routes, const char *path,
                                struct rpc_status *status);

#endif
