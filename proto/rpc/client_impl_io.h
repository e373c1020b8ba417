// What client_io.c and request_io.c know of each other. Nobody else includes it.
#ifndef PROTO_RPC_CLIENT_IMPL_IO_H
#define PROTO_RPC_CLIENT_IMPL_IO_H

#include "proto/base/check.h"
#include "proto/net/conn_io.h"
#include "proto/rpc/backoff.h"
#include "proto/rpc/grpc_conn.h"
#include "proto/rpc/client_io.h"
#include "proto/rpc/message.h"

#define CLIENT_MAGIC  0x72706362u
#define REQUEST_MAGIC 0x72707162u

// One connection; the client has one for new calls, and may have others that only end theirs.
struct client_conn {
    struct list link;
    struct rpc_client *client;
    struct conn *conn;
    struct grpc_conn *channel; // from on_open
    struct loop_timer alarm;
    struct loop_later later;
    struct mono ready_since;
    unsigned calls_unsent; // begun since bytes went out
    bool busy;             // its bytes are being read or put together, or its owners told
    bool ready;            // SETTINGS came
    bool ending;
};

// So many calls begun in one turn leave together, without waiting for the turn's end: the server
// begins with them while this side goes on with the next.
#define CLIENT_CALLS_TOGETHER 4

struct rpc_client {
    unsigned magic;
    struct rpc_client_config config;
    char *server_name;
    char *authority;
    struct list conns;
    struct client_conn *current; // for new calls; may be connecting
    struct client_conn *next;    // connecting, to take the place of `current`
    bool renewing;               // `current` has old credentials and is to be replaced
    struct list waiting;         // request.link: for a connection, oldest first
    struct list doomed;          // request.link: to be told that they failed
    struct list active;          // request.link: on a stream
    size_t waiting_count;
    struct loop_later later;
    struct loop_timer retry; // runs: backing off
    struct backoff backoff;
    struct rand rand;
    struct err last; // why the last attempt failed
    bool closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

// What the channel allocates for a call.
struct client_stream {
    struct stream stream;
    struct rpc_request *request; // NULL: dropped
    struct client_conn *conn;    // while stream.channel is there
};

struct rpc_request {
    unsigned magic;
    struct list link;
    struct rpc_client *client;
    struct rpc_request_spec spec;
    struct arena arena;
    struct metadata metadata;
    struct mono deadline;
    struct loop_timer expiry; // while it waits
    struct list frames;       // sent before there was a stream
    size_t frames_bytes;
    struct client_stream *stream;
    struct incoming *incoming; // the reply of unary and client-streaming calls, or the present one
    struct rpc_status *doom;
    bool ended;
    bool paused;
    bool done;
    bool dropped;
    unsigned pins;
};

// ---- client_io.c for request_io.c ---------------------------------------------------------------

// The client looks at its calls at the end of this turn.
void client_ask(struct rpc_client *client);

// Something happens outside of the connection's own callbacks: give it the time, and flush.
void client_conn_touch(struct client_conn *conn);

// A whole call was put into the connection's queue.
void client_conn_called(struct client_conn *conn);

bool client_can_open(const struct rpc_client *client);

// ---- request_io.c for client_io.c ---------------------------------------------------------------

// The call failed without a stream: its owner hears of it at the end of this turn.
void request_doom(struct rpc_request *request, const struct rpc_status *status);

// Tells the owner, and frees the call.
void request_finish(struct rpc_request *request, const struct rpc_status *status,
                    const struct metadata *trailers);

// Puts a waiting call on a stream, when there can be one.
void request_open(struct rpc_request *request);

// Events of the channel; ctx is the client_conn.
void request_on_headers(void *ctx, struct stream *stream);
void request_on_message(void *ctx, struct stream *stream, uint8_t *bytes, size_t size);
void request_on_writable(void *ctx, struct stream *stream);
void request_on_over(void *ctx, struct stream *stream, const struct rpc_status *status);

#endif
