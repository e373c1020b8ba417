// A connection's way out: conn_write -> `pending` -> (TLS) -> the socket as far as it takes it ->
// the rest in one write request of libuv; and its farewell once everything has left.
#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/net/conn_impl_io.h"

#define SEAL_BYTES (256 * 1024) // plaintext sealed at one go, so that the sealed copy stays small

struct write_op {
    uv_write_t request;
    uint8_t *bytes;
};

static void on_written(uv_write_t *request, int status)
{
    struct write_op *op = CONTAINER_OF(request, struct write_op, request);
    struct conn *conn = conn_of(op->request.data);
    free(op->bytes);
    free(op);
    conn->writing = false;
    if (conn->state == CONN_CLOSED)
        return;
    if (status != 0) {
        conn_close_errno(conn, status, "write");
        return;
    }
    conn->active = loop_now(conn->loop);
    conn_flush(conn);
}

// Sends `out` as far as the socket takes it now, the rest by a write request. False when the conn
// had to be closed.
static bool send_out(struct conn *conn, struct buf *out)
{
    while (out->len > 0 && !conn->writing) {
        uv_buf_t part = uv_buf_init((char *)out->data, (unsigned)out->len);
        int count = uv_try_write(&conn->uv.stream, &part, 1);
        if (count > 0) {
            conn->active = loop_now(conn->loop);
            buf_consume(out, (size_t)count);
            continue;
        }
        if (count != UV_EAGAIN) {
            conn_close_errno(conn, count, "write");
            return false;
        }
        struct write_op *op = MEM_NEW(struct write_op);
        size_t length;
        op->bytes = buf_steal(out, &length);
        op->request.data = conn;
        part = uv_buf_init((char *)op->bytes, (unsigned)length);
        conn->writing = true;
        int rc = uv_write(&op->request, &conn->uv.stream, &part, 1, on_written);
        if (rc != 0) {
            conn->writing = false;
            free(op->bytes);
            free(op);
            conn_close_errno(conn, rc, "write");
            return false;
        }
    }
    if (out->len == 0)
        buf_fini(out); // an idle conn owns no buffers
    return true;
}

// Moves plaintext into the session and ciphertext onto the wire until a write request waits.
static bool send_sealed(struct conn *conn)
{
    struct buf *out = tls_session_output(conn->session);
    if (!send_out(conn, out))
        return false;
    while (conn->pending.len > 0 && !conn->writing && conn->state != CONN_OPENING) {
        size_t size = conn->pending.len < SEAL_BYTES ? conn->pending.len : SEAL_BYTES;
        struct err err = ERR_INIT;
        if (tls_session_write(conn->session, conn->pending.data, size, &err) != 0) {
            conn_close_now(conn, &err);
            return false;
        }
        buf_consume(&conn->pending, size);
        if (!send_out(conn, out))
            return false;
    }
    if (conn->pending.len == 0)
        buf_fini(&conn->pending);
    return true;
}

static void on_shut(uv_shutdown_t *request, int status)
{
    (void)status; // a socket that is gone already says so when it is read
    struct conn *conn = conn_of(request->data);
    free(request);
    if (conn->state == CONN_LEAVING && conn->peer_ended)
        conn_close_now(conn, NULL);
}

// Everything was handed to the kernel: our end follows, and then the close if the peer's end came.
static void finish(struct conn *conn)
{
    if (!conn->end_sent) {
        if (conn->session) {
            tls_session_end(conn->session);
            if (!send_out(conn, tls_session_output(conn->session)))
                return;
        }
        conn->end_sent = true;
        uv_shutdown_t *request = MEM_NEW(uv_shutdown_t);
        request->data = conn;
        // libuv shuts down after the writes that wait. It fails only when nothing is connected.
        if (uv_shutdown(request, &conn->uv.stream, on_shut) != 0) {
            free(request);
            if (conn->state == CONN_LEAVING)
                conn_close_now(conn, NULL);
        }
    } else if (conn->state == CONN_LEAVING && conn->peer_ended && !conn->writing) {
        conn_close_now(conn, NULL);
    }
}

// Never calls back: usable from inside a caller's call.
void conn_flush(struct conn *conn)
{
    MAGIC_CHECK(conn, CONN_MAGIC);
    if (conn->state == CONN_CLOSED || conn->state == CONN_CONNECTING)
        return;
    if (conn->session) {
        if (!send_sealed(conn))
            return;
    } else if (!conn->tls && conn->state != CONN_OPENING) {
        if (!send_out(conn, &conn->pending))
            return;
    }
    if (conn->above_high && conn_queued(conn) <= CONN_QUEUE_LOW_BYTES)
        loop_later_ask(&conn->later); // on_drain is due
    if (conn->end_asked && conn->pending.len == 0 && conn->state != CONN_OPENING)
        finish(conn);
}

void conn_write(struct conn *conn, const void *bytes, size_t size)
{
    MAGIC_CHECK(conn, CONN_MAGIC);
    if (conn->state == CONN_CLOSED || conn->state == CONN_LEAVING || conn->end_asked || size == 0)
        return;
    buf_put(&conn->pending, bytes, size);
    if (!buf_ok(&conn->pending) || conn_queued(conn) > CONN_QUEUE_BYTES_MAX) {
        struct err err = ERR_INIT;
        err_set(&err, ERR_RESOURCE_EXHAUSTED,
                "more than %d bytes queued for a peer that does not read", CONN_QUEUE_BYTES_MAX);
        conn_close_now(conn, &err);
        return;
    }
    conn->bytes_out += size;
    if (conn_queued(conn) >= CONN_QUEUE_HIGH_BYTES)
        conn->above_high = true;
    loop_later_ask(&conn->later);
}

size_t conn_queued(const struct conn *conn)
{
    size_t queued = conn->pending.len;
    if (conn->state != CONN_CLOSED)
        queued += uv_stream_get_write_queue_size(&conn->uv.stream);
    return queued;
}

size_t conn_room(const struct conn *conn)
{
    size_t queued = conn_queued(conn);
    if (conn->above_high || queued >= CONN_QUEUE_HIGH_BYTES)
        return 0;
    return CONN_QUEUE_HIGH_BYTES - queued;
}

void conn_end(struct conn *conn)
{
    MAGIC_CHECK(conn, CONN_MAGIC);
    if (conn->state == CONN_CLOSED || conn->end_asked)
        return;
    conn->end_asked = true;
    loop_later_ask(&conn->later);
}

void conn_shutdown(struct conn *conn)
{
    MAGIC_CHECK(conn, CONN_MAGIC);
    if (conn->state == CONN_CONNECTING || conn->state == CONN_OPENING) {
        conn_close_now(conn, NULL); // nobody is there to hear a farewell
        return;
    }
    if (conn->state != CONN_OPEN)
        return;
    conn->state = CONN_LEAVING;
    conn->end_asked = true;
    conn->idle_ms = 0;
    conn->owner_due = MONO_NEVER;
    conn->linger_due = mono_add(loop_now(conn->loop), CONN_LINGER_MS * NS_PER_MS);
    conn_arm(conn);
    loop_later_ask(&conn->later);
}

void conn_dismiss(struct conn *conn)
{
    conn_shutdown(conn);
    conn->dismissed = true;
}
