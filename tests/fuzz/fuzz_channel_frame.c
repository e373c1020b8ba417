// Any packet through the rules of a channel. The first byte says how many descriptors came with it.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/channel_frame.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct channel_rule rules[] = {
    {.type = 1, .name = "empty"},
    {.type = 2, .name = "small", .bytes_min = 1, .bytes_max = 16},
    {.type = 3, .name = "fds", .bytes_max = 1024, .fds_min = 1, .fds_max = CHANNEL_FDS_MAX},
};
static const struct channel_rules table = {rules, COUNT_OF(rules)};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t fds_count = data[0];
    struct channel_frame frame;
    struct err err = ERR_INIT;
    if (channel_frame_parse(data + 1, size - 1, fds_count, &table, &frame, &err)) {
        CHECK(err.code != ERR_OK);
        return 0;
    }
    // What is taken, packs to the same bytes.
    CHECK(frame.fds_count == fds_count);
    struct buf again;
    buf_init(&again, size);
    channel_frame_pack(&again, frame.type, frame.fds_count, frame.payload, frame.payload_bytes);
    CHECK(again.len == size - 1 && memcmp(again.data, data + 1, again.len) == 0);
    buf_fini(&again);
    return 0;
}
