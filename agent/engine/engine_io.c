#include "agent/engine/engine_io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/engine/bus.h"
#include "agent/engine/engine.h"
#include "agent/engine/feed_io.h"
#include "agent/engine/shelves.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/rpc/status.h"
#include "proto/wire/methods.h"
#include "proto/wire/wire.h"

#define ROUTES_MAX 256

// Answers up to this size are sent at once, longer ones as the client takes them.
#define PIECE_BYTES (128 * 1024)

struct engine {
    struct loop *loop;
    struct http_server *server;
    struct engine_options options;
    struct rpc_client *manager;
    struct bus *bus;
    struct feed *feed;
    struct shelves *shelves;
    struct loop_timer shelves_timer; // runs while something is held
    struct http_handler handlers[ROUTES_MAX];
    struct route routes[ROUTES_MAX];
    size_t routes_count;
    char server_header[64];
    struct http_header headers[4];
    void (*stopped)(void *owner);
    void *stopped_owner;
};

struct request {
    struct http_exchange *x;
    struct engine *engine;
    json_t *json;
    void *kept;
    struct rpc_request *call;
    request_then *then;
    request_else *otherwise;
    request_over *over; // of a call with many messages
    request_bytes_then *bytes_then;
    request_text_then *text_then;
    bool waiting;                        // for the backend
    const struct request_events *events; // of who answers in pieces; NULL: nobody
    void *events_owner;
    struct buf answer;
    struct json_out out;
    size_t sent;
};

// One a line: several hands add to it.
// clang-format off
const struct endpoints *const engine_endpoints[] = {
    &system_endpoints,
    &swarm_endpoints,
    &node_endpoints,
    &service_endpoints,
    &task_endpoints,
    &network_endpoints,
    &network_create_endpoints,
    &secret_endpoints,
    &event_endpoints,
    &log_endpoints,
    &absent_endpoints,
    &container_endpoints,
    &container_stream_endpoints,
    &image_endpoints,
    &image_upload_endpoints,
    &image_transfer_endpoints,
    &volume_endpoints,
    &container_look_endpoints,
    &commit_endpoints,
    &container_upload_endpoints,
    &disk_usage_endpoints,
    &checkup_endpoints,
};
// clang-format on
const size_t engine_endpoints_count = COUNT_OF(engine_endpoints);

// ---- life of a request -------------------------------------------------------------------------

static void send_more(struct http_exchange *x, void *owner)
{
    struct request *request = owner;
    while (request->sent < request->answer.len && http_reply_room(x) > 0) {
        size_t left = request->answer.len - request->sent;
        size_t size = left < PIECE_BYTES ? left : PIECE_BYTES;
        http_reply_write(x, request->answer.data + request->sent, size);
        request->sent += size;
    }
    if (request->sent == request->answer.len && request->answer.len > 0)
        http_reply_end(x);
}

static void on_drain(struct http_exchange *x, void *owner)
{
    struct request *request = owner;
    if (http_reply_started(x) && request->answer.len > 0)
        send_more(x, owner);
    else if (request->events && request->events->drain)
        request->events->drain(request, request->events_owner);
}

static void on_body(struct http_exchange *x, void *owner, const uint8_t *bytes, size_t size)
{
    (void)x;
    struct request *request = owner;
    if (request->events && request->events->body)
        request->events->body(request, request->events_owner, bytes, size);
}

static void on_body_end(struct http_exchange *x, void *owner)
{
    (void)x;
    struct request *request = owner;
    if (request->events && request->events->body_end)
        request->events->body_end(request, request->events_owner);
}

static void on_done(struct http_exchange *x, void *owner, bool gone)
{
    (void)x;
    struct request *request = owner;
    const struct engine_options *options = &request->engine->options;
    if (request->events && request->events->over)
        request->events->over(request, request->events_owner, gone);
    if (request->call)
        rpc_request_drop(request->call);
    if (request->waiting)
        options->backend->forget(options->backend_ctx, request);
    buf_fini(&request->answer);
    json_decref(request->json);
    free(request);
}

static const struct http_events events = {
    .on_body = on_body, .on_body_end = on_body_end, .on_drain = on_drain, .on_done = on_done};

static void handle(struct http_exchange *x, void *context)
{
    struct engine *engine = context;
    const struct route *route = http_route(x);
    size_t index = (size_t)(route - engine->routes);
    CHECK(index < engine->routes_count);
    struct request *request = MEM_NEW(struct request);
    request->x = x;
    request->engine = engine;
    buf_init(&request->answer, ENGINE_ANSWER_BYTES_MAX);
    http_exchange_follow(x, &events, request);
    for (size_t i = 0, at = 0; i < COUNT_OF(engine_endpoints);
         at += engine_endpoints[i]->count, i++) {
        if (index < at + engine_endpoints[i]->count) {
            engine_endpoints[i]->rows[index - at].handle(request);
            return;
        }
    }
}

// ---- the request -------------------------------------------------------------------------------

const char *request_param(const struct request *request, const char *name)
{
    return http_param(request->x, name);
}

const char *request_query(const struct request *request, const char *name)
{
    return http_query(request->x, name);
}

const char *request_query_at(const struct request *request, const char *name, size_t index)
{
    const struct url *url = http_url(request->x);
    for (size_t i = 0; i < url->pairs_count; i++)
        if (strcmp(url->pairs[i].name, name) == 0 && index-- == 0)
            return url->pairs[i].value;
    return NULL;
}

bool request_flag(const struct request *request, const char *name)
{
    return url_get_bool(http_url(request->x), name);
}

const char *request_header(const struct request *request, const char *name)
{
    return http_head_get(http_request(request->x), name);
}

unsigned request_minor(const struct request *request)
{
    const char *version = http_version(request->x);
    return version ? (unsigned)atoi(version + 2) : ENGINE_MINOR_MAX;
}

struct arena *request_arena(struct request *request)
{
    return http_arena(request->x);
}

const struct backend *request_backend(const struct request *request, void **ctx)
{
    *ctx = request->engine->options.backend_ctx;
    return request->engine->options.backend;
}

// The type without its parameters.
static bool is_json(const char *type)
{
    size_t length = strcspn(str_or(type, ""), "; ");
    return length == strlen("application/json") &&
           strncasecmp(type, "application/json", length) == 0;
}

const json_t *request_json(struct request *request)
{
    size_t size;
    const uint8_t *body = http_body(request->x, &size);
    const char *type = request_header(request, "Content-Type");
    if (size > 0 && !is_json(type)) {
        request_fail(request, 400, "Content-Type specified (%.100s) must be 'application/json'",
                     str_or(type, ""));
        return NULL;
    }
    if (size == 0) {
        request_fail(request, 400, "got EOF while reading request body");
        return NULL;
    }
    struct err err = ERR_INIT;
    request->json = json_parse(body, size, &err);
    if (request->json)
        return request->json;
    bool cut = strstr(err.message, "premature") || strstr(err.message, "end of file") ||
               strstr(err.message, "unexpected end");
    request_fail(request, 400, "%s", cut ? "unexpected EOF" : err.message);
    return NULL;
}

size_t request_body_bytes(const struct request *request)
{
    size_t size;
    http_body(request->x, &size);
    return size;
}

bool request_strict_flag(struct request *request, const char *name, bool *out)
{
    static const char *const trues[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const falses[] = {"0", "f", "F", "FALSE", "false", "False"};
    const char *text = request_query(request, name);
    *out = false;
    if (str_empty(text))
        return true;
    for (size_t i = 0; i < COUNT_OF(trues); i++) {
        if (strcmp(text, trues[i]) == 0)
            *out = true;
        if (strcmp(text, trues[i]) == 0 || strcmp(text, falses[i]) == 0)
            return true;
    }
    request_fail(request, 400,
                 "invalid value for %s: %.100s: strconv.ParseBool: parsing \"%.100s\": invalid "
                 "syntax",
                 name, text, text);
    return false;
}

bool request_index(struct request *request, const char *what, uint64_t *out)
{
    const char *text = str_or(request_query(request, "version"), "");
    if (str_to_u64(text, UINT64_MAX, out))
        return true;
    request_fail(request, 400,
                 "invalid %s version '%.100s': strconv.ParseUint: parsing \"%.100s\": invalid "
                 "syntax",
                 what, text, text);
    return false;
}

void request_keep(struct request *request, void *state)
{
    request->kept = state;
}

void *request_kept(const struct request *request)
{
    return request->kept;
}

// ---- the manager -------------------------------------------------------------------------------

static const char *why_no_manager(enum swarm_standing standing)
{
    switch (standing) {
    case STANDING_WORKER:
        return "This node is not a swarm manager. Worker nodes can't be used to view or modify "
               "cluster state. Please run this command on a manager node or promote the current "
               "node to a manager.";
    case STANDING_LOCKED:
        return "Swarm is encrypted and needs to be unlocked before it can be used. Please use "
               "\"docker swarm unlock\" to unlock it.";
    case STANDING_EXPIRED:
        return "Swarm certificates have expired. To replace them, leave the swarm and join again.";
    case STANDING_MANAGER:
        return "The manager of this node is starting. Please try again.";
    case STANDING_INACTIVE:
    case STANDING_PENDING:
    case STANDING_ERROR:
        break;
    }
    return "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" "
           "to connect this node to swarm and try again.";
}

bool request_needs_manager(struct request *request)
{
    struct backend_swarm swarm = {0};
    const struct engine_options *options = &request->engine->options;
    options->backend->swarm(options->backend_ctx, &swarm);
    if (swarm.standing == STANDING_MANAGER && request->engine->manager)
        return true;
    request_fail(request, 503, "%s", why_no_manager(swarm.standing));
    return false;
}

bool request_has_manager(const struct request *request)
{
    return request->engine->manager != NULL;
}

static void on_call_done(struct rpc_request *call, void *ctx, const struct rpc_status *status,
                         const struct metadata *trailers)
{
    (void)trailers;
    struct request *request = ctx;
    request->call = NULL;
    if (status->err.code == ERR_OK)
        request->then(request, rpc_request_message(call));
    else if (request->otherwise)
        request->otherwise(request, &status->err);
    else
        request_fail_call(request, &status->err);
}

static void on_bytes_done(struct rpc_request *call, void *ctx, const struct rpc_status *status,
                          const struct metadata *trailers)
{
    (void)trailers;
    struct request *request = ctx;
    size_t size = 0;
    request->call = NULL;
    if (status->err.code != ERR_OK) {
        request_fail_call(request, &status->err);
        return;
    }
    const uint8_t *bytes = rpc_request_bytes(call, &size);
    request->bytes_then(request, bytes, size);
}

void request_call_bytes(struct request *request, const char *path, const void *bytes, size_t size,
                        request_bytes_then *then)
{
    CHECK(!request->call);
    if (!request->engine->manager) { // demoted between two steps
        request_needs_manager(request);
        return;
    }
    request->bytes_then = then;
    struct rpc_request_spec spec = {
        .path = path,
        .kind = RPC_UNARY,
        .timeout_ms = ENGINE_CALL_MS,
        .on_done = on_bytes_done,
        .ctx = request,
    };
    request->call = rpc_client_call_bytes(request->engine->manager, &spec, bytes, size);
}

// ---- lists that are held -----------------------------------------------------------------------

struct shelves *request_shelves(const struct request *request)
{
    return request->engine->shelves;
}

static void age_shelves(struct loop_timer *timer)
{
    struct engine *engine = CONTAINER_OF(timer, struct engine, shelves_timer);
    if (shelves_age(engine->shelves, loop_now(engine->loop)))
        loop_timer_start(timer, SHELVES_HELD_MS / 2);
}

void request_shelve(struct request *request, const struct noun *noun, struct shelf *shelf)
{
    struct engine *engine = request->engine;
    shelves_put(engine->shelves, noun, shelf, loop_now(engine->loop));
    if (!loop_timer_running(&engine->shelves_timer))
        loop_timer_start(&engine->shelves_timer, SHELVES_HELD_MS / 2);
}

void request_call(struct request *request, const char *path, const void *message,
                  request_then *then, request_else *otherwise)
{
    CHECK(!request->call);
    if (!request->engine->manager) { // demoted between two steps
        request_needs_manager(request);
        return;
    }
    const struct method *method = method_find(path);
    CHECK(method);
    request->then = then;
    request->otherwise = otherwise;
    struct rpc_request_spec spec = {
        .path = method->path,
        .kind = RPC_UNARY,
        .response = method->response,
        .timeout_ms = ENGINE_CALL_MS,
        .on_done = on_call_done,
        .ctx = request,
    };
    request->call = rpc_client_call(request->engine->manager, &spec, message);
}

static void on_stream_message(struct rpc_request *call, void *ctx, const ProtobufCMessage *message)
{
    (void)call;
    struct request *request = ctx;
    request->then(request, message);
}

static void on_stream_done(struct rpc_request *call, void *ctx, const struct rpc_status *status,
                           const struct metadata *trailers)
{
    (void)call;
    (void)trailers;
    struct request *request = ctx;
    request->call = NULL;
    request->over(request, status->err.code == ERR_OK ? NULL : &status->err);
}

void request_call_stream(struct request *request, const char *path, const void *message,
                         request_then *then, request_over *over)
{
    CHECK(!request->call);
    const struct method *method = method_find(path);
    CHECK(method);
    struct err err = ERR_INIT;
    if (!request->engine->manager) { // demoted between two steps
        err_set(&err, ERR_UNAVAILABLE, "this node is no manager any more");
        over(request, &err);
        return;
    }
    request->then = then;
    request->over = over;
    struct rpc_request_spec spec = {
        .path = method->path,
        .kind = RPC_SERVER_STREAM,
        .response = method->response,
        .on_message = on_stream_message,
        .on_done = on_stream_done,
        .ctx = request,
    };
    request->call = rpc_client_call(request->engine->manager, &spec, message);
}

void request_call_pause(struct request *request)
{
    if (request->call)
        rpc_request_pause(request->call);
}

void request_call_resume(struct request *request)
{
    if (request->call)
        rpc_request_resume(request->call);
}

void *request_message(struct request *request, const char *path)
{
    const struct method *method = method_find(path);
    CHECK(method);
    void *message = wire_new(method->request, request_arena(request));
    CHECK(message); // the arena is far larger than any empty request
    return message;
}

static void on_backend_done(void *owner, const struct err *err, const char *text)
{
    struct request *request = owner;
    request->waiting = false;
    if (err && request->otherwise)
        request->otherwise(request, err);
    else if (err)
        request_fail_err(request, err);
    else
        request->text_then(request, text);
}

backend_done *request_backend_done(struct request *request, request_text_then *then, void **owner)
{
    return request_backend_done_or(request, then, NULL, owner);
}

backend_done *request_backend_done_or(struct request *request, request_text_then *then,
                                      request_else *otherwise, void **owner)
{
    request->waiting = true;
    request->text_then = then;
    request->otherwise = otherwise;
    *owner = request;
    return on_backend_done;
}

// ---- the answer --------------------------------------------------------------------------------

void request_empty(struct request *request, int status)
{
    http_reply(request->x, status, NULL, "", 0);
}

void request_reply(struct request *request, int status, const char *type, const void *body,
                   size_t size)
{
    http_reply(request->x, status, type, body, size);
}

void request_plain(struct request *request, int status, const char *type, const char *text)
{
    http_reply(request->x, status, type, text, strlen(text));
}

// {"message": ...} and a newline, as Go's encoder ends its documents.
static void reply_message(struct http_exchange *x, int status, const char *text)
{
    struct buf body;
    struct json_out out;
    buf_init(&body, ERR_MESSAGE_BYTES * 8);
    json_out_init(&out, &body);
    json_out_object(&out, NULL);
    json_out_str(&out, "message", text);
    json_out_end(&out);
    buf_put_u8(&body, '\n');
    http_reply(x, status, "application/json", body.data, body.len);
    buf_fini(&body);
}

void request_fail(struct request *request, int status, const char *format, ...)
{
    char text[ERR_MESSAGE_BYTES + 128];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    reply_message(request->x, status, text);
}

static int status_of(enum err_code code)
{
    switch (code) {
    case ERR_INVALID_ARGUMENT:
    case ERR_FAILED_PRECONDITION:
    case ERR_OUT_OF_RANGE:
        return 400;
    case ERR_UNAUTHENTICATED:
        return 401;
    case ERR_PERMISSION_DENIED:
        return 403;
    case ERR_NOT_FOUND:
        return 404;
    case ERR_ALREADY_EXISTS:
    case ERR_ABORTED:
        return 409;
    case ERR_UNIMPLEMENTED:
        return 501;
    case ERR_UNAVAILABLE:
        return 503;
    default:
        return 500;
    }
}

void request_fail_call(struct request *request, const struct err *err)
{
    char text[RPC_STATUS_TEXT_BYTES];
    rpc_status_text(err, text, sizeof text);
    request_fail(request, status_of(err->code), "%s", text);
}

int request_bad_status(const struct request *request)
{
    return request_minor(request) < 42 ? 500 : 400;
}

void request_fail_filters(struct request *request, const struct err *err)
{
    static const char words[] = "invalid filter";
    bool readable = str_starts(err->message, words);
    if (readable && request_minor(request) < 42)
        request_fail(request, 400, "Invalid filter%s", err->message + sizeof words - 1);
    else
        request_fail(request, readable ? 400 : request_bad_status(request), "%s", err->message);
}

void request_fail_err(struct request *request, const struct err *err)
{
    request_fail(request, status_of(err->code), "%s", err->message);
}

struct json_out *request_write(struct request *request)
{
    buf_clear(&request->answer);
    json_out_init(&request->out, &request->answer);
    return &request->out;
}

void request_send(struct request *request, int status)
{
    struct buf *answer = &request->answer;
    if (!json_out_done(&request->out)) {
        request_fail(request, 500, "the answer is longer than %d bytes", ENGINE_ANSWER_BYTES_MAX);
        return;
    }
    buf_put_u8(answer, '\n');
    if (answer->len <= PIECE_BYTES) {
        http_reply(request->x, status, "application/json", answer->data, answer->len);
        return;
    }
    http_reply_start(request->x, status, "application/json");
    send_more(request->x, request);
}

void request_reply_header(struct request *request, const char *name, const char *value)
{
    http_reply_header(request->x, name, value);
}

// ---- answers that go on ------------------------------------------------------------------------

void request_follow(struct request *request, const struct request_events *wanted, void *owner)
{
    request->events = wanted;
    request->events_owner = owner;
}

void *request_followed(const struct request *request)
{
    return request->events_owner;
}

void request_stream(struct request *request, int status, const char *type)
{
    http_reply_start(request->x, status, type);
}

void request_stream_write(struct request *request, const void *bytes, size_t size)
{
    http_reply_write(request->x, bytes, size);
}

size_t request_room(const struct request *request)
{
    return http_reply_room(request->x);
}

void request_stream_end(struct request *request)
{
    http_reply_end(request->x);
}

void request_stream_abort(struct request *request)
{
    http_reply_abort(request->x);
}

bool request_answering(const struct request *request)
{
    return http_reply_started(request->x);
}

void request_body_pause(struct request *request)
{
    http_body_pause(request->x);
}

void request_body_resume(struct request *request)
{
    http_body_resume(request->x);
}

struct conn *request_hijack(struct request *request, const char *type,
                            const struct conn_handler *handler, void *owner)
{
    return http_hijack(request->x, type, handler, owner);
}

struct bus *request_bus(const struct request *request)
{
    return request->engine->bus;
}

struct loop *request_loop(const struct request *request)
{
    return request->engine->loop;
}

// ---- the server --------------------------------------------------------------------------------

// dockerd knows no 405.
static void unrouted(struct http_exchange *x, int status, void *context)
{
    (void)status;
    (void)context;
    if (strcmp(http_request(x)->method, "OPTIONS") == 0)
        http_reply(x, 200, NULL, "", 0);
    else
        reply_message(x, 404, "page not found");
}

// False when the version is not served.
static bool admit(struct http_exchange *x, const char *version, void *context)
{
    (void)context;
    char text[200];
    if (!version)
        return true;
    const char *dot = strchr(version, '.');
    uint64_t major = 0, minor = 0;
    char head[16];
    str_format(head, sizeof head, "%.*s", (int)(dot - version), version);
    bool numbers = str_to_u64(head, 1000, &major) && str_to_u64(dot + 1, 1000, &minor);
    bool old = numbers && (major < 1 || (major == 1 && minor < ENGINE_MINOR_MIN));
    if (numbers && major == 1 && minor >= ENGINE_MINOR_MIN && minor <= ENGINE_MINOR_MAX)
        return true;
    if (old)
        str_format(text, sizeof text,
                   "client version %.20s is too old. Minimum supported API version is 1.%d, please "
                   "upgrade your client to a newer version",
                   version, ENGINE_MINOR_MIN);
    else
        str_format(text, sizeof text,
                   "client version %.20s is too new. Maximum supported API version is 1.%d",
                   version, ENGINE_MINOR_MAX);
    reply_message(x, 400, text);
    return false;
}

struct engine *engine_new(struct loop *loop, const struct engine_options *options)
{
    CHECK(options->backend->swarm);
    CHECK(options->backend->version);
    CHECK(options->backend->info);
    struct engine *engine = MEM_NEW(struct engine);
    engine->loop = loop;
    engine->options = *options;
    engine->bus = bus_new();
    engine->feed = feed_new(loop, engine->bus);
    engine->shelves = shelves_new();
    loop_timer_init(&engine->shelves_timer, loop, age_shelves);
    for (size_t i = 0; i < COUNT_OF(engine_endpoints); i++) {
        for (size_t j = 0; j < engine_endpoints[i]->count; j++) {
            CHECK(engine->routes_count < ROUTES_MAX);
            const struct endpoint *endpoint = &engine_endpoints[i]->rows[j];
            struct http_handler *handler = &engine->handlers[engine->routes_count];
            handler->handle = handle;
            handler->streams_body = engine_endpoints[i]->streams_body;
            handler->body_bytes_max =
                handler->streams_body ? ENGINE_UPLOAD_BYTES_MAX : ENGINE_BODY_BYTES_MAX;
            engine->routes[engine->routes_count++] =
                (struct route){endpoint->method, endpoint->pattern, handler};
        }
    }
    struct backend_version version = {0};
    options->backend->version(options->backend_ctx, &version);
    str_format(engine->server_header, sizeof engine->server_header, "Skep/%s (linux)",
               str_or(version.version, "0"));
    engine->headers[0] = (struct http_header){"Api-Version", "1.50"};
    engine->headers[1] = (struct http_header){"Docker-Experimental", "false"};
    engine->headers[2] = (struct http_header){"Ostype", "linux"};
    engine->headers[3] = (struct http_header){"Server", engine->server_header};
    static_assert(ENGINE_MINOR_MAX == 50, "the Api-Version header");
    struct http_server_options server = {
        .routes = engine->routes,
        .routes_count = engine->routes_count,
        .context = engine,
        .headers = engine->headers,
        .headers_count = COUNT_OF(engine->headers),
        .unrouted = unrouted,
        .admit = admit,
    };
    engine->server = http_server_new(loop, &server);
    return engine;
}

void engine_set_manager(struct engine *engine, struct rpc_client *client)
{
    engine->manager = client;
    if (!client)
        shelves_clear(engine->shelves);
    feed_set_manager(engine->feed, client);
}

struct bus *engine_bus(struct engine *engine)
{
    return engine->bus;
}

void engine_take(struct engine *engine, struct conn *conn)
{
    http_server_take(engine->server, conn);
}

static void on_stopped(void *owner)
{
    struct engine *engine = owner;
    void (*stopped)(void *) = engine->stopped;
    void *stopped_owner = engine->stopped_owner;
    feed_free(engine->feed);
    loop_timer_stop(&engine->shelves_timer);
    shelves_free(engine->shelves);
    bus_free(engine->bus);
    free(engine);
    if (stopped)
        stopped(stopped_owner);
}

void engine_stop(struct engine *engine, int64_t grace_ms, void (*stopped)(void *owner), void *owner)
{
    engine->stopped = stopped;
    engine->stopped_owner = owner;
    http_server_stop(engine->server, grace_ms, on_stopped, engine);
}
