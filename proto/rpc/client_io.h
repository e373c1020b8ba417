// gRPC client: calls over one HTTP/2 connection to one address, which is made when a call needs it
// and made again, with back-off, when it broke.
//
// A client and its calls live on one loop. Callbacks never run inside the call that causes them.
#ifndef PROTO_RPC_CLIENT_IO_H
#define PROTO_RPC_CLIENT_IO_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/loop_io.h"
#include "proto/net/addr.h"
#include "proto/net/tls.h"
#include "proto/rpc/metadata.h"
#include "proto/rpc/server_io.h"
#include "proto/rpc/status.h"

struct rpc_client;
struct rpc_request;

#define RPC_CLIENT_CONNECT_MS       20000 // TCP, TLS and the server's SETTINGS
#define RPC_CLIENT_BACKOFF_MS       1000  // the first pause; each next is 1.6 times as long
#define RPC_CLIENT_BACKOFF_MS_MAX   8000
#define RPC_CLIENT_KEEPALIVE_MS_MIN 10000

// Calls that may wait for a connection, per client.
#define RPC_CLIENT_WAITING_MAX 1024

struct rpc_client_config {
    struct loop *loop;
    struct addr addr;
    struct tls_config *tls;  // NULL: plain; the client takes its own reference
    const char *server_name; // what the certificate must be for; copied
    const char *authority;   // NULL: the address's text; copied
    int64_t connect_ms;      // 0: RPC_CLIENT_CONNECT_MS
    int64_t backoff_ms_max;  // 0: RPC_CLIENT_BACKOFF_MS_MAX

    // Pings so long after the last byte, while calls run; the connection is given up when no answer
    // comes in time. 0: never. Stock servers send pingers away (swarmkit.md section 1.2): only for
    // servers known to be ours. Raised to RPC_CLIENT_KEEPALIVE_MS_MIN.
    int64_t keepalive_ms;
    int64_t keepalive_timeout_ms; // 0: RPC_SERVER_KEEPALIVE_TIMEOUT_MS

    size_t message_bytes_max; // 0: GRPC_CLIENT_MESSAGE_BYTES_MAX

    // May be NULL. The connection came up (err NULL) or broke or failed to come up: for whoever
    // keeps weights of remotes.
    void (*on_state)(struct rpc_client *client, void *ctx, const struct err *err);
    void *ctx;
};

// Makes a client; connects when the first call asks for it.
struct rpc_client *rpc_client_new(const struct rpc_client_config *config);

// Ends all calls (CANCELLED), closes, and frees the client; `closed` (may be NULL) runs then.
void rpc_client_close(struct rpc_client *client, void (*closed)(void *ctx), void *ctx);

// Calls go to a connection with these credentials as soon as there is one. Until then the present
// connection serves them, however long that takes; it closes after the calls it has then.
void rpc_client_set_tls(struct rpc_client *client, struct tls_config *tls);

// Connects without a call; forgets a back-off under way.
void rpc_client_connect(struct rpc_client *client);
bool rpc_client_connected(const struct rpc_client *client);

// The server's certificate of the present connection (DER of number `index`, leaf first), or NULL.
const uint8_t *rpc_client_peer_chain(const struct rpc_client *client, size_t index, size_t *size);

// ---- calls -------------------------------------------------------------------------------------

struct rpc_request_spec {
    const char *path; // borrowed until the call ended
    enum rpc_kind kind;
    const ProtobufCMessageDescriptor *response; // NULL: raw bytes (rpc_request_bytes)
    int64_t timeout_ms;                         // 0: none. Sent as grpc-timeout
    const struct metadata *metadata;            // NULL: none; copied

    // Without a connection: wait for one until the deadline (true) or fail with UNAVAILABLE as soon
    // as an attempt failed.
    bool wait_for_ready;

    // May be NULL. The server's metadata came, before the first message.
    void (*on_headers)(struct rpc_request *request, void *ctx, const struct metadata *metadata);

    // A reply came: its struct, or NULL for raw ones. It lives until the callback returns; for
    // unary and client-streaming calls until on_done returned, where rpc_request_message has it.
    void (*on_message)(struct rpc_request *request, void *ctx, const ProtobufCMessage *message);

    // May be NULL. rpc_request_send has room again.
    void (*on_writable)(struct rpc_request *request, void *ctx);

    // The end, exactly once; the request is gone when it returns. A unary call that succeeds has
    // its reply in rpc_request_message.
    void (*on_done)(struct rpc_request *request, void *ctx, const struct rpc_status *status,
                    const struct metadata *trailers);
    void *ctx;
};

// Begins a call. `message` (encoded before this returns): the request of unary and server-streaming
// calls; streams that send many get NULL. Never fails at once: errors arrive in on_done.
struct rpc_request *rpc_client_call(struct rpc_client *client, const struct rpc_request_spec *spec,
                                    const ProtobufCMessage *message);
struct rpc_request *rpc_client_call_bytes(struct rpc_client *client,
                                          const struct rpc_request_spec *spec, const void *bytes,
                                          size_t size);

// Client streaming: sends one more, bounded as rpc_call_send is; and: that was the last.
int rpc_request_send(struct rpc_request *request, const ProtobufCMessage *message, struct err *err);
int rpc_request_send_bytes(struct rpc_request *request, const void *bytes, size_t size,
                           struct err *err);
bool rpc_request_writable(const struct rpc_request *request);
void rpc_request_end(struct rpc_request *request);

// Server streaming: no on_message until resumed; the server is slowed down by flow control.
void rpc_request_pause(struct rpc_request *request);
void rpc_request_resume(struct rpc_request *request);

// Gives up: on_done comes with CANCELLED, soon. Harmless when repeated.
void rpc_request_cancel(struct rpc_request *request);

// Gives up without another callback: the request is gone when this returns.
void rpc_request_drop(struct rpc_request *request);

// The reply as struct and as it was on the wire: in on_message, and in on_done.
const ProtobufCMessage *rpc_request_message(const struct rpc_request *request);
const uint8_t *rpc_request_bytes(const struct rpc_request *request, size_t *size);

struct rpc_client *rpc_request_client(const struct rpc_request *request);

#endif
