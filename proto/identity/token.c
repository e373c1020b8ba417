#include "proto/identity/token.h"

#include <mbedtls/sha256.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/codec.h"
#include "proto/base/str.h"

static const char lock_key_prefix[] = "SWMKEY-1-";

static void digest_of(const void *roots_pem, size_t size, uint8_t out[TOKEN_DIGEST_BYTES])
{
    CHECK(mbedtls_sha256_ret(roots_pem, size, out, 0) == 0);
}

void token_make(const void *roots_pem, size_t size, bool fips, const struct rng *rng,
                char out[TOKEN_TEXT_BYTES])
{
    uint8_t digest[TOKEN_DIGEST_BYTES];
    uint8_t secret[TOKEN_SECRET_BYTES];
    char digest_text[TOKEN_DIGEST_CHARS + 1];
    char secret_text[TOKEN_SECRET_CHARS + 1];
    digest_of(roots_pem, size, digest);
    rng_fill(rng, secret, sizeof secret);
    // 36^50 > 2^256 and 36^25 > 2^128, so both always fit.
    CHECK(base36_encode(digest, sizeof digest, digest_text, TOKEN_DIGEST_CHARS));
    CHECK(base36_encode(secret, sizeof secret, secret_text, TOKEN_SECRET_CHARS));
    CHECK(str_format(out, TOKEN_TEXT_BYTES, "SWMTKN-%s-%s-%s", fips ? "2-1" : "1", digest_text,
                     secret_text));
    explicit_bzero(secret, sizeof secret);
    explicit_bzero(secret_text, sizeof secret_text);
}

// Reads "1-" or "2-0-" or "2-1-" and steps past it.
static bool parse_version(const char **at, struct token *out)
{
    if (str_starts(*at, "1-")) {
        out->version = 1;
        *at += 2;
        return true;
    }
    if (str_starts(*at, "2-0-") || str_starts(*at, "2-1-")) {
        out->version = 2;
        out->fips = (*at)[2] == '1';
        *at += 4;
        return true;
    }
    return false;
}

static bool parse(const char *text, struct token *out)
{
    static const char prefix[] = "SWMTKN-";
    uint8_t secret[TOKEN_SECRET_BYTES];
    if (!str_starts(text, prefix))
        return false;
    const char *at = text + sizeof prefix - 1;
    if (!parse_version(&at, out))
        return false;
    if (strlen(at) != TOKEN_DIGEST_CHARS + 1 + TOKEN_SECRET_CHARS || at[TOKEN_DIGEST_CHARS] != '-')
        return false;
    if (!base36_decode(at, TOKEN_DIGEST_CHARS, out->root_digest, TOKEN_DIGEST_BYTES))
        return false;
    at += TOKEN_DIGEST_CHARS + 1;
    bool is_secret = base36_decode(at, TOKEN_SECRET_CHARS, secret, sizeof secret);
    explicit_bzero(secret, sizeof secret);
    if (is_secret)
        memcpy(out->secret, at, TOKEN_SECRET_CHARS + 1);
    return is_secret;
}

int token_parse(const char *text, struct token *out, struct err *err)
{
    *out = (struct token){0};
    if (!parse(text, out)) {
        explicit_bzero(out, sizeof *out);
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid join token");
    }
    return 0;
}

bool token_matches_root(const struct token *token, const void *roots_pem, size_t size)
{
    uint8_t digest[TOKEN_DIGEST_BYTES];
    digest_of(roots_pem, size, digest);
    return memcmp(digest, token->root_digest, sizeof digest) == 0; // public, so no secret to leak
}

bool token_equal(const char *given, const char *expected)
{
    return !str_empty(expected) && !str_empty(given) && str_equal_secret(given, expected);
}

void lock_key_make(const struct rng *rng, uint8_t out[LOCK_KEY_BYTES])
{
    rng_fill(rng, out, LOCK_KEY_BYTES);
}

void lock_key_format(const uint8_t key[LOCK_KEY_BYTES], char out[LOCK_KEY_TEXT_BYTES])
{
    struct buf text;
    buf_init(&text, LOCK_KEY_TEXT_BYTES);
    buf_put_str(&text, lock_key_prefix);
    base64_encode(BASE64_STD_RAW, key, LOCK_KEY_BYTES, &text);
    const char *whole = buf_cstr(&text);
    CHECK(whole);
    CHECK(str_copy(out, LOCK_KEY_TEXT_BYTES, whole));
    buf_wipe(&text);
}

int lock_key_parse(const char *text, uint8_t out[LOCK_KEY_BYTES], struct err *err)
{
    struct buf key;
    buf_init(&key, LOCK_KEY_BYTES);
    bool good = str_starts(text, lock_key_prefix) && strlen(text) < LOCK_KEY_TEXT_BYTES;
    if (good) {
        const char *digits = text + sizeof lock_key_prefix - 1;
        good = base64_decode(BASE64_STD_RAW, digits, strlen(digits), &key) &&
               key.len == LOCK_KEY_BYTES;
    }
    if (good)
        memcpy(out, key.data, LOCK_KEY_BYTES);
    buf_wipe(&key);
    return good ? 0 : err_set(err, ERR_INVALID_ARGUMENT, "invalid unlock key");
}
