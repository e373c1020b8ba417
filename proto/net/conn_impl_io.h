// What conn_io.c, conn_out_io.c, dial_io.c and listener_io.c know of each other. Nobody else
// includes it.
#ifndef PROTO_NET_CONN_IMPL_IO_H
#define PROTO_NET_CONN_IMPL_IO_H

#include "proto/base/check.h"
#include "proto/net/conn_io.h"

#define CONN_MAGIC 0x636f6e6eu

enum conn_state {
    CONN_CONNECTING, // no connection yet
    CONN_OPENING,    // TLS handshake, or the turn between conn_adopt and on_open
    CONN_OPEN,
    CONN_LEAVING, // conn_shutdown: sends what is queued and waits for the peer's end
    CONN_CLOSED,  // the handle is closing
};

struct dial; // a connect under way: dial_io.c

struct conn {
    unsigned magic;
    enum conn_state state : 8;
    bool server : 1;
    bool paused : 1;
    bool reading : 1;    // uv_read_start is on
    bool writing : 1;    // a write request is under way
    bool above_high : 1; // the writer was told to wait, so on_drain is due
    bool end_asked : 1;  // conn_end or conn_shutdown
    bool end_sent : 1;   // uv_shutdown was asked for
    bool peer_ended : 1; // FIN or close_notify came
    bool end_told : 1;   // on_end was called
    bool tell_open : 1;  // the deferred on_open of conn_adopt
    bool is_pipe : 1;
    bool dismissed : 1; // by conn_dismiss
    struct loop *loop;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    const struct conn_handler *handler;
    void *owner;
    const struct conn_hooks *hooks; // accepted conns only
    void *hooks_context;
    struct list opening;
    struct tls_config *tls;
    struct tls_session *session;
    char *server_name;
    struct dial *dial;
    struct buf pending;
    struct buf unread;       // given back by conn_unread; nothing else is read before it is gone
    struct loop_later later; // flush, and whatever must not run inside the call that causes it
    struct loop_timer timer; // the earliest of the deadlines below
    struct mono open_due;
    struct mono owner_due;
    struct mono linger_due;
    size_t still_bytes; // what came since conn_dismiss
    const char *owner_what;
    int64_t idle_ms;
    struct mono active; // last byte either way
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint8_t peer_ip[16]; // the peer's address in little
    uint16_t peer_port;
    enum addr_kind peer_kind : 8;
    struct err *why; // NULL: orderly
};

static inline struct conn *conn_of(void *data)
{
    struct conn *conn = data;
    MAGIC_CHECK(conn, CONN_MAGIC);
    return conn;
}

// ---- conn_io.c for the others -------------------------------------------------------------------

struct conn *conn_new(struct loop *loop, const struct conn_options *options, bool server);
void conn_init_handle(struct conn *conn, bool is_pipe);

// Learns the peer's address and tunes the socket; the state is CONN_OPENING afterwards.
void conn_connected(struct conn *conn);

// Sets the timer for the earliest deadline.
void conn_arm(struct conn *conn);

void conn_close_now(struct conn *conn, const struct err *why);

// The same with what a system call failed with: the connection is no more.
void conn_close_errno(struct conn *conn, int errnum, const char *what);

// The one place where a conn is freed; or, while dialling, where the next attempt starts.
void conn_on_closed(uv_handle_t *handle);

// ---- dial_io.c for conn_io.c -------------------------------------------------------------------

// The handle of a failed attempt is closed: true when another attempt began.
bool dial_next(struct conn *conn);

// The conn closes or is connected: forgets the dial. Harmless when there is none.
void dial_abandon(struct conn *conn);

// ---- conn_io.c for listener_io.c ---------------------------------------------------------------

// How a listener follows the connections it accepted. `context` is passed back.
struct conn_hooks {
    // The first bytes of a TLS handshake are here: false refuses it.
    bool (*first_bytes)(struct conn *conn, void *context);
    // The conn is open: gives it handler and owner.
    void (*opened)(struct conn *conn, void *context);
    // The conn is about to be freed.
    void (*gone)(struct conn *conn, void *context);
};

// Accepts the next connection of `server` (a uv_tcp_t or uv_pipe_t). NULL when there is none after
// all. conn_start or conn_close must follow.
struct conn *conn_accept(struct loop *loop, uv_stream_t *server, const struct conn_options *options,
                         const struct conn_hooks *hooks, void *context);

void conn_set_hooks(struct conn *conn, const struct conn_hooks *hooks);

// Begins reading: the handshake, or the open hook at once when there is no TLS.
void conn_start(struct conn *conn);

// The link by which a listener lists its conns that are not open yet.
struct list *conn_opening_link(struct conn *conn);
struct conn *conn_of_opening_link(struct list *link);

#endif
