// Calls on the server's side. A call whose service has a home loop crosses threads: the
// connection's loop and the home each own their part of it, and pass things to one another through
// a mailbox under a lock, each side with one post that is either out or not.
#include <stdarg.h>
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/rpc/server_impl_io.h"

// Messages waiting at a home, by bytes; above it the client is slowed down.
#define MAIL_BYTES (256u * 1024)

// What is on its way between the loops. Guarded by `lock`.
struct mail {
    uv_mutex_t lock;
    struct rpc_call *call;
    struct loop_post to_home;
    struct loop_post to_conn;
    bool home_busy; // to_home is posted or running
    bool conn_posted;

    // To the home.
    bool start;
    bool end;
    bool writable;
    bool cancel;
    struct list messages; // incoming.link
    size_t messages_bytes;
    bool throttled; // the stream is paused because of messages_bytes

    // To the connection.
    struct list frames; // frame.link
    size_t frames_bytes;
    size_t queued; // in the stream, as of its loop's last word
    bool waits_room;
    bool paused;
    bool finished;
    struct rpc_status status; // with details of its own
};

struct frame {
    struct list link;
    uint8_t *bytes;
    size_t size;
};

struct rpc_call {
    struct stream stream; // the connection's loop's, but for what on_call found in it
    unsigned magic;
    struct server_loop *on;
    struct server_conn *conn; // while stream.channel is there
    const struct route *route;
    struct shared_peer *peer;
    struct incoming *request; // unary and server streaming, until handle
    struct mail *mail;        // NULL: the service runs on the connection's loop
    bool begun;               // the service knows of it

    // The service's.
    struct rpc_method method;
    void *ctx;
    struct caller caller;
    struct arena arena;
    struct metadata headers;
    struct metadata trailers;
    struct incoming *current; // what rpc_call_message gives
    void *user;
    bool sent;
    bool cancelled;
    bool finished;
};

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

static void mail_free(struct mail *mail)
{
    for (struct list *link; (link = list_pop_front(&mail->messages));)
        incoming_free(LIST_ENTRY(link, struct incoming, link));
    CHECK(list_empty(&mail->frames));
    free((void *)mail->status.details);
    uv_mutex_destroy(&mail->lock);
    free(mail);
}

static void call_release(struct rpc_call *call)
{
    struct server_loop *on = call->on;
    incoming_free(call->request);
    incoming_free(call->current);
    arena_fini(&call->arena);
    shared_peer_unref(call->peer);
    if (call->mail)
        mail_free(call->mail);
    MAGIC_CLEAR(call);
    stream_release(&call->stream);
    server_call_ended(on);
}

static void touch(struct rpc_call *call)
{
    if (call->stream.channel)
        server_conn_touch(call->conn);
}

// The service's metadata goes out with the first frame, or with the status.
static void copy_headers(struct rpc_call *call)
{
    if (call->stream.headers_out || call->stream.headers.count > 0)
        return;
    bool copied = metadata_copy(&call->stream.headers, &call->headers);
    CHECK(copied); // same limits on both sides
}

static void finish_here(struct rpc_call *call, const struct rpc_status *status)
{
    touch(call);
    if (status->err.code == ERR_OK)
        copy_headers(call);
    bool copied = metadata_copy(&call->stream.farewells, &call->trailers);
    CHECK(copied);
    stream_finish(&call->stream, status);
    call_release(call);
}

// ---- the mailbox: to the connection -------------------------------------------------------------

static void at_home(struct loop_post *post);
static void at_conn(struct loop_post *post);

// With the lock held, as post_conn.
static void post_home(struct mail *mail)
{
    if (mail->home_busy)
        return;
    mail->home_busy = true;
    loop_post(mail->call->route->service->home, &mail->to_home, at_home);
}

static void post_conn(struct mail *mail)
{
    if (mail->conn_posted)
        return;
    mail->conn_posted = true;
    loop_post(mail->call->on->loop, &mail->to_conn, at_conn);
}

static struct mail *mail_new(struct rpc_call *call)
{
    struct mail *mail = MEM_NEW(struct mail);
    int result = uv_mutex_init(&mail->lock);
    CHECK(result == 0);
    mail->call = call;
    list_init(&mail->messages);
    list_init(&mail->frames);
    return mail;
}

static void send_frames(struct rpc_call *call, struct list *frames)
{
    for (struct list *link; (link = list_pop_front(frames));) {
        struct frame *frame = LIST_ENTRY(link, struct frame, link);
        copy_headers(call);
        struct err err = ERR_INIT;
        if (stream_send(&call->stream, frame->bytes, frame->size, &err) < 0) {
            // The connection as a whole is full: what was sent before this is all there will be.
            struct rpc_status status = rpc_status_of_err(&err);
            stream_finish(&call->stream, &status);
            uv_mutex_lock(&call->mail->lock);
            call->mail->cancel = true;
            post_home(call->mail);
            uv_mutex_unlock(&call->mail->lock);
        }
        free(frame);
    }
}

static void at_conn(struct loop_post *post)
{
    struct mail *mail = CONTAINER_OF(post, struct mail, to_conn);
    struct rpc_call *call = mail->call;
    MAGIC_CHECK(call, CALL_MAGIC);
    struct list frames;
    list_init(&frames);
    touch(call);
    uv_mutex_lock(&mail->lock);
    mail->conn_posted = false;
    while (!list_empty(&mail->frames))
        list_push_back(&frames, list_pop_front(&mail->frames));
    mail->frames_bytes = 0;
    bool finished = mail->finished;
    bool paused = mail->paused || mail->throttled;
    uv_mutex_unlock(&mail->lock);
    send_frames(call, &frames);
    if (paused)
        stream_pause(&call->stream);
    else
        stream_resume(&call->stream);
    uv_mutex_lock(&mail->lock);
    mail->queued = stream_queued(&call->stream);
    if (mail->waits_room && stream_writable(&call->stream)) {
        mail->waits_room = false;
        mail->writable = true;
        post_home(mail);
    }
    // A home that is busy with the call posts once more when it is not, or has posted just now.
    bool over = finished && !mail->home_busy && !mail->conn_posted;
    uv_mutex_unlock(&mail->lock);
    if (over) {
        struct rpc_status status = mail->status;
        finish_here(call, &status);
    }
}

// ---- the mailbox: to the home -------------------------------------------------------------------

static void deliver_start(struct rpc_call *call)
{
    call->method.handle(call);
}

// A raw row may have handed the call to one that is not.
static bool decode_late(struct rpc_call *call, struct incoming *incoming)
{
    if (incoming->message || !call->method.request)
        return true;
    struct err err = ERR_INIT;
    if (incoming_decode(incoming, call->method.request, &WIRE_LIMITS_RPC, &err) == 0)
        return true;
    rpc_call_fail(call, &err);
    return false;
}

static void deliver_message(struct rpc_call *call, struct incoming *incoming)
{
    if (call->cancelled || call->finished || !decode_late(call, incoming)) {
        incoming_free(incoming);
        return;
    }
    call->current = incoming;
    call->method.on_message(call);
    if (call->finished)
        return; // the call's release frees it
    incoming_free(call->current);
    call->current = NULL;
}

static void deliver_end(struct rpc_call *call)
{
    if (!call->cancelled && !call->finished)
        call->method.on_end(call);
}

static void deliver_writable(struct rpc_call *call)
{
    if (!call->cancelled && !call->finished && call->method.on_writable)
        call->method.on_writable(call);
}

static void deliver_cancel(struct rpc_call *call)
{
    if (call->cancelled || call->finished)
        return;
    call->cancelled = true;
    if (call->method.on_cancel)
        call->method.on_cancel(call);
}

// The next message for a home that wants one, or NULL.
static struct incoming *next_message(struct mail *mail)
{
    struct incoming *incoming = NULL;
    uv_mutex_lock(&mail->lock);
    if (!mail->paused && !list_empty(&mail->messages)) {
        incoming = LIST_ENTRY(list_pop_front(&mail->messages), struct incoming, link);
        mail->messages_bytes -= incoming->size;
        if (mail->throttled && mail->messages_bytes <= MAIL_BYTES / 2) {
            mail->throttled = false;
            post_conn(mail);
        }
    }
    uv_mutex_unlock(&mail->lock);
    return incoming;
}

static void at_home(struct loop_post *post)
{
    struct mail *mail = CONTAINER_OF(post, struct mail, to_home);
    struct rpc_call *call = mail->call;
    MAGIC_CHECK(call, CALL_MAGIC);
    uv_mutex_lock(&mail->lock);
    bool start = mail->start;
    bool writable = mail->writable;
    mail->start = false;
    mail->writable = false;
    uv_mutex_unlock(&mail->lock);
    if (start)
        deliver_start(call);
    for (struct incoming *incoming; (incoming = next_message(mail));)
        deliver_message(call, incoming);
    if (writable)
        deliver_writable(call);
    uv_mutex_lock(&mail->lock);
    bool end = mail->end && list_empty(&mail->messages) && !mail->paused;
    bool cancel = mail->cancel;
    if (end)
        mail->end = false;
    mail->cancel = false;
    uv_mutex_unlock(&mail->lock);
    if (end)
        deliver_end(call);
    if (cancel)
        deliver_cancel(call);
    uv_mutex_lock(&mail->lock);
    mail->home_busy = false;
    if (mail->finished)
        post_conn(mail);
    else if (mail->writable || mail->cancel ||
             (!mail->paused && (mail->end || !list_empty(&mail->messages))))
        post_home(mail);
    uv_mutex_unlock(&mail->lock);
}

// ---- the connection's side: events --------------------------------------------------------------

// The call fails before its service did anything about it; or while: the service hears of it.
static void reject(struct rpc_call *call, const struct err *err)
{
    struct rpc_status status = rpc_status_of_err(err);
    if (!call->begun) {
        finish_here(call, &status);
        return;
    }
    stream_finish(&call->stream, &status);
    if (!call->mail) {
        deliver_cancel(call);
        return;
    }
    uv_mutex_lock(&call->mail->lock);
    call->mail->cancel = true;
    post_home(call->mail);
    uv_mutex_unlock(&call->mail->lock);
}

static void begin(struct rpc_call *call)
{
    call->begun = true;
    call->current = call->request;
    call->request = NULL;
    if (!call->mail) {
        deliver_start(call);
        return;
    }
    uv_mutex_lock(&call->mail->lock);
    call->mail->start = true;
    post_home(call->mail);
    uv_mutex_unlock(&call->mail->lock);
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
    arena_init(&call->arena, SIZE_MAX / 2);
    metadata_init(&call->headers, &call->arena);
    metadata_init(&call->trailers, &call->arena);
    server_call_began(conn);
    struct rpc_status status = RPC_STATUS_OK;
    call->route = server_route(conn->on->server, stream->head.path, &status);
    if (!call->route) {
        finish_here(call, &status);
        return;
    }
    call->method = call->route->method;
    call->ctx = call->route->service->ctx;
    struct err err = ERR_INIT;
    if (authorize(call, call->method.roles, &err) < 0) {
        reject(call, &err);
        return;
    }
    if (call->route->service->home && call->route->service->home != conn->on->loop)
        call->mail = mail_new(call);
    stream->one_message = takes_one(call->method.kind);
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
        deliver_message(call, incoming);
    } else {
        struct mail *mail = call->mail;
        uv_mutex_lock(&mail->lock);
        list_push_back(&mail->messages, &incoming->link);
        mail->messages_bytes += size;
        mail->throttled = mail->throttled || mail->messages_bytes > MAIL_BYTES;
        bool throttled = mail->throttled;
        post_home(mail);
        uv_mutex_unlock(&mail->lock);
        if (throttled)
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
        deliver_end(call);
    } else {
        uv_mutex_lock(&call->mail->lock);
        call->mail->end = true;
        post_home(call->mail);
        uv_mutex_unlock(&call->mail->lock);
    }
}

static void on_writable(void *ctx, struct stream *stream)
{
    (void)ctx;
    struct rpc_call *call = call_of(stream);
    if (!call->mail) {
        deliver_writable(call);
        return;
    }
    uv_mutex_lock(&call->mail->lock);
    call->mail->queued = stream_queued(stream);
    call->mail->waits_room = false;
    call->mail->writable = true;
    post_home(call->mail);
    uv_mutex_unlock(&call->mail->lock);
}

static void on_over(void *ctx, struct stream *stream, const struct rpc_status *status)
{
    (void)ctx;
    (void)status;
    struct rpc_call *call = call_of(stream);
    if (!call->begun) {
        call_release(call);
    } else if (!call->mail) {
        deliver_cancel(call);
    } else {
        uv_mutex_lock(&call->mail->lock);
        call->mail->cancel = true;
        post_home(call->mail);
        uv_mutex_unlock(&call->mail->lock);
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
    return &call->method;
}

const ProtobufCMessage *rpc_call_message(const struct rpc_call *call)
{
    return call->current ? call->current->message : NULL;
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
    CHECK(!call->sent || !gives_one(call->method.kind));
    call->sent = true;
    if (!call->mail) {
        touch(call);
        copy_headers(call);
        return stream_send(&call->stream, bytes, size, err);
    }
    struct mail *mail = call->mail;
    uv_mutex_lock(&mail->lock);
    bool full = mail->frames_bytes > 0 && mail->frames_bytes + size > RPC_CALL_QUEUE_BYTES_MAX;
    if (!full) {
        struct frame *frame = MEM_NEW(struct frame);
        frame->bytes = bytes;
        frame->size = size;
        list_push_back(&mail->frames, &frame->link);
        mail->frames_bytes += size;
        post_conn(mail);
    }
    uv_mutex_unlock(&mail->lock);
    if (!full)
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
    struct mail *mail = call->mail;
    if (!mail)
        return stream_writable(&call->stream);
    uv_mutex_lock(&mail->lock);
    bool writable = mail->frames_bytes + mail->queued < STREAM_QUEUE_BYTES;
    if (!writable)
        mail->waits_room = true;
    uv_mutex_unlock(&mail->lock);
    return writable;
}

static void set_paused(struct rpc_call *call, bool paused)
{
    struct mail *mail = call->mail;
    if (!mail) {
        touch(call);
        if (paused)
            stream_pause(&call->stream);
        else
            stream_resume(&call->stream);
        return;
    }
    uv_mutex_lock(&mail->lock);
    mail->paused = paused;
    post_conn(mail);
    if (!paused)
        post_home(mail);
    uv_mutex_unlock(&mail->lock);
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
    struct rpc_status missing;
    if (!status)
        status = &ok;
    if (status->err.code == ERR_OK && !call->sent && !call->cancelled &&
        gives_one(call->method.kind)) {
        missing = rpc_status_make(ERR_INTERNAL, "the service gave no answer");
        status = &missing;
    }
    struct mail *mail = call->mail;
    if (!mail) {
        finish_here(call, status);
        return;
    }
    uv_mutex_lock(&mail->lock);
    mail->status = *status;
    if (status->details)
        mail->status.details = mem_dup(status->details, status->details_size);
    mail->finished = true;
    post_conn(mail);
    uv_mutex_unlock(&mail->lock);
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

void rpc_call_dispatch(struct rpc_call *call, const struct rpc_method *row, void *ctx)
{
    CHECK(!call->sent);
    CHECK(!call->finished);
    struct rpc_method method = method_resolve(row);
    CHECK(method.kind == call->method.kind);
    CHECK(call->method.raw);
    call->method = method;
    call->ctx = ctx;
    struct err err = ERR_INIT;
    if (authorize(call, method.roles, &err) < 0)
        rpc_call_fail(call, &err);
    else if (!call->current || decode_late(call, call->current))
        method.handle(call);
}
