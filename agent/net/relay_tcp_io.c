// Connections: what one side sends the other gets, its end and its reset included.
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/net/relay_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/net/acceptor_io.h"

#define TCP_MAGIC  0x52545043u
#define CONN_MAGIC 0x52434f4eu
#define READS      4 // chunks passed on per wake-up
// A peer that is silent is asked after a minute whether it is still there, and given up after two.
#define KEEP_IDLE_S     60
#define KEEP_INTERVAL_S 10
#define KEEP_COUNT      6

struct relay_tcp {
    unsigned magic;
    struct relay *relay;
    struct relay_port port;
    struct acceptor *acceptor;
    struct list conns;
};

enum side { OUTER, INNER, SIDES };

struct end {
    struct conn *conn;
    uv_poll_t poll;
    int fd;
    struct buf out; // for it, not taken yet
    bool ended;     // it sends no more
};

struct conn {
    unsigned magic;
    struct relay_tcp *tcp;
    struct list link;
    struct end ends[SIDES];
    bool connected;
    unsigned open; // handles that are not closed
    struct loop_timer dial;
};

// ---- the end of a connection --------------------------------------------------------------------

static void on_end_closed(uv_handle_t *handle)
{
    struct conn *conn = CONTAINER_OF((uv_poll_t *)handle, struct end, poll)->conn;
    MAGIC_CHECK(conn, CONN_MAGIC);
    if (--conn->open)
        return;
    MAGIC_CLEAR(conn);
    free(conn);
}

static void conn_close(struct conn *conn, bool reset)
{
    struct relay *relay = conn->tcp->relay;
    const struct linger now = {.l_onoff = 1};
    loop_timer_stop(&conn->dial);
    list_remove(&conn->link);
    relay->counts.conns_now--;
    for (size_t i = 0; i < SIDES; i++) {
        struct end *end = &conn->ends[i];
        if (reset)
            (void)setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        uv_close((uv_handle_t *)&end->poll, on_end_closed);
        close(end->fd);
        buf_fini(&end->out);
    }
}

static void conn_fail(struct conn *conn)
{
    conn->tcp->relay->counts.conns_failed++;
    conn_close(conn, true);
}

static void on_dial_over(struct loop_timer *timer)
{
    conn_fail(CONTAINER_OF(timer, struct conn, dial));
}

// ---- passing on ---------------------------------------------------------------------------------

static struct end *other_of(struct end *end)
{
    return &end->conn->ends[end == &end->conn->ends[OUTER] ? INNER : OUTER];
}

// Sends what it can. False when the connection broke.
static bool send_some(struct end *end, const uint8_t *bytes, size_t size, size_t *sent)
{
    *sent = 0;
    while (*sent < size) {
        ssize_t now = send(end->fd, bytes + *sent, size - *sent, MSG_NOSIGNAL);
        if (now < 0 && errno == EINTR)
            continue;
        if (now < 0)
            return errno == EAGAIN;
        *sent += (size_t)now;
    }
    return true;
}

static void pass_end(struct end *from)
{
    struct end *to = other_of(from);
    if (from->ended && to->out.len == 0)
        (void)shutdown(to->fd, SHUT_WR);
}

static bool flush(struct end *to)
{
    size_t sent;
    if (!send_some(to, to->out.data, to->out.len, &sent))
        return false;
    buf_consume(&to->out, sent);
    if (to->out.len == 0)
        buf_fini(&to->out); // idle connections hold no memory
    pass_end(other_of(to));
    return true;
}

// Reads what has come and passes it on, as long as the other side takes it.
static bool pump(struct end *from)
{
    struct end *to = other_of(from);
    uint8_t *chunk = from->conn->tcp->relay->chunk;
    for (int i = 0; i < READS && !from->ended && to->out.len == 0; i++) {
        size_t sent;
        ssize_t got = recv(from->fd, chunk, RELAY_CHUNK_BYTES, 0);
        if (got < 0)
            return errno == EAGAIN || errno == EINTR;
        from->ended = got == 0;
        if (!send_some(to, chunk, (size_t)got, &sent))
            return false;
        if (sent < (size_t)got)
            buf_put(&to->out, chunk + sent, (size_t)got - sent);
    }
    pass_end(from);
    return true;
}

static void on_event(uv_poll_t *poll, int status, int events);

static void watch(struct end *end)
{
    int events =
        (end->conn->connected && !end->ended && other_of(end)->out.len == 0 ? UV_READABLE : 0) |
        (end->out.len ? UV_WRITABLE : 0);
    // Keepalive sees to one that has nothing to wait for.
    int rc = events ? uv_poll_start(&end->poll, events, on_event) : uv_poll_stop(&end->poll);
    CHECK(rc == 0);
}

static void go_on(struct conn *conn)
{
    const struct end *outer = &conn->ends[OUTER], *inner = &conn->ends[INNER];
    if (outer->ended && inner->ended && outer->out.len == 0 && inner->out.len == 0) {
        conn_close(conn, false);
        return;
    }
    for (size_t i = 0; i < SIDES; i++)
        watch(&conn->ends[i]);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct end *end = CONTAINER_OF(poll, struct end, poll);
    struct conn *conn = end->conn;
    MAGIC_CHECK(conn, CONN_MAGIC);
    bool fine = status >= 0;
    if (fine && (events & UV_WRITABLE))
        fine = flush(end);
    if (fine && (events & UV_READABLE))
        fine = pump(end);
    if (fine)
        go_on(conn);
    else
        conn_close(conn, true);
}

// ---- its beginning ------------------------------------------------------------------------------

static void on_dialled(uv_poll_t *poll, int status, int events)
{
    struct conn *conn = CONTAINER_OF(poll, struct end, poll)->conn;
    MAGIC_CHECK(conn, CONN_MAGIC);
    int error = 0;
    socklen_t size = sizeof error;
    (void)events;
    if (status < 0 || getsockopt(conn->ends[INNER].fd, SOL_SOCKET, SO_ERROR, &error, &size) ||
        error) {
        conn_fail(conn);
        return;
    }
    loop_timer_stop(&conn->dial);
    conn->connected = true;
    go_on(conn);
}

static void settle(int fd)
{
    static const struct {
        int level, name, value;
    } rows[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL_S},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        (void)setsockopt(fd, rows[i].level, rows[i].name, &rows[i].value, sizeof rows[i].value);
}

static int dial(const struct relay_port *port)
{
    const struct sockaddr_in to = relay_inner(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) {
        close(fd);
        fd = -1;
    }
    return fd;
}

// Takes the socket; closes it when the loop does not.
static bool end_init(struct conn *conn, enum side side, int fd)
{
    struct end *end = &conn->ends[side];
    end->conn = conn;
    end->fd = fd;
    buf_init(&end->out, RELAY_CHUNK_BYTES);
    settle(fd);
    if (uv_poll_init(&conn->tcp->relay->loop->uv, &end->poll, fd) < 0) {
        close(fd);
        return false;
    }
    conn->open++;
    return true;
}

// Takes both sockets. False when the loop has no room for them.
static bool conn_begin(struct relay_tcp *tcp, int outer, int inner)
{
    struct conn *conn = MEM_NEW(struct conn);
    MAGIC_SET(conn, CONN_MAGIC);
    conn->tcp = tcp;
    list_init(&conn->link);
    loop_timer_init(&conn->dial, tcp->relay->loop, on_dial_over);
    if (!end_init(conn, OUTER, outer)) {
        close(inner);
        free(conn);
        return false;
    }
    if (!end_init(conn, INNER, inner)) {
        uv_close((uv_handle_t *)&conn->ends[OUTER].poll, on_end_closed);
        close(outer);
        return false;
    }
    list_push_back(&tcp->conns, &conn->link);
    tcp->relay->counts.conns_now++;
    loop_timer_start(&conn->dial, RELAY_DIAL_MS);
    int rc = uv_poll_start(&conn->ends[INNER].poll, UV_WRITABLE, on_dialled);
    CHECK(rc == 0);
    return true;
}

static void take(void *owner, int outer)
{
    struct relay_tcp *tcp = owner;
    MAGIC_CHECK(tcp, TCP_MAGIC);
    struct relay *relay = tcp->relay;
    relay->counts.conns++;
    if (relay->counts.conns_now >= RELAY_CONNS_MAX) {
        relay->counts.conns_refused++;
        close(outer);
        return;
    }
    int inner = dial(&tcp->port);
    if (inner < 0)
        close(outer);
    if (inner < 0 || !conn_begin(tcp, outer, inner))
        relay->counts.conns_failed++;
}

struct relay_tcp *relay_tcp_open(struct relay *relay, const struct relay_port *port, int fd,
                                 struct err *err)
{
    struct relay_tcp *tcp = MEM_NEW(struct relay_tcp);
    tcp->acceptor = acceptor_open(relay->loop, fd, take, tcp, err);
    if (!tcp->acceptor) {
        free(tcp);
        return NULL;
    }
    MAGIC_SET(tcp, TCP_MAGIC);
    tcp->relay = relay;
    tcp->port = *port;
    list_init(&tcp->conns);
    return tcp;
}

void relay_tcp_close(struct relay_tcp *tcp)
{
    if (!tcp)
        return;
    MAGIC_CHECK(tcp, TCP_MAGIC);
    while (!list_empty(&tcp->conns))
        conn_close(LIST_ENTRY(tcp->conns.next, struct conn, link), true);
    acceptor_close(tcp->acceptor);
    MAGIC_CLEAR(tcp);
    free(tcp);
}
