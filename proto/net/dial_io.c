// Connecting: a name is looked up, its addresses are tried in order, each with a fresh handle.
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/net/addr_io.h"
#include "proto/net/conn_impl_io.h"

#define CONNECTS_MAX 8 // addresses of one name that are tried

// Lives on its own, because a lookup cannot always be stopped when its conn is closed.
struct dial {
    struct conn *conn; // NULL once the conn gave up
    uv_getaddrinfo_t lookup;
    bool looking_up;
    struct addr addrs[CONNECTS_MAX];
    size_t addrs_count;
    size_t addrs_next;
    struct err err; // why the last attempt failed
};

struct connect_op {
    uv_connect_t request;
    struct conn *conn;
};

void dial_abandon(struct conn *conn)
{
    struct dial *dial = conn->dial;
    conn->dial = NULL;
    if (!dial)
        return;
    dial->conn = NULL;
    if (!dial->looking_up)
        free(dial);
    else
        uv_cancel((uv_req_t *)&dial->lookup); // its callback frees the dial either way
}

// The attempt failed: the next address gets a fresh handle, from the close callback of this one.
static void dial_failed(struct conn *conn, int errnum, const struct addr *addr)
{
    char text[ADDR_TEXT_BYTES];
    struct dial *dial = conn->dial;
    err_set_errno(&dial->err, errnum, "connect to %s", addr_format(addr, text));
    dial->err.code = ERR_UNAVAILABLE;
    if (dial->addrs_next < dial->addrs_count && !uv_is_closing(&conn->uv.handle)) {
        uv_close(&conn->uv.handle, conn_on_closed);
        return;
    }
    struct err err = dial->err;
    conn_close_now(conn, &err);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct connect_op *op = CONTAINER_OF(request, struct connect_op, request);
    struct conn *conn = conn_of(op->conn);
    free(op);
    if (conn->state == CONN_CLOSED || uv_is_closing(&conn->uv.handle))
        return;
    if (status != 0) {
        dial_failed(conn, status, &conn->dial->addrs[conn->dial->addrs_next - 1]);
        return;
    }
    dial_abandon(conn);
    conn_connected(conn);
    conn_start(conn);
}

// A unix socket answers at once, and libuv's own call knows no abstract names.
static int connect_unix(struct conn *conn, const struct sockaddr *sock, socklen_t size)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, sock, size) != 0) {
        int errnum = errno;
        close(fd);
        return -errnum;
    }
    int rc = uv_pipe_open(&conn->uv.pipe, fd);
    if (rc != 0) {
        close(fd);
        return rc;
    }
    dial_abandon(conn);
    conn_connected(conn);
    conn->tell_open = true;
    loop_later_ask(&conn->later);
    return 0;
}

static void dial_attempt(struct conn *conn)
{
    struct dial *dial = conn->dial;
    struct addr *addr = &dial->addrs[dial->addrs_next++];
    struct sockaddr_storage sock;
    socklen_t size;
    struct err err = ERR_INIT;
    if (addr_to_sock(addr, &sock, &size, &err) != 0) {
        conn_close_now(conn, &err);
        return;
    }
    int rc;
    if (conn->is_pipe) {
        rc = connect_unix(conn, (struct sockaddr *)&sock, size);
    } else {
        struct connect_op *op = MEM_NEW(struct connect_op);
        op->conn = conn;
        rc = uv_tcp_connect(&op->request, &conn->uv.tcp, (struct sockaddr *)&sock, on_connected);
        if (rc != 0)
            free(op);
    }
    if (rc != 0)
        dial_failed(conn, rc, addr);
}

bool dial_next(struct conn *conn)
{
    if (!conn->dial)
        return false;
    conn_init_handle(conn, false);
    dial_attempt(conn);
    return true;
}

static void on_lookup(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct dial *dial = CONTAINER_OF(request, struct dial, lookup);
    struct conn *conn = dial->conn;
    dial->looking_up = false;
    if (!conn) {
        uv_freeaddrinfo(found);
        free(dial);
        return;
    }
    struct addr name = dial->addrs[0];
    for (struct addrinfo *it = found; it && dial->addrs_count < CONNECTS_MAX; it = it->ai_next) {
        struct addr *addr = &dial->addrs[dial->addrs_count];
        if (addr_from_sock(it->ai_addr, it->ai_addrlen, addr, NULL) != 0)
            continue;
        addr->port = name.port;
        dial->addrs_count++;
    }
    uv_freeaddrinfo(found);
    if (dial->addrs_count > 0) {
        dial_attempt(conn);
        return;
    }
    struct err err = ERR_INIT;
    err_set(&err, ERR_UNAVAILABLE, "look up %s: %s", name.host,
            status ? uv_strerror(status) : "no address");
    conn_close_now(conn, &err);
}

static void dial_start(struct conn *conn, const struct addr *addr)
{
    struct dial *dial = conn->dial;
    dial->addrs[0] = *addr;
    if (addr->kind != ADDR_NAME) {
        dial->addrs_count = 1;
        dial_attempt(conn);
        return;
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    int rc = uv_getaddrinfo(&conn->loop->uv, &dial->lookup, on_lookup, addr->host, NULL, &hints);
    dial->looking_up = rc == 0;
    if (rc != 0) {
        struct err err = ERR_INIT;
        err_set(&err, ERR_UNAVAILABLE, "look up %s: %s", addr->host, uv_strerror(rc));
        conn_close_now(conn, &err);
    }
}

struct conn *conn_connect(struct loop *loop, const struct addr *addr,
                          const struct conn_options *options, const struct conn_handler *handler,
                          void *owner)
{
    struct conn *conn = conn_new(loop, options, false);
    conn_init_handle(conn, addr->kind == ADDR_UNIX);
    conn->handler = handler;
    conn->owner = owner;
    conn->state = CONN_CONNECTING;
    conn->dial = MEM_NEW(struct dial);
    conn->dial->conn = conn;
    conn_arm(conn);
    dial_start(conn, addr);
    return conn;
}
