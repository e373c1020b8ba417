#include "agent/net/gateway.h"

#include <stdlib.h>
#include <string.h>

#include "agent/net/local.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define ADDRESSES_MAX 65536u // of a pool's subnet
#define PORT_CHARS    15

// Docker's own default pools for local networks, in its order. The first subnet is the default
// bridge's, of a stock daemon or ours; never the gateway's.
static const struct {
    const char *base;
    uint8_t prefix;
    unsigned count;
} pools[] = {
    {"172.17.0.0", 16, 15},
    {"192.168.0.0", 20, 16},
    {"10.213.0.0", 16, 16},
};

void gateway_init(struct gateway *gateway)
{
    memset(gateway, 0, sizeof *gateway);
}

void gateway_fini(struct gateway *gateway)
{
    free(gateway->taken);
    gateway_init(gateway);
}

static bool is_taken(const struct gateway *gateway, uint32_t number)
{
    return (gateway->taken[number / 8] >> (number % 8)) & 1;
}

static void set_taken(struct gateway *gateway, uint32_t number, bool taken)
{
    uint8_t bit = (uint8_t)(1u << (number % 8));
    if (taken)
        gateway->taken[number / 8] |= bit;
    else
        gateway->taken[number / 8] &= (uint8_t)~bit;
}

static void use(struct gateway *gateway, const struct ipnet *ip)
{
    struct ipnet base = ipnet_base(ip);
    gateway->ip = *ip;
    gateway->taken_count = UINT32_C(1) << (32 - ip->prefix);
    CHECK(gateway->taken_count <= ADDRESSES_MAX);
    CHECK(gateway->taken_count >= 4);
    free(gateway->taken);
    gateway->taken = mem_alloc(gateway->taken_count / 8 + 1);
    set_taken(gateway, 0, true);
    set_taken(gateway, gateway->taken_count - 1, true);
    set_taken(gateway, ipnet_u32(ip) - ipnet_u32(&base), true);
}

static bool is_free(const struct ipnet *subnet, const struct layout *host)
{
    for (size_t i = 0; i < host->addrs_count; i++)
        if (ipnet_overlaps(subnet, &host->addrs[i].ip))
            return false;
    for (size_t i = 0; i < host->routes_count; i++)
        if (host->routes[i].to.prefix && ipnet_overlaps(subnet, &host->routes[i].to))
            return false;
    return true;
}

static bool default_bridge_is_there(const struct layout *host)
{
    for (size_t i = 0; i < host->addrs_count; i++)
        if (strcmp(host->addrs[i].link, LOCAL_DEFAULT_LINK) == 0)
            return true;
    return false;
}

int gateway_choose(struct gateway *gateway, const struct layout *host, struct err *err)
{
    for (size_t i = 0; i < host->addrs_count; i++) {
        const struct layout_addr *addr = &host->addrs[i];
        if (strcmp(addr->link, GATEWAY_BRIDGE) == 0 && addr->ip.size == 4 &&
            addr->ip.prefix >= 16 && addr->ip.prefix <= 29) {
            use(gateway, &addr->ip);
            return 0;
        }
    }
    // The default bridge is made after this one, and takes the first subnet that is free: it is
    // left to it. (With a stock daemon's bridges on the host both would take the third.)
    bool spared = default_bridge_is_there(host);
    for (size_t p = 0; p < COUNT_OF(pools); p++) {
        struct ipnet base;
        bool good = ipnet_parse(pools[p].base, &base);
        CHECK(good);
        for (unsigned n = 0; n < pools[p].count; n++) {
            uint32_t at = ipnet_u32(&base) + (n << (32 - pools[p].prefix));
            struct ipnet ip = ipnet_of_u32(at + 1, pools[p].prefix);
            if (!is_free(&ip, host))
                continue;
            if (spared && (p || n)) {
                use(gateway, &ip);
                return 0;
            }
            spared = true;
        }
    }
    return err_set(err, ERR_RESOURCE_EXHAUSTED, "no subnet is free for the gateway bridge");
}

int gateway_take(struct gateway *gateway, struct ipnet *out, struct err *err)
{
    CHECK(ipnet_is_set(&gateway->ip));
    struct ipnet base = ipnet_base(&gateway->ip);
    for (uint32_t n = 1; n < gateway->taken_count; n++)
        if (!is_taken(gateway, n)) {
            set_taken(gateway, n, true);
            *out = ipnet_of_u32(ipnet_u32(&base) + n, gateway->ip.prefix);
            return 0;
        }
    return err_set(err, ERR_RESOURCE_EXHAUSTED, "the gateway bridge has no address left");
}

bool gateway_claim(struct gateway *gateway, const struct ipnet *ip)
{
    if (!ipnet_is_set(&gateway->ip) || !ipnet_contains(&gateway->ip, ip))
        return false;
    struct ipnet base = ipnet_base(&gateway->ip);
    uint32_t number = ipnet_u32(ip) - ipnet_u32(&base);
    if (is_taken(gateway, number))
        return false;
    set_taken(gateway, number, true);
    return true;
}

void gateway_give(struct gateway *gateway, const struct ipnet *ip)
{
    if (!ipnet_is_set(&gateway->ip) || !ipnet_contains(&gateway->ip, ip) ||
        ipnet_same_ip(&gateway->ip, ip))
        return;
    struct ipnet base = ipnet_base(&gateway->ip);
    set_taken(gateway, ipnet_u32(ip) - ipnet_u32(&base), false);
}

void gateway_port(const char *endpoint_id, char out[LAYOUT_NAME_BYTES])
{
    str_format(out, PORT_CHARS + 1, GATEWAY_PORT_PREFIX "%s", endpoint_id);
}

void gateway_layout(const struct gateway *gateway, const char *const *endpoint_ids, size_t count,
                    struct layout *out)
{
    struct layout_link *bridge = layout_add_link(out, GATEWAY_BRIDGE, LAYOUT_BRIDGE);
    bridge->up = true;
    // Left to itself a bridge takes the lowest address of its ports: with each one that comes,
    // those that are there might talk to an address that is nobody's any more.
    bridge->mac_set = true;
    mac_of_ip(&gateway->ip, bridge->mac);
    layout_add_addr(out, GATEWAY_BRIDGE, &gateway->ip);
    for (size_t i = 0; i < count; i++) {
        char name[LAYOUT_NAME_BYTES];
        gateway_port(endpoint_ids[i], name);
        struct layout_link *port = layout_add_link(out, name, LAYOUT_VETH);
        port->up = true;
        str_copy(port->master, sizeof port->master, GATEWAY_BRIDGE);
    }
}

struct nftable *gateway_table(const struct gateway *gateway)
{
    char subnet[IPNET_TEXT_BYTES];
    struct ipnet base = ipnet_base(&gateway->ip);
    ipnet_format(&base, subnet);
    struct nftable *table = nftable_new("ip", GATEWAY_TABLE);
    nftable_chain(table, "forward", "type filter hook forward priority 0");
    nftable_rule(table, "oifname != \"" GATEWAY_BRIDGE "\" accept");
    nftable_rule(table, "ct state established,related accept");
    nftable_rule(table, "ct status dnat accept");
    nftable_rule(table, "drop");
    nftable_chain(table, "post", "type nat hook postrouting priority 100");
    nftable_rule(table, "ip saddr %s oifname != \"" GATEWAY_BRIDGE "\" masquerade", subnet);
    return table;
}
