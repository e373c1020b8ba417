#include "agent/net/ports.h"

#include "agent/net/hits.h"
#include "proto/base/str.h"

#define ADDRESS_BYTES 16

static const char *address_text(uint32_t address, char out[ADDRESS_BYTES])
{
    (void)str_format(out, ADDRESS_BYTES, "%u.%u.%u.%u", address >> 24, address >> 16 & 255,
                     address >> 8 & 255, address & 255);
    return out;
}

// Both directions in: from outside, and from the host's own programs.
static void put_dnat(struct nftable *table)
{
    hits_first(table);
    nftable_rule(table, "fib daddr type local"
                        " dnat ip to ip daddr . meta l4proto . th dport map @one_address");
    nftable_rule(table, "fib daddr type local"
                        " dnat ip to meta l4proto . th dport map @any_address");
}

struct nftable *ports_table(const struct ports_row *rows, size_t rows_count,
                            const char *const *bridges, size_t bridges_count)
{
    char key[NFTABLE_KEY_BYTES], value[NFTABLE_KEY_BYTES];
    char host[ADDRESS_BYTES], address[ADDRESS_BYTES];
    struct nftable *table = nftable_new("ip", PORTS_TABLE);
    nftable_collection(table, "map", "any_address",
                       "type inet_proto . inet_service : ipv4_addr . inet_service;");
    nftable_collection(table, "map", "one_address",
                       "type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service;");
    nftable_collection(table, "set", "bridges", "type ifname;");
    hits_sets(table);
    if (rows_count > 0)
        hits_chains(table);
    // What route_localnet opens to the host's programs must stay closed to containers.
    nftable_chain(table, "loopback", "type filter hook prerouting priority -300");
    nftable_rule(table, "ip daddr 127.0.0.0/8 iifname @bridges drop");
    nftable_chain(table, "pre", "type nat hook prerouting priority -100");
    put_dnat(table);
    nftable_chain(table, "out", "type nat hook output priority -100");
    put_dnat(table);
    // A container that calls a port of its own host, maybe its own: the answer has to come by here.
    nftable_chain(table, "post", "type nat hook postrouting priority 100");
    nftable_rule(table, "iifname @bridges oifname @bridges ct status dnat masquerade");
    nftable_rule(table, "oifname @bridges ip saddr 127.0.0.0/8 masquerade");

    for (size_t i = 0; i < bridges_count; i++) {
        (void)str_format(key, sizeof key, "%s", bridges[i]);
        nftable_element(table, "bridges", key, NULL);
    }
    for (size_t i = 0; i < rows_count; i++) {
        const struct ports_row *row = &rows[i];
        if (row->only6)
            continue; // the relay asks the container itself
        (void)str_format(value, sizeof value, "%s . %u", address_text(row->address, address),
                         row->target);
        if (row->host)
            (void)str_format(key, sizeof key, "%s . %u . %u", address_text(row->host, host),
                             row->protocol, row->published);
        else
            (void)str_format(key, sizeof key, "%u . %u", row->protocol, row->published);
        nftable_element(table, row->host ? "one_address" : "any_address", key, value);
        (void)str_format(key, sizeof key, "%u . %u", row->protocol, row->published);
        hits_element(table, key);
    }
    return table;
}
