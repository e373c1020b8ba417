// Writing X.509 certificates: the fields of swarmkit.md sections 2.1 and 2.2, byte for byte as far
// as stock peers look. Used by rootca.c alone.
//
// mbedTLS's own writer composes the issuer's name anew, in other string types than Go's; Go
// compares issuer and subject as bytes and would not find the root. So names here are DER, taken as
// they are.
#ifndef PROTO_IDENTITY_CERTIFICATE_H
#define PROTO_IDENTITY_CERTIFICATE_H

#include <mbedtls/pk.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/identity/key.h"

#define CERTIFICATE_NAMES_MAX 3

struct certificate {
    struct cursor issuer;   // DER Name
    struct cursor subject;  // DER Name
    struct wall not_before; // whole seconds count
    struct wall not_after;
    struct cursor public_key; // DER SubjectPublicKeyInfo
    bool ca;                  // a root or cross-signed root; else a node
    const char *dns_names[CERTIFICATE_NAMES_MAX];
    size_t dns_names_count;
    struct cursor key_identifier;
    struct cursor authority_identifier; // empty: left out
};

// Appends a Name of these parts as DER: CN only, or O, OU and CN when `organization` is not NULL.
// Returns false when a part is too long.
bool certificate_name(const char *organization, const char *unit, const char *common,
                      struct buf *out);

// Signs it with a random serial number and appends PEM.
void certificate_sign(const struct certificate *certificate, const struct key *signer,
                      const struct rng *rng, struct buf *pem);

#endif
