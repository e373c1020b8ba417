#include "cmd/skepd/api_io.h"

#include <stdlib.h>

#include "agent/engine/engine_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/net/listener_io.h"

// Calls may go on for this long when the daemon stops.
#define API_GRACE_MS 2000

struct api {
    struct engine *engine;
    struct listener *listeners[SOCKETS_MAX];
    size_t listeners_count;
    size_t open; // listeners and engine that still have to close
    void (*closed)(void *ctx);
    void *ctx;
};

static void on_accept(struct listener *listener, struct conn *conn, void *owner)
{
    (void)listener;
    struct api *api = owner;
    engine_take(api->engine, conn);
}

int api_open(struct loop *loop, const struct sockets *sockets, const struct backend *backend,
             void *backend_ctx, struct api **out, struct err *err)
{
    struct api *api = MEM_NEW(struct api);
    struct engine_options options = {.backend = backend, .backend_ctx = backend_ctx};
    api->engine = engine_new(loop, &options);
    *out = api; // an error further on leaves an API to be closed
    for (size_t i = 0; i < sockets->count; i++) {
        struct listener_options listen = {.addr = sockets->items[i].addr,
                                          .fd = sockets->items[i].fd,
                                          .on_accept = on_accept,
                                          .owner = api};
        struct listener *listener = listener_open(loop, &listen, err);
        if (!listener)
            return -(int)err->code;
        api->listeners[api->listeners_count++] = listener;
    }
    return 0;
}

struct bus *api_bus(struct api *api)
{
    return engine_bus(api->engine);
}

void api_set_manager(struct api *api, struct rpc_client *client)
{
    engine_set_manager(api->engine, client);
}

static void part_closed(void *owner)
{
    struct api *api = owner;
    if (--api->open > 0)
        return;
    void (*closed)(void *ctx) = api->closed;
    void *ctx = api->ctx;
    free(api);
    closed(ctx);
}

void api_close(struct api *api, void (*closed)(void *ctx), void *ctx)
{
    api->closed = closed;
    api->ctx = ctx;
    api->open = api->listeners_count + 1;
    for (size_t i = 0; i < api->listeners_count; i++)
        listener_close(api->listeners[i], part_closed);
    engine_stop(api->engine, API_GRACE_MS, part_closed, api);
}
