#include "agent/gossip/keyring.h"

#include <mbedtls/aes.h>
#include <mbedtls/gcm.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define VERSION_PADDED 0
#define VERSION_PLAIN  1
#define AES_BLOCK      16

struct key {
    uint64_t lamport_time;
    mbedtls_gcm_context gcm;
    mbedtls_aes_context aes; // for the look at the first block
};

struct keyring {
    bool ready;
    struct key keys[KEYRING_KEYS]; // the primary first, then the old and the next one
};

static void forget_keys(struct keyring *ring)
{
    if (!ring->ready)
        return;
    for (size_t i = 0; i < KEYRING_KEYS; i++) { // both wipe what they free
        mbedtls_gcm_free(&ring->keys[i].gcm);
        mbedtls_aes_free(&ring->keys[i].aes);
    }
    ring->ready = false;
}

struct keyring *keyring_new(void)
{
    return MEM_NEW(struct keyring);
}

void keyring_free(struct keyring *ring)
{
    if (!ring)
        return;
    forget_keys(ring);
    free(ring);
}

// ---- roles -------------------------------------------------------------------------------------

static void set_key(struct key *key, const Swarm__EncryptionKey *from)
{
    key->lamport_time = from->lamport_time;
    mbedtls_gcm_init(&key->gcm);
    mbedtls_aes_init(&key->aes);
    int result =
        mbedtls_gcm_setkey(&key->gcm, MBEDTLS_CIPHER_ID_AES, from->key.data, 8 * KEYRING_KEY_BYTES);
    CHECK(result == 0);
    result = mbedtls_aes_setkey_enc(&key->aes, from->key.data, 8 * KEYRING_KEY_BYTES);
    CHECK(result == 0);
}

// Puts one gossip key in its place among those sorted by Lamport time.
static int sort_in(const Swarm__EncryptionKey **sorted, size_t *count,
                   const Swarm__EncryptionKey *key, struct err *err)
{
    if (key->algorithm != SWARM__ENCRYPTION_KEY__ALGORITHM__AES_128_GCM)
        return err_set(err, ERR_INVALID_ARGUMENT, "gossip key of unknown algorithm %d",
                       (int)key->algorithm);
    if (key->key.len != KEYRING_KEY_BYTES)
        return err_set(err, ERR_INVALID_ARGUMENT, "gossip key of %zu bytes", key->key.len);
    if (*count == KEYRING_KEYS)
        return err_set(err, ERR_INVALID_ARGUMENT, "more than %d gossip keys", KEYRING_KEYS);
    size_t at = *count;
    while (at > 0 && sorted[at - 1]->lamport_time > key->lamport_time) {
        sorted[at] = sorted[at - 1];
        at--;
    }
    if (at > 0 && sorted[at - 1]->lamport_time == key->lamport_time)
        return err_set(err, ERR_INVALID_ARGUMENT, "two gossip keys of one Lamport time");
    sorted[at] = key;
    ++*count;
    return 0;
}

int keyring_load(struct keyring *ring, Swarm__EncryptionKey *const *keys, size_t count,
                 struct err *err)
{
    const Swarm__EncryptionKey *sorted[KEYRING_KEYS];
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(keys[i]->subsystem, KEYRING_IPSEC) == 0)
            continue;
        if (strcmp(keys[i]->subsystem, KEYRING_GOSSIP) != 0)
            return err_set(err, ERR_INVALID_ARGUMENT, "key for an unknown subsystem");
        int result = sort_in(sorted, &found, keys[i], err);
        if (result)
            return result;
    }
    if (found != KEYRING_KEYS)
        return err_set(err, ERR_INVALID_ARGUMENT, "%zu gossip keys instead of %d", found,
                       KEYRING_KEYS);
    forget_keys(ring);
    set_key(&ring->keys[0], sorted[1]);
    set_key(&ring->keys[1], sorted[0]);
    set_key(&ring->keys[2], sorted[2]);
    ring->ready = true;
    return 0;
}

bool keyring_ready(const struct keyring *ring)
{
    return ring->ready;
}

uint64_t keyring_primary(const struct keyring *ring)
{
    CHECK(ring->ready);
    return ring->keys[0].lamport_time;
}

// ---- sealing -----------------------------------------------------------------------------------

void keyring_seal(struct keyring *ring, const uint8_t nonce[KEYRING_NONCE_BYTES], const void *bound,
                  size_t bound_size, const void *plain, size_t plain_size, struct buf *out)
{
    CHECK(ring->ready);
    size_t size;
    if (!size_add(plain_size, KEYRING_OVERHEAD_BYTES, &size))
        size = SIZE_MAX;
    uint8_t *at = buf_extend(out, size);
    if (!at)
        return; // buf_ok tells
    *at = VERSION_PLAIN;
    memcpy(at + 1, nonce, KEYRING_NONCE_BYTES);
    uint8_t *body = at + 1 + KEYRING_NONCE_BYTES;
    int result = mbedtls_gcm_crypt_and_tag(&ring->keys[0].gcm, MBEDTLS_GCM_ENCRYPT, plain_size,
                                           nonce, KEYRING_NONCE_BYTES, bound, bound_size, plain,
                                           body, KEYRING_TAG_BYTES, body + plain_size);
    CHECK(result == 0); // only arguments out of range fail
}

// ---- opening -----------------------------------------------------------------------------------

struct sealed {
    uint8_t version;
    const uint8_t *nonce;
    const uint8_t *body;
    size_t body_size;
    const uint8_t *tag;
};

static bool take_apart(const void *bytes, size_t size, struct sealed *sealed)
{
    struct cursor cursor = cursor_of(bytes, size);
    sealed->version = cursor_u8(&cursor);
    sealed->nonce = cursor_bytes(&cursor, KEYRING_NONCE_BYTES);
    // An empty message starts with no type.
    if (sealed->version > VERSION_PLAIN || !sealed->nonce ||
        cursor_left(&cursor) <= KEYRING_TAG_BYTES)
        return false;
    sealed->body_size = cursor_left(&cursor) - KEYRING_TAG_BYTES;
    sealed->body = cursor_bytes(&cursor, sealed->body_size);
    sealed->tag = cursor_bytes(&cursor, KEYRING_TAG_BYTES);
    return sealed->version == VERSION_PLAIN || sealed->body_size % AES_BLOCK == 0;
}

// GCM encrypts block n of the text with counter n + 2 behind the nonce (NIST SP 800-38D, 7.1).
static bool first_block_fits(struct key *key, const struct sealed *sealed, keyring_peek_fn *peek)
{
    uint8_t counter[AES_BLOCK] = {0}, stream[AES_BLOCK], start[KEYRING_PEEK_BYTES];
    memcpy(counter, sealed->nonce, KEYRING_NONCE_BYTES);
    counter[AES_BLOCK - 1] = 2;
    int result = mbedtls_aes_crypt_ecb(&key->aes, MBEDTLS_AES_ENCRYPT, counter, stream);
    CHECK(result == 0);
    size_t size = sealed->body_size < sizeof start ? sealed->body_size : sizeof start;
    for (size_t i = 0; i < size; i++)
        start[i] = sealed->body[i] ^ stream[i];
    return peek(start, size);
}

// The bytes before the padding, or 0 when it is broken (a message is never empty).
static size_t unpadded_size(const uint8_t *plain, size_t size)
{
    uint8_t padding = plain[size - 1];
    if (padding == 0 || padding > AES_BLOCK || padding > size)
        return 0;
    for (size_t i = size - padding; i < size; i++)
        if (plain[i] != padding)
            return 0;
    return size - padding;
}

int keyring_open(struct keyring *ring, const void *bound, size_t bound_size, const void *bytes,
                 size_t size, keyring_peek_fn *peek, struct buf *out, struct err *err)
{
    struct sealed sealed;
    if (!ring->ready || !take_apart(bytes, size, &sealed))
        return err_set(err, ERR_UNAUTHENTICATED, "not sealed for this cluster");
    size_t before = out->len;
    for (size_t i = 0; i < KEYRING_KEYS; i++) {
        struct key *key = &ring->keys[i];
        if (!first_block_fits(key, &sealed, peek))
            continue;
        uint8_t *plain = buf_extend(out, sealed.body_size);
        if (!plain)
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "sealed message of %zu bytes is too large",
                           size);
        bool opened = mbedtls_gcm_auth_decrypt(&key->gcm, sealed.body_size, sealed.nonce,
                                               KEYRING_NONCE_BYTES, bound, bound_size, sealed.tag,
                                               KEYRING_TAG_BYTES, sealed.body, plain) == 0;
        size_t plain_size = sealed.body_size;
        if (opened && sealed.version == VERSION_PADDED)
            plain_size = unpadded_size(plain, plain_size);
        if (opened && plain_size > 0) {
            out->len = before + plain_size;
            return 0;
        }
        out->len = before;
    }
    return err_set(err, ERR_UNAUTHENTICATED, "not sealed for this cluster");
}
