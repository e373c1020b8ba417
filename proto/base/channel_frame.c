#include "proto/base/channel_frame.h"

#include "proto/base/check.h"

static_assert(CHANNEL_FDS_MAX <= UINT16_MAX, "the number of descriptors has two bytes");

void channel_frame_pack(struct buf *out, uint16_t type, size_t fds_count, const void *payload,
                        size_t payload_bytes)
{
    CHECK(type != 0);
    CHECK(fds_count <= CHANNEL_FDS_MAX);
    CHECK(payload_bytes <= CHANNEL_PAYLOAD_BYTES_MAX);
    buf_put_u16be(out, type);
    buf_put_u16be(out, (uint16_t)fds_count);
    buf_put_u32be(out, (uint32_t)payload_bytes);
    buf_put(out, payload, payload_bytes);
}

static const struct channel_rule *find_rule(const struct channel_rules *rules, uint16_t type)
{
    for (size_t i = 0; i < rules->count; i++)
        if (rules->rules[i].type == type)
            return &rules->rules[i];
    return NULL;
}

int channel_frame_parse(const void *packet, size_t size, size_t fds_count,
                        const struct channel_rules *rules, struct channel_frame *out,
                        struct err *err)
{
    struct cursor at = cursor_of(packet, size);
    uint16_t type = cursor_u16be(&at);
    uint16_t fds_said = cursor_u16be(&at);
    uint32_t bytes_said = cursor_u32be(&at);
    if (!cursor_ok(&at) || bytes_said != cursor_left(&at))
        return err_set(err, ERR_INVALID_ARGUMENT, "a packet of %zu bytes is no message", size);
    const struct channel_rule *rule = find_rule(rules, type);
    if (!rule)
        return err_set(err, ERR_UNIMPLEMENTED, "no message of type %u is taken here", type);
    if (bytes_said < rule->bytes_min || bytes_said > rule->bytes_max)
        return err_set(err, ERR_OUT_OF_RANGE, "message %s with %u bytes", rule->name, bytes_said);
    if (fds_said != fds_count || fds_count < rule->fds_min || fds_count > rule->fds_max)
        return err_set(err, ERR_OUT_OF_RANGE, "message %s with %zu descriptors, said to be %u",
                       rule->name, fds_count, fds_said);
    *out = (struct channel_frame){
        .type = type,
        .fds_count = fds_said,
        .payload = cursor_bytes(&at, bytes_said),
        .payload_bytes = bytes_said,
    };
    return 0;
}
