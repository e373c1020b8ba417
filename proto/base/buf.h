// Bytes with an end: a growing buffer to build into, and a cursor to parse from.
//
// Both remember trouble. A sequence of puts is checked once with buf_ok, a sequence of gets once
// with cursor_ok; after the first failure puts change nothing and gets return zero.
#ifndef PROTO_BASE_BUF_H
#define PROTO_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- building --------------------------------------------------------------------------------

struct buf {
    uint8_t *data; // heap, owned by the buf; NULL while empty
    size_t len;    // bytes in use
    size_t cap;    // bytes allocated
    size_t limit;  // most bytes it may ever hold
    bool overflow; // a put was refused because of the limit
};

// An empty buffer that may grow to `limit` bytes. Takes no memory yet.
void buf_init(struct buf *buf, size_t limit);

// Gives the memory back; the buf is empty and usable again.
void buf_fini(struct buf *buf);

// Empties it but keeps the memory, and forgets an overflow.
void buf_clear(struct buf *buf);

// False once a put was refused.
bool buf_ok(const struct buf *buf);

// Room for `size` (at least 1) more bytes, which the caller fills before the next call; already
// counted in len. NULL past the limit.
void *buf_extend(struct buf *buf, size_t size);

void buf_put(struct buf *buf, const void *bytes, size_t size);
void buf_put_str(struct buf *buf, const char *text); // without its NUL
void buf_put_u8(struct buf *buf, uint8_t value);
void buf_put_u16be(struct buf *buf, uint16_t value);
void buf_put_u32be(struct buf *buf, uint32_t value);
void buf_put_u64be(struct buf *buf, uint64_t value);
void buf_put_u32le(struct buf *buf, uint32_t value);
void buf_put_u64le(struct buf *buf, uint64_t value);
void buf_put_uvarint(struct buf *buf, uint64_t value); // LEB128, as protobuf and Go write it
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *buf, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

// Removes the first `size` bytes (at most len).
void buf_consume(struct buf *buf, size_t size);

// The text so far with a NUL after it, which is not counted in len. "" for an empty buf. Valid
// until the next change; NULL when even the NUL passes the limit.
const char *buf_cstr(struct buf *buf);

// Takes the bytes out: the caller owns the result and frees it; the buf is empty afterwards. *len
// may be NULL. NULL for an empty buf.
uint8_t *buf_steal(struct buf *buf, size_t *len);

// Overwrites the bytes with zeros, then as buf_fini: for secrets.
void buf_wipe(struct buf *buf);

// ---- parsing ---------------------------------------------------------------------------------

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool bad; // a get wanted more than there was
};

// A cursor over borrowed bytes, which must outlive it.
struct cursor cursor_of(const void *bytes, size_t size);

bool cursor_ok(const struct cursor *cursor);
size_t cursor_left(const struct cursor *cursor);

// True when everything was read and nothing failed.
bool cursor_done(const struct cursor *cursor);

uint8_t cursor_u8(struct cursor *cursor);
uint16_t cursor_u16be(struct cursor *cursor);
uint32_t cursor_u32be(struct cursor *cursor);
uint64_t cursor_u64be(struct cursor *cursor);
uint32_t cursor_u32le(struct cursor *cursor);
uint64_t cursor_u64le(struct cursor *cursor);
uint64_t cursor_uvarint(struct cursor *cursor); // bad when longer than 64 bits

// The next `size` bytes in place, or NULL (and bad) when there are fewer.
const uint8_t *cursor_bytes(struct cursor *cursor, size_t size);

// A cursor over the next `size` bytes, stepping past them. Bad and empty when there are fewer.
struct cursor cursor_sub(struct cursor *cursor, size_t size);

// Marks the cursor bad and empty: for parsers that find a value they cannot accept.
void cursor_fail(struct cursor *cursor);

// ---- arithmetic on untrusted sizes -------------------------------------------------------------

// True and *out set when the result fits; false (and *out unspecified) when it does not.
static inline bool size_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
static inline bool size_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

#endif
