#include "proto/wire/raw.h"

#include <string.h>

#include "proto/base/check.h"

enum kind { KIND_VARINT = 0, KIND_64 = 1, KIND_BYTES = 2, KIND_32 = 5 };

bool raw_next(struct cursor *cursor, struct raw *field)
{
    if (!cursor_ok(cursor) || cursor_left(cursor) == 0)
        return false;
    *field = (struct raw){.begin = cursor->at};
    uint64_t tag = cursor_uvarint(cursor);
    field->number = (uint32_t)(tag >> 3);
    field->kind = (uint32_t)(tag & 7);
    switch (field->kind) {
    case KIND_VARINT:
        field->value = cursor_uvarint(cursor);
        break;
    case KIND_64:
        field->value = cursor_u64le(cursor);
        break;
    case KIND_32:
        field->value = cursor_u32le(cursor);
        break;
    case KIND_BYTES: {
        uint64_t size = cursor_uvarint(cursor);
        if (size > cursor_left(cursor)) {
            cursor_fail(cursor);
            return false;
        }
        field->size = (size_t)size;
        field->bytes = cursor_bytes(cursor, field->size);
        break;
    }
    default:
        cursor_fail(cursor);
    }
    field->end = cursor->at;
    return cursor_ok(cursor);
}

bool raw_find(const void *bytes, size_t size, uint32_t number, struct raw *field)
{
    struct cursor cursor = cursor_of(bytes, size);
    struct raw next;
    bool found = false;
    while (raw_next(&cursor, &next)) {
        if (next.number == number) {
            *field = next;
            found = true;
        }
    }
    return found;
}

struct cursor raw_inside(const void *bytes, size_t size, uint32_t number)
{
    struct raw field;
    if (!raw_find(bytes, size, number, &field) || field.kind != KIND_BYTES)
        return cursor_of(NULL, 0);
    return cursor_of(field.bytes, field.size);
}

uint64_t raw_uint(const void *bytes, size_t size, uint32_t number)
{
    struct raw field;
    return raw_find(bytes, size, number, &field) ? field.value : 0;
}

// The next field that counts.
static bool next_counted(struct cursor *cursor, uint64_t except, struct raw *field)
{
    while (raw_next(cursor, field))
        if (field->number >= 64 || !(except >> field->number & 1))
            return true;
    return false;
}

bool raw_same(const void *a, size_t a_size, const void *b, size_t b_size, uint64_t except)
{
    struct cursor left = cursor_of(a, a_size);
    struct cursor right = cursor_of(b, b_size);
    for (;;) {
        struct raw one;
        struct raw other;
        bool more = next_counted(&left, except, &one);
        if (more != next_counted(&right, except, &other))
            return false;
        if (!more)
            return cursor_ok(&left) && cursor_ok(&right);
        size_t size = (size_t)(one.end - one.begin);
        if (size != (size_t)(other.end - other.begin) || memcmp(one.begin, other.begin, size) != 0)
            return false;
    }
}

void raw_put_uint(struct buf *out, uint32_t number, uint64_t value)
{
    if (value == 0)
        return;
    buf_put_uvarint(out, (uint64_t)number << 3 | KIND_VARINT);
    buf_put_uvarint(out, value);
}

void raw_put_head(struct buf *out, uint32_t number, size_t size)
{
    buf_put_uvarint(out, (uint64_t)number << 3 | KIND_BYTES);
    buf_put_uvarint(out, size);
}

static size_t uvarint_size(uint64_t value)
{
    size_t size = 1;
    while (value >>= 7)
        size++;
    return size;
}

size_t raw_head_size(uint32_t number, size_t size)
{
    return uvarint_size((uint64_t)number << 3) + uvarint_size(size);
}

void raw_put_message(struct buf *out, uint32_t number, const void *bytes, size_t size)
{
    raw_put_head(out, number, size);
    if (size > 0)
        buf_put(out, bytes, size);
}

void raw_put_bytes(struct buf *out, uint32_t number, const void *bytes, size_t size)
{
    if (size > 0)
        raw_put_message(out, number, bytes, size);
}

void raw_put_text(struct buf *out, uint32_t number, const char *text)
{
    raw_put_bytes(out, number, text, text ? strlen(text) : 0);
}
