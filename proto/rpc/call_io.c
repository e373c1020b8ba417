// Calls on the server's side. A call whose service has a home loop crosses threads, by its mailbox
// (call_mail_io.c).
#include <stdarg.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/rpc/call_impl_io.h"

size_t call_bytes(void)
{
    return sizeof(struct rpc_call);
}

static struct rpc_call *call_of(struct stream *stream)
{
    struct rpc_call *call = CONTAINER_OF(stream, struct rpc_call, stream);
    MAGIC_CHECK(call, CALL_MAGIC);
    return call;
}

static bool takes_one(enum rpc_kind kind)
{
    return kind == RPC_UNARY || kind == RPC_SERVER_STREAM;
}

static bool gives_one(enum rpc_kind kind)
{
    return kind == RPC_UNARY || kind == RPC_CLIENT_STREAM;
}

// ---- the connection's side: the end -------------------------------------------------------------

static void call_release(struct rpc_call *call)
{
    struct server_loop *on = call->on;
    incoming_free(call->request);
    incoming_free(call->current);
    arena_fini(&call->arena);
    free(call->unreadable);
    shared_peer_unref(call->peer);
    if (call->mail)
        call_mail_free(call->mail);
    MAGIC_CLEAR(call);
    stream_release(&call->stream);
    server_call_ended(on);
}

void call_touch(struct rpc_call *call)
{
    if (call->stream.channel)
        server_conn_touch(call->conn);
}

// The service's metadata goes out with the first frame, or with the status.
void call_copy_headers(struct rpc_call *call)
{
    if (call->stream.headers_out || call->stream.headers.count > 0)
        return;
    bool copied = metadata_copy(&call->stream.headers, &call->headers);
    CHECK(copied); // same limits on both sides
}

void call_finish_here(struct rpc_call *call, const struct rpc_status *status)
{
    call_touch(call);
    if (status->err.code == ERR_OK)
        call_copy_headers(call);
    bool copied = metadata_copy(&call->stream.farewells, &call->trailers);
    CHECK(copied);
    struct server_conn *conn = call->stream.channel ? call->conn : NULL;
    stream_finish(&call->stream, status);
    call_release(call);
    if (conn)
        server_conn_answered(conn);
}

// ---- what the service is told -------------------------------------------------------------------

void call_deliver_start(struct rpc_call *call)
{
    call->method->handle(call);
}

// A raw row may have handed the call to one that is not.
static bool decode_late(struct rpc_call *call, struct incoming *incoming, struct err *err)
{
    return incoming->message || !call->method->request ||
           incoming_decode(incoming, call->method->request, &WIRE_LIMITS_RPC, err) == 0;
}

// The service has begun with the call and must hear of its end before the client does.
static void end_unreadable(struct rpc_call *call, const struct err *err)
{
    if (!call->method->on_cancel) {
        rpc_call_fail(call, err);
        return;
    }
    call->unreadable = mem_dup(err, sizeof *err);
    call_deliver_cancel(call);
}

void call_deliver_message(struct rpc_call *call, struct incoming *incoming)
{
    struct err err = ERR_INIT;
    if (call->cancelled || call->finished) {
        incoming_free(incoming);
        return;
    }
    if (!decode_late(call, incoming, &err)) {
        incoming_free(incoming);
        end_unreadable(call, &err);
        return;
    }
    call->current = incoming;
    call->method->on_message(call);
    if (call->finished)
        return; // the call's release frees it
    incoming_free(call->current);
    call->current = NULL;
}

void call_deliver_end(struct rpc_call *call)
{
    if (!call->cancelled && !call->finished)
        call->method->on_end(call);
}

void call_deliver_writable(struct rpc_call *call)
{
    if (!call->cancelled && !call->finished && call->method->on_writable)
        call->method->on_writable(call);
}

void call_deliver_cancel(struct rpc_call *call)
{
    if (call->cancelled || call->finished)
        return;
    call->cancelled = true;
    if (call->method->on_cancel)
        call->method->on_cancel(call);
}

// ---- the connection's side: events --------------------------------------------------------------

// The call fails before its service did anything about it; or while: the service hears of it.
static void reject(struct rpc_call *call, const struct err *err)
{
    struct rpc_status status = rpc_status_of_err(err);
    if (!call->begun) {
        call_finish_here(call, &status);
        return;
    }
    stream_finish(&call->stream, &status);
    if (call->mail)
        call_mail_cancel(call->mail);
    else
        call_deliver_cancel(call);
}

static void begin(struct rpc_call *call)
{
    call->begun = true;
    call->current = call->request;
    call->request = NULL;
    if (call->mail)
        call_mail_start(call->mail);
    else
        call_deliver_start(call);
}

static int authorize(struct rpc_call *call, unsigned roles, struct err *err)
{
    static const struct authority nobody = {.cluster_id = ""};
    const struct authority *authority = call->on->server->config.authority;
    return caller_resolve(&call->peer->peer, &call->stream.in, authority ? roles : ROLE_ANYONE,
                          authority ? authority : &nobody, &call->caller, err);
}

static void on_call(void *ctx, struct stream *stream)
{
    struct server_conn *conn = ctx;
    struct rpc_call *call = CONTAINER_OF(stream, struct rpc_call, stream);
    MAGIC_SET(call, CALL_MAGIC);
    call->conn = conn;
    call->on = conn->on;
    call->peer = conn->peer;
    atomic_fetch_add(&call->peer->refs, 1);
    arena_init_small(&call->arena, SIZE_MAX / 2);
    metadata_init(&call->headers, &call->arena);
    metadata_init(&call->trailers, &call->arena);
    server_call_began(conn);
    struct rpc_status status = RPC_STATUS_OK;
    call->route = routes_find(&conn->on->server->routes, stream->head.path, &status);
    if (!call->route) {
        call_finish_here(call, &status);
        return;
    }
    call->method = &call->route->method;
    call->ctx = call->route->service->ctx;
    struct err err = ERR_INIT;
    if (authorize(call, call->method->roles, &err) < 0) {
        reject(call, &err);
        return;
    }
    if (call->route->service->home && call->route->service->home != conn->on->loop)
        call->mail = call_mail_new(call);
    stream->one_message = takes_one(call->method->kind);
    if (!stream->one_message)
        begin(call);
}

static void on_message(void *ctx, struct stream *stream, uint8_t *bytes, size_t size)
{
    (void)ctx;
    struct rpc_call *call = call_of(stream);
    const struct rpc_method *method = &call->route->method;
    struct incoming *incoming = incoming_new(bytes, size);
    struct err err = ERR_INIT;
    int result = 0;
    if (stream->one_message && call->request)
        result = err_set(&err, ERR_INTERNAL, "grpc: more than one message in a unary request");
    else if (method->request)
        result = incoming_decode(incoming, method->request, &WIRE_LIMITS_RPC, &err);
    if (result < 0) {
        incoming_free(incoming);
        reject(call, &err);
    } else if (stream->one_message) {
        call->request = incoming;
    } else if (!call->mail) {
        call_deliver_message(call, incoming);
    } else if (!call_mail_message(call->mail, incoming)) {
        stream_pause(stream);
    }
}

static void on_end(void *ctx, struct stream *stream)
{
    (void)ctx;
    struct rpc_call *call = call_of(stream);
    if (stream->one_message) {
        struct err err = ERR_INIT;
        if (call->request) {
            begin(call);
        } else {
            err_set(&err, ERR_INTERNAL, "grpc: a unary request without a message");
            reject(call, &err);
        }
    } else if (!call->mail) {
        call_deliver_end(call);
    } else {
        call_mail_end(call->mail);
    }
}

static void on_writable(void *ctx, struct stream *stream)
{
    (void)ctx;
    struct rpc_call *call = call_of(stream);
    if (call->mail)
        call_mail_writable(call->mail, stream_queued(stream));
    else
        call_deliver_writable(call);
}

static void on_over(void *ctx, struct stream *stream, const struct rpc_status *status)
{
    (void)ctx;
    (void)status;
    struct rpc_call *call = call_of(stream);
    if (!call->begun) {
        call_release(call);
    } else if (!call->mail) {
        call_deliver_cancel(call);
    } else {
        call_mail_cancel(call->mail);
    }
}

const struct grpc_conn_events call_events = {
    .on_call = on_call,
    .on_message = on_message,
    .on_end = on_end,
    .on_writable = on_writable,
    .on_over = on_over,
};

// ---- the service's side -------------------------------------------------------------------------

void *rpc_call_ctx(const struct rpc_call *call)
{
    return call->ctx;
}

const struct rpc_method *rpc_call_method(const struct rpc_call *call)
{
    return call->method;
}

const ProtobufCMessage *rpc_call_message(const struct rpc_call *call)
{
    return call->current ? call->current->message : NULL;
}

void rpc_call_drop_request(struct rpc_call *call)
{
    incoming_free(call->current);
    call->current = NULL;
    if (call->mail)
        call_mail_drop_request(call->mail);
    else
        stream_forget_request(&call->stream);
}

const uint8_t *rpc_call_bytes(const struct rpc_call *call, size_t *size)
{
    *size = call->current ? call->current->size : 0;
    return call->current ? call->current->bytes : NULL;
}

struct arena *rpc_call_arena(struct rpc_call *call)
{
    return &call->arena;
}

void rpc_call_set_user(struct rpc_call *call, void *user)
{
    call->user = user;
}

void *rpc_call_user(const struct rpc_call *call)
{
    return call->user;
}

const struct peer *rpc_call_peer(const struct rpc_call *call)
{
    return &call->peer->peer;
}

const struct caller *rpc_call_caller(const struct rpc_call *call)
{
    return &call->caller;
}

const struct metadata *rpc_call_metadata(const struct rpc_call *call)
{
    return &call->stream.in;
}

struct mono rpc_call_deadline(const struct rpc_call *call)
{
    return call->stream.deadline;
}

bool rpc_call_cancelled(const struct rpc_call *call)
{
    return call->cancelled;
}

bool rpc_call_add_header(struct rpc_call *call, const char *key, const char *value)
{
    CHECK(!call->sent);
    return metadata_add(&call->headers, key, value);
}

bool rpc_call_add_header_bytes(struct rpc_call *call, const char *key, const void *value,
                               size_t size)
{
    CHECK(!call->sent);
    return metadata_add_bytes(&call->headers, key, value, size);
}

bool rpc_call_add_trailer(struct rpc_call *call, const char *key, const char *value)
{
    return metadata_add(&call->trailers, key, value);
}

// Takes the frame.
static int send_frame(struct rpc_call *call, uint8_t *bytes, size_t size, struct err *err)
{
    CHECK(!call->finished);
    CHECK(!call->sent || !gives_one(call->method->kind));
    call->sent = true;
    if (!call->mail) {
        call_touch(call);
        call_copy_headers(call);
        return stream_send(&call->stream, bytes, size, err);
    }
    if (call_mail_frame(call->mail, bytes, size))
        return 0;
    free(bytes);
    return err_set(err, ERR_RESOURCE_EXHAUSTED, "the peer does not read this call's messages");
}

int rpc_call_send(struct rpc_call *call, const ProtobufCMessage *message, struct err *err)
{
    uint8_t *bytes;
    size_t size;
    if (call->cancelled)
        return 0;
    int result = message_frame(message, &bytes, &size, err);
    return result < 0 ? result : send_frame(call, bytes, size, err);
}

int rpc_call_send_bytes(struct rpc_call *call, const void *message, size_t message_size,
                        struct err *err)
{
    uint8_t *bytes;
    size_t size;
    if (call->cancelled)
        return 0;
    int result = message_frame_raw(message, message_size, &bytes, &size, err);
    return result < 0 ? result : send_frame(call, bytes, size, err);
}

bool rpc_call_writable(const struct rpc_call *call)
{
    return call->mail ? call_mail_has_room(call->mail) : stream_writable(&call->stream);
}

static void set_paused(struct rpc_call *call, bool paused)
{
    if (call->mail) {
        call_mail_pause(call->mail, paused);
        return;
    }
    call_touch(call);
    if (paused)
        stream_pause(&call->stream);
    else
        stream_resume(&call->stream);
}

void rpc_call_pause(struct rpc_call *call)
{
    set_paused(call, true);
}

void rpc_call_resume(struct rpc_call *call)
{
    set_paused(call, false);
}

void rpc_call_finish(struct rpc_call *call, const struct rpc_status *status)
{
    static const struct rpc_status ok; // ERR_OK is 0
    MAGIC_CHECK(call, CALL_MAGIC);
    CHECK(!call->finished);
    call->finished = true;
    struct rpc_status missing, unreadable;
    if (!status)
        status = &ok;
    if (call->unreadable) {
        unreadable = rpc_status_of_err(call->unreadable);
        status = &unreadable;
    }
    if (status->err.code == ERR_OK && !call->sent && !call->cancelled &&
        gives_one(call->method->kind)) {
        missing = rpc_status_make(ERR_INTERNAL, "the service gave no answer");
        status = &missing;
    }
    if (call->mail)
        call_mail_finish(call->mail, status);
    else
        call_finish_here(call, status);
}

void rpc_call_reply(struct rpc_call *call, const ProtobufCMessage *message)
{
    struct err err = ERR_INIT;
    if (rpc_call_send(call, message, &err) < 0)
        rpc_call_fail(call, &err);
    else
        rpc_call_finish(call, NULL);
}

void rpc_call_fail(struct rpc_call *call, const struct err *err)
{
    CHECK(err->code != ERR_OK);
    struct rpc_status status = rpc_status_of_err(err);
    rpc_call_finish(call, &status);
}

void rpc_call_failf(struct rpc_call *call, enum err_code code, const char *format, ...)
{
    struct err err = ERR_INIT;
    va_list args;
    va_start(args, format);
    err_setv(&err, code, format, args);
    va_end(args);
    rpc_call_fail(call, &err);
}

void rpc_call_dispatch(struct rpc_call *call, const struct rpc_method *method, void *ctx)
{
    CHECK(!call->sent);
    CHECK(!call->finished);
    CHECK(method->raw || method->request);
    CHECK(method->kind == call->method->kind);
    CHECK(call->method->raw);
    call->method = method;
    call->ctx = ctx;
    struct err err = ERR_INIT;
    if (authorize(call, method->roles, &err) < 0)
        rpc_call_fail(call, &err);
    else if (call->current && !decode_late(call, call->current, &err))
        rpc_call_fail(call, &err);
    else
        method->handle(call);
}
