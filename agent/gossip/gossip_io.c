#include "agent/gossip/gossip_io.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/gossip/gossip_impl_io.h"
#include "proto/base/check.h"
#include "proto/base/codec.h"
#include "proto/base/entropy_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/net/addr_io.h"

#define GOSSIP_MAGIC 0x676f7373u

#define SOCKET_BYTES (2 << 20) // receive buffer, as stock nodes ask for

// Shorter packets are not worth the attempt to compress them.
#define COMPRESS_FROM_BYTES 160

static struct gossip *gossip_of(void *data)
{
    struct gossip *gossip = data;
    MAGIC_CHECK(gossip, GOSSIP_MAGIC);
    return gossip;
}

// ---- time --------------------------------------------------------------------------------------

struct mono gossip_begin(struct gossip *gossip)
{
    return gossip->now = loop_now(gossip->config.loop);
}

void gossip_end(struct gossip *gossip)
{
    if (gossip->started && !gossip->closing)
        loop_timer_start_at(&gossip->alarm, gossiper_next_due(gossip->core, gossip->now));
}

static void on_alarm(struct loop_timer *timer)
{
    struct gossip *gossip = CONTAINER_OF(timer, struct gossip, alarm);
    struct mono now = gossip_begin(gossip);
    gossiper_tick(gossip->core, now);
    if (gossip->leaving && gossiper_has_left(gossip->core, now))
        gossip->closing = true;
    gossip_end(gossip);
    gossip_closing(gossip);
}

const uint8_t *gossip_nonce(struct gossip *gossip)
{
    if (gossip->nonces_left == 0) {
        entropy_bytes(gossip->nonces, sizeof gossip->nonces);
        gossip->nonces_left = GOSSIP_NONCES;
    }
    return gossip->nonces[--gossip->nonces_left];
}

// ---- packets -----------------------------------------------------------------------------------

// On an IPv6 socket an IPv4 address is written ::ffff:a.b.c.d.
static socklen_t sock_of(const struct site *site, bool is_ip6, struct sockaddr_storage *out)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    *out = (struct sockaddr_storage){0};
    if (site->ip_size == 4 && !is_ip6) {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(site->port);
        memcpy(&in->sin_addr, site->ip, 4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(site->port);
    if (site->ip_size == 4) {
        memcpy(in6->sin6_addr.s6_addr, mapped, sizeof mapped);
        memcpy(in6->sin6_addr.s6_addr + sizeof mapped, site->ip, 4);
    } else {
        memcpy(in6->sin6_addr.s6_addr, site->ip, 16);
    }
    return sizeof *in6;
}

static bool site_of_sock(const struct sockaddr *sock, struct site *out)
{
    const void *any = sock;
    if (sock->sa_family == AF_INET) {
        const struct sockaddr_in *in = any;
        return site_of((struct span){(const uint8_t *)&in->sin_addr, 4}, ntohs(in->sin_port), out);
    }
    if (sock->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = any;
        return site_of((struct span){(const uint8_t *)&in6->sin6_addr, 16}, ntohs(in6->sin6_port),
                       out);
    }
    return false;
}

static void send_packet(void *owner, const struct site *to, const struct parcel *parcel, bool crc)
{
    struct gossip *gossip = gossip_of(owner);
    struct gossip_counters *counters = gossiper_counters(gossip->core);
    struct span parts[PACKET_PARTS_MAX];
    struct sockaddr_storage sock;
    size_t count = parcel_spans(parcel, parts);
    struct packet_shape shape = {.crc = crc, .compress = parcel->bytes.len >= COMPRESS_FROM_BYTES};
    if (!gossip->started)
        return;
    buf_clear(&gossip->sealed);
    packet_write(gossip->ring, gossip_nonce(gossip), shape, parts, count, &gossip->sealed);
    sock_of(to, gossip->config.bind.kind == ADDR_IP6, &sock);
    uv_buf_t bytes = uv_buf_init((char *)gossip->sealed.data, (unsigned)gossip->sealed.len);
    // What the kernel has no room for is lost, as on the wire.
    if (!buf_ok(&gossip->sealed) ||
        uv_udp_try_send(&gossip->udp, &bytes, 1, (const struct sockaddr *)&sock) < 0) {
        counters->drop_send_failed++;
        return;
    }
    counters->packets_out++;
    counters->bytes_out += gossip->sealed.len;
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct gossip *gossip = gossip_of(handle->data);
    (void)suggested;
    *out = uv_buf_init((char *)gossip->datagram, sizeof gossip->datagram);
}

static void take_message(void *owner, const struct gossip_message *message)
{
    struct gossip *gossip = owner;
    gossiper_packet(gossip->core, gossip->now, &gossip->from, message);
}

static void on_datagram(uv_udp_t *udp, ssize_t size, const uv_buf_t *bytes,
                        const struct sockaddr *from, unsigned flags)
{
    struct gossip *gossip = gossip_of(udp->data);
    struct gossip_counters *counters = gossiper_counters(gossip->core);
    struct err err = ERR_INIT;
    unsigned skipped;
    if (size <= 0 || !from || !site_of_sock(from, &gossip->from))
        return; // errors of earlier sends, and empty datagrams
    counters->packets_in++;
    counters->bytes_in += (uint64_t)size;
    if (!gossip->started) {
        counters->drop_keyless++;
        return;
    }
    if (flags & UV_UDP_PARTIAL) {
        counters->drop_broken++;
        return;
    }
    gossip_begin(gossip);
    int result = packet_read(&gossip->reader, gossip->ring, bytes->base, (size_t)size, take_message,
                             gossip, &skipped, &err);
    if (result == -ERR_UNAUTHENTICATED)
        counters->drop_unsealed++;
    else if (result)
        counters->drop_broken++;
    else
        counters->drop_broken += skipped;
    gossip_end(gossip);
}

static int bind_udp(const struct addr *addr, struct err *err)
{
    struct sockaddr_storage sock;
    socklen_t size;
    char text[ADDR_TEXT_BYTES];
    int result = addr_to_sock(addr, &sock, &size, err);
    if (result)
        return result;
    int fd = socket(sock.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set_errno(err, errno, "cannot make a UDP socket");
    int most = SOCKET_BYTES;
    // Beyond the kernel's own limit only for the privileged; either way more than the default.
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &most, sizeof most) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &most, sizeof most);
    if (bind(fd, (const struct sockaddr *)&sock, size) < 0) {
        result = err_set_errno(err, errno, "cannot listen on UDP %s", addr_format(addr, text));
        close(fd);
        return result;
    }
    return fd;
}

// ---- what changed -------------------------------------------------------------------------------

static void rows_changed(void *owner, const char *network_id)
{
    struct gossip *gossip = gossip_of(owner);
    map_put_str(&gossip->changed, network_id, gossip);
    loop_later_ask(&gossip->changes);
}

static void node_changed(void *owner, const char *node, const struct site *site,
                         enum netdb_node_state state)
{
    static const char *const states[] = {"active", "failed", "left"};
    struct gossip *gossip = gossip_of(owner);
    char text[ADDR_TEXT_BYTES];
    log_info("gossip node changed", "node=%s addr=%s state=%s", node, site_format(site, text),
             states[state]);
    gossip->nodes_changed = true;
    loop_later_ask(&gossip->changes);
}

static void tell_changes(struct loop_later *later)
{
    struct gossip *gossip = CONTAINER_OF(later, struct gossip, changes);
    const struct gossip_events *events = &gossip->config.events;
    bool nodes = gossip->nodes_changed;
    // What a callback changes is told in the next turn.
    struct map changed = gossip->changed;
    map_init(&gossip->changed);
    gossip->nodes_changed = false;
    MAP_EACH (entry, &changed)
        if (!gossip->leaving && !gossip->closing && events->rows_changed)
            events->rows_changed(gossip->config.owner, entry->key);
    if (nodes && !gossip->leaving && !gossip->closing && events->nodes_changed)
        events->nodes_changed(gossip->config.owner);
    map_fini(&changed);
}

// ---- opening and closing ------------------------------------------------------------------------

static const struct gossiper_out out = {
    .net = {.packet = send_packet, .stream = gossip_stream_out},
    .rows_changed = rows_changed,
    .node_changed = node_changed,
};

static bool is_unspecified(const struct site *site)
{
    static const uint8_t zeros[16];
    return memcmp(site->ip, zeros, site->ip_size) == 0;
}

// Peers tell nodes apart by name and know no two lives by one, so it is new at every start.
static void make_name(char name[13])
{
    uint8_t bytes[6];
    entropy_bytes(bytes, sizeof bytes);
    hex_encode(bytes, sizeof bytes, name);
}

static void gossip_free(struct gossip *gossip)
{
    gossiper_free(gossip->core);
    keyring_free(gossip->ring);
    packet_reader_fini(&gossip->reader);
    buf_fini(&gossip->sealed);
    map_fini(&gossip->changed);
    if (gossip->gate)
        gate_unref(gossip->gate);
    MAGIC_CLEAR(gossip);
    free(gossip);
}

int gossip_open(const struct gossip_config *config, struct gossip **result_out, struct err *err)
{
    struct addr bind = config->bind;
    struct site site;
    bind.port = bind.port ? bind.port : GOSSIP_PORT;
    if (!site_of_addr(&config->advertise, &site) || is_unspecified(&site))
        return err_set(err, ERR_INVALID_ARGUMENT, "gossip needs an address that others can reach");
    if (bind.kind != ADDR_IP4 && bind.kind != ADDR_IP6)
        return err_set(err, ERR_INVALID_ARGUMENT, "gossip listens on numeric addresses only");
    site.port = bind.port;
    int fd = bind_udp(&bind, err);
    if (fd < 0)
        return fd;
    struct gossip *gossip = MEM_NEW(struct gossip);
    MAGIC_SET(gossip, GOSSIP_MAGIC);
    gossip->config = *config;
    gossip->site = site;
    gossip->ring = keyring_new();
    packet_reader_init(&gossip->reader);
    buf_init(&gossip->sealed, PACKET_BYTES_MAX);
    list_init(&gossip->streams);
    map_init(&gossip->changed);
    loop_timer_init(&gossip->alarm, config->loop, on_alarm);
    loop_later_init(&gossip->changes, config->loop, tell_changes);
    make_name(gossip->name);
    uint64_t seed;
    entropy_bytes(&seed, sizeof seed);
    struct gossiper_config core = {
        .name = gossip->name, .site = site, .seed = seed, .out = &out, .out_owner = gossip};
    gossip->core = gossiper_new(&core, loop_now(config->loop));
    int result = gossip_listen(gossip, &bind, err);
    if (result) {
        close(fd);
        gossip_free(gossip);
        return result;
    }
    uv_udp_init(&config->loop->uv, &gossip->udp);
    gossip->udp.data = gossip;
    int opened = uv_udp_open(&gossip->udp, fd);
    CHECK(opened == 0); // it is a fresh socket
    gossip->udp_open = true;
    uv_udp_recv_start(&gossip->udp, on_room, on_datagram);
    *result_out = gossip;
    return 0;
}

static void on_udp_closed(uv_handle_t *handle)
{
    struct gossip *gossip = gossip_of(handle->data);
    gossip->udp_open = false;
    gossip_closing(gossip);
}

void gossip_closing(struct gossip *gossip)
{
    if (!gossip->closing)
        return;
    loop_timer_stop(&gossip->alarm);
    loop_later_cancel(&gossip->changes);
    if (gossip->udp_open && !uv_is_closing((uv_handle_t *)&gossip->udp))
        uv_close((uv_handle_t *)&gossip->udp, on_udp_closed);
    gossip_listen_end(gossip);
    gossip_streams_close(gossip);
    if (gossip->udp_open || gossip->listener || !list_empty(&gossip->streams))
        return;
    void (*closed)(void *ctx) = gossip->closed;
    void *ctx = gossip->closed_ctx;
    gossip_free(gossip);
    closed(ctx);
}

void gossip_close(struct gossip *gossip, enum gossip_end end, void (*closed)(void *ctx), void *ctx)
{
    MAGIC_CHECK(gossip, GOSSIP_MAGIC);
    CHECK(!gossip->closed);
    gossip->closed = closed;
    gossip->closed_ctx = ctx;
    gossip->leaving = true;
    if (end == GOSSIP_END_LEAVE && gossip->started) {
        gossiper_leave(gossip->core, gossip_begin(gossip));
        gossip_end(gossip);
        return;
    }
    gossip->closing = true;
    gossip_closing(gossip);
}

// ---- wishes ------------------------------------------------------------------------------------

int gossip_keys(struct gossip *gossip, Swarm__EncryptionKey *const *keys, size_t count,
                struct err *err)
{
    MAGIC_CHECK(gossip, GOSSIP_MAGIC);
    uint64_t before = gossip->started ? keyring_primary(gossip->ring) : 0;
    int result = keyring_load(gossip->ring, keys, count, err);
    if (result)
        return result;
    uint64_t primary = keyring_primary(gossip->ring);
    if (!gossip->started) {
        char text[ADDR_TEXT_BYTES];
        gossip->started = true;
        log_info("gossip starts", "node=%s addr=%s key=%llu", gossip->name,
                 site_format(&gossip->site, text), (unsigned long long)primary);
        gossiper_start(gossip->core, gossip_begin(gossip));
    } else if (primary != before) {
        log_info("gossip key changed", "node=%s key=%llu", gossip->name,
                 (unsigned long long)primary);
    }
    gossip_end(gossip);
    return 0;
}

void gossip_bootstrap(struct gossip *gossip, const char *const *addrs, size_t count)
{
    MAGIC_CHECK(gossip, GOSSIP_MAGIC);
    struct site sites[GOSSIP_BOOTSTRAP_MAX];
    size_t used = 0;
    for (size_t i = 0; i < count && used < COUNT_OF(sites); i++) {
        struct addr addr;
        if (addr_parse(addrs[i], GOSSIP_PORT, &addr, NULL))
            continue;
        addr.port = gossip->site.port; // the manager's own was that of another service
        if (site_of_addr(&addr, &sites[used]))
            used++;
    }
    netdb_bootstrap(gossiper_netdb(gossip->core), gossip_begin(gossip), sites, used);
    gossip_end(gossip);
}

int gossip_network_join(struct gossip *gossip, const char *network_id, struct err *err)
{
    MAGIC_CHECK(gossip, GOSSIP_MAGIC);
    struct mono now = gossip_begin(gossip);
    int result = netdb_network_join(gossiper_netdb(gossip->core), now, network_id, err);
    gossip_end(gossip);
    return result;
}

void gossip_network_leave(struct gossip *gossip, const char *network_id)
{
    MAGIC_CHECK(gossip, GOSSIP_MAGIC);
    netdb_network_leave(gossiper_netdb(gossip->core), gossip_begin(gossip), network_id);
    gossip_end(gossip);
}

int gossip_row_put(struct gossip *gossip, const char *network_id, const char *table,
                   const char *key, const void *value, size_t value_size, struct err *err)
{
    MAGIC_CHECK(gossip, GOSSIP_MAGIC);
    struct mono now = gossip_begin(gossip);
    int result = netdb_row_put(gossiper_netdb(gossip->core), now, network_id, table, key,
                               (struct span){value, value_size}, err);
    gossip_end(gossip);
    return result;
}

void gossip_row_remove(struct gossip *gossip, const char *network_id, const char *table,
                       const char *key)
{
    MAGIC_CHECK(gossip, GOSSIP_MAGIC);
    struct mono now = gossip_begin(gossip);
    netdb_row_remove(gossiper_netdb(gossip->core), now, network_id, table, key);
    gossip_end(gossip);
}

// ---- what is there now --------------------------------------------------------------------------

struct row_walk {
    gossip_row_fn *visit;
    void *ctx;
};

static void visit_row(void *ctx, const struct netdb_view *view)
{
    const struct row_walk *walk = ctx;
    struct gossip_row row = {.network_id = view->network_id,
                             .table = view->table,
                             .key = view->key,
                             .value = view->value.at,
                             .value_size = view->value.size,
                             .node = view->node,
                             .site = view->site,
                             .own = view->own};
    walk->visit(walk->ctx, &row);
}

void gossip_rows(const struct gossip *gossip, const char *network_id, const char *table,
                 gossip_row_fn *visit, void *ctx)
{
    MAGIC_CHECK(gossip, GOSSIP_MAGIC);
    struct row_walk walk = {visit, ctx};
    netdb_rows(gossiper_netdb(gossip->core), network_id, table, visit_row, &walk);
}

#define BY_STREAM_MIN 2 // in a row; one may be a lost packet

struct member_walk {
    const struct gossip *gossip;
    gossip_member_fn *visit;
    void *ctx;
};

static void visit_node(void *ctx, const char *node, const struct site *site, bool self)
{
    const struct member_walk *walk = ctx;
    const struct swim_member *peer = swim_find(gossiper_swim(walk->gossip->core), node);
    struct gossip_member member = {.node = node,
                                   .site = site,
                                   .self = self,
                                   .by_stream = peer && peer->by_stream >= BY_STREAM_MIN};
    walk->visit(walk->ctx, &member);
}

void gossip_members(const struct gossip *gossip, const char *network_id, gossip_member_fn *visit,
                    void *ctx)
{
    MAGIC_CHECK(gossip, GOSSIP_MAGIC);
    struct member_walk walk = {gossip, visit, ctx};
    netdb_nodes(gossiper_netdb(gossip->core), network_id, visit_node, &walk);
}

const char *gossip_name(const struct gossip *gossip)
{
    MAGIC_CHECK(gossip, GOSSIP_MAGIC);
    return gossip->name;
}

const struct gossip_counters *gossip_counters(struct gossip *gossip)
{
    MAGIC_CHECK(gossip, GOSSIP_MAGIC);
    gossiper_gauge(gossip->core);
    return gossiper_counters(gossip->core);
}
