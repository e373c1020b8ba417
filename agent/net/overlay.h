// An overlay network as the manager describes it, and what its namespace on this node should hold:
// a bridge and a VXLAN link per subnet, a port per local endpoint, and a row per remote one. Pure.
#ifndef AGENT_NET_OVERLAY_H
#define AGENT_NET_OVERLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/net/layout.h"
#include "proto/base/err.h"
#include "proto/wire/objects.pb-c.h"

#define OVERLAY_SUBNETS_MAX 16
#define OVERLAY_ID_BYTES    65
#define OVERLAY_NAME_BYTES  128
#define OVERLAY_MTU         1500 // of what carries it, unless told otherwise
#define OVERLAY_MTU_MIN     68   // inner
#define OVERLAY_PORT        4789
#define OVERLAY_BRIDGE      "br"    // and the subnet's number
#define OVERLAY_VXLAN       "vxlan" // the same
#define OVERLAY_TEXT_BYTES  16

struct overlay_subnet {
    struct ipnet subnet;
    struct ipnet gateway; // with the subnet's prefix
    uint32_t vni;
};

struct overlay {
    char id[OVERLAY_ID_BYTES];
    char name[OVERLAY_NAME_BYTES];
    bool internal;
    bool ingress;
    bool encrypted;
    bool dsr;     // tasks hold their virtual addresses themselves
    uint32_t mtu; // inner: of VXLAN links, ports and containers' interfaces
    struct overlay_subnet subnets[OVERLAY_SUBNETS_MAX];
    size_t subnets_count;
};

// True for networks of the overlay driver.
bool overlay_is(const Swarm__Network *network);

// INVALID_ARGUMENT for a network that is not allocated or makes no sense, with a message that names
// it.
int overlay_parse(const Swarm__Network *network, struct overlay *out, struct err *err);

// The subnet that holds the address, or NULL.
const struct overlay_subnet *overlay_subnet_of(const struct overlay *overlay,
                                               const struct ipnet *ip);

// Name of the bridge for that subnet: "br0".
void overlay_bridge(const struct overlay *overlay, const struct overlay_subnet *subnet,
                    char out[OVERLAY_TEXT_BYTES]);

// Name of the file that pins its namespace: "1-" and the id, 12 characters.
void overlay_place(const char *network_id, char out[OVERLAY_TEXT_BYTES]);

// An endpoint's port in the overlay's namespace, made of its id.
void overlay_port(const char *endpoint_id, char out[OVERLAY_TEXT_BYTES]);

// A remote endpoint: frames for `mac` go to `tunnel`.
struct overlay_peer {
    struct ipnet ip; // with its subnet's prefix
    uint8_t mac[MAC_BYTES];
    struct ipnet tunnel;
};

// A local one.
struct overlay_local {
    const char *endpoint_id;
    struct ipnet ip;
};

// Appends what the namespace should hold, unsorted. Addresses outside of the subnets are left out.
// `tunnel` is the address that others send to; IPv4, packets leave with it; none: that is left as
// it is.
void overlay_layout(const struct overlay *overlay, uint16_t port, const struct ipnet *tunnel,
                    const struct overlay_local *locals, size_t locals_count,
                    const struct overlay_peer *peers, size_t peers_count, struct layout *out);

#endif
