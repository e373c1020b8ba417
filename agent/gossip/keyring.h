// The cluster's gossip keys: which one seals, which ones open, and the sealed form of memberlist's
// packets and frames (AES-GCM; gossip.md sections 6 and 12).
//
// Managers hand every node three keys. By their Lamport time the middle one is the primary: it was
// known everywhere one whole rotation before it is used. All three open. A new set replaces the
// ring as a whole, which also serves a node that missed rotations.
#ifndef AGENT_GOSSIP_KEYRING_H
#define AGENT_GOSSIP_KEYRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/wire/types.pb-c.h"

#define KEYRING_KEYS        3 // any other number is refused, as stock agents do
#define KEYRING_KEY_BYTES   16
#define KEYRING_NONCE_BYTES 12
#define KEYRING_TAG_BYTES   16
// What sealing adds: the version byte, the nonce and the tag.
#define KEYRING_OVERHEAD_BYTES (1 + KEYRING_NONCE_BYTES + KEYRING_TAG_BYTES)
// Plain bytes that a look before the verification sees.
#define KEYRING_PEEK_BYTES 16

#define KEYRING_GOSSIP "networking:gossip"
#define KEYRING_IPSEC  "networking:ipsec"

struct keyring;

// A ring without keys: it opens nothing, and must not seal.
struct keyring *keyring_new(void);
void keyring_free(struct keyring *ring); // wipes the keys; NULL is fine

// Takes the gossip keys out of a session message's set; those of IPsec are passed over.
// INVALID_ARGUMENT, and the ring as it was, for another subsystem or algorithm, not exactly three
// gossip keys, a key of a wrong size, or two with one Lamport time.
int keyring_load(struct keyring *ring, Swarm__EncryptionKey *const *keys, size_t count,
                 struct err *err);

bool keyring_ready(const struct keyring *ring);
uint64_t keyring_primary(const struct keyring *ring); // its Lamport time; the ring is ready

// Appends the sealed form (version 1) of `plain` under the primary key. `bound` is the additional
// authenticated data. A nonce must never be used twice. Past the limit of `out`, buf_ok tells.
void keyring_seal(struct keyring *ring, const uint8_t nonce[KEYRING_NONCE_BYTES], const void *bound,
                  size_t bound_size, const void *plain, size_t plain_size, struct buf *out);

// Says whether unverified plain bytes (1 to KEYRING_PEEK_BYTES) could start a message. It sees only
// what is public in any message: types and keys of maps.
typedef bool keyring_peek_fn(const uint8_t *start, size_t size);

// Appends the plain bytes of what any key of the ring sealed, versions 0 (padded) and 1. Junk costs
// one block of AES for each key, for `peek` refuses it before the whole is verified.
// UNAUTHENTICATED for what no key opens, RESOURCE_EXHAUSTED past the limit of `out`; `out` is then
// as it was.
int keyring_open(struct keyring *ring, const void *bound, size_t bound_size, const void *sealed,
                 size_t sealed_size, keyring_peek_fn *peek, struct buf *out, struct err *err);

#endif
