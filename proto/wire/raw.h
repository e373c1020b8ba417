// Encoded messages without decoding them: reading a field or two of a stored object, telling
// whether two encodings differ, putting messages together from parts that are already encoded.
//
// A list sent to ten thousand agents is mostly copies of stored bytes; decoding them first would
// cost ten times the work. Nothing here checks more than that it stays inside of the bytes: they
// are ours, or were decoded once.
#ifndef PROTO_WIRE_RAW_H
#define PROTO_WIRE_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"

// One field as it lies in the bytes.
struct raw {
    uint32_t number;
    uint32_t kind;     // protobuf's wire type: 0 varint, 1 64 bits, 2 bytes, 5 32 bits
    uint64_t value;    // of a varint
    const void *bytes; // of kind 2: its contents
    size_t size;
    const uint8_t *begin; // of the whole field, tag included
    const uint8_t *end;
};

// Takes the next field off the front. False at the end, and (cursor bad) where the bytes are no
// fields.
bool raw_next(struct cursor *cursor, struct raw *field);

// The last field of that number, as a decoder would take it, or false. For messages that occur
// twice (which a decoder merges, and nobody writes) it is the last part.
bool raw_find(const void *bytes, size_t size, uint32_t number, struct raw *field);

// A message inside of a message: cursor_of its contents, empty when there is none.
struct cursor raw_inside(const void *bytes, size_t size, uint32_t number);

// A varint field, 0 when it is not there.
uint64_t raw_uint(const void *bytes, size_t size, uint32_t number);

// True when both encode the same but for the fields whose bit (1 << number) is in `except`, in the
// same order. False may still mean the same message: maps have no order.
bool raw_same(const void *a, size_t a_size, const void *b, size_t b_size, uint64_t except);

// Appends a field. As encoders do, zeros and empty contents are left out, but by raw_put_message.
void raw_put_uint(struct buf *out, uint32_t number, uint64_t value);
void raw_put_bytes(struct buf *out, uint32_t number, const void *bytes, size_t size);
void raw_put_text(struct buf *out, uint32_t number, const char *text);
void raw_put_message(struct buf *out, uint32_t number, const void *bytes, size_t size);

// Appends only the tag and length of a field whose `size` bytes the caller puts next; the number of
// bytes that such a head takes.
void raw_put_head(struct buf *out, uint32_t number, size_t size);
size_t raw_head_size(uint32_t number, size_t size);

#endif
