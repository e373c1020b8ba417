// What a client may send to a gRPC server: the first byte says how the rest is cut into reads, and
// whether calls are answered, paused or left open.
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/rpc/grpc_conn.h"
#include "proto/rpc/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned char manner;
static unsigned live; // streams that are ours

static void on_call(void *ctx, struct stream *stream)
{
    (void)ctx;
    live++;
    stream->one_message = manner & 1;
    if (manner & 2)
        stream_pause(stream);
}

static void on_message(void *ctx, struct stream *stream, uint8_t *bytes, size_t size)
{
    (void)ctx;
    uint8_t *frame;
    size_t frame_size;
    int result = message_frame_raw(bytes, size, &frame, &frame_size, NULL);
    CHECK(result == 0);
    stream_send(stream, frame, frame_size, NULL);
    free(bytes);
}

static void on_end(void *ctx, struct stream *stream)
{
    (void)ctx;
    if (manner & 4)
        return;
    struct rpc_status status = rpc_status_make(manner & 8 ? ERR_ABORTED : ERR_OK, "so");
    stream_finish(stream, &status);
    stream_release(stream);
    live--;
}

static void on_writable(void *ctx, struct stream *stream)
{
    (void)ctx;
    (void)stream;
}

static void on_over(void *ctx, struct stream *stream, const struct rpc_status *status)
{
    (void)ctx;
    CHECK(status->err.code != ERR_OK);
    stream_release(stream);
    live--;
}

static const struct grpc_conn_events events = {
    .on_call = on_call,
    .on_message = on_message,
    .on_end = on_end,
    .on_writable = on_writable,
    .on_over = on_over,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    manner = data[0];
    data++;
    size--;
    struct mono now = {NS_PER_S};
    struct grpc_conn_config config = {
        .side = H2_SERVER,
        .stream_bytes = sizeof(struct stream),
        .message_bytes_max = 1 << 16,
        .held_bytes_max = 1 << 18,
        .queue_bytes_max = 1 << 18,
        .streams_max = 100,
        .slow_ms = 1000,
        .keepalive_ms = 10000,
        .keepalive_timeout_ms = 1000,
    };
    struct grpc_conn *channel = grpc_conn_new(&config, &events, NULL, now);
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    struct err err = ERR_INIT;
    int result =
        grpc_conn_receive(channel, (const uint8_t *)preface, sizeof preface - 1, now, &err);
    CHECK(result == 0);
    size_t step = manner >> 4 ? (size_t)(manner >> 4) * 7 : size;
    struct buf out;
    buf_init(&out, 64 << 20);
    while (size > 0 && result == 0) {
        size_t part = size < step ? size : step;
        result = grpc_conn_receive(channel, data, part, now, &err);
        data += part;
        size -= part;
        grpc_conn_run(channel);
        grpc_conn_output(channel, &out, 1 << 20);
        buf_clear(&out);
        now = mono_add(now, 10 * NS_PER_MS);
        if (result == 0)
            result = grpc_conn_tick(channel, now, &err);
        CHECK(result == 0 || err.code != ERR_OK);
    }
    grpc_conn_output(channel, &out, 1 << 20);
    buf_fini(&out);
    grpc_conn_free(channel, NULL);
    CHECK(live == 0);
    return 0;
}
