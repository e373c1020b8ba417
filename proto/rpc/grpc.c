#include "proto/rpc/grpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"

// ---- frames ------------------------------------------------------------------------------------

void grpc_prefix_write(uint8_t out[GRPC_PREFIX_BYTES], uint32_t size)
{
    out[0] = 0;
    out[1] = (uint8_t)(size >> 24);
    out[2] = (uint8_t)(size >> 16);
    out[3] = (uint8_t)(size >> 8);
    out[4] = (uint8_t)size;
}

void grpc_reader_init(struct grpc_reader *reader, size_t limit)
{
    *reader = (struct grpc_reader){.limit = limit};
    buf_init(&reader->message, limit);
}

void grpc_reader_fini(struct grpc_reader *reader)
{
    buf_fini(&reader->message);
    reader->prefix_bytes = 0;
}

// The prefix is complete: is this a message we take?
static int check_prefix(struct grpc_reader *reader, struct err *err)
{
    const uint8_t *prefix = reader->prefix;
    reader->wanted = (uint32_t)prefix[1] << 24 | (uint32_t)prefix[2] << 16 |
                     (uint32_t)prefix[3] << 8 | (uint32_t)prefix[4];
    if (prefix[0] == 1)
        return err_set(err, ERR_INTERNAL,
                       "grpc: compressed flag set with identity or empty encoding");
    if (prefix[0] != 0)
        return err_set(err, ERR_INTERNAL, "grpc: received unexpected payload format %u", prefix[0]);
    if (reader->wanted > reader->limit)
        return err_set(err, ERR_RESOURCE_EXHAUSTED,
                       "grpc: received message larger than max (%u vs. %zu)", reader->wanted,
                       reader->limit);
    return 0;
}

int grpc_reader_feed(struct grpc_reader *reader, const uint8_t **bytes, size_t *size,
                     struct err *err)
{
    while (*size > 0 && reader->prefix_bytes < GRPC_PREFIX_BYTES) {
        reader->prefix[reader->prefix_bytes++] = **bytes;
        (*bytes)++;
        (*size)--;
        if (reader->prefix_bytes == GRPC_PREFIX_BYTES) {
            int result = check_prefix(reader, err);
            if (result < 0)
                return result;
        }
    }
    if (reader->prefix_bytes < GRPC_PREFIX_BYTES)
        return 0;
    size_t missing = reader->wanted - reader->message.len;
    size_t step = *size < missing ? *size : missing;
    if (step > 0)
        buf_put(&reader->message, *bytes, step);
    CHECK(buf_ok(&reader->message)); // wanted was held against the limit
    *bytes += step;
    *size -= step;
    return reader->message.len == reader->wanted;
}

uint8_t *grpc_reader_take(struct grpc_reader *reader, size_t *size)
{
    CHECK(reader->prefix_bytes == GRPC_PREFIX_BYTES);
    CHECK(reader->message.len == reader->wanted);
    reader->prefix_bytes = 0;
    uint8_t *message = buf_steal(&reader->message, size);
    if (message)
        return message;
    *size = 0;
    return mem_alloc(1);
}

bool grpc_reader_idle(const struct grpc_reader *reader)
{
    return reader->prefix_bytes == 0;
}

size_t grpc_reader_held(const struct grpc_reader *reader)
{
    return reader->message.len;
}

// ---- header values -----------------------------------------------------------------------------

void grpc_percent_encode(const char *text, size_t length, struct buf *out)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (byte >= 0x20 && byte <= 0x7e && byte != '%') {
            buf_put_u8(out, byte);
            continue;
        }
        buf_put_u8(out, '%');
        buf_put_u8(out, (uint8_t)digits[byte >> 4]);
        buf_put_u8(out, (uint8_t)digits[byte & 15]);
    }
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void grpc_percent_decode(const char *text, size_t length, struct buf *out)
{
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (byte == '%' && length - i > 2) {
            int high = digit_of(text[i + 1]);
            int low = digit_of(text[i + 2]);
            if (high >= 0 && low >= 0) {
                byte = (uint8_t)(high << 4 | low);
                i += 2;
            }
        }
        if (byte != 0)
            buf_put_u8(out, byte);
    }
}

// The units of grpc-timeout, finest first.
static const struct {
    char letter;
    int64_t ns;
} units[] = {
    {'n', 1},        {'u', NS_PER_US},  {'m', NS_PER_MS},
    {'S', NS_PER_S}, {'M', NS_PER_MIN}, {'H', NS_PER_H},
};

#define TIMEOUT_VALUE_MAX 99999999

void grpc_timeout_format(int64_t timeout_ns, char out[GRPC_TIMEOUT_BYTES])
{
    if (timeout_ns < 0)
        timeout_ns = 0;
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        int64_t value = timeout_ns / units[i].ns + (timeout_ns % units[i].ns != 0);
        if (value <= TIMEOUT_VALUE_MAX) {
            snprintf(out, GRPC_TIMEOUT_BYTES, "%d%c", (int)value, units[i].letter);
            return;
        }
    }
    UNREACHABLE("2^63 ns are 2,562,048 hours");
}

bool grpc_timeout_parse(const char *text, size_t length, int64_t *timeout_ns)
{
    if (length < 2 || length > 9)
        return false;
    int64_t value = 0;
    for (size_t i = 0; i + 1 < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (text[i] - '0');
    }
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (units[i].letter != text[length - 1])
            continue;
        if (__builtin_mul_overflow(value, units[i].ns, timeout_ns))
            *timeout_ns = INT64_MAX;
        return true;
    }
    return false;
}
