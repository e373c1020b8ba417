#include "proto/base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/base/check.h"

void *mem_alloc(size_t size)
{
    void *memory = calloc(1, size ? size : 1);
    CHECK(memory);
    return memory;
}

void *mem_alloc_array(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size ? size : 1);
    CHECK(memory);
    return memory;
}

void *mem_realloc(void *old, size_t size)
{
    void *memory = realloc(old, size ? size : 1);
    CHECK(memory);
    return memory;
}

void *mem_dup(const void *bytes, size_t size)
{
    void *copy = mem_alloc(size);
    if (size)
        memcpy(copy, bytes, size);
    return copy;
}

char *str_dup(const char *text)
{
    return text ? mem_dup(text, strlen(text) + 1) : NULL;
}

char *str_ndup(const char *text, size_t length)
{
    CHECK(length < SIZE_MAX);
    char *copy = mem_alloc(length + 1);
    if (length)
        memcpy(copy, text, length);
    return copy;
}

char *str_printf(const char *format, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    CHECK(length >= 0);
    return text;
}

bool str_copy(char *out, size_t size, const char *text)
{
    CHECK(size > 0);
    size_t length = strlen(text);
    bool fits = length < size;
    if (!fits)
        length = size - 1;
    memcpy(out, text, length);
    out[length] = '\0';
    return fits;
}

bool str_format(char *out, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(out, size, format, args);
    va_end(args);
    CHECK(length >= 0);
    return (size_t)length < size;
}

bool str_equal(const char *a, const char *b)
{
    return str_compare(a, b) == 0;
}

bool str_equal_case(const char *a, const char *b)
{
    return strcasecmp(a ? a : "", b ? b : "") == 0;
}

int str_compare(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "");
}

bool str_starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *text, const char *suffix)
{
    size_t length = strlen(text), tail = strlen(suffix);
    return tail <= length && memcmp(text + length - tail, suffix, tail) == 0;
}

bool str_equal_secret(const char *a, const char *b)
{
    size_t length_a = strlen(a), length_b = strlen(b);
    unsigned char difference = length_a != length_b;
    for (size_t i = 0; i < length_a; i++)
        difference |= (unsigned char)(a[i] ^ b[length_b ? i % length_b : 0]);
    return difference == 0;
}

// Digits up to the end of the text; false when there are none, others, or too many.
static bool read_decimal(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return false;
    }
    *out = value;
    return value <= max;
}

bool str_to_u64(const char *text, uint64_t max, uint64_t *out)
{
    uint64_t value;
    if (!text || !read_decimal(text, max, &value))
        return false;
    *out = value;
    return true;
}

bool str_to_i64(const char *text, int64_t min, int64_t max, int64_t *out)
{
    if (!text)
        return false;
    bool negative = *text == '-';
    uint64_t magnitude;
    if (!read_decimal(text + negative, (uint64_t)INT64_MAX + negative, &magnitude))
        return false;
    int64_t value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    if (value < min || value > max)
        return false;
    *out = value;
    return true;
}

bool str_split(const char **rest, char separator, struct str_part *part)
{
    if (!*rest)
        return false;
    const char *end = strchr(*rest, separator);
    part->at = *rest;
    part->len = end ? (size_t)(end - *rest) : strlen(*rest);
    *rest = end ? end + 1 : NULL;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str_part str_trim(struct str_part part)
{
    while (part.len && is_blank(part.at[0])) {
        part.at++;
        part.len--;
    }
    while (part.len && is_blank(part.at[part.len - 1]))
        part.len--;
    return part;
}

bool str_part_is(struct str_part part, const char *text)
{
    return strlen(text) == part.len && memcmp(part.at, text, part.len) == 0;
}

size_t str_utf8_step(const unsigned char *at, size_t left)
{
    unsigned char lead = at[0];
    if (lead < 0x80)
        return 1;
    size_t length = lead >= 0xc2 && lead <= 0xdf   ? 2
                    : lead >= 0xe0 && lead <= 0xef ? 3
                    : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                   : 0;
    if (length == 0 || length > left)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    // The second byte's range rules out overlongs, surrogates and values past U+10FFFF.
    if ((lead == 0xe0 && at[1] < 0xa0) || (lead == 0xed && at[1] > 0x9f) ||
        (lead == 0xf0 && at[1] < 0x90) || (lead == 0xf4 && at[1] > 0x8f))
        return 0;
    return length;
}

bool str_utf8_valid(const char *text, size_t length)
{
    const unsigned char *at = (const unsigned char *)text;
    while (length) {
        size_t step = str_utf8_step(at, length);
        if (!step)
            return false;
        at += step;
        length -= step;
    }
    return true;
}
