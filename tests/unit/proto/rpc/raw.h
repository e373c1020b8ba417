// HTTP/2 frames by hand, for peers that nghttp2 would not play, against a channel in memory.
#ifndef TESTS_UNIT_PROTO_RPC_RAW_H
#define TESTS_UNIT_PROTO_RPC_RAW_H

#include "proto/base/buf.h"
#include "proto/rpc/grpc_conn.h"

enum {
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    WINDOW_UPDATE,
    CONTINUATION
};
#define END_STREAM  0x1
#define ACK         0x1
#define END_HEADERS 0x4

// A server's channel, and what became of it. Its service answers TEST "/t/Echo" with the request,
// and leaves every other call open.
struct victim {
    struct grpc_conn *channel;
    struct mono now;
    struct buf in;  // what raw_* put and victim_feed feeds
    struct buf out; // all that the channel sent
    struct err err; // of grpc_conn_receive or grpc_conn_tick; then the connection is over
    unsigned calls;
    unsigned over; // calls that ended before they were answered
    struct rpc_status last_over;
    struct stream *open; // the last call left open
};

struct victim_options {
    size_t held_bytes_max; // 0: 64 MiB
    int64_t slow_ms;       // 0: none
    int64_t keepalive_ms;  // 0: none; an answer may take 1 s
};

// With preface and SETTINGS exchanged. NULL: no options.
void victim_init(struct victim *victim, const struct victim_options *options);
void victim_fini(struct victim *victim);

// Feeds what was put and takes the output. False once the connection is over.
bool victim_feed(struct victim *victim);

// Lets time pass.
bool victim_pass(struct victim *victim, int64_t ms);

// How many frames of the type the channel sent, on the stream (-1: any); and the last one's
// payload.
unsigned victim_frames(const struct victim *victim, int type, int32_t stream, struct cursor *last);

// The error code of its GOAWAY, or -1.
int64_t victim_goaway(const struct victim *victim);

void raw_frame(struct buf *out, int type, int flags, uint32_t stream, const void *payload,
               size_t size);

// One literal field, not indexed.
void raw_field(struct buf *out, const char *name, const char *value);

// A request's fields, to the path.
void raw_request_fields(struct buf *out, const char *path);

// A whole HEADERS frame of a request.
void raw_request(struct buf *out, uint32_t stream, const char *path, int flags);

#endif
