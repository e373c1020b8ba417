// What one network namespace holds, or should hold: links, addresses, routes, neighbours and
// forwarding rows, as plain values in sorted arrays. Pure: netlink_io fills one with what the
// kernel has, overlay and sandbox make those that are wanted, and plan compares the two.
//
// Links are known by name. An index is valid only in the namespace and at the time it was read.
#ifndef AGENT_NET_LAYOUT_H
#define AGENT_NET_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/net/ipnet.h"

#define LAYOUT_NAME_BYTES  16  // the kernel's IFNAMSIZ
#define LAYOUT_PLACE_BYTES 256 // path of a pinned namespace
#define LAYOUT_ROWS_MAX    (1u << 20)

enum layout_kind {
    LAYOUT_OTHER,
    LAYOUT_LOOPBACK,
    LAYOUT_BRIDGE,
    LAYOUT_VXLAN,
    LAYOUT_VETH,
    LAYOUT_MACVLAN,
    LAYOUT_IPVLAN,
    LAYOUT_DUMMY,
    LAYOUT_VLAN,
};

struct layout_link {
    char name[LAYOUT_NAME_BYTES];
    enum layout_kind kind;
    uint32_t index; // as read; 0 in what is wanted
    bool up;
    uint32_t mtu; // wanted: 0 leaves it as it is
    bool mac_set; // wanted: whether `mac` matters
    uint8_t mac[MAC_BYTES];
    char master[LAYOUT_NAME_BYTES]; // the bridge it is a port of; "" none
    // VXLAN
    uint32_t vni;
    uint16_t port;
    bool local_set;     // wanted: whether `local` matters
    struct ipnet local; // the address its packets leave with; none: the kernel's choice
    // VETH, wanted only: the other end, made together with it. `peer_place` is the path of its
    // namespace, "" the one netlink works from.
    char peer[LAYOUT_NAME_BYTES];
    char peer_place[LAYOUT_PLACE_BYTES];
    char peer_master[LAYOUT_NAME_BYTES];
};

struct layout_addr {
    char link[LAYOUT_NAME_BYTES];
    struct ipnet ip;
};

// Of the main table.
struct layout_route {
    struct ipnet to; // its base; prefix 0 is the default route
    char link[LAYOUT_NAME_BYTES];
    struct ipnet gateway; // none: on the link
};

// Permanent ones.
struct layout_neigh {
    char link[LAYOUT_NAME_BYTES];
    struct ipnet ip; // a host
    uint8_t mac[MAC_BYTES];
};

// A row of a VXLAN link (dst: the tunnel) or, as read, one that a bridge holds for a port (dst
// none).
struct layout_fdb {
    char link[LAYOUT_NAME_BYTES];
    uint8_t mac[MAC_BYTES];
    struct ipnet dst;
    bool permanent;
};

struct layout {
    struct layout_link *links;
    size_t links_count, links_cap;
    struct layout_addr *addrs;
    size_t addrs_count, addrs_cap;
    struct layout_route *routes;
    size_t routes_count, routes_cap;
    struct layout_neigh *neighs;
    size_t neighs_count, neighs_cap;
    struct layout_fdb *fdbs;
    size_t fdbs_count, fdbs_cap;
};

void layout_init(struct layout *layout);
void layout_fini(struct layout *layout);
void layout_clear(struct layout *layout);

// Append a zeroed row and return it for filling in; valid until the next one. CHECKs
// LAYOUT_ROWS_MAX: callers meet their own limits before.
struct layout_link *layout_add_link(struct layout *layout, const char *name, enum layout_kind kind);
struct layout_addr *layout_add_addr(struct layout *layout, const char *link,
                                    const struct ipnet *ip);
struct layout_route *layout_add_route(struct layout *layout, const struct ipnet *to,
                                      const char *link, const struct ipnet *gateway);
struct layout_neigh *layout_add_neigh(struct layout *layout, const char *link,
                                      const struct ipnet *ip, const uint8_t mac[MAC_BYTES]);
struct layout_fdb *layout_add_fdb(struct layout *layout, const char *link,
                                  const uint8_t mac[MAC_BYTES], const struct ipnet *dst);

// Orders all rows, so that two layouts can be walked side by side.
void layout_sort(struct layout *layout);

// The same for a layout that is wanted: rows that say one thing twice are left once, and of two
// forwarding rows for one MAC address of a link the first stays.
void layout_settle(struct layout *layout);

const struct layout_link *layout_link(const struct layout *layout, const char *name);
const struct layout_link *layout_link_at(const struct layout *layout, uint32_t index);

// The order of layout_sort: by what tells rows apart, then the rest.
int layout_compare_addr(const struct layout_addr *a, const struct layout_addr *b);
int layout_compare_route(const struct layout_route *a, const struct layout_route *b);
int layout_compare_neigh(const struct layout_neigh *a, const struct layout_neigh *b);
int layout_compare_fdb(const struct layout_fdb *a, const struct layout_fdb *b);

#endif
