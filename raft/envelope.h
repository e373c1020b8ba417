// The data of a Raft snapshot: SwarmKit's Snapshot message around the member list and the store
// (swarmkit 18.7). Built and taken apart without decoding the store, which may be large. Pure.
#ifndef RAFT_ENVELOPE_H
#define RAFT_ENVELOPE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

// Largest snapshot made or taken.
#define ENVELOPE_BYTES_MAX ((size_t)1 << 31)

struct envelope {
    const uint8_t *members; // a ClusterSnapshot, borrowed
    size_t members_size;
    const uint8_t *store; // a StoreSnapshot, borrowed
    size_t store_size;
};

// Appends the Snapshot message around both parts; buf_ok tells whether it fitted.
void envelope_put(const struct envelope *envelope, struct buf *out);

// Finds the parts. INVALID_ARGUMENT when the bytes are no such message; UNIMPLEMENTED for a version
// other than V0 (18.7: refused). A part that is missing is empty.
int envelope_get(const void *bytes, size_t size, struct envelope *envelope, struct err *err);

#endif
