// What the packet filter should hold for local networks.
#include "agent/net/local.h"

// The IPv6 subnet of a bridge; NULL: none.
static const struct ipnet *subnet6(const struct local *local)
{
    for (size_t i = 0; i < local->more_count; i++)
        if (local->more[i].subnet.size == 16)
            return &local->more[i].subnet;
    return NULL;
}

// A published port is a way in, from the neighbours as well.
static void put_forward(struct nftable *table, const struct local *local)
{
    if (local->internal) {
        nftable_rule(table, "iifname \"%s\" oifname != \"%s\" drop", local->link, local->link);
        nftable_rule(table, "oifname \"%s\" iifname != \"%s\" drop", local->link, local->link);
    }
    nftable_rule(table, "oifname \"%s\" ct status dnat accept", local->link);
    if (!local->icc)
        nftable_rule(table, "iifname \"%s\" oifname \"%s\" drop", local->link, local->link);
    nftable_rule(table, "iifname \"%s\" oifname != \"%s\" oifname @bridges drop", local->link,
                 local->link);
}

static struct nftable *table_of(struct local *const *locals, size_t count, bool six)
{
    char text[IPNET_TEXT_BYTES];
    const char *family = six ? "ip6" : "ip";
    struct nftable *table = nftable_new(family, LOCAL_TABLE);
    nftable_collection(table, "set", "bridges", "type ifname;");
    nftable_chain(table, "forward", "type filter hook forward priority 0");
    nftable_rule(table, "ct state established,related accept");
    for (size_t i = 0; i < count; i++)
        if (locals[i]->driver == LOCAL_BRIDGE && (!six || locals[i]->six))
            put_forward(table, locals[i]);
    nftable_chain(table, "post", "type nat hook postrouting priority 100");
    for (size_t i = 0; i < count; i++) {
        const struct local *local = locals[i];
        const struct ipnet *subnet = six ? subnet6(local) : &local->subnet;
        if (local->driver == LOCAL_BRIDGE && local->masquerade && !local->internal && subnet)
            nftable_rule(table, "%s saddr %s oifname != \"%s\" masquerade", family,
                         ipnet_format(subnet, text), local->link);
    }
    for (size_t i = 0; i < count; i++)
        if (locals[i]->driver == LOCAL_BRIDGE && (!six || locals[i]->six))
            nftable_element(table, "bridges", locals[i]->link, NULL);
    return table;
}

struct nftable *local_table(struct local *const *locals, size_t count)
{
    return table_of(locals, count, false);
}

struct nftable *local_table6(struct local *const *locals, size_t count)
{
    return table_of(locals, count, true);
}
