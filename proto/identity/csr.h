// Certificate signing requests (PKCS#10, swarmkit.md section 2.4).
#ifndef PROTO_IDENTITY_CSR_H
#define PROTO_IDENTITY_CSR_H

#include <stddef.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/identity/key.h"

// Largest request text accepted from outside.
#define CSR_BYTES_MAX (16u << 10)

// Appends a request for the key as PEM: empty subject, no extensions, ECDSA-SHA256.
void csr_make(const struct key *key, const struct rng *rng, struct buf *out);

// Reads a request (block types CERTIFICATE REQUEST and NEW CERTIFICATE REQUEST), checks its
// signature with its own key and that the key is acceptable, and appends the key's DER
// SubjectPublicKeyInfo: nothing else of a request is ever used. INVALID_ARGUMENT otherwise.
int csr_open(const void *pem, size_t size, struct buf *public_key, struct err *err);

#endif
