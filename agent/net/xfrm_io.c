#include "agent/net/xfrm_io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

// Documentation addresses: never those of a node.
#define PROBE_FROM 0xc0000201u
#define PROBE_TO   0xc0000202u
#define PROBE_SPI  0x534b4550u

// The kernel's structs end in flexible arrays; this is one with our key in it.
#define AEAD_BYTES (sizeof(struct xfrm_algo_aead) + IPSEC_AEAD_BYTES)

struct xfrm {
    struct nl_sock *sock;
};

int xfrm_open(struct xfrm **out, struct err *err)
{
    struct nl_sock *sock = nl_socket_alloc();
    CHECK(sock);
    int rc = nl_connect(sock, NETLINK_XFRM);
    if (rc < 0) {
        nl_socket_free(sock);
        return err_set(err, ERR_FAILED_PRECONDITION, "this kernel has no IPsec: %s",
                       nl_geterror(rc));
    }
    struct xfrm *xfrm = MEM_NEW(struct xfrm);
    xfrm->sock = sock;
    *out = xfrm;
    return 0;
}

void xfrm_close(struct xfrm *xfrm)
{
    if (!xfrm)
        return;
    nl_socket_free(xfrm->sock);
    free(xfrm);
}

// ---- requests -----------------------------------------------------------------------------------

static struct nl_msg *message(int type, int flags, const void *head, size_t size)
{
    struct nl_msg *msg = nlmsg_alloc_simple(type, flags);
    CHECK(msg);
    int rc = nlmsg_append(msg, (void *)head, size, NLMSG_ALIGNTO);
    CHECK(rc == 0);
    return msg;
}

static void put(struct nl_msg *msg, int type, const void *value, size_t size)
{
    int rc = nla_put(msg, type, (int)size, value);
    CHECK(rc == 0);
}

// Sends it and frees it; the answer is an errno value, 0 or negative of libnl's.
static int ask(struct xfrm *xfrm, struct nl_msg *msg)
{
    int rc = nl_send_auto(xfrm->sock, msg);
    // It may hold a key.
    memset(nlmsg_data(nlmsg_hdr(msg)), 0, (size_t)nlmsg_datalen(nlmsg_hdr(msg)));
    nlmsg_free(msg);
    return rc < 0 ? rc : nl_wait_for_ack(xfrm->sock);
}

static int state_add(struct xfrm *xfrm, const struct ipsec_state *state)
{
    struct xfrm_usersa_info info = {
        .id = {.daddr.a4 = htonl(state->to), .spi = htonl(state->spi), .proto = IPPROTO_ESP},
        .saddr.a4 = htonl(state->from),
        .lft = {XFRM_INF, XFRM_INF, XFRM_INF, XFRM_INF, 0, 0, 0, 0},
        .reqid = IPSEC_REQID,
        .family = AF_INET,
        .mode = XFRM_MODE_TRANSPORT};
    union {
        struct xfrm_algo_aead aead;
        uint8_t bytes[AEAD_BYTES];
    } alg;
    memset(&alg, 0, sizeof alg);
    (void)str_copy(alg.aead.alg_name, sizeof alg.aead.alg_name, IPSEC_AEAD);
    alg.aead.alg_key_len = 8 * IPSEC_AEAD_BYTES;
    alg.aead.alg_icv_len = IPSEC_ICV_BITS;
    memcpy(alg.bytes + sizeof(struct xfrm_algo_aead), state->aead, IPSEC_AEAD_BYTES);
    struct nl_msg *msg =
        message(XFRM_MSG_NEWSA, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &info, sizeof info);
    put(msg, XFRMA_ALG_AEAD, alg.bytes, AEAD_BYTES);
    explicit_bzero(&alg, sizeof alg);
    return ask(xfrm, msg);
}

static int state_del(struct xfrm *xfrm, const struct ipsec_state *state)
{
    struct xfrm_usersa_id id = {.daddr.a4 = htonl(state->to),
                                .spi = htonl(state->spi),
                                .family = AF_INET,
                                .proto = IPPROTO_ESP};
    xfrm_address_t from = {.a4 = htonl(state->from)};
    struct nl_msg *msg = message(XFRM_MSG_DELSA, NLM_F_ACK, &id, sizeof id);
    put(msg, XFRMA_SRCADDR, &from, sizeof from);
    return ask(xfrm, msg);
}

static struct xfrm_selector selector_of(const struct ipsec_policy *policy)
{
    uint8_t prefix = policy->to ? 32 : 0;
    return (struct xfrm_selector){.daddr.a4 = htonl(policy->to),
                                  .saddr.a4 = htonl(policy->from),
                                  .dport = htons(policy->port),
                                  .dport_mask = 0xffff,
                                  .family = AF_INET,
                                  .prefixlen_d = prefix,
                                  .prefixlen_s = prefix,
                                  .proto = IPPROTO_UDP};
}

static const struct xfrm_mark mark = {.v = IPSEC_REQID, .m = UINT32_MAX};

static int policy_put(struct xfrm *xfrm, const struct ipsec_policy *policy)
{
    bool blocks = policy->to == 0;
    struct xfrm_userpolicy_info info = {.sel = selector_of(policy),
                                        .lft = {XFRM_INF, XFRM_INF, XFRM_INF, XFRM_INF, 0, 0, 0, 0},
                                        .priority = blocks ? IPSEC_BLOCK_PRIO : 0,
                                        .dir = XFRM_POLICY_OUT,
                                        .action = blocks ? XFRM_POLICY_BLOCK : XFRM_POLICY_ALLOW};
    struct xfrm_user_tmpl tmpl = {
        .id = {.daddr.a4 = htonl(policy->to), .spi = htonl(policy->spi), .proto = IPPROTO_ESP},
        .family = AF_INET,
        .saddr.a4 = htonl(policy->from),
        .reqid = IPSEC_REQID,
        .mode = XFRM_MODE_TRANSPORT,
        .aalgos = UINT32_MAX,
        .ealgos = UINT32_MAX,
        .calgos = UINT32_MAX};
    struct nl_msg *msg =
        message(XFRM_MSG_UPDPOLICY, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, &info, sizeof info);
    if (!blocks)
        put(msg, XFRMA_TMPL, &tmpl, sizeof tmpl);
    put(msg, XFRMA_MARK, &mark, sizeof mark);
    return ask(xfrm, msg);
}

static int policy_del(struct xfrm *xfrm, const struct ipsec_policy *policy)
{
    struct xfrm_userpolicy_id id = {.sel = selector_of(policy), .dir = XFRM_POLICY_OUT};
    struct nl_msg *msg = message(XFRM_MSG_DELPOLICY, NLM_F_ACK, &id, sizeof id);
    put(msg, XFRMA_MARK, &mark, sizeof mark);
    return ask(xfrm, msg);
}

int xfrm_step(struct xfrm *xfrm, const struct ipsec_step *step, struct err *err)
{
    int rc = 0;
    switch (step->verb) {
    case IPSEC_STATE_ADD:
        rc = state_add(xfrm, step->state);
        break;
    case IPSEC_STATE_DEL:
        rc = state_del(xfrm, step->state);
        break;
    case IPSEC_POLICY_PUT:
        rc = policy_put(xfrm, step->policy);
        break;
    case IPSEC_POLICY_DEL:
        rc = policy_del(xfrm, step->policy);
        break;
    }
    if (rc >= 0 || rc == -NLE_EXIST || rc == -NLE_OBJ_NOTFOUND)
        return 0;
    return err_set(err, ERR_FAILED_PRECONDITION, "the kernel refuses IPsec: %s", nl_geterror(rc));
}

// ---- reading ------------------------------------------------------------------------------------

static int on_state(struct nl_msg *msg, void *ctx)
{
    struct nlmsghdr *head = nlmsg_hdr(msg);
    if (head->nlmsg_type != XFRM_MSG_NEWSA ||
        nlmsg_datalen(head) < (int)sizeof(struct xfrm_usersa_info))
        return NL_OK;
    const struct xfrm_usersa_info *info = nlmsg_data(head);
    if (info->reqid != IPSEC_REQID || info->family != AF_INET || info->id.proto != IPPROTO_ESP)
        return NL_OK;
    struct ipsec_state *state = ipsec_set_state(ctx);
    state->from = ntohl(info->saddr.a4);
    state->to = ntohl(info->id.daddr.a4);
    state->spi = ntohl(info->id.spi);
    // A state of another kind keeps a key of zeros, which is none that is wanted.
    struct nlattr *alg = nlmsg_find_attr(head, sizeof *info, XFRMA_ALG_AEAD);
    if (alg && nla_len(alg) == (int)AEAD_BYTES)
        memcpy(state->aead, (uint8_t *)nla_data(alg) + sizeof(struct xfrm_algo_aead),
               IPSEC_AEAD_BYTES);
    return NL_OK;
}

static int on_policy(struct nl_msg *msg, void *ctx)
{
    struct nlmsghdr *head = nlmsg_hdr(msg);
    if (head->nlmsg_type != XFRM_MSG_NEWPOLICY ||
        nlmsg_datalen(head) < (int)sizeof(struct xfrm_userpolicy_info))
        return NL_OK;
    const struct xfrm_userpolicy_info *info = nlmsg_data(head);
    struct nlattr *attr = nlmsg_find_attr(head, sizeof *info, XFRMA_MARK);
    if (info->dir != XFRM_POLICY_OUT || info->sel.family != AF_INET || !attr ||
        nla_len(attr) < (int)sizeof mark || memcmp(nla_data(attr), &mark, sizeof mark) != 0)
        return NL_OK;
    struct ipsec_policy *policy = ipsec_set_policy(ctx);
    policy->from = ntohl(info->sel.saddr.a4);
    policy->to = ntohl(info->sel.daddr.a4);
    policy->port = ntohs(info->sel.dport);
    attr = nlmsg_find_attr(head, sizeof *info, XFRMA_TMPL);
    if (attr && nla_len(attr) >= (int)sizeof(struct xfrm_user_tmpl))
        policy->spi = ntohl(((const struct xfrm_user_tmpl *)nla_data(attr))->id.spi);
    return NL_OK;
}

static int dump(struct xfrm *xfrm, int type, int (*visit)(struct nl_msg *, void *),
                struct ipsec_set *out)
{
    struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
    CHECK(cb);
    nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, visit, out);
    struct nl_msg *msg = nlmsg_alloc_simple(type, NLM_F_DUMP);
    CHECK(msg);
    int rc = nl_send_auto(xfrm->sock, msg);
    nlmsg_free(msg);
    if (rc >= 0)
        rc = nl_recvmsgs(xfrm->sock, cb);
    nl_cb_put(cb);
    return rc;
}

int xfrm_read(struct xfrm *xfrm, struct ipsec_set *out, struct err *err)
{
    int rc = dump(xfrm, XFRM_MSG_GETSA, on_state, out);
    if (rc >= 0)
        rc = dump(xfrm, XFRM_MSG_GETPOLICY, on_policy, out);
    if (rc < 0)
        return err_set(err, ERR_UNAVAILABLE, "read IPsec states: %s", nl_geterror(rc));
    ipsec_set_sort(out);
    return 0;
}

int xfrm_probe(struct err *err)
{
    struct xfrm *xfrm = NULL;
    struct ipsec_state state = {.from = PROBE_FROM, .to = PROBE_TO, .spi = PROBE_SPI};
    if (xfrm_open(&xfrm, err) < 0)
        return -ERR_FAILED_PRECONDITION;
    int rc = state_add(xfrm, &state);
    if (rc >= 0 || rc == -NLE_EXIST)
        (void)state_del(xfrm, &state);
    xfrm_close(xfrm);
    if (rc >= 0 || rc == -NLE_EXIST)
        return 0;
    return err_set(err, ERR_FAILED_PRECONDITION,
                   "this kernel cannot encrypt: it has no ESP with " IPSEC_AEAD " (%s)",
                   nl_geterror(rc));
}
