// One HTTP/2 connection as a pure machine over nghttp2: bytes and the time go in, bytes and events
// come out. It knows streams, headers, data, flow control and how to stay bounded against a hostile
// peer; it does not know gRPC.
//
// Events are callbacks made from within h2_receive and h2_output; they may call every function here
// but h2_receive, h2_output and h2_free. Receiving never buffers: data is handed on as it comes and
// its window is given back only by h2_consume.
#ifndef PROTO_RPC_H2_H
#define PROTO_RPC_H2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"

enum h2_side {
    H2_CLIENT,
    H2_SERVER,
};

// Error codes of RFC 9113 section 7 that are used here.
#define H2_NO_ERROR          0x0u
#define H2_PROTOCOL_ERROR    0x1u
#define H2_INTERNAL_ERROR    0x2u
#define H2_FLOW_CONTROL      0x3u
#define H2_REFUSED_STREAM    0x7u
#define H2_CANCEL            0x8u
#define H2_ENHANCE_YOUR_CALM 0xbu

// CVE-2023-44487: a peer may make this many streams end unserved (its resets, and those its errors
// cause) beyond those it let us serve, then it is sent away.
#define H2_RESETS_MAX 200

// PING, SETTINGS, PRIORITY, empty DATA and the like cost us work and the peer nothing: that many
// at once, and that many more each second, and one for each frame of data that we sent.
#define H2_CONTROL_BURST      1000
#define H2_CONTROL_PER_SECOND 500

// Decoded header bytes per block; names and values plus 32 each, as HPACK counts. A block that
// passes it fails its stream; the decoder goes on without keeping anything.
#define H2_HEADER_BYTES_MAX (16u * 1024)

// A block past this ends the connection: an honest peer has seen our SETTINGS (CVE-2016-6581).
#define H2_HEADER_BOMB_BYTES (8 * H2_HEADER_BYTES_MAX)

// Replies to PING and SETTINGS that wait for a peer that does not read.
#define H2_OUTBOUND_ACKS_MAX 100

// The windows we offer.
#define H2_STREAM_WINDOW_BYTES     (256u * 1024)
#define H2_CONNECTION_WINDOW_BYTES (4u * 1024 * 1024)

struct h2;

// A header field. Names are lower case. Borrowed for the call.
struct h2_field {
    const char *name;
    const char *value;
    size_t name_size;
    size_t value_size;
};

#define H2_FIELD(name, value)                                                                      \
    ((struct h2_field){(name), (value), sizeof(name) - 1, sizeof(value) - 1})

struct h2_config {
    enum h2_side side;
    uint32_t streams_max;       // how many streams the peer may have open; servers only
    uint32_t resets_max;        // 0: H2_RESETS_MAX
    uint32_t stream_window;     // bytes; 0: H2_STREAM_WINDOW_BYTES
    uint32_t connection_window; // bytes; 0: H2_CONNECTION_WINDOW_BYTES
};

// `user` is what h2_stream_attach gave the stream, NULL before.
struct h2_events {
    // A server's peer opened a stream. Fields follow.
    void (*on_stream)(void *ctx, int32_t stream);
    // One field of the headers, or (trailers) of those after the data.
    void (*on_field)(void *ctx, int32_t stream, void *user, const struct h2_field *field,
                     bool trailers);
    // The block is complete. `oversized`: fields were left out because of H2_HEADER_BYTES_MAX.
    void (*on_headers)(void *ctx, int32_t stream, void *user, bool trailers, bool oversized);
    void (*on_data)(void *ctx, int32_t stream, void *user, const uint8_t *bytes, size_t size);
    // The peer will send no more on this stream.
    void (*on_end)(void *ctx, int32_t stream, void *user);
    // The stream is gone: for every stream once, but not when the session is freed. `error` is
    // H2_NO_ERROR after a regular end. `user` is NULL for a request that was never sent.
    void (*on_closed)(void *ctx, int32_t stream, void *user, uint32_t error);
    // Fill out[0..max): what to send next on the stream. Returns the bytes written; 0 means wait
    // for h2_resume. *end: these are the last, and with *trailers the callee calls h2_trailers
    // before it returns.
    size_t (*on_pull)(void *ctx, int32_t stream, void *user, uint8_t *out, size_t max, bool *end,
                      bool *trailers);
    // The peer's first SETTINGS arrived.
    void (*on_settings)(void *ctx);
    // The peer takes no new streams; those above last_stream were not processed.
    void (*on_goaway)(void *ctx, int32_t last_stream, uint32_t error);
    // The answer to our h2_ping.
    void (*on_pong)(void *ctx);
};

// A session that has its preface and SETTINGS ready to send. `events` is borrowed for its life.
struct h2 *h2_new(const struct h2_config *config, const struct h2_events *events, void *ctx);
void h2_free(struct h2 *h2);

// Feeds bytes from the peer. An error means: flush h2_output (it holds a GOAWAY), then close.
int h2_receive(struct h2 *h2, const uint8_t *bytes, size_t size, struct mono now, struct err *err);

// Appends bytes to send until `out` holds `enough` bytes or nothing is left; a frame is never cut,
// so it may pass `enough` by one frame. True when there may be more.
bool h2_output(struct h2 *h2, struct buf *out, size_t enough);

// True when there is something h2_output would give.
bool h2_wants_output(const struct h2 *h2);

// True when both sides are done: close the connection.
bool h2_finished(const struct h2 *h2);

// ---- streams -----------------------------------------------------------------------------------

// Opens a stream (clients). `end`: no body follows. Returns its id (> 0), or UNAVAILABLE when the
// peer's limit of streams is reached, after its GOAWAY or when ids are used up.
int32_t h2_open(struct h2 *h2, const struct h2_field *fields, size_t count, bool end, void *user,
                struct err *err);

// Ties a user pointer to a stream (servers, from on_stream).
void h2_stream_attach(struct h2 *h2, int32_t stream, void *user);

// Sends response headers; with `end` that is all. Otherwise a body is pulled.
void h2_respond(struct h2 *h2, int32_t stream, const struct h2_field *fields, size_t count,
                bool end);

// Sends trailers after what on_pull gave with *end and *trailers; from inside on_pull.
void h2_trailers(struct h2 *h2, int32_t stream, const struct h2_field *fields, size_t count);

// on_pull has something again.
void h2_resume(struct h2 *h2, int32_t stream);

// Ends the stream now. Harmless when it is gone.
void h2_reset(struct h2 *h2, int32_t stream, uint32_t error);

// Gives back the window of `size` bytes of data that were used up. `stream` may be gone.
void h2_consume(struct h2 *h2, int32_t stream, size_t size);

// Streams open now, from either side.
size_t h2_streams(const struct h2 *h2);

// True after the peer's GOAWAY or our own: streams end, none begin.
bool h2_draining(const struct h2 *h2);

// True when h2_open may succeed.
bool h2_can_open(const struct h2 *h2);

// ---- the connection ----------------------------------------------------------------------------

void h2_ping(struct h2 *h2);

// Tells the peer that no new streams are taken; running ones go on. The first half (`final` false)
// tells that the end is near, without refusing what is on the way (RFC 9113 section 6.8).
void h2_goaway(struct h2 *h2, bool final);

// Ends the connection after the output so far with GOAWAY.
void h2_terminate(struct h2 *h2, uint32_t error, const char *why);

#endif
