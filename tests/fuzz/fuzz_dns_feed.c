// Whatever the resolver process may be told: reads without harm, and what reads packs again to the
// same bytes. The first byte chooses the message.
#include <stdint.h>
#include <string.h>

#include "agent/dns/feed.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct feed_message message;
    struct arena arena;
    struct buf again;
    uint16_t type = (uint16_t)(FEED_NETWORK_PUT + data[0] % 8);
    arena_init(&arena, FEED_ARENA_BYTES);
    buf_init(&again, FEED_MESSAGE_BYTES_MAX);
    if (feed_parse(type, data + 1, size - 1, &arena, &message, NULL) == 0) {
        if (type == FEED_RECORD_PUT)
            CHECK(feed_check_record(&message.record, NULL) == 0);
        if (type == FEED_SANDBOX_PUT)
            CHECK(feed_check_sandbox(&message.sandbox, NULL) == 0);
        feed_pack(&again, &message);
        CHECK(buf_ok(&again));
        CHECK(again.len == size - 1);
        CHECK(memcmp(again.data, data + 1, size - 1) == 0);
    }
    CHECK(!arena_overflowed(&arena));
    buf_fini(&again);
    arena_fini(&arena);
    return 0;
}
