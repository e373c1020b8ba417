// What call_io.c and call_mail_io.c know of each other. Nobody else includes it.
#ifndef PROTO_RPC_CALL_IMPL_IO_H
#define PROTO_RPC_CALL_IMPL_IO_H

#include "proto/rpc/call_mail_io.h"
#include "proto/rpc/server_impl_io.h"

struct rpc_call {
    struct stream stream; // the connection's loop's, but for what on_call found in it
    unsigned magic;
    struct server_loop *on;
    struct server_conn *conn; // while stream.channel is there
    const struct route *route;
    struct shared_peer *peer;
    struct incoming *request; // unary and server streaming, until handle
    struct call_mail *mail;   // NULL: the service runs on the connection's loop
    bool begun;               // the service knows of it

    // The service's.
    const struct rpc_method *method; // a row ready to be called
    void *ctx;
    struct caller caller;
    struct arena arena;
    struct metadata headers;
    struct metadata trailers;
    struct incoming *current; // what rpc_call_message gives
    void *user;
    struct err *unreadable; // why a message could not be read, which is how the call ends; or NULL
    bool sent;
    bool cancelled;
    bool finished;
};

// ---- on the connection's loop -------------------------------------------------------------------

// The call does something outside of its connection's callbacks.
void call_touch(struct rpc_call *call);

// The service's metadata goes out with the first frame, or with the status.
void call_copy_headers(struct rpc_call *call);

// The end of the call, which is gone when it returns.
void call_finish_here(struct rpc_call *call, const struct rpc_status *status);

// ---- on the service's loop: what it is told -----------------------------------------------------

void call_deliver_start(struct rpc_call *call);
void call_deliver_message(struct rpc_call *call, struct incoming *incoming); // takes it
void call_deliver_end(struct rpc_call *call);
void call_deliver_writable(struct rpc_call *call);
void call_deliver_cancel(struct rpc_call *call);

#endif
