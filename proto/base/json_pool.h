// Memory for JSON that is read, looked through and given back at once.
//
// A body of a kilobyte is some sixty values, each with two or three pieces of the heap: taking and
// giving those back one by one costs more than reading the text. What the thread parses between
// json_pool_begin and json_pool_end lies side by side in the pool instead; jansson gives it back as
// any other. Values may be changed and kept, but each keeps the piece of the pool it lies in
// (JSON_POOL_CHUNK_BYTES) from being used again: for values that live long it is not meant. When
// the pool has no room the heap takes over.
//
// One thread of a process uses it: the first that begins. Only that may give such values back;
// another's begin does nothing.
#ifndef PROTO_BASE_JSON_POOL_H
#define PROTO_BASE_JSON_POOL_H

#include <stddef.h>

#define JSON_POOL_CHUNK_BYTES ((size_t)16 * 1024)
#define JSON_POOL_CHUNKS      64

void json_pool_begin(void);
void json_pool_end(void);

// Pieces that are not free, for tests.
size_t json_pool_chunks_used(void);

#endif
