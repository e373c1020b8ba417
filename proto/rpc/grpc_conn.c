#include "proto/rpc/grpc_conn.h"

#include <stdlib.h>

#include "proto/base/str.h"
#include "proto/rpc/grpc_conn_impl.h"

// ---- data ------------------------------------------------------------------------------------

static void on_data(void *ctx, int32_t id, void *user, const uint8_t *bytes, size_t size)
{
    (void)id;
    struct grpc_conn *channel = ctx;
    struct stream *stream = stream_of(user);
    stream->owed += size;
    stream_pin(stream);
    while (!stream->over && !stream->released) {
        size_t before = grpc_reader_held(&stream->reader);
        struct err err = ERR_INIT;
        int result = grpc_reader_feed(&stream->reader, &bytes, &size, &err);
        if (result < 0) {
            stream_fail(stream, err.code, err.message);
            break;
        }
        stream_set_held(stream, stream->held + grpc_reader_held(&stream->reader) - before);
        if (result > 0)
            stream_take_message(stream);
        else
            break;
    }
    if (stream->over || stream->released) {
        stream_give_back(stream);
    } else {
        if (stream_may_deliver(stream) && list_empty(&stream->inbox))
            stream_give_back(stream);
        stream_watch_slow(stream);
        if (channel->held_bytes > channel->config.held_bytes_max)
            stream_fail(stream, ERR_RESOURCE_EXHAUSTED, "too many bytes wait on this connection");
    }
    stream_unpin(stream);
}

static size_t on_pull(void *ctx, int32_t id, void *user, uint8_t *out, size_t max, bool *end,
                      bool *trailers)
{
    struct grpc_conn *channel = ctx;
    struct stream *stream = stream_of(user);
    size_t got = stream_pull(stream, out, max);
    if (got > 0 && timer_is_set(&stream->slow_timer.timer) && stream->end_out)
        timers_set(&channel->timers, &stream->slow_timer.timer,
                   mono_add(channel->now, channel->config.slow_ms * NS_PER_MS));
    if (list_empty(&stream->outbox) && stream->end_out) {
        *end = true;
        if (channel->config.side == H2_SERVER) {
            *trailers = true;
            struct head_fields fields;
            struct rpc_status status = stream_kept_final(stream);
            head_make_trailers(&status, &stream->farewells, false, 200, &stream->arena, &fields);
            h2_trailers(channel->h2, id, fields.list, fields.count);
        }
    }
    // Told from grpc_conn_run: this runs in the middle of sending.
    if (stream->was_full && stream->outbox_bytes <= STREAM_QUEUE_BYTES / 2)
        stream_make_ready(stream);
    return got;
}

// ---- heads coming in ---------------------------------------------------------------------------

static void on_stream(void *ctx, int32_t id)
{
    struct grpc_conn *channel = ctx;
    h2_stream_attach(channel->h2, id, stream_new(channel, id));
}

static void on_field(void *ctx, int32_t id, void *user, const struct h2_field *field, bool trailers)
{
    (void)ctx;
    (void)id;
    if (!user)
        return;
    struct stream *stream = stream_of(user);
    if (stream->over || stream->released)
        return;
    head_field(&stream->head, trailers ? &stream->trailers : &stream->in, field);
}

// What makes a request none of ours. True when it was refused.
static bool refuse_request(struct stream *stream, bool oversized)
{
    const struct head *head = &stream->head;
    struct rpc_status status = RPC_STATUS_OK;
    if (oversized || head->overflow)
        status = rpc_status_make(ERR_RESOURCE_EXHAUSTED, "received metadata size exceeds limit");
    else if (!head->is_grpc)
        status = rpc_status_make(ERR_INTERNAL, "invalid gRPC request content-type");
    else if (!head->is_post)
        status = rpc_status_make(ERR_INTERNAL, "invalid gRPC request method");
    else if (head->bad_timeout)
        status = rpc_status_make(ERR_INTERNAL, "malformed grpc-timeout");
    else if (head->encoding)
        status = rpc_status_make(ERR_UNIMPLEMENTED,
                                 "grpc: Decompressor is not installed for grpc-encoding \"%.64s\"",
                                 head->encoding);
    else if (!head->path)
        status = rpc_status_make(ERR_UNIMPLEMENTED, "malformed method name");
    if (status.err.code == ERR_OK)
        return false;
    stream_finish(stream, &status);
    stream_release(stream);
    return true;
}

static void begin_call(struct grpc_conn *channel, struct stream *stream, bool oversized)
{
    if (refuse_request(stream, oversized))
        return;
    int64_t timeout_ns = stream->head.has_timeout ? stream->head.timeout_ns : INT64_MAX;
    int64_t most_ns = channel->config.call_ms_max * NS_PER_MS;
    if (most_ns > 0 && timeout_ns > most_ns)
        timeout_ns = most_ns;
    if (timeout_ns != INT64_MAX) {
        stream->deadline = mono_add(channel->now, timeout_ns);
        timers_set(&channel->timers, &stream->deadline_timer.timer, stream->deadline);
    }
    stream->begun = true;
    channel->events->on_call(channel->ctx, stream);
    if (stream->channel && !stream->closed)
        stream_watch_slow(stream);
}

// The status in the last block, or what its absence means.
static struct rpc_status final_status(const struct stream *stream)
{
    const struct head *head = &stream->head;
    if (!head->has_status) {
        if (head->http_status != 200)
            return rpc_status_make(rpc_status_of_http(head->http_status),
                                   "unexpected HTTP status code received from server: %u",
                                   head->http_status);
        return rpc_status_make(ERR_INTERNAL, "server closed the stream without sending trailers");
    }
    struct rpc_status status =
        rpc_status_make(head->status, "%s", head->message ? head->message : "");
    status.details = head->details;
    status.details_size = head->details_size;
    return status;
}

static void begin_response(struct grpc_conn *channel, struct stream *stream, bool oversized)
{
    const struct head *head = &stream->head;
    if (head->http_status >= 100 && head->http_status < 200)
        return;
    stream->response_seen = true;
    if (oversized || head->overflow)
        stream_fail(stream, ERR_RESOURCE_EXHAUSTED, "received metadata size exceeds limit");
    else if (head->http_status != 200 || head->has_status)
        return; // an error all told; the end says which
    else if (!head->is_grpc)
        stream_fail(stream, ERR_UNKNOWN, "unexpected content-type of a response");
    else if (head->encoding)
        stream_fail(stream, ERR_UNIMPLEMENTED, "grpc: the response is compressed");
    else if (channel->events->on_headers)
        channel->events->on_headers(channel->ctx, stream);
}

static void on_headers(void *ctx, int32_t id, void *user, bool trailers, bool oversized)
{
    (void)id;
    struct grpc_conn *channel = ctx;
    if (!user)
        return;
    struct stream *stream = stream_of(user);
    if (stream->over || stream->released)
        return;
    stream_pin(stream);
    if (channel->config.side == H2_SERVER && !trailers)
        begin_call(channel, stream, oversized);
    else if (channel->config.side == H2_CLIENT && !stream->response_seen)
        begin_response(channel, stream, oversized);
    else if (oversized || stream->head.overflow)
        stream_fail(stream, ERR_RESOURCE_EXHAUSTED, "received metadata size exceeds limit");
    stream_unpin(stream);
}

static void on_end(void *ctx, int32_t id, void *user)
{
    (void)id;
    (void)ctx;
    if (!user)
        return;
    struct stream *stream = stream_of(user);
    if (stream->over || stream->released || stream->end_in)
        return;
    stream_pin(stream);
    stream->end_in = true;
    if (stream->channel->config.side == H2_CLIENT) {
        struct rpc_status status = final_status(stream);
        stream_keep_final(stream, &status);
    }
    stream_watch_slow(stream);
    if (!grpc_reader_idle(&stream->reader) && stream->final_code == ERR_OK)
        stream_fail(stream, ERR_INTERNAL, "unexpected end of stream inside of a message");
    else
        stream_deliver_end(stream);
    stream_unpin(stream);
}

static void on_closed(void *ctx, int32_t id, void *user, uint32_t error)
{
    struct grpc_conn *channel = ctx;
    struct stream *stream = user;
    if (!stream) {
        LIST_EACH (link, &channel->streams) {
            struct stream *it = LIST_ENTRY(link, struct stream, link);
            if (it->id == id)
                stream = it;
        }
    }
    if (!stream)
        return;
    stream = stream_of(stream);
    stream_pin(stream);
    stream->closed = true;
    stream_drop_outbox(stream);
    timers_cancel(&channel->timers, &stream->slow_timer.timer);
    bool server = channel->config.side == H2_SERVER;
    // A client that has its answer hears of it when the last message is taken. A server that
    // finished does not care any more.
    bool settled = server ? stream->end_out : stream->end_in;
    if (settled && !server) {
        stream_deliver_end(stream);
    } else if (!settled) {
        struct rpc_status status =
            server ? rpc_status_make(ERR_CANCELLED, "context canceled")
                   : rpc_status_make(rpc_status_of_reset(error),
                                     "stream terminated by RST_STREAM with error code: %u", error);
        stream_tell_over(stream, &status);
    }
    if (channel->events->on_room)
        channel->events->on_room(channel->ctx);
    stream_unpin(stream);
}

// ---- the connection ----------------------------------------------------------------------------

static void on_settings(void *ctx)
{
    struct grpc_conn *channel = ctx;
    if (channel->events->on_ready)
        channel->events->on_ready(channel->ctx);
}

static void on_goaway(void *ctx, int32_t last_stream, uint32_t error)
{
    (void)last_stream;
    (void)error;
    struct grpc_conn *channel = ctx;
    if (channel->events->on_room)
        channel->events->on_room(channel->ctx);
}

static void on_pong(void *ctx)
{
    struct grpc_conn *channel = ctx;
    channel->ping_out = false;
}

static const struct h2_events h2_events = {
    .on_stream = on_stream,
    .on_field = on_field,
    .on_headers = on_headers,
    .on_data = on_data,
    .on_end = on_end,
    .on_closed = on_closed,
    .on_pull = on_pull,
    .on_settings = on_settings,
    .on_goaway = on_goaway,
    .on_pong = on_pong,
};

struct grpc_conn *grpc_conn_new(const struct grpc_conn_config *config,
                                const struct grpc_conn_events *events, void *ctx, struct mono now)
{
    CHECK(config->stream_bytes >= sizeof(struct stream));
    CHECK(config->side == H2_SERVER || config->authority);
    struct grpc_conn *channel = MEM_NEW(struct grpc_conn);
    MAGIC_SET(channel, GRPC_CONN_MAGIC);
    channel->config = *config;
    channel->events = events;
    channel->ctx = ctx;
    channel->now = now;
    channel->heard = now;
    list_init(&channel->streams);
    list_init(&channel->ready);
    timers_init(&channel->timers);
    struct h2_config h2_config = {
        .side = config->side,
        .streams_max = config->streams_max,
        .resets_max = config->resets_max,
    };
    channel->h2 = h2_new(&h2_config, &h2_events, channel);
    if (config->keepalive_ms > 0)
        timers_set(&channel->timers, &channel->keepalive,
                   mono_add(now, config->keepalive_ms * NS_PER_MS));
    return channel;
}

void grpc_conn_free(struct grpc_conn *channel, const struct err *why)
{
    MAGIC_CHECK(channel, GRPC_CONN_MAGIC);
    struct rpc_status status = why && why->code != ERR_OK
                                   ? rpc_status_of_err(why)
                                   : rpc_status_make(ERR_UNAVAILABLE, "transport is closing");
    while (!list_empty(&channel->streams)) {
        struct stream *stream = LIST_ENTRY(channel->streams.next, struct stream, link);
        stream_pin(stream);
        stream->closed = true;
        bool answered =
            channel->config.side == H2_CLIENT && stream->end_in && list_empty(&stream->inbox);
        struct rpc_status final = answered ? stream_kept_final(stream) : status;
        stream_tell_over(stream, &final);
        stream_drop_inbox(stream);
        stream_drop_outbox(stream);
        stream_stop_timers(stream);
        list_remove(&stream->ready);
        list_remove(&stream->link);
        stream->channel = NULL;
        stream_unpin(stream);
    }
    h2_free(channel->h2);
    timers_fini(&channel->timers);
    MAGIC_CLEAR(channel);
    free(channel);
}

int grpc_conn_receive(struct grpc_conn *channel, const uint8_t *bytes, size_t size, struct mono now,
                      struct err *err)
{
    channel->now = now;
    channel->heard = now;
    return h2_receive(channel->h2, bytes, size, now, err);
}

bool grpc_conn_output(struct grpc_conn *channel, struct buf *out, size_t enough)
{
    return h2_output(channel->h2, out, enough);
}

bool grpc_conn_wants_output(const struct grpc_conn *channel)
{
    return h2_wants_output(channel->h2);
}

bool grpc_conn_finished(const struct grpc_conn *channel)
{
    return h2_finished(channel->h2);
}

struct mono grpc_conn_due(const struct grpc_conn *channel)
{
    return timers_next_due(&channel->timers);
}

static int tick_keepalive(struct grpc_conn *channel, struct err *err)
{
    const struct grpc_conn_config *config = &channel->config;
    int64_t quiet_ms = mono_since(channel->now, channel->heard) / NS_PER_MS;
    if (channel->ping_out && quiet_ms >= config->keepalive_timeout_ms)
        return err_set(err, ERR_UNAVAILABLE, "keepalive ping failed to receive ACK within timeout");
    int64_t wait_ms = config->keepalive_ms - quiet_ms;
    if (wait_ms <= 0 && channel->ping_out) {
        wait_ms = config->keepalive_timeout_ms;
    } else if (wait_ms <= 0 && (config->side == H2_SERVER || h2_streams(channel->h2) > 0)) {
        channel->ping_out = true;
        channel->heard = channel->now;
        h2_ping(channel->h2);
        wait_ms = config->keepalive_timeout_ms;
    } else if (wait_ms <= 0) {
        wait_ms = config->keepalive_ms;
    }
    timers_set(&channel->timers, &channel->keepalive, mono_add(channel->now, wait_ms * NS_PER_MS));
    return 0;
}

int grpc_conn_tick(struct grpc_conn *channel, struct mono now, struct err *err)
{
    channel->now = now;
    for (struct timer *timer; (timer = timers_pop_due(&channel->timers, now));) {
        if (timer == &channel->keepalive) {
            int result = tick_keepalive(channel, err);
            if (result < 0)
                return result;
            continue;
        }
        struct stream_timer *fired = CONTAINER_OF(timer, struct stream_timer, timer);
        stream_fail(stream_of(fired->stream), ERR_DEADLINE_EXCEEDED, fired->what);
    }
    return 0;
}

void grpc_conn_set_now(struct grpc_conn *channel, struct mono now)
{
    channel->now = now;
}

bool grpc_conn_run_due(const struct grpc_conn *channel)
{
    return !list_empty(&channel->ready);
}

void grpc_conn_run(struct grpc_conn *channel)
{
    // What these make ready waits for the next round.
    struct list batch;
    list_init(&batch);
    for (struct list *link; (link = list_pop_front(&channel->ready));)
        list_push_back(&batch, link);
    for (struct list *link; (link = list_pop_front(&batch));) {
        struct stream *stream = LIST_ENTRY(link, struct stream, ready);
        stream_pin(stream);
        if (stream->was_full && stream->outbox_bytes <= STREAM_QUEUE_BYTES / 2) {
            stream->was_full = false;
            if (!stream->over && !stream->released && !stream->end_out)
                channel->events->on_writable(channel->ctx, stream);
        }
        stream_deliver_inbox(stream);
        stream_deliver_end(stream);
        stream_unpin(stream);
    }
}

void grpc_conn_goaway(struct grpc_conn *channel, bool final)
{
    h2_goaway(channel->h2, final);
}

size_t grpc_conn_streams(const struct grpc_conn *channel)
{
    return h2_streams(channel->h2);
}

bool grpc_conn_can_open(const struct grpc_conn *channel)
{
    return h2_can_open(channel->h2);
}

bool grpc_conn_draining(const struct grpc_conn *channel)
{
    return h2_draining(channel->h2);
}

struct stream *grpc_conn_open(struct grpc_conn *channel, const char *path,
                              const struct metadata *headers, int64_t timeout_ns)
{
    CHECK(channel->config.side == H2_CLIENT);
    if (!grpc_conn_can_open(channel))
        return NULL;
    struct stream *stream = stream_new(channel, 0);
    stream->begun = true;
    struct head_request request = {
        .path = path,
        .authority = channel->config.authority,
        .tls = channel->config.tls,
        .timeout_ns = timeout_ns,
    };
    struct head_fields fields;
    head_make_request(&request, headers, &stream->arena, &fields);
    stream->id = h2_open(channel->h2, fields.list, fields.count, false, stream, NULL);
    if (stream->id < 0) {
        stream->over = true;
        stream->closed = true;
        stream_release(stream);
        return NULL;
    }
    if (timeout_ns >= 0) {
        stream->deadline = mono_add(channel->now, timeout_ns);
        timers_set(&channel->timers, &stream->deadline_timer.timer, stream->deadline);
    }
    return stream;
}
