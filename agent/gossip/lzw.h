// The LZW of memberlist's compressed messages: literals of 8 bits, least significant bit first,
// codes of 9 to 12 bits, clear code 256, end code 257 (the flavour of GIF; gossip.md section 3).
#ifndef AGENT_GOSSIP_LZW_H
#define AGENT_GOSSIP_LZW_H

#include <stddef.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

// Appends the compressed form of any bytes. Past the limit of `out`, buf_ok tells.
void lzw_compress(const void *bytes, size_t size, struct buf *out);

// Appends what the bytes stand for; the limit of `out` bounds it. Input after the end code is
// ignored, as Go's reader does. INVALID_ARGUMENT for bytes that are no LZW or lack their end code,
// RESOURCE_EXHAUSTED past the limit; `out` then holds a part.
int lzw_decompress(const void *bytes, size_t size, struct buf *out, struct err *err);

#endif
