// Join tokens and lock keys as text (swarmkit.md sections 3.1 and 6.3).
#ifndef PROTO_IDENTITY_TOKEN_H
#define PROTO_IDENTITY_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/identity/rng.h"

#define TOKEN_DIGEST_BYTES 32
#define TOKEN_DIGEST_CHARS 50
#define TOKEN_SECRET_BYTES 16
#define TOKEN_SECRET_CHARS 25
// Longest token text (version 2), terminator included.
#define TOKEN_TEXT_BYTES 96

struct token {
    unsigned version; // 1 or 2
    bool fips;        // version 2 only: the cluster insists on FIPS
    uint8_t root_digest[TOKEN_DIGEST_BYTES];
    char secret[TOKEN_SECRET_CHARS + 1];
};

// A new token for a cluster with this root bundle (the exact PEM bytes served). Version 1, or
// version 2 when the cluster insists on FIPS.
void token_make(const void *roots_pem, size_t size, bool fips, const struct rng *rng,
                char out[TOKEN_TEXT_BYTES]);

// INVALID_ARGUMENT "invalid join token" for anything but the two forms of section 3.1. The error
// never quotes the token.
int token_parse(const char *text, struct token *out, struct err *err);

// True when the bundle is the one the token speaks of.
bool token_matches_root(const struct token *token, const void *roots_pem, size_t size);

// Compares whole token texts in constant time; an empty expectation matches nothing.
bool token_equal(const char *given, const char *expected);

#define LOCK_KEY_BYTES 32
// "SWMKEY-1-" and 43 characters of base64, terminator included.
#define LOCK_KEY_TEXT_BYTES 56

void lock_key_make(const struct rng *rng, uint8_t out[LOCK_KEY_BYTES]);
void lock_key_format(const uint8_t key[LOCK_KEY_BYTES], char out[LOCK_KEY_TEXT_BYTES]);
// INVALID_ARGUMENT for anything but the form above.
int lock_key_parse(const char *text, uint8_t out[LOCK_KEY_BYTES], struct err *err);

#endif
