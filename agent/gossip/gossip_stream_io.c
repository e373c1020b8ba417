// The gossip shell's connections: one sealed frame in each direction, then the end (gossip.md
// section 7).
#include <stdlib.h>
#include <string.h>

#include "agent/gossip/gossip_impl_io.h"
#include "agent/gossip/stream.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

// Compressing a large frame would keep the loop from everything else; small ones gain nothing.
#define COMPRESS_FROM_BYTES 256
#define COMPRESS_TO_BYTES   (256 << 10)

#define WARN_EACH_NS (10 * NS_PER_S)

struct gossip_stream {
    struct list link;
    struct gossip *gossip;
    struct conn *conn;
    struct buf in;
    size_t frame_size; // 0: not known yet
    uint32_t ticket;   // of ours; 0: a peer's
    struct site to;    // of ours
    bool answered;     // an answer is due
    bool done;         // the outcome is told
    bool dropping;     // what else comes is not looked at
};

static struct gossip_counters *counters_of(const struct gossip_stream *stream)
{
    return gossiper_counters(stream->gossip->core);
}

// ---- writing -----------------------------------------------------------------------------------

static void send_frame(struct gossip_stream *stream, const struct buf *plain)
{
    struct gossip *gossip = stream->gossip;
    struct buf frame;
    buf_init(&frame, STREAM_HEADER_BYTES + STREAM_FRAME_BYTES_MAX);
    bool compress = plain->len >= COMPRESS_FROM_BYTES && plain->len <= COMPRESS_TO_BYTES;
    stream_seal(gossip->ring, gossip_nonce(gossip), compress, plain->data, plain->len, &frame);
    if (buf_ok(&frame)) {
        counters_of(stream)->stream_bytes_out += frame.len;
        conn_write(stream->conn, frame.data, frame.len);
    } else {
        struct err err = ERR_INIT;
        err_set(&err, ERR_RESOURCE_EXHAUSTED, "gossip frame of %zu bytes is too large", plain->len);
        conn_close(stream->conn, &err);
    }
    buf_fini(&frame);
}

static void send_error(struct gossip_stream *stream, const struct err *err)
{
    struct buf plain;
    struct gossip_message message = {
        .type = GOSSIP_ERROR, .error = {(const uint8_t *)err->message, strlen(err->message)}};
    buf_init(&plain, PACKET_BYTES_MAX);
    gossip_encode(&message, &plain);
    send_frame(stream, &plain);
    buf_fini(&plain);
}

// ---- reading -----------------------------------------------------------------------------------

static void forget_input(struct gossip_stream *stream)
{
    stream->gossip->unread_bytes -= stream->in.len;
    buf_fini(&stream->in);
}

// A peer's message is whole: answers it, or says why not.
static void serve(struct gossip_stream *stream, struct span plain)
{
    struct gossip *gossip = stream->gossip;
    struct buf reply;
    struct err err = ERR_INIT;
    buf_init(&reply, STREAM_FRAME_BYTES_MAX);
    int result = gossiper_request(gossip->core, gossip_begin(gossip), plain, &reply, &err);
    if (result) {
        counters_of(stream)->drop_stream_failed++;
        send_error(stream, &err);
    } else if (reply.len > 0) {
        send_frame(stream, &reply);
    }
    buf_fini(&reply);
    conn_shutdown(stream->conn);
    gossip_end(gossip);
}

static void finish(struct gossip_stream *stream, bool good, struct span plain)
{
    struct gossip *gossip = stream->gossip;
    if (stream->done || !stream->ticket)
        return;
    stream->done = true;
    struct mono now = gossip_begin(gossip);
    if (good)
        gossiper_answer(gossip->core, now, stream->ticket, plain);
    else
        gossiper_failed(gossip->core, now, stream->ticket);
    gossip_end(gossip);
}

static void take_frame(struct gossip_stream *stream)
{
    struct buf plain;
    struct err err = ERR_INIT;
    buf_init(&plain, STREAM_PLAIN_BYTES_MAX);
    int result =
        stream_unseal(stream->gossip->ring, stream->in.data, stream->frame_size, &plain, &err);
    struct span span = {plain.data, plain.len};
    stream->dropping = true;
    forget_input(stream);
    if (result) {
        counters_of(stream)->drop_unsealed += result == -ERR_UNAUTHENTICATED;
        conn_close(stream->conn, &err);
    } else if (stream->ticket) {
        finish(stream, true, span);
        conn_close(stream->conn, NULL);
    } else {
        serve(stream, span);
    }
    buf_fini(&plain);
}

static void refuse(struct gossip_stream *stream, const struct err *err)
{
    stream->dropping = true;
    forget_input(stream);
    if (!stream->ticket && err->code == ERR_UNAUTHENTICATED) {
        counters_of(stream)->drop_unsealed++;
        send_error(stream, err);
        conn_shutdown(stream->conn);
    } else {
        conn_close(stream->conn, err);
    }
}

static void on_data(struct conn *conn, void *owner, const uint8_t *bytes, size_t size)
{
    struct gossip_stream *stream = owner;
    struct gossip *gossip = stream->gossip;
    struct err err = ERR_INIT;
    (void)conn;
    counters_of(stream)->stream_bytes_in += size;
    if (stream->dropping)
        return;
    if (gossip->unread_bytes + size > GOSSIP_UNREAD_BYTES_MAX) {
        err_set(&err, ERR_RESOURCE_EXHAUSTED, "too many gossip frames are under way");
        refuse(stream, &err);
        return;
    }
    buf_put(&stream->in, bytes, size);
    if (!buf_ok(&stream->in)) {
        err_set(&err, ERR_RESOURCE_EXHAUSTED, "gossip frame is too large");
        refuse(stream, &err);
        return;
    }
    gossip->unread_bytes += size;
    if (stream->frame_size == 0 &&
        stream_frame_size(stream->in.data, stream->in.len, &stream->frame_size, &err)) {
        refuse(stream, &err);
        return;
    }
    if (stream->frame_size > 0 && stream->in.len >= stream->frame_size)
        take_frame(stream);
}

// Why a join or a sync does not work is the first thing an operator looks for.
static void warn(struct gossip_stream *stream, const struct err *why)
{
    struct gossip *gossip = stream->gossip;
    char text[ADDR_TEXT_BYTES];
    struct mono now = loop_now(gossip->config.loop);
    const char *peer = site_format(&stream->to, text);
    const char *message = why->code == ERR_OK ? "closed without an answer" : why->message;
    if (mono_since(now, gossip->warned) < WARN_EACH_NS) {
        log_debug("gossip stream failed", "peer=%s err=\"%s\"", peer, message);
        return;
    }
    gossip->warned = now;
    log_warn("gossip stream failed", "peer=%s err=\"%s\"", peer, message);
}

static void on_close(struct conn *conn, void *owner, const struct err *why)
{
    struct gossip_stream *stream = owner;
    struct gossip *gossip = stream->gossip;
    (void)conn;
    // A message without an answer arrived if the peer closed in order.
    bool sent = !stream->answered && why->code == ERR_OK && !gossip->closing;
    if (stream->ticket && !stream->done && !sent && !gossip->closing) {
        counters_of(stream)->drop_stream_failed++;
        warn(stream, why);
    }
    if (!stream->ticket && !stream->dropping && !gossip->closing)
        counters_of(stream)->drop_stream_failed++;
    finish(stream, sent, (struct span){NULL, 0});
    forget_input(stream);
    list_remove(&stream->link);
    free(stream);
    gossip_closing(gossip);
}

// ---- both sides --------------------------------------------------------------------------------

static void on_open(struct conn *conn, void *owner)
{
    const struct gossip_stream *stream = owner;
    // What is queued goes, then our end; the peer's end tells that it has read all of it.
    if (!stream->answered)
        conn_shutdown(conn);
}

static const struct conn_handler handler = {
    .on_open = on_open, .on_data = on_data, .on_close = on_close};

static struct gossip_stream *stream_new(struct gossip *gossip)
{
    struct gossip_stream *stream = MEM_NEW(struct gossip_stream);
    stream->gossip = gossip;
    buf_init(&stream->in, STREAM_HEADER_BYTES + STREAM_FRAME_BYTES_MAX);
    list_push_back(&gossip->streams, &stream->link);
    return stream;
}

void gossip_stream_out(void *owner, const struct site *to, uint32_t ticket, const struct buf *plain,
                       bool answered)
{
    struct gossip *gossip = owner;
    struct gossip_stream *stream = stream_new(gossip);
    struct addr addr = addr_of_ip(to->ip, to->ip_size, to->port);
    struct conn_options options = {.open_ms = SWIM_STREAM_NS / NS_PER_MS};
    stream->ticket = ticket;
    stream->to = *to;
    stream->answered = answered;
    counters_of(stream)->streams_out++;
    stream->conn = conn_connect(gossip->config.loop, &addr, &options, &handler, stream);
    conn_set_deadline(stream->conn, SWIM_STREAM_NS / NS_PER_MS, "the gossip peer does not answer");
    send_frame(stream, plain);
}

static void on_accept(struct listener *listener, struct conn *conn, void *owner)
{
    struct gossip *gossip = owner;
    (void)listener;
    struct gossip_stream *stream = stream_new(gossip);
    stream->conn = conn;
    conn_set_handler(conn, &handler, stream);
    conn_set_deadline(conn, SWIM_STREAM_NS / NS_PER_MS, "no gossip message came");
    counters_of(stream)->streams_in++;
    if (gossip->started && !gossip->closing)
        return;
    counters_of(stream)->drop_keyless++;
    stream->dropping = true;
    conn_close(conn, NULL);
}

int gossip_listen(struct gossip *gossip, const struct addr *bind, struct err *err)
{
    struct admission_limits limits = admission_limits_default();
    limits.total = GOSSIP_STREAMS_MAX;
    limits.per_address = GOSSIP_STREAMS_PER_HOST;
    gossip->gate = gate_new(&limits);
    struct listener_options options = {
        .addr = *bind, .fd = -1, .gate = gossip->gate, .on_accept = on_accept, .owner = gossip};
    gossip->listener = listener_open(gossip->config.loop, &options, err);
    return gossip->listener ? 0 : -(int)err->code;
}

static void on_listener_closed(void *owner)
{
    struct gossip *gossip = owner;
    gossip->listener = NULL;
    gossip_closing(gossip);
}

void gossip_listen_end(struct gossip *gossip)
{
    if (!gossip->listener || gossip->listener_closing)
        return;
    gossip->listener_closing = true;
    listener_close(gossip->listener, on_listener_closed);
}

void gossip_streams_close(struct gossip *gossip)
{
    LIST_EACH (link, &gossip->streams)
        conn_close(LIST_ENTRY(link, struct gossip_stream, link)->conn, NULL);
}
