// The way of the bytes (the way out is conn_out_io.c). In: socket -> (TLS) -> on_data, straight
// from a buffer the thread lends, so an idle conn owns no read buffer. Out: conn_write -> `pending`
// -> at the end of the turn (TLS) -> the socket as far as it takes it -> the rest in one write
// request of libuv, during which `pending` gathers what comes next.
//
// The end: every way out goes through `conn_close_now`, which closes the handle; the handle's close
// callback tells the owner and frees everything. Nothing else frees a conn.
#include "proto/net/conn_io.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/net/addr_io.h"
#include "proto/net/conn_impl_io.h"
#include "proto/net/lent.h"

// Bytes given back, and what was decrypted behind them in the same turn.
#define CONN_UNREAD_BYTES_MAX (4 * TLS_INPUT_BYTES_MAX)

#define KEEPALIVE_S 60

static void on_later(struct loop_later *later);
static void read_on(struct conn *conn);

// ---- the end -----------------------------------------------------------------------------------

void conn_on_closed(uv_handle_t *handle)
{
    struct conn *conn = conn_of(handle->data);
    // A name with several addresses: the handle of the failed attempt is gone, the next one
    // follows.
    if (conn->state == CONN_CONNECTING && dial_next(conn))
        return;
    CHECK(conn->state == CONN_CLOSED);
    if (conn->handler) {
        static const struct err orderly = ERR_INIT;
        conn->handler->on_close(conn, conn->owner, conn->why ? conn->why : &orderly);
    }
    list_remove(&conn->opening);
    if (conn->hooks)
        conn->hooks->gone(conn, conn->hooks_context);
    loop_later_cancel(&conn->later);
    tls_session_free(conn->session);
    tls_config_unref(conn->tls);
    buf_fini(&conn->pending);
    buf_fini(&conn->unread);
    free(conn->server_name);
    free(conn->why);
    MAGIC_CLEAR(conn);
    free(conn);
}

void conn_close_now(struct conn *conn, const struct err *why)
{
    if (conn->state == CONN_CLOSED)
        return;
    if (why && why->code != ERR_OK)
        conn->why = mem_dup(why, sizeof *why);
    conn->state = CONN_CLOSED;
    dial_abandon(conn);
    loop_timer_stop(&conn->timer);
    // dial_next may already be waiting for the close callback of a failed attempt.
    if (!uv_is_closing(&conn->uv.handle))
        uv_close(&conn->uv.handle, conn_on_closed);
}

void conn_close_errno(struct conn *conn, int errnum, const char *what)
{
    struct err err = ERR_INIT;
    err_set_errno(&err, errnum, "%s", what);
    err.code = ERR_UNAVAILABLE; // whatever the number, the connection is no more
    conn_close_now(conn, &err);
}

// ---- deadlines ---------------------------------------------------------------------------------

static struct mono idle_due(const struct conn *conn)
{
    return conn->idle_ms ? mono_add(conn->active, conn->idle_ms * NS_PER_MS) : MONO_NEVER;
}

void conn_arm(struct conn *conn)
{
    struct mono due = idle_due(conn);
    const struct mono *others[] = {&conn->open_due, &conn->owner_due, &conn->linger_due};
    for (size_t i = 0; i < COUNT_OF(others); i++)
        if (mono_before(*others[i], due))
            due = *others[i];
    if (due.ns == MONO_NEVER.ns)
        loop_timer_stop(&conn->timer);
    else if (!loop_timer_running(&conn->timer) || mono_before(due, conn->timer.timer.due))
        loop_timer_start_at(&conn->timer, due);
}

static void on_timer(struct loop_timer *timer)
{
    struct conn *conn = conn_of(CONTAINER_OF(timer, struct conn, timer));
    struct mono now = loop_now(conn->loop);
    struct err err = ERR_INIT;
    if (!mono_before(now, conn->linger_due)) {
        conn_close_now(conn, NULL);
        return;
    }
    if (!mono_before(now, conn->owner_due))
        err_set(&err, ERR_DEADLINE_EXCEEDED, "%s", conn->owner_what);
    else if (!mono_before(now, conn->open_due))
        err_set(&err, ERR_DEADLINE_EXCEEDED,
                conn->state == CONN_CONNECTING ? "no connection in time"
                                               : "TLS handshake not finished in time");
    else if (!mono_before(now, idle_due(conn)))
        err_set(&err, ERR_DEADLINE_EXCEEDED, "idle for %lld ms", (long long)conn->idle_ms);
    if (err.code != ERR_OK)
        conn_close_now(conn, &err);
    else
        conn_arm(conn);
}

void conn_set_deadline(struct conn *conn, int64_t ms, const char *what)
{
    CHECK(ms >= 0);
    conn->owner_due = ms ? mono_add(loop_now(conn->loop), ms * NS_PER_MS) : MONO_NEVER;
    conn->owner_what = what;
    if (conn->state != CONN_CLOSED)
        conn_arm(conn);
}

// ---- in ----------------------------------------------------------------------------------------

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)handle;
    (void)suggested;
    // For one read callback at a time; the callbacks of a thread do not nest.
    *out = uv_buf_init((char *)lent()->read, LENT_READ_BYTES);
}

static void deliver(struct conn *conn, const uint8_t *bytes, size_t size)
{
    if (conn->state != CONN_OPEN || size == 0)
        return; // leaving: what still comes is dropped
    conn->bytes_in += size;
    if (conn->unread.len > 0)
        buf_put(&conn->unread, bytes, size); // in order
    else
        conn->handler->on_data(conn, conn->owner, bytes, size);
}

static void tell_end(struct conn *conn)
{
    if (conn->end_told)
        return;
    conn->end_told = true;
    if (conn->state == CONN_OPEN && conn->handler->on_end)
        conn->handler->on_end(conn, conn->owner);
    else if (conn->state == CONN_OPEN || conn->state == CONN_OPENING)
        conn_shutdown(conn);
    if (conn->state == CONN_LEAVING)
        conn_flush(conn); // the last thing it waited for may have come
}

static void opened(struct conn *conn)
{
    conn->state = CONN_OPEN;
    conn->open_due = MONO_NEVER;
    conn->active = loop_now(conn->loop);
    conn_arm(conn);
    list_remove(&conn->opening);
    if (conn->hooks)
        conn->hooks->opened(conn, conn->hooks_context);
    else if (conn->handler->on_open)
        conn->handler->on_open(conn, conn->owner);
    CHECK(conn->handler || conn->state == CONN_CLOSED);
    if (conn->state == CONN_OPEN && conn->pending.len > 0)
        loop_later_ask(&conn->later);
}

// Hands on what the session can decrypt, until it is paused or has no whole record.
static void read_session(struct conn *conn)
{
    struct err err = ERR_INIT;
    uint8_t *plain = lent()->plain;
    while (conn->session && !conn->peer_ended && conn->unread.len == 0 &&
           (conn->state == CONN_LEAVING || (conn->state == CONN_OPEN && !conn->paused))) {
        size_t got;
        if (tls_session_read(conn->session, plain, sizeof lent()->plain, &got, &err) != 0) {
            conn_flush(conn); // the alert, as far as it goes
            conn_close_now(conn, &err);
            return;
        }
        if (tls_session_state(conn->session) == TLS_ENDED)
            conn->peer_ended = true;
        if (got == 0)
            break;
        deliver(conn, plain, got);
    }
    // A renegotiation request or an alert may have put an answer into the output.
    if (conn->session && tls_session_output(conn->session)->len > 0)
        loop_later_ask(&conn->later);
    if (conn->peer_ended && conn->state != CONN_CLOSED && !conn->paused && conn->unread.len == 0)
        tell_end(conn);
}

// Hands the bytes given back to their new owner.
static void read_again(struct conn *conn)
{
    struct buf bytes = conn->unread;
    buf_init(&conn->unread, bytes.limit);
    conn->handler->on_data(conn, conn->owner, bytes.data, bytes.len);
    buf_fini(&bytes);
}

void conn_unread(struct conn *conn, const void *bytes, size_t size)
{
    MAGIC_CHECK(conn, CONN_MAGIC);
    if (size == 0 || conn->state != CONN_OPEN)
        return;
    buf_put(&conn->unread, bytes, size);
    CHECK(buf_ok(&conn->unread)); // who gives back has no more than was read
    read_on(conn);
    loop_later_ask(&conn->later);
}

// A fatal alert, access_denied (RFC 5246 section 7.2.2), in the clear as before any handshake: what
// the refused client shows instead of a connection that just ends.
static void deny(struct conn *conn)
{
    static uint8_t alert[] = {21, 3, 3, 0, 2, 2, 49};
    uv_buf_t part = uv_buf_init((char *)alert, sizeof alert);
    (void)uv_try_write(&conn->uv.stream, &part, 1);
}

static bool start_session(struct conn *conn)
{
    if (conn->server && conn->hooks && !conn->hooks->first_bytes(conn, conn->hooks_context)) {
        struct err err = ERR_INIT;
        deny(conn);
        err_set(&err, ERR_RESOURCE_EXHAUSTED, "too many handshakes from this address");
        conn_close_now(conn, &err);
        return false;
    }
    char resume_key[ADDR_TEXT_BYTES];
    struct addr peer = conn_peer(conn);
    addr_format(&peer, resume_key);
    conn->session = tls_session_new(conn->tls, conn->server_name, conn->server ? NULL : resume_key);
    return true;
}

static void feed_session(struct conn *conn, const uint8_t *bytes, size_t size)
{
    if (!conn->session && !start_session(conn))
        return;
    struct err err = ERR_INIT;
    if (tls_session_feed(conn->session, bytes, size, &err) != 0) {
        conn_flush(conn);
        conn_close_now(conn, &err);
        return;
    }
    if (conn->state == CONN_OPENING) {
        conn_flush(conn);
        if (conn->state == CONN_OPENING && tls_session_state(conn->session) == TLS_OPEN)
            opened(conn);
    }
    if (conn->state == CONN_OPEN || conn->state == CONN_LEAVING)
        read_session(conn);
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct conn *conn = conn_of(stream->data);
    if (conn->state == CONN_CLOSED)
        return;
    if (count > 0 && conn->dismissed) {
        conn->still_bytes += (size_t)count;
        if (conn->still_bytes > CONN_DISMISS_BYTES)
            conn_close_now(conn, NULL);
    } else if (count > 0) {
        conn->active = loop_now(conn->loop);
        if (conn->tls)
            feed_session(conn, (const uint8_t *)buf->base, (size_t)count);
        else
            deliver(conn, (const uint8_t *)buf->base, (size_t)count);
    } else if (count == UV_EOF) {
        conn->reading = false; // libuv stops by itself
        uv_read_stop(stream);
        conn->peer_ended = true;
        if (conn->state == CONN_OPENING) {
            struct err err = ERR_INIT;
            err_set(&err, ERR_UNAVAILABLE, "closed by the peer during the TLS handshake");
            conn_close_now(conn, &err);
        } else {
            tell_end(conn);
        }
    } else if (count < 0) {
        conn_close_errno(conn, (int)count, "read");
    }
    if (conn->state != CONN_CLOSED)
        read_on(conn);
}

// Starts or stops reading as state and pause ask for.
static void read_on(struct conn *conn)
{
    bool want = (conn->state == CONN_OPENING && !conn->tell_open) || conn->state == CONN_LEAVING ||
                (conn->state == CONN_OPEN && !conn->paused && conn->unread.len == 0);
    if (conn->peer_ended)
        want = false;
    if (want == conn->reading)
        return;
    conn->reading = want;
    if (!want) {
        uv_read_stop(&conn->uv.stream);
        return;
    }
    int rc = uv_read_start(&conn->uv.stream, on_alloc, on_read);
    if (rc != 0)
        conn_close_errno(conn, rc, "read");
}

void conn_pause(struct conn *conn)
{
    conn->paused = true;
    if (conn->state == CONN_OPEN)
        read_on(conn);
}

void conn_resume(struct conn *conn)
{
    if (!conn->paused)
        return;
    conn->paused = false;
    if (conn->state != CONN_OPEN)
        return;
    loop_later_ask(&conn->later); // what the session still holds
    read_on(conn);
}

bool conn_paused(const struct conn *conn)
{
    return conn->paused;
}

// ---- the end of the turn -----------------------------------------------------------------------

static void on_later(struct loop_later *later)
{
    struct conn *conn = conn_of(CONTAINER_OF(later, struct conn, later));
    if (conn->state == CONN_CLOSED)
        return;
    if (conn->tell_open) {
        conn->tell_open = false;
        conn_start(conn);
    }
    conn_flush(conn);
    if (conn->state == CONN_OPEN && conn->above_high && conn_queued(conn) <= CONN_QUEUE_LOW_BYTES) {
        conn->above_high = false;
        if (conn->handler->on_drain)
            conn->handler->on_drain(conn, conn->owner);
    }
    if (conn->state == CONN_OPEN && !conn->paused && conn->unread.len > 0)
        read_again(conn);
    if (conn->state == CONN_OPEN && !conn->paused && conn->session)
        read_session(conn);
    if (conn->state == CONN_OPEN && !conn->paused && conn->peer_ended && conn->unread.len == 0)
        tell_end(conn);
    if (conn->state != CONN_CLOSED && conn->state != CONN_CONNECTING)
        read_on(conn);
}

void conn_close(struct conn *conn, const struct err *why)
{
    MAGIC_CHECK(conn, CONN_MAGIC);
    conn_close_now(conn, why);
}

bool conn_closing(const struct conn *conn)
{
    return conn->state == CONN_CLOSED || conn->state == CONN_LEAVING;
}

// ---- making ------------------------------------------------------------------------------------

// A write to a connection that is gone is an error to handle, not a reason to die; libuv leaves
// this to the program.
static void ignore_broken_pipes(void)
{
    signal(SIGPIPE, SIG_IGN);
}

struct conn *conn_new(struct loop *loop, const struct conn_options *options, bool server)
{
    static uv_once_t once = UV_ONCE_INIT;
    uv_once(&once, ignore_broken_pipes);
    struct conn *conn = MEM_NEW(struct conn);
    MAGIC_SET(conn, CONN_MAGIC);
    conn->loop = loop;
    conn->server = server;
    conn->tls = options->tls ? tls_config_ref(options->tls) : NULL;
    conn->server_name = str_dup(options->server_name);
    conn->idle_ms = options->idle_ms;
    conn->active = loop_now(loop);
    conn->owner_due = conn->linger_due = MONO_NEVER;
    int64_t open_ms = options->open_ms ? options->open_ms : CONN_OPEN_MS_DEFAULT;
    conn->open_due = mono_add(conn->active, open_ms * NS_PER_MS);
    conn->peer_kind = ADDR_UNIX;
    list_init(&conn->opening);
    buf_init(&conn->pending, CONN_QUEUE_BYTES_MAX);
    buf_init(&conn->unread, CONN_UNREAD_BYTES_MAX);
    loop_later_init(&conn->later, loop, on_later);
    loop_timer_init(&conn->timer, loop, on_timer);
    return conn;
}

void conn_init_handle(struct conn *conn, bool is_pipe)
{
    conn->is_pipe = is_pipe;
    int rc = is_pipe ? uv_pipe_init(&conn->loop->uv, &conn->uv.pipe, 0)
                     : uv_tcp_init(&conn->loop->uv, &conn->uv.tcp);
    CHECK(rc == 0); // no socket is made yet, so nothing can fail
    conn->uv.handle.data = conn;
}

// Learns the peer's address and tunes the socket.
void conn_connected(struct conn *conn)
{
    conn->state = CONN_OPENING;
    if (conn->is_pipe)
        return;
    // Batching is ours (see on_later), so the kernel's would only add delay.
    uv_tcp_nodelay(&conn->uv.tcp, 1);
    uv_tcp_keepalive(&conn->uv.tcp, 1, KEEPALIVE_S);
    struct sockaddr_storage sock;
    int size = sizeof sock;
    struct addr peer;
    // A peer that has gone already is noticed when it is read.
    if (uv_tcp_getpeername(&conn->uv.tcp, (struct sockaddr *)&sock, &size) == 0 &&
        addr_from_sock((struct sockaddr *)&sock, (size_t)size, &peer, NULL) == 0) {
        conn->peer_kind = peer.kind;
        conn->peer_port = peer.port;
        memcpy(conn->peer_ip, peer.ip, sizeof conn->peer_ip);
    }
}

void conn_start(struct conn *conn)
{
    conn_arm(conn);
    if (!conn->tls)
        opened(conn);
    else if (!conn->server)
        feed_session(conn, NULL, 0);
    if (conn->state != CONN_CLOSED)
        read_on(conn);
}

struct conn *conn_accept(struct loop *loop, uv_stream_t *server, const struct conn_options *options,
                         const struct conn_hooks *hooks, void *context)
{
    struct conn *conn = conn_new(loop, options, true);
    conn_init_handle(conn, server->type == UV_NAMED_PIPE);
    conn->hooks = hooks;
    conn->hooks_context = context;
    if (uv_accept(server, &conn->uv.stream) != 0) {
        conn_close_now(conn, NULL);
        return NULL;
    }
    conn_connected(conn);
    return conn;
}

struct conn *conn_adopt(struct loop *loop, int fd, bool server, const struct conn_options *options,
                        const struct conn_handler *handler, void *owner, struct err *err)
{
    uv_handle_type type = uv_guess_handle(fd);
    if (type != UV_TCP && type != UV_NAMED_PIPE) {
        close(fd);
        err_set(err, ERR_INVALID_ARGUMENT, "descriptor %d is no stream socket", fd);
        return NULL;
    }
    struct conn *conn = conn_new(loop, options, server);
    conn_init_handle(conn, type == UV_NAMED_PIPE);
    int rc = type == UV_TCP ? uv_tcp_open(&conn->uv.tcp, fd) : uv_pipe_open(&conn->uv.pipe, fd);
    if (rc != 0) {
        close(fd);
        err_set_errno(err, rc, "take over descriptor %d", fd);
        conn_close_now(conn, NULL); // without a handler: nobody is told
        return NULL;
    }
    conn->handler = handler;
    conn->owner = owner;
    conn_connected(conn);
    conn->tell_open = true;
    conn_arm(conn);
    loop_later_ask(&conn->later);
    return conn;
}

void conn_set_hooks(struct conn *conn, const struct conn_hooks *hooks)
{
    conn->hooks = hooks;
}

// ---- asking ------------------------------------------------------------------------------------

void conn_set_handler(struct conn *conn, const struct conn_handler *handler, void *owner)
{
    MAGIC_CHECK(conn, CONN_MAGIC);
    conn->handler = handler;
    conn->owner = owner;
}

void *conn_owner(const struct conn *conn)
{
    return conn->owner;
}

struct loop *conn_loop(const struct conn *conn)
{
    return conn->loop;
}

struct addr conn_peer(const struct conn *conn)
{
    if (conn->peer_kind == ADDR_UNIX)
        return (struct addr){.kind = ADDR_UNIX};
    return addr_of_ip(conn->peer_ip, conn->peer_kind == ADDR_IP4 ? 4 : 16, conn->peer_port);
}

const struct tls_session *conn_tls(const struct conn *conn)
{
    return conn->session;
}

uint64_t conn_bytes_in(const struct conn *conn)
{
    return conn->bytes_in;
}

uint64_t conn_bytes_out(const struct conn *conn)
{
    return conn->bytes_out;
}

struct list *conn_opening_link(struct conn *conn)
{
    return &conn->opening;
}

struct conn *conn_of_opening_link(struct list *link)
{
    return LIST_ENTRY(link, struct conn, opening);
}
