#include "agent/gossip/site.h"

#include <string.h>

bool site_of(struct span ip, uint16_t port, struct site *out)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (ip.size == 16 && memcmp(ip.at, mapped, sizeof mapped) == 0)
        ip = (struct span){ip.at + sizeof mapped, 4};
    if (ip.size != 4 && ip.size != 16)
        return false;
    *out = (struct site){.ip_size = (uint8_t)ip.size, .port = port ? port : GOSSIP_PORT};
    memcpy(out->ip, ip.at, ip.size);
    return true;
}

bool site_of_addr(const struct addr *addr, struct site *out)
{
    if (addr->kind != ADDR_IP4 && addr->kind != ADDR_IP6)
        return false;
    return site_of((struct span){addr->ip, addr->kind == ADDR_IP4 ? 4 : 16}, addr->port, out);
}

bool site_same_ip(const struct site *a, const struct site *b)
{
    return a->ip_size == b->ip_size && memcmp(a->ip, b->ip, a->ip_size) == 0;
}

bool site_equal(const struct site *a, const struct site *b)
{
    return a->port == b->port && site_same_ip(a, b);
}

struct span site_ip(const struct site *site)
{
    return (struct span){site->ip, site->ip_size};
}

const char *site_format(const struct site *site, char out[ADDR_TEXT_BYTES])
{
    struct addr addr = addr_of_ip(site->ip, site->ip_size, site->port);
    return addr_format(&addr, out);
}
