// Private keys of nodes and CAs: made as ECDSA P-256, read as anything peers accept.
#ifndef PROTO_IDENTITY_KEY_H
#define PROTO_IDENTITY_KEY_H

#include <mbedtls/pk.h>
#include <stddef.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/identity/rng.h"

// Smallest RSA key accepted anywhere (swarmkit.md section 2.1).
#define KEY_RSA_BITS_MIN 2048
// Largest: bounds what one signature check may cost us.
#define KEY_RSA_BITS_MAX 8192

struct key {
    mbedtls_pk_context pk;
};

// A new P-256 key.
void key_make(struct key *key, const struct rng *rng);

// Reads a DER key: PKCS#8, SEC1 or PKCS#1. INVALID_ARGUMENT when it is none, or of a kind that
// key_acceptable refuses. On error the key is empty.
int key_parse_der(struct key *key, const void *der, size_t size, struct err *err);

// Reads the first private key block of a PEM text. Encrypted ones are keyfile.h's business and
// refused here with FAILED_PRECONDITION.
int key_parse_pem(struct key *key, const char *pem, size_t size, struct err *err);

// Wipes it. A zeroed key is fine.
void key_fini(struct key *key);

// Appends the key as PKCS#8, as PEM (without headers) or DER. Wipe the buf after use.
void key_write_pem(const struct key *key, struct buf *out);
void key_write_der(const struct key *key, struct buf *out);

// Appends the DER SubjectPublicKeyInfo.
void key_write_public(const mbedtls_pk_context *pk, struct buf *out);

// True for ECDSA on P-256, P-384 or P-521 and RSA of KEY_RSA_BITS_MIN..MAX.
bool key_acceptable(const mbedtls_pk_context *pk);

// True when both hold the same public key.
bool key_same_public(const mbedtls_pk_context *a, const mbedtls_pk_context *b);

#define KEY_SHA1_BYTES 20

// SHA-1 over the bits of the public key: the subject key identifier (RFC 5280 section 4.2.1.2).
void key_identifier(const mbedtls_pk_context *pk, unsigned char out[KEY_SHA1_BYTES]);

#endif
