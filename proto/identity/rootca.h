// The cluster's root: making it, checking it, and signing with it (swarmkit.md sections 2.1, 2.2,
// 5.1).
#ifndef PROTO_IDENTITY_ROOTCA_H
#define PROTO_IDENTITY_ROOTCA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/identity/credentials.h"
#include "proto/identity/key.h"
#include "proto/identity/rng.h"

#define ROOTCA_DIGEST_BYTES 32
// "sha256:" and 64 hexadecimal digits, terminator included: RootCA.ca_cert_hash.
#define ROOTCA_HASH_TEXT_BYTES 72

// Validity of a new root, and of what cluster settings below an hour are replaced by.
#define ROOTCA_VALID_S            INT64_C(630720000)
#define ROOTCA_LEAF_EXPIRY_NS     (2160 * NS_PER_H)
#define ROOTCA_LEAF_EXPIRY_NS_MIN NS_PER_H

// Appends a new self-signed root and its key, both as PEM.
void rootca_make(const struct rng *rng, struct wall now, struct buf *cert_pem, struct buf *key_pem);

// Checks a root bundle by the rules of section 2.2: each certificate is self-signed, valid now,
// signed with SHA-256/384/512 by RSA or ECDSA. INVALID_ARGUMENT with the reason otherwise.
int rootca_check(const char *roots_pem, struct wall now, struct err *err);

// SHA-256 over the exact bytes of the PEM text as served.
void rootca_digest(const void *roots_pem, size_t size, uint8_t out[ROOTCA_DIGEST_BYTES]);
void rootca_hash_text(const void *roots_pem, size_t size, char out[ROOTCA_HASH_TEXT_BYTES]);

// Who signs: a CA certificate with its key, opened once and used for many certificates. Safe for
// one thread at a time.
struct signer;

// `cert_pem` is the certificate whose key signs (its subject becomes the issuer);
// `intermediates_pem` (may be NULL) is what issued bundles carry after the leaf. During a rotation
// both are the cross-signed certificate. INVALID_ARGUMENT when the key does not belong to the
// certificate.
struct signer *signer_new(const char *cert_pem, const char *key_pem, const char *intermediates_pem,
                          struct err *err);
void signer_free(struct signer *signer); // wipes the key; NULL is fine

struct signer_order {
    const void *csr_pem; // size csr_size; only its public key is used
    size_t csr_size;
    const char *node_id;
    const char *cluster_id;
    enum identity_role role;
    int64_t expiry_ns; // node_cert_expiry; below the minimum means the default
    struct wall now;
};

// Issues a node certificate with exactly the fields of section 2.1 and appends the bundle as PEM.
// INVALID_ARGUMENT for a request that csr_open refuses or names that do not fit.
int signer_issue(struct signer *signer, const struct signer_order *order, const struct rng *rng,
                 struct buf *chain_pem, struct err *err);

// Signs the new root's certificate with this (the old) root's key: same subject, key, identifier,
// validity and CA flag, issued by the old root (section 5.1). Appends PEM.
int signer_cross_sign(struct signer *signer, const char *new_root_pem, const struct rng *rng,
                      struct buf *cert_pem, struct err *err);

#endif
