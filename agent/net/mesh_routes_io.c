#include "agent/net/mesh_routes_io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "agent/net/inside_io.h"
#include "agent/net/mesh.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define RULE_PRIORITY 21323

static int if_sysctl(const char *interface, const char *name, const char *value, struct err *err)
{
    char path[128];
    if (!str_format(path, sizeof path, "net/ipv4/conf/%s/%s", interface, name))
        return err_set(err, ERR_INVALID_ARGUMENT, "the interface's name is too long");
    return inside_sysctl(path, value, err);
}

int mesh_host_prepare(const char *gateway_if, struct err *err)
{
    if (if_sysctl(gateway_if, "route_localnet", "1", err) < 0)
        return -(int)err->code;
    return inside_sysctl("net/ipv4/ip_forward", "1", err);
}

int mesh_sandbox_prepare(struct err *err)
{
    return inside_sysctl("net/ipv4/ip_forward", "1", err);
}

// ---- netlink ------------------------------------------------------------------------------------

static struct nl_msg *message(int type, int flags, void *head, size_t size)
{
    struct nl_msg *msg = nlmsg_alloc_simple(type, NLM_F_CREATE | NLM_F_ACK | flags);
    CHECK(msg);
    int rc = nlmsg_append(msg, head, size, NLMSG_ALIGNTO);
    CHECK(rc == 0);
    return msg;
}

static void put_u32(struct nl_msg *msg, int type, uint32_t value)
{
    int rc = nla_put_u32(msg, type, value);
    CHECK(rc == 0);
}

// Sends and frees it. What is there already is as good.
static int tell(struct nl_sock *sock, struct nl_msg *msg, const char *what, struct err *err)
{
    int rc = nl_send_auto(sock, msg);
    nlmsg_free(msg);
    if (rc >= 0)
        rc = nl_wait_for_ack(sock);
    if (rc < 0 && rc != -NLE_EXIST)
        return err_set(err, ERR_UNAVAILABLE, "%s: %s", what, nl_geterror(rc));
    return 0;
}

static int add_rule(struct nl_sock *sock, struct err *err)
{
    struct fib_rule_hdr head = {
        .family = AF_INET, .action = FR_ACT_TO_TBL, .table = RT_TABLE_UNSPEC};
    struct nl_msg *msg = message(RTM_NEWRULE, NLM_F_EXCL, &head, sizeof head);
    put_u32(msg, FRA_PRIORITY, RULE_PRIORITY);
    put_u32(msg, FRA_FWMARK, MESH_MARK);
    put_u32(msg, FRA_FWMASK, MESH_MARK);
    put_u32(msg, FRA_TABLE, MESH_ROUTES);
    return tell(sock, msg, "add the rule for marked packets", err);
}

static int add_route(struct nl_sock *sock, unsigned index, struct err *err)
{
    // "onlink": nothing says that the gateway is behind this interface, and nothing has to.
    struct rtmsg head = {.rtm_family = AF_INET,
                         .rtm_table = RT_TABLE_UNSPEC,
                         .rtm_protocol = RTPROT_STATIC,
                         .rtm_scope = RT_SCOPE_UNIVERSE,
                         .rtm_type = RTN_UNICAST,
                         .rtm_flags = RTNH_F_ONLINK};
    struct nl_msg *msg = message(RTM_NEWROUTE, NLM_F_REPLACE, &head, sizeof head);
    put_u32(msg, RTA_TABLE, MESH_ROUTES);
    put_u32(msg, RTA_OIF, index);
    put_u32(msg, RTA_GATEWAY, htonl(MESH_GATEWAY));
    return tell(sock, msg, "add the route for marked packets", err);
}

static int add_neighbour(struct nl_sock *sock, unsigned index, struct err *err)
{
    static const uint8_t mac[6] = {0x02, 0x42};
    struct ndmsg head = {
        .ndm_family = AF_INET, .ndm_ifindex = (int)index, .ndm_state = NUD_PERMANENT};
    struct nl_msg *msg = message(RTM_NEWNEIGH, NLM_F_REPLACE, &head, sizeof head);
    put_u32(msg, NDA_DST, htonl(MESH_GATEWAY));
    int rc = nla_put(msg, NDA_LLADDR, sizeof mac, mac);
    CHECK(rc == 0);
    return tell(sock, msg, "add the neighbour for marked packets", err);
}

int mesh_task_prepare(const char *ingress_if, struct err *err)
{
    unsigned index = if_nametoindex(ingress_if);
    if (index == 0)
        return err_set_errno(err, errno, "interface %s", ingress_if);
    int rc = inside_sysctl("net/ipv4/tcp_fwmark_accept", "1", err);
    if (rc == 0)
        rc = inside_sysctl("net/ipv4/fwmark_reflect", "1", err);
    // Loose: the kernel takes the larger of this and "all", so 0 would not always be enough.
    if (rc == 0)
        rc = if_sysctl(ingress_if, "rp_filter", "2", err);
    if (rc < 0)
        return rc;
    struct nl_sock *sock = nl_socket_alloc();
    CHECK(sock);
    if (nl_connect(sock, NETLINK_ROUTE) < 0) {
        nl_socket_free(sock);
        return err_set(err, ERR_UNAVAILABLE, "cannot open a netlink socket");
    }
    rc = add_rule(sock, err);
    if (rc == 0)
        rc = add_neighbour(sock, index, err);
    if (rc == 0)
        rc = add_route(sock, index, err);
    nl_socket_free(sock);
    return rc;
}
