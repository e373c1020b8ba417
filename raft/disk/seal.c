#include "raft/disk/seal.h"

#include <mbedtls/gcm.h>
#include <mbedtls/sha256.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define NONCE_RANDOM_BYTES 8

struct sealer {
    bool present;
    uint8_t id[SEAL_KEY_ID_BYTES];
    mbedtls_gcm_context gcm;
};

struct seal {
    struct sealer current, previous;
    seal_random_fn draw;
    uint8_t nonce_random[NONCE_RANDOM_BYTES];
    uint32_t nonce_count;
};

static void sealer_init(struct sealer *sealer, const struct seal_key *key)
{
    mbedtls_gcm_init(&sealer->gcm);
    sealer->present = key != NULL;
    if (!key)
        return;
    uint8_t digest[32];
    int result = mbedtls_sha256_ret(key->bytes, sizeof key->bytes, digest, 0);
    CHECK(result == 0);
    memcpy(sealer->id, digest, sizeof sealer->id);
    result =
        mbedtls_gcm_setkey(&sealer->gcm, MBEDTLS_CIPHER_ID_AES, key->bytes, 8 * SEAL_KEY_BYTES);
    CHECK(result == 0);
}

struct seal *seal_new(const struct seal_key *current, const struct seal_key *previous,
                      seal_random_fn draw)
{
    CHECK(current);
    struct seal *seal = MEM_NEW(struct seal);
    sealer_init(&seal->current, current);
    sealer_init(&seal->previous, previous);
    seal->draw = draw;
    draw(seal->nonce_random, sizeof seal->nonce_random);
    return seal;
}

void seal_free(struct seal *seal)
{
    if (!seal)
        return;
    mbedtls_gcm_free(&seal->current.gcm); // wipes the key schedule
    mbedtls_gcm_free(&seal->previous.gcm);
    free(seal);
}

static void next_nonce(struct seal *seal, uint8_t nonce[SEAL_NONCE_BYTES])
{
    if (++seal->nonce_count == 0)
        seal->draw(seal->nonce_random, sizeof seal->nonce_random);
    memcpy(nonce, seal->nonce_random, NONCE_RANDOM_BYTES);
    memcpy(nonce + NONCE_RANDOM_BYTES, &seal->nonce_count, sizeof seal->nonce_count);
    static_assert(NONCE_RANDOM_BYTES + sizeof seal->nonce_count == SEAL_NONCE_BYTES, "nonce");
}

void seal_put(struct seal *seal, const void *place, size_t place_size, const void *plain,
              size_t plain_size, struct buf *out)
{
    uint8_t *at = buf_extend(out, SEAL_OVERHEAD_BYTES + plain_size);
    if (!at)
        return; // buf_ok tells
    uint8_t *nonce = at + SEAL_KEY_ID_BYTES;
    uint8_t *body = nonce + SEAL_NONCE_BYTES;
    memcpy(at, seal->current.id, SEAL_KEY_ID_BYTES);
    next_nonce(seal, nonce);
    int result = mbedtls_gcm_crypt_and_tag(&seal->current.gcm, MBEDTLS_GCM_ENCRYPT, plain_size,
                                           nonce, SEAL_NONCE_BYTES, place, place_size, plain, body,
                                           SEAL_TAG_BYTES, body + plain_size);
    CHECK(result == 0); // only arguments out of range fail
}

static struct sealer *sealer_of(struct seal *seal, const uint8_t *id)
{
    if (memcmp(id, seal->current.id, SEAL_KEY_ID_BYTES) == 0)
        return &seal->current;
    if (seal->previous.present && memcmp(id, seal->previous.id, SEAL_KEY_ID_BYTES) == 0)
        return &seal->previous;
    return NULL;
}

int seal_open(struct seal *seal, const void *place, size_t place_size, const void *sealed,
              size_t sealed_size, struct buf *out, struct err *err)
{
    struct cursor cursor = cursor_of(sealed, sealed_size);
    const uint8_t *id = cursor_bytes(&cursor, SEAL_KEY_ID_BYTES);
    const uint8_t *nonce = cursor_bytes(&cursor, SEAL_NONCE_BYTES);
    if (!nonce || cursor_left(&cursor) < SEAL_TAG_BYTES)
        return err_set(err, ERR_DATA_LOSS, "sealed record is cut short (%zu bytes)", sealed_size);
    size_t size = cursor_left(&cursor) - SEAL_TAG_BYTES;
    const uint8_t *body = cursor_bytes(&cursor, size);
    const uint8_t *tag = cursor_bytes(&cursor, SEAL_TAG_BYTES);
    struct sealer *sealer = sealer_of(seal, id);
    if (!sealer)
        return err_set(err, ERR_DATA_LOSS, "sealed record was made with another data key");
    // An empty record still has a tag to verify; give mbedTLS a place to write nothing to.
    uint8_t none[1];
    size_t before = out->len;
    uint8_t *plain = size ? buf_extend(out, size) : none;
    if (!plain)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "sealed record of %zu bytes is too large",
                       size);
    if (mbedtls_gcm_auth_decrypt(&sealer->gcm, size, nonce, SEAL_NONCE_BYTES, place, place_size,
                                 tag, SEAL_TAG_BYTES, body, plain) != 0) {
        out->len = before;
        return err_set(err, ERR_DATA_LOSS, "sealed record does not verify");
    }
    return 0;
}

bool seal_is_current(const struct seal *seal, const void *sealed, size_t sealed_size)
{
    return sealed_size >= SEAL_KEY_ID_BYTES &&
           memcmp(sealed, seal->current.id, SEAL_KEY_ID_BYTES) == 0;
}
