// One call on a channel: its queues both ways, its times and its end.
#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"
#include "proto/rpc/grpc_conn_impl.h"

// What a call's own fields take, a path above all.
#define HEADS_BYTES 160

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

// ---- life of a stream --------------------------------------------------------------------------

static void init_metadata(struct stream *stream)
{
    metadata_init(&stream->in, &stream->arena);
    metadata_init(&stream->trailers, &stream->arena);
    metadata_init(&stream->headers, &stream->arena);
    metadata_init(&stream->farewells, &stream->arena);
}

struct stream *stream_new(struct grpc_conn *channel, int32_t id)
{
    struct stream *stream = mem_alloc(channel->config.stream_bytes);
    MAGIC_SET(stream, STREAM_MAGIC);
    stream->id = id;
    stream->channel = channel;
    stream->deadline = MONO_NEVER;
    arena_init_small(&stream->arena, STREAM_ARENA_BYTES_MAX);
    stream->arena.first_bytes = HEADS_BYTES; // most calls have no more, and those of agents stay
    init_metadata(stream);
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

void stream_set_held(struct stream *stream, size_t held)
{
    if (stream->channel) {
        stream->channel->held_bytes -= stream->held;
        stream->channel->held_bytes += held;
    }
    stream->held = held;
}

// Nothing more goes out on it.
void stream_drop_outbox(struct stream *stream)
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
void stream_drop_inbox(struct stream *stream)
{
    parcels_free(&stream->inbox);
    grpc_reader_fini(&stream->reader);
    stream_set_held(stream, 0);
    if (stream->channel && stream->owed > 0)
        h2_consume(stream->channel->h2, stream->id, stream->owed);
    stream->owed = 0;
}

void stream_stop_timers(struct stream *stream)
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
    stream_drop_inbox(stream);
    stream_drop_outbox(stream);
    stream_stop_timers(stream);
    list_remove(&stream->ready);
    list_remove(&stream->link);
    arena_fini(&stream->arena);
    MAGIC_CLEAR(stream);
    free(stream);
}

void stream_pin(struct stream *stream)
{
    stream->pins++;
}

void stream_unpin(struct stream *stream)
{
    CHECK(stream->pins > 0);
    stream->pins--;
    stream_free_if_done(stream);
}

void stream_make_ready(struct stream *stream)
{
    if (stream->channel && list_empty(&stream->ready))
        list_push_back(&stream->channel->ready, &stream->ready);
}

// Keeps how the call ends. Details must live as long as the stream.
void stream_keep_final(struct stream *stream, const struct rpc_status *status)
{
    stream->final_code = status->err.code;
    stream->final_message = "";
    if (status->err.code != ERR_OK)
        stream->final_message = arena_strdup(&stream->arena, status->err.message);
    CHECK(stream->final_message);
    stream->final_details = status->details;
    stream->final_details_size = status->details_size;
}

struct rpc_status stream_kept_final(const struct stream *stream)
{
    struct rpc_status status = rpc_status_make(stream->final_code, "%s", stream->final_message);
    status.details = stream->final_details;
    status.details_size = stream->final_details_size;
    return status;
}

// Tells the owner that the call ended, once.
void stream_tell_over(struct stream *stream, const struct rpc_status *status)
{
    if (stream->over_told)
        return;
    stream->over = true;
    stream->over_told = true;
    if (!stream->end_out || stream->channel->config.side == H2_CLIENT)
        stream_stop_timers(stream);
    stream_drop_inbox(stream);
    // A request whose headers never were complete is nobody's.
    if (!stream->begun)
        stream->released = true;
    if (!stream->released)
        stream->channel->events->on_over(stream->channel->ctx, stream, status);
}

static void end_answer(struct stream *stream, const struct rpc_status *status);

// Ends a call for a reason of this side's: on the wire, then for its owner.
void stream_fail(struct stream *stream, enum err_code code, const char *what)
{
    struct rpc_status status = rpc_status_make(code, "%s", what);
    struct grpc_conn *channel = stream->channel;
    stream_pin(stream);
    // Half a frame cannot be followed by a status, and an answer that stalled by none at all.
    bool broken = stream->outbox_sent > 0 || stream->end_out;
    stream_drop_outbox(stream);
    if (channel->config.side == H2_SERVER && !broken) {
        end_answer(stream, &status);
    } else {
        stream->end_out = true;
        stream_stop_timers(stream);
        if (!stream->closed)
            h2_reset(channel->h2, stream->id, H2_CANCEL);
    }
    stream_tell_over(stream, &status);
    stream_unpin(stream);
}

// ---- messages coming in ------------------------------------------------------------------------

void stream_give_back(struct stream *stream)
{
    if (stream->owed == 0 || !stream->channel)
        return;
    h2_consume(stream->channel->h2, stream->id, stream->owed);
    stream->owed = 0;
}

bool stream_may_deliver(const struct stream *stream)
{
    return !stream->paused && !stream->over && !stream->released && stream->channel;
}

// A message must be through in time: from its first byte, or for a single request from the headers.
void stream_watch_slow(struct stream *stream)
{
    struct grpc_conn *channel = stream->channel;
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

void stream_deliver_inbox(struct stream *stream)
{
    while (stream_may_deliver(stream) && !list_empty(&stream->inbox)) {
        struct list *link = list_pop_front(&stream->inbox);
        struct parcel *parcel = LIST_ENTRY(link, struct parcel, link);
        stream_set_held(stream, stream->held - parcel->size);
        stream->channel->events->on_message(stream->channel->ctx, stream, parcel->bytes,
                                            parcel->size);
        free(parcel);
    }
    if (stream_may_deliver(stream)) {
        stream_give_back(stream);
        stream_watch_slow(stream);
    }
}

// The peer's half is over and all its messages are delivered: say so.
void stream_deliver_end(struct stream *stream)
{
    if (!stream->end_in || stream->end_told || !stream_may_deliver(stream) ||
        !list_empty(&stream->inbox))
        return;
    stream->end_told = true;
    if (stream->channel->config.side == H2_CLIENT) {
        struct rpc_status status = stream_kept_final(stream);
        stream_tell_over(stream, &status);
        return;
    }
    timers_cancel(&stream->channel->timers, &stream->slow_timer.timer);
    stream->channel->events->on_end(stream->channel->ctx, stream);
}

void stream_take_message(struct stream *stream)
{
    size_t size;
    uint8_t *bytes = grpc_reader_take(&stream->reader, &size);
    stream_set_held(stream, stream->held - size);
    // The next message has its own time.
    if (!stream->one_message)
        timers_cancel(&stream->channel->timers, &stream->slow_timer.timer);
    if (stream_may_deliver(stream) && list_empty(&stream->inbox)) {
        stream->channel->events->on_message(stream->channel->ctx, stream, bytes, size);
        return;
    }
    list_push_back(&stream->inbox, &parcel_new(bytes, size)->link);
    stream_set_held(stream, stream->held + size);
}

// ---- what goes out -----------------------------------------------------------------------------

// The first block of a server's answer, with which the body's pulling begins.
static void send_response(struct stream *stream)
{
    if (stream->headers_out)
        return;
    stream->headers_out = true;
    // The stream may live long after it.
    struct arena scratch;
    arena_init_small(&scratch, STREAM_ARENA_BYTES_MAX);
    struct head_fields fields;
    head_make_response(&stream->headers, &scratch, &fields);
    h2_respond(stream->channel->h2, stream->id, fields.list, fields.count, false);
    arena_fini(&scratch);
}

int stream_send(struct stream *stream, uint8_t *frame, size_t size, struct err *err)
{
    CHECK(!stream->end_out || stream->over);
    struct grpc_conn *channel = stream->channel;
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
    struct grpc_conn *channel = stream->channel;
    CHECK(channel->config.side == H2_SERVER);
    stream->end_out = true;
    stream->over = true;
    stream_stop_timers(stream);
    stream_drop_inbox(stream);
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
        stream_keep_final(stream, status);
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
size_t stream_pull(struct stream *stream, uint8_t *out, size_t max)
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

void stream_forget_request(struct stream *stream)
{
    // What is still to be sent may lie there.
    bool begins = stream->headers.count > 0 && !stream->headers_out;
    if (begins || stream->over || stream->end_out)
        return;
    CHECK(stream->channel->config.side == H2_SERVER);
    stream->head.path = stream->head.message = stream->head.encoding = NULL;
    stream->head.details = NULL;
    arena_reset(&stream->arena);
    init_metadata(stream);
}

void stream_reset(struct stream *stream, uint32_t h2_error)
{
    stream->over = true;
    stream->over_told = true;
    stream->end_out = true;
    stream_stop_timers(stream);
    stream_drop_inbox(stream);
    stream_drop_outbox(stream);
    if (stream->channel && !stream->closed)
        h2_reset(stream->channel->h2, stream->id, h2_error);
}

void stream_cancel(struct stream *stream, const struct rpc_status *status)
{
    if (stream->over || !stream->channel || stream->end_told)
        return;
    stream_keep_final(stream, status);
    stream_drop_inbox(stream);
    stream_drop_outbox(stream);
    stream->end_in = true;
    stream->end_out = true;
    stream->paused = false;
    if (!stream->closed)
        h2_reset(stream->channel->h2, stream->id, H2_CANCEL);
    stream_make_ready(stream);
}

void stream_pause(struct stream *stream)
{
    stream->paused = true;
    if (stream->channel && !stream->end_out)
        stream_watch_slow(stream);
}

void stream_resume(struct stream *stream)
{
    if (!stream->paused)
        return;
    stream->paused = false;
    stream_make_ready(stream);
}

void stream_release(struct stream *stream)
{
    CHECK(!stream->released);
    stream->released = true;
    if (!stream->closed && !stream->over)
        stream_reset(stream, H2_CANCEL);
    stream_free_if_done(stream);
}
