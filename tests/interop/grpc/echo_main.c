// Our side of what peer.cc does: a server, a client that checks everything, and sources of load.
//
//   interop_grpc serve CERTS [LOOPS]      prints the port; ends when its standard input does
//   interop_grpc check ADDRESS CERTS      exits 0 when all is as it should be
//   interop_grpc load ADDRESS CERTS CONNECTIONS CALLS_AT_ONCE SECONDS   starts at a line of input
//   interop_grpc handshakes ADDRESS CERTS AT_ONCE SECONDS full|resumed
//   interop_grpc idle ADDRESS CERTS CONNECTIONS   holds them until its standard input ends
//
// CERTS is a folder with ca.pem, and chain and key of server and client, or "none" for plain text.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/interop/grpc/echo.pb-c.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/net/conn_io.h"
#include "proto/rpc/client_io.h"
#include "proto/rpc/server_io.h"
#include "proto/wire/wire.h"

#define PATH(name) "/skep.test.Echo/" name

static void fatal(const struct err *err)
{
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

// ---- credentials --------------------------------------------------------------------------------

static char *read_pem(const char *folder, const char *name)
{
    char path[4096];
    struct buf text;
    struct err err = ERR_INIT;
    if (!str_format(path, sizeof path, "%s/%s", folder, name))
        exit(1);
    buf_init(&text, 1 << 20);
    if (file_read(path, &text, &err) < 0)
        fatal(&err);
    char *copy = str_dup(buf_cstr(&text));
    buf_fini(&text);
    return copy;
}

static struct tls_config *make_tls(const char *folder, bool server, bool tickets,
                                   enum tls_verify verify)
{
    if (strcmp(folder, "none") == 0)
        return NULL;
    struct tls_options options = {
        .server = server,
        .verify = verify,
        .alpn = TLS_ALPN_H2,
        .chain_pem = read_pem(folder, server ? "server.pem" : "client.pem"),
        .key_pem = read_pem(folder, server ? "server.key" : "client.key"),
        .roots_pem = read_pem(folder, "ca.pem"),
        .tickets = tickets,
        .rng = &rng_kernel,
    };
    struct err err = ERR_INIT;
    struct tls_config *config = tls_config_new(&options, &err);
    if (!config)
        fatal(&err);
    free((void *)options.chain_pem);
    free((void *)options.key_pem);
    free((void *)options.roots_pem);
    return config;
}

// ---- the server ---------------------------------------------------------------------------------

static unsigned cancelled;

static const Skep__Test__Blob *blob_of(const struct rpc_call *call)
{
    return (const Skep__Test__Blob *)rpc_call_message(call);
}

static void copy_metadata(struct rpc_call *call, const char *from, const char *to)
{
    const struct metadata_entry *entry = metadata_at(rpc_call_metadata(call), from, 0);
    if (entry)
        rpc_call_add_header_bytes(call, to, entry->value, entry->size);
}

static void handle_unary(struct rpc_call *call)
{
    copy_metadata(call, "x-ask", "x-answer");
    copy_metadata(call, "x-ask-bin", "x-answer-bin");
    rpc_call_reply(call, rpc_call_message(call));
}

// Sends what is left as room allows.
static void serve_more(struct rpc_call *call)
{
    uint32_t *left = rpc_call_user(call);
    while (*left > 0) {
        if (!rpc_call_writable(call))
            return;
        struct err err = ERR_INIT;
        (*left)--;
        if (rpc_call_send(call, rpc_call_message(call), &err) < 0) {
            rpc_call_fail(call, &err);
            return;
        }
    }
    rpc_call_add_trailer(call, "x-trailer", "served");
    rpc_call_finish(call, NULL);
}

static void handle_serve(struct rpc_call *call)
{
    uint32_t *left = ARENA_NEW(rpc_call_arena(call), uint32_t);
    *left = blob_of(call)->count;
    rpc_call_set_user(call, left);
    serve_more(call);
}

static void finish_cancelled(struct rpc_call *call)
{
    rpc_call_failf(call, ERR_CANCELLED, "cancelled");
}

static void handle_collect(struct rpc_call *call)
{
    Skep__Test__Blob *reply = ARENA_NEW(rpc_call_arena(call), Skep__Test__Blob);
    skep__test__blob__init(reply);
    rpc_call_set_user(call, reply);
}

static void collect_message(struct rpc_call *call)
{
    Skep__Test__Blob *reply = rpc_call_user(call);
    reply->count++;
    reply->data.len = blob_of(call)->data.len;
    reply->data.data =
        arena_memdup(rpc_call_arena(call), blob_of(call)->data.data, reply->data.len);
}

static void collect_end(struct rpc_call *call)
{
    Skep__Test__Blob *reply = rpc_call_user(call);
    rpc_call_reply(call, &reply->base);
}

static void handle_nothing(struct rpc_call *call)
{
    (void)call;
}

static void chat_message(struct rpc_call *call)
{
    struct err err = ERR_INIT;
    if (rpc_call_send(call, rpc_call_message(call), &err) < 0)
        rpc_call_fail(call, &err);
}

static void chat_end(struct rpc_call *call)
{
    rpc_call_finish(call, NULL);
}

static void handle_fail(struct rpc_call *call)
{
    struct rpc_status status = rpc_status_make(ERR_NOT_FOUND, "no such thing: 100%% sure");
    status.details = blob_of(call)->data.data;
    status.details_size = blob_of(call)->data.len;
    rpc_call_finish(call, &status);
}

static void hang_cancelled(struct rpc_call *call)
{
    __atomic_fetch_add(&cancelled, 1, __ATOMIC_RELAXED);
    finish_cancelled(call);
}

static void handle_cancelled(struct rpc_call *call)
{
    Skep__Test__Blob reply = SKEP__TEST__BLOB__INIT;
    reply.count = __atomic_load_n(&cancelled, __ATOMIC_RELAXED);
    rpc_call_reply(call, &reply.base);
}

#define BLOB &skep__test__blob__descriptor

static const struct rpc_method methods[] = {
    {PATH("Unary"), RPC_UNARY, .request = BLOB, .handle = handle_unary},
    {PATH("Serve"), RPC_SERVER_STREAM, .request = BLOB, .handle = handle_serve,
     .on_writable = serve_more, .on_cancel = finish_cancelled},
    {PATH("Collect"), RPC_CLIENT_STREAM, .request = BLOB, .handle = handle_collect,
     .on_message = collect_message, .on_end = collect_end, .on_cancel = finish_cancelled},
    {PATH("Chat"), RPC_BIDI_STREAM, .request = BLOB, .handle = handle_nothing,
     .on_message = chat_message, .on_end = chat_end, .on_cancel = finish_cancelled},
    {PATH("Fail"), RPC_UNARY, .request = BLOB, .handle = handle_fail},
    {PATH("Hang"), RPC_SERVER_STREAM, .request = BLOB, .handle = handle_nothing,
     .on_cancel = hang_cancelled},
    {PATH("Cancelled"), RPC_UNARY, .request = BLOB, .handle = handle_cancelled},
};

// Reads standard input until it ends, on its own thread: the caller's.
static void wait_for_end(void)
{
    char line[256];
    while (fgets(line, sizeof line, stdin))
        ;
}

// Says that the connections stand, and waits for one line: whoever measures looks at the clock.
static void wait_for_start(void)
{
    char line[256];
    printf("connected\n");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        exit(1);
}

static void on_closed(void *ctx)
{
    loop_stop(ctx);
}

static int serve(const char *certs, size_t loops_count, bool guarded)
{
    struct loop_thread threads[16];
    struct loop *loops[16];
    CHECK(loops_count <= COUNT_OF(threads));
    for (size_t i = 0; i < loops_count; i++) {
        loop_thread_start(&threads[i], "serving");
        loops[i] = &threads[i].loop;
    }
    struct rpc_service service = {.methods = methods, .methods_count = COUNT_OF(methods)};
    struct admission_limits admission = admission_limits_default();
    admission.per_address = admission.total = 100000;
    admission.handshakes_burst = admission.handshakes_per_s = 1000000;
    struct rpc_server_config config = {
        .loops = loops,
        .loops_count = loops_count,
        .services = &service,
        .services_count = 1,
        .tls = make_tls(certs, true, true, guarded ? TLS_VERIFY_IF_GIVEN : TLS_VERIFY_REQUIRED),
        .admission = guarded ? NULL : &admission,
        .first_call_ms = guarded ? 0 : 600000, // idle connections are measured too
    };
    struct rpc_server *server = rpc_server_new(&config);
    struct addr addr, bound;
    struct err err = ERR_INIT;
    int result = addr_parse("127.0.0.1:1", 0, &addr, &err);
    CHECK(result == 0);
    addr.port = 0;
    if (rpc_server_listen(server, &addr, -1, &bound, &err) < 0)
        fatal(&err);
    printf("%u\n", bound.port);
    fflush(stdout);
    wait_for_end();
    struct loop loop;
    loop_init(&loop);
    rpc_server_close(server, 500, &loop, on_closed, &loop);
    loop_run(&loop);
    for (size_t i = 0; i < loops_count; i++)
        loop_thread_stop(&threads[i]);
    loop_fini(&loop);
    tls_config_unref(config.tls);
    return 0;
}

// ---- the client that checks ---------------------------------------------------------------------

static struct loop loop;
static int failures;

struct ask {
    struct rpc_request *request;
    bool done;
    unsigned messages;
    unsigned wrong;
    const Skep__Test__Blob *sent; // every message should be like it
    Skep__Test__Blob *last;
    struct rpc_status status;
    struct buf details;
    char answer[64];
    char binary[64];
    size_t binary_size;
    char trailer[64];
};

static void expect(bool ok, const char *what)
{
    if (ok)
        return;
    failures++;
    printf("wrong: %s\n", what);
}

static void expect_ok(const struct ask *ask, const char *what)
{
    expect(ask->status.err.code == ERR_OK, what);
    if (ask->status.err.code != ERR_OK)
        printf("  %d %s\n", ask->status.err.code, ask->status.err.message);
}

static void keep_last(struct ask *ask, const ProtobufCMessage *message)
{
    const Skep__Test__Blob *blob = (const Skep__Test__Blob *)message;
    ask->messages++;
    if (ask->sent &&
        (blob->data.len != ask->sent->data.len ||
         (blob->data.len && memcmp(blob->data.data, ask->sent->data.data, blob->data.len) != 0)))
        ask->wrong++;
    wire_free(ask->last);
    ask->last = wire_copy(blob, NULL);
}

static void on_headers(struct rpc_request *request, void *ctx, const struct metadata *metadata)
{
    (void)request;
    struct ask *ask = ctx;
    str_copy(ask->answer, sizeof ask->answer, str_or(metadata_get(metadata, "x-answer"), ""));
    const struct metadata_entry *binary = metadata_at(metadata, "x-answer-bin", 0);
    if (binary && binary->size < sizeof ask->binary) {
        memcpy(ask->binary, binary->value, binary->size);
        ask->binary_size = binary->size;
    }
}

static void on_message(struct rpc_request *request, void *ctx, const ProtobufCMessage *message)
{
    (void)request;
    keep_last(ctx, message);
}

static void on_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    struct ask *ask = ctx;
    if (rpc_request_message(request))
        keep_last(ask, rpc_request_message(request));
    ask->done = true;
    ask->status = *status;
    if (status->details)
        buf_put(&ask->details, status->details, status->details_size);
    str_copy(ask->trailer, sizeof ask->trailer, str_or(metadata_get(trailers, "x-trailer"), ""));
}

static bool is_done(void *ctx)
{
    return ((struct ask *)ctx)->done;
}

static const char binary_value[6] = {0, 1, 2, (char)0xff, ',', ';'};

static void ask_start(struct ask *ask, struct rpc_client *client, const char *path,
                      enum rpc_kind kind, const Skep__Test__Blob *blob, int64_t timeout_ms)
{
    memset(ask, 0, sizeof *ask);
    buf_init(&ask->details, 4096);
    struct arena arena;
    struct metadata metadata;
    arena_init(&arena, 4096);
    metadata_init(&metadata, &arena);
    metadata_add(&metadata, "x-ask", "why not? 50% ~");
    metadata_add_bytes(&metadata, "x-ask-bin", binary_value, sizeof binary_value);
    struct rpc_request_spec spec = {
        .path = path,
        .kind = kind,
        .response = BLOB,
        .timeout_ms = timeout_ms,
        .metadata = &metadata,
        .on_headers = on_headers,
        .on_message = on_message,
        .on_done = on_done,
        .ctx = ask,
    };
    ask->request = rpc_client_call(client, &spec, blob ? &blob->base : NULL);
    arena_fini(&arena);
}

static void ask_wait(struct ask *ask)
{
    if (!loop_run_until(&loop, is_done, ask, 60000)) {
        printf("wrong: a call does not end\n");
        exit(1);
    }
}

static void ask_fini(struct ask *ask)
{
    wire_free(ask->last);
    buf_fini(&ask->details);
}

static Skep__Test__Blob blob_make(size_t size, char fill, uint32_t count)
{
    Skep__Test__Blob blob = SKEP__TEST__BLOB__INIT;
    blob.data.data = mem_alloc(size);
    memset(blob.data.data, fill, size);
    blob.data.len = size;
    blob.count = count;
    return blob;
}

static void check_unary(struct rpc_client *client)
{
    static const size_t sizes[] = {0, 1, 65536, (4 << 20) - 5};
    struct ask ask;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        Skep__Test__Blob blob = blob_make(sizes[i], 'd', 0);
        ask_start(&ask, client, PATH("Unary"), RPC_UNARY, &blob, 0);
        ask.sent = &blob;
        ask_wait(&ask);
        expect_ok(&ask, "unary");
        expect(ask.messages == 1 && ask.wrong == 0, "unary data");
        expect(strcmp(ask.answer, "why not? 50% ~") == 0, "metadata");
        expect(ask.binary_size == sizeof binary_value &&
                   memcmp(ask.binary, binary_value, sizeof binary_value) == 0,
               "binary metadata");
        ask_fini(&ask);
        free(blob.data.data);
    }
    Skep__Test__Blob blob = blob_make(4 << 20, 'd', 0);
    ask_start(&ask, client, PATH("Unary"), RPC_UNARY, &blob, 0);
    ask_wait(&ask);
    expect(ask.status.err.code == ERR_RESOURCE_EXHAUSTED, "a message past 4 MiB");
    ask_fini(&ask);
    free(blob.data.data);
}

static bool has_message(void *ctx)
{
    struct ask *ask = ctx;
    return ask->messages > 0 || ask->done;
}

static void check_streams(struct rpc_client *client)
{
    struct ask ask;
    struct err err = ERR_INIT;
    Skep__Test__Blob blob = blob_make(10000, 's', 1000);
    ask_start(&ask, client, PATH("Serve"), RPC_SERVER_STREAM, &blob, 0);
    ask.sent = &blob;
    ask_wait(&ask);
    expect_ok(&ask, "serve");
    expect(ask.messages == 1000 && ask.wrong == 0, "serve's messages");
    expect(strcmp(ask.trailer, "served") == 0, "trailers");
    ask_fini(&ask);

    ask_start(&ask, client, PATH("Collect"), RPC_CLIENT_STREAM, NULL, 0);
    for (int i = 0; i < 1000; i++)
        expect(rpc_request_send(ask.request, &blob.base, &err) == 0, "collect's send");
    rpc_request_end(ask.request);
    ask_wait(&ask);
    expect_ok(&ask, "collect");
    expect(ask.last && ask.last->count == 1000 && ask.last->data.len == 10000, "collect's reply");
    ask_fini(&ask);

    ask_start(&ask, client, PATH("Chat"), RPC_BIDI_STREAM, NULL, 0);
    ask.sent = &blob;
    for (int i = 0; i < 100; i++) {
        blob.data.len = (size_t)i * 100;
        expect(rpc_request_send(ask.request, &blob.base, &err) == 0, "chat's send");
        ask.messages = 0;
        expect(loop_run_until(&loop, has_message, &ask, 60000) && ask.messages == 1, "chat");
    }
    rpc_request_end(ask.request);
    ask_wait(&ask);
    expect_ok(&ask, "chat's end");
    expect(ask.wrong == 0, "chat's messages");
    ask_fini(&ask);
    free(blob.data.data);
}

static bool never(void *ctx)
{
    (void)ctx;
    return false;
}

static void check_errors(struct rpc_client *client)
{
    static uint8_t details[] = {8, 5, 18, 3, 'w', 'h', 'y', 0, 0xff};
    struct ask ask;
    Skep__Test__Blob blob = SKEP__TEST__BLOB__INIT;
    blob.data.data = details;
    blob.data.len = sizeof details;
    ask_start(&ask, client, PATH("Fail"), RPC_UNARY, &blob, 0);
    ask_wait(&ask);
    expect(ask.status.err.code == ERR_NOT_FOUND, "the code of an error");
    expect(strcmp(ask.status.err.message, "no such thing: 100% sure") == 0, "an error's message");
    expect(ask.details.len == sizeof details &&
               memcmp(ask.details.data, details, sizeof details) == 0,
           "the details of an error");
    ask_fini(&ask);

    ask_start(&ask, client, PATH("Hang"), RPC_SERVER_STREAM, &blob, 100);
    ask_wait(&ask);
    expect(ask.status.err.code == ERR_DEADLINE_EXCEEDED, "the deadline");
    ask_fini(&ask);

    ask_start(&ask, client, PATH("Hang"), RPC_SERVER_STREAM, &blob, 0);
    loop_run_until(&loop, never, NULL, 50);
    rpc_request_cancel(ask.request);
    ask_wait(&ask);
    expect(ask.status.err.code == ERR_CANCELLED, "the cancelled call");
    ask_fini(&ask);

    unsigned seen = 0;
    for (int i = 0; i < 100 && seen < 2; i++) {
        ask_start(&ask, client, PATH("Cancelled"), RPC_UNARY, &blob, 0);
        ask_wait(&ask);
        expect_ok(&ask, "cancelled");
        seen = ask.last ? ask.last->count : 0;
        ask_fini(&ask);
        loop_run_until(&loop, never, NULL, 20);
    }
    expect(seen >= 2, "the server heard of its cancelled calls");

    ask_start(&ask, client, PATH("Nope"), RPC_UNARY, &blob, 0);
    ask_wait(&ask);
    expect(ask.status.err.code == ERR_UNIMPLEMENTED, "an unknown method");
    ask_fini(&ask);
}

static struct rpc_client *make_client(const char *address, struct tls_config *tls)
{
    struct rpc_client_config config = {
        .loop = &loop,
        .tls = tls,
        .server_name = tls ? "swarm-manager" : NULL,
    };
    struct err err = ERR_INIT;
    if (addr_parse(address, 0, &config.addr, &err) < 0)
        fatal(&err);
    return rpc_client_new(&config);
}

static int check(const char *address, const char *certs)
{
    struct tls_config *tls = make_tls(certs, false, false, TLS_VERIFY_REQUIRED);
    struct rpc_client *client = make_client(address, tls);
    check_unary(client);
    check_streams(client);
    check_errors(client);
    rpc_client_close(client, on_closed, &loop);
    loop_run(&loop);
    tls_config_unref(tls);
    if (!failures)
        printf("all right\n");
    return failures != 0;
}

// ---- load ---------------------------------------------------------------------------------------

static struct mono stop;
static unsigned running;
static uint32_t *micros;
static size_t micros_count;
#define MICROS_MAX 20000000u

struct load_call {
    struct rpc_client *client;
    const Skep__Test__Blob *blob;
    struct mono began;
};

static void load_next(struct load_call *call);

static void load_done(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                      const struct metadata *trailers)
{
    (void)request;
    (void)trailers;
    struct load_call *call = ctx;
    struct mono now = mono_now();
    if (status->err.code != ERR_OK)
        fatal(&status->err);
    CHECK(micros_count < MICROS_MAX);
    micros[micros_count++] = (uint32_t)(mono_since(now, call->began) / NS_PER_US);
    if (mono_before(now, stop))
        load_next(call);
    else if (--running == 0)
        loop_stop(&loop);
}

static void load_next(struct load_call *call)
{
    struct rpc_request_spec spec = {
        .path = PATH("Unary"),
        .kind = RPC_UNARY,
        .response = BLOB,
        .on_done = load_done,
        .ctx = call,
    };
    call->began = mono_now();
    rpc_client_call(call->client, &spec, &call->blob->base);
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

#define CONNECTING_MAX 16

struct all_connected {
    struct rpc_client **clients;
    int count;
};

static bool connected(void *ctx)
{
    struct all_connected *all = ctx;
    for (int i = 0; i < all->count; i++)
        if (!rpc_client_connected(all->clients[i]))
            return false;
    return true;
}

static struct rpc_client **connect_all(const char *address, const char *certs, int count)
{
    struct tls_config *tls = make_tls(certs, false, false, TLS_VERIFY_REQUIRED);
    struct rpc_client **clients = mem_alloc_array((size_t)count, sizeof *clients);
    // A few handshakes at a time: all at once, the last would wait longer than servers do.
    for (int done = 0; done < count; done += CONNECTING_MAX) {
        int batch = count - done < CONNECTING_MAX ? count - done : CONNECTING_MAX;
        for (int i = done; i < done + batch; i++) {
            clients[i] = make_client(address, tls);
            rpc_client_connect(clients[i]);
        }
        struct all_connected all = {clients + done, batch};
        if (!loop_run_until(&loop, connected, &all, 60000))
            exit(1);
    }
    return clients;
}

static int load(const char *address, const char *certs, int connections, int at_once,
                double seconds)
{
    struct rpc_client **clients = connect_all(address, certs, connections);
    Skep__Test__Blob blob = blob_make(100, 'x', 0);
    struct load_call *calls = mem_alloc_array((size_t)at_once, sizeof *calls);
    micros = mem_alloc_array(MICROS_MAX, sizeof *micros);
    wait_for_start();
    struct mono start = mono_now();
    double cpu = cpu_seconds();
    stop = mono_add(start, (int64_t)(seconds * 1e9));
    running = (unsigned)at_once;
    for (int i = 0; i < at_once; i++) {
        calls[i] = (struct load_call){.client = clients[i % connections], .blob = &blob};
        load_next(&calls[i]);
    }
    loop_run(&loop);
    double took = (double)mono_since(mono_now(), start) / 1e9;
    cpu = cpu_seconds() - cpu;
    qsort(micros, micros_count, sizeof *micros, compare);
    printf("calls %zu seconds %.3f cpu %.3f p50_us %u p99_us %u\n", micros_count, took, cpu,
           micros[micros_count / 2], micros[micros_count * 99 / 100]);
    return 0;
}

// ---- handshakes ---------------------------------------------------------------------------------

struct handshaking {
    struct addr addr;
    struct conn_options options;
    unsigned done;
};

static void handshake_next(struct handshaking *all);

static void shaken(struct conn *conn, void *owner)
{
    struct handshaking *all = owner;
    all->done++;
    conn_shutdown(conn);
}

static void shaken_data(struct conn *conn, void *owner, const uint8_t *bytes, size_t size)
{
    (void)conn;
    (void)owner;
    (void)bytes;
    (void)size;
}

static void shaken_close(struct conn *conn, void *owner, const struct err *why)
{
    (void)conn;
    (void)why;
    if (mono_before(mono_now(), stop))
        handshake_next(owner);
    else if (--running == 0)
        loop_stop(&loop);
}

static void handshake_next(struct handshaking *all)
{
    static const struct conn_handler handler = {
        .on_open = shaken, .on_data = shaken_data, .on_close = shaken_close};
    conn_connect(&loop, &all->addr, &all->options, &handler, all);
}

static int handshakes(const char *address, const char *certs, int at_once, double seconds,
                      bool resumed)
{
    struct handshaking all = {
        .options = {.tls = make_tls(certs, false, resumed, TLS_VERIFY_REQUIRED),
                    .server_name = "swarm-manager"}};
    struct err err = ERR_INIT;
    if (addr_parse(address, 0, &all.addr, &err) < 0)
        fatal(&err);
    struct mono start = mono_now();
    double cpu = cpu_seconds();
    stop = mono_add(start, (int64_t)(seconds * 1e9));
    running = (unsigned)at_once;
    for (int i = 0; i < at_once; i++)
        handshake_next(&all);
    loop_run(&loop);
    printf("handshakes %u seconds %.3f cpu %.3f\n", all.done,
           (double)mono_since(mono_now(), start) / 1e9, cpu_seconds() - cpu);
    return 0;
}

static int idle(const char *address, const char *certs, int connections)
{
    struct rpc_client **clients = connect_all(address, certs, connections);
    printf("connected\n");
    fflush(stdout);
    wait_for_end();
    free(clients);
    return 0;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    loop_init(&loop);
    if (strcmp(mode, "serve") == 0 && (argc == 3 || argc == 4))
        return serve(argv[2], argc == 4 ? (size_t)atoi(argv[3]) : 1, false);
    if (strcmp(mode, "guarded") == 0 && argc == 3)
        return serve(argv[2], 1, true);
    if (strcmp(mode, "check") == 0 && argc == 4)
        return check(argv[2], argv[3]);
    if (strcmp(mode, "load") == 0 && argc == 7)
        return load(argv[2], argv[3], atoi(argv[4]), atoi(argv[5]), atof(argv[6]));
    if (strcmp(mode, "handshakes") == 0 && argc == 7)
        return handshakes(argv[2], argv[3], atoi(argv[4]), atof(argv[5]),
                          strcmp(argv[6], "resumed") == 0);
    if (strcmp(mode, "idle") == 0 && argc == 5)
        return idle(argv[2], argv[3], atoi(argv[4]));
    fprintf(stderr, "see the top of %s\n", __FILE__);
    return 2;
}
