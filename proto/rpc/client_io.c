#include "proto/rpc/client_io.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/entropy_io.h"
#include "proto/base/str.h"
#include "proto/net/conn_io.h"
#include "proto/rpc/backoff.h"
#include "proto/rpc/channel.h"
#include "proto/rpc/message.h"

#define CLIENT_MAGIC  0x72706362u
#define REQUEST_MAGIC 0x72707162u

#define OUTPUT_BYTES (64u * 1024)

// Messages for the server that wait on one connection.
#define QUEUE_BYTES_MAX (128u * 1024 * 1024)

// Messages from the server that are incomplete or wait for a paused call.
#define HELD_BYTES_MAX ((size_t)4 * 1024 * 1024 * 1024)

// A connection that broke sooner than this counts as a failed attempt.
#define LIVED_MS_MIN 1000

// One connection; the client has one for new calls, and may have others that only end theirs.
struct client_conn {
    struct list link;
    struct rpc_client *client;
    struct conn *conn;
    struct channel *channel; // from on_open
    struct loop_timer alarm;
    struct loop_later later;
    struct mono ready_since;
    bool ready; // SETTINGS came
    bool ending;
};

struct rpc_client {
    unsigned magic;
    struct rpc_client_config config;
    char *server_name;
    char *authority;
    struct list conns;
    struct client_conn *current; // for new calls; may be connecting
    struct list waiting;         // request.link: for a connection, oldest first
    struct list doomed;          // request.link: to be told that they failed
    struct list active;          // request.link: on a stream
    size_t waiting_count;
    struct loop_later later;
    struct loop_timer retry; // runs: backing off
    struct backoff backoff;
    struct rand rand;
    struct err last; // why the last attempt failed
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

// What the channel allocates for a call.
struct client_stream {
    struct stream stream;
    struct rpc_request *request; // NULL: dropped
    struct client_conn *conn;    // while stream.channel is there
};

struct frame {
    struct list link;
    uint8_t *bytes;
    size_t size;
};

struct rpc_request {
    unsigned magic;
    struct list link;
    struct rpc_client *client;
    struct rpc_request_spec spec;
    struct arena arena;
    struct metadata metadata;
    struct mono deadline;
    struct loop_timer expiry; // while it waits
    struct list frames;       // sent before there was a stream
    size_t frames_bytes;
    struct client_stream *stream;
    struct incoming *incoming; // the reply of unary and client-streaming calls, or the present one
    struct rpc_status *doom;
    bool ended;
    bool paused;
    bool done;
    bool dropped;
    unsigned pins;
};

static void ask(struct rpc_client *client)
{
    loop_later_ask(&client->later);
}

// ---- requests: life ------------------------------------------------------------------------------

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

static void leave_waiting(struct rpc_request *request)
{
    if (!request->stream && !request->doom)
        request->client->waiting_count--;
    list_remove(&request->link);
    loop_timer_stop(&request->expiry);
}

// The call failed without a stream: its owner hears of it at the end of this turn.
static void doom(struct rpc_request *request, const struct rpc_status *status)
{
    if (request->doom || request->done)
        return;
    CHECK(!request->stream);
    leave_waiting(request);
    request->doom = MEM_NEW(struct rpc_status);
    *request->doom = *status;
    list_push_back(&request->client->doomed, &request->link);
    ask(request->client);
}

static void finish(struct rpc_request *request, const struct rpc_status *status,
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

// ---- events of streams ---------------------------------------------------------------------------

static void on_headers(void *ctx, struct stream *stream)
{
    (void)ctx;
    struct rpc_request *request = request_of(stream);
    if (!request || !request->spec.on_headers)
        return;
    pin(request);
    request->spec.on_headers(request, request->spec.ctx, &stream->in);
    unpin(request);
}

static void on_message(void *ctx, struct stream *stream, uint8_t *bytes, size_t size)
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

static void on_writable(void *ctx, struct stream *stream)
{
    (void)ctx;
    struct rpc_request *request = request_of(stream);
    if (!request || !request->spec.on_writable)
        return;
    pin(request);
    request->spec.on_writable(request, request->spec.ctx);
    unpin(request);
}

static void on_over(void *ctx, struct stream *stream, const struct rpc_status *status)
{
    struct client_conn *conn = ctx;
    struct rpc_request *request = request_of(stream);
    struct rpc_status missing;
    if (conn->client->closing)
        ask(conn->client);
    if (!request)
        return; // dropped, and released then
    if (status->err.code == ERR_OK && gives_one(request->spec.kind) && !request->incoming) {
        missing = rpc_status_make(ERR_INTERNAL, "grpc: the server sent no reply");
        status = &missing;
    }
    request->stream->request = NULL;
    request->stream = NULL;
    // An answer that is only a status has its metadata there.
    finish(request, status,
           stream->head.has_status && stream->trailers.count == 0 ? &stream->in
                                                                  : &stream->trailers);
    stream_release(stream);
}

// ---- the connection ------------------------------------------------------------------------------

static void conn_touch(struct client_conn *conn)
{
    if (!conn->channel)
        return;
    channel_set_now(conn->channel, loop_now(conn->client->config.loop));
    loop_later_ask(&conn->later);
}

// Takes no new calls; ends after those it has.
static void retire(struct client_conn *conn)
{
    if (conn->client->current == conn)
        conn->client->current = NULL;
    conn->ending = true;
    if (!conn->channel)
        conn_close(conn->conn, NULL);
    else
        conn_touch(conn);
}

static void on_ready(void *ctx)
{
    struct client_conn *conn = ctx;
    struct rpc_client *client = conn->client;
    conn->ready = true;
    conn->ready_since = loop_now(client->config.loop);
    conn_set_deadline(conn->conn, 0, NULL);
    if (client->config.on_state && !client->closing)
        client->config.on_state(client, client->config.ctx, NULL);
    ask(client);
}

static void on_room(void *ctx)
{
    struct client_conn *conn = ctx;
    if (channel_draining(conn->channel))
        retire(conn);
    if (!list_empty(&conn->client->waiting))
        ask(conn->client);
}

static const struct channel_events stream_events = {
    .on_headers = on_headers,
    .on_message = on_message,
    .on_writable = on_writable,
    .on_over = on_over,
    .on_ready = on_ready,
    .on_room = on_room,
};

static void set_alarm(struct client_conn *conn)
{
    struct mono due = channel_due(conn->channel);
    if (due.ns == MONO_NEVER.ns)
        loop_timer_stop(&conn->alarm);
    else if (!loop_timer_running(&conn->alarm) || conn->alarm.timer.due.ns != due.ns)
        loop_timer_start_at(&conn->alarm, due);
}

static void on_conn_later(struct loop_later *later)
{
    struct client_conn *conn = CONTAINER_OF(later, struct client_conn, later);
    channel_run(conn->channel);
    struct buf out;
    buf_init(&out, 4 * OUTPUT_BYTES);
    for (size_t room; (room = conn_room(conn->conn)) > 0;) {
        buf_clear(&out);
        bool more = channel_output(conn->channel, &out, room < OUTPUT_BYTES ? room : OUTPUT_BYTES);
        if (out.len > 0)
            conn_write(conn->conn, out.data, out.len);
        if (!more)
            break;
    }
    buf_fini(&out);
    conn_flush(conn->conn);
    set_alarm(conn);
    if (conn->ending && channel_streams(conn->channel) == 0)
        conn_shutdown(conn->conn);
    else if (channel_finished(conn->channel))
        conn_shutdown(conn->conn);
}

static void on_conn_alarm(struct loop_timer *timer)
{
    struct client_conn *conn = CONTAINER_OF(timer, struct client_conn, alarm);
    struct err err = ERR_INIT;
    if (channel_tick(conn->channel, loop_now(conn->client->config.loop), &err) < 0)
        conn_close(conn->conn, &err);
    else
        loop_later_ask(&conn->later);
}

static void on_conn_open(struct conn *it, void *owner)
{
    (void)it;
    struct client_conn *conn = owner;
    struct rpc_client *client = conn->client;
    const struct rpc_client_config *config = &client->config;
    struct channel_config channel = {
        .side = H2_CLIENT,
        .stream_bytes = sizeof(struct client_stream),
        .message_bytes_max = config->message_bytes_max,
        .held_bytes_max = HELD_BYTES_MAX,
        .queue_bytes_max = QUEUE_BYTES_MAX,
        .keepalive_ms = config->keepalive_ms,
        .keepalive_timeout_ms = config->keepalive_timeout_ms,
        .authority = client->authority,
        .tls = config->tls != NULL,
    };
    conn->channel = channel_new(&channel, &stream_events, conn, loop_now(config->loop));
    conn_set_deadline(conn->conn, config->connect_ms, "the server sent no SETTINGS");
    loop_later_ask(&conn->later);
}

static void on_conn_data(struct conn *it, void *owner, const uint8_t *bytes, size_t size)
{
    (void)it;
    struct client_conn *conn = owner;
    struct err err = ERR_INIT;
    if (channel_receive(conn->channel, bytes, size, loop_now(conn->client->config.loop), &err) < 0)
        conn_close(conn->conn, &err);
    else
        loop_later_ask(&conn->later);
}

static void on_conn_drain(struct conn *it, void *owner)
{
    (void)it;
    conn_touch(owner);
}

// Waits before the next attempt; calls that would not wait for it fail.
static void attempt_failed(struct rpc_client *client, const struct err *why)
{
    client->last = *why;
    int64_t pause_ms = backoff_next_ms(&client->backoff, &client->rand);
    loop_timer_start(&client->retry, pause_ms);
    if (client->config.on_state && !client->closing)
        client->config.on_state(client, client->config.ctx, why);
    ask(client);
}

static void on_conn_close(struct conn *it, void *owner, const struct err *why)
{
    (void)it;
    struct client_conn *conn = owner;
    struct rpc_client *client = conn->client;
    struct err err = ERR_INIT;
    if (client->closing)
        err_set(&err, ERR_CANCELLED, "the client is closed");
    else if (why->code == ERR_OK)
        err_set(&err, ERR_UNAVAILABLE, "connection error: the server closed the connection");
    else
        err_set(&err, ERR_UNAVAILABLE, "connection error: %s", why->message);
    bool current = client->current == conn;
    if (current)
        client->current = NULL;
    list_remove(&conn->link);
    if (conn->channel)
        channel_free(conn->channel, &err);
    loop_later_cancel(&conn->later);
    loop_timer_stop(&conn->alarm);
    bool lived = conn->ready && mono_since(loop_now(client->config.loop), conn->ready_since) >=
                                    LIVED_MS_MIN * NS_PER_MS;
    free(conn);
    if (lived)
        backoff_reset(&client->backoff);
    if (current && !lived)
        attempt_failed(client, &err);
    else if (current && client->config.on_state && !client->closing)
        client->config.on_state(client, client->config.ctx, &err);
    ask(client);
}

static const struct conn_handler conn_handler = {
    .on_open = on_conn_open,
    .on_data = on_conn_data,
    .on_drain = on_conn_drain,
    .on_close = on_conn_close,
};

static void connect_now(struct rpc_client *client)
{
    CHECK(!client->current);
    CHECK(!client->closing);
    struct client_conn *conn = MEM_NEW(struct client_conn);
    conn->client = client;
    loop_timer_init(&conn->alarm, client->config.loop, on_conn_alarm);
    loop_later_init(&conn->later, client->config.loop, on_conn_later);
    list_push_back(&client->conns, &conn->link);
    client->current = conn;
    struct conn_options options = {
        .tls = client->config.tls,
        .server_name = client->server_name,
        .open_ms = client->config.connect_ms,
    };
    conn->conn =
        conn_connect(client->config.loop, &client->config.addr, &options, &conn_handler, conn);
}

// ---- calls find connections ----------------------------------------------------------------------

static bool can_open(const struct rpc_client *client)
{
    const struct client_conn *conn = client->current;
    return conn && conn->ready && !client->closing && channel_can_open(conn->channel);
}

static int64_t left_ns(const struct rpc_request *request)
{
    if (request->deadline.ns == MONO_NEVER.ns)
        return -1;
    int64_t left = mono_since(request->deadline, loop_now(request->client->config.loop));
    return left > 0 ? left : 0;
}

// Puts a waiting call on a stream.
static void open_stream(struct rpc_request *request)
{
    struct client_conn *conn = request->client->current;
    conn_touch(conn);
    struct stream *stream =
        channel_open(conn->channel, request->spec.path, &request->metadata, left_ns(request));
    if (!stream)
        return; // stays where it is
    leave_waiting(request);
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

// A call that does not wait for ready fails while there is no way to the server.
static void fail_impatient(struct rpc_client *client)
{
    LIST_EACH_SAFE (link, &client->waiting) {
        struct rpc_request *request = LIST_ENTRY(link, struct rpc_request, link);
        if (request->spec.wait_for_ready && !client->closing)
            continue;
        struct rpc_status status = rpc_status_of_err(&client->last);
        if (client->closing)
            status = rpc_status_make(ERR_CANCELLED, "the client is closed");
        doom(request, &status);
    }
}

static void client_free(struct rpc_client *client)
{
    void (*closed)(void *ctx) = client->closed;
    void *ctx = client->closed_ctx;
    loop_timer_stop(&client->retry);
    loop_later_cancel(&client->later);
    tls_config_unref(client->config.tls);
    free(client->server_name);
    free(client->authority);
    MAGIC_CLEAR(client);
    free(client);
    if (closed)
        closed(ctx);
}

static void on_later(struct loop_later *later)
{
    struct rpc_client *client = CONTAINER_OF(later, struct rpc_client, later);
    MAGIC_CHECK(client, CLIENT_MAGIC);
    bool backing_off = !client->current && loop_timer_running(&client->retry);
    if (client->closing || backing_off)
        fail_impatient(client);
    for (struct list *link; (link = list_pop_front(&client->doomed));) {
        struct rpc_request *request = LIST_ENTRY(link, struct rpc_request, link);
        struct metadata none;
        metadata_init(&none, &request->arena);
        finish(request, request->doom, &none);
    }
    while (!list_empty(&client->waiting) && can_open(client)) {
        struct list *first = client->waiting.next;
        open_stream(LIST_ENTRY(first, struct rpc_request, link));
        if (client->waiting.next == first)
            break;
    }
    if (!client->closing && !client->current && !list_empty(&client->waiting) &&
        !loop_timer_running(&client->retry))
        connect_now(client);
    if (client->closing && list_empty(&client->conns) && list_empty(&client->waiting) &&
        list_empty(&client->active) && list_empty(&client->doomed))
        client_free(client);
}

static void on_retry(struct loop_timer *timer)
{
    ask(CONTAINER_OF(timer, struct rpc_client, retry));
}

// ---- clients -------------------------------------------------------------------------------------

static int64_t or_default(int64_t value, int64_t fallback)
{
    return value ? value : fallback;
}

struct rpc_client *rpc_client_new(const struct rpc_client_config *config)
{
    struct rpc_client *client = MEM_NEW(struct rpc_client);
    MAGIC_SET(client, CLIENT_MAGIC);
    client->config = *config;
    struct rpc_client_config *own = &client->config;
    own->tls = config->tls ? tls_config_ref(config->tls) : NULL;
    own->connect_ms = or_default(config->connect_ms, RPC_CLIENT_CONNECT_MS);
    own->backoff_ms_max = or_default(config->backoff_ms_max, RPC_CLIENT_BACKOFF_MS_MAX);
    own->keepalive_timeout_ms =
        or_default(config->keepalive_timeout_ms, RPC_SERVER_KEEPALIVE_TIMEOUT_MS);
    if (own->keepalive_ms > 0 && own->keepalive_ms < RPC_CLIENT_KEEPALIVE_MS_MIN)
        own->keepalive_ms = RPC_CLIENT_KEEPALIVE_MS_MIN;
    own->message_bytes_max =
        config->message_bytes_max ? config->message_bytes_max : GRPC_CLIENT_MESSAGE_BYTES_MAX;
    client->server_name = str_dup(config->server_name);
    char text[ADDR_TEXT_BYTES];
    if (config->authority)
        client->authority = str_dup(config->authority);
    else
        client->authority = str_dup(
            config->addr.kind == ADDR_UNIX ? "localhost" : addr_format(&config->addr, text));
    list_init(&client->conns);
    list_init(&client->waiting);
    list_init(&client->doomed);
    list_init(&client->active);
    loop_later_init(&client->later, config->loop, on_later);
    loop_timer_init(&client->retry, config->loop, on_retry);
    int64_t first_ms = RPC_CLIENT_BACKOFF_MS;
    backoff_init(&client->backoff, first_ms < own->backoff_ms_max ? first_ms : own->backoff_ms_max,
                 own->backoff_ms_max);
    entropy_seed(&client->rand);
    return client;
}

void rpc_client_close(struct rpc_client *client, void (*closed)(void *ctx), void *ctx)
{
    MAGIC_CHECK(client, CLIENT_MAGIC);
    CHECK(!client->closing);
    client->closing = true;
    client->closed = closed;
    client->closed_ctx = ctx;
    client->current = NULL;
    LIST_EACH (link, &client->conns) {
        struct client_conn *conn = LIST_ENTRY(link, struct client_conn, link);
        // What was queued, such as a last message, still leaves when nobody waits for an answer.
        if (conn->channel && channel_streams(conn->channel) == 0)
            conn_shutdown(conn->conn);
        else
            conn_close(conn->conn, NULL);
    }
    ask(client);
}

void rpc_client_set_tls(struct rpc_client *client, struct tls_config *tls, bool now)
{
    MAGIC_CHECK(client, CLIENT_MAGIC);
    CHECK(tls && client->config.tls);
    tls_config_ref(tls);
    tls_config_unref(client->config.tls);
    client->config.tls = tls;
    if (now && client->current)
        retire(client->current);
    ask(client);
}

void rpc_client_connect(struct rpc_client *client)
{
    MAGIC_CHECK(client, CLIENT_MAGIC);
    loop_timer_stop(&client->retry);
    if (!client->current && !client->closing)
        connect_now(client);
}

bool rpc_client_connected(const struct rpc_client *client)
{
    return client->current && client->current->ready;
}

const uint8_t *rpc_client_peer_chain(const struct rpc_client *client, size_t index, size_t *size)
{
    const struct tls_session *session =
        rpc_client_connected(client) ? conn_tls(client->current->conn) : NULL;
    return session ? tls_session_peer_chain(session, index, size) : NULL;
}

// ---- calls ---------------------------------------------------------------------------------------

static void on_expiry(struct loop_timer *timer)
{
    struct rpc_request *request = CONTAINER_OF(timer, struct rpc_request, expiry);
    struct rpc_status status = rpc_status_make(
        ERR_DEADLINE_EXCEEDED, "context deadline exceeded%s%s",
        request->client->last.code != ERR_OK ? " while waiting for a connection: " : "",
        request->client->last.message);
    doom(request, &status);
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
        doom(request, &status);
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
    if (client->waiting.next == &request->link && can_open(client))
        open_stream(request);
    if (request->stream)
        return;
    if (client->waiting_count > RPC_CLIENT_WAITING_MAX) {
        struct rpc_status status =
            rpc_status_make(ERR_RESOURCE_EXHAUSTED, "too many calls wait for a connection");
        doom(request, &status);
        return;
    }
    if (request->spec.timeout_ms > 0)
        loop_timer_start_at(&request->expiry, request->deadline);
    ask(client);
}

static void touch(struct rpc_request *request)
{
    if (request->stream && request->stream->stream.channel)
        conn_touch(request->stream->conn);
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
        doom(request, &status);
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
        doom(request, &status);
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
        leave_waiting(request);
    }
    list_remove(&request->link);
    request->done = true;
    request->dropped = true;
    pin(request);
    unpin(request);
    ask(client);
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
