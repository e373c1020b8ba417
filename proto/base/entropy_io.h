// The kernel's randomness, for keys, tokens, ids and seeds.
#ifndef PROTO_BASE_ENTROPY_IO_H
#define PROTO_BASE_ENTROPY_IO_H

#include <stddef.h>

#include "proto/base/id.h"
#include "proto/base/rand.h"

// Fills `out` from the kernel. A kernel that cannot give randomness stops the process: nothing
// secret may be made without it.
void entropy_bytes(void *out, size_t size);

// A new object id from the kernel's randomness.
struct id entropy_id(void);

// Seeds a generator for decisions that need not repeat.
void entropy_seed(struct rand *rand);

#endif
