// A sandbox's side towards questions over TCP: connections of several questions each (RFC 7766).
// Who keeps a connection without asking loses it, at the latest to somebody who wants to ask.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/dns/dns_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/net/acceptor_io.h"

#define TCP_MAGIC    0x444e5354u
#define CONN_MAGIC   0x444e5343u
#define LENGTH_BYTES 2u
#define IN_BYTES_MAX (LENGTH_BYTES + DNS_MESSAGE_BYTES)
// Replies that the asker does not take. While more than half of it waits, nothing is read.
#define OUT_BYTES_MAX (4u * (LENGTH_BYTES + DNS_MESSAGE_BYTES))
#define READ_BYTES    4096u

struct dns_tcp {
    unsigned magic;
    struct dns_sandbox *sandbox;
    struct acceptor *acceptor;
    struct list conns; // struct dns_conn.link, the one longest without a question first
    size_t conns_count;
};

struct dns_conn {
    unsigned magic;
    struct dns_tcp *tcp; // NULL once it is closed
    struct list link;
    uv_poll_t poll;
    int fd;
    struct buf in, out;
    struct list pendings; // struct dns_pending.conn_link
    bool half_closed;     // the asker has nothing more to ask
    struct loop_timer idle;
};

static void watch(struct dns_conn *conn);

// ---- the end of a connection --------------------------------------------------------------------

static void on_conn_closed(uv_handle_t *handle)
{
    struct dns_conn *conn = CONTAINER_OF((uv_poll_t *)handle, struct dns_conn, poll);
    MAGIC_CHECK(conn, CONN_MAGIC);
    MAGIC_CLEAR(conn);
    buf_fini(&conn->in);
    buf_fini(&conn->out);
    free(conn);
}

static void conn_close(struct dns_conn *conn)
{
    CHECK(conn->tcp);
    while (!list_empty(&conn->pendings))
        dns_pending_drop(LIST_ENTRY(conn->pendings.next, struct dns_pending, conn_link));
    list_remove(&conn->link);
    conn->tcp->conns_count--;
    conn->tcp = NULL;
    loop_timer_stop(&conn->idle);
    uv_close((uv_handle_t *)&conn->poll, on_conn_closed);
    close(conn->fd);
}

static void on_idle(struct loop_timer *timer)
{
    struct dns_conn *conn = CONTAINER_OF(timer, struct dns_conn, idle);
    MAGIC_CHECK(conn, CONN_MAGIC);
    conn_close(conn);
}

// ---- sending ------------------------------------------------------------------------------------

// Sends what it can. False when the connection is closed.
static bool conn_flush(struct dns_conn *conn)
{
    // Replies of name servers do not fit any more: it has not taken those before.
    if (!buf_ok(&conn->out)) {
        conn_close(conn);
        return false;
    }
    while (conn->out.len) {
        ssize_t sent = send(conn->fd, conn->out.data, conn->out.len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0) {
            conn_close(conn);
            return false;
        }
        buf_consume(&conn->out, (size_t)sent);
    }
    if (conn->half_closed && conn->out.len == 0 && list_empty(&conn->pendings)) {
        conn_close(conn);
        return false;
    }
    return true;
}

static void put_reply(struct dns_conn *conn, const struct buf *reply)
{
    buf_put_u16be(&conn->out, (uint16_t)reply->len);
    buf_put(&conn->out, reply->data, reply->len);
}

void dns_conn_pending(struct dns_conn *conn, struct dns_pending *pending)
{
    MAGIC_CHECK(conn, CONN_MAGIC);
    list_push_back(&conn->pendings, &pending->conn_link);
}

static size_t pendings_count(const struct dns_conn *conn)
{
    size_t count = 0;
    LIST_EACH (link, &conn->pendings)
        count++;
    return count;
}

// ---- receiving ----------------------------------------------------------------------------------

static bool may_read(const struct dns_conn *conn)
{
    return !conn->half_closed && conn->out.len <= OUT_BYTES_MAX / 2 &&
           pendings_count(conn) < DNS_PIPELINE_MAX;
}

// Takes the whole questions that have come, as far as their replies have room.
static void take_questions(struct dns_conn *conn)
{
    struct dns_sandbox *sandbox = conn->tcp->sandbox;
    struct buf *reply = &sandbox->server->reply;
    const struct dns_origin origin = {.conn = conn};
    size_t at = 0;
    while (conn->in.len - at >= LENGTH_BYTES && conn->out.len <= OUT_BYTES_MAX / 2 &&
           pendings_count(conn) < DNS_PIPELINE_MAX) {
        const uint8_t *bytes = conn->in.data + at;
        size_t size = ((size_t)bytes[0] << 8) | bytes[1];
        if (conn->in.len - at - LENGTH_BYTES < size)
            break;
        dns_question(sandbox, bytes + LENGTH_BYTES, size, &origin, reply);
        at += LENGTH_BYTES + size;
        if (reply->len)
            put_reply(conn, reply);
        loop_timer_start(&conn->idle, DNS_IDLE_MS);
        list_remove(&conn->link);
        list_push_back(&conn->tcp->conns, &conn->link);
    }
    buf_consume(&conn->in, at);
}

// False when the connection is closed.
static bool conn_read(struct dns_conn *conn)
{
    uint8_t bytes[READ_BYTES];
    size_t room = IN_BYTES_MAX - conn->in.len;
    if (room == 0) // a whole question lies there, whose turn has not come
        return true;
    ssize_t got = recv(conn->fd, bytes, room < sizeof bytes ? room : sizeof bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got < 0) {
        conn_close(conn);
        return false;
    }
    if (got == 0)
        conn->half_closed = true;
    buf_put(&conn->in, bytes, (size_t)got);
    return true;
}

static void on_conn(uv_poll_t *poll, int status, int events)
{
    struct dns_conn *conn = CONTAINER_OF(poll, struct dns_conn, poll);
    MAGIC_CHECK(conn, CONN_MAGIC);
    if (status < 0) {
        conn_close(conn);
        return;
    }
    if ((events & UV_READABLE) && !conn_read(conn))
        return;
    take_questions(conn);
    if (conn_flush(conn))
        watch(conn);
}

static void watch(struct dns_conn *conn)
{
    int events = (may_read(conn) ? UV_READABLE : 0) | (conn->out.len ? UV_WRITABLE : 0);
    // With nothing to wait for, a reset would go unseen; the idle timer sees to that.
    int result = events ? uv_poll_start(&conn->poll, events, on_conn) : uv_poll_stop(&conn->poll);
    CHECK(result == 0);
}

void dns_conn_reply(struct dns_conn *conn, const struct buf *reply)
{
    MAGIC_CHECK(conn, CONN_MAGIC);
    CHECK(conn->tcp);
    put_reply(conn, reply);
    loop_timer_start(&conn->idle, DNS_IDLE_MS);
    take_questions(conn);
    if (conn_flush(conn))
        watch(conn);
}

// ---- the listening socket -----------------------------------------------------------------------

static void take_connection(void *owner, int fd)
{
    struct dns_tcp *tcp = owner;
    MAGIC_CHECK(tcp, TCP_MAGIC);
    struct loop *loop = tcp->sandbox->server->loop;
    struct dns_conn *conn = MEM_NEW(struct dns_conn);
    if (uv_poll_init(&loop->uv, &conn->poll, fd) < 0) {
        close(fd);
        free(conn);
        return;
    }
    if (tcp->conns_count >= DNS_CONNECTIONS_MAX)
        conn_close(LIST_ENTRY(tcp->conns.next, struct dns_conn, link));
    MAGIC_SET(conn, CONN_MAGIC);
    conn->tcp = tcp;
    conn->fd = fd;
    buf_init(&conn->in, IN_BYTES_MAX);
    buf_init(&conn->out, OUT_BYTES_MAX);
    list_init(&conn->pendings);
    list_push_back(&tcp->conns, &conn->link);
    tcp->conns_count++;
    loop_timer_init(&conn->idle, loop, on_idle);
    loop_timer_start(&conn->idle, DNS_IDLE_MS);
    watch(conn);
}

struct dns_tcp *dns_tcp_open(struct dns_sandbox *sandbox, int fd, struct err *err)
{
    struct dns_tcp *tcp = MEM_NEW(struct dns_tcp);
    tcp->acceptor = acceptor_open(sandbox->server->loop, fd, take_connection, tcp, err);
    if (!tcp->acceptor) {
        free(tcp);
        return NULL;
    }
    MAGIC_SET(tcp, TCP_MAGIC);
    tcp->sandbox = sandbox;
    list_init(&tcp->conns);
    return tcp;
}

void dns_tcp_close(struct dns_tcp *tcp)
{
    if (!tcp)
        return;
    MAGIC_CHECK(tcp, TCP_MAGIC);
    while (!list_empty(&tcp->conns))
        conn_close(LIST_ENTRY(tcp->conns.next, struct dns_conn, link));
    acceptor_close(tcp->acceptor);
    MAGIC_CLEAR(tcp);
    free(tcp);
}
