// Whatever one process of skepd may say to another. The first byte chooses the message.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/skepd/messages.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct message_start start;
    struct message_ready ready;
    enum log_level level;
    struct buf again;
    buf_init(&again, MESSAGE_START_BYTES_MIN + MESSAGE_CONFIG_BYTES_MAX);
    if (data[0] == MESSAGE_START && !message_start_parse(data + 1, size - 1, &start, NULL)) {
        message_start_pack(&again, &start);
        CHECK(again.len == size - 1 && memcmp(again.data, data + 1, size - 1) == 0);
    }
    if (data[0] == MESSAGE_READY && !message_ready_parse(data + 1, size - 1, &ready, NULL)) {
        message_ready_pack(&again, &ready);
        CHECK(again.len == size - 1 && memcmp(again.data, data + 1, size - 1) == 0);
    }
    struct message_lookup lookup;
    struct message_found found;
    if (data[0] == MESSAGE_LOOKUP && !message_lookup_parse(data + 1, size - 1, &lookup, NULL)) {
        message_lookup_pack(&again, &lookup);
        CHECK(again.len == size - 1 && memcmp(again.data, data + 1, size - 1) == 0);
    }
    if (data[0] == MESSAGE_FOUND && !message_found_parse(data + 1, size - 1, &found, NULL) &&
        found.count > 0) {
        message_found_pack(&again, &found);
        CHECK(again.len == size - 1 && memcmp(again.data, data + 1, size - 1) == 0);
    }
    if (data[0] == MESSAGE_LOG && message_log_parse(data + 1, size - 1, &level))
        CHECK(level <= LOG_ERROR);
    buf_fini(&again);
    return 0;
}
