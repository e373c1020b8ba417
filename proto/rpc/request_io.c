// Calls on the client's side.
#include <stdlib.h>

#include "proto/base/str.h"
#include "proto/rpc/client_impl_io.h"

struct frame {
    struct list link;
    uint8_t *bytes;
    size_t size;
};

// ---- requests: life -----------------------------------------------------------------------------

static bool gives_one(enum rpc_kind kind)
{
    return kind == RPC_UNARY || kind == RPC_CLIENT_STREAM;
}

static bool takes_one(enum rpc_kind kind)
{
    return kind == RPC_UNARY || kind == RPC_SERVER_STREAM;
}

static struct rpc_request *request_of(struct stream *stream)
{
    struct rpc_request *request = CONTAINER_OF(stream, struct client_stream, stream)->request;
    if (request)
        MAGIC_CHECK(request, REQUEST_MAGIC);
    return request;
}

static void frames_free(struct list *frames)
{
    for (struct list *link; (link = list_pop_front(frames));) {
        struct frame *frame = LIST_ENTRY(link, struct frame, link);
        free(frame->bytes);
        free(frame);
    }
}

static void request_free(struct rpc_request *request)
{
    list_remove(&request->link);
    loop_timer_stop(&request->expiry);
    frames_free(&request->frames);
    incoming_free(request->incoming);
    arena_fini(&request->arena);
    free(request->doom);
    MAGIC_CLEAR(request);
    free(request);
}

static void pin(struct rpc_request *request)
{
    request->pins++;
}

static void unpin(struct rpc_request *request)
{
    CHECK(request->pins > 0);
    if (--request->pins == 0 && request->dropped)
        request_free(request);
}

static void request_leave_waiting(struct rpc_request *request)
{
    if (!request->stream && !request->doom)
        request->client->waiting_count--;
    list_remove(&request->link);
    loop_timer_stop(&request->expiry);
}

// The call failed without a stream: its owner hears of it at the end of this turn.
void request_doom(struct rpc_request *request, const struct rpc_status *status)
{
    if (request->doom || request->done)
        return;
    CHECK(!request->stream);
    request_leave_waiting(request);
    request->doom = MEM_NEW(struct rpc_status);
    *request->doom = *status;
    list_push_back(&request->client->doomed, &request->link);
    client_ask(request->client);
}

void request_finish(struct rpc_request *request, const struct rpc_status *status,
                    const struct metadata *trailers)
{
    CHECK(!request->done);
    request->done = true;
    list_remove(&request->link);
    pin(request);
    request->spec.on_done(request, request->spec.ctx, status, trailers);
    request->dropped = true;
    unpin(request);
}

// ---- events of streams --------------------------------------------------------------------------

void request_on_headers(void *ctx, struct stream *stream)
{
    (void)ctx;
    struct rpc_request *request = request_of(stream);
    if (!request || !request->spec.on_headers)
        return;
    pin(request);
    request->spec.on_headers(request, request->spec.ctx, &stream->in);
    unpin(request);
}

void request_on_message(void *ctx, struct stream *stream, uint8_t *bytes, size_t size)
{
    (void)ctx;
    struct rpc_request *request = request_of(stream);
    struct incoming *incoming = incoming_new(bytes, size);
    struct err err = ERR_INIT;
    int result = 0;
    if (!request) {
        incoming_free(incoming);
        return;
    }
    if (request->incoming)
        result = err_set(&err, ERR_INTERNAL, "grpc: more than one message in a unary response");
    else if (request->spec.response)
        result = incoming_decode(incoming, request->spec.response, &WIRE_LIMITS_PEER, &err);
    if (result < 0) {
        incoming_free(incoming);
        struct rpc_status status = rpc_status_of_err(&err);
        stream_cancel(stream, &status);
        return;
    }
    request->incoming = incoming;
    if (gives_one(request->spec.kind))
        return;
    pin(request);
    if (request->spec.on_message)
        request->spec.on_message(request, request->spec.ctx, incoming->message);
    incoming_free(request->incoming);
    request->incoming = NULL;
    unpin(request);
}

void request_on_writable(void *ctx, struct stream *stream)
{
    (void)ctx;
    struct rpc_request *request = request_of(stream);
    if (!request || !request->spec.on_writable)
        return;
    pin(request);
    request->spec.on_writable(request, request->spec.ctx);
    unpin(request);
}

void request_on_over(void *ctx, struct stream *stream, const struct rpc_status *status)
{
    struct client_conn *conn = ctx;
    struct rpc_request *request = request_of(stream);
    struct rpc_status missing;
    if (conn->client->closing)
        client_ask(conn->client);
    if (!request)
        return; // dropped, and released then
    if (status->err.code == ERR_OK && gives_one(request->spec.kind) && !request->incoming) {
        missing = rpc_status_make(ERR_INTERNAL, "grpc: the server sent no reply");
        status = &missing;
    }
    request->stream->request = NULL;
    request->stream = NULL;
    // An answer that is only a status has its metadata there.
    request_finish(request, status,
                   stream->head.has_status && stream->trailers.count == 0 ? &stream->in
                                                                          : &stream->trailers);
    stream_release(stream);
}

static int64_t left_ns(const struct rpc_request *request)
{
    if (request->deadline.ns == MONO_NEVER.ns)
        return -1;
    int64_t left = mono_since(request->deadline, loop_now(request->client->config.loop));
    return left > 0 ? left : 0;
}

// Puts a waiting call on a stream.
void request_open(struct rpc_request *request)
{
    struct client_conn *conn = request->client->current;
    client_conn_touch(conn);
    struct stream *stream =
        grpc_conn_open(conn->channel, request->spec.path, &request->metadata, left_ns(request));
    if (!stream)
        return; // stays where it is
    request_leave_waiting(request);
    request->stream = CONTAINER_OF(stream, struct client_stream, stream);
    request->stream->request = request;
    request->stream->conn = conn;
    list_push_back(&request->client->active, &request->link);
    for (struct list *link; (link = list_pop_front(&request->frames));) {
        struct frame *frame = LIST_ENTRY(link, struct frame, link);
        struct err err = ERR_INIT;
        if (stream_send(stream, frame->bytes, frame->size, &err) < 0) {
            struct rpc_status status = rpc_status_of_err(&err);
            stream_cancel(stream, &status);
        }
        free(frame);
    }
    if (request->ended)
        stream_end(stream);
    if (request->paused)
        stream_pause(stream);
}

// ---- calls --------------------------------------------------------------------------------------

static void on_expiry(struct loop_timer *timer)
{
    struct rpc_request *request = CONTAINER_OF(timer, struct rpc_request, expiry);
    struct rpc_status status = rpc_status_make(
        ERR_DEADLINE_EXCEEDED, "context deadline exceeded%s%s",
        request->client->last.code != ERR_OK ? " while waiting for a connection: " : "",
        request->client->last.message);
    request_doom(request, &status);
}

static struct rpc_request *request_new(struct rpc_client *client,
                                       const struct rpc_request_spec *spec)
{
    MAGIC_CHECK(client, CLIENT_MAGIC);
    CHECK(spec->path);
    CHECK(spec->on_done);
    struct rpc_request *request = MEM_NEW(struct rpc_request);
    MAGIC_SET(request, REQUEST_MAGIC);
    request->client = client;
    request->spec = *spec;
    list_init(&request->link);
    list_init(&request->frames);
    arena_init(&request->arena, STREAM_ARENA_BYTES_MAX);
    metadata_init(&request->metadata, &request->arena);
    loop_timer_init(&request->expiry, client->config.loop, on_expiry);
    request->deadline = MONO_NEVER;
    list_push_back(&client->waiting, &request->link);
    client->waiting_count++;
    if (spec->metadata && !metadata_copy(&request->metadata, spec->metadata)) {
        struct rpc_status status =
            rpc_status_make(ERR_RESOURCE_EXHAUSTED, "too much metadata for a call");
        request_doom(request, &status);
    }
    return request;
}

// The request is complete but for its messages: where does it go?
static void begin(struct rpc_request *request)
{
    struct rpc_client *client = request->client;
    if (request->doom)
        return;
    if (request->spec.timeout_ms > 0) {
        request->deadline =
            mono_add(loop_now(client->config.loop), request->spec.timeout_ms * NS_PER_MS);
    }
    // Not past those who wait already.
    if (client->waiting.next == &request->link && client_can_open(client))
        request_open(request);
    if (request->stream)
        return;
    if (client->waiting_count > RPC_CLIENT_WAITING_MAX) {
        struct rpc_status status =
            rpc_status_make(ERR_RESOURCE_EXHAUSTED, "too many calls wait for a connection");
        request_doom(request, &status);
        return;
    }
    if (request->spec.timeout_ms > 0)
        loop_timer_start_at(&request->expiry, request->deadline);
    client_ask(client);
}

static void touch(struct rpc_request *request)
{
    if (request->stream && request->stream->stream.channel)
        client_conn_touch(request->stream->conn);
}

// Takes the frame.
static int send_frame(struct rpc_request *request, uint8_t *bytes, size_t size, struct err *err)
{
    CHECK(!request->ended);
    if (request->done || request->doom) {
        free(bytes);
        return 0;
    }
    if (request->stream) {
        touch(request);
        return stream_send(&request->stream->stream, bytes, size, err);
    }
    if (request->frames_bytes > 0 && request->frames_bytes + size > RPC_CALL_QUEUE_BYTES_MAX) {
        free(bytes);
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "too much waits for a connection");
    }
    struct frame *frame = MEM_NEW(struct frame);
    frame->bytes = bytes;
    frame->size = size;
    request->frames_bytes += size;
    list_push_back(&request->frames, &frame->link);
    return 0;
}

static struct rpc_request *call_with(struct rpc_client *client, const struct rpc_request_spec *spec,
                                     int framed, uint8_t *bytes, size_t size, const struct err *err)
{
    struct rpc_request *request = request_new(client, spec);
    if (framed < 0) {
        struct rpc_status status = rpc_status_of_err(err);
        request_doom(request, &status);
        return request;
    }
    begin(request);
    struct err unsent = ERR_INIT;
    if (bytes && send_frame(request, bytes, size, &unsent) < 0) {
        struct rpc_status status = rpc_status_of_err(&unsent);
        stream_cancel(&request->stream->stream, &status);
    }
    if (takes_one(spec->kind))
        rpc_request_end(request);
    if (request->ended && request->stream && request->stream->stream.channel)
        client_conn_called(request->stream->conn);
    return request;
}

struct rpc_request *rpc_client_call(struct rpc_client *client, const struct rpc_request_spec *spec,
                                    const ProtobufCMessage *message)
{
    CHECK(message || !takes_one(spec->kind));
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct err err = ERR_INIT;
    int framed = message ? message_frame(message, &bytes, &size, &err) : 0;
    return call_with(client, spec, framed, bytes, size, &err);
}

struct rpc_request *rpc_client_call_bytes(struct rpc_client *client,
                                          const struct rpc_request_spec *spec, const void *bytes,
                                          size_t size)
{
    uint8_t *frame = NULL;
    size_t frame_size = 0;
    struct err err = ERR_INIT;
    bool has_message = bytes || takes_one(spec->kind);
    int framed = has_message ? message_frame_raw(bytes, size, &frame, &frame_size, &err) : 0;
    return call_with(client, spec, framed, frame, frame_size, &err);
}

int rpc_request_send(struct rpc_request *request, const ProtobufCMessage *message, struct err *err)
{
    MAGIC_CHECK(request, REQUEST_MAGIC);
    uint8_t *bytes;
    size_t size;
    int result = message_frame(message, &bytes, &size, err);
    return result < 0 ? result : send_frame(request, bytes, size, err);
}

int rpc_request_send_bytes(struct rpc_request *request, const void *message, size_t message_size,
                           struct err *err)
{
    MAGIC_CHECK(request, REQUEST_MAGIC);
    uint8_t *bytes;
    size_t size;
    int result = message_frame_raw(message, message_size, &bytes, &size, err);
    return result < 0 ? result : send_frame(request, bytes, size, err);
}

bool rpc_request_writable(const struct rpc_request *request)
{
    if (request->stream)
        return stream_writable(&request->stream->stream);
    return request->frames_bytes < STREAM_QUEUE_BYTES;
}

void rpc_request_end(struct rpc_request *request)
{
    MAGIC_CHECK(request, REQUEST_MAGIC);
    request->ended = true;
    if (!request->stream)
        return;
    touch(request);
    stream_end(&request->stream->stream);
}

void rpc_request_pause(struct rpc_request *request)
{
    MAGIC_CHECK(request, REQUEST_MAGIC);
    request->paused = true;
    if (request->stream)
        stream_pause(&request->stream->stream);
}

void rpc_request_resume(struct rpc_request *request)
{
    MAGIC_CHECK(request, REQUEST_MAGIC);
    request->paused = false;
    touch(request);
    if (request->stream)
        stream_resume(&request->stream->stream);
}

void rpc_request_cancel(struct rpc_request *request)
{
    MAGIC_CHECK(request, REQUEST_MAGIC);
    struct rpc_status status = rpc_status_make(ERR_CANCELLED, "context canceled");
    if (!request->stream) {
        request_doom(request, &status);
        return;
    }
    touch(request);
    stream_cancel(&request->stream->stream, &status);
}

void rpc_request_drop(struct rpc_request *request)
{
    MAGIC_CHECK(request, REQUEST_MAGIC);
    CHECK(!request->done);
    struct rpc_client *client = request->client;
    if (request->stream) {
        touch(request);
        request->stream->request = NULL;
        stream_release(&request->stream->stream);
        request->stream = NULL;
    } else {
        request_leave_waiting(request);
    }
    list_remove(&request->link);
    request->done = true;
    request->dropped = true;
    pin(request);
    unpin(request);
    client_ask(client);
}

const ProtobufCMessage *rpc_request_message(const struct rpc_request *request)
{
    return request->incoming ? request->incoming->message : NULL;
}

const uint8_t *rpc_request_bytes(const struct rpc_request *request, size_t *size)
{
    *size = request->incoming ? request->incoming->size : 0;
    return request->incoming ? request->incoming->bytes : NULL;
}

struct rpc_client *rpc_request_client(const struct rpc_request *request)
{
    return request->client;
}
