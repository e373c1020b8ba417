// MaybeEncryptedRecord: bytes sealed under a 32-byte key, or in clear (swarmkit.md section 6.4).
#ifndef PROTO_IDENTITY_RECORD_H
#define PROTO_IDENTITY_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/identity/rng.h"

#define RECORD_KEY_BYTES 32
// Largest record opened.
#define RECORD_BYTES_MAX (64u << 20)

// The numbers are swarmkit's MaybeEncryptedRecord.Algorithm.
enum record_algorithm {
    RECORD_CLEAR = 0,
    RECORD_SECRETBOX = 1, // XSalsa20-Poly1305, the default
    RECORD_FERNET = 2,    // AES-128-CBC and HMAC-SHA256, the only one under FIPS
};

// Appends the serialised record. `key` has RECORD_KEY_BYTES and may be NULL for RECORD_CLEAR only;
// `now` is written into Fernet records, where nobody checks it.
void record_seal(enum record_algorithm algorithm, const uint8_t *key, const void *plain,
                 size_t size, const struct rng *rng, struct wall now, struct buf *out);

// Appends the plain bytes. `key` may be NULL: then only records in clear open. INVALID_ARGUMENT
// when the bytes are no record, FAILED_PRECONDITION when they are sealed and there is no key,
// UNAUTHENTICATED when the key does not fit or the record was changed.
int record_open(const uint8_t *key, const void *bytes, size_t size, struct buf *plain,
                struct err *err);

#endif
