// What grpc_conn.c and stream.c know of each other. Nobody else includes it.
#ifndef PROTO_RPC_GRPC_CONN_IMPL_H
#define PROTO_RPC_GRPC_CONN_IMPL_H

#include "proto/base/check.h"
#include "proto/rpc/grpc_conn.h"

#define GRPC_CONN_MAGIC 0x6368616eu
#define STREAM_MAGIC    0x7374726du

struct grpc_conn {
    unsigned magic;
    struct grpc_conn_config config;
    const struct grpc_conn_events *events;
    void *ctx;
    struct h2 *h2;
    struct list streams; // stream.link: all that are not freed
    struct list ready;   // stream.ready: wait for grpc_conn_run
    struct timers timers;
    struct timer keepalive;
    struct mono now;
    struct mono heard; // when the peer's last bytes came
    bool ping_out;
    size_t held_bytes;
    size_t queue_bytes;
};

static inline struct stream *stream_of(void *user)
{
    struct stream *stream = user;
    MAGIC_CHECK(stream, STREAM_MAGIC);
    return stream;
}

struct stream *stream_new(struct grpc_conn *channel, int32_t id);

// Keeps the stream's memory across callbacks; the last unpin frees one that is done.
void stream_pin(struct stream *stream);
void stream_unpin(struct stream *stream);

// Has grpc_conn_run look at it.
void stream_make_ready(struct stream *stream);

// Keeps how the call ends, and gives it. Details must live as long as the stream.
void stream_keep_final(struct stream *stream, const struct rpc_status *status);
struct rpc_status stream_kept_final(const struct stream *stream);

// Tells the owner that the call ended, once.
void stream_tell_over(struct stream *stream, const struct rpc_status *status);

// Ends a call for a reason of this side's: on the wire, then for its owner.
void stream_fail(struct stream *stream, enum err_code code, const char *what);

// Messages coming in: whether the owner takes them now; window, limits and time.
bool stream_may_deliver(const struct stream *stream);
void stream_give_back(struct stream *stream);
void stream_set_held(struct stream *stream, size_t held);
void stream_watch_slow(struct stream *stream);
void stream_take_message(struct stream *stream);
void stream_deliver_inbox(struct stream *stream);
void stream_deliver_end(struct stream *stream);

// Forgets what came in, what waits to go out, and the time.
void stream_drop_inbox(struct stream *stream);
void stream_drop_outbox(struct stream *stream);
void stream_stop_timers(struct stream *stream);

// Copies from the outbox; frees the frames that left. Returns the bytes.
size_t stream_pull(struct stream *stream, uint8_t *out, size_t max);

#endif
