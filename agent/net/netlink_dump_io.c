// Reading all that a namespace holds. A dump that the kernel says was disturbed is taken again.
#include <errno.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/net/netlink_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define DUMP_TRIES 8

struct dump {
    struct layout *out;
    uint32_t *masters; // per link
    size_t masters_count;
};

static bool ip_of(int family, const struct nlattr *attr, unsigned prefix, struct ipnet *out)
{
    size_t size = family == AF_INET6 ? 16 : 4;
    memset(out, 0, sizeof *out);
    if ((family != AF_INET && family != AF_INET6) || !attr || (size_t)nla_len(attr) < size ||
        prefix > size * 8)
        return false;
    out->size = (uint8_t)size;
    out->prefix = (uint8_t)prefix;
    memcpy(out->bytes, nla_data(attr), size);
    return true;
}

// A tunnel's address says its family by its size alone.
static bool tunnel_of(const struct nlattr *attr, struct ipnet *out)
{
    int family = attr && nla_len(attr) == 16 ? AF_INET6 : AF_INET;
    return ip_of(family, attr, family == AF_INET6 ? 128 : 32, out);
}

// ---- links -------------------------------------------------------------------------------------

static enum layout_kind kind_of(const char *name)
{
    static const struct {
        const char *name;
        enum layout_kind kind;
    } kinds[] = {
        {"bridge", LAYOUT_BRIDGE},   {"vxlan", LAYOUT_VXLAN},   {"veth", LAYOUT_VETH},
        {"macvlan", LAYOUT_MACVLAN}, {"ipvlan", LAYOUT_IPVLAN}, {"dummy", LAYOUT_DUMMY},
        {"vlan", LAYOUT_VLAN},
    };
    for (size_t i = 0; i < COUNT_OF(kinds); i++)
        if (str_equal(name, kinds[i].name))
            return kinds[i].kind;
    return LAYOUT_OTHER;
}

static void link_info(struct nlattr *info, struct layout_link *link)
{
    struct nlattr *attrs[IFLA_INFO_MAX + 1];
    struct nlattr *data[IFLA_VXLAN_MAX + 1];
    if (nla_parse_nested(attrs, IFLA_INFO_MAX, info, NULL) < 0 || !attrs[IFLA_INFO_KIND])
        return;
    link->kind = kind_of(nla_get_string(attrs[IFLA_INFO_KIND]));
    if (link->kind != LAYOUT_VXLAN || !attrs[IFLA_INFO_DATA] ||
        nla_parse_nested(data, IFLA_VXLAN_MAX, attrs[IFLA_INFO_DATA], NULL) < 0)
        return;
    if (data[IFLA_VXLAN_ID])
        link->vni = nla_get_u32(data[IFLA_VXLAN_ID]);
    if (data[IFLA_VXLAN_PORT])
        link->port = ntohs(nla_get_u16(data[IFLA_VXLAN_PORT]));
    link->local_set = true;
    if (!tunnel_of(data[IFLA_VXLAN_LOCAL], &link->local))
        (void)ip_of(AF_INET6, data[IFLA_VXLAN_LOCAL6], 128, &link->local);
}

static int on_link(struct nl_msg *part, void *ctx)
{
    struct dump *dump = ctx;
    struct nlattr *attrs[IFLA_MAX + 1];
    struct nlmsghdr *head = nlmsg_hdr(part);
    if (head->nlmsg_type != RTM_NEWLINK ||
        nlmsg_parse(head, sizeof(struct ifinfomsg), attrs, IFLA_MAX, NULL) < 0 ||
        !attrs[IFLA_IFNAME] || dump->out->links_count == LAYOUT_ROWS_MAX)
        return NL_OK;
    const struct ifinfomsg *info = nlmsg_data(head);
    struct layout_link *link =
        layout_add_link(dump->out, nla_get_string(attrs[IFLA_IFNAME]), LAYOUT_OTHER);
    link->index = (uint32_t)info->ifi_index;
    link->up = (info->ifi_flags & IFF_UP) != 0;
    if (info->ifi_flags & IFF_LOOPBACK)
        link->kind = LAYOUT_LOOPBACK;
    if (attrs[IFLA_MTU])
        link->mtu = nla_get_u32(attrs[IFLA_MTU]);
    if (attrs[IFLA_ADDRESS] && nla_len(attrs[IFLA_ADDRESS]) == MAC_BYTES) {
        link->mac_set = true;
        memcpy(link->mac, nla_data(attrs[IFLA_ADDRESS]), MAC_BYTES);
    }
    if (attrs[IFLA_LINKINFO])
        link_info(attrs[IFLA_LINKINFO], link);
    // The master's name is known once all are read; until then its index waits in peer_master.
    uint32_t master = attrs[IFLA_MASTER] ? nla_get_u32(attrs[IFLA_MASTER]) : 0;
    memcpy(link->peer_master, &master, sizeof master);
    return NL_OK;
}

static void masters_name(struct layout *layout)
{
    for (size_t i = 0; i < layout->links_count; i++) {
        struct layout_link *link = &layout->links[i];
        uint32_t index;
        memcpy(&index, link->peer_master, sizeof index);
        memset(link->peer_master, 0, sizeof link->peer_master);
        const struct layout_link *master = index ? layout_link_at(layout, index) : NULL;
        if (master)
            str_copy(link->master, sizeof link->master, master->name);
    }
}

static int dump_with(struct netlink *netlink, struct dump *dump, int type, const void *head,
                     size_t head_size, int (*visit)(struct nl_msg *part, void *ctx))
{
    struct nl_msg *message = netlink_message(type, NLM_F_DUMP, head, head_size);
    return netlink_request_dump(netlink, netlink->route, message, visit, dump);
}

static int links_once(struct netlink *netlink, struct layout *out)
{
    struct dump dump = {.out = out};
    struct ifinfomsg info = {.ifi_family = AF_UNSPEC};
    int rc = dump_with(netlink, &dump, RTM_GETLINK, &info, sizeof info, on_link);
    masters_name(out);
    return rc;
}

int netlink_dump_links(struct netlink *netlink, struct layout *out, struct err *err)
{
    int rc = -EAGAIN;
    for (int i = 0; i < DUMP_TRIES && rc == -EAGAIN; i++) {
        layout_clear(out);
        rc = links_once(netlink, out);
    }
    return netlink_fail(netlink, rc, err, "list interfaces");
}

// ---- rows --------------------------------------------------------------------------------------

static const char *name_at(const struct dump *dump, uint32_t index)
{
    const struct layout_link *link = layout_link_at(dump->out, index);
    return link ? link->name : NULL;
}

static int on_addr(struct nl_msg *part, void *ctx)
{
    struct dump *dump = ctx;
    struct nlattr *attrs[IFA_MAX + 1];
    struct nlmsghdr *head = nlmsg_hdr(part);
    struct ipnet ip;
    if (head->nlmsg_type != RTM_NEWADDR ||
        nlmsg_parse(head, sizeof(struct ifaddrmsg), attrs, IFA_MAX, NULL) < 0 ||
        dump->out->addrs_count == LAYOUT_ROWS_MAX)
        return NL_OK;
    const struct ifaddrmsg *info = nlmsg_data(head);
    const char *name = name_at(dump, info->ifa_index);
    const struct nlattr *attr = attrs[IFA_LOCAL] ? attrs[IFA_LOCAL] : attrs[IFA_ADDRESS];
    bool local = info->ifa_family == AF_INET6 && info->ifa_scope == RT_SCOPE_LINK;
    if (name && !local && ip_of(info->ifa_family, attr, info->ifa_prefixlen, &ip))
        layout_add_addr(dump->out, name, &ip);
    return NL_OK;
}

static int on_route(struct nl_msg *part, void *ctx)
{
    struct dump *dump = ctx;
    struct nlattr *attrs[RTA_MAX + 1];
    struct nlmsghdr *head = nlmsg_hdr(part);
    if (head->nlmsg_type != RTM_NEWROUTE ||
        nlmsg_parse(head, sizeof(struct rtmsg), attrs, RTA_MAX, NULL) < 0 ||
        dump->out->routes_count == LAYOUT_ROWS_MAX)
        return NL_OK;
    const struct rtmsg *info = nlmsg_data(head);
    uint32_t table = attrs[RTA_TABLE] ? nla_get_u32(attrs[RTA_TABLE]) : info->rtm_table;
    if (table != RT_TABLE_MAIN || info->rtm_protocol == RTPROT_KERNEL ||
        info->rtm_type != RTN_UNICAST || !attrs[RTA_OIF])
        return NL_OK;
    struct ipnet to = {.size = info->rtm_family == AF_INET6 ? 16 : 4}, gateway = {0};
    const char *name = name_at(dump, nla_get_u32(attrs[RTA_OIF]));
    if (attrs[RTA_DST] && !ip_of(info->rtm_family, attrs[RTA_DST], info->rtm_dst_len, &to))
        return NL_OK;
    if (attrs[RTA_GATEWAY])
        ip_of(info->rtm_family, attrs[RTA_GATEWAY], to.size * 8u, &gateway);
    if (name)
        layout_add_route(dump->out, &to, name, &gateway);
    return NL_OK;
}

static int on_neigh(struct nl_msg *part, void *ctx)
{
    struct dump *dump = ctx;
    struct nlattr *attrs[NDA_MAX + 1];
    struct nlmsghdr *head = nlmsg_hdr(part);
    if (head->nlmsg_type != RTM_NEWNEIGH ||
        nlmsg_parse(head, sizeof(struct ndmsg), attrs, NDA_MAX, NULL) < 0)
        return NL_OK;
    const struct ndmsg *info = nlmsg_data(head);
    const char *name = name_at(dump, (uint32_t)info->ndm_ifindex);
    const struct nlattr *mac = attrs[NDA_LLADDR];
    struct ipnet ip;
    if (!name || !mac || nla_len(mac) != MAC_BYTES)
        return NL_OK;
    if (info->ndm_family == AF_BRIDGE) {
        if (dump->out->fdbs_count == LAYOUT_ROWS_MAX)
            return NL_OK;
        tunnel_of(attrs[NDA_DST], &ip);
        struct layout_fdb *fdb = layout_add_fdb(dump->out, name, nla_data(mac), &ip);
        fdb->permanent = (info->ndm_state & NUD_PERMANENT) != 0;
    } else if ((info->ndm_state & NUD_PERMANENT) && dump->out->neighs_count < LAYOUT_ROWS_MAX &&
               ip_of(info->ndm_family, attrs[NDA_DST], info->ndm_family == AF_INET6 ? 128 : 32,
                     &ip)) {
        layout_add_neigh(dump->out, name, &ip, nla_data(mac));
    }
    return NL_OK;
}

static int rows_once(struct netlink *netlink, struct layout *out)
{
    static const int families[] = {AF_INET, AF_INET6};
    struct dump dump = {.out = out};
    layout_clear(out);
    int rc = links_once(netlink, out);
    for (size_t i = 0; i < COUNT_OF(families) && !rc; i++) {
        struct ifaddrmsg addr = {.ifa_family = (unsigned char)families[i]};
        struct rtmsg route = {.rtm_family = (unsigned char)families[i]};
        struct ndmsg neigh = {.ndm_family = (unsigned char)families[i]};
        rc = dump_with(netlink, &dump, RTM_GETADDR, &addr, sizeof addr, on_addr);
        if (!rc)
            rc = dump_with(netlink, &dump, RTM_GETROUTE, &route, sizeof route, on_route);
        if (!rc)
            rc = dump_with(netlink, &dump, RTM_GETNEIGH, &neigh, sizeof neigh, on_neigh);
    }
    struct ndmsg fdb = {.ndm_family = AF_BRIDGE};
    if (!rc)
        rc = dump_with(netlink, &dump, RTM_GETNEIGH, &fdb, sizeof fdb, on_neigh);
    return rc;
}

int netlink_dump(struct netlink *netlink, struct layout *out, struct err *err)
{
    int rc = -EAGAIN;
    for (int i = 0; i < DUMP_TRIES && rc == -EAGAIN; i++)
        rc = rows_once(netlink, out);
    if (rc)
        return netlink_fail(netlink, rc, err, "read the network namespace");
    layout_sort(out);
    return 0;
}
