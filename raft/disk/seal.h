// Sealing: bytes at rest under the node's data key (AES-256-GCM), bound to the place they belong
// to.
//
// A sealed record is key id (4) | nonce (12) | ciphertext | tag (16). The key id, the first bytes
// of the key's SHA-256, tells which of the two keys a rotation knows made it. The associated data
// names the record's place, so a record moved elsewhere does not open.
//
// A nonce is 8 random bytes drawn when the seal is made and a 4-byte counter; when the counter is
// used up, new random bytes are drawn. One thread at a time uses a seal.
#ifndef RAFT_DISK_SEAL_H
#define RAFT_DISK_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

#define SEAL_KEY_BYTES      32
#define SEAL_KEY_ID_BYTES   4
#define SEAL_NONCE_BYTES    12
#define SEAL_TAG_BYTES      16
#define SEAL_OVERHEAD_BYTES (SEAL_KEY_ID_BYTES + SEAL_NONCE_BYTES + SEAL_TAG_BYTES)

struct seal_key {
    uint8_t bytes[SEAL_KEY_BYTES];
};

struct seal;

// Gives `size` random bytes; entropy_bytes in programs, a seeded generator in simulations.
typedef void (*seal_random_fn)(void *out, size_t size);

// Seals with `current`, opens with it and with `previous` (NULL: no rotation under way). Keys are
// copied, and wiped by seal_free.
struct seal *seal_new(const struct seal_key *current, const struct seal_key *previous,
                      seal_random_fn draw);
void seal_free(struct seal *seal); // NULL is harmless

// From now on as on a processor that does no AES: for tests.
void seal_go_slow(struct seal *seal);

// Appends the sealed form of `plain` to `out`.
void seal_put(struct seal *seal, const void *place, size_t place_size, const void *plain,
              size_t plain_size, struct buf *out);

// Appends the plain bytes to `out`. DATA_LOSS when the record is cut, changed, of another place, or
// made with a key this seal does not have; `out` is then as it was.
int seal_open(struct seal *seal, const void *place, size_t place_size, const void *sealed,
              size_t sealed_size, struct buf *out, struct err *err);

// True when the record was made with the current key.
bool seal_is_current(const struct seal *seal, const void *sealed, size_t sealed_size);

#endif
