// Bytes as text: base 36 of fixed width, base 64 in its variants, hexadecimal.
#ifndef PROTO_BASE_CODEC_H
#define PROTO_BASE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"

// Longest big-endian number the base 36 functions take.
#define BASE36_BYTES_MAX 64

// Writes the big-endian number as exactly `width` digits 0-9a-z, padded with 0 on the left, and a
// NUL; out holds width + 1. False (and out empty) when it needs more digits. size <=
// BASE36_BYTES_MAX.
bool base36_encode(const void *bytes, size_t size, char *out, size_t width);

// Reads `width` digits 0-9a-z into a big-endian number of exactly `size` bytes. False when a
// character is no digit or the number does not fit. size <= BASE36_BYTES_MAX.
bool base36_decode(const char *digits, size_t width, void *out, size_t size);

enum base64_kind {
    BASE64_STD,     // +/ with padding (RFC 4648 section 4)
    BASE64_STD_RAW, // +/ without padding
    BASE64_URL,     // -_ with padding (RFC 4648 section 5)
    BASE64_URL_RAW, // -_ without padding
};

// Characters of the encoding of `size` bytes, without a NUL.
size_t base64_length(enum base64_kind kind, size_t size);

// Appends the encoding to `out`; buf_ok tells whether it fitted.
void base64_encode(enum base64_kind kind, const void *bytes, size_t size, struct buf *out);

// Appends the bytes that the whole text encodes. False on any character, padding or trailing bit
// that the kind does not allow; `out` is then as it was.
bool base64_decode(enum base64_kind kind, const char *text, size_t length, struct buf *out);

// Lower-case hexadecimal; out holds 2 * size + 1. Returns out.
char *hex_encode(const void *bytes, size_t size, char *out);

// Reads exactly 2 * size hexadecimal digits of either case. False on anything else.
bool hex_decode(const char *text, size_t length, void *out, size_t size);

#endif
