#include "agent/net/mesh.h"

#include <stdlib.h>
#include <string.h>

#include "agent/net/hits.h"
#include "proto/base/check.h"
#include "proto/base/rand.h"
#include "proto/base/str.h"

#define ADDRESS_BYTES 16

static const char *address_text(uint32_t address, char out[ADDRESS_BYTES])
{
    (void)str_format(out, ADDRESS_BYTES, "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
                     address >> 8 & 255, address & 255);
    return out;
}

static const char *port_key(const struct mesh_port *port, char out[NFTABLE_KEY_BYTES])
{
    (void)str_format(out, NFTABLE_KEY_BYTES, "%u . %u", port->protocol, port->published);
    return out;
}

static const char *subnet_text(uint32_t subnet, unsigned prefix, char out[NFTABLE_KEY_BYTES])
{
    char address[ADDRESS_BYTES];
    uint32_t mask = prefix == 0 ? 0 : UINT32_MAX << (32 - prefix);
    (void)str_format(out, NFTABLE_KEY_BYTES, "%s/%u", address_text(subnet & mask, address), prefix);
    return out;
}

int mesh_services_check(const struct mesh_service *services, size_t count, struct err *err)
{
    size_t ports = 0;
    for (size_t i = 0; i < count; i++) {
        const struct mesh_service *service = &services[i];
        ports += service->ports_count;
        if (ports > MESH_PORTS_MAX)
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %d published ports",
                           MESH_PORTS_MAX);
        if (service->backends_count > MESH_BACKENDS_MAX)
            return err_set(err, ERR_RESOURCE_EXHAUSTED,
                           "a published service has more than %d tasks", MESH_BACKENDS_MAX);
        for (size_t k = 0; k < service->ports_count; k++) {
            const struct mesh_port *port = &service->ports[k];
            if (port->protocol != MESH_TCP && port->protocol != MESH_UDP &&
                port->protocol != MESH_SCTP)
                return err_set(err, ERR_INVALID_ARGUMENT, "protocol %u cannot be published",
                               port->protocol);
            if (port->published == 0 || port->target == 0)
                return err_set(err, ERR_INVALID_ARGUMENT, "a published port is 0");
        }
        for (size_t k = 0; k < service->backends_count; k++)
            if (service->backends[k].address == 0)
                return err_set(err, ERR_INVALID_ARGUMENT, "a published task has no address");
    }
    return 0;
}

// ---- the host -----------------------------------------------------------------------------------

static bool has_ports(const struct mesh_service *services, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (services[i].ports_count > 0)
            return true;
    return false;
}

struct nftable *mesh_host_table(const struct mesh_host *host, const struct mesh_service *services,
                                size_t count)
{
    char address[ADDRESS_BYTES], key[NFTABLE_KEY_BYTES];
    const char *gw = host->gateway_if;
    struct nftable *table = nftable_new("ip", MESH_HOST_TABLE);
    nftable_collection(table, "map", "published", "type inet_proto . inet_service : verdict;");
    hits_sets(table);
    if (host->partial || has_ports(services, count))
        hits_chains(table);
    nftable_chain(table, "to_sandbox", NULL);
    nftable_rule(table, "dnat to %s", address_text(host->sandbox_address, address));

    // route_localnet, which 127.0.0.1:port needs, must not open the host's loopback to containers.
    nftable_chain(table, "loopback", "type filter hook prerouting priority -300");
    nftable_rule(table, "ip daddr 127.0.0.0/8 iifname \"%s\" drop", gw);

    nftable_chain(table, "pre", "type nat hook prerouting priority -100");
    hits_first(table);
    nftable_rule(table, "fib daddr type local meta l4proto . th dport vmap @published");
    nftable_chain(table, "out", "type nat hook output priority -100");
    hits_first(table);
    nftable_rule(table, "fib daddr type local meta l4proto . th dport vmap @published");

    // A container that calls its own node: the answer would go straight across the bridge. Then the
    // host itself, whose loopback address means nothing in the sandbox.
    nftable_chain(table, "post", "type nat hook postrouting priority 100");
    nftable_rule(table, "iifname \"%s\" oifname \"%s\" ip daddr %s ct status dnat masquerade", gw,
                 gw, address);
    nftable_rule(table, "oifname \"%s\" ip daddr %s fib saddr type local masquerade", gw, address);

    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < services[i].ports_count; k++) {
            nftable_element(table, "published", port_key(&services[i].ports[k], key),
                            "goto to_sandbox");
            hits_element(table, key);
        }
    return table;
}

// ---- the ingress sandbox ------------------------------------------------------------------------

// Which service has a port: the last one that names it, for its slots must not mix with another's.
static bool owns_port(const struct mesh_service *services, size_t count, size_t service,
                      size_t number)
{
    const struct mesh_port *port = &services[service].ports[number];
    for (size_t i = count; i-- > service;) {
        for (size_t k = services[i].ports_count; k-- > 0;) {
            const struct mesh_port *other = &services[i].ports[k];
            if (other->protocol == port->protocol && other->published == port->published)
                return i == service && k == number;
        }
    }
    return false;
}

// Which of the services that name a port balance it: with an update of ports under way the newer
// one may have no task yet, and the older one goes on.
static bool has_open_backend(const struct mesh_service *service)
{
    for (size_t i = 0; i < service->backends_count; i++)
        if (!service->backends[i].draining)
            return true;
    return false;
}

// Each node begins to count at another of the tasks (agent/lb/ruleset.h tells why it counts).
static size_t put_slots(struct nftable *table, const struct mesh_sandbox *sandbox,
                        const struct mesh_service *service, const struct mesh_port *port)
{
    char key[NFTABLE_KEY_BYTES], address[ADDRESS_BYTES];
    struct rand rand;
    size_t slots = 0;
    for (size_t i = 0; i < service->backends_count; i++)
        slots += !service->backends[i].draining;
    rand_init(&rand, sandbox->address);
    size_t number = (size_t)rand_below(&rand, slots);
    for (size_t i = 0; i < service->backends_count; i++) {
        if (service->backends[i].draining)
            continue;
        (void)str_format(key, sizeof key, "%u . %u . %zu", port->protocol, port->published, number);
        nftable_element(table, "slots", key, address_text(service->backends[i].address, address));
        number = (number + 1) % slots;
    }
    return slots;
}

struct nftable *mesh_sandbox_table(const struct mesh_sandbox *sandbox,
                                   const struct mesh_service *services, size_t count)
{
    char key[NFTABLE_KEY_BYTES], own[ADDRESS_BYTES], text[ADDRESS_BYTES];
    bool *pick = mem_alloc_array(MESH_BACKENDS_MAX + 1, sizeof(bool));
    // Services that can take a connection, so that owns_port chooses among these.
    struct mesh_service *open = mem_alloc_array(count, sizeof *open);
    size_t open_count = 0;
    for (size_t i = 0; i < count; i++)
        if (has_open_backend(&services[i]))
            open[open_count++] = services[i];
    (void)address_text(sandbox->address, own);

    struct nftable *table = nftable_new("ip", MESH_SANDBOX_TABLE);
    nftable_collection(table, "map", "slots",
                       "typeof meta l4proto . th dport . numgen random mod 65536 : ip daddr;");
    nftable_collection(table, "map", "published", "type inet_proto . inet_service : verdict;");
    nftable_collection(table, "set", "keeps", "type ipv4_addr;");
    nftable_collection(table, "set", "hidden", "type ipv4_addr; flags interval;");
    nftable_chain(table, "pre", "type nat hook prerouting priority -100");
    nftable_rule(table, "iifname \"%s\" meta l4proto . th dport vmap @published",
                 sandbox->gateway_if);
    nftable_chain(table, "post", "type nat hook postrouting priority 100");
    nftable_rule(table, "oifname \"%s\" ip saddr @hidden snat to %s", sandbox->ingress_if, own);
    nftable_rule(table, "oifname \"%s\" ip daddr != @keeps snat to %s", sandbox->ingress_if, own);

    for (size_t i = 0; i < open_count; i++) {
        const struct mesh_service *service = &open[i];
        for (size_t k = 0; k < service->ports_count; k++) {
            if (!owns_port(open, open_count, i, k))
                continue;
            size_t slots = put_slots(table, sandbox, service, &service->ports[k]);
            pick[slots] = true;
            char verdict[32];
            (void)str_format(verdict, sizeof verdict, "goto pick_%zu", slots);
            nftable_element(table, "published", port_key(&service->ports[k], key), verdict);
        }
    }
    // A connection that is open keeps its source whatever becomes of these: post is asked once. So
    // draining tasks need not be here.
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < services[i].backends_count; k++)
            if (services[i].backends[k].keeps)
                nftable_element(table, "keeps", address_text(services[i].backends[k].address, text),
                                NULL);
    // These addresses mean another machine, or nothing, elsewhere in the cluster.
    nftable_element(table, "hidden", "127.0.0.0/8", NULL);
    nftable_element(table, "hidden",
                    subnet_text(sandbox->gateway_subnet, sandbox->gateway_prefix, key), NULL);
    nftable_element(table, "hidden",
                    subnet_text(sandbox->ingress_subnet, sandbox->ingress_prefix, key), NULL);
    // A number drawn just before a transaction may be gone after it; slot 0 is there then.
    for (size_t n = 1; n <= MESH_BACKENDS_MAX; n++) {
        if (!pick[n])
            continue;
        char name[NFTABLE_NAME_BYTES];
        (void)str_format(name, sizeof name, "pick_%zu", n);
        nftable_chain(table, name, NULL);
        nftable_rule(table,
                     "numgen random mod 8 0 dnat to meta l4proto . th dport"
                     " . numgen random mod %zu map @slots",
                     n);
        nftable_rule(table, "dnat to meta l4proto . th dport . numgen inc mod %zu map @slots", n);
        nftable_rule(table, "dnat to meta l4proto . th dport . numgen random mod 1 map @slots");
    }
    free(open);
    free(pick);
    return table;
}

// ---- the task's sandbox -------------------------------------------------------------------------

static void mac_text(uint32_t node, char out[NFTABLE_KEY_BYTES])
{
    (void)str_format(out, NFTABLE_KEY_BYTES, "02:42:%02x:%02x:%02x:%02x", node >> 24,
                     node >> 16 & 255, node >> 8 & 255, node & 255);
}

// 24 bits of the address tell the nodes of any ingress network apart that is a /8 or smaller.
static uint32_t node_mark(uint32_t node)
{
    return MESH_MARK | (node & 0xffffff);
}

// Zones have 16 bits. Two nodes in one zone only means that the same client port through both is
// not told apart.
static unsigned node_zone(uint32_t node)
{
    return (node & 0xffff) ? node & 0xffff : 0xffff;
}

static const struct {
    uint8_t protocol;
    const char *map;
    const char *match;
} redirects[] = {{MESH_TCP, "tcp_ports", "tcp"},
                 {MESH_UDP, "udp_ports", "udp"},
                 {MESH_SCTP, "sctp_ports", "sctp"}};

// Whose servers, bound to any address, do not answer from the one that was asked.
static const struct {
    const char *set;
    const char *match;
} forgetful[] = {{"callers", "udp"}, {"sctp_callers", "sctp"}};

struct nftable *mesh_task_table(const struct mesh_task *task, const uint32_t *nodes, size_t count)
{
    char own[ADDRESS_BYTES], key[NFTABLE_KEY_BYTES], value[NFTABLE_KEY_BYTES];
    const char *in = task->ingress_if;
    (void)address_text(task->address, own);
    struct nftable *table = nftable_new("ip", MESH_TASK_TABLE);
    nftable_collection(table, "map", "node_mark", "type ether_addr : mark;");
    nftable_collection(table, "map", "node_zone", "typeof ether saddr : ct zone;");
    for (size_t i = 0; i < COUNT_OF(forgetful); i++) {
        const char *match = forgetful[i].match;
        char type[160];
        (void)str_format(type, sizeof type,
                         "typeof ip saddr . %s sport . %s dport; flags dynamic,timeout;"
                         " timeout 180s; size 65535;",
                         match, match);
        nftable_collection(table, "set", forgetful[i].set, type);
    }
    for (size_t i = 0; i < COUNT_OF(redirects); i++)
        nftable_collection(table, "map", redirects[i].map, "type inet_service : inet_service;");

    // The same client port through two nodes is one connection too many for this end; a zone for
    // each node tells them apart.
    nftable_chain(table, "zones", "type filter hook prerouting priority -300");
    nftable_rule(table, "iifname \"%s\" ct original zone set ether saddr map @node_zone", in);

    nftable_chain(table, "marks", "type filter hook prerouting priority -150");
    nftable_rule(table, "iifname \"%s\" ct state new ct mark set ether saddr map @node_mark", in);
    nftable_rule(table, "iifname \"%s\" ct mark & 0x%x == 0x%x meta mark set ct mark", in,
                 MESH_MARK, MESH_MARK);

    nftable_chain(table, "target", "type nat hook prerouting priority -100");
    for (size_t i = 0; i < COUNT_OF(redirects); i++)
        nftable_rule(table, "ip daddr %s meta l4proto %u redirect to :%s dport map @%s", own,
                     redirects[i].protocol, redirects[i].match, redirects[i].map);

    // A UDP server that listens at any address answers from the address its default route has, and
    // so does SCTP itself, for all its servers. The sets know who asked; the source is put right
    // before conntrack looks, so that the answer belongs to its flow. Learning sits behind the
    // translation of ports that zones may bring.
    nftable_chain(table, "learn", "type filter hook input priority 150");
    for (size_t i = 0; i < COUNT_OF(forgetful); i++) {
        const char *match = forgetful[i].match;
        nftable_rule(table,
                     "iifname \"%s\" ip daddr %s meta l4proto %s"
                     " update @%s { ip saddr . %s sport . %s dport }",
                     in, own, match, forgetful[i].set, match, match);
    }
    nftable_chain(table, "answer", "type filter hook output priority -300");
    for (size_t i = 0; i < COUNT_OF(forgetful); i++) {
        const char *match = forgetful[i].match;
        nftable_rule(table, "ip saddr != %s ip daddr . %s dport . %s sport @%s ip saddr set %s",
                     own, match, match, forgetful[i].set, own);
    }

    nftable_chain(table, "back", "type route hook output priority -150");
    nftable_rule(table, "ct direction reply ct mark & 0x%x == 0x%x meta mark set ct mark",
                 MESH_MARK, MESH_MARK);

    // Tasks of strangers share the ingress network: nothing but published ports is open on it.
    nftable_chain(table, "closed", "type filter hook input priority 0");
    nftable_rule(table, "iifname \"%s\" ip daddr %s ct status dnat accept", in, own);
    nftable_rule(table, "iifname \"%s\" ct state related accept", in);
    nftable_rule(table, "iifname \"%s\" counter drop", in);

    for (size_t i = 0; i < count; i++) {
        mac_text(nodes[i], key);
        (void)str_format(value, sizeof value, "%u", node_mark(nodes[i]));
        nftable_element(table, "node_mark", key, value);
        (void)str_format(value, sizeof value, "%u", node_zone(nodes[i]));
        nftable_element(table, "node_zone", key, value);
    }
    for (size_t i = 0; i < task->ports_count; i++) {
        const struct mesh_port *port = &task->ports[i];
        (void)str_format(key, sizeof key, "%u", port->published);
        (void)str_format(value, sizeof value, "%u", port->target);
        for (size_t k = 0; k < COUNT_OF(redirects); k++)
            if (redirects[k].protocol == port->protocol)
                nftable_element(table, redirects[k].map, key, value);
    }
    return table;
}

struct nftable *mesh_egress_table(const struct mesh_task *task, const uint32_t *nodes, size_t count)
{
    char key[NFTABLE_KEY_BYTES], mac[NFTABLE_KEY_BYTES], hook[120];
    struct nftable *table = nftable_new("netdev", MESH_EGRESS_TABLE);
    nftable_collection(table, "map", "node_mac", "type mark : ether_addr;");
    (void)str_format(hook, sizeof hook, "type filter hook egress device \"%s\" priority 0",
                     task->ingress_if);
    nftable_chain(table, "out", hook);
    nftable_rule(table, "ether daddr " MESH_GATEWAY_MAC " ether daddr set meta mark map @node_mac");
    for (size_t i = 0; i < count; i++) {
        (void)str_format(key, sizeof key, "%u", node_mark(nodes[i]));
        mac_text(nodes[i], mac);
        nftable_element(table, "node_mac", key, mac);
    }
    return table;
}

// ---- who is gone --------------------------------------------------------------------------------

static int address_order(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

size_t mesh_sort(uint32_t *addresses, size_t count)
{
    size_t kept = 0;
    if (count > 1)
        qsort(addresses, count, sizeof *addresses, address_order);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || addresses[kept - 1] != addresses[i])
            addresses[kept++] = addresses[i];
    return kept;
}

uint32_t *mesh_addresses(const struct mesh_service *services, size_t count, size_t *out_count)
{
    size_t total = 0, at = 0;
    for (size_t i = 0; i < count; i++)
        total += services[i].backends_count;
    uint32_t *all = mem_alloc_array(total, sizeof *all);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < services[i].backends_count; k++)
            all[at++] = services[i].backends[k].address;
    *out_count = mesh_sort(all, total);
    return all;
}

size_t mesh_gone(const uint32_t *before, size_t before_count, const uint32_t *after,
                 size_t after_count, uint32_t *out)
{
    size_t gone = 0, at = 0;
    for (size_t i = 0; i < before_count; i++) {
        while (at < after_count && after[at] < before[i])
            at++;
        if (at == after_count || after[at] != before[i])
            out[gone++] = before[i];
    }
    return gone;
}
