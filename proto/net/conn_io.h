// One connection on one loop: TCP, unix socket or adopted descriptor, plain or TLS, with bounded
// queues both ways. HTTP and gRPC stand on this.
//
// Life: made by conn_connect, conn_adopt or a listener; on_open when it is ready for data (after
// the TLS handshake); on_data, on_end and on_drain while it lives; on_close last and exactly once,
// and after it returns the conn is freed (in one place, from the loop's close callback). No
// callback runs inside the call that causes it, so a callback may call anything here, conn_close
// included.
#ifndef PROTO_NET_CONN_IO_H
#define PROTO_NET_CONN_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/base/loop_io.h"
#include "proto/net/addr.h"
#include "proto/net/tls.h"

// A conn that did not get to on_open within this time from connect or accept is closed.
#define CONN_OPEN_MS_DEFAULT 9000

// Above the first a writer should wait for on_drain (conn_room gives 0); on_drain comes when the
// queue has fallen to the second; a conn whose queue passes the third is closed, for its writer
// does not listen.
#define CONN_QUEUE_HIGH_BYTES (256 * 1024)
#define CONN_QUEUE_LOW_BYTES  (64 * 1024)
#define CONN_QUEUE_BYTES_MAX  (16 * 1024 * 1024)

// After conn_shutdown: how long the peer may take to read what is queued and close its side.
#define CONN_LINGER_MS 5000
// After conn_dismiss: how much more is taken from the peer before the connection is cut.
#define CONN_DISMISS_BYTES (64 * 1024)

struct conn;

// What the owner of a conn hears. A table that outlives the conns; on_open, on_end and on_drain may
// be NULL.
struct conn_handler {
    void (*on_open)(struct conn *conn, void *owner);

    // Plaintext bytes, borrowed for the call. The owner takes all of them; to slow the peer down it
    // calls conn_pause, after which at most what is already on its way into this very call comes.
    void (*on_data)(struct conn *conn, void *owner, const uint8_t *bytes, size_t size);

    // The peer will send no more (FIN or close_notify); writing is still possible. NULL: the conn
    // is shut down when this happens.
    void (*on_end)(struct conn *conn, void *owner);

    // The write queue, which had been above CONN_QUEUE_HIGH_BYTES, has room again.
    void (*on_drain)(struct conn *conn, void *owner);

    // The end, exactly once, also for a conn that never opened. why->code is ERR_OK after
    // conn_close, conn_shutdown or the peer's orderly close, DEADLINE_EXCEEDED after a timeout,
    // UNAVAILABLE for a broken connection, UNAUTHENTICATED for a failed verification. The conn must
    // not be used after it returns.
    void (*on_close)(struct conn *conn, void *owner, const struct err *why);
};

struct conn_options {
    struct tls_config *tls;  // NULL: plain; the conn takes its own reference
    const char *server_name; // clients with TLS: see tls_session_new; copied
    int64_t open_ms;         // time until on_open; 0: CONN_OPEN_MS_DEFAULT
    int64_t idle_ms;         // closed after so long without a byte either way; 0: never
};

// Connects to `addr` (a name is looked up on the worker pool, its addresses tried in order). Never
// fails at once: what goes wrong arrives as on_close.
struct conn *conn_connect(struct loop *loop, const struct addr *addr,
                          const struct conn_options *options, const struct conn_handler *handler,
                          void *owner);

// Takes over a connected stream socket, as server (accepted) or client side of a TLS handshake. The
// descriptor belongs to the conn from here on, also on error (then NULL and *err; no callback).
struct conn *conn_adopt(struct loop *loop, int fd, bool server, const struct conn_options *options,
                        const struct conn_handler *handler, void *owner, struct err *err);

// Hands the conn to another owner: upgrade and hijack. From the next callback on.
void conn_set_handler(struct conn *conn, const struct conn_handler *handler, void *owner);
void *conn_owner(const struct conn *conn);
struct loop *conn_loop(const struct conn *conn);

// Queues bytes (copied) for the peer; sent at the end of this turn, so that many small writes
// become one. Before on_open they wait for it. Ignored once the conn is closing.
void conn_write(struct conn *conn, const void *bytes, size_t size);

// As conn_write, but sends at once what the socket takes now: for who writes much and rarely.
void conn_flush(struct conn *conn);

// Bytes still to be sent, and how many may be queued before a writer should wait (0: wait for
// on_drain).
size_t conn_queued(const struct conn *conn);
size_t conn_room(const struct conn *conn);

// Stops and restarts on_data. Paused, the conn reads nothing from the socket; at most
// TLS_INPUT_BYTES_MAX stay inside. Idle time goes on counting.
void conn_pause(struct conn *conn);
void conn_resume(struct conn *conn);
bool conn_paused(const struct conn *conn);

// Gives bytes back: they come again by on_data, at the end of this turn and before all others. For
// who read beyond what was its own before it handed the conn on.
void conn_unread(struct conn *conn, const void *bytes, size_t size);

// Sends what is queued, then the end of our side (close_notify, FIN); reading goes on. Hijacked
// streams need it.
void conn_end(struct conn *conn);

// Orderly close: sends what is queued and our end, waits for the peer's within CONN_LINGER_MS
// (dropping what it still sends), then on_close. No on_data after this call.
void conn_shutdown(struct conn *conn);

// The same for a peer that misbehaves: one that goes on sending more than CONN_DISMISS_BYTES is cut
// off, so that dropping what it sends costs nothing for long.
void conn_dismiss(struct conn *conn);

// Closes now; what is queued is lost. on_close comes in this turn's close phase with `why` (NULL:
// ERR_OK). Harmless when it is closing already.
void conn_close(struct conn *conn, const struct err *why);
bool conn_closing(const struct conn *conn); // after conn_close or conn_shutdown

// One deadline of the owner's own: unless moved or cleared the conn is closed in `ms` with
// DEADLINE_EXCEEDED and `what` (static text, "no request came") as message. A second call replaces
// the first; 0 clears. Works beside the idle time.
void conn_set_deadline(struct conn *conn, int64_t ms, const char *what);

// The peer: its address (unix: kind ADDR_UNIX with an empty path) and, for TLS, the session (NULL
// when plain; valid until on_close returned).
struct addr conn_peer(const struct conn *conn);
const struct tls_session *conn_tls(const struct conn *conn);

// Bytes seen so far either way, for limits and figures: after TLS, as the owner sees them.
uint64_t conn_bytes_in(const struct conn *conn);
uint64_t conn_bytes_out(const struct conn *conn);

#endif
