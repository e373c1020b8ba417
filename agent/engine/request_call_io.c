#include "agent/engine/request_priv_io.h"

#include "agent/engine/engine.h"
#include "agent/engine/fields.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/methods.h"
#include "proto/wire/raw.h"
#include "proto/wire/wire.h"

// ---- the manager -------------------------------------------------------------------------------

static const char *why_no_manager(const struct backend_swarm *swarm)
{
    switch (swarm->standing) {
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
    case STANDING_INACTIVE:
    case STANDING_PENDING:
    case STANDING_ERROR:
        break;
    }
    if (swarm->manages)
        return "This node is not a swarm manager. Manager is being prepared or has trouble "
               "connecting to the cluster.";
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
    request_fail(request, 503, "%s", why_no_manager(&swarm));
    return false;
}

bool request_read(struct request *request, const struct fields *fields, void *message,
                  const char *what, uint64_t *index)
{
    struct err err = ERR_INIT;
    const json_t *json = request_brief_json(request);
    if (!json)
        return false;
    int rc = fields_read(fields, json, message, request_arena(request), &err);
    if (!rc || !fields_is_decoding(&err)) {
        if ((index && !request_index(request, what, index)) || !request_needs_manager(request))
            return false;
    }
    if (rc)
        request_fail_err(request, &err);
    return rc == 0;
}

bool request_has_manager(const struct request *request)
{
    return request->engine->manager != NULL;
}

bool request_pools_empty(const struct request *request)
{
    return request->engine->pools_empty;
}

void request_set_pools_empty(struct request *request, bool empty)
{
    request->engine->pools_empty = empty;
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

// In all answers to a Create the object is the first field, and the id is the object's.
static void take_id(struct request *request, const void *bytes, size_t size)
{
    struct cursor object = raw_inside(bytes, size, 1);
    struct raw id = {0};
    const char *text = NULL;
    if (raw_find(object.at, cursor_left(&object), 1, &id) && id.kind == 2)
        text = arena_strndup(request_arena(request), id.bytes, id.size);
    if (str_empty(text))
        request_fail(request, 500, "the manager does not say what it made");
    else
        request->id_then(request, text);
}

// A call whose answer stays bytes.
static struct rpc_request_spec bytes_spec(struct request *request, const char *path,
                                          request_bytes_then *then)
{
    request->bytes_then = then;
    return (struct rpc_request_spec){
        .path = path,
        .kind = RPC_UNARY,
        .timeout_ms = ENGINE_CALL_MS,
        .on_done = on_bytes_done,
        .ctx = request,
    };
}

// Who is to be asked; NULL when the node was demoted between two steps, and the request is refused.
static struct rpc_client *manager_of(struct request *request)
{
    CHECK(!request->call);
    if (!request->engine->manager)
        request_needs_manager(request);
    return request->engine->manager;
}

static void begin_turn(struct request *request, void (*then)(struct request *request))
{
    request->in_turn = true;
    request->engine->turns++;
    then(request);
}

void request_take_turn(struct request *request, void (*then)(struct request *request))
{
    struct engine *engine = request->engine;
    CHECK(!request->in_turn);
    if (engine->turns < ENGINE_TURNS && list_empty(&engine->queue)) {
        begin_turn(request, then);
        return;
    }
    request->turn = then;
    list_push_back(&engine->queue, &request->parked);
}

void request_end_turn(struct request *request)
{
    if (!request->in_turn)
        return;
    request->in_turn = false;
    request->engine->turns--;
    if (!list_empty(&request->engine->queue))
        loop_later_ask(&request->engine->next_turn);
}

void engine_next_turn(struct loop_later *later)
{
    struct engine *engine = CONTAINER_OF(later, struct engine, next_turn);
    while (engine->turns < ENGINE_TURNS && !list_empty(&engine->queue)) {
        struct list *first = list_pop_front(&engine->queue);
        struct request *request = LIST_ENTRY(first, struct request, parked);
        begin_turn(request, request->turn);
    }
}

void request_call_create(struct request *request, const char *path, const void *message,
                         request_id_then *then)
{
    struct rpc_client *manager = manager_of(request);
    if (!manager)
        return;
    request->id_then = then;
    struct rpc_request_spec spec = bytes_spec(request, path, take_id);
    request->call = rpc_client_call(manager, &spec, message);
}

void request_call_bytes(struct request *request, const char *path, const void *bytes, size_t size,
                        request_bytes_then *then)
{
    struct rpc_client *manager = manager_of(request);
    if (!manager)
        return;
    struct rpc_request_spec spec = bytes_spec(request, path, then);
    request->call = rpc_client_call_bytes(manager, &spec, bytes, size);
}

void request_call(struct request *request, const char *path, const void *message,
                  request_then *then, request_else *otherwise)
{
    struct rpc_client *manager = manager_of(request);
    if (!manager)
        return;
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
    request->call = rpc_client_call(manager, &spec, message);
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
