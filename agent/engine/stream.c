#include "agent/engine/stream.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/net/conn_io.h"

#define STREAM_MAGIC     0x7374726du
#define KEYS_MAX         16
#define HELD_BYTES_MAX   (4u << 20)
#define INPUT_AGAIN_MS   5 // input that the process did not take
#define FRAME_HEAD_BYTES 8

struct stream {
    unsigned magic;
    struct conn *conn; // NULL: closed
    struct crates *crates;
    struct stream_options options;
    const struct stream_target *class; // NULL: not yet, or over
    void *target;
    bool ended;      // the target did
    bool end_input;  // the client did
    struct buf held; // input that waits
    struct loop_timer again;
    unsigned char keys[KEYS_MAX];
    size_t keys_count;
    size_t keys_seen; // of them, at the end of what came
};

// ---- detach keys -------------------------------------------------------------------------------

static bool key_of(struct str_part part, unsigned char *out)
{
    static const char others[] = "@[\\]^_";
    if (part.len == 1) {
        *out = (unsigned char)part.at[0];
        return true;
    }
    if (part.len != 6 || strncmp(part.at, "ctrl-", 5) != 0)
        return false;
    char c = (char)tolower((unsigned char)part.at[5]);
    const char *other = strchr(others, part.at[5]);
    if (c >= 'a' && c <= 'z')
        *out = (unsigned char)(c - 'a' + 1);
    else if (other && *other)
        *out = part.at[5] == '@' ? 0 : (unsigned char)(27 + (other - others) - 1);
    else
        return false;
    return true;
}

static bool keys_read(const char *text, unsigned char keys[KEYS_MAX], size_t *count)
{
    const char *rest = str_or(text, "ctrl-p,ctrl-q");
    struct str_part part;
    *count = 0;
    while (str_split(&rest, ',', &part))
        if (*count == KEYS_MAX || !key_of(part, &keys[(*count)++]))
            return false;
    return true;
}

bool stream_keys_valid(const char *text)
{
    unsigned char keys[KEYS_MAX];
    size_t count;
    return keys_read(text, keys, &count);
}

// ---- input -------------------------------------------------------------------------------------

static void stream_free(struct stream *stream)
{
    loop_timer_stop(&stream->again);
    buf_fini(&stream->held);
    MAGIC_CLEAR(stream);
    free(stream);
}

static void input_flush(struct stream *stream)
{
    if (!stream->class || stream->ended)
        return;
    if (stream->held.len) {
        size_t size = stream->held.len < 65536 ? stream->held.len : 65536;
        int rc = stream->class->write(stream->target, stream->held.data, size);
        if (rc == -ERR_RESOURCE_EXHAUSTED) {
            loop_timer_start(&stream->again, INPUT_AGAIN_MS);
            return;
        }
        buf_consume(&stream->held, rc ? stream->held.len : size);
        if (stream->held.len) {
            loop_timer_start(&stream->again, 0);
            return;
        }
    }
    if (stream->end_input)
        stream->class->end(stream->target);
    else if (stream->conn && conn_paused(stream->conn))
        conn_resume(stream->conn);
}

static void on_again(struct loop_timer *timer)
{
    input_flush(CONTAINER_OF(timer, struct stream, again));
}

// Keeps the keys back until it is clear whether they are the sequence; true when they were.
static bool input_filter(struct stream *stream, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == stream->keys[stream->keys_seen]) {
            if (++stream->keys_seen == stream->keys_count)
                return true;
            continue;
        }
        buf_put(&stream->held, stream->keys, stream->keys_seen);
        stream->keys_seen = bytes[i] == stream->keys[0];
        if (!stream->keys_seen)
            buf_put_u8(&stream->held, bytes[i]);
    }
    return false;
}

static void on_data(struct conn *conn, void *owner, const uint8_t *bytes, size_t size)
{
    struct stream *stream = owner;
    MAGIC_CHECK(stream, STREAM_MAGIC);
    if (!stream->options.in || stream->ended)
        return;
    bool detach = false;
    if (stream->options.tty)
        detach = input_filter(stream, bytes, size);
    else
        buf_put(&stream->held, bytes, size);
    conn_pause(conn); // until the process took it
    input_flush(stream);
    if (detach)
        conn_shutdown(conn);
}

static void on_end(struct conn *conn, void *owner)
{
    (void)conn;
    struct stream *stream = owner;
    MAGIC_CHECK(stream, STREAM_MAGIC);
    stream->end_input = true;
    if (!stream->options.in)
        return; // a client that only listens may close its side
    input_flush(stream);
}

// ---- output ------------------------------------------------------------------------------------

static void on_drain(struct conn *conn, void *owner)
{
    (void)conn;
    struct stream *stream = owner;
    if (stream->class && !stream->ended)
        stream->class->pause(stream->target, false);
}

static void on_close(struct conn *conn, void *owner, const struct err *why)
{
    (void)conn;
    (void)why;
    struct stream *stream = owner;
    MAGIC_CHECK(stream, STREAM_MAGIC);
    stream->conn = NULL;
    const struct stream_target *class = stream->class;
    stream->class = NULL;
    if (class)
        class->leave(stream->target);
    crates_release(stream->crates);
    stream_free(stream);
}

void stream_output(void *owner, int number, const void *bytes, size_t size)
{
    struct stream *stream = owner;
    MAGIC_CHECK(stream, STREAM_MAGIC);
    bool wanted = number == 2 ? stream->options.err : stream->options.out;
    if (!stream->conn || !wanted || size == 0)
        return;
    if (!stream->options.tty) {
        uint8_t head[FRAME_HEAD_BYTES] = {(uint8_t)number,
                                          0,
                                          0,
                                          0,
                                          (uint8_t)(size >> 24),
                                          (uint8_t)(size >> 16),
                                          (uint8_t)(size >> 8),
                                          (uint8_t)size};
        conn_write(stream->conn, head, sizeof head);
    }
    conn_write(stream->conn, bytes, size);
    if (conn_room(stream->conn) == 0 && stream->class)
        stream->class->pause(stream->target, true);
}

void stream_ended(void *owner)
{
    struct stream *stream = owner;
    MAGIC_CHECK(stream, STREAM_MAGIC);
    stream->ended = true;
    loop_timer_stop(&stream->again);
    if (stream->conn)
        conn_shutdown(stream->conn);
}

// ---- opening -----------------------------------------------------------------------------------

struct stream *stream_open(struct request *request, struct crates *crates,
                           const struct stream_options *options)
{
    static const struct conn_handler handler = {
        .on_data = on_data, .on_end = on_end, .on_drain = on_drain, .on_close = on_close};
    struct stream *stream = MEM_NEW(struct stream);
    MAGIC_SET(stream, STREAM_MAGIC);
    stream->options = *options;
    stream->crates = crates;
    crates_hold(crates);
    CHECK(keys_read(options->detach_keys, stream->keys, &stream->keys_count));
    stream->options.detach_keys = NULL;
    buf_init(&stream->held, HELD_BYTES_MAX);
    loop_timer_init(&stream->again, request_loop(request), on_again);
    const char *type = !options->tty && request_minor(request) >= 42
                           ? "application/vnd.docker.multiplexed-stream"
                           : "application/vnd.docker.raw-stream";
    stream->conn = request_hijack(request, type, &handler, stream);
    return stream;
}

void stream_begin(struct stream *stream, const struct stream_target *class, void *target)
{
    stream->class = class;
    stream->target = target;
    input_flush(stream);
}
