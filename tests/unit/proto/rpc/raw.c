#include "tests/unit/proto/rpc/raw.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"
#include "proto/rpc/message.h"

// ---- frames -------------------------------------------------------------------------------------

void raw_frame(struct buf *out, int type, int flags, uint32_t stream, const void *payload,
               size_t size)
{
    buf_put_u8(out, (uint8_t)(size >> 16));
    buf_put_u16be(out, (uint16_t)size);
    buf_put_u8(out, (uint8_t)type);
    buf_put_u8(out, (uint8_t)flags);
    buf_put_u32be(out, stream);
    buf_put(out, payload, size);
    ck_assert(buf_ok(out));
}

// HPACK's integer with a prefix of 7 bits (RFC 7541 section 5.1).
static void put_length(struct buf *out, size_t value)
{
    if (value < 127) {
        buf_put_u8(out, (uint8_t)value);
        return;
    }
    buf_put_u8(out, 127);
    for (value -= 127; value >= 128; value >>= 7)
        buf_put_u8(out, (uint8_t)(value | 128));
    buf_put_u8(out, (uint8_t)value);
}

void raw_field(struct buf *out, const char *name, const char *value)
{
    buf_put_u8(out, 0);
    put_length(out, strlen(name));
    buf_put_str(out, name);
    put_length(out, strlen(value));
    buf_put_str(out, value);
}

void raw_request_fields(struct buf *out, const char *path)
{
    raw_field(out, ":method", "POST");
    raw_field(out, ":scheme", "https");
    raw_field(out, ":path", path);
    raw_field(out, ":authority", "x");
    raw_field(out, "content-type", "application/grpc");
    raw_field(out, "te", "trailers");
}

void raw_request(struct buf *out, uint32_t stream, const char *path, int flags)
{
    struct buf block;
    buf_init(&block, 16384);
    raw_request_fields(&block, path);
    raw_frame(out, HEADERS, flags, stream, block.data, block.len);
    buf_fini(&block);
}

// ---- the victim ---------------------------------------------------------------------------------

struct victim_call {
    struct stream stream;
    bool answered;
};

static void on_call(void *ctx, struct stream *stream)
{
    struct victim *victim = ctx;
    victim->calls++;
    stream->one_message = true;
    if (strcmp(stream->head.path, "/t/Echo") != 0)
        victim->open = stream;
}

static void on_message(void *ctx, struct stream *stream, uint8_t *bytes, size_t size)
{
    (void)ctx;
    if (strcmp(stream->head.path, "/t/Echo") == 0) {
        uint8_t *frame;
        size_t frame_size;
        ck_assert_int_eq(message_frame_raw(bytes, size, &frame, &frame_size, NULL), 0);
        ck_assert_int_eq(stream_send(stream, frame, frame_size, NULL), 0);
    }
    free(bytes);
}

static void on_end(void *ctx, struct stream *stream)
{
    (void)ctx;
    if (strcmp(stream->head.path, "/t/Echo") != 0)
        return;
    struct rpc_status ok = RPC_STATUS_OK;
    ((struct victim_call *)stream)->answered = true;
    stream_finish(stream, &ok);
    stream_release(stream);
}

static void on_writable(void *ctx, struct stream *stream)
{
    (void)ctx;
    (void)stream;
}

static void on_over(void *ctx, struct stream *stream, const struct rpc_status *status)
{
    struct victim *victim = ctx;
    if (victim->open == stream)
        victim->open = NULL;
    ck_assert(!((struct victim_call *)stream)->answered);
    victim->over++;
    victim->last_over = *status;
    stream_release(stream);
}

static const struct grpc_conn_events events = {
    .on_call = on_call,
    .on_message = on_message,
    .on_end = on_end,
    .on_writable = on_writable,
    .on_over = on_over,
};

void victim_init(struct victim *victim, const struct victim_options *options)
{
    memset(victim, 0, sizeof *victim);
    buf_init(&victim->in, 64 << 20);
    buf_init(&victim->out, 64 << 20);
    victim->now = (struct mono){1000 * NS_PER_S};
    struct grpc_conn_config config = {
        .side = H2_SERVER,
        .stream_bytes = sizeof(struct victim_call),
        .message_bytes_max = GRPC_SERVER_MESSAGE_BYTES_MAX,
        .held_bytes_max = options && options->held_bytes_max ? options->held_bytes_max : 64 << 20,
        .queue_bytes_max = 64 << 20,
        .streams_max = 1000,
        .slow_ms = options ? options->slow_ms : 0,
        .keepalive_ms = options ? options->keepalive_ms : 0,
        .keepalive_timeout_ms = 1000,
    };
    victim->channel = grpc_conn_new(&config, &events, victim, victim->now);
    buf_put_str(&victim->in, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    raw_frame(&victim->in, SETTINGS, 0, 0, NULL, 0);
    raw_frame(&victim->in, SETTINGS, ACK, 0, NULL, 0);
    ck_assert(victim_feed(victim));
    ck_assert_uint_ge(victim_frames(victim, SETTINGS, 0, NULL), 2); // its own and the answer
    buf_clear(&victim->out);
}

void victim_fini(struct victim *victim)
{
    grpc_conn_free(victim->channel, NULL);
    buf_fini(&victim->in);
    buf_fini(&victim->out);
}

static void take_output(struct victim *victim)
{
    while (grpc_conn_output(victim->channel, &victim->out, victim->out.len + 65536))
        ;
    ck_assert(buf_ok(&victim->out));
}

bool victim_feed(struct victim *victim)
{
    if (victim->err.code == ERR_OK)
        grpc_conn_receive(victim->channel, victim->in.data, victim->in.len, victim->now,
                          &victim->err);
    buf_clear(&victim->in);
    grpc_conn_run(victim->channel);
    take_output(victim);
    return victim->err.code == ERR_OK && !grpc_conn_finished(victim->channel);
}

bool victim_pass(struct victim *victim, int64_t ms)
{
    struct mono end = mono_add(victim->now, ms * NS_PER_MS);
    while (!mono_before(end, grpc_conn_due(victim->channel)) && victim->err.code == ERR_OK) {
        if (mono_before(victim->now, grpc_conn_due(victim->channel)))
            victim->now = grpc_conn_due(victim->channel);
        grpc_conn_tick(victim->channel, victim->now, &victim->err);
        grpc_conn_run(victim->channel);
        take_output(victim);
    }
    victim->now = end;
    grpc_conn_set_now(victim->channel, end);
    return victim->err.code == ERR_OK && !grpc_conn_finished(victim->channel);
}

unsigned victim_frames(const struct victim *victim, int type, int32_t stream, struct cursor *last)
{
    struct cursor all = cursor_of(victim->out.data, victim->out.len);
    unsigned found = 0;
    while (cursor_left(&all) > 0) {
        size_t size = (size_t)cursor_u8(&all) << 16;
        size |= cursor_u16be(&all);
        int is = cursor_u8(&all);
        cursor_u8(&all);
        uint32_t on = cursor_u32be(&all);
        struct cursor payload = cursor_sub(&all, size);
        ck_assert(cursor_ok(&all));
        if (is != type || (stream >= 0 && on != (uint32_t)stream))
            continue;
        found++;
        if (last)
            *last = payload;
    }
    return found;
}

int64_t victim_goaway(const struct victim *victim)
{
    struct cursor last;
    if (victim_frames(victim, GOAWAY, 0, &last) == 0)
        return -1;
    cursor_u32be(&last);
    return cursor_u32be(&last);
}
