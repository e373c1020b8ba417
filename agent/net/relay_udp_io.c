// Datagrams: a socket towards the task for each client, and its answers back from the address that
// the client asked.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/net/relay_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define UDP_MAGIC  0x52554450u
#define FLOW_MAGIC 0x52464c57u
#define READS      16 // datagrams passed on per wake-up

struct relay_udp {
    unsigned magic;
    struct relay *relay;
    struct relay_port port;
    uv_poll_t poll;
    int fd;
    struct map flows; // struct client -> struct flow
};

// Who asks, and the host's address that was asked.
struct client {
    struct in6_addr from, to;
    uint32_t scope; // of link-local addresses: the interface
    uint16_t port;
    uint16_t zero;
};
static_assert(sizeof(struct client) == 40, "its bytes are a key: none is padding");

struct flow {
    unsigned magic;
    struct relay_udp *udp;
    struct list link; // in relay->flows
    struct client client;
    uv_poll_t poll;
    int fd;
    struct mono silent; // when it is forgotten
};

// ---- the end of a flow --------------------------------------------------------------------------

static void on_flow_closed(uv_handle_t *handle)
{
    struct flow *flow = CONTAINER_OF((uv_poll_t *)handle, struct flow, poll);
    MAGIC_CHECK(flow, FLOW_MAGIC);
    MAGIC_CLEAR(flow);
    free(flow);
}

static void flow_close(struct flow *flow)
{
    list_remove(&flow->link);
    (void)map_remove(&flow->udp->flows, &flow->client, sizeof flow->client);
    flow->udp->relay->counts.flows_now--;
    uv_close((uv_handle_t *)&flow->poll, on_flow_closed);
    close(flow->fd);
}

void relay_udp_expire(struct relay *relay)
{
    struct mono now = loop_now(relay->loop);
    while (!list_empty(&relay->flows)) {
        struct flow *oldest = LIST_ENTRY(relay->flows.next, struct flow, link);
        if (mono_before(now, oldest->silent)) {
            loop_timer_start_at(&relay->silence, oldest->silent);
            return;
        }
        flow_close(oldest);
    }
}

static void flow_heard(struct flow *flow)
{
    struct relay *relay = flow->udp->relay;
    flow->silent = mono_add(loop_now(relay->loop), RELAY_SILENT_MS * NS_PER_MS);
    list_remove(&flow->link);
    list_push_back(&relay->flows, &flow->link);
    if (!loop_timer_running(&relay->silence))
        loop_timer_start_at(&relay->silence, flow->silent);
}

// ---- answers ------------------------------------------------------------------------------------

union control {
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

static void answer(const struct flow *flow, size_t size)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6,
                              .sin6_port = flow->client.port,
                              .sin6_addr = flow->client.from,
                              .sin6_scope_id = flow->client.scope};
    const struct in6_pktinfo from = {.ipi6_addr = flow->client.to,
                                     .ipi6_ifindex = flow->client.scope};
    union control control = {0};
    struct iovec bytes = {flow->udp->relay->chunk, size};
    struct msghdr message = {.msg_name = &to,
                             .msg_namelen = sizeof to,
                             .msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = IPPROTO_IPV6;
    head->cmsg_type = IPV6_PKTINFO;
    head->cmsg_len = CMSG_LEN(sizeof from);
    memcpy(CMSG_DATA(head), &from, sizeof from);
    (void)sendmsg(flow->udp->fd, &message, MSG_NOSIGNAL); // what finds no room is lost, as ever
}

static void on_answer(uv_poll_t *poll, int status, int events)
{
    struct flow *flow = CONTAINER_OF(poll, struct flow, poll);
    MAGIC_CHECK(flow, FLOW_MAGIC);
    uint8_t *chunk = flow->udp->relay->chunk;
    (void)events;
    for (int i = 0; i < READS && status >= 0; i++) {
        ssize_t got = recv(flow->fd, chunk, RELAY_CHUNK_BYTES, 0);
        // Nobody listens: the client would not believe it from us either.
        if (got < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED)
            status = -1;
        if (got < 0)
            break;
        answer(flow, (size_t)got);
        flow_heard(flow);
    }
    if (status < 0)
        flow_close(flow);
}

// ---- questions ----------------------------------------------------------------------------------

static int dial(const struct relay_port *port)
{
    const struct sockaddr_in to = relay_inner(port);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static struct flow *flow_new(struct relay_udp *udp, const struct client *client)
{
    struct relay *relay = udp->relay;
    if (relay->counts.flows_now >= RELAY_FLOWS_MAX) {
        relay->counts.flows_forgotten++;
        flow_close(LIST_ENTRY(relay->flows.next, struct flow, link));
    }
    int fd = dial(&udp->port);
    if (fd < 0)
        return NULL;
    struct flow *flow = MEM_NEW(struct flow);
    if (uv_poll_init(&relay->loop->uv, &flow->poll, fd) < 0) {
        close(fd);
        free(flow);
        return NULL;
    }
    MAGIC_SET(flow, FLOW_MAGIC);
    flow->udp = udp;
    flow->client = *client;
    flow->fd = fd;
    list_init(&flow->link);
    map_put(&udp->flows, client, sizeof *client, flow);
    relay->counts.flows++;
    relay->counts.flows_now++;
    int rc = uv_poll_start(&flow->poll, UV_READABLE, on_answer);
    CHECK(rc == 0);
    return flow;
}

// Takes one datagram into the chunk. Its size, or -1 when there is none.
static ssize_t take(struct relay_udp *udp, struct client *client)
{
    struct sockaddr_in6 from = {0};
    union control control = {0};
    struct iovec bytes = {udp->relay->chunk, RELAY_CHUNK_BYTES};
    struct msghdr message = {.msg_name = &from,
                             .msg_namelen = sizeof from,
                             .msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    ssize_t got = recvmsg(udp->fd, &message, 0);
    *client = (struct client){
        .from = from.sin6_addr, .scope = from.sin6_scope_id, .port = from.sin6_port};
    for (struct cmsghdr *head = got < 0 ? NULL : CMSG_FIRSTHDR(&message); head;
         head = CMSG_NXTHDR(&message, head)) {
        struct in6_pktinfo to;
        if (head->cmsg_level != IPPROTO_IPV6 || head->cmsg_type != IPV6_PKTINFO)
            continue;
        memcpy(&to, CMSG_DATA(head), sizeof to);
        client->to = to.ipi6_addr;
    }
    return got;
}

static void on_question(uv_poll_t *poll, int status, int events)
{
    struct relay_udp *udp = CONTAINER_OF(poll, struct relay_udp, poll);
    MAGIC_CHECK(udp, UDP_MAGIC);
    (void)status;
    (void)events;
    for (int i = 0; i < READS; i++) {
        struct client client;
        ssize_t got = take(udp, &client);
        if (got < 0)
            return;
        struct flow *flow = map_get(&udp->flows, &client, sizeof client);
        if (!flow)
            flow = flow_new(udp, &client);
        if (!flow)
            continue;
        (void)send(flow->fd, udp->relay->chunk, (size_t)got, MSG_NOSIGNAL);
        flow_heard(flow);
    }
}

struct relay_udp *relay_udp_open(struct relay *relay, const struct relay_port *port, int fd,
                                 struct err *err)
{
    int type = 0;
    socklen_t size = sizeof type;
    struct relay_udp *udp = MEM_NEW(struct relay_udp);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) || type != SOCK_DGRAM ||
        uv_poll_init(&relay->loop->uv, &udp->poll, fd) < 0) {
        err_set(err, ERR_INVALID_ARGUMENT, "descriptor %d takes no datagrams", fd);
        close(fd);
        free(udp);
        return NULL;
    }
    MAGIC_SET(udp, UDP_MAGIC);
    udp->relay = relay;
    udp->port = *port;
    udp->fd = fd;
    map_init(&udp->flows);
    int rc = uv_poll_start(&udp->poll, UV_READABLE, on_question);
    CHECK(rc == 0);
    return udp;
}

static void on_udp_closed(uv_handle_t *handle)
{
    struct relay_udp *udp = CONTAINER_OF((uv_poll_t *)handle, struct relay_udp, poll);
    MAGIC_CHECK(udp, UDP_MAGIC);
    MAGIC_CLEAR(udp);
    free(udp);
}

void relay_udp_close(struct relay_udp *udp)
{
    size_t at = 0;
    if (!udp)
        return;
    MAGIC_CHECK(udp, UDP_MAGIC);
    for (const struct map_entry *entry; (entry = map_next(&udp->flows, &at));)
        flow_close(entry->value);
    map_fini(&udp->flows);
    uv_close((uv_handle_t *)&udp->poll, on_udp_closed);
    close(udp->fd);
}
