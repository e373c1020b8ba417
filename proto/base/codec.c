#include "proto/base/codec.h"

#include <string.h>

#include "proto/base/check.h"

static const char digits36[] = "0123456789abcdefghijklmnopqrstuvwxyz";

// 36^6, the largest power in 32 bits.
#define SIX_DIGITS       2176782336u
#define SIX_DIGITS_COUNT 6

bool base36_encode(const void *bytes, size_t size, char *out, size_t width)
{
    CHECK(size <= BASE36_BYTES_MAX);
    // In words, the highest first.
    uint32_t number[BASE36_BYTES_MAX / sizeof(uint32_t)] = {0};
    size_t words = (size + sizeof(uint32_t) - 1) / sizeof(uint32_t);
    for (size_t i = 0; i < size; i++)
        number[words - 1 - i / 4] |= (uint32_t)((const uint8_t *)bytes)[size - 1 - i]
                                     << 8 * (i % 4);
    // Long division, once per six digits, from the right.
    uint32_t over = 0;
    for (size_t i = width; i > 0;) {
        uint64_t rest = 0;
        for (size_t j = 0; j < words; j++) {
            uint64_t part = rest << 32 | number[j];
            number[j] = (uint32_t)(part / SIX_DIGITS);
            rest = part % SIX_DIGITS;
        }
        uint32_t six = (uint32_t)rest;
        for (unsigned digit = 0; digit < SIX_DIGITS_COUNT && i > 0; digit++, six /= 36)
            out[--i] = digits36[six % 36];
        over |= six; // not zero only where there was no room for all six
    }
    out[width] = '\0';
    for (size_t j = 0; j < words; j++)
        over |= number[j];
    if (over)
        out[0] = '\0';
    explicit_bzero(number, sizeof number); // it may have been a join token's secret
    return over == 0;
}

bool base36_decode(const char *digits, size_t width, void *out, size_t size)
{
    CHECK(size <= BASE36_BYTES_MAX);
    uint8_t *number = out;
    memset(number, 0, size);
    for (size_t i = 0; i < width; i++) {
        const char *place = digits[i] ? strchr(digits36, digits[i]) : NULL;
        if (!place)
            return false;
        unsigned carry = (unsigned)(place - digits36);
        for (size_t j = size; j-- > 0;) {
            unsigned part = number[j] * 36u + carry;
            number[j] = (uint8_t)part;
            carry = part >> 8;
        }
        if (carry)
            return false;
    }
    return true;
}

static const char alphabet_std[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char alphabet_url[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static const char *alphabet_of(enum base64_kind kind)
{
    return kind == BASE64_STD || kind == BASE64_STD_RAW ? alphabet_std : alphabet_url;
}

static bool padded(enum base64_kind kind)
{
    return kind == BASE64_STD || kind == BASE64_URL;
}

size_t base64_length(enum base64_kind kind, size_t size)
{
    size_t whole = size / 3 * 4, rest = size % 3;
    if (rest == 0)
        return whole;
    return whole + (padded(kind) ? 4 : rest + 1);
}

void base64_encode(enum base64_kind kind, const void *bytes, size_t size, struct buf *out)
{
    if (size == 0)
        return;
    const char *alphabet = alphabet_of(kind);
    const uint8_t *in = bytes;
    size_t length = base64_length(kind, size);
    char *at = buf_extend(out, length);
    if (!at)
        return;
    const char *end = at + length;
    for (size_t i = 0; i < size; i += 3) {
        size_t part = size - i < 3 ? size - i : 3;
        uint32_t group = (uint32_t)in[i] << 16;
        group |= part > 1 ? (uint32_t)in[i + 1] << 8 : 0;
        group |= part > 2 ? in[i + 2] : 0;
        for (size_t k = 0; k <= part; k++)
            *at++ = alphabet[group >> (18 - 6 * k) & 63];
    }
    while (at < end)
        *at++ = '=';
}

static int value64(char c, const char *alphabet)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == alphabet[62])
        return 62;
    if (c == alphabet[63])
        return 63;
    return -1;
}

bool base64_decode(enum base64_kind kind, const char *text, size_t length, struct buf *out)
{
    const char *alphabet = alphabet_of(kind);
    if (padded(kind)) {
        if (length % 4 != 0)
            return false;
        for (int pad = 0; pad < 2 && length > 0 && text[length - 1] == '='; pad++)
            length--;
    }
    if (length % 4 == 1)
        return false;
    size_t before = out->len;
    uint32_t group = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < length; i++) {
        int value = value64(text[i], alphabet);
        if (value < 0) {
            out->len = before;
            return false;
        }
        group = group << 6 | (uint32_t)value;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            buf_put_u8(out, (uint8_t)(group >> bits));
        }
    }
    // Bits past the last byte must be zero, or two texts would stand for the same bytes.
    if (!buf_ok(out) || (group & ((1u << bits) - 1)) != 0) {
        out->len = before;
        return false;
    }
    return true;
}

char *hex_encode(const void *bytes, size_t size, char *out)
{
    const uint8_t *in = bytes;
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = digits36[in[i] >> 4];
        out[2 * i + 1] = digits36[in[i] & 15];
    }
    out[2 * size] = '\0';
    return out;
}

static int value16(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hex_decode(const char *text, size_t length, void *out, size_t size)
{
    uint8_t *bytes = out;
    if (length % 2 != 0 || length / 2 != size)
        return false;
    for (size_t i = 0; i < size; i++) {
        int high = value16(text[2 * i]), low = value16(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
