#include "proto/base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"

#define BUF_CAP_MIN 64u

void buf_init(struct buf *buf, size_t limit)
{
    *buf = (struct buf){.limit = limit};
}

void buf_fini(struct buf *buf)
{
    free(buf->data);
    buf_init(buf, buf->limit);
}

void buf_clear(struct buf *buf)
{
    buf->len = 0;
    buf->overflow = false;
}

bool buf_ok(const struct buf *buf)
{
    return !buf->overflow;
}

// Makes room for `size` bytes after len; false past the limit.
static bool buf_reserve(struct buf *buf, size_t size)
{
    CHECK(buf->len <= buf->limit);
    if (buf->overflow || size > buf->limit - buf->len) {
        buf->overflow = true;
        return false;
    }
    size_t need = buf->len + size;
    if (need > buf->cap) {
        size_t cap = buf->cap ? buf->cap : BUF_CAP_MIN;
        while (cap < need)
            cap = cap > SIZE_MAX / 2 ? need : cap * 2;
        if (cap > buf->limit)
            cap = buf->limit;
        buf->data = realloc(buf->data, cap);
        CHECK(buf->data);
        buf->cap = cap;
    }
    return true;
}

void *buf_extend(struct buf *buf, size_t size)
{
    CHECK(size > 0);
    if (!buf_reserve(buf, size))
        return NULL;
    void *place = buf->data + buf->len;
    buf->len += size;
    return place;
}

void buf_put(struct buf *buf, const void *bytes, size_t size)
{
    if (size && buf_reserve(buf, size)) {
        memcpy(buf->data + buf->len, bytes, size);
        buf->len += size;
    }
}

void buf_put_str(struct buf *buf, const char *text)
{
    buf_put(buf, text, strlen(text));
}

void buf_put_u8(struct buf *buf, uint8_t value)
{
    buf_put(buf, &value, 1);
}

// The low `bytes` bytes of value, highest first.
static void put_be(struct buf *buf, uint64_t value, unsigned bytes)
{
    uint8_t out[8];
    for (unsigned i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    buf_put(buf, out, bytes);
}

// The low `bytes` bytes of value, lowest first.
static void put_le(struct buf *buf, uint64_t value, unsigned bytes)
{
    uint8_t out[8];
    for (unsigned i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * i));
    buf_put(buf, out, bytes);
}

void buf_put_u16be(struct buf *buf, uint16_t value)
{
    put_be(buf, value, 2);
}

void buf_put_u32be(struct buf *buf, uint32_t value)
{
    put_be(buf, value, 4);
}

void buf_put_u64be(struct buf *buf, uint64_t value)
{
    put_be(buf, value, 8);
}

void buf_put_u32le(struct buf *buf, uint32_t value)
{
    put_le(buf, value, 4);
}

void buf_put_u64le(struct buf *buf, uint64_t value)
{
    put_le(buf, value, 8);
}

void buf_put_uvarint(struct buf *buf, uint64_t value)
{
    while (value >= 0x80) {
        buf_put_u8(buf, (uint8_t)(value | 0x80));
        value >>= 7;
    }
    buf_put_u8(buf, (uint8_t)value);
}

void buf_vprintf(struct buf *buf, const char *format, va_list args)
{
    va_list again;
    char line[256]; // most are no longer, and need be printed only once
    va_copy(again, args);
    int length = vsnprintf(line, sizeof line, format, again);
    va_end(again);
    CHECK(length >= 0);
    if ((size_t)length < sizeof line) {
        buf_put(buf, line, (size_t)length);
        return;
    }
    // vsnprintf writes a NUL that we do not keep, so print aside when the limit leaves no room for
    // it.
    char *text = malloc((size_t)length + 1);
    CHECK(text);
    vsnprintf(text, (size_t)length + 1, format, args);
    buf_put(buf, text, (size_t)length);
    free(text);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    buf_vprintf(buf, format, args);
    va_end(args);
}

void buf_consume(struct buf *buf, size_t size)
{
    CHECK(size <= buf->len);
    buf->len -= size;
    if (buf->len && size)
        memmove(buf->data, buf->data + size, buf->len);
}

const char *buf_cstr(struct buf *buf)
{
    if (buf->len == 0)
        return "";
    bool before = buf->overflow;
    buf->overflow = false;
    bool room = buf_reserve(buf, 1);
    buf->overflow = before;
    if (!room)
        return NULL;
    buf->data[buf->len] = '\0';
    return (const char *)buf->data;
}

uint8_t *buf_steal(struct buf *buf, size_t *len)
{
    uint8_t *data = buf->len ? buf->data : NULL;
    if (len)
        *len = buf->len;
    if (!data)
        free(buf->data);
    buf_init(buf, buf->limit);
    return data;
}

void buf_wipe(struct buf *buf)
{
    if (buf->data)
        explicit_bzero(buf->data, buf->cap);
    buf_fini(buf);
}

struct cursor cursor_of(const void *bytes, size_t size)
{
    static const uint8_t none[1];
    const uint8_t *at = size ? bytes : none;
    return (struct cursor){.at = at, .end = at + size};
}

bool cursor_ok(const struct cursor *cursor)
{
    return !cursor->bad;
}

size_t cursor_left(const struct cursor *cursor)
{
    return (size_t)(cursor->end - cursor->at);
}

bool cursor_done(const struct cursor *cursor)
{
    return !cursor->bad && cursor->at == cursor->end;
}

void cursor_fail(struct cursor *cursor)
{
    cursor->bad = true;
    cursor->at = cursor->end;
}

const uint8_t *cursor_bytes(struct cursor *cursor, size_t size)
{
    if (cursor->bad || size > cursor_left(cursor)) {
        cursor_fail(cursor);
        return NULL;
    }
    const uint8_t *bytes = cursor->at;
    cursor->at += size;
    return bytes;
}

struct cursor cursor_sub(struct cursor *cursor, size_t size)
{
    const uint8_t *bytes = cursor_bytes(cursor, size);
    struct cursor sub = cursor_of(bytes, bytes ? size : 0);
    sub.bad = !bytes;
    return sub;
}

static uint64_t get_be(struct cursor *cursor, unsigned bytes)
{
    const uint8_t *in = cursor_bytes(cursor, bytes);
    uint64_t value = 0;
    for (unsigned i = 0; in && i < bytes; i++)
        value = (value << 8) | in[i];
    return value;
}

static uint64_t get_le(struct cursor *cursor, unsigned bytes)
{
    const uint8_t *in = cursor_bytes(cursor, bytes);
    uint64_t value = 0;
    for (unsigned i = 0; in && i < bytes; i++)
        value |= (uint64_t)in[i] << (8 * i);
    return value;
}

uint8_t cursor_u8(struct cursor *cursor)
{
    return (uint8_t)get_be(cursor, 1);
}

uint16_t cursor_u16be(struct cursor *cursor)
{
    return (uint16_t)get_be(cursor, 2);
}

uint32_t cursor_u32be(struct cursor *cursor)
{
    return (uint32_t)get_be(cursor, 4);
}

uint64_t cursor_u64be(struct cursor *cursor)
{
    return get_be(cursor, 8);
}

uint32_t cursor_u32le(struct cursor *cursor)
{
    return (uint32_t)get_le(cursor, 4);
}

uint64_t cursor_u64le(struct cursor *cursor)
{
    return get_le(cursor, 8);
}

uint64_t cursor_uvarint(struct cursor *cursor)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = cursor_u8(cursor);
        if (cursor->bad)
            return 0;
        // The tenth byte may carry only the 64th bit.
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    cursor_fail(cursor);
    return 0;
}
