#include "tests/support/manager_client.h"

#include "proto/base/check.h"
#include "proto/identity/certdir_io.h"
#include "proto/identity/rng_io.h"

// By which a call has ended or a client is closed, also where this process was held up.
#define ENDS_MS 60000

struct tls_config *manager_client_tls(const char *folder, struct err *err)
{
    struct credentials credentials;
    struct keyfile file;
    struct tls_options options = {
        .verify = TLS_VERIFY_REQUIRED, .alpn = TLS_ALPN_H2, .rng = &rng_kernel};
    if (certdir_load(folder, NULL, &credentials, &file, err))
        return NULL;
    struct tls_config *tls = tls_config_of(&credentials, &options, err);
    keyfile_fini(&file);
    credentials_fini(&credentials);
    return tls;
}

struct rpc_client *manager_client_new(struct loop *loop, const char *addr, const char *folder,
                                      struct err *err)
{
    struct rpc_client_config config = {.loop = loop, .server_name = SERVER_NAME_MANAGER};
    if (addr_parse(addr, 0, &config.addr, err))
        return NULL;
    config.tls = manager_client_tls(folder, err);
    struct rpc_client *client = config.tls ? rpc_client_new(&config) : NULL;
    tls_config_unref(config.tls);
    return client;
}

struct waiting {
    struct manager_call *call;
    struct err *err;
    bool done;
};

static bool is_done(void *ctx)
{
    return ((struct waiting *)ctx)->done;
}

static void on_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    (void)trailers;
    struct waiting *waiting = ctx;
    struct manager_call *call = waiting->call;
    *waiting->err = status->err;
    if (status->err.code == ERR_OK && call->arena && call->response)
        call->reply = wire_copy(rpc_request_message(request), call->arena);
    waiting->done = true;
}

int manager_client_call(struct loop *loop, struct rpc_client *client, struct manager_call *call,
                        struct err *err)
{
    struct waiting waiting = {.call = call, .err = err};
    struct rpc_request_spec spec = {.path = call->path,
                                    .kind = RPC_UNARY,
                                    .response = call->response,
                                    .timeout_ms = call->timeout_ms,
                                    .wait_for_ready = !call->impatient,
                                    .on_done = on_done,
                                    .ctx = &waiting};
    call->reply = NULL;
    if (call->request)
        rpc_client_call(client, &spec, call->request);
    else
        rpc_client_call_bytes(client, &spec, "", 0);
    CHECK(loop_run_until(loop, is_done, &waiting, call->timeout_ms + ENDS_MS));
    return -(int)err->code;
}

static void on_closed(void *ctx)
{
    ((struct waiting *)ctx)->done = true;
}

void manager_client_close(struct loop *loop, struct rpc_client *client)
{
    struct waiting waiting = {0};
    rpc_client_close(client, on_closed, &waiting);
    CHECK(loop_run_until(loop, is_done, &waiting, ENDS_MS));
}
