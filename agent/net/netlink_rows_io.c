// Rows of a namespace's tables: addresses, routes, neighbours and where a bridge or a tunnel sends
// frames.
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "agent/net/netlink_priv_io.h"

static int index_of(struct netlink *netlink, const char *name, uint32_t *index, struct err *err)
{
    *index = netlink_link_index(netlink, name);
    return *index ? 0 : err_set(err, ERR_NOT_FOUND, "no interface %s", name);
}

static int on_type(struct nl_msg *part, void *ctx)
{
    struct nlmsghdr *head = nlmsg_hdr(part);
    if (head->nlmsg_type == RTM_NEWROUTE)
        *(unsigned char *)ctx = ((const struct rtmsg *)nlmsg_data(head))->rtm_type;
    return NL_OK;
}

// By where packets to it go, as the kernel itself decides which source it allows.
bool netlink_is_own(struct netlink *netlink, const struct ipnet *ip)
{
    unsigned char type = RTN_UNSPEC;
    struct rtmsg route = {.rtm_family = AF_INET, .rtm_dst_len = 32};
    if (ip->size != 4)
        return false;
    struct nl_msg *message = netlink_message(RTM_GETROUTE, 0, &route, sizeof route);
    netlink_put_ip(message, RTA_DST, ip);
    nl_socket_modify_cb(netlink->route, NL_CB_VALID, NL_CB_CUSTOM, on_type, &type);
    int rc = netlink_request(netlink, netlink->route, message);
    nl_socket_modify_cb(netlink->route, NL_CB_VALID, NL_CB_DEFAULT, NULL, NULL);
    return rc == 0 && type == RTN_LOCAL;
}

static int addr_change(struct netlink *netlink, int type, int flags, const struct layout_addr *addr,
                       struct err *err)
{
    uint32_t index;
    int rc = index_of(netlink, addr->link, &index, err);
    if (rc)
        return rc;
    struct ifaddrmsg info = {
        .ifa_family = (unsigned char)netlink_family(&addr->ip),
        .ifa_prefixlen = addr->ip.prefix,
        .ifa_index = index,
        // Nobody else has the address: looking for it would only delay its use.
        .ifa_flags = addr->ip.size == 16 ? IFA_F_NODAD : 0,
    };
    struct nl_msg *message = netlink_message(type, flags, &info, sizeof info);
    netlink_put_ip(message, IFA_LOCAL, &addr->ip);
    netlink_put_ip(message, IFA_ADDRESS, &addr->ip);
    if (addr->ip.size == 4 && addr->ip.prefix < 31) {
        struct ipnet last = ipnet_base(&addr->ip);
        uint32_t all = ipnet_u32(&last) | (UINT32_MAX >> addr->ip.prefix);
        last = ipnet_of_u32(all, addr->ip.prefix);
        netlink_put_ip(message, IFA_BROADCAST, &last);
    }
    char text[IPNET_TEXT_BYTES];
    return netlink_fail(netlink, netlink_request(netlink, netlink->route, message), err,
                        "%s address %s of %s", type == RTM_NEWADDR ? "add" : "remove",
                        ipnet_format(&addr->ip, text), addr->link);
}

int netlink_addr_add(struct netlink *netlink, const struct layout_addr *addr, struct err *err)
{
    return addr_change(netlink, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, addr, err);
}

int netlink_addr_del(struct netlink *netlink, const struct layout_addr *addr, struct err *err)
{
    return addr_change(netlink, RTM_DELADDR, 0, addr, err);
}

static int route_change(struct netlink *netlink, int type, int flags,
                        const struct layout_route *route, struct err *err)
{
    uint32_t index;
    int rc = index_of(netlink, route->link, &index, err);
    if (rc)
        return rc;
    struct rtmsg info = {
        .rtm_family = (unsigned char)netlink_family(&route->to),
        .rtm_dst_len = route->to.prefix,
        .rtm_table = RT_TABLE_MAIN,
        .rtm_protocol = RTPROT_STATIC,
        .rtm_scope = route->gateway.size ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
        .rtm_type = RTN_UNICAST,
    };
    if (type == RTM_DELROUTE) {
        info.rtm_protocol = RTPROT_UNSPEC;
        info.rtm_scope = RT_SCOPE_NOWHERE;
    }
    struct nl_msg *message = netlink_message(type, flags, &info, sizeof info);
    if (route->to.prefix)
        netlink_put_ip(message, RTA_DST, &route->to);
    if (route->gateway.size)
        netlink_put_ip(message, RTA_GATEWAY, &route->gateway);
    netlink_put_u32(message, RTA_OIF, index);
    char text[IPNET_TEXT_BYTES];
    return netlink_fail(netlink, netlink_request(netlink, netlink->route, message), err,
                        "%s route to %s by %s", type == RTM_NEWROUTE ? "add" : "remove",
                        ipnet_format(&route->to, text), route->link);
}

int netlink_route_put(struct netlink *netlink, const struct layout_route *route, struct err *err)
{
    return route_change(netlink, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route, err);
}

int netlink_route_del(struct netlink *netlink, const struct layout_route *route, struct err *err)
{
    return route_change(netlink, RTM_DELROUTE, 0, route, err);
}

static int neigh_change(struct netlink *netlink, int type, int flags,
                        const struct layout_neigh *neigh, struct err *err)
{
    uint32_t index;
    int rc = index_of(netlink, neigh->link, &index, err);
    if (rc)
        return rc;
    struct ndmsg info = {
        .ndm_family = (unsigned char)netlink_family(&neigh->ip),
        .ndm_ifindex = (int)index,
        .ndm_state = NUD_PERMANENT,
    };
    struct nl_msg *message = netlink_message(type, flags, &info, sizeof info);
    netlink_put_ip(message, NDA_DST, &neigh->ip);
    if (type == RTM_NEWNEIGH)
        netlink_put(message, NDA_LLADDR, neigh->mac, MAC_BYTES);
    char text[IPNET_TEXT_BYTES];
    return netlink_fail(netlink, netlink_request(netlink, netlink->route, message), err,
                        "%s neighbour %s of %s", type == RTM_NEWNEIGH ? "add" : "remove",
                        ipnet_format_ip(&neigh->ip, text), neigh->link);
}

int netlink_neigh_put(struct netlink *netlink, const struct layout_neigh *neigh, struct err *err)
{
    return neigh_change(netlink, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, neigh, err);
}

int netlink_neigh_del(struct netlink *netlink, const struct layout_neigh *neigh, struct err *err)
{
    return neigh_change(netlink, RTM_DELNEIGH, 0, neigh, err);
}

static int fdb_change(struct netlink *netlink, int type, int flags, const struct layout_fdb *fdb,
                      struct err *err)
{
    uint32_t index;
    int rc = index_of(netlink, fdb->link, &index, err);
    if (rc)
        return rc;
    struct ndmsg info = {
        .ndm_family = AF_BRIDGE,
        .ndm_ifindex = (int)index,
        .ndm_state = NUD_PERMANENT,
        // With a tunnel address it is the VXLAN link's own row, without one the bridge's.
        .ndm_flags = fdb->dst.size ? NTF_SELF : NTF_MASTER,
    };
    struct nl_msg *message = netlink_message(type, flags, &info, sizeof info);
    netlink_put(message, NDA_LLADDR, fdb->mac, MAC_BYTES);
    if (fdb->dst.size)
        netlink_put_ip(message, NDA_DST, &fdb->dst);
    char text[MAC_TEXT_BYTES];
    return netlink_fail(netlink, netlink_request(netlink, netlink->route, message), err,
                        "%s forwarding of %s on %s", type == RTM_NEWNEIGH ? "add" : "remove",
                        mac_format(fdb->mac, text), fdb->link);
}

int netlink_fdb_put(struct netlink *netlink, const struct layout_fdb *fdb, struct err *err)
{
    return fdb_change(netlink, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, fdb, err);
}

int netlink_fdb_del(struct netlink *netlink, const struct layout_fdb *fdb, struct err *err)
{
    return fdb_change(netlink, RTM_DELNEIGH, 0, fdb, err);
}
