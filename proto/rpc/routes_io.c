#include "proto/rpc/routes_io.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/rpc/peer.h"
#include "proto/wire/methods.h"

void routes_init(struct routes *routes)
{
    map_init(&routes->by_path);
}

void routes_fini(struct routes *routes)
{
    MAP_EACH (entry, &routes->by_path)
        free(entry->value);
    map_fini(&routes->by_path);
}

static enum rpc_kind kind_of(enum method_kind kind)
{
    switch (kind) {
    case METHOD_UNARY:
        return RPC_UNARY;
    case METHOD_SERVER_STREAM:
        return RPC_SERVER_STREAM;
    case METHOD_CLIENT_STREAM:
        return RPC_CLIENT_STREAM;
    }
    UNREACHABLE("a kind of method");
}

static unsigned roles_of(enum method_callers callers)
{
    switch (callers) {
    case METHOD_OPEN:
        return ROLE_ANYONE;
    case METHOD_NODES:
        return ROLE_WORKER | ROLE_MANAGER;
    case METHOD_MANAGERS:
        return ROLE_MANAGER;
    }
    UNREACHABLE("a set of callers");
}

struct rpc_method rpc_method_resolve(const struct rpc_method *row)
{
    struct rpc_method method = *row;
    const struct method *known = method_find(row->path);
    CHECK(row->handle);
    if (!row->request && known) {
        method.kind = kind_of(known->kind);
        if (!row->raw) {
            method.request = known->request;
            method.roles = roles_of(known->callers);
        }
    }
    CHECK(method.raw || method.request);
    CHECK(!method.raw || !method.request);
    bool streams = method.kind == RPC_CLIENT_STREAM || method.kind == RPC_BIDI_STREAM;
    CHECK(!streams || (method.on_message && method.on_end));
    return method;
}

void routes_add(struct routes *routes, const struct rpc_service *service)
{
    for (size_t i = 0; i < service->methods_count; i++) {
        struct route *route = MEM_NEW(struct route);
        route->method = rpc_method_resolve(&service->methods[i]);
        route->service = service;
        CHECK(route->method.path[0] == '/');
        struct route *old = map_put_str(&routes->by_path, route->method.path, route);
        CHECK(!old);
    }
}

static bool has_service(const struct routes *routes, const char *path, size_t length)
{
    MAP_EACH (entry, &routes->by_path) {
        const char *known = entry->key;
        if (strncmp(known, path, length) == 0 && known[length] == '/')
            return true;
    }
    return false;
}

const struct route *routes_find(const struct routes *routes, const char *path,
                                struct rpc_status *status)
{
    const struct route *route = map_get_str(&routes->by_path, path);
    if (route)
        return route;
    // In grpc-go's words: stock peers fall back by them (swarmkit.md section 1.2).
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path || path[0] != '/')
        *status = rpc_status_make(ERR_UNIMPLEMENTED, "malformed method name: \"%.128s\"", path);
    else if (has_service(routes, path, (size_t)(slash - path)))
        *status = rpc_status_make(ERR_UNIMPLEMENTED, "unknown method %.128s for service %.*s",
                                  slash + 1, (int)(slash - path - 1), path + 1);
    else
        *status = rpc_status_make(ERR_UNIMPLEMENTED, "unknown service %.*s",
                                  (int)(slash - path - 1), path + 1);
    return NULL;
}
