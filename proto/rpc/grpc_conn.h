// gRPC on one connection, either side, as a pure machine: bytes and the time go in; bytes, events
// of calls and the next moment to wake come out. Server and client put sockets and threads around
// it; tests and fuzzers put two of them against each other.
//
// A call is a struct stream, which begins the owner's own struct; the channel allocates that. It is
// freed when the owner released it and the wire is done with it, whichever is later.
//
// Time: every function that reads it uses the moment given by the last grpc_conn_receive,
// grpc_conn_tick or grpc_conn_set_now; an owner that acts out of its own sets it first.
#ifndef PROTO_RPC_GRPC_CONN_H
#define PROTO_RPC_GRPC_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/list.h"
#include "proto/base/timer.h"
#include "proto/rpc/grpc.h"
#include "proto/rpc/h2.h"
#include "proto/rpc/head.h"
#include "proto/rpc/metadata.h"
#include "proto/rpc/status.h"

// Memory for the header texts of one call, both ways.
#define STREAM_ARENA_BYTES_MAX (256u * 1024)

// Above this a stream is not writable; on_writable comes at half of it.
#define STREAM_QUEUE_BYTES (256u * 1024)

struct grpc_conn;
struct stream;

struct grpc_conn_config {
    enum h2_side side;
    size_t stream_bytes;      // of the owner's struct that begins with a struct stream
    size_t message_bytes_max; // of one message from the peer
    size_t held_bytes_max;    // of incomplete and waiting messages from the peer, all streams
    size_t queue_bytes_max;   // of messages for the peer, all streams
    uint32_t streams_max;     // servers
    uint32_t resets_max;      // servers; 0: H2_RESETS_MAX
    int64_t call_ms_max;      // servers: no call lasts longer, whatever its deadline; 0: no limit
    int64_t slow_ms;          // a message or answer must be through in this time; 0: no limit
    int64_t keepalive_ms;     // ping after so long without a byte from the peer; 0: never
    int64_t keepalive_timeout_ms;
    const char *authority; // clients; borrowed
    bool tls;              // clients: the scheme
};

// `ctx` is the owner of the connection. Streams are borrowed but where they are said to be new.
struct grpc_conn_events {
    // Servers: a call came, with path, metadata and deadline. The owner answers it with
    // stream_finish, now or later, and releases it then.
    void (*on_call)(void *ctx, struct stream *stream);

    // Clients: the server's metadata came (stream->in).
    void (*on_headers)(void *ctx, struct stream *stream);

    // A message: heap bytes that the callee owns.
    void (*on_message)(void *ctx, struct stream *stream, uint8_t *bytes, size_t size);

    // Servers: the client sends no more.
    void (*on_end)(void *ctx, struct stream *stream);

    // The queue fell to half of STREAM_QUEUE_BYTES after it had been above.
    void (*on_writable)(void *ctx, struct stream *stream);

    // Clients: how the call ended; no further event. Servers: the call is void before stream_finish
    // (reset, connection lost, deadline, slow); stream_release is still due.
    void (*on_over)(void *ctx, struct stream *stream, const struct rpc_status *status);

    void (*on_ready)(void *ctx); // clients: the server's SETTINGS came, calls may be opened

    // Room for a stream came or went: look at grpc_conn_can_open. May be NULL.
    void (*on_room)(void *ctx);
};

// One of a stream's timers, which knows what it is for.
struct stream_timer {
    struct timer timer;
    struct stream *stream;
    const char *what; // said when it fires
};

// One call. Owners read the first part and leave the second alone.
struct stream {
    unsigned magic;
    int32_t id;
    struct grpc_conn *channel; // NULL once the connection is gone
    struct arena arena;        // header texts, both ways; for the connection's thread only
    struct head head;          // what the peer's headers said
    struct metadata in;        // the peer's metadata
    struct metadata trailers;  // clients: the metadata at the end
    struct metadata headers;   // to send first; filled by the owner before anything is sent
    struct metadata farewells; // servers: to send last; filled before stream_finish
    struct mono deadline;      // MONO_NEVER: none
    bool over;                 // nothing more comes in, nothing sent counts
    bool one_message;          // servers set it in on_call: the request must come within slow_ms

    struct list link;  // channel.streams
    struct list ready; // channel.ready
    struct grpc_reader reader;
    size_t held; // in the reader and the inbox, as counted in the channel
    struct list inbox;
    size_t owed; // bytes whose window was not given back
    struct list outbox;
    size_t outbox_bytes;
    size_t outbox_sent; // of the first frame
    struct stream_timer deadline_timer;
    struct stream_timer slow_timer;
    enum err_code final_code; // how it ends: set by finish or by the peer's trailers
    const char *final_message;
    const uint8_t *final_details;
    size_t final_details_size;
    unsigned pins;
    bool paused;
    bool was_full;
    bool headers_out;
    bool response_seen; // clients: a first block came
    bool end_in;        // the peer sends no more
    bool end_told;
    bool end_out; // we send no more after the outbox
    bool begun;   // its owner knows of it
    bool over_told;
    bool closed; // the wire is done with it
    bool released;
};

// `config` is copied, `events` borrowed.
struct grpc_conn *grpc_conn_new(const struct grpc_conn_config *config,
                                const struct grpc_conn_events *events, void *ctx, struct mono now);

// Ends every call with `why` (NULL: UNAVAILABLE), then frees the channel. Not from its events.
void grpc_conn_free(struct grpc_conn *channel, const struct err *why);

// Bytes from the peer. An error: send the output there is, then close.
int grpc_conn_receive(struct grpc_conn *channel, const uint8_t *bytes, size_t size, struct mono now,
                      struct err *err);

// Appends what is to be sent until `out` holds `enough` bytes; true when there may be more. After
// each round of events, and again when there is room.
bool grpc_conn_output(struct grpc_conn *channel, struct buf *out, size_t enough);
bool grpc_conn_wants_output(const struct grpc_conn *channel);

// Everything was said: close the connection.
bool grpc_conn_finished(const struct grpc_conn *channel);

// When grpc_conn_tick is due next; MONO_NEVER: not at all.
struct mono grpc_conn_due(const struct grpc_conn *channel);

// Does what is due. Error as grpc_conn_receive's: the keepalive found nobody.
int grpc_conn_tick(struct grpc_conn *channel, struct mono now, struct err *err);

void grpc_conn_set_now(struct grpc_conn *channel, struct mono now);

// Delivers what owners asked for (resumed streams, cancelled calls). After each round of events.
void grpc_conn_run(struct grpc_conn *channel);

// False: grpc_conn_output would call nobody back now, so that it may be used from inside a call of
// the owner's (but never from inside grpc_conn_receive).
bool grpc_conn_run_due(const struct grpc_conn *channel);

// No new calls; running ones go on. `final` as in h2_goaway.
void grpc_conn_goaway(struct grpc_conn *channel, bool final);

// Calls under way, counted until the wire is done with them.
size_t grpc_conn_streams(const struct grpc_conn *channel);
bool grpc_conn_can_open(const struct grpc_conn *channel); // clients
bool grpc_conn_draining(const struct grpc_conn *channel); // the peer takes no more calls for good

// ---- streams -----------------------------------------------------------------------------------

// Opens a call. NULL when grpc_conn_can_open says no. The caller has filled no headers: `headers`
// is copied (NULL: none). `timeout_ns` < 0: none.
struct stream *grpc_conn_open(struct grpc_conn *channel, const char *path,
                              const struct metadata *headers, int64_t timeout_ns);

// Queues one frame (message_frame's), whose memory it takes in any case. RESOURCE_EXHAUSTED when a
// queue is full. What is sent on a stream that is over goes nowhere, without error.
int stream_send(struct stream *stream, uint8_t *frame, size_t size, struct err *err);
bool stream_writable(const struct stream *stream);
size_t stream_queued(const struct stream *stream);

// Clients: that was the last message.
void stream_end(struct stream *stream);

// Servers: the answer is complete. Nothing is sent on the stream afterwards.
void stream_finish(struct stream *stream, const struct rpc_status *status);

// Servers: nobody looks at the texts of the request's head and its metadata any more.
void stream_forget_request(struct stream *stream);

// Ends the call on the wire now. No on_over comes for it.
void stream_reset(struct stream *stream, uint32_t h2_error);

// Clients: as stream_reset, and on_over comes from the next grpc_conn_run.
void stream_cancel(struct stream *stream, const struct rpc_status *status);

void stream_pause(struct stream *stream);
void stream_resume(struct stream *stream);

// The owner is done with it and gets no more events. A call still under way is reset.
void stream_release(struct stream *stream);

#endif
