#include "agent/net/sandbox.h"

#include <mbedtls/sha256.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define DIGEST_BYTES 32
#define PLACE_CHARS  12
#define LOOPBACK     "lo"

void sandbox_endpoint_id(const char *container_id, const char *network_id, const char *salt,
                         char out[SANDBOX_ENDPOINT_BYTES])
{
    uint8_t digest[DIGEST_BYTES];
    char text[512];
    str_format(text, sizeof text, "endpoint %s %s %s", container_id, network_id, salt);
    int rc = mbedtls_sha256_ret((const unsigned char *)text, strlen(text), digest, 0);
    CHECK(rc == 0);
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        str_format(out + 2 * i, 3, "%02x", digest[i]);
}

void sandbox_place(const char *container_id, char out[OVERLAY_TEXT_BYTES])
{
    str_format(out, PLACE_CHARS + 1, "%s", container_id);
}

static void end_layout(const struct sandbox_end *end, struct layout *out)
{
    struct layout_link *link = layout_add_link(out, end->eth, LAYOUT_VETH);
    link->up = true;
    link->mtu = end->mtu;
    link->mac_set = true;
    memcpy(link->mac, end->mac, MAC_BYTES);
    str_copy(link->peer, sizeof link->peer, end->port);
    str_copy(link->peer_place, sizeof link->peer_place, end->place);
    str_copy(link->peer_master, sizeof link->peer_master, end->bridge);
    layout_add_addr(out, end->eth, &end->ip);
    if (ipnet_is_set(&end->vip)) {
        struct ipnet vip = ipnet_host(&end->vip);
        layout_add_addr(out, LOOPBACK, &vip);
    }
    for (size_t i = 0; end->overlay && i < end->overlay->subnets_count; i++) {
        const struct overlay_subnet *subnet = &end->overlay->subnets[i];
        const struct overlay_subnet *own = overlay_subnet_of(end->overlay, &end->ip);
        if (own && subnet != own)
            layout_add_route(out, &subnet->subnet, end->eth, &own->gateway);
    }
}

void sandbox_layout(const struct sandbox_end *ends, size_t count, struct layout *out)
{
    bool leads = false;
    layout_add_link(out, LOOPBACK, LAYOUT_LOOPBACK)->up = true;
    for (size_t i = 0; i < count; i++) {
        end_layout(&ends[i], out);
        if (!leads && ipnet_is_set(&ends[i].gateway)) {
            struct ipnet all = {.size = ends[i].gateway.size};
            layout_add_route(out, &all, ends[i].eth, &ends[i].gateway);
            leads = true;
        }
    }
}

// All that tells one frame: the address must be its port's and its MAC address's.
static void put_known(const struct sandbox_guard *row, const struct ipnet *ip, const char *before,
                      struct buf *out)
{
    char mac[MAC_TEXT_BYTES], text[IPNET_TEXT_BYTES];
    buf_printf(out, "%s \"%s\" . %s . %s", before, row->port, mac_format(row->mac, mac),
               ipnet_format_ip(ip, text));
}

void sandbox_guard_rules(const struct sandbox_guard *rows, size_t count, const char *const *free,
                         size_t free_count, bool others, struct buf *out)
{
    char mac[MAC_TEXT_BYTES], ip[IPNET_TEXT_BYTES];
    buf_put_str(out, "add table bridge skep_guard\n"
                     "delete table bridge skep_guard\n"
                     "table bridge skep_guard {\n"
                     "  set macs {\n"
                     "    type ifname . ether_addr\n");
    if (count)
        buf_put_str(out, "    elements = {");
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%s \"%s\" . %s", i ? "," : "", rows[i].port, mac_format(rows[i].mac, mac));
    buf_put_str(out, count ? " }\n  }\n" : "  }\n");
    buf_put_str(out, "  set addresses {\n"
                     "    type ifname . ipv4_addr\n");
    if (count)
        buf_put_str(out, "    elements = {");
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, "%s \"%s\" . %s", i ? "," : "", rows[i].port,
                   ipnet_format_ip(&rows[i].ip, ip));
        if (ipnet_is_set(&rows[i].vip))
            buf_printf(out, ", \"%s\" . %s", rows[i].port, ipnet_format_ip(&rows[i].vip, ip));
    }
    buf_put_str(out, count ? " }\n  }\n" : "  }\n");
    buf_put_str(out, "  set known {\n"
                     "    type ifname . ether_addr . ipv4_addr\n");
    if (count)
        buf_put_str(out, "    elements = {");
    for (size_t i = 0; i < count; i++) {
        put_known(&rows[i], &rows[i].ip, i ? "," : "", out);
        if (ipnet_is_set(&rows[i].vip))
            put_known(&rows[i], &rows[i].vip, ",", out);
    }
    buf_put_str(out, count ? " }\n  }\n" : "  }\n");
    // Every frame pays for these: what is right is seen by one look-up.
    buf_put_str(out, "  chain pre {\n"
                     "    type filter hook prerouting priority -300; policy accept;\n"
                     "    iifname \"vxlan*\" accept\n"
                     "    ether type ip iifname . ether saddr . ip saddr @known accept\n"
                     "    iifname != \"v*\" accept\n");
    if (others && count) {
        buf_put_str(out, "    iifname != {");
        for (size_t i = 0; i < count; i++)
            buf_printf(out, "%s \"%s\"", i ? "," : "", rows[i].port);
        buf_put_str(out, " } accept\n");
    } else if (others) {
        buf_put_str(out, "    accept\n");
    }
    buf_put_str(out, "    iifname . ether saddr != @macs counter drop\n");
    for (size_t i = 0; i < free_count; i++)
        buf_printf(out, "    iifname \"%s\" accept\n", free[i]);
    buf_put_str(out, "    ether type arp iifname . arp saddr ip != @addresses counter drop\n"
                     "    ether type ip iifname . ip saddr != @addresses counter drop\n"
                     "  }\n"
                     "}\n");
}
