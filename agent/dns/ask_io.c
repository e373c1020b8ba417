#include "agent/dns/ask_io.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/dns/resolver.h"
#include "proto/base/check.h"
#include "proto/base/entropy_io.h"
#include "proto/base/str.h"

#define POOL_MAGIC   0x41534b50u
#define SOCKET_MAGIC 0x41534b53u
#define ASK_MAGIC    0x41534b51u

// Each message over TCP has its length before it.
#define LENGTH_BYTES 2u
// The TC bit of a header's third byte.
#define TRUNCATED_BIT 0x02u

struct rack {
    struct list free;  // struct ask_socket.link
    struct list lines; // struct ask_line.link: whose turn it is, first one next
    size_t total;
};

struct ask_pool {
    unsigned magic;
    struct loop *loop;
    size_t share;
    struct rack racks[ASK_KINDS];
    struct list sockets; // all of them: struct ask_socket.all
    uint8_t scratch[DNS_MESSAGE_BYTES];
};

struct ask_socket {
    unsigned magic;
    struct list link; // in its rack while free
    struct list all;
    uv_poll_t poll;
    int fd;
    enum ask_kind kind;
    struct ask_pool *pool;
    struct ask *ask; // NULL while free
};

struct ask {
    unsigned magic;
    struct loop *loop;
    struct list link; // in a line while it waits
    struct ask_door *outside, *inside;
    struct feed_server servers[RESOLVER_UPSTREAMS_MAX];
    size_t servers_count;
    size_t server; // the one being asked
    struct dns_msg query;
    struct mono deadline;
    struct loop_timer timer; // the present server's time
    struct ask_line *line;   // it waits there, or holds `socket` through it
    struct ask_socket *socket;
    bool from_tcp;  // how the question came
    bool over_tcp;  // how it is asked now
    bool udp_tried; // of a question that came over TCP
    unsigned forged;
    uint16_t id;
    size_t sent;    // TCP: bytes of the question that have left
    struct buf got; // TCP: what has come of the reply
    struct buf cut; // the truncated reply that UDP gave
    void (*done)(void *owner, const uint8_t *reply, size_t size);
    void *owner;
    size_t size;
    uint8_t bytes[]; // length, question
};

static void begin(struct ask *ask);
static void serve(struct rack *rack, struct ask_pool *pool);

// ---- pools --------------------------------------------------------------------------------------

struct ask_pool *ask_pool_open(struct loop *loop, size_t share)
{
    CHECK(share > 0);
    struct ask_pool *pool = MEM_NEW(struct ask_pool);
    MAGIC_SET(pool, POOL_MAGIC);
    pool->loop = loop;
    pool->share = share;
    list_init(&pool->sockets);
    for (size_t i = 0; i < ASK_KINDS; i++) {
        list_init(&pool->racks[i].free);
        list_init(&pool->racks[i].lines);
    }
    return pool;
}

static bool kind_of(int fd, enum ask_kind *out)
{
    int family = 0, type = 0;
    socklen_t size = sizeof family;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size))
        return false;
    size = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size))
        return false;
    bool ip6 = family == AF_INET6, tcp = type == SOCK_STREAM;
    *out = tcp ? (ip6 ? ASK_TCP6 : ASK_TCP4) : (ip6 ? ASK_UDP6 : ASK_UDP4);
    return (family == AF_INET || ip6) && (type == SOCK_DGRAM || tcp);
}

// Makes the socket as good as new: unbound from server and port, and without what came late.
static void disconnect(struct ask_socket *socket)
{
    const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    uint8_t late;
    if (connect(socket->fd, &nowhere, sizeof nowhere))
        return; // one that cannot be disconnected fails to connect, and its server is given up
    if (socket->kind == ASK_UDP4 || socket->kind == ASK_UDP6)
        while (recv(socket->fd, &late, sizeof late, 0) >= 0 || errno == EINTR)
            continue;
}

int ask_pool_add(struct ask_pool *pool, int fd, struct err *err)
{
    MAGIC_CHECK(pool, POOL_MAGIC);
    enum ask_kind kind;
    if (!kind_of(fd, &kind)) {
        close(fd);
        return err_set(err, ERR_INVALID_ARGUMENT, "descriptor %d is no socket to ask with", fd);
    }
    struct ask_socket *socket = MEM_NEW(struct ask_socket);
    MAGIC_SET(socket, SOCKET_MAGIC);
    socket->fd = fd;
    socket->kind = kind;
    socket->pool = pool;
    int result = uv_poll_init(&pool->loop->uv, &socket->poll, fd);
    if (result < 0) {
        close(fd);
        free(socket);
        return err_set_errno(err, result, "watch a socket to ask with");
    }
    // A resolver process of before may have used it, and may have ended in the middle.
    disconnect(socket);
    list_push_back(&pool->sockets, &socket->all);
    list_init(&socket->link);
    struct rack *rack = &pool->racks[kind];
    rack->total++;
    list_push_back(&rack->free, &socket->link);
    serve(rack, pool);
    return 0;
}

static void on_socket_closed(uv_handle_t *handle)
{
    struct ask_socket *socket = CONTAINER_OF((uv_poll_t *)handle, struct ask_socket, poll);
    MAGIC_CHECK(socket, SOCKET_MAGIC);
    MAGIC_CLEAR(socket);
    free(socket);
}

void ask_pool_close(struct ask_pool *pool)
{
    if (!pool)
        return;
    MAGIC_CHECK(pool, POOL_MAGIC);
    LIST_EACH_SAFE (link, &pool->sockets) {
        struct ask_socket *socket = LIST_ENTRY(link, struct ask_socket, all);
        CHECK(!socket->ask);
        uv_close((uv_handle_t *)&socket->poll, on_socket_closed);
        close(socket->fd);
    }
    MAGIC_CLEAR(pool);
    free(pool);
}

void ask_door_init(struct ask_door *door, struct ask_pool *pool)
{
    door->pool = pool;
    for (size_t i = 0; i < ASK_KINDS; i++) {
        list_init(&door->lines[i].link);
        list_init(&door->lines[i].asks);
        door->lines[i].held = 0;
    }
}

// ---- the end of a question ----------------------------------------------------------------------

static void leave_line(struct ask *ask)
{
    list_remove(&ask->link);
    if (list_empty(&ask->line->asks))
        list_remove(&ask->line->link);
    ask->line = NULL;
}

static void release(struct ask *ask)
{
    struct ask_socket *socket = ask->socket;
    struct ask_pool *pool = socket->pool;
    struct rack *rack = &pool->racks[socket->kind];
    CHECK(socket->ask == ask);
    CHECK(ask->line->held > 0);
    uv_poll_stop(&socket->poll);
    disconnect(socket);
    socket->ask = NULL;
    ask->socket = NULL;
    ask->line->held--;
    ask->line = NULL;
    list_push_back(&rack->free, &socket->link);
    serve(rack, pool);
}

void ask_cancel(struct ask *ask)
{
    MAGIC_CHECK(ask, ASK_MAGIC);
    loop_timer_stop(&ask->timer);
    if (ask->socket)
        release(ask);
    else if (ask->line)
        leave_line(ask);
    buf_fini(&ask->got);
    buf_fini(&ask->cut);
    MAGIC_CLEAR(ask);
    free(ask);
}

// `reply` may lie in the ask's own buffers or in the pool's.
static void finish(struct ask *ask, const uint8_t *reply, size_t size)
{
    if (!reply && ask->cut.len) {
        reply = ask->cut.data;
        size = ask->cut.len;
    }
    ask->done(ask->owner, reply, size);
    ask_cancel(ask);
}

// This server gives nothing.
static void give_up_server(struct ask *ask)
{
    if (ask->socket)
        release(ask);
    else if (ask->line)
        leave_line(ask);
    buf_clear(&ask->got);
    ask->forged = 0;
    bool expired = !mono_before(loop_now(ask->loop), ask->deadline);
    if (ask->cut.len) {
        finish(ask, NULL, 0);
        return;
    }
    if (ask->from_tcp && !ask->udp_tried && !expired) {
        ask->udp_tried = true;
        ask->over_tcp = false;
    } else {
        ask->server++;
        ask->udp_tried = false;
        ask->over_tcp = ask->from_tcp;
    }
    if (expired || ask->server >= ask->servers_count)
        finish(ask, NULL, 0);
    else
        begin(ask);
}

static void on_timer(struct loop_timer *timer)
{
    struct ask *ask = CONTAINER_OF(timer, struct ask, timer);
    MAGIC_CHECK(ask, ASK_MAGIC);
    give_up_server(ask);
}

// Failures in the middle of a call are acted upon in the next turn, never inside of it.
static void give_up_later(struct ask *ask)
{
    loop_timer_start(&ask->timer, 0);
}

// ---- replies ------------------------------------------------------------------------------------

// What the asker's own limit leaves no room for is worth no second question.
static bool worth_tcp(const struct ask *ask, size_t size)
{
    return !ask->from_tcp && dns_reply_limit(&ask->query, false) > size &&
           dns_reply_limit(&ask->query, false) > DNS_UDP_BYTES;
}

static void take_udp(struct ask *ask, const uint8_t *bytes, size_t size)
{
    bool cut = bytes[2] & TRUNCATED_BIT;
    if (cut && ask->from_tcp) {
        give_up_server(ask);
    } else if (cut && worth_tcp(ask, size)) {
        buf_put(&ask->cut, bytes, size);
        release(ask);
        ask->over_tcp = true;
        begin(ask);
    } else {
        finish(ask, bytes, size);
    }
}

static void take_tcp(struct ask *ask, const uint8_t *bytes, size_t size)
{
    if (ask->cut.len && size > dns_reply_limit(&ask->query, false))
        finish(ask, NULL, 0);
    else
        finish(ask, bytes, size);
}

// True when the question goes on waiting.
static bool take(struct ask *ask, const uint8_t *bytes, size_t size)
{
    switch (resolver_judge(&ask->query, ask->id, bytes, size)) {
    case RESOLVER_IGNORE:
        if (!ask->over_tcp && ++ask->forged < ASK_FORGED_MAX)
            return true;
        give_up_server(ask);
        return false;
    case RESOLVER_NEXT:
        give_up_server(ask);
        return false;
    case RESOLVER_TAKE:
        if (ask->over_tcp)
            take_tcp(ask, bytes, size);
        else
            take_udp(ask, bytes, size);
        return false;
    }
    UNREACHABLE("a judgement without consequence");
}

static void receive_udp(struct ask *ask)
{
    struct ask_pool *pool = ask->socket->pool;
    ssize_t got;
    do {
        got = recv(ask->socket->fd, pool->scratch, sizeof pool->scratch, 0);
        if (got < 0 && errno != EAGAIN && errno != EINTR) {
            give_up_server(ask); // nobody is there: ECONNREFUSED, EHOSTUNREACH
            return;
        }
    } while ((got < 0 && errno == EINTR) || (got >= 0 && take(ask, pool->scratch, (size_t)got)));
}

// ---- over TCP -----------------------------------------------------------------------------------

static void on_socket(uv_poll_t *poll, int status, int events);

static void watch(struct ask_socket *socket, int events)
{
    int result = uv_poll_start(&socket->poll, events, on_socket);
    CHECK(result == 0);
}

static void send_tcp(struct ask *ask)
{
    ssize_t sent =
        send(ask->socket->fd, ask->bytes + ask->sent, ask->size - ask->sent, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (sent < 0) {
        give_up_server(ask);
        return;
    }
    ask->sent += (size_t)sent;
    if (ask->sent == ask->size)
        watch(ask->socket, UV_READABLE);
}

static void receive_tcp(struct ask *ask)
{
    struct buf *got = &ask->got;
    struct ask_pool *pool = ask->socket->pool;
    ssize_t size = recv(ask->socket->fd, pool->scratch, sizeof pool->scratch, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size > 0)
        buf_put(got, pool->scratch, (size_t)size);
    if (size <= 0 || !buf_ok(got)) {
        give_up_server(ask);
        return;
    }
    if (got->len < LENGTH_BYTES)
        return;
    size_t wanted = ((size_t)got->data[0] << 8) | got->data[1];
    if (got->len - LENGTH_BYTES >= wanted)
        take(ask, got->data + LENGTH_BYTES, wanted);
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
    struct ask_socket *socket = CONTAINER_OF(poll, struct ask_socket, poll);
    MAGIC_CHECK(socket, SOCKET_MAGIC);
    struct ask *ask = socket->ask;
    MAGIC_CHECK(ask, ASK_MAGIC);
    (void)events; // an error shows in the call that follows
    if (status < 0)
        give_up_server(ask);
    else if (!ask->over_tcp)
        receive_udp(ask);
    else if (ask->sent < ask->size)
        send_tcp(ask);
    else
        receive_tcp(ask);
}

// ---- asking -------------------------------------------------------------------------------------

static socklen_t server_addr(const struct feed_server *server, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (server->ip.size == 16) {
        struct sockaddr_in6 *addr = (struct sockaddr_in6 *)out;
        addr->sin6_family = AF_INET6;
        addr->sin6_port = htons(server->port);
        memcpy(&addr->sin6_addr, server->ip.bytes, 16);
        return sizeof *addr;
    }
    struct sockaddr_in *addr = (struct sockaddr_in *)out;
    addr->sin_family = AF_INET;
    addr->sin_port = htons(server->port);
    memcpy(&addr->sin_addr, server->ip.bytes, 4);
    return sizeof *addr;
}

// IDs are drawn from the kernel, as they are half of what a forger has to guess.
static uint16_t fresh_id(void)
{
    uint16_t id;
    entropy_bytes(&id, sizeof id);
    return id;
}

static void ask_with(struct ask *ask, struct ask_line *line, struct ask_socket *socket)
{
    struct sockaddr_storage addr;
    socklen_t addr_bytes = server_addr(&ask->servers[ask->server], &addr);
    CHECK(!socket->ask);
    list_remove(&socket->link);
    socket->ask = ask;
    ask->socket = socket;
    ask->line = line;
    line->held++;
    ask->id = fresh_id();
    ask->sent = 0;
    buf_clear(&ask->got);
    ask->bytes[LENGTH_BYTES] = (uint8_t)(ask->id >> 8);
    ask->bytes[LENGTH_BYTES + 1] = (uint8_t)ask->id;
    int failed = connect(socket->fd, (const struct sockaddr *)&addr, addr_bytes);
    if (failed && errno != EINPROGRESS) {
        give_up_later(ask);
        return;
    }
    if (!ask->over_tcp &&
        send(socket->fd, ask->bytes + LENGTH_BYTES, ask->size - LENGTH_BYTES, MSG_NOSIGNAL) < 0) {
        give_up_later(ask);
        return;
    }
    watch(socket, ask->over_tcp ? UV_WRITABLE : UV_READABLE);
}

static bool may_hold(const struct ask_line *line, const struct rack *rack,
                     const struct ask_pool *pool)
{
    size_t most = rack->total / pool->share;
    return line->held < (most ? most : 1);
}

// Gives free sockets to those who wait, in turn.
static void serve(struct rack *rack, struct ask_pool *pool)
{
    LIST_EACH_SAFE (link, &rack->lines) {
        struct ask_line *line = LIST_ENTRY(link, struct ask_line, link);
        if (list_empty(&rack->free))
            return;
        if (!may_hold(line, rack, pool))
            continue;
        struct ask *ask = LIST_ENTRY(line->asks.next, struct ask, link);
        leave_line(ask);
        // Whoever wants more gets in line again, behind the others.
        if (!list_empty(&line->asks)) {
            list_remove(&line->link);
            list_push_back(&rack->lines, &line->link);
        }
        ask_with(ask, line, LIST_ENTRY(rack->free.next, struct ask_socket, link));
    }
}

// Asks the present server, now or when a socket is free.
static void begin(struct ask *ask)
{
    const struct feed_server *server = &ask->servers[ask->server];
    struct ask_door *door = server->inside ? ask->inside : ask->outside;
    bool ip6 = server->ip.size == 16;
    enum ask_kind kind = ask->over_tcp ? (ip6 ? ASK_TCP6 : ASK_TCP4) : (ip6 ? ASK_UDP6 : ASK_UDP4);
    struct ask_pool *pool = door ? door->pool : NULL;
    if (!pool || pool->racks[kind].total == 0) {
        give_up_later(ask);
        return;
    }
    int64_t left_ns = mono_since(ask->deadline, loop_now(ask->loop));
    int64_t left_ms = left_ns > 0 ? left_ns / NS_PER_MS : 0;
    loop_timer_start(&ask->timer, left_ms / (int64_t)(ask->servers_count - ask->server));
    struct rack *rack = &pool->racks[kind];
    struct ask_line *line = &door->lines[kind];
    ask->line = line;
    list_push_back(&line->asks, &ask->link);
    if (list_empty(&line->link))
        list_push_back(&rack->lines, &line->link);
    serve(rack, pool);
}

struct ask *ask_start(struct loop *loop, const struct ask_spec *spec,
                      void (*done)(void *owner, const uint8_t *reply, size_t size), void *owner)
{
    CHECK(spec->servers_count <= RESOLVER_UPSTREAMS_MAX);
    CHECK(spec->size >= DNS_HEADER_BYTES);
    CHECK(spec->size <= DNS_MESSAGE_BYTES);
    struct ask *ask = mem_alloc(sizeof *ask + LENGTH_BYTES + spec->size);
    MAGIC_SET(ask, ASK_MAGIC);
    ask->loop = loop;
    list_init(&ask->link);
    ask->outside = spec->outside;
    ask->inside = spec->inside;
    memcpy(ask->servers, spec->servers, spec->servers_count * sizeof *spec->servers);
    ask->servers_count = spec->servers_count;
    ask->query = *spec->query;
    ask->from_tcp = ask->over_tcp = spec->tcp;
    ask->done = done;
    ask->owner = owner;
    ask->size = LENGTH_BYTES + spec->size;
    ask->bytes[0] = (uint8_t)(spec->size >> 8);
    ask->bytes[1] = (uint8_t)spec->size;
    memcpy(ask->bytes + LENGTH_BYTES, spec->bytes, spec->size);
    ask->deadline = mono_add(loop_now(loop), ASK_MS * NS_PER_MS);
    buf_init(&ask->got, LENGTH_BYTES + DNS_MESSAGE_BYTES + DNS_MESSAGE_BYTES);
    buf_init(&ask->cut, DNS_MESSAGE_BYTES);
    loop_timer_init(&ask->timer, loop, on_timer);
    if (ask->servers_count)
        begin(ask);
    else
        give_up_later(ask);
    return ask;
}
