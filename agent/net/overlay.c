#include "agent/net/overlay.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/names.h"

#define VXLAN_BYTES 50 // outer Ethernet, IPv4, UDP and VXLAN headers
// SPI, sequence, IV, pad length, next header, ICV; and ESP pads to words.
#define ESP_BYTES   26
#define ESP_WORD    4u
#define VNI_MAX     ((1u << 24) - 1)
#define PREFIX_MAX  30 // a gateway and at least one endpoint
#define OPTION_DSR  "dsr"
#define PLACE_CHARS 12
#define PORT_CHARS  13
#define DRIVER      "overlay"

static const char *option_of(const Swarm__Network *network, const char *key)
{
    const Swarm__Driver *drivers[] = {network->driver_state,
                                      network->spec ? network->spec->driver_config : NULL};
    for (size_t d = 0; d < COUNT_OF(drivers); d++)
        for (size_t i = 0; drivers[d] && i < drivers[d]->n_options; i++)
            if (str_equal(drivers[d]->options[i]->key, key))
                return str_or(drivers[d]->options[i]->value, "");
    return NULL;
}

bool overlay_is(const Swarm__Network *network)
{
    const char *driver = NULL;
    if (network->driver_state && !str_empty(network->driver_state->name))
        driver = network->driver_state->name;
    else if (network->spec && network->spec->driver_config)
        driver = network->spec->driver_config->name;
    return str_equal(str_or(driver, DRIVER), DRIVER);
}

static int refuse(const struct overlay *overlay, struct err *err, const char *what)
{
    return err_set(err, ERR_INVALID_ARGUMENT, "network %s: %s", overlay->name, what);
}

static int parse_mtu(const Swarm__Network *network, struct overlay *out, struct err *err)
{
    const char *text = option_of(network, NAME_OPTION_MTU);
    uint64_t mtu = 0;
    if (text && !str_to_u64(text, UINT16_MAX, &mtu))
        return refuse(out, err, "the option " NAME_OPTION_MTU " is no number that fits");
    if (!mtu)
        mtu = OVERLAY_MTU;
    uint64_t over = VXLAN_BYTES + (out->encrypted ? ESP_BYTES : 0);
    if (mtu < over + OVERLAY_MTU_MIN)
        return refuse(out, err, "the option " NAME_OPTION_MTU " leaves no room for packets");
    out->mtu = (uint32_t)(mtu - over);
    if (out->encrypted)
        out->mtu -= out->mtu % ESP_WORD;
    return 0;
}

static int parse_subnet(const Swarm__IPAMConfig *config, struct overlay *out, struct err *err)
{
    struct overlay_subnet *subnet = &out->subnets[out->subnets_count];
    struct ipnet gateway;
    if (!ipnet_parse(config->subnet, &subnet->subnet))
        return refuse(out, err, "its subnet is none");
    if (subnet->subnet.size != 4)
        return 0; // overlays carry no IPv6
    subnet->subnet = ipnet_base(&subnet->subnet);
    if (subnet->subnet.prefix == 0 || subnet->subnet.prefix > PREFIX_MAX)
        return refuse(out, err, "its subnet is too small or too large");
    if (!ipnet_parse(config->gateway, &gateway) || !ipnet_contains(&subnet->subnet, &gateway))
        return refuse(out, err, "its gateway is not in its subnet");
    for (size_t i = 0; i < out->subnets_count; i++)
        if (ipnet_overlaps(&out->subnets[i].subnet, &subnet->subnet))
            return refuse(out, err, "its subnets overlap");
    subnet->gateway = gateway;
    subnet->gateway.prefix = subnet->subnet.prefix;
    out->subnets_count++;
    return 0;
}

static int parse_vnis(const Swarm__Network *network, struct overlay *out, struct err *err)
{
    const char *rest = option_of(network, NAME_OPTION_VNI_LIST);
    struct str_part part;
    if (str_empty(rest))
        return refuse(out, err, "it has no VXLAN numbers yet");
    for (size_t i = 0; i < out->subnets_count; i++) {
        char number[16];
        uint64_t vni;
        if (!str_split(&rest, ',', &part))
            return refuse(out, err, "it has fewer VXLAN numbers than subnets");
        part = str_trim(part);
        str_format(number, sizeof number, "%.*s", (int)part.len, part.at);
        if (!str_to_u64(number, VNI_MAX, &vni))
            return refuse(out, err, "its VXLAN numbers are none");
        out->subnets[i].vni = (uint32_t)vni;
    }
    return 0;
}

int overlay_parse(const Swarm__Network *network, struct overlay *out, struct err *err)
{
    const Swarm__NetworkSpec *spec = network->spec;
    memset(out, 0, sizeof *out);
    str_copy(out->name, sizeof out->name,
             str_or(spec && spec->annotations ? spec->annotations->name : NULL, network->id));
    if (str_empty(network->id) || !str_copy(out->id, sizeof out->id, network->id) ||
        strchr(network->id, '/'))
        return refuse(out, err, "its id is none");
    if (!network->ipam || !network->ipam->n_configs)
        return refuse(out, err, "it has no addresses yet");
    out->internal = spec && spec->internal;
    out->ingress = spec && spec->ingress;
    // Its presence alone is what stock nodes go by.
    out->encrypted = option_of(network, NAME_OPTION_ENCRYPTED) != NULL;
    out->dsr = option_of(network, OPTION_DSR) != NULL;
    int rc = parse_mtu(network, out, err);
    for (size_t i = 0; i < network->ipam->n_configs && !rc; i++) {
        if (out->subnets_count == OVERLAY_SUBNETS_MAX)
            return refuse(out, err, "it has too many subnets");
        rc = parse_subnet(network->ipam->configs[i], out, err);
    }
    if (!rc && !out->subnets_count)
        rc = refuse(out, err, "it has no IPv4 subnet");
    return rc ? rc : parse_vnis(network, out, err);
}

const struct overlay_subnet *overlay_subnet_of(const struct overlay *overlay,
                                               const struct ipnet *ip)
{
    for (size_t i = 0; i < overlay->subnets_count; i++)
        if (ipnet_contains(&overlay->subnets[i].subnet, ip))
            return &overlay->subnets[i];
    return NULL;
}

static void numbered(char out[OVERLAY_TEXT_BYTES], const char *name, const struct overlay *overlay,
                     const struct overlay_subnet *subnet)
{
    str_format(out, OVERLAY_TEXT_BYTES, "%s%u", name, (unsigned)(subnet - overlay->subnets));
}

void overlay_bridge(const struct overlay *overlay, const struct overlay_subnet *subnet,
                    char out[OVERLAY_TEXT_BYTES])
{
    numbered(out, OVERLAY_BRIDGE, overlay, subnet);
}

void overlay_place(const char *network_id, char out[OVERLAY_TEXT_BYTES])
{
    str_format(out, PLACE_CHARS + 1, "1-%s", network_id);
}

void overlay_port(const char *endpoint_id, char out[OVERLAY_TEXT_BYTES])
{
    str_format(out, PORT_CHARS + 1, "v%s", endpoint_id);
}

void overlay_layout(const struct overlay *overlay, uint16_t port, const struct ipnet *tunnel,
                    const struct overlay_local *locals, size_t locals_count,
                    const struct overlay_peer *peers, size_t peers_count, struct layout *out)
{
    char bridge[OVERLAY_TEXT_BYTES], name[OVERLAY_TEXT_BYTES];
    for (size_t i = 0; i < overlay->subnets_count; i++) {
        const struct overlay_subnet *subnet = &overlay->subnets[i];
        numbered(bridge, OVERLAY_BRIDGE, overlay, subnet);
        layout_add_link(out, bridge, LAYOUT_BRIDGE)->up = true;
        layout_add_addr(out, bridge, &subnet->gateway);
        numbered(name, OVERLAY_VXLAN, overlay, subnet);
        struct layout_link *vxlan = layout_add_link(out, name, LAYOUT_VXLAN);
        vxlan->up = true;
        vxlan->mtu = overlay->mtu;
        vxlan->vni = subnet->vni;
        vxlan->port = port;
        vxlan->local_set = tunnel->size == 4;
        if (vxlan->local_set)
            vxlan->local = *tunnel;
        str_copy(vxlan->master, sizeof vxlan->master, bridge);
    }
    for (size_t i = 0; i < locals_count; i++) {
        const struct overlay_subnet *subnet = overlay_subnet_of(overlay, &locals[i].ip);
        if (!subnet)
            continue;
        overlay_port(locals[i].endpoint_id, name);
        struct layout_link *end = layout_add_link(out, name, LAYOUT_VETH);
        end->up = true;
        end->mtu = overlay->mtu;
        overlay_bridge(overlay, subnet, end->master);
    }
    for (size_t i = 0; i < peers_count; i++) {
        const struct overlay_subnet *subnet = overlay_subnet_of(overlay, &peers[i].ip);
        if (!subnet)
            continue;
        numbered(name, OVERLAY_VXLAN, overlay, subnet);
        layout_add_neigh(out, name, &peers[i].ip, peers[i].mac);
        layout_add_fdb(out, name, peers[i].mac, &peers[i].tunnel);
    }
}
