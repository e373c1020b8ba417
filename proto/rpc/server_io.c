// The server: listeners and connections on its loops. Calls are in call_io.c.
#include "proto/rpc/server_io.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/identity/x509.h"
#include "proto/net/addr_io.h"
#include "proto/rpc/server_impl_io.h"

// Bytes encoded at a time; what a connection's queue has no room for stays in the streams' queues.
#define OUTPUT_BYTES (64u * 1024)

// Messages for the peer that wait on one connection.
#define QUEUE_BYTES_MAX (128u * 1024 * 1024)

struct server_listener {
    struct list link;
    struct server_loop *on;
    struct listener *listener;
    bool tls;
};

struct unix_path {
    struct list link;
    char *path;
};

// Something for a loop to do, asked for from another thread.
struct order {
    struct loop_post post;
    struct server_loop *on;
    int fd;
    struct tls_config *tls;
    int64_t grace_ms;
};

// ---- connections -------------------------------------------------------------------------------

void shared_peer_unref(struct shared_peer *peer)
{
    if (atomic_fetch_sub(&peer->refs, 1) == 1)
        free(peer);
}

static void loop_check_done(struct server_loop *on);

static void set_alarm(struct server_conn *conn)
{
    struct mono due = grpc_conn_due(conn->channel);
    if (due.ns == MONO_NEVER.ns)
        loop_timer_stop(&conn->alarm);
    else if (!loop_timer_running(&conn->alarm) || conn->alarm.timer.due.ns != due.ns)
        loop_timer_start_at(&conn->alarm, due);
}

// Encodes as much as the connection's queue takes.
static void flush(struct server_conn *conn)
{
    struct buf *scratch = &conn->on->scratch;
    CHECK(!conn->busy);
    conn->busy = true;
    conn->answers_unsent = 0;
    for (size_t room; (room = conn_room(conn->conn)) > 0;) {
        buf_clear(scratch);
        bool more =
            grpc_conn_output(conn->channel, scratch, room < OUTPUT_BYTES ? room : OUTPUT_BYTES);
        if (scratch->len > 0)
            conn_write(conn->conn, scratch->data, scratch->len);
        if (!more)
            break;
    }
    conn->busy = false;
    conn_flush(conn->conn);
}

static void on_later(struct loop_later *later)
{
    struct server_conn *conn = CONTAINER_OF(later, struct server_conn, later);
    conn->busy = true;
    grpc_conn_run(conn->channel);
    conn->busy = false;
    flush(conn);
    set_alarm(conn);
    // Nothing will be read any more: who goes on sending, as after an error of HTTP/2 that ended
    // the session, is not even decrypted.
    if (grpc_conn_finished(conn->channel))
        conn_dismiss(conn->conn);
}

void server_conn_answered(struct server_conn *conn)
{
    if (++conn->answers_unsent >= SERVER_ANSWERS_TOGETHER && !conn->busy &&
        !grpc_conn_run_due(conn->channel))
        flush(conn);
}

void server_conn_touch(struct server_conn *conn)
{
    grpc_conn_set_now(conn->channel, loop_now(conn->on->loop));
    loop_later_ask(&conn->later);
}

// Strangers get a line a second all together: they can come back as often as they like, and the log
// lies on a disk.
static void log_sent_away(struct server_conn *conn, const struct err *why)
{
    struct server_loop *on = conn->on;
    struct mono now = loop_now(on->loop);
    if (conn->anonymous && mono_since(now, on->stranger_logged) < NS_PER_S) {
        on->strangers_unlogged++;
        return;
    }
    log_warn("connection ended", "peer=%s node=%s why=\"%s\" others=%u", conn->peer->peer.addr,
             conn->peer->peer.identity.node_id, why->message, on->strangers_unlogged);
    if (!conn->anonymous)
        return;
    on->stranger_logged = now;
    on->strangers_unlogged = 0;
}

static void send_away(struct server_conn *conn, const struct err *why)
{
    atomic_fetch_add(&conn->on->server->refused, 1);
    log_sent_away(conn, why);
    flush(conn); // the GOAWAY that says so
    conn_dismiss(conn->conn);
}

static void on_alarm(struct loop_timer *timer)
{
    struct server_conn *conn = CONTAINER_OF(timer, struct server_conn, alarm);
    struct err err = ERR_INIT;
    conn->busy = true;
    int result = grpc_conn_tick(conn->channel, loop_now(conn->on->loop), &err);
    conn->busy = false;
    if (result < 0)
        conn_close(conn->conn, &err);
    else
        loop_later_ask(&conn->later);
}

static struct grpc_conn *make_channel(struct server_conn *conn);

static void on_conn_data(struct conn *it, void *owner, const uint8_t *bytes, size_t size)
{
    (void)it;
    struct server_conn *conn = owner;
    struct err err = ERR_INIT;
    if (!conn->channel)
        conn->channel = make_channel(conn);
    conn->busy = true;
    int result = grpc_conn_receive(conn->channel, bytes, size, loop_now(conn->on->loop), &err);
    conn->busy = false;
    if (result < 0)
        send_away(conn, &err);
    else
        loop_later_ask(&conn->later);
}

static void on_conn_drain(struct conn *it, void *owner)
{
    (void)it;
    struct server_conn *conn = owner;
    if (conn->channel)
        server_conn_touch(conn);
}

static void on_conn_close(struct conn *it, void *owner, const struct err *why)
{
    (void)it;
    struct server_conn *conn = owner;
    struct server_loop *on = conn->on;
    loop_later_cancel(&conn->later);
    loop_timer_stop(&conn->alarm);
    if (conn->channel)
        grpc_conn_free(conn->channel, why);
    // The channel's last events may have asked once more.
    loop_later_cancel(&conn->later);
    list_remove(&conn->link);
    shared_peer_unref(conn->peer);
    free(conn);
    atomic_fetch_sub(&on->server->connections, 1);
    loop_check_done(on);
}

static const struct conn_handler conn_handler = {
    .on_data = on_conn_data,
    .on_drain = on_conn_drain,
    .on_close = on_conn_close,
};

static struct shared_peer *learn_peer(const struct conn *conn)
{
    struct shared_peer *shared = MEM_NEW(struct shared_peer);
    atomic_init(&shared->refs, 1);
    struct peer *peer = &shared->peer;
    struct addr addr = conn_peer(conn);
    peer->local = addr.kind == ADDR_UNIX && !conn_tls(conn);
    char text[ADDR_TEXT_BYTES];
    bool fits = str_copy(peer->addr, sizeof peer->addr, addr_format(&addr, text));
    CHECK(fits);
    const struct tls_session *session = conn_tls(conn);
    size_t size;
    bool verified = false;
    const uint8_t *der = session ? tls_session_peer(session, &size, &verified) : NULL;
    if (der && verified)
        peer->authenticated = x509_identity_der(der, size, &peer->identity, NULL) == 0;
    return shared;
}

static struct grpc_conn *make_channel(struct server_conn *conn)
{
    const struct rpc_server_config *config = &conn->on->server->config;
    const struct peer *peer = &conn->peer->peer;
    bool manager = peer->local ||
                   (peer->authenticated && identity_has_role(&peer->identity, IDENTITY_MANAGER));
    struct grpc_conn_config channel = {
        .side = H2_SERVER,
        .stream_bytes = call_bytes(),
        .message_bytes_max = config->message_bytes_max,
        .held_bytes_max = RPC_SERVER_HELD_BYTES_MAX,
        .queue_bytes_max = QUEUE_BYTES_MAX,
        .streams_max = manager ? RPC_SERVER_STREAMS_MAX : RPC_SERVER_STREAMS_MAX_WORKER,
        .resets_max = manager ? RPC_SERVER_RESETS_MAX_MANAGER : H2_RESETS_MAX,
        .slow_ms = config->slow_ms,
        .keepalive_ms = config->keepalive_ms,
        .keepalive_timeout_ms = RPC_SERVER_KEEPALIVE_TIMEOUT_MS,
    };
    if (conn->anonymous) {
        channel.held_bytes_max = RPC_SERVER_HELD_BYTES_MAX_ANONYMOUS;
        channel.queue_bytes_max = RPC_SERVER_HELD_BYTES_MAX_ANONYMOUS;
        channel.streams_max = RPC_SERVER_STREAMS_MAX_ANONYMOUS;
        channel.call_ms_max = RPC_SERVER_ANONYMOUS_CALL_MS;
    }
    return grpc_conn_new(&channel, &call_events, conn, loop_now(conn->on->loop));
}

static void on_accept(struct listener *listener, struct conn *it, void *owner)
{
    (void)listener;
    struct server_listener *from = owner;
    struct server_loop *on = from->on;
    struct server_conn *conn = MEM_NEW(struct server_conn);
    conn->on = on;
    conn->conn = it;
    conn->peer = learn_peer(it);
    conn->anonymous = !conn->peer->peer.local && !conn->peer->peer.authenticated;
    loop_timer_init(&conn->alarm, on->loop, on_alarm);
    loop_later_init(&conn->later, on->loop, on_later);
    list_push_back(&on->conns, &conn->link);
    atomic_fetch_add(&on->server->connections, 1);
    conn_set_handler(it, &conn_handler, conn);
    conn_set_deadline(it, on->server->config.first_call_ms, "no request came");
    // HTTP/2 costs some 20 KB, which a stranger gets only for a first byte. Clients always speak
    // first (RFC 9113 section 3.4), so nobody waits for our SETTINGS in vain.
    if (conn->anonymous)
        return;
    conn->channel = make_channel(conn);
    loop_later_ask(&conn->later); // SETTINGS, at once
}

void server_call_began(struct server_conn *conn)
{
    conn->on->calls++;
    atomic_fetch_add(&conn->on->server->calls, 1);
    atomic_fetch_add(&conn->on->server->calls_total, 1);
    // Without a certificate the time runs anew with each call: joining makes a few in a row.
    int64_t ms = 0;
    if (conn->anonymous)
        ms = RPC_SERVER_ANONYMOUS_CALL_MS + conn->on->server->config.first_call_ms;
    conn_set_deadline(conn->conn, ms, "no request came");
}

void server_call_ended(struct server_loop *on)
{
    CHECK(on->calls > 0);
    on->calls--;
    atomic_fetch_sub(&on->server->calls, 1);
    loop_check_done(on);
}

// ---- listening ---------------------------------------------------------------------------------

static void order_post(struct server_loop *on, struct order *order, void (*run)(struct loop_post *))
{
    order->on = on;
    loop_post(on->loop, &order->post, run);
}

static void listen_here(struct loop_post *post)
{
    struct order *order = CONTAINER_OF(post, struct order, post);
    struct server_loop *on = order->on;
    struct err err = ERR_INIT;
    struct server_listener *from = MEM_NEW(struct server_listener);
    from->on = on;
    from->tls = order->tls != NULL;
    struct listener_options options = {
        .fd = order->fd,
        .gate = on->server->gate,
        // An earlier order may have renewed the certificate.
        .tls = order->tls ? on->tls : NULL,
        .on_accept = on_accept,
        .owner = from,
    };
    from->listener = on->closing ? NULL : listener_open(on->loop, &options, &err);
    if (from->listener) {
        list_push_back(&on->listeners, &from->link);
        on->listeners_open++;
    } else {
        free(from);
    }
    if (err.code != ERR_OK)
        log_error("cannot serve on a loop", "err=\"%s\"", err.message);
    close(order->fd);
    free(order);
}

static bool learn_addr(int fd, struct addr *addr, struct err *err)
{
    struct sockaddr_storage sock;
    socklen_t size = sizeof sock;
    if (getsockname(fd, (struct sockaddr *)&sock, &size) != 0) {
        err_set(err, ERR_INVALID_ARGUMENT, "descriptor %d is no socket", fd);
        return false;
    }
    return addr_from_sock((struct sockaddr *)&sock, size, addr, err) == 0;
}

int rpc_server_listen(struct rpc_server *server, const struct addr *addr, int fd,
                      struct addr *bound, struct err *err)
{
    MAGIC_CHECK(server, SERVER_MAGIC);
    int own = -1;
    if (fd < 0) {
        own = listener_bind(addr, 0, err);
        if (own < 0)
            return -(int)(err ? err->code : ERR_UNAVAILABLE);
        fd = own;
    }
    struct addr where;
    int result = learn_addr(fd, &where, err) ? 0 : -(int)ERR_INVALID_ARGUMENT;
    bool tls = server->config.tls && where.kind != ADDR_UNIX;
    // Clients may come from here on; the kernel keeps them until the loops take them.
    if (result == 0 && listen(fd, SOMAXCONN) != 0)
        result = err_set(err, ERR_UNAVAILABLE, "cannot listen");
    for (size_t i = 0; result == 0 && i < server->config.loops_count; i++) {
        struct order *order = MEM_NEW(struct order);
        order->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        CHECK(order->fd >= 0);
        order->tls = tls ? server->config.tls : NULL;
        order_post(&server->loops[i], order, listen_here);
    }
    if (own >= 0 && result == 0 && where.kind == ADDR_UNIX && where.host[0] != '@') {
        struct unix_path *path = MEM_NEW(struct unix_path);
        path->path = str_dup(where.host);
        list_push_back(&server->paths, &path->link);
    }
    if (own >= 0)
        close(own);
    if (result == 0 && bound)
        *bound = where;
    return result;
}

static void set_tls_here(struct loop_post *post)
{
    struct order *order = CONTAINER_OF(post, struct order, post);
    struct server_loop *on = order->on;
    tls_config_unref(on->tls);
    on->tls = order->tls;
    LIST_EACH (link, &on->listeners) {
        struct server_listener *from = LIST_ENTRY(link, struct server_listener, link);
        if (from->tls)
            listener_set_tls(from->listener, on->tls);
    }
    free(order);
}

void rpc_server_set_tls(struct rpc_server *server, struct tls_config *tls)
{
    MAGIC_CHECK(server, SERVER_MAGIC);
    CHECK(server->config.tls);
    CHECK(tls);
    for (size_t i = 0; i < server->config.loops_count; i++) {
        struct order *order = MEM_NEW(struct order);
        order->tls = tls_config_ref(tls);
        order_post(&server->loops[i], order, set_tls_here);
    }
}

// ---- the end -----------------------------------------------------------------------------------

static void server_free(struct rpc_server *server)
{
    for (size_t i = 0; i < server->config.loops_count; i++) {
        buf_fini(&server->loops[i].scratch);
        tls_config_unref(server->loops[i].tls);
    }
    for (struct list *link; (link = list_pop_front(&server->paths));) {
        struct unix_path *path = LIST_ENTRY(link, struct unix_path, link);
        free(path->path);
        free(path);
    }
    routes_fini(&server->routes);
    gate_unref(server->gate);
    tls_config_unref(server->config.tls);
    free((void *)server->config.loops);
    free(server->services);
    free(server->loops);
    MAGIC_CLEAR(server);
    free(server);
}

static void all_closed(struct loop_post *post)
{
    struct rpc_server *server = CONTAINER_OF(post, struct rpc_server, closed_post);
    void (*done)(void *ctx) = server->done;
    void *ctx = server->done_ctx;
    server_free(server);
    if (done)
        done(ctx);
}

static void loop_check_done(struct server_loop *on)
{
    if (!on->closing || on->closed || on->listeners_open > 0 || on->calls > 0 ||
        !list_empty(&on->conns))
        return;
    on->closed = true;
    loop_timer_stop(&on->goaway);
    loop_timer_stop(&on->grace);
    struct rpc_server *server = on->server;
    if (atomic_fetch_sub(&server->loops_open, 1) == 1)
        loop_post(server->done_on, &server->closed_post, all_closed);
}

static void on_listener_closed(void *owner)
{
    struct server_listener *from = owner;
    struct server_loop *on = from->on;
    free(from);
    on->listeners_open--;
    loop_check_done(on);
}

static void goaway_all(struct server_loop *on, bool final)
{
    LIST_EACH (link, &on->conns) {
        struct server_conn *conn = LIST_ENTRY(link, struct server_conn, link);
        if (!conn->channel) {
            conn_close(conn->conn, NULL);
            continue;
        }
        server_conn_touch(conn);
        grpc_conn_goaway(conn->channel, final);
    }
}

static void on_goaway(struct loop_timer *timer)
{
    goaway_all(CONTAINER_OF(timer, struct server_loop, goaway), true);
}

static void on_grace(struct loop_timer *timer)
{
    struct server_loop *on = CONTAINER_OF(timer, struct server_loop, grace);
    LIST_EACH (link, &on->conns) {
        struct server_conn *conn = LIST_ENTRY(link, struct server_conn, link);
        conn_close(conn->conn, NULL);
    }
}

static void close_here(struct loop_post *post)
{
    struct order *order = CONTAINER_OF(post, struct order, post);
    struct server_loop *on = order->on;
    on->closing = true;
    for (struct list *link; (link = list_pop_front(&on->listeners));)
        listener_close(LIST_ENTRY(link, struct server_listener, link)->listener,
                       on_listener_closed);
    goaway_all(on, false);
    loop_timer_start(&on->goaway, order->grace_ms < RPC_SERVER_GOAWAY_MS ? order->grace_ms
                                                                         : RPC_SERVER_GOAWAY_MS);
    loop_timer_start(&on->grace, order->grace_ms);
    free(order);
    loop_check_done(on);
}

void rpc_server_close(struct rpc_server *server, int64_t grace_ms, struct loop *loop,
                      void (*done)(void *ctx), void *ctx)
{
    MAGIC_CHECK(server, SERVER_MAGIC);
    CHECK(!server->done_on);
    CHECK(grace_ms >= 0);
    server->done = done;
    server->done_ctx = ctx;
    server->done_on = loop;
    LIST_EACH (link, &server->paths) {
        unlink(LIST_ENTRY(link, struct unix_path, link)->path);
    }
    for (size_t i = 0; i < server->config.loops_count; i++) {
        struct order *order = MEM_NEW(struct order);
        order->grace_ms = grace_ms;
        order_post(&server->loops[i], order, close_here);
    }
}

// ---- life --------------------------------------------------------------------------------------

static int64_t or_default(int64_t value, int64_t fallback)
{
    return value ? value : fallback;
}

struct rpc_server *rpc_server_new(const struct rpc_server_config *config)
{
    CHECK(config->loops_count > 0);
    struct rpc_server *server = MEM_NEW(struct rpc_server);
    MAGIC_SET(server, SERVER_MAGIC);
    server->config = *config;
    struct rpc_server_config *own = &server->config;
    own->loops = mem_dup(config->loops, config->loops_count * sizeof *config->loops);
    own->tls = config->tls ? tls_config_ref(config->tls) : NULL;
    own->message_bytes_max =
        config->message_bytes_max ? config->message_bytes_max : GRPC_SERVER_MESSAGE_BYTES_MAX;
    own->keepalive_ms = or_default(config->keepalive_ms, RPC_SERVER_KEEPALIVE_MS);
    own->slow_ms = or_default(config->slow_ms, RPC_SERVER_SLOW_MS);
    own->first_call_ms = or_default(config->first_call_ms, RPC_SERVER_FIRST_CALL_MS);
    server->services = mem_dup(config->services, config->services_count * sizeof *config->services);
    own->services = server->services;
    list_init(&server->paths);
    routes_init(&server->routes);
    for (size_t i = 0; i < config->services_count; i++)
        routes_add(&server->routes, &server->services[i]);
    server->gate = gate_new(config->admission);
    server->loops = mem_alloc_array(config->loops_count, sizeof *server->loops);
    atomic_init(&server->loops_open, (unsigned)config->loops_count);
    for (size_t i = 0; i < config->loops_count; i++) {
        struct server_loop *on = &server->loops[i];
        on->server = server;
        on->loop = config->loops[i];
        on->tls = config->tls ? tls_config_ref(config->tls) : NULL;
        list_init(&on->listeners);
        list_init(&on->conns);
        // One frame may come on top of what was asked for.
        buf_init(&on->scratch, 4 * OUTPUT_BYTES);
        loop_timer_init(&on->goaway, on->loop, on_goaway);
        loop_timer_init(&on->grace, on->loop, on_grace);
    }
    return server;
}

void rpc_server_stats(const struct rpc_server *server, struct rpc_server_stats *stats)
{
    struct rpc_server *it = (struct rpc_server *)server; // reading an atomic changes nothing
    *stats = (struct rpc_server_stats){
        .connections = atomic_load(&it->connections),
        .calls = atomic_load(&it->calls),
        .calls_total = atomic_load(&it->calls_total),
        .refused = atomic_load(&it->refused),
    };
}
