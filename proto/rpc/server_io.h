// gRPC server: connections on several serving loops, tables of methods, calls.
//
// A connection lives and dies on the loop that accepted it. The calls of a service run there too,
// or, when the service names a home loop, all on that one (the server carries messages over): the
// code of a service is always on one thread per call and never locks.
//
// A call: handle() is called once, with the request (unary, server streaming) or before the first
// message (client streaming). The service answers whenever it likes with rpc_call_send and exactly
// one rpc_call_finish, now or later, also after on_cancel. The call is its service's until then and
// must not be touched after it.
#ifndef PROTO_RPC_SERVER_IO_H
#define PROTO_RPC_SERVER_IO_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/loop_io.h"
#include "proto/net/listener_io.h"
#include "proto/net/tls.h"
#include "proto/rpc/metadata.h"
#include "proto/rpc/peer.h"
#include "proto/rpc/status.h"

struct rpc_call;
struct rpc_server;

// ---- services ----------------------------------------------------------------------------------

enum rpc_kind {
    RPC_UNARY,
    RPC_SERVER_STREAM, // one request, many replies
    RPC_CLIENT_STREAM, // many requests, one reply
    RPC_BIDI_STREAM,
};

// One row of a service's table. Callbacks run on the service's loop, one at a time per call.
// A row that names neither `request` nor `raw` is for a method of proto/wire/methods.h, from where
// kind, roles and request then come; `raw` with such a path takes kind and, unless some are named,
// no roles from there: a proxy does not authorise.
struct rpc_method {
    const char *path; // "/docker.swarmkit.v1.Dispatcher/Session"
    enum rpc_kind kind;
    unsigned roles; // ROLE_...: checked before anything else when the server has an authority
    const ProtobufCMessageDescriptor *request;
    bool raw; // take the path as it is, decode nothing (rpc_call_bytes)

    // The call is there. Unary and server streaming: with its request.
    void (*handle)(struct rpc_call *call);

    // Client streaming only. A message came, in rpc_call_message until this returns; and: the
    // client sent its last one. Neither comes after on_cancel.
    void (*on_message)(struct rpc_call *call);
    void (*on_end)(struct rpc_call *call);

    // May be NULL. What was sent has left, rpc_call_send has room again.
    void (*on_writable)(struct rpc_call *call);

    // May be NULL. The client gave up, its connection broke, the deadline passed or a message could
    // not be read, before rpc_call_finish. What is sent from now on goes nowhere; rpc_call_finish
    // is still due.
    void (*on_cancel)(struct rpc_call *call);
};

// Such a row ready to be called: with what methods.h says of it.
struct rpc_method rpc_method_resolve(const struct rpc_method *row);

struct rpc_service {
    const struct rpc_method *methods;
    size_t methods_count;
    void *ctx;         // rpc_call_ctx
    struct loop *home; // where callbacks run; NULL: on the connection's loop
};

// ---- calls: what a service may ask and do, on its loop ------------------------------------------

void *rpc_call_ctx(const struct rpc_call *call); // of the service
const struct rpc_method *rpc_call_method(const struct rpc_call *call);

// The request, or in on_message the message that came; NULL for raw methods and once dropped.
const ProtobufCMessage *rpc_call_message(const struct rpc_call *call);

// Nobody looks at the request any more, though the call goes on: the memory of its message, of its
// metadata and of what rpc_call_caller took from there goes back. For streams that live long.
void rpc_call_drop_request(struct rpc_call *call);

// The same as it was on the wire.
const uint8_t *rpc_call_bytes(const struct rpc_call *call, size_t *size);

// The call's memory, for replies and the service's own; gone with the call.
struct arena *rpc_call_arena(struct rpc_call *call);

// A pointer of the service's own.
void rpc_call_set_user(struct rpc_call *call, void *user);
void *rpc_call_user(const struct rpc_call *call);

const struct peer *rpc_call_peer(const struct rpc_call *call);     // the connection's other end
const struct caller *rpc_call_caller(const struct rpc_call *call); // who calls, checked
const struct metadata *rpc_call_metadata(const struct rpc_call *call);
struct mono rpc_call_deadline(const struct rpc_call *call); // MONO_NEVER: none
bool rpc_call_cancelled(const struct rpc_call *call);

// Metadata to send before the first reply, and after the last.
bool rpc_call_add_header(struct rpc_call *call, const char *key, const char *value);
bool rpc_call_add_header_bytes(struct rpc_call *call, const char *key, const void *value,
                               size_t size);
bool rpc_call_add_trailer(struct rpc_call *call, const char *key, const char *value);

// Sends a reply (encoded before this returns). Streams: bounded; ask rpc_call_writable before, and
// wait for on_writable when it says no. RESOURCE_EXHAUSTED (and the call must be finished with an
// error) when RPC_CALL_QUEUE_BYTES_MAX is passed. Sending to a cancelled call is no error.
int rpc_call_send(struct rpc_call *call, const ProtobufCMessage *message, struct err *err);
int rpc_call_send_bytes(struct rpc_call *call, const void *bytes, size_t size, struct err *err);
bool rpc_call_writable(const struct rpc_call *call);

// Past this, frames that wait for their connection's loop, a send is refused (and sooner when the
// connection as a whole is full).
#define RPC_CALL_QUEUE_BYTES_MAX (64u * 1024 * 1024)

// Client streaming: no on_message until resumed; the client is slowed down by flow control.
void rpc_call_pause(struct rpc_call *call);
void rpc_call_resume(struct rpc_call *call);

// The end: the call is not the service's any more. NULL status: success.
void rpc_call_finish(struct rpc_call *call, const struct rpc_status *status);

// Shorthands. rpc_call_reply: one message and success.
void rpc_call_reply(struct rpc_call *call, const ProtobufCMessage *message);
void rpc_call_fail(struct rpc_call *call, const struct err *err);
void rpc_call_failf(struct rpc_call *call, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Hands a call of a raw method on to another row, as if it had come there first: for services that
// answer themselves or pass on, as the moment demands. Before anything was sent or received.
// The row is one that rpc_method_resolve gave, borrowed until the call's end. Its roles are
// checked, its request is decoded; rpc_call_ctx is `ctx` from now on.
void rpc_call_dispatch(struct rpc_call *call, const struct rpc_method *method, void *ctx);

// ---- the server --------------------------------------------------------------------------------

// Connections of peers without a certificate get less of everything: they only ever make the three
// calls of joining.
#define RPC_SERVER_STREAMS_MAX           100000
#define RPC_SERVER_STREAMS_MAX_ANONYMOUS 32

// Bytes of incomplete and waiting messages per connection; past it calls fail with
// RESOURCE_EXHAUSTED.
#define RPC_SERVER_HELD_BYTES_MAX           (64u * 1024 * 1024)
#define RPC_SERVER_HELD_BYTES_MAX_ANONYMOUS (8u * 1024 * 1024)

// From the handshake to the first call, and between calls of an anonymous connection.
#define RPC_SERVER_FIRST_CALL_MS 9000

// Longest call of an anonymous connection, whatever deadline it names.
#define RPC_SERVER_ANONYMOUS_CALL_MS 60000

// Streams of a peer that is a worker: it has four or five open at a time.
#define RPC_SERVER_STREAMS_MAX_WORKER 1024

// Managers pass on the calls of all their agents; when a leader changes, these are reset together.
#define RPC_SERVER_RESETS_MAX_MANAGER 20000

// Between the two GOAWAYs of an orderly end, for what is on the way.
#define RPC_SERVER_GOAWAY_MS 200

// A request that has begun must be complete within this time; what we send must move within it.
#define RPC_SERVER_SLOW_MS 30000

// Pings of ours, as stock servers do: after so long without a byte, and how long an answer may
// take.
#define RPC_SERVER_KEEPALIVE_MS         (2 * 3600 * 1000)
#define RPC_SERVER_KEEPALIVE_TIMEOUT_MS 20000

struct rpc_server_config {
    struct loop *const *loops; // serving loops, all running or about to; borrowed
    size_t loops_count;
    const struct rpc_service *services; // copied; their tables are borrowed
    size_t services_count;
    const struct authority *authority; // NULL: methods' roles are not checked; borrowed. removed()
                                       // is called from all serving loops
    struct tls_config *tls;            // NULL: plain, for unix sockets
    const struct admission_limits *admission; // NULL: the defaults
    size_t message_bytes_max;                 // 0: GRPC_SERVER_MESSAGE_BYTES_MAX
    int64_t keepalive_ms;                     // 0: RPC_SERVER_KEEPALIVE_MS
    int64_t slow_ms;                          // 0: RPC_SERVER_SLOW_MS
    int64_t first_call_ms;                    // 0: RPC_SERVER_FIRST_CALL_MS
};

// All functions of the server are called on one thread, its owner's, which may be a serving loop or
// not. A method that two services have is a broken invariant.
struct rpc_server *rpc_server_new(const struct rpc_server_config *config);

// Listens on every serving loop. `fd` is a bound socket (stays the caller's), or -1 to bind `addr`.
// May be called for several addresses, TCP ones with the server's TLS config (if any), unix sockets
// always plain. `bound` (may be NULL) gets the address with its port. Connections are accepted from
// when the loops run.
int rpc_server_listen(struct rpc_server *server, const struct addr *addr, int fd,
                      struct addr *bound, struct err *err);

// New handshakes use this config.
void rpc_server_set_tls(struct rpc_server *server, struct tls_config *tls);

// Takes no new connections and streams (GOAWAY), lets running calls end for `grace_ms`, then
// cancels what is left; `done` runs on `loop` when the last connection is gone. The server is freed
// then.
void rpc_server_close(struct rpc_server *server, int64_t grace_ms, struct loop *loop,
                      void (*done)(void *ctx), void *ctx);

struct rpc_server_stats {
    uint64_t connections; // open
    uint64_t calls;       // under way
    uint64_t calls_total;
    uint64_t refused; // connections ended for hostile behaviour
};
void rpc_server_stats(const struct rpc_server *server,
                      struct rpc_server_stats *stats); // any thread

#endif
