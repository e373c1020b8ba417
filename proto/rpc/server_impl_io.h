// What server_io.c and call_io.c know of each other. Nobody else includes it.
#ifndef PROTO_RPC_SERVER_IMPL_IO_H
#define PROTO_RPC_SERVER_IMPL_IO_H

#include <stdatomic.h>

#include "proto/net/conn_io.h"
#include "proto/rpc/grpc_conn.h"
#include "proto/rpc/message.h"
#include "proto/rpc/routes_io.h"
#include "proto/rpc/server_io.h"

#define SERVER_MAGIC 0x72707376u
#define CALL_MAGIC   0x72706363u

// A connection's other end, which its calls may outlive.
struct shared_peer {
    atomic_uint refs;
    struct peer peer;
};

struct rpc_server {
    unsigned magic;
    struct rpc_server_config config;
    struct rpc_service *services;
    struct routes routes;
    struct gate *gate;
    struct server_loop *loops; // config.loops_count
    struct list paths;         // unix sockets to remove
    // The end.
    atomic_uint loops_open;
    struct loop_post closed_post;
    void (*done)(void *ctx);
    void *done_ctx;
    struct loop *done_on; // NULL until rpc_server_close
    // Figures.
    atomic_ullong connections;
    atomic_ullong calls;
    atomic_ullong calls_total;
    atomic_ullong refused;
};

// The server's part on one serving loop; only its thread touches it.
struct server_loop {
    struct rpc_server *server;
    struct loop *loop;
    struct tls_config *tls;
    struct list listeners;
    struct list conns;
    struct buf scratch; // for bytes on their way out
    struct mono stranger_logged;
    unsigned strangers_unlogged; // sent away since then
    unsigned listeners_open;
    unsigned calls;
    bool closing;
    bool closed;
    struct loop_timer goaway;
    struct loop_timer grace;
};

struct server_conn {
    struct list link;
    struct server_loop *on;
    struct conn *conn;
    struct grpc_conn *channel; // NULL until a peer without credentials has said something
    struct shared_peer *peer;
    struct loop_timer alarm;
    struct loop_later later;
    unsigned answers_unsent; // since bytes went out
    bool busy;               // its bytes are being read or put together, or its owners told
    bool anonymous;
};

// As CLIENT_CALLS_TOGETHER: so many answers of one turn leave without waiting for its end.
#define SERVER_ANSWERS_TOGETHER 4

// ---- call_io.c for server_io.c -----------------------------------------------------------------

size_t call_bytes(void);                          // of a call's struct
extern const struct grpc_conn_events call_events; // ctx is the server_conn

// ---- server_io.c for call_io.c -----------------------------------------------------------------

// Something happened outside of the connection's own callbacks: give it the time, and flush at the
// turn's end.
void server_conn_touch(struct server_conn *conn);

// The end of a call's answer was put into the connection's queue.
void server_conn_answered(struct server_conn *conn);

// Calls keep their loop's part of the server alive.
void server_call_began(struct server_conn *conn);
void server_call_ended(struct server_loop *on);

void shared_peer_unref(struct shared_peer *peer);

#endif
