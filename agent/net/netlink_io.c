#include "agent/net/netlink_io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/net/netlink_priv_io.h"
#include "agent/net/netns_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define SOCKET_BYTES (1 << 20)

// ---- requests ----------------------------------------------------------------------------------

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *error, void *ctx)
{
    (void)from;
    struct netlink *netlink = ctx;
    const struct nlmsghdr *head = (const struct nlmsghdr *)((const char *)error - NLMSG_HDRLEN);
    netlink->errnum = -error->error;
    netlink->words[0] = '\0';
    // The kernel's words follow the header of the request (or all of it, if not capped).
    size_t offset = sizeof *error;
    if (!(head->nlmsg_flags & NLM_F_CAPPED))
        offset += error->msg.nlmsg_len - NLMSG_HDRLEN;
    size_t size = head->nlmsg_len - NLMSG_HDRLEN;
    if ((head->nlmsg_flags & NLM_F_ACK_TLVS) && NLMSG_ALIGN(offset) < size) {
        struct nlattr *at = (struct nlattr *)((char *)error + NLMSG_ALIGN(offset));
        const struct nlattr *found =
            nla_find(at, (int)(size - NLMSG_ALIGN(offset)), NLMSGERR_ATTR_MSG);
        if (found)
            str_format(netlink->words, sizeof netlink->words, "%.*s", nla_len(found),
                       (const char *)nla_data(found));
    }
    return NL_STOP;
}

static int on_ack(struct nl_msg *answer, void *ctx)
{
    (void)answer;
    struct netlink *netlink = ctx;
    netlink->acked = true;
    return NL_STOP;
}

struct nl_sock *netlink_socket(struct netlink *netlink, int protocol, struct err *err)
{
    int on = 1;
    struct nl_sock *socket = nl_socket_alloc();
    CHECK(socket);
    int rc = nl_connect(socket, protocol);
    if (rc < 0) {
        err_set(err, ERR_UNAVAILABLE, "open netlink: %s", nl_geterror(rc));
        nl_socket_free(socket);
        return NULL;
    }
    nl_socket_set_buffer_size(socket, SOCKET_BYTES, SOCKET_BYTES);
    // Without it errors come as bare numbers; fine on a kernel that old.
    setsockopt(nl_socket_get_fd(socket), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
    nl_socket_modify_cb(socket, NL_CB_ACK, NL_CB_CUSTOM, on_ack, netlink);
    nl_socket_modify_err_cb(socket, NL_CB_CUSTOM, on_error, netlink);
    return socket;
}

static int open_here(void *ctx, struct err *err)
{
    struct netlink *netlink = ctx;
    netlink->route = netlink_socket(netlink, NETLINK_ROUTE, err);
    return netlink->route ? 0 : -ERR_UNAVAILABLE;
}

int netlink_open(int netns_fd, struct netlink **out, struct err *err)
{
    int fd = netns_fd == NETLINK_NETNS_OWN ? open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
                                           : fcntl(netns_fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return err_set_errno(err, errno, "open network namespace");
    struct netlink *netlink = MEM_NEW(struct netlink);
    netlink->netns_fd = fd;
    int rc = netns_in(fd, open_here, netlink, err);
    if (rc) {
        netlink_close(netlink);
        return rc;
    }
    *out = netlink;
    return 0;
}

void netlink_close(struct netlink *netlink)
{
    if (!netlink)
        return;
    nl_socket_free(netlink->route);
    nl_socket_free(netlink->filter);
    close(netlink->netns_fd);
    free(netlink);
}

struct nl_msg *netlink_message(int type, int flags, const void *head, size_t head_size)
{
    struct nl_msg *message = nlmsg_alloc_simple(type, flags);
    CHECK(message);
    int rc = nlmsg_append(message, (void *)(uintptr_t)head, head_size, NLMSG_ALIGNTO);
    CHECK(rc == 0);
    return message;
}

int netlink_request(struct netlink *netlink, struct nl_sock *socket, struct nl_msg *message)
{
    netlink->errnum = 0;
    netlink->words[0] = '\0';
    netlink->acked = false;
    int rc = nl_send_auto(socket, message);
    nlmsg_free(message);
    // A request that asks gets its answer first, in a datagram of its own.
    while (rc >= 0 && !netlink->acked)
        rc = nl_recvmsgs_default(socket);
    if (rc >= 0)
        return 0;
    return netlink->errnum ? -netlink->errnum : -EIO;
}

int netlink_request_dump(struct netlink *netlink, struct nl_sock *socket, struct nl_msg *message,
                         int (*visit)(struct nl_msg *part, void *ctx), void *ctx)
{
    netlink->errnum = 0;
    netlink->words[0] = '\0';
    nl_socket_modify_cb(socket, NL_CB_VALID, NL_CB_CUSTOM, visit, ctx);
    int rc = nl_send_auto(socket, message);
    nlmsg_free(message);
    if (rc >= 0)
        rc = nl_recvmsgs_default(socket);
    nl_socket_modify_cb(socket, NL_CB_VALID, NL_CB_DEFAULT, NULL, NULL);
    if (rc >= 0)
        return 0;
    if (rc == -NLE_DUMP_INTR)
        return -EAGAIN;
    return netlink->errnum ? -netlink->errnum : -EIO;
}

int netlink_fail(const struct netlink *netlink, int rc, struct err *err, const char *format, ...)
{
    if (rc == 0)
        return 0;
    char what[128];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (!netlink->words[0])
        return err_set_errno(err, -rc, "%s", what);
    return err_set(err, err_code_of_errno(-rc), "%s: %s", what, netlink->words);
}

static int request(struct netlink *netlink, struct nl_msg *message)
{
    return netlink_request(netlink, netlink->route, message);
}

// ---- attributes --------------------------------------------------------------------------------

static void put_u8(struct nl_msg *message, int type, uint8_t value)
{
    netlink_put(message, type, &value, sizeof value);
}

static void put_u16(struct nl_msg *message, int type, uint16_t value)
{
    netlink_put(message, type, &value, sizeof value);
}

static void put_text(struct nl_msg *message, int type, const char *text)
{
    netlink_put(message, type, text, strlen(text) + 1);
}

static struct nlattr *nest(struct nl_msg *message, int type)
{
    struct nlattr *start = nla_nest_start(message, type);
    CHECK(start);
    return start;
}

// ---- links -------------------------------------------------------------------------------------

static const char *const kind_names[] = {
    [LAYOUT_BRIDGE] = "bridge",   [LAYOUT_VXLAN] = "vxlan",   [LAYOUT_VETH] = "veth",
    [LAYOUT_MACVLAN] = "macvlan", [LAYOUT_IPVLAN] = "ipvlan", [LAYOUT_DUMMY] = "dummy",
    [LAYOUT_VLAN] = "vlan",
};

static int name_check(const char *name, struct err *err)
{
    size_t size = name ? strlen(name) : 0;
    if (size == 0 || size >= LAYOUT_NAME_BYTES || strchr(name, '/'))
        return err_set(err, ERR_INVALID_ARGUMENT, "bad interface name \"%.64s\"", name ? name : "");
    return 0;
}

static void put_end(struct nl_msg *message, const struct netlink_end *end)
{
    put_text(message, IFLA_IFNAME, end->name);
    if (end->netns_fd != NETLINK_NETNS_OWN)
        netlink_put_u32(message, IFLA_NET_NS_FD, (uint32_t)end->netns_fd);
    if (end->mtu)
        netlink_put_u32(message, IFLA_MTU, end->mtu);
    if (end->mac)
        netlink_put(message, IFLA_ADDRESS, end->mac, MAC_BYTES);
    if (end->master_index)
        netlink_put_u32(message, IFLA_MASTER, end->master_index);
}

static struct ifinfomsg info_of(const struct netlink_end *end)
{
    struct ifinfomsg info = {.ifi_family = AF_UNSPEC};
    if (end->up)
        info.ifi_flags = info.ifi_change = IFF_UP;
    return info;
}

static void put_vxlan(struct nl_msg *message, const struct netlink_link *link)
{
    uint16_t port = htons(link->port);
    netlink_put_u32(message, IFLA_VXLAN_ID, link->vni);
    netlink_put(message, IFLA_VXLAN_PORT, &port, sizeof port);
    put_u8(message, IFLA_VXLAN_LEARNING, (link->vxlan_flags & NETLINK_VXLAN_LEARNING) != 0);
    put_u8(message, IFLA_VXLAN_PROXY, (link->vxlan_flags & NETLINK_VXLAN_PROXY) != 0);
    put_u8(message, IFLA_VXLAN_L2MISS, (link->vxlan_flags & NETLINK_VXLAN_L2MISS) != 0);
    put_u8(message, IFLA_VXLAN_L3MISS, (link->vxlan_flags & NETLINK_VXLAN_L3MISS) != 0);
    put_u8(message, IFLA_VXLAN_UDP_CSUM, 1);
    if (link->local.size == 4)
        netlink_put_ip(message, IFLA_VXLAN_LOCAL, &link->local);
    else if (link->local.size == 16)
        netlink_put_ip(message, IFLA_VXLAN_LOCAL6, &link->local);
}

static void put_veth(struct nl_msg *message, const struct netlink_link *link)
{
    struct nlattr *peer = nest(message, VETH_INFO_PEER);
    struct ifinfomsg info = info_of(&link->peer);
    int rc = nlmsg_append(message, &info, sizeof info, NLMSG_ALIGNTO);
    CHECK(rc == 0);
    put_end(message, &link->peer);
    nla_nest_end(message, peer);
}

static void put_kind(struct nl_msg *message, const struct netlink_link *link)
{
    struct nlattr *outer = nest(message, IFLA_LINKINFO);
    put_text(message, IFLA_INFO_KIND, kind_names[link->kind]);
    struct nlattr *data = nest(message, IFLA_INFO_DATA);
    switch (link->kind) {
    case LAYOUT_VXLAN:
        put_vxlan(message, link);
        break;
    case LAYOUT_VETH:
        put_veth(message, link);
        break;
    case LAYOUT_MACVLAN:
        netlink_put_u32(message, IFLA_MACVLAN_MODE, link->mode);
        break;
    case LAYOUT_IPVLAN:
        put_u16(message, IFLA_IPVLAN_MODE, (uint16_t)link->mode);
        put_u16(message, IFLA_IPVLAN_FLAGS, (uint16_t)link->mode_flags);
        break;
    case LAYOUT_VLAN:
        put_u16(message, IFLA_VLAN_ID, link->vlan_id);
        break;
    default:
        break;
    }
    nla_nest_end(message, data);
    nla_nest_end(message, outer);
}

int netlink_link_add(struct netlink *netlink, const struct netlink_link *link, struct err *err)
{
    CHECK(link->kind < COUNT_OF(kind_names));
    CHECK(kind_names[link->kind]);
    CHECK(!link->peer.up);
    int rc = name_check(link->end.name, err);
    if (!rc && link->kind == LAYOUT_VETH)
        rc = name_check(link->peer.name, err);
    if (rc)
        return rc;
    uint32_t parent = 0;
    if (link->parent) {
        parent = netlink_link_index(netlink, link->parent);
        if (!parent)
            return err_set(err, ERR_NOT_FOUND, "no interface %s", link->parent);
    }
    struct ifinfomsg info = info_of(&link->end);
    struct nl_msg *message =
        netlink_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof info);
    put_end(message, &link->end);
    if (parent)
        netlink_put_u32(message, IFLA_LINK, parent);
    put_kind(message, link);
    return netlink_fail(netlink, request(netlink, message), err, "add %s %s",
                        kind_names[link->kind], link->end.name);
}

static struct nl_msg *change(int type, const char *name, unsigned flags, unsigned mask);

static int on_index(struct nl_msg *part, void *ctx)
{
    struct nlmsghdr *head = nlmsg_hdr(part);
    uint32_t *index = ctx;
    if (head->nlmsg_type == RTM_NEWLINK)
        *index = (uint32_t)((const struct ifinfomsg *)nlmsg_data(head))->ifi_index;
    return NL_OK;
}

uint32_t netlink_link_index(struct netlink *netlink, const char *name)
{
    uint32_t index = 0;
    if (name_check(name, NULL))
        return 0;
    nl_socket_modify_cb(netlink->route, NL_CB_VALID, NL_CB_CUSTOM, on_index, &index);
    int rc = request(netlink, change(RTM_GETLINK, name, 0, 0));
    nl_socket_modify_cb(netlink->route, NL_CB_VALID, NL_CB_DEFAULT, NULL, NULL);
    return rc ? 0 : index;
}

// A change of one named link, to be filled in.
static struct nl_msg *change(int type, const char *name, unsigned flags, unsigned mask)
{
    struct ifinfomsg info = {.ifi_family = AF_UNSPEC, .ifi_flags = flags, .ifi_change = mask};
    struct nl_msg *message = netlink_message(type, 0, &info, sizeof info);
    put_text(message, IFLA_IFNAME, name);
    return message;
}

// The kernel says ENODEV for a name it does not know.
static int link_result(struct netlink *netlink, int rc, struct err *err, const char *what,
                       const char *name)
{
    return netlink_fail(netlink, rc == -ENODEV ? -ENOENT : rc, err, "%s %s", what, name);
}

int netlink_link_del(struct netlink *netlink, const char *name, struct err *err)
{
    int rc = name_check(name, err);
    if (rc)
        return rc;
    rc = request(netlink, change(RTM_DELLINK, name, 0, 0));
    return link_result(netlink, rc, err, "remove interface", name);
}

int netlink_link_up(struct netlink *netlink, const char *name, bool up, struct err *err)
{
    int rc = name_check(name, err);
    if (rc)
        return rc;
    rc = request(netlink, change(RTM_NEWLINK, name, up ? IFF_UP : 0, IFF_UP));
    return link_result(netlink, rc, err, up ? "bring up" : "take down", name);
}

int netlink_link_mtu(struct netlink *netlink, const char *name, uint32_t mtu, struct err *err)
{
    int rc = name_check(name, err);
    if (rc)
        return rc;
    struct nl_msg *message = change(RTM_NEWLINK, name, 0, 0);
    netlink_put_u32(message, IFLA_MTU, mtu);
    return link_result(netlink, request(netlink, message), err, "set MTU of", name);
}

int netlink_link_mac(struct netlink *netlink, const char *name, const uint8_t mac[MAC_BYTES],
                     struct err *err)
{
    int rc = name_check(name, err);
    if (rc)
        return rc;
    struct nl_msg *message = change(RTM_NEWLINK, name, 0, 0);
    netlink_put(message, IFLA_ADDRESS, mac, MAC_BYTES);
    return link_result(netlink, request(netlink, message), err, "set MAC address of", name);
}

int netlink_link_local(struct netlink *netlink, const char *name, const struct ipnet *local,
                       struct err *err)
{
    const struct ipnet any = {.size = 4};
    CHECK(local->size != 16);
    int rc = name_check(name, err);
    if (rc)
        return rc;
    // Whatever is not said stays as it is.
    struct nl_msg *message = change(RTM_NEWLINK, name, 0, 0);
    struct nlattr *outer = nest(message, IFLA_LINKINFO);
    put_text(message, IFLA_INFO_KIND, kind_names[LAYOUT_VXLAN]);
    struct nlattr *data = nest(message, IFLA_INFO_DATA);
    netlink_put_ip(message, IFLA_VXLAN_LOCAL, local->size ? local : &any);
    nla_nest_end(message, data);
    nla_nest_end(message, outer);
    return link_result(netlink, request(netlink, message), err, "set source address of", name);
}

int netlink_link_master(struct netlink *netlink, const char *name, const char *master,
                        struct err *err)
{
    int rc = name_check(name, err);
    if (rc)
        return rc;
    uint32_t index = str_empty(master) ? 0 : netlink_link_index(netlink, master);
    if (!index && !str_empty(master))
        return err_set(err, ERR_NOT_FOUND, "no bridge %s", master);
    struct nl_msg *message = change(RTM_NEWLINK, name, 0, 0);
    netlink_put_u32(message, IFLA_MASTER, index);
    return link_result(netlink, request(netlink, message), err, "set bridge of", name);
}

int netlink_link_rename(struct netlink *netlink, const char *name, const char *to, struct err *err)
{
    int rc = name_check(name, err);
    if (!rc)
        rc = name_check(to, err);
    if (rc)
        return rc;
    uint32_t index = netlink_link_index(netlink, name);
    if (!index)
        return err_set(err, ERR_NOT_FOUND, "no interface %s", name);
    struct ifinfomsg info = {.ifi_family = AF_UNSPEC, .ifi_index = (int)index};
    struct nl_msg *message = netlink_message(RTM_NEWLINK, 0, &info, sizeof info);
    put_text(message, IFLA_IFNAME, to);
    return link_result(netlink, request(netlink, message), err, "rename", name);
}

int netlink_port_set(struct netlink *netlink, const char *name, bool hairpin, bool isolated,
                     struct err *err)
{
    uint32_t index = netlink_link_index(netlink, name);
    if (!index)
        return err_set(err, ERR_NOT_FOUND, "no interface %s", name);
    struct ifinfomsg info = {.ifi_family = AF_BRIDGE, .ifi_index = (int)index};
    struct nl_msg *message = netlink_message(RTM_SETLINK, 0, &info, sizeof info);
    struct nlattr *port = nest(message, IFLA_PROTINFO | NLA_F_NESTED);
    put_u8(message, IFLA_BRPORT_MODE, hairpin);
    put_u8(message, IFLA_BRPORT_ISOLATED, isolated);
    nla_nest_end(message, port);
    return link_result(netlink, request(netlink, message), err, "set bridge port", name);
}
