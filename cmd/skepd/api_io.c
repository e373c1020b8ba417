#include "cmd/skepd/api_io.h"

#include <stdlib.h>

#include "agent/engine/engine_io.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/net/listener_io.h"

#define PEM_BYTES_MAX (1u << 20)

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

// ---- TLS ----------------------------------------------------------------------------------------

static int read_pem(const char *path, struct buf *out, struct err *err)
{
    buf_init(out, PEM_BYTES_MAX);
    int result = file_read(path, out, err);
    if (!result && !buf_cstr(out))
        result = err_set(err, ERR_INVALID_ARGUMENT, "%s is empty", path);
    return result;
}

// *out stays NULL when the configuration wants no TLS.
static int make_tls(const struct config *config, struct tls_config **out, struct err *err)
{
    struct buf chain = {0}, key = {0}, roots = {0};
    *out = NULL;
    if (!config->tls)
        return 0;
    int result = read_pem(config->tls_cert, &chain, err);
    if (!result)
        result = read_pem(config->tls_key, &key, err);
    if (!result && config->tls_verify)
        result = read_pem(config->tls_ca, &roots, err);
    if (!result) {
        const struct tls_options options = {
            .server = true,
            .verify = config->tls_verify ? TLS_VERIFY_REQUIRED : TLS_VERIFY_NONE,
            .alpn = TLS_ALPN_NONE,
            .chain_pem = buf_cstr(&chain),
            .key_pem = buf_cstr(&key),
            .roots_pem = config->tls_verify ? buf_cstr(&roots) : NULL,
            .rng = &rng_kernel,
        };
        *out = tls_config_new(&options, err);
        result = *out ? 0 : err_wrap(err, "TLS of the API");
    }
    buf_fini(&chain);
    buf_fini(&roots);
    buf_wipe(&key);
    return result;
}

// ---- life ---------------------------------------------------------------------------------------

static struct listener *listen_at(struct api *api, struct loop *loop,
                                  const struct bound_socket *bound, struct tls_config *tls,
                                  struct err *err)
{
    bool network = bound->addr.kind != ADDR_UNIX;
    char text[ADDR_TEXT_BYTES];
    struct listener_options listen = {.addr = bound->addr,
                                      .fd = bound->fd,
                                      .tls = network ? tls : NULL,
                                      .on_accept = on_accept,
                                      .owner = api};
    if (network && !tls)
        log_warn("the API is open to everybody who reaches this address, and whoever does is root",
                 "addr=%s", addr_format(&bound->addr, text));
    return listener_open(loop, &listen, err);
}

int api_open(struct loop *loop, const struct sockets *sockets, const struct config *config,
             const struct backend *backend, void *backend_ctx, struct api **out, struct err *err)
{
    struct tls_config *tls = NULL;
    struct api *api = MEM_NEW(struct api);
    struct engine_options options = {.backend = backend, .backend_ctx = backend_ctx};
    api->engine = engine_new(loop, &options);
    *out = api; // an error further on leaves an API to be closed
    int result = make_tls(config, &tls, err);
    for (size_t i = 0; result == 0 && i < sockets->count; i++) {
        struct listener *listener = listen_at(api, loop, &sockets->items[i], tls, err);
        if (listener)
            api->listeners[api->listeners_count++] = listener;
        else
            result = -(int)err->code;
    }
    tls_config_unref(tls);
    return result;
}

struct bus *api_bus(struct api *api)
{
    return engine_bus(api->engine);
}

void api_set_manager(struct api *api, struct rpc_client *client)
{
    engine_set_manager(api->engine, client);
}

void api_manager_started(struct api *api)
{
    engine_started(api->engine);
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
