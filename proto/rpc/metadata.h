// Metadata: the named values that travel with a call, in the order they came. A key may repeat.
#ifndef PROTO_RPC_METADATA_H
#define PROTO_RPC_METADATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/arena.h"

// Most entries a set holds; a peer's further ones make its call fail with RESOURCE_EXHAUSTED.
#define METADATA_ENTRIES_MAX 128

// Most bytes of keys and values in one set, as peers may send them (grpc-go counts the same way).
#define METADATA_BYTES_MAX (16u * 1024)

struct metadata_entry {
    const char *key;   // lower case, NUL-terminated
    const char *value; // NUL-terminated after `size` bytes; of "-bin" keys the decoded bytes
    size_t size;
};

// Strings live in `arena`, which must outlive the set.
struct metadata {
    struct arena *arena;
    struct metadata_entry *entries;
    size_t count;
    size_t cap;
    size_t bytes;
};

void metadata_init(struct metadata *metadata, struct arena *arena);

// Adds a copy. False when a limit is reached or the key is not one (metadata_key_ok), or the value
// of a key without "-bin" holds bytes outside 0x20..0x7e.
bool metadata_add(struct metadata *metadata, const char *key, const char *value);
bool metadata_add_bytes(struct metadata *metadata, const char *key, const void *value, size_t size);

// Removes every entry of the key.
void metadata_remove(struct metadata *metadata, const char *key);

// How many values the key has.
size_t metadata_values(const struct metadata *metadata, const char *key);

// The key's value number `index` in order of arrival, or NULL.
const struct metadata_entry *metadata_at(const struct metadata *metadata, const char *key,
                                         size_t index);

// The key's first value as text, or NULL.
const char *metadata_get(const struct metadata *metadata, const char *key);

// Adds copies of all entries of `from`. False when a limit is reached.
bool metadata_copy(struct metadata *metadata, const struct metadata *from);

// Lower-case letters, digits, '-', '_' and '.', at least one (gRPC's Header-Name).
bool metadata_key_ok(const char *key, size_t length);

// Keys that belong to the protocol and never to applications: ":...", "grpc-...", "te",
// "content-type", "user-agent", "host", "connection" and the like.
bool metadata_key_reserved(const char *key, size_t length);

#endif
