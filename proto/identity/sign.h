// Signatures on X.509 documents: which algorithm a key signs with, making and checking. Used inside
// this room.
#ifndef PROTO_IDENTITY_SIGN_H
#define PROTO_IDENTITY_SIGN_H

#include <mbedtls/pk.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/base/buf.h"
#include "proto/identity/der.h"
#include "proto/identity/key.h"
#include "proto/identity/rng.h"

// Puts the AlgorithmIdentifier a key signs with: the hash follows the key's size, as stock signers
// do it (P-256: SHA-256, P-384: SHA-384, P-521: SHA-512; RSA by modulus in the same steps).
void sign_algorithm(struct der *der, const struct key *key);

// Appends SEQUENCE { document, algorithm, signature }, the shape of certificates and requests
// alike.
void sign_document(const struct key *key, const struct rng *rng, const void *document, size_t size,
                   struct buf *out);

struct signature {
    const void *document;
    size_t document_size;
    const unsigned char *bytes;
    size_t bytes_size;
    mbedtls_md_type_t hash;
    mbedtls_pk_type_t kind;
    const void *options; // mbedTLS's sig_opts
};

// True when `pk` is a key we accept, the hash is SHA-256, SHA-384 or SHA-512 and the signature
// holds.
bool sign_check(const struct signature *signature, const mbedtls_pk_context *pk);

#endif
