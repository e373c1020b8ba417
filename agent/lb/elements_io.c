#include "agent/lb/elements_io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define TABLE_NAME "skep_lb"

// A list of elements is one attribute, whose length has 16 bits.
#define LIST_BYTES_MAX    60000
#define ELEMENT_BYTES_MAX 128

// One batch in the making. Places are offsets: the buffer moves as it grows.
struct batch {
    struct buf *out;
    uint32_t sequence;
    bool open; // a message of elements is open, of this kind
    bool add;
    enum ruleset_collection in;
    size_t message, list;
};

static void patch(struct batch *batch, size_t at, const void *bytes, size_t size)
{
    CHECK(at + size <= batch->out->len);
    memcpy(batch->out->data + at, bytes, size);
}

static void pad(struct batch *batch)
{
    static const uint8_t zeros[NLMSG_ALIGNTO];
    size_t over = batch->out->len % NLMSG_ALIGNTO;
    if (over)
        buf_put(batch->out, zeros, NLMSG_ALIGNTO - over);
}

static size_t message_begin(struct batch *batch, int type, int flags, int family, uint16_t resource)
{
    size_t at = batch->out->len;
    struct nlmsghdr head = {.nlmsg_type = (uint16_t)type,
                            .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
                            .nlmsg_seq = ++batch->sequence};
    struct nfgenmsg general = {
        .nfgen_family = (uint8_t)family, .version = NFNETLINK_V0, .res_id = htons(resource)};
    buf_put(batch->out, &head, sizeof head);
    buf_put(batch->out, &general, sizeof general);
    return at;
}

static void message_end(struct batch *batch, size_t at)
{
    uint32_t size = (uint32_t)(batch->out->len - at);
    patch(batch, at + offsetof(struct nlmsghdr, nlmsg_len), &size, sizeof size);
}

static void attribute(struct batch *batch, int type, const void *bytes, size_t size)
{
    struct nlattr head = {(uint16_t)(NLA_HDRLEN + size), (uint16_t)type};
    buf_put(batch->out, &head, sizeof head);
    buf_put(batch->out, bytes, size);
    pad(batch);
}

static void attribute_text(struct batch *batch, int type, const char *text)
{
    attribute(batch, type, text, strlen(text) + 1);
}

static size_t nest_begin(struct batch *batch, int type)
{
    size_t at = batch->out->len;
    struct nlattr head = {0, (uint16_t)(type | NLA_F_NESTED)};
    buf_put(batch->out, &head, sizeof head);
    return at;
}

static void nest_end(struct batch *batch, size_t at)
{
    uint16_t size = (uint16_t)(batch->out->len - at);
    patch(batch, at + offsetof(struct nlattr, nla_len), &size, sizeof size);
}

// ---- elements ----------------------------------------------------------------------------------

static void elements_begin(struct batch *batch, const struct ruleset_change *change)
{
    int type = change->add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM;
    batch->open = true;
    batch->add = change->add;
    batch->in = change->in;
    batch->message = message_begin(batch, NFNL_SUBSYS_NFTABLES << 8 | type,
                                   change->add ? NLM_F_CREATE : 0, NFPROTO_IPV4, 0);
    attribute_text(batch, NFTA_SET_ELEM_LIST_TABLE, TABLE_NAME);
    attribute_text(batch, NFTA_SET_ELEM_LIST_SET, ruleset_collection_name(change->in));
    batch->list = nest_begin(batch, NFTA_SET_ELEM_LIST_ELEMENTS);
}

static void elements_end(struct batch *batch)
{
    if (!batch->open)
        return;
    nest_end(batch, batch->list);
    message_end(batch, batch->message);
    batch->open = false;
}

static void put_value(struct batch *batch, int type, const void *bytes, size_t size)
{
    size_t at = nest_begin(batch, type);
    attribute(batch, NFTA_DATA_VALUE, bytes, size);
    nest_end(batch, at);
}

static void put_element(void *ctx, const struct ruleset_change *change)
{
    struct batch *batch = ctx;
    if (batch->open && (batch->add != change->add || batch->in != change->in ||
                        batch->out->len - batch->list > LIST_BYTES_MAX - ELEMENT_BYTES_MAX))
        elements_end(batch);
    if (!batch->open)
        elements_begin(batch, change);
    // An address is as on the wire, a number as the machine holds it.
    uint32_t key[2] = {htonl(change->vip), change->number};
    uint32_t backend = htonl(change->backend);
    size_t element = nest_begin(batch, NFTA_LIST_ELEM);
    put_value(batch, NFTA_SET_ELEM_KEY, key,
              change->in == RULESET_SLOTS ? sizeof key : sizeof key[0]);
    if (change->add && change->in == RULESET_SLOTS)
        put_value(batch, NFTA_SET_ELEM_DATA, &backend, sizeof backend);
    else if (change->add && change->in == RULESET_VIPS)
        put_value(batch, NFTA_SET_ELEM_DATA, &change->number, sizeof change->number);
    nest_end(batch, element);
}

bool elements_pack(const struct ruleset *actual, const struct ruleset *wanted, struct buf *out)
{
    CHECK(out->len == 0);
    struct batch batch = {.out = out};
    message_end(&batch,
                message_begin(&batch, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
    size_t before = out->len;
    ruleset_changes(actual, wanted, put_element, &batch);
    elements_end(&batch);
    if (out->len == before) {
        buf_clear(out);
        return false;
    }
    struct nlmsghdr last;
    memcpy(&last, out->data + batch.message, sizeof last);
    last.nlmsg_flags |= NLM_F_ACK;
    patch(&batch, batch.message, &last, sizeof last);
    message_end(&batch,
                message_begin(&batch, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
    CHECK(buf_ok(out));
    return true;
}

int elements_answer(const void *bytes, size_t size, bool *acked)
{
    const uint8_t *at = bytes;
    while (size >= sizeof(struct nlmsghdr)) {
        struct nlmsghdr head;
        struct nlmsgerr error;
        memcpy(&head, at, sizeof head);
        if (head.nlmsg_len < sizeof head || head.nlmsg_len > size)
            return -EBADMSG;
        if (head.nlmsg_type == NLMSG_ERROR) {
            if (head.nlmsg_len < NLMSG_HDRLEN + sizeof error)
                return -EBADMSG;
            memcpy(&error, at + NLMSG_HDRLEN, sizeof error);
            if (error.error)
                return error.error < 0 ? error.error : -EBADMSG;
            *acked = true;
        }
        size_t step = NLMSG_ALIGN(head.nlmsg_len);
        if (step > size)
            break;
        at += step;
        size -= step;
    }
    return 0;
}
