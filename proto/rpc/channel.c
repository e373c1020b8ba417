#include "proto/rpc/channel.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define CHANNEL_MAGIC 0x6368616eu
#define STREAM_MAGIC  0x7374726du

struct channel {
    unsigned magic;
    struct channel_config config;
    const struct channel_events *events;
    void *ctx;
    struct h2 *h2;
    struct list streams; // stream.link: all that are not freed
    struct list ready;   // stream.ready: wait for channel_run
    struct timers timers;
    struct timer keepalive;
    struct mono now;
    struct mono heard; // when the peer's last bytes came
    bool ping_out;
    size_t held_bytes;
    size_t queue_bytes;
};

// A message that waits for a paused stream, or a frame to send.
struct parcel {
    struct list link;
    uint8_t *bytes;
    size_t size;
};

static struct parcel *parcel_new(uint8_t *bytes, size_t size)
{
    struct parcel *parcel = MEM_NEW(struct parcel);
    parcel->bytes = bytes;
    parcel->size = size;
    return parcel;
}

static void parcel_free(struct parcel *parcel)
{
    free(parcel->bytes);
    free(parcel);
}

static void parcels_free(struct list *list)
{
    for (struct list *link; (link = list_pop_front(list));)
        parcel_free(LIST_ENTRY(link, struct parcel, link));
}

static struct stream *stream_of(void *user)
{
    struct stream *stream = user;
    MAGIC_CHECK(stream, STREAM_MAGIC);
    return stream;
}

// ---- life of a stream --------------------------------------------------------------------------

static struct stream *stream_new(struct channel *channel, int32_t id)
{
    struct stream *stream = mem_alloc(channel->config.stream_bytes);
    MAGIC_SET(stream, STREAM_MAGIC);
    stream->id = id;
    stream->channel = channel;
    stream->deadline = MONO_NEVER;
    arena_init(&stream->arena, STREAM_ARENA_BYTES_MAX);
    metadata_init(&stream->in, &stream->arena);
    metadata_init(&stream->trailers, &stream->arena);
    metadata_init(&stream->headers, &stream->arena);
    metadata_init(&stream->farewells, &stream->arena);
    grpc_reader_init(&stream->reader, channel->config.message_bytes_max);
    list_init(&stream->inbox);
    list_init(&stream->outbox);
    list_init(&stream->ready);
    stream->deadline_timer =
        (struct stream_timer){.stream = stream, .what = "context deadline exceeded"};
    stream->slow_timer = (struct stream_timer){.stream = stream, .what = "the peer is too slow"};
    list_push_back(&channel->streams, &stream->link);
    return stream;
}

static void set_held(struct stream *stream, size_t held)
{
    if (stream->channel) {
        stream->channel->held_bytes -= stream->held;
        stream->channel->held_bytes += held;
    }
    stream->held = held;
}

// Nothing more goes out on it.
static void drop_outbox(struct stream *stream)
{
    if (stream->channel) {
        CHECK(stream->channel->queue_bytes >= stream->outbox_bytes);
        stream->channel->queue_bytes -= stream->outbox_bytes;
    }
    stream->outbox_bytes = 0;
    stream->outbox_sent = 0;
    parcels_free(&stream->outbox);
}

// Nothing more comes in on it.
static void drop_inbox(struct stream *stream)
{
    parcels_free(&stream->inbox);
    grpc_reader_fini(&stream->reader);
    set_held(stream, 0);
    if (stream->channel && stream->owed > 0)
        h2_consume(stream->channel->h2, stream->id, stream->owed);
    stream->owed = 0;
}

static void stop_timers(struct stream *stream)
{
    if (!stream->channel)
        return;
    timers_cancel(&stream->channel->timers, &stream->deadline_timer.timer);
    timers_cancel(&stream->channel->timers, &stream->slow_timer.timer);
}

static void stream_free_if_done(struct stream *stream)
{
    if (!stream->closed || !stream->released || stream->pins > 0)
        return;
    drop_inbox(stream);
    drop_outbox(stream);
    stop_timers(stream);
    list_remove(&stream->ready);
    list_remove(&stream->link);
    arena_fini(&stream->arena);
    MAGIC_CLEAR(stream);
    free(stream);
}

static void pin(struct stream *stream)
{
    stream->pins++;
}

static void unpin(struct stream *stream)
{
    CHECK(stream->pins > 0);
    stream->pins--;
    stream_free_if_done(stream);
}

static void make_ready(struct stream *stream)
{
    if (stream->channel && list_empty(&stream->ready))
        list_push_back(&stream->channel->ready, &stream->ready);
}

// Keeps how the call ends. Details must live as long as the stream.
static void keep_final(struct stream *stream, const struct rpc_status *status)
{
    stream->final_code = status->err.code;
    stream->final_message = "";
    if (status->err.code != ERR_OK)
        stream->final_message = arena_strdup(&stream->arena, status->err.message);
    CHECK(stream->final_message);
    stream->final_details = status->details;
    stream->final_details_size = status->details_size;
}

static struct rpc_status kept_final(const struct stream *stream)
{
    struct rpc_status status = rpc_status_make(stream->final_code, "%s", stream->final_message);
    status.details = stream->final_details;
    status.details_size = stream->final_details_size;
    return status;
}

// Tells the owner that the call ended, once.
static void tell_over(struct stream *stream, const struct rpc_status *status)
{
    if (stream->over_told)
        return;
    stream->over = true;
    stream->over_told = true;
    if (!stream->end_out || stream->channel->config.side == H2_CLIENT)
        stop_timers(stream);
    drop_inbox(stream);
    if (!stream->released)
        stream->channel->events->on_over(stream->channel->ctx, stream, status);
}

static void end_answer(struct stream *stream, const struct rpc_status *status);

// Ends a call for a reason of this side's: on the wire, then for its owner.
static void fail(struct stream *stream, enum err_code code, const char *what)
{
    struct rpc_status status = rpc_status_make(code, "%s", what);
    struct channel *channel = stream->channel;
    pin(stream);
    // Half a frame cannot be followed by a status, and an answer that stalled by none at all.
    bool broken = stream->outbox_sent > 0 || stream->end_out;
    drop_outbox(stream);
    if (channel->config.side == H2_SERVER && !broken) {
        end_answer(stream, &status);
    } else {
        stream->end_out = true;
        stop_timers(stream);
        if (!stream->closed)
            h2_reset(channel->h2, stream->id, H2_CANCEL);
    }
    tell_over(stream, &status);
    unpin(stream);
}

// ---- messages coming in ------------------------------------------------------------------------

static void give_back(struct stream *stream)
{
    if (stream->owed == 0 || !stream->channel)
        return;
    h2_consume(stream->channel->h2, stream->id, stream->owed);
    stream->owed = 0;
}

static bool may_deliver(const struct stream *stream)
{
    return !stream->paused && !stream->over && !stream->released && stream->channel;
}

// A message must be through in time: from its first byte, or for a single request from the headers.
static void watch_slow(struct stream *stream)
{
    struct channel *channel = stream->channel;
    if (channel->config.slow_ms == 0 || stream->over)
        return;
    // A paused stream waits for its owner, not for the peer.
    bool waiting = !stream->paused &&
                   (!grpc_reader_idle(&stream->reader) || (stream->one_message && !stream->end_in));
    if (!waiting)
        timers_cancel(&channel->timers, &stream->slow_timer.timer);
    else if (!timer_is_set(&stream->slow_timer.timer))
        timers_set(&channel->timers, &stream->slow_timer.timer,
                   mono_add(channel->now, channel->config.slow_ms * NS_PER_MS));
}

static void deliver_inbox(struct stream *stream)
{
    while (may_deliver(stream) && !list_empty(&stream->inbox)) {
        struct list *link = list_pop_front(&stream->inbox);
        struct parcel *parcel = LIST_ENTRY(link, struct parcel, link);
        set_held(stream, stream->held - parcel->size);
        stream->channel->events->on_message(stream->channel->ctx, stream, parcel->bytes,
                                            parcel->size);
        free(parcel);
    }
    if (may_deliver(stream)) {
        give_back(stream);
        watch_slow(stream);
    }
}

// The peer's half is over and all its messages are delivered: say so.
static void deliver_end(struct stream *stream)
{
    if (!stream->end_in || stream->end_told || !may_deliver(stream) || !list_empty(&stream->inbox))
        return;
    stream->end_told = true;
    if (stream->channel->config.side == H2_CLIENT) {
        struct rpc_status status = kept_final(stream);
        tell_over(stream, &status);
        return;
    }
    timers_cancel(&stream->channel->timers, &stream->slow_timer.timer);
    stream->channel->events->on_end(stream->channel->ctx, stream);
}

static void take_message(struct stream *stream)
{
    size_t size;
    uint8_t *bytes = grpc_reader_take(&stream->reader, &size);
    set_held(stream, stream->held - size);
    // The next message has its own time.
    if (!stream->one_message)
        timers_cancel(&stream->channel->timers, &stream->slow_timer.timer);
    if (may_deliver(stream) && list_empty(&stream->inbox)) {
        stream->channel->events->on_message(stream->channel->ctx, stream, bytes, size);
        return;
    }
    list_push_back(&stream->inbox, &parcel_new(bytes, size)->link);
    set_held(stream, stream->held + size);
}

static void on_data(void *ctx, int32_t id, void *user, const uint8_t *bytes, size_t size)
{
    (void)id;
    struct channel *channel = ctx;
    struct stream *stream = stream_of(user);
    stream->owed += size;
    pin(stream);
    while (!stream->over && !stream->released) {
        size_t before = grpc_reader_held(&stream->reader);
        struct err err = ERR_INIT;
        int result = grpc_reader_feed(&stream->reader, &bytes, &size, &err);
        if (result < 0) {
            fail(stream, err.code, err.message);
            break;
        }
        set_held(stream, stream->held + grpc_reader_held(&stream->reader) - before);
        if (result > 0)
            take_message(stream);
        else
            break;
    }
    if (stream->over || stream->released) {
        give_back(stream);
    } else {
        if (may_deliver(stream) && list_empty(&stream->inbox))
            give_back(stream);
        watch_slow(stream);
        if (channel->held_bytes > channel->config.held_bytes_max)
            fail(stream, ERR_RESOURCE_EXHAUSTED, "too many bytes wait on this connection");
    }
    unpin(stream);
}

// ---- heads coming in ---------------------------------------------------------------------------

static void on_stream(void *ctx, int32_t id)
{
    struct channel *channel = ctx;
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

static void begin_call(struct channel *channel, struct stream *stream, bool oversized)
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
    channel->events->on_call(channel->ctx, stream);
    if (stream->channel && !stream->closed)
        watch_slow(stream);
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

static void begin_response(struct channel *channel, struct stream *stream, bool oversized)
{
    const struct head *head = &stream->head;
    if (head->http_status >= 100 && head->http_status < 200)
        return;
    stream->response_seen = true;
    if (oversized || head->overflow)
        fail(stream, ERR_RESOURCE_EXHAUSTED, "received metadata size exceeds limit");
    else if (head->http_status != 200 || head->has_status)
        return; // an error all told; the end says which
    else if (!head->is_grpc)
        fail(stream, ERR_UNKNOWN, "unexpected content-type of a response");
    else if (head->encoding)
        fail(stream, ERR_UNIMPLEMENTED, "grpc: the response is compressed");
    else if (channel->events->on_headers)
        channel->events->on_headers(channel->ctx, stream);
}

static void on_headers(void *ctx, int32_t id, void *user, bool trailers, bool oversized)
{
    (void)id;
    struct channel *channel = ctx;
    if (!user)
        return;
    struct stream *stream = stream_of(user);
    if (stream->over || stream->released)
        return;
    pin(stream);
    if (channel->config.side == H2_SERVER && !trailers)
        begin_call(channel, stream, oversized);
    else if (channel->config.side == H2_CLIENT && !stream->response_seen)
        begin_response(channel, stream, oversized);
    else if (oversized || stream->head.overflow)
        fail(stream, ERR_RESOURCE_EXHAUSTED, "received metadata size exceeds limit");
    unpin(stream);
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
    pin(stream);
    stream->end_in = true;
    if (stream->channel->config.side == H2_CLIENT) {
        struct rpc_status status = final_status(stream);
        keep_final(stream, &status);
    }
    watch_slow(stream);
    if (!grpc_reader_idle(&stream->reader) && stream->final_code == ERR_OK)
        fail(stream, ERR_INTERNAL, "unexpected end of stream inside of a message");
    else
        deliver_end(stream);
    unpin(stream);
}

static void on_closed(void *ctx, int32_t id, void *user, uint32_t error)
{
    struct channel *channel = ctx;
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
    pin(stream);
    stream->closed = true;
    drop_outbox(stream);
    timers_cancel(&channel->timers, &stream->slow_timer.timer);
    bool server = channel->config.side == H2_SERVER;
    // A client that has its answer hears of it when the last message is taken. A server that
    // finished does not care any more.
    bool settled = server ? stream->end_out : stream->end_in;
    if (settled && !server) {
        deliver_end(stream);
    } else if (!settled) {
        struct rpc_status status =
            server ? rpc_status_make(ERR_CANCELLED, "context canceled")
                   : rpc_status_make(rpc_status_of_reset(error),
                                     "stream terminated by RST_STREAM with error code: %u", error);
        tell_over(stream, &status);
    }
    if (channel->events->on_room)
        channel->events->on_room(channel->ctx);
    unpin(stream);
}

// ---- what goes out -----------------------------------------------------------------------------

// The first block of a server's answer, with which the body's pulling begins.
static void send_response(struct stream *stream)
{
    if (stream->headers_out)
        return;
    stream->headers_out = true;
    struct head_fields fields;
    head_make_response(&stream->headers, &stream->arena, &fields);
    h2_respond(stream->channel->h2, stream->id, fields.list, fields.count, false);
}

int stream_send(struct stream *stream, uint8_t *frame, size_t size, struct err *err)
{
    CHECK(!stream->end_out || stream->over);
    struct channel *channel = stream->channel;
    if (!channel || stream->over || stream->closed) {
        free(frame);
        return 0;
    }
    if (channel->queue_bytes > 0 && channel->queue_bytes + size > channel->config.queue_bytes_max) {
        free(frame);
        return err_set(err, ERR_RESOURCE_EXHAUSTED,
                       "the peer does not read: %zu bytes wait on this connection",
                       channel->queue_bytes);
    }
    list_push_back(&stream->outbox, &parcel_new(frame, size)->link);
    stream->outbox_bytes += size;
    channel->queue_bytes += size;
    if (!stream_writable(stream))
        stream->was_full = true;
    if (channel->config.side == H2_SERVER)
        send_response(stream);
    h2_resume(channel->h2, stream->id);
    return 0;
}

bool stream_writable(const struct stream *stream)
{
    return stream->outbox_bytes < STREAM_QUEUE_BYTES;
}

size_t stream_queued(const struct stream *stream)
{
    return stream->outbox_bytes;
}

void stream_end(struct stream *stream)
{
    if (stream->end_out || !stream->channel)
        return;
    CHECK(stream->channel->config.side == H2_CLIENT);
    stream->end_out = true;
    if (!stream->closed)
        h2_resume(stream->channel->h2, stream->id);
}

// Puts the status after what is queued, or alone.
static void end_answer(struct stream *stream, const struct rpc_status *status)
{
    struct channel *channel = stream->channel;
    CHECK(channel->config.side == H2_SERVER);
    stream->end_out = true;
    stream->over = true;
    stop_timers(stream);
    drop_inbox(stream);
    if (stream->closed)
        return;
    if (!stream->headers_out) {
        stream->headers_out = true;
        unsigned http_status = 200;
        if (!stream->head.is_grpc)
            http_status = 415;
        else if (!stream->head.is_post)
            http_status = 405;
        struct head_fields fields;
        head_make_trailers(status, &stream->farewells, true, http_status, &stream->arena, &fields);
        h2_respond(channel->h2, stream->id, fields.list, fields.count, true);
    } else {
        keep_final(stream, status);
        if (status->details)
            stream->final_details =
                arena_memdup(&stream->arena, status->details, status->details_size);
        h2_resume(channel->h2, stream->id);
    }
    // Nobody but the peer keeps it alive now, and that not for long.
    if (channel->config.slow_ms > 0)
        timers_set(&channel->timers, &stream->slow_timer.timer,
                   mono_add(channel->now, channel->config.slow_ms * NS_PER_MS));
}

void stream_finish(struct stream *stream, const struct rpc_status *status)
{
    stream->over_told = true;
    if (!stream->end_out && stream->channel)
        end_answer(stream, status);
    stream->end_out = true;
}

// Copies from the outbox; frees the frames that left.
static size_t pull_frames(struct stream *stream, uint8_t *out, size_t max)
{
    size_t got = 0;
    while (got < max && !list_empty(&stream->outbox)) {
        struct parcel *parcel = LIST_ENTRY(stream->outbox.next, struct parcel, link);
        size_t left = parcel->size - stream->outbox_sent;
        size_t step = left < max - got ? left : max - got;
        memcpy(out + got, parcel->bytes + stream->outbox_sent, step);
        got += step;
        stream->outbox_sent += step;
        if (stream->outbox_sent == parcel->size) {
            stream->outbox_sent = 0;
            list_remove(&parcel->link);
            parcel_free(parcel);
        }
    }
    stream->outbox_bytes -= got;
    stream->channel->queue_bytes -= got;
    return got;
}

static size_t on_pull(void *ctx, int32_t id, void *user, uint8_t *out, size_t max, bool *end,
                      bool *trailers)
{
    struct channel *channel = ctx;
    struct stream *stream = stream_of(user);
    size_t got = pull_frames(stream, out, max);
    if (got > 0 && timer_is_set(&stream->slow_timer.timer) && stream->end_out)
        timers_set(&channel->timers, &stream->slow_timer.timer,
                   mono_add(channel->now, channel->config.slow_ms * NS_PER_MS));
    if (list_empty(&stream->outbox) && stream->end_out) {
        *end = true;
        if (channel->config.side == H2_SERVER) {
            *trailers = true;
            struct head_fields fields;
            struct rpc_status status = kept_final(stream);
            head_make_trailers(&status, &stream->farewells, false, 200, &stream->arena, &fields);
            h2_trailers(channel->h2, id, fields.list, fields.count);
        }
    }
    // Told from channel_run: this runs in the middle of sending.
    if (stream->was_full && stream->outbox_bytes <= STREAM_QUEUE_BYTES / 2)
        make_ready(stream);
    return got;
}

void stream_reset(struct stream *stream, uint32_t h2_error)
{
    stream->over = true;
    stream->over_told = true;
    stream->end_out = true;
    stop_timers(stream);
    drop_inbox(stream);
    drop_outbox(stream);
    if (stream->channel && !stream->closed)
        h2_reset(stream->channel->h2, stream->id, h2_error);
}

void stream_cancel(struct stream *stream, const struct rpc_status *status)
{
    if (stream->over || !stream->channel || stream->end_told)
        return;
    keep_final(stream, status);
    drop_inbox(stream);
    drop_outbox(stream);
    stream->end_in = true;
    stream->end_out = true;
    stream->paused = false;
    if (!stream->closed)
        h2_reset(stream->channel->h2, stream->id, H2_CANCEL);
    make_ready(stream);
}

void stream_pause(struct stream *stream)
{
    stream->paused = true;
    if (stream->channel && !stream->end_out)
        watch_slow(stream);
}

void stream_resume(struct stream *stream)
{
    if (!stream->paused)
        return;
    stream->paused = false;
    make_ready(stream);
}

void stream_release(struct stream *stream)
{
    CHECK(!stream->released);
    stream->released = true;
    if (!stream->closed && !stream->over)
        stream_reset(stream, H2_CANCEL);
    stream_free_if_done(stream);
}

// ---- the connection ----------------------------------------------------------------------------

static void on_settings(void *ctx)
{
    struct channel *channel = ctx;
    if (channel->events->on_ready)
        channel->events->on_ready(channel->ctx);
}

static void on_goaway(void *ctx, int32_t last_stream, uint32_t error)
{
    (void)last_stream;
    (void)error;
    struct channel *channel = ctx;
    if (channel->events->on_room)
        channel->events->on_room(channel->ctx);
}

static void on_pong(void *ctx)
{
    struct channel *channel = ctx;
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

struct channel *channel_new(const struct channel_config *config,
                            const struct channel_events *events, void *ctx, struct mono now)
{
    CHECK(config->stream_bytes >= sizeof(struct stream));
    CHECK(config->side == H2_SERVER || config->authority);
    struct channel *channel = MEM_NEW(struct channel);
    MAGIC_SET(channel, CHANNEL_MAGIC);
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

void channel_free(struct channel *channel, const struct err *why)
{
    MAGIC_CHECK(channel, CHANNEL_MAGIC);
    struct rpc_status status = why && why->code != ERR_OK
                                   ? rpc_status_of_err(why)
                                   : rpc_status_make(ERR_UNAVAILABLE, "transport is closing");
    while (!list_empty(&channel->streams)) {
        struct stream *stream = LIST_ENTRY(channel->streams.next, struct stream, link);
        pin(stream);
        stream->closed = true;
        bool answered =
            channel->config.side == H2_CLIENT && stream->end_in && list_empty(&stream->inbox);
        struct rpc_status final = answered ? kept_final(stream) : status;
        tell_over(stream, &final);
        drop_inbox(stream);
        drop_outbox(stream);
        stop_timers(stream);
        list_remove(&stream->ready);
        list_remove(&stream->link);
        stream->channel = NULL;
        unpin(stream);
    }
    h2_free(channel->h2);
    timers_fini(&channel->timers);
    MAGIC_CLEAR(channel);
    free(channel);
}

int channel_receive(struct channel *channel, const uint8_t *bytes, size_t size, struct mono now,
                    struct err *err)
{
    channel->now = now;
    channel->heard = now;
    return h2_receive(channel->h2, bytes, size, now, err);
}

bool channel_output(struct channel *channel, struct buf *out, size_t enough)
{
    return h2_output(channel->h2, out, enough);
}

bool channel_wants_output(const struct channel *channel)
{
    return h2_wants_output(channel->h2);
}

bool channel_finished(const struct channel *channel)
{
    return h2_finished(channel->h2);
}

struct mono channel_due(const struct channel *channel)
{
    return timers_next_due(&channel->timers);
}

static int tick_keepalive(struct channel *channel, struct err *err)
{
    const struct channel_config *config = &channel->config;
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

int channel_tick(struct channel *channel, struct mono now, struct err *err)
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
        fail(stream_of(fired->stream), ERR_DEADLINE_EXCEEDED, fired->what);
    }
    return 0;
}

void channel_set_now(struct channel *channel, struct mono now)
{
    channel->now = now;
}

void channel_run(struct channel *channel)
{
    // What these make ready waits for the next round.
    struct list batch;
    list_init(&batch);
    for (struct list *link; (link = list_pop_front(&channel->ready));)
        list_push_back(&batch, link);
    for (struct list *link; (link = list_pop_front(&batch));) {
        struct stream *stream = LIST_ENTRY(link, struct stream, ready);
        pin(stream);
        if (stream->was_full && stream->outbox_bytes <= STREAM_QUEUE_BYTES / 2) {
            stream->was_full = false;
            if (!stream->over && !stream->released && !stream->end_out)
                channel->events->on_writable(channel->ctx, stream);
        }
        deliver_inbox(stream);
        deliver_end(stream);
        unpin(stream);
    }
}

void channel_goaway(struct channel *channel, bool final)
{
    h2_goaway(channel->h2, final);
}

size_t channel_streams(const struct channel *channel)
{
    return h2_streams(channel->h2);
}

bool channel_can_open(const struct channel *channel)
{
    return h2_can_open(channel->h2);
}

bool channel_draining(const struct channel *channel)
{
    return h2_draining(channel->h2);
}

struct stream *channel_open(struct channel *channel, const char *path,
                            const struct metadata *headers, int64_t timeout_ns)
{
    CHECK(channel->config.side == H2_CLIENT);
    if (!channel_can_open(channel))
        return NULL;
    struct stream *stream = stream_new(channel, 0);
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
