// The kernel's links, addresses, routes, neighbours and forwarding rows of one network namespace:
// change one thing, or read them all. A thin hand: what to do is decided by plan.h and others.
//
// All calls block (some microseconds each; a dump as long as it is): use them in worker jobs, one
// struct netlink one at a time. Errors carry the kernel's own words where it has some. Links are
// named; NOT_FOUND for one that is not there, ALREADY_EXISTS for what is. Needs CAP_NET_ADMIN.
#ifndef AGENT_NET_NETLINK_IO_H
#define AGENT_NET_NETLINK_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/net/ipnet.h"
#include "agent/net/layout.h"
#include "proto/base/err.h"

// As `netns_fd`: the namespace the thread is in.
#define NETLINK_NETNS_OWN (-1)

// A socket in one namespace; it keeps the namespace alive until it is closed.
struct netlink;

// `netns_fd` stays the caller's and may be closed.
int netlink_open(int netns_fd, struct netlink **out, struct err *err);
void netlink_close(struct netlink *netlink); // NULL is allowed

// ---- links --------------------------------------------------------------------------------------

enum netlink_vxlan_flags {
    NETLINK_VXLAN_LEARNING = 1 << 0,
    NETLINK_VXLAN_PROXY = 1 << 1, // answers ARP from the neighbour table
    NETLINK_VXLAN_L2MISS = 1 << 2,
    NETLINK_VXLAN_L3MISS = 1 << 3,
};

// Modes, with the kernel's numbers.
enum netlink_macvlan_mode {
    NETLINK_MACVLAN_PRIVATE = 1,
    NETLINK_MACVLAN_VEPA = 2,
    NETLINK_MACVLAN_BRIDGE = 4,
    NETLINK_MACVLAN_PASSTHRU = 8,
};
enum netlink_ipvlan_mode { NETLINK_IPVLAN_L2 = 0, NETLINK_IPVLAN_L3 = 1, NETLINK_IPVLAN_L3S = 2 };
enum netlink_ipvlan_flags { NETLINK_IPVLAN_PRIVATE = 1, NETLINK_IPVLAN_VEPA = 2 };

struct netlink_end {
    const char *name;
    int netns_fd;          // where it comes to life; NETLINK_NETNS_OWN: in the socket's namespace
    uint32_t mtu;          // 0: the kernel's choice
    const uint8_t *mac;    // NULL: the kernel's choice
    uint32_t master_index; // in that namespace; 0: none
    bool up;
};

// A new link. What it stands on (a tunnel's socket, the parent of a macvlan) belongs to the
// socket's namespace, wherever `end` comes to life. Made whole or not at all.
struct netlink_link {
    struct netlink_end end;
    enum layout_kind kind; // not OTHER, LOOPBACK
    // VXLAN
    uint32_t vni;
    uint16_t port;
    unsigned vxlan_flags;
    struct ipnet local; // the tunnels' own address; none: the kernel's choice
    // VETH: the other end. It cannot come up while the pair is being made: `up` is false
    struct netlink_end peer;
    // MACVLAN, IPVLAN, VLAN: the link they stand on, and how
    const char *parent;
    uint32_t mode;
    uint32_t mode_flags; // IPVLAN
    uint16_t vlan_id;
};

int netlink_link_add(struct netlink *netlink, const struct netlink_link *link, struct err *err);
int netlink_link_del(struct netlink *netlink, const char *name, struct err *err);

int netlink_link_up(struct netlink *netlink, const char *name, bool up, struct err *err);
int netlink_link_mtu(struct netlink *netlink, const char *name, uint32_t mtu, struct err *err);
int netlink_link_mac(struct netlink *netlink, const char *name, const uint8_t mac[MAC_BYTES],
                     struct err *err);
// The address that packets of a VXLAN link leave with; none: the kernel's choice. IPv4. Tunnels in
// use go on with the one they had until the host's routes are forgotten (netns_routes_forget).
int netlink_link_local(struct netlink *netlink, const char *name, const struct ipnet *local,
                       struct err *err);
// `master` "" or NULL: none.
int netlink_link_master(struct netlink *netlink, const char *name, const char *master,
                        struct err *err);
int netlink_link_rename(struct netlink *netlink, const char *name, const char *to, struct err *err);
// A port of a bridge: whether frames may leave it where they came in, and whether it talks only
// with ports that are not isolated.
int netlink_port_set(struct netlink *netlink, const char *name, bool hairpin, bool isolated,
                     struct err *err);
// The link's index, 0 for none.
uint32_t netlink_link_index(struct netlink *netlink, const char *name);

// ---- rows ---------------------------------------------------------------------------------------

// Whether the address (IPv4) is one of the namespace's own, which packets may leave with.
bool netlink_is_own(struct netlink *netlink, const struct ipnet *ip);

int netlink_addr_add(struct netlink *netlink, const struct layout_addr *addr, struct err *err);
int netlink_addr_del(struct netlink *netlink, const struct layout_addr *addr, struct err *err);
// Adds the route, in place of another to the same network.
int netlink_route_put(struct netlink *netlink, const struct layout_route *route, struct err *err);
int netlink_route_del(struct netlink *netlink, const struct layout_route *route, struct err *err);
// Permanent entries, in place of others for the address.
int netlink_neigh_put(struct netlink *netlink, const struct layout_neigh *neigh, struct err *err);
int netlink_neigh_del(struct netlink *netlink, const struct layout_neigh *neigh, struct err *err);
// A permanent row of a VXLAN link; del also takes what a bridge learned there (dst none).
int netlink_fdb_put(struct netlink *netlink, const struct layout_fdb *fdb, struct err *err);
int netlink_fdb_del(struct netlink *netlink, const struct layout_fdb *fdb, struct err *err);

// ---- reading ------------------------------------------------------------------------------------

// Fills `out` (empty) with all of it, sorted: netlink_dump_io.c. IPv6 link-local addresses and the
// kernel's own routes are left out, and so are routes of other tables than the main one.
int netlink_dump(struct netlink *netlink, struct layout *out, struct err *err);

// Ends IPv4 connections that were translated to one of these addresses (host byte order): the next
// packet of such a flow finds no translation. Returns how many in *cut.
int netlink_flows_cut(struct netlink *netlink, const uint32_t *addresses, size_t count, size_t *cut,
                      struct err *err);

#endif
