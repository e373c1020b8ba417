#include "proto/identity/record.h"

#include <mbedtls/aes.h>
#include <mbedtls/md.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/codec.h"
#include "proto/base/str.h"

// Field numbers and wire types of MaybeEncryptedRecord. It is written here by hand because it seals
// key files before any message is decoded: three fields, no repetition, no nesting.
#define TAG_ALGORITHM 0x08 // 1, varint
#define TAG_DATA      0x12 // 2, bytes
#define TAG_NONCE     0x1a // 3, bytes

static_assert(RECORD_KEY_BYTES == crypto_secretbox_KEYBYTES, "one key size");
#define NONCE_BYTES crypto_secretbox_NONCEBYTES
#define TAG_BYTES   crypto_secretbox_MACBYTES

// The Fernet token (github.com/fernet/spec): version, time, IV, ciphertext, HMAC.
#define FERNET_VERSION   0x80
#define FERNET_IV_AT     9
#define FERNET_IV_BYTES  16
#define FERNET_BODY_AT   25
#define FERNET_MAC_BYTES 32
#define FERNET_KEY_BYTES 16 // of each half: first for the HMAC, then for AES

static void put_bytes(struct buf *out, uint8_t tag, const void *bytes, size_t size)
{
    buf_put_u8(out, tag);
    buf_put_uvarint(out, size);
    buf_put(out, bytes, size);
}

static void fernet_mac(const uint8_t *key, const void *bytes, size_t size, uint8_t *out)
{
    const mbedtls_md_info_t *info = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);
    CHECK(mbedtls_md_hmac(info, key, FERNET_KEY_BYTES, bytes, size, out) == 0);
}

static void fernet_seal(const uint8_t *key, const void *plain, size_t size, const struct rng *rng,
                        struct wall now, struct buf *out)
{
    size_t pad = 16 - size % 16;
    struct buf token;
    buf_init(&token, FERNET_BODY_AT + size + pad + FERNET_MAC_BYTES);
    uint8_t iv[FERNET_IV_BYTES];
    rng_fill(rng, iv, sizeof iv);
    buf_put_u8(&token, FERNET_VERSION);
    buf_put_u64be(&token, now.ns < 0 ? 0 : (uint64_t)(now.ns / NS_PER_S));
    buf_put(&token, iv, sizeof iv);
    uint8_t *body = buf_extend(&token, size + pad);
    CHECK(body);
    if (size)
        memcpy(body, plain, size);
    memset(body + size, (int)pad, pad);
    mbedtls_aes_context aes;
    mbedtls_aes_init(&aes);
    CHECK(mbedtls_aes_setkey_enc(&aes, key + FERNET_KEY_BYTES, FERNET_KEY_BYTES * 8) == 0);
    CHECK(mbedtls_aes_crypt_cbc(&aes, MBEDTLS_AES_ENCRYPT, size + pad, iv, body, body) == 0);
    mbedtls_aes_free(&aes);
    uint8_t mac[FERNET_MAC_BYTES];
    fernet_mac(key, token.data, token.len, mac);
    buf_put(&token, mac, sizeof mac);
    CHECK(buf_ok(&token));
    struct buf text;
    buf_init(&text, base64_length(BASE64_URL, token.len));
    base64_encode(BASE64_URL, token.data, token.len, &text);
    put_bytes(out, TAG_DATA, text.data, text.len);
    buf_fini(&text);
    buf_fini(&token);
}

void record_seal(enum record_algorithm algorithm, const uint8_t *key, const void *plain,
                 size_t size, const struct rng *rng, struct wall now, struct buf *out)
{
    CHECK(key || algorithm == RECORD_CLEAR);
    // Zero is left out on the wire, as proto3 does.
    if (algorithm != RECORD_CLEAR) {
        buf_put_u8(out, TAG_ALGORITHM);
        buf_put_uvarint(out, (uint64_t)algorithm);
    }
    switch (algorithm) {
    case RECORD_CLEAR:
        put_bytes(out, TAG_DATA, plain, size);
        return;
    case RECORD_SECRETBOX: {
        uint8_t nonce[NONCE_BYTES];
        rng_fill(rng, nonce, sizeof nonce);
        uint8_t *sealed = mem_alloc(size + TAG_BYTES);
        CHECK(crypto_secretbox_easy(sealed, plain, size, nonce, key) == 0);
        put_bytes(out, TAG_DATA, sealed, size + TAG_BYTES);
        put_bytes(out, TAG_NONCE, nonce, sizeof nonce);
        free(sealed);
        return;
    }
    case RECORD_FERNET:
        fernet_seal(key, plain, size, rng, now, out);
        return;
    }
    UNREACHABLE("record algorithm");
}

struct record {
    uint64_t algorithm;
    struct cursor data;
    struct cursor nonce;
};

// Steps over a field nobody here knows. False for wire types that protobuf no longer has.
static bool skip_field(struct cursor *at, uint64_t tag)
{
    switch (tag & 7) {
    case 0:
        cursor_uvarint(at);
        return true;
    case 1:
        cursor_bytes(at, 8);
        return true;
    case 2: {
        uint64_t size = cursor_uvarint(at);
        cursor_bytes(at, size <= cursor_left(at) ? (size_t)size : SIZE_MAX);
        return true;
    }
    case 5:
        cursor_bytes(at, 4);
        return true;
    default:
        return false;
    }
}

static bool decode(struct cursor at, struct record *record)
{
    while (cursor_ok(&at) && cursor_left(&at)) {
        uint64_t tag = cursor_uvarint(&at);
        uint64_t size;
        switch (tag) {
        case TAG_ALGORITHM:
            record->algorithm = cursor_uvarint(&at);
            break;
        case TAG_DATA:
        case TAG_NONCE:
            size = cursor_uvarint(&at);
            if (size > cursor_left(&at))
                return false;
            *(tag == TAG_DATA ? &record->data : &record->nonce) = cursor_sub(&at, (size_t)size);
            break;
        default:
            if (tag >> 3 == 0 || !skip_field(&at, tag))
                return false;
        }
    }
    return cursor_done(&at);
}

static int wrong_key(struct err *err)
{
    return err_set(err, ERR_UNAUTHENTICATED, "sealed record does not open with this key");
}

static int secretbox_open(const uint8_t *key, const struct record *record, struct buf *plain,
                          struct err *err)
{
    size_t size = cursor_left(&record->data);
    if (cursor_left(&record->nonce) != NONCE_BYTES || size < TAG_BYTES)
        return err_set(err, ERR_INVALID_ARGUMENT, "sealed record has no nonce or tag");
    uint8_t *opened = mem_alloc(size);
    int result = 0;
    if (crypto_secretbox_open_easy(opened, record->data.at, size, record->nonce.at, key) != 0)
        result = wrong_key(err);
    else
        buf_put(plain, opened, size - TAG_BYTES);
    sodium_memzero(opened, size);
    free(opened);
    return result;
}

// Checks the MAC of a decoded token, then decrypts its body in place.
static int fernet_token_open(const uint8_t *key, uint8_t *token, size_t size, struct buf *plain,
                             struct err *err)
{
    if (size < FERNET_BODY_AT + 16 + FERNET_MAC_BYTES || token[0] != FERNET_VERSION)
        return err_set(err, ERR_INVALID_ARGUMENT, "not a Fernet token");
    size_t body_size = size - FERNET_BODY_AT - FERNET_MAC_BYTES;
    uint8_t mac[FERNET_MAC_BYTES];
    fernet_mac(key, token, size - FERNET_MAC_BYTES, mac);
    if (body_size % 16 || sodium_memcmp(mac, token + size - FERNET_MAC_BYTES, sizeof mac) != 0)
        return wrong_key(err);
    uint8_t *body = token + FERNET_BODY_AT;
    mbedtls_aes_context aes;
    mbedtls_aes_init(&aes);
    CHECK(mbedtls_aes_setkey_dec(&aes, key + FERNET_KEY_BYTES, FERNET_KEY_BYTES * 8) == 0);
    CHECK(mbedtls_aes_crypt_cbc(&aes, MBEDTLS_AES_DECRYPT, body_size, token + FERNET_IV_AT, body,
                                body) == 0);
    mbedtls_aes_free(&aes);
    // The MAC vouches for the padding, so its form is no oracle.
    size_t pad = body[body_size - 1];
    if (pad < 1 || pad > 16)
        return wrong_key(err);
    buf_put(plain, body, body_size - pad);
    return 0;
}

static int fernet_open(const uint8_t *key, const struct record *record, struct buf *plain,
                       struct err *err)
{
    struct buf token;
    buf_init(&token, RECORD_BYTES_MAX);
    const char *text = (const char *)record->data.at;
    size_t size = cursor_left(&record->data);
    int result;
    if (!base64_decode(BASE64_URL, text, size, &token) &&
        !base64_decode(BASE64_URL_RAW, text, size, &token))
        result = err_set(err, ERR_INVALID_ARGUMENT, "not a Fernet token");
    else
        result = fernet_token_open(key, token.data, token.len, plain, err);
    buf_wipe(&token);
    return result;
}

int record_open(const uint8_t *key, const void *bytes, size_t size, struct buf *plain,
                struct err *err)
{
    struct record record = {.data = cursor_of("", 0), .nonce = cursor_of("", 0)};
    if (size > RECORD_BYTES_MAX || !decode(cursor_of(bytes, size), &record))
        return err_set(err, ERR_INVALID_ARGUMENT, "not a sealed record");
    if (record.algorithm != RECORD_CLEAR && !key)
        return err_set(err, ERR_FAILED_PRECONDITION, "record is sealed and there is no key");
    int result = 0;
    switch (record.algorithm) {
    case RECORD_CLEAR:
        buf_put(plain, record.data.at, cursor_left(&record.data));
        break;
    case RECORD_SECRETBOX:
        result = secretbox_open(key, &record, plain, err);
        break;
    case RECORD_FERNET:
        result = fernet_open(key, &record, plain, err);
        break;
    default:
        return err_set(err, ERR_INVALID_ARGUMENT, "sealed record with unknown algorithm %llu",
                       (unsigned long long)record.algorithm);
    }
    if (!result && !buf_ok(plain))
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "sealed record is too large");
    return result;
}
