// Parsed certificate chains for the other files of this room: PEM text to mbedTLS's list and back.
#ifndef PROTO_IDENTITY_CHAIN_H
#define PROTO_IDENTITY_CHAIN_H

#include <mbedtls/x509_crt.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/identity/key.h"

// Reads 1 to `count_max` certificates in their order. INVALID_ARGUMENT for any other block, more of
// them, none, or one that cannot be parsed; the list is then empty. Give it back with
// mbedtls_x509_crt_free.
int chain_parse(mbedtls_x509_crt *list, const char *pem, size_t count_max, struct err *err);

size_t chain_count(const mbedtls_x509_crt *list);

// True when `parent` is a CA whose name is the child's issuer and whose key made the child's
// signature. `below` is how many intermediates stand between the child's leaf and `parent`.
bool chain_signed_by(const mbedtls_x509_crt *child, const mbedtls_x509_crt *parent, size_t below);

// A moment as a certificate writes it. Beyond struct wall's years it is the last moment there is.
struct wall chain_time(const mbedtls_x509_time *time);

// The subject key identifier a certificate states, or else the usual one of its key. At most `max`
// bytes; returns how many.
size_t chain_key_identifier(const mbedtls_x509_crt *crt, unsigned char *out, size_t max);

#endif
