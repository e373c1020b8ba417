#include "tests/unit/proto/rpc/rig.h"

#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/str.h"

// ---- the service --------------------------------------------------------------------------------

static void answer(struct rpc_call *call, const void *bytes, size_t size)
{
    struct err err = ERR_INIT;
    ck_assert_int_eq(rpc_call_send_bytes(call, bytes, size, &err), 0);
}

static void handle_echo(struct rpc_call *call)
{
    const char *asked = metadata_get(rpc_call_metadata(call), "x-ask");
    if (asked)
        ck_assert(rpc_call_add_header(call, "x-answer", asked));
    size_t size;
    const uint8_t *bytes = rpc_call_bytes(call, &size);
    answer(call, bytes, size);
    rpc_call_finish(call, NULL);
}

static void handle_count(struct rpc_call *call)
{
    size_t size;
    const uint8_t *bytes = rpc_call_bytes(call, &size);
    char text[16] = "";
    memcpy(text, bytes, size < 15 ? size : 15);
    rpc_call_drop_request(call);
    CHECK(!rpc_call_message(call) && !rpc_call_bytes(call, &size) && size == 0);
    const struct rig *rig = rpc_call_ctx(call);
    ck_assert(rig->options.home || !metadata_get(rpc_call_metadata(call), "x-ask"));
    ck_assert(rpc_call_add_header(call, "x-answer", "counting"));
    for (int i = atoi(text); i > 0; i--)
        answer(call, "x", 1);
    rpc_call_add_trailer(call, "x-trailer", "counted");
    rpc_call_finish(call, NULL);
}

static void handle_collect(struct rpc_call *call)
{
    size_t *sum = arena_alloc(rpc_call_arena(call), sizeof *sum);
    rpc_call_set_user(call, sum);
}

static void collect_message(struct rpc_call *call)
{
    size_t size;
    rpc_call_bytes(call, &size);
    *(size_t *)rpc_call_user(call) += size;
}

static void collect_end(struct rpc_call *call)
{
    char text[32];
    snprintf(text, sizeof text, "%zu", *(size_t *)rpc_call_user(call));
    answer(call, text, strlen(text));
    rpc_call_finish(call, NULL);
}

static void handle_nothing(struct rpc_call *call)
{
    (void)call;
}

static void chat_message(struct rpc_call *call)
{
    size_t size;
    const uint8_t *bytes = rpc_call_bytes(call, &size);
    answer(call, bytes, size);
}

static void chat_end(struct rpc_call *call)
{
    rpc_call_finish(call, NULL);
}

static void finish_cancelled(struct rpc_call *call)
{
    rpc_call_failf(call, ERR_CANCELLED, "so be it");
}

static void handle_fail(struct rpc_call *call)
{
    static const uint8_t details[] = {8, 5, 18, 1, 'x'};
    struct rpc_status status =
        rpc_status_make(ERR_NOT_FOUND, "node %s not found: 100%% sure\n", "é");
    status.details = details;
    status.details_size = sizeof details;
    ck_assert(rpc_call_add_trailer(call, "x-trailer", "gone"));
    rpc_call_finish(call, &status);
}

static void handle_hang(struct rpc_call *call)
{
    struct rig *rig = rpc_call_ctx(call);
    __atomic_fetch_add(&rig->hanging, 1, __ATOMIC_RELAXED);
}

static void hang_cancelled(struct rpc_call *call)
{
    struct rig *rig = rpc_call_ctx(call);
    __atomic_fetch_add(&rig->cancelled, 1, __ATOMIC_RELAXED);
    finish_cancelled(call);
}

static void flood(struct rpc_call *call)
{
    static const uint8_t block[32 * 1024];
    struct rig *rig = rpc_call_ctx(call);
    while (rpc_call_writable(call)) {
        answer(call, block, sizeof block);
        __atomic_fetch_add(&rig->flooded, 1, __ATOMIC_RELAXED);
    }
}

static void handle_flood(struct rpc_call *call)
{
    rpc_call_drop_request(call);
    flood(call);
}

static const struct rpc_method methods[] = {
    {.path = TEST_ECHO, .kind = RPC_UNARY, .raw = true, .handle = handle_echo},
    {.path = TEST_COUNT, .kind = RPC_SERVER_STREAM, .raw = true, .handle = handle_count},
    {.path = TEST_COLLECT,
     .kind = RPC_CLIENT_STREAM,
     .raw = true,
     .handle = handle_collect,
     .on_message = collect_message,
     .on_end = collect_end,
     .on_cancel = finish_cancelled},
    {.path = TEST_CHAT,
     .kind = RPC_BIDI_STREAM,
     .raw = true,
     .handle = handle_nothing,
     .on_message = chat_message,
     .on_end = chat_end,
     .on_cancel = finish_cancelled},
    {.path = TEST_FAIL, .kind = RPC_UNARY, .raw = true, .handle = handle_fail},
    {.path = TEST_HANG,
     .kind = RPC_SERVER_STREAM,
     .raw = true,
     .handle = handle_hang,
     .on_cancel = hang_cancelled},
    {.path = TEST_FLOOD,
     .kind = RPC_SERVER_STREAM,
     .raw = true,
     .handle = handle_flood,
     .on_writable = flood,
     .on_cancel = finish_cancelled},
    {.path = TEST_GUARDED,
     .kind = RPC_UNARY,
     .raw = true,
     .roles = ROLE_MANAGER,
     .handle = handle_echo},
};

// ---- both sides ---------------------------------------------------------------------------------

void rig_serve(struct rig *rig, const struct addr *at)
{
    struct loop *own = &rig->loop;
    struct loop *loops[8];
    size_t count = rig->options.threads;
    ck_assert_uint_le(count, 8);
    for (size_t i = 0; i < count; i++)
        loops[i] = &rig->threads[i].loop;
    struct rpc_service service = {
        .methods = methods,
        .methods_count = sizeof methods / sizeof methods[0],
        .ctx = rig,
        .home = rig->options.home ? own : NULL,
    };
    struct rpc_server_config config = {
        .loops = count ? loops : &own,
        .loops_count = count ? count : 1,
        .services = &service,
        .services_count = 1,
        .tls = rig->options.server_tls,
        .authority = rig->options.authority,
        .slow_ms = rig->options.slow_ms,
    };
    struct err err = ERR_INIT;
    rig->server = rpc_server_new(&config);
    ck_assert_msg(rpc_server_listen(rig->server, at, -1, &rig->addr, &err) == 0, "%s", err.message);
}

void rig_start(struct rig *rig, const struct rig_options *options)
{
    static atomic_uint serial;
    memset(rig, 0, sizeof *rig);
    if (options)
        rig->options = *options;
    loop_init(&rig->loop);
    size_t count = rig->options.threads;
    rig->threads = count ? calloc(count, sizeof *rig->threads) : NULL;
    for (size_t i = 0; i < count; i++)
        loop_thread_start(&rig->threads[i], "serving");
    char text[64] = "127.0.0.1:0";
    if (!rig->options.tcp)
        snprintf(text, sizeof text, "unix://@skep-test-%d-%u", (int)getpid(),
                 atomic_fetch_add(&serial, 1));
    struct addr addr;
    struct err err = ERR_INIT;
    ck_assert_msg(addr_parse(text, 1, &addr, &err) == 0 || rig->options.tcp, "%s", err.message);
    if (rig->options.tcp) {
        ck_assert_int_eq(addr_parse("127.0.0.1:1", 0, &addr, &err), 0);
        addr.port = 0;
    }
    rig_serve(rig, &addr);
    struct rpc_client_config client = {
        .loop = &rig->loop,
        .addr = rig->addr,
        .tls = rig->options.client_tls,
        .server_name = rig->options.server_name,
    };
    rig->client = rpc_client_new(&client);
}

static void set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static bool is_set(void *ctx)
{
    return *(bool *)ctx;
}

void rig_close_server(struct rig *rig, int64_t grace_ms)
{
    rpc_server_close(rig->server, grace_ms, &rig->loop, set_flag, &rig->server_closed);
    rig->server = NULL;
}

void rig_stop(struct rig *rig)
{
    if (rig->client) {
        rpc_client_close(rig->client, set_flag, &rig->client_closed);
        ck_assert(loop_run_until(&rig->loop, is_set, &rig->client_closed, RIG_WAIT_MS));
    }
    if (rig->server)
        rig_close_server(rig, rig->options.grace_ms);
    ck_assert(loop_run_until(&rig->loop, is_set, &rig->server_closed, RIG_WAIT_MS));
    for (size_t i = 0; i < rig->options.threads; i++)
        loop_thread_stop(&rig->threads[i]);
    free(rig->threads);
    loop_fini(&rig->loop);
}

// ---- calls --------------------------------------------------------------------------------------

static void on_headers(struct rpc_request *request, void *ctx, const struct metadata *metadata)
{
    (void)request;
    struct rig_call *call = ctx;
    call->headers++;
    str_copy(call->header, sizeof call->header, str_or(metadata_get(metadata, "x-answer"), ""));
}

static void take(struct rig_call *call)
{
    size_t size;
    const uint8_t *bytes = rpc_request_bytes(call->request, &size);
    buf_put(&call->got, bytes, size);
    call->messages++;
}

static void on_message(struct rpc_request *request, void *ctx, const ProtobufCMessage *message)
{
    struct rig_call *call = ctx;
    ck_assert_ptr_null(message);
    take(call);
    if (call->pause_first)
        rpc_request_pause(request);
}

static void on_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    struct rig_call *call = ctx;
    size_t size;
    ck_assert(!call->done);
    if (rpc_request_bytes(request, &size))
        take(call);
    call->done = true;
    call->request = NULL;
    call->status = *status;
    if (status->details) {
        ck_assert_uint_le(status->details_size, sizeof call->details);
        memcpy(call->details, status->details, status->details_size);
    }
    str_copy(call->trailer, sizeof call->trailer, str_or(metadata_get(trailers, "x-trailer"), ""));
}

struct rig_call *rig_call(struct rig *rig, const char *path, enum rpc_kind kind, const void *bytes,
                          size_t size, int64_t timeout_ms)
{
    struct rig_call *call = calloc(1, sizeof *call);
    buf_init(&call->got, 256 << 20);
    struct arena arena;
    arena_init(&arena, 4096);
    struct metadata metadata;
    metadata_init(&metadata, &arena);
    ck_assert(metadata_add(&metadata, "x-ask", "why not?"));
    struct rpc_request_spec spec = {
        .path = path,
        .kind = kind,
        .timeout_ms = timeout_ms,
        .metadata = &metadata,
        .wait_for_ready = true,
        .on_headers = on_headers,
        .on_message = on_message,
        .on_done = on_done,
        .ctx = call,
    };
    call->request = rpc_client_call_bytes(rig->client, &spec, bytes, size);
    arena_fini(&arena);
    return call;
}

void rig_call_free(struct rig_call *call)
{
    buf_fini(&call->got);
    free(call);
}

void rig_wait(struct rig *rig, struct rig_call *call)
{
    ck_assert(loop_run_until(&rig->loop, is_set, &call->done, RIG_WAIT_MS));
}

static bool never(void *ctx)
{
    (void)ctx;
    return false;
}

void rig_idle(struct rig *rig, int64_t ms)
{
    ck_assert(!loop_run_until(&rig->loop, never, NULL, ms));
}

void rig_until(struct rig *rig, const unsigned *flag, unsigned wanted)
{
    // Another thread may set it, which wakes nobody here: look often.
    for (int i = 0; __atomic_load_n(flag, __ATOMIC_RELAXED) < wanted; i++) {
        ck_assert_int_lt(i, RIG_WAIT_MS);
        rig_idle(rig, 1);
    }
}
