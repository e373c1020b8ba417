// Cutting connections: entries of the connection table whose answers come from an address that is
// not there any more.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/net/netlink_priv_io.h"
#include "agent/net/netns_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define FLOWS_MAX  65536 // taken in one go; the rest in the next
#define FLOW_BYTES 256   // of one tuple, nested attributes included

struct flow {
    uint16_t size;
    uint8_t tuple[FLOW_BYTES]; // the original direction's, as the kernel gave it
};

struct search {
    const uint32_t *addresses;
    size_t addresses_count;
    struct flow *flows;
    size_t count, cap;
};

static struct nfgenmsg head_ipv4(void)
{
    return (struct nfgenmsg){.nfgen_family = AF_INET, .version = NFNETLINK_V0};
}

static bool tuple_addr(struct nlattr *tuple, int type, uint32_t *out)
{
    struct nlattr *attrs[CTA_TUPLE_MAX + 1], *ips[CTA_IP_MAX + 1];
    if (!tuple || nla_parse_nested(attrs, CTA_TUPLE_MAX, tuple, NULL) < 0 || !attrs[CTA_TUPLE_IP] ||
        nla_parse_nested(ips, CTA_IP_MAX, attrs[CTA_TUPLE_IP], NULL) < 0 || !ips[type] ||
        nla_len(ips[type]) < 4)
        return false;
    *out = ntohl(nla_get_u32(ips[type]));
    return true;
}

static bool is_wanted(const struct search *search, uint32_t address)
{
    for (size_t i = 0; i < search->addresses_count; i++)
        if (search->addresses[i] == address)
            return true;
    return false;
}

static int on_flow(struct nl_msg *part, void *ctx)
{
    struct search *search = ctx;
    struct nlattr *attrs[CTA_MAX + 1];
    uint32_t asked, answers;
    if (nlmsg_parse(nlmsg_hdr(part), sizeof(struct nfgenmsg), attrs, CTA_MAX, NULL) < 0 ||
        !tuple_addr(attrs[CTA_TUPLE_ORIG], CTA_IP_V4_DST, &asked) ||
        !tuple_addr(attrs[CTA_TUPLE_REPLY], CTA_IP_V4_SRC, &answers))
        return NL_OK;
    // Without a translation there is nothing of ours in it.
    if (asked == answers || !is_wanted(search, answers) || search->count == FLOWS_MAX ||
        (size_t)nla_len(attrs[CTA_TUPLE_ORIG]) > FLOW_BYTES)
        return NL_OK;
    if (search->count == search->cap) {
        search->cap = search->cap ? search->cap * 2 : 64;
        search->flows = mem_realloc(search->flows, search->cap * sizeof *search->flows);
    }
    struct flow *flow = &search->flows[search->count++];
    flow->size = (uint16_t)nla_len(attrs[CTA_TUPLE_ORIG]);
    memcpy(flow->tuple, nla_data(attrs[CTA_TUPLE_ORIG]), flow->size);
    return NL_OK;
}

static int open_here(void *ctx, struct err *err)
{
    struct netlink *netlink = ctx;
    netlink->filter = netlink_socket(netlink, NETLINK_NETFILTER, err);
    return netlink->filter ? 0 : -ERR_UNAVAILABLE;
}

static int flow_cut(struct netlink *netlink, const struct flow *flow)
{
    struct nfgenmsg head = head_ipv4();
    struct nl_msg *message =
        netlink_message(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, 0, &head, sizeof head);
    int rc = nla_put(message, CTA_TUPLE_ORIG | NLA_F_NESTED, flow->size, flow->tuple);
    CHECK(rc == 0);
    rc = netlink_request(netlink, netlink->filter, message);
    return rc == -ENOENT ? 0 : rc; // it ended by itself
}

int netlink_flows_cut(struct netlink *netlink, const uint32_t *addresses, size_t count, size_t *cut,
                      struct err *err)
{
    struct search search = {.addresses = addresses, .addresses_count = count};
    *cut = 0;
    if (count == 0)
        return 0;
    if (!netlink->filter) {
        int rc = netns_in(netlink->netns_fd, open_here, netlink, err);
        if (rc)
            return rc;
    }
    int rc = -EAGAIN;
    for (int i = 0; i < 4 && rc == -EAGAIN; i++) {
        struct nfgenmsg head = head_ipv4();
        struct nl_msg *message = netlink_message(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET,
                                                 NLM_F_DUMP, &head, sizeof head);
        search.count = 0;
        rc = netlink_request_dump(netlink, netlink->filter, message, on_flow, &search);
    }
    for (size_t i = 0; i < search.count && !rc; i++) {
        rc = flow_cut(netlink, &search.flows[i]);
        *cut += rc == 0;
    }
    free(search.flows);
    return netlink_fail(netlink, rc, err, "cut connections");
}
