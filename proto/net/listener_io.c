#include "proto/net/listener_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/net/addr_io.h"
#include "proto/net/conn_impl_io.h"

#define LISTENER_MAGIC 0x6c73746eu

// Connections the kernel keeps for us before we accept them (it cuts this to net.core.somaxconn).
#define BACKLOG 4096

// ---- the gate ----------------------------------------------------------------------------------

struct gate {
    atomic_uint refs;
    uv_mutex_t lock; // guards admission
    struct admission admission;
};

struct gate *gate_new(const struct admission_limits *limits)
{
    struct gate *gate = MEM_NEW(struct gate);
    struct admission_limits defaults = admission_limits_default();
    atomic_init(&gate->refs, 1);
    int rc = uv_mutex_init(&gate->lock);
    CHECK(rc == 0);
    admission_init(&gate->admission, limits ? limits : &defaults);
    return gate;
}

static struct gate *gate_ref(struct gate *gate)
{
    atomic_fetch_add(&gate->refs, 1);
    return gate;
}

void gate_unref(struct gate *gate)
{
    if (!gate || atomic_fetch_sub(&gate->refs, 1) != 1)
        return;
    admission_fini(&gate->admission);
    uv_mutex_destroy(&gate->lock);
    free(gate);
}

unsigned gate_open(struct gate *gate)
{
    uv_mutex_lock(&gate->lock);
    unsigned open = admission_open(&gate->admission);
    uv_mutex_unlock(&gate->lock);
    return open;
}

static enum admission_answer gate_enter(struct gate *gate, struct conn *conn)
{
    struct addr peer = conn_peer(conn);
    uv_mutex_lock(&gate->lock);
    enum admission_answer answer =
        admission_enter(&gate->admission, &peer, loop_now(conn_loop(conn)));
    uv_mutex_unlock(&gate->lock);
    return answer;
}

static enum admission_answer gate_handshake(struct gate *gate, struct conn *conn)
{
    struct addr peer = conn_peer(conn);
    uv_mutex_lock(&gate->lock);
    enum admission_answer answer =
        admission_handshake(&gate->admission, &peer, loop_now(conn_loop(conn)));
    uv_mutex_unlock(&gate->lock);
    return answer;
}

static void gate_leave(struct gate *gate, struct conn *conn)
{
    struct addr peer = conn_peer(conn);
    uv_mutex_lock(&gate->lock);
    admission_leave(&gate->admission, &peer, loop_now(conn_loop(conn)));
    uv_mutex_unlock(&gate->lock);
}

// ---- accepting ---------------------------------------------------------------------------------

struct listener {
    unsigned magic;
    struct loop *loop;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    struct addr addr;
    struct gate *gate;
    struct conn_options conn_options;
    void (*on_accept)(struct listener *listener, struct conn *conn, void *owner);
    void (*closed)(void *owner);
    void *owner;
    struct list opening; // conns not open yet
    bool owns_path;
    // Counted by the conns that were accepted, for each of them looks here until it is freed.
    unsigned refs;
};

static void listener_unref(struct listener *listener)
{
    CHECK(listener->refs > 0);
    if (--listener->refs > 0)
        return;
    gate_unref(listener->gate);
    tls_config_unref(listener->conn_options.tls);
    MAGIC_CLEAR(listener);
    free(listener);
}

static struct listener *listener_of(void *data)
{
    struct listener *listener = data;
    MAGIC_CHECK(listener, LISTENER_MAGIC);
    return listener;
}

static bool on_first_bytes(struct conn *conn, void *context)
{
    struct listener *listener = listener_of(context);
    return gate_handshake(listener->gate, conn) == ADMISSION_OK;
}

static void on_opened(struct conn *conn, void *context)
{
    struct listener *listener = listener_of(context);
    listener->on_accept(listener, conn, listener->owner);
}

static void on_gone(struct conn *conn, void *context)
{
    struct listener *listener = listener_of(context);
    gate_leave(listener->gate, conn);
    listener_unref(listener);
}

static void on_refused_gone(struct conn *conn, void *context)
{
    (void)conn;
    listener_unref(listener_of(context));
}

static const struct conn_hooks admitted = {on_first_bytes, on_opened, on_gone};
static const struct conn_hooks refused = {on_first_bytes, on_opened, on_refused_gone};

static void on_connection(uv_stream_t *stream, int status)
{
    struct listener *listener = listener_of(stream->data);
    if (status != 0) {
        log_warn("accept failed", "err=\"%s\"", uv_strerror(status));
        return;
    }
    listener->refs++;
    struct conn *conn =
        conn_accept(listener->loop, stream, &listener->conn_options, &refused, listener);
    if (!conn)
        return; // its close callback gives the reference back
    enum admission_answer answer = gate_enter(listener->gate, conn);
    if (answer != ADMISSION_OK) {
        struct addr peer = conn_peer(conn);
        char text[ADDR_TEXT_BYTES];
        log_debug("connection refused", "peer=%s why=\"%s\"", addr_format(&peer, text),
                  admission_text(answer));
        conn_close(conn, NULL);
        return;
    }
    conn_set_hooks(conn, &admitted);
    list_push_back(&listener->opening, conn_opening_link(conn));
    conn_start(conn);
}

// ---- opening -----------------------------------------------------------------------------------

// A socket file that nobody answers on was left by a process that was killed.
static int remove_stale(const struct addr *addr, const struct sockaddr *sock, socklen_t size,
                        struct err *err)
{
    struct stat st;
    if (addr->host[0] == '@' || lstat(addr->host, &st) != 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, ERR_ALREADY_EXISTS, "%s exists and is no socket", addr->host);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set_errno(err, errno, "make a socket");
    bool alive = connect(fd, sock, size) == 0 || errno == EAGAIN;
    close(fd);
    if (alive)
        return err_set(err, ERR_ALREADY_EXISTS, "another process listens on %s", addr->host);
    if (unlink(addr->host) != 0 && errno != ENOENT)
        return err_set_errno(err, errno, "remove %s", addr->host);
    return 0;
}

int listener_bind(const struct addr *addr, unsigned mode, struct err *err)
{
    struct sockaddr_storage sock;
    socklen_t size;
    int rc = addr_to_sock(addr, &sock, &size, err);
    if (rc == 0 && addr->kind == ADDR_UNIX)
        rc = remove_stale(addr, (struct sockaddr *)&sock, size, err);
    if (rc)
        return rc;
    int fd = socket(sock.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set_errno(err, errno, "make a socket");
    int one = 1;
    if (addr->kind != ADDR_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    char text[ADDR_TEXT_BYTES];
    if (bind(fd, (struct sockaddr *)&sock, size) != 0 ||
        (addr->kind == ADDR_UNIX && addr->host[0] != '@' &&
         chmod(addr->host, mode ? mode : 0660) != 0)) {
        int errnum = errno;
        close(fd);
        err_set_errno(err, errnum, "listen on %s", addr_format(addr, text));
        if (errnum == EADDRINUSE && err)
            err->code = ERR_ALREADY_EXISTS;
        return -(int)ERR_UNAVAILABLE;
    }
    return fd;
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *listener = listener_of(handle->data);
    if (listener->closed)
        listener->closed(listener->owner);
    listener_unref(listener);
}

// Wraps the socket, which belongs to the handle afterwards, and learns its address.
static int start(struct listener *listener, int fd, struct err *err)
{
    bool tcp = uv_guess_handle(fd) == UV_TCP;
    int rc = tcp ? uv_tcp_init(&listener->loop->uv, &listener->uv.tcp)
                 : uv_pipe_init(&listener->loop->uv, &listener->uv.pipe, 0);
    CHECK(rc == 0);
    listener->uv.handle.data = listener;
    struct sockaddr_storage sock;
    socklen_t size = sizeof sock;
    if (getsockname(fd, (struct sockaddr *)&sock, &size) != 0)
        rc = -errno;
    if (rc == 0)
        rc = tcp ? uv_tcp_open(&listener->uv.tcp, fd) : uv_pipe_open(&listener->uv.pipe, fd);
    if (rc != 0) {
        close(fd);
        return err_set_errno(err, rc, "take over the listening socket");
    }
    rc = addr_from_sock((struct sockaddr *)&sock, size, &listener->addr, err);
    if (rc)
        return rc;
    rc = uv_listen(&listener->uv.stream, BACKLOG, on_connection);
    char text[ADDR_TEXT_BYTES];
    if (rc != 0)
        return err_set_errno(err, rc, "listen on %s", addr_format(&listener->addr, text));
    return 0;
}

struct listener *listener_open(struct loop *loop, const struct listener_options *options,
                               struct err *err)
{
    CHECK(options->on_accept);
    int fd = options->fd >= 0 ? fcntl(options->fd, F_DUPFD_CLOEXEC, 0)
                              : listener_bind(&options->addr, options->mode, err);
    if (fd < 0 && options->fd >= 0)
        err_set_errno(err, errno, "duplicate descriptor %d", options->fd);
    if (fd < 0)
        return NULL;
    struct listener *listener = MEM_NEW(struct listener);
    MAGIC_SET(listener, LISTENER_MAGIC);
    listener->loop = loop;
    listener->refs = 1;
    listener->gate = options->gate ? gate_ref(options->gate) : gate_new(NULL);
    listener->conn_options = (struct conn_options){
        .tls = options->tls ? tls_config_ref(options->tls) : NULL,
        .open_ms = options->open_ms,
        .idle_ms = options->idle_ms,
    };
    listener->on_accept = options->on_accept;
    listener->owner = options->owner;
    listener->owns_path =
        options->fd < 0 && options->addr.kind == ADDR_UNIX && options->addr.host[0] != '@';
    list_init(&listener->opening);
    if (start(listener, fd, err) != 0) {
        listener_close(listener, NULL);
        return NULL;
    }
    return listener;
}

const struct addr *listener_addr(const struct listener *listener)
{
    return &listener->addr;
}

void listener_set_tls(struct listener *listener, struct tls_config *tls)
{
    MAGIC_CHECK(listener, LISTENER_MAGIC);
    CHECK(!tls || listener->conn_options.tls);
    if (!tls)
        return;
    tls_config_ref(tls);
    tls_config_unref(listener->conn_options.tls);
    listener->conn_options.tls = tls;
}

void listener_close(struct listener *listener, void (*closed)(void *owner))
{
    MAGIC_CHECK(listener, LISTENER_MAGIC);
    listener->closed = closed;
    // Those still in their handshake have nobody to be given to any more.
    while (!list_empty(&listener->opening))
        conn_close(conn_of_opening_link(list_pop_front(&listener->opening)), NULL);
    if (listener->owns_path)
        unlink(listener->addr.host);
    uv_close(&listener->uv.handle, on_listener_closed);
}
