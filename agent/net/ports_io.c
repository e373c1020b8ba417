#include "agent/net/ports_io.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/net/forward_io.h"
#include "agent/net/hold_io.h"
#include "agent/net/inside_io.h"
#include "agent/net/ipnet.h"
#include "agent/net/tables_io.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/map.h"
#include "proto/base/str.h"

// What one container has.
struct holder {
    struct ports_row *rows;
    int *fds; // a hold for each
    size_t count;
};

struct ports {
    struct loop *loop;
    struct tables *tables;
    struct forward *forward;
    struct relays *relays;  // NULL: none
    struct map holders;     // id -> struct holder *
    struct map bridges;     // name -> itself
    struct loop_timer hold; // runs while the kernel's table is left as it is
    void (*closed)(void *owner);
    void *closed_owner;
};

static void on_repaired(void *owner, const char *table)
{
    (void)owner;
    log_warn("packet filter changed by others, repaired", "table=%s", table);
}

static void want_forward(struct ports *ports)
{
    const char **bridges = mem_alloc_array(map_count(&ports->bridges), sizeof *bridges);
    size_t count = 0;
    MAP_EACH (entry, &ports->bridges)
        bridges[count++] = entry->key;
    forward_want(ports->forward, bridges, count);
    free((void *)bridges);
}

// Also after each look at what others changed.
static void on_settled(void *owner, const struct err *err)
{
    struct ports *ports = owner;
    want_forward(ports);
    if (err)
        log_warn("cannot publish ports", "error=\"%s\"", err->message);
}

// The host forwards what it leads to containers.
static int prepare(void *settings, struct err *err)
{
    (void)settings;
    return inside_sysctl("net/ipv4/ip_forward", "1", err);
}

static void on_hold_over(struct loop_timer *timer);

struct ports *ports_open(struct loop *loop, struct err *err)
{
    struct ports *ports = MEM_NEW(struct ports);
    struct tables_config config = {.loop = loop,
                                   .netns_fd = NFT_NETNS_OWN,
                                   .watch = true,
                                   .prepare = prepare,
                                   .settled = on_settled,
                                   .repaired = on_repaired,
                                   .owner = ports};
    ports->loop = loop;
    ports->tables = tables_open(&config, err);
    if (!ports->tables) {
        free(ports);
        return NULL;
    }
    ports->forward = forward_open(loop);
    map_init(&ports->holders);
    map_init(&ports->bridges);
    loop_timer_init(&ports->hold, loop, on_hold_over);
    return ports;
}

static void want_relays(struct ports *ports, const struct ports_row *rows, const int *fds,
                        size_t count)
{
    struct relay_port *wanted = mem_alloc_array(count, sizeof *wanted);
    int *sockets = mem_alloc_array(count, sizeof *sockets);
    size_t wanted_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct ports_row *row = &rows[i];
        struct relay_port port = {.protocol = row->protocol, .port = row->published};
        if (row->only6) {
            port.inner = row->address;
            port.inner_port = row->target;
            memcpy(port.at, row->host6, sizeof port.at);
        } else if (!row->ip6 || row->host != 0) {
            continue;
        }
        sockets[wanted_count] = row->only6 ? fds[i] : -1;
        wanted[wanted_count++] = port;
    }
    relays_want(ports->relays, RELAYS_HOST, wanted, sockets, wanted_count);
    free(wanted);
    free(sockets);
}

void ports_relay(struct ports *ports, struct relays *relays)
{
    ports->relays = relays;
}

// Says what the table should hold.
static void bring(struct ports *ports)
{
    size_t count = 0, at = 0, bridge = 0;
    if (loop_timer_running(&ports->hold))
        return;
    MAP_EACH (entry, &ports->holders)
        count += ((const struct holder *)entry->value)->count;
    struct ports_row *rows = mem_alloc_array(count, sizeof *rows);
    int *fds = mem_alloc_array(count, sizeof *fds);
    const char **bridges = mem_alloc_array(map_count(&ports->bridges), sizeof *bridges);
    MAP_EACH (entry, &ports->holders) {
        const struct holder *holder = entry->value;
        if (holder->count > 0) {
            memcpy(rows + at, holder->rows, holder->count * sizeof *rows);
            memcpy(fds + at, holder->fds, holder->count * sizeof *fds);
        }
        at += holder->count;
    }
    MAP_EACH (entry, &ports->bridges)
        bridges[bridge++] = entry->key;
    // What route_localnet opens is shut as long as there is a bridge, ports or not.
    if (count == 0 && bridge == 0)
        tables_drop(ports->tables, "ip", PORTS_TABLE);
    else
        tables_want(ports->tables, ports_table(rows, count, bridges, bridge));
    want_relays(ports, rows, fds, count);
    free(rows);
    free(fds);
    free((void *)bridges);
}

static void on_hold_over(struct loop_timer *timer)
{
    bring(CONTAINER_OF(timer, struct ports, hold));
}

void ports_hold(struct ports *ports)
{
    loop_timer_start(&ports->hold, PORTS_HOLD_MS);
}

void ports_let_go(struct ports *ports)
{
    if (!loop_timer_running(&ports->hold))
        return;
    loop_timer_stop(&ports->hold);
    bring(ports);
}

void ports_bridge(struct ports *ports, const char *bridge)
{
    if (map_has_str(&ports->bridges, bridge))
        return;
    // So that 127.0.0.1:port leads there too. Not for all interfaces: neighbours of the host would
    // reach its loopback.
    char name[80];
    struct err err = ERR_INIT;
    if (!str_format(name, sizeof name, "net/ipv4/conf/%s/route_localnet", bridge) ||
        inside_sysctl(name, "1", &err) < 0)
        log_warn("ports are not on localhost", "bridge=%s error=\"%s\"", bridge, err.message);
    map_put_str(&ports->bridges, bridge, ports);
    bring(ports);
    want_forward(ports);
}

void ports_bridge_gone(struct ports *ports, const char *bridge)
{
    if (!map_remove_str(&ports->bridges, bridge))
        return;
    bring(ports);
    want_forward(ports);
}

static void holder_free(struct holder *holder)
{
    if (!holder)
        return;
    for (size_t i = 0; i < holder->count; i++)
        if (holder->fds[i] >= 0)
            close(holder->fds[i]);
    free(holder->rows);
    free(holder->fds);
    free(holder);
}

static const char *host_of(const struct ports_row *row, char out[IPNET_TEXT_BYTES])
{
    struct ipnet host = ipnet_of_u32(row->host, 32);
    if (row->only6) {
        host = (struct ipnet){.size = 16, .prefix = 128};
        memcpy(host.bytes, row->host6, sizeof host.bytes);
    }
    return ipnet_format_ip(&host, out);
}

// Takes one port: the one asked for, the first of its range that is free, or any.
static int hold_row(struct ports_row *row, struct err *err)
{
    unsigned first = row->published;
    unsigned last = row->published_end > first ? row->published_end : first;
    struct err why = ERR_INIT;
    int fd = -1;
    for (unsigned port = first; port <= last && fd < 0; port++) {
        uint16_t taken = (uint16_t)port;
        err_clear(&why);
        fd = row->only6 ? hold_open6(row->protocol, row->host6, &taken, &why)
                        : hold_open(row->protocol, row->host, &taken, &why);
        if (fd >= 0)
            row->published = taken;
        else if (why.code != ERR_ALREADY_EXISTS)
            break;
    }
    row->published_end = 0;
    if (fd >= 0)
        return fd;
    char which[16], text[IPNET_TEXT_BYTES];
    if (first == last)
        (void)str_format(which, sizeof which, "%u", first);
    else
        (void)str_format(which, sizeof which, "%u-%u", first, last);
    if (why.code == ERR_ALREADY_EXISTS)
        return err_set(err, ERR_ALREADY_EXISTS, "Bind for %s:%s failed: port is already allocated",
                       host_of(row, text), which);
    return err_copy(err, &why);
}

// Only the relay leads there.
static int can_relay(const struct ports *ports, const struct ports_row *row, struct err *err)
{
    char text[IPNET_TEXT_BYTES];
    if (!row->only6)
        return 0;
    if (row->protocol != RELAY_TCP && row->protocol != RELAY_UDP)
        return err_set(err, ERR_UNIMPLEMENTED,
                       "by SCTP no port is published on an IPv6 address (%s)", host_of(row, text));
    if (!ports->relays)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "a port of %s needs the userland proxy, which is turned off",
                       host_of(row, text));
    return 0;
}

static bool same_port(const struct ports_row *a, const struct ports_row *b)
{
    return a->protocol == b->protocol && a->host == b->host && a->published == b->published &&
           a->only6 == b->only6 && memcmp(a->host6, b->host6, sizeof a->host6) == 0;
}

int ports_set(struct ports *ports, const char *id, struct ports_row *rows, size_t count,
              struct err *err)
{
    if (count > PORTS_OF_ONE_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %d published ports",
                       PORTS_OF_ONE_MAX);
    struct holder *old = map_get_str(&ports->holders, id);
    struct holder *holder = MEM_NEW(struct holder);
    holder->rows = mem_alloc_array(count, sizeof *rows);
    holder->fds = mem_alloc_array(count, sizeof(int));
    for (size_t i = 0; i < count; i++) {
        struct ports_row row = rows[i];
        int fd = can_relay(ports, &row, err);
        row.answers6 = row.ip6 && row.protocol != IPPROTO_SCTP && relays_able(ports->relays);
        if (fd < 0) {
            holder_free(holder);
            return fd;
        }
        fd = -1;
        // Its own ports are no conflict: their holds move over.
        for (size_t k = 0; old && k < old->count && fd < 0; k++)
            if (row.published && old->fds[k] >= 0 && same_port(&old->rows[k], &row))
                fd = dup(old->fds[k]);
        if (fd < 0)
            fd = hold_row(&row, err);
        if (fd < 0) {
            holder_free(holder);
            return fd;
        }
        row.published_end = 0;
        holder->rows[i] = row;
        holder->fds[i] = fd;
        holder->count = i + 1;
    }
    if (count > 0)
        memcpy(rows, holder->rows, count * sizeof *rows);
    map_put_str(&ports->holders, id, holder);
    holder_free(old);
    bring(ports);
    return 0;
}

void ports_remove(struct ports *ports, const char *id)
{
    struct holder *holder = map_remove_str(&ports->holders, id);
    if (!holder)
        return;
    holder_free(holder);
    bring(ports);
}

const struct ports_row *ports_of(const struct ports *ports, const char *id, size_t *count)
{
    const struct holder *holder = map_get_str(&ports->holders, id);
    *count = holder ? holder->count : 0;
    return holder ? holder->rows : NULL;
}

const char *ports_blocked_by(const struct ports *ports)
{
    return forward_blocked_by(ports->forward);
}

bool ports_busy(const struct ports *ports)
{
    return tables_busy(ports->tables);
}

static void on_closed(void *owner)
{
    struct ports *ports = owner;
    void (*closed)(void *) = ports->closed;
    void *closed_owner = ports->closed_owner;
    map_fini(&ports->holders);
    map_fini(&ports->bridges);
    free(ports);
    if (closed)
        closed(closed_owner);
}

static void on_forward_closed(void *owner)
{
    struct ports *ports = owner;
    ports->forward = NULL;
    tables_close(ports->tables, on_closed, ports);
}

void ports_close(struct ports *ports, void (*closed)(void *owner), void *owner)
{
    loop_timer_stop(&ports->hold);
    MAP_EACH (entry, &ports->holders)
        holder_free(entry->value);
    ports->closed = closed;
    ports->closed_owner = owner;
    // Its job may still run; the tables' end asks for no other.
    forward_close(ports->forward, on_forward_closed, ports);
}
