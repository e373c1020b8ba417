// What a server may send to a gRPC client with four calls under way: the first byte says how the
// rest is cut into reads, and whether the calls are paused.
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/rpc/grpc_conn.h"
#include "proto/rpc/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CALLS 4

static unsigned over;

static void on_message(void *ctx, struct stream *stream, uint8_t *bytes, size_t size)
{
    (void)ctx;
    (void)stream;
    (void)size;
    free(bytes);
}

static void on_writable(void *ctx, struct stream *stream)
{
    (void)ctx;
    (void)stream;
}

static void on_over(void *ctx, struct stream *stream, const struct rpc_status *status)
{
    (void)ctx;
    (void)status;
    over++;
    stream_release(stream);
}

static const struct grpc_conn_events events = {
    .on_message = on_message,
    .on_writable = on_writable,
    .on_over = on_over,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    unsigned char manner = data[0];
    data++;
    size--;
    struct mono now = {NS_PER_S};
    struct grpc_conn_config config = {
        .side = H2_CLIENT,
        .stream_bytes = sizeof(struct stream),
        .message_bytes_max = 1 << 16,
        .held_bytes_max = 1 << 18,
        .queue_bytes_max = 1 << 18,
        .keepalive_ms = 100,
        .keepalive_timeout_ms = 1000,
        .authority = "x",
    };
    struct grpc_conn *channel = grpc_conn_new(&config, &events, NULL, now);
    struct buf out;
    buf_init(&out, 64 << 20);
    over = 0;
    for (unsigned i = 0; i < CALLS; i++) {
        struct stream *stream = grpc_conn_open(channel, "/a/b", NULL, i == 3 ? 50 * NS_PER_MS : -1);
        CHECK(stream);
        uint8_t *frame;
        size_t frame_size;
        int framed = message_frame_raw("hello", 5, &frame, &frame_size, NULL);
        CHECK(framed == 0);
        stream_send(stream, frame, frame_size, NULL);
        if (i != 2)
            stream_end(stream);
        if (manner & 1 && i == 1)
            stream_pause(stream);
    }
    grpc_conn_output(channel, &out, 1 << 20);
    size_t step = manner >> 4 ? (size_t)(manner >> 4) * 7 : size;
    struct err err = ERR_INIT;
    int result = 0;
    while (size > 0 && result == 0) {
        size_t part = size < step ? size : step;
        result = grpc_conn_receive(channel, data, part, now, &err);
        data += part;
        size -= part;
        grpc_conn_run(channel);
        buf_clear(&out);
        grpc_conn_output(channel, &out, 1 << 20);
        now = mono_add(now, 10 * NS_PER_MS);
        if (result == 0)
            result = grpc_conn_tick(channel, now, &err);
    }
    buf_fini(&out);
    grpc_conn_free(channel, NULL);
    CHECK(over == CALLS); // each call ends exactly once
    return 0;
}
