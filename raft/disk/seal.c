#include "raft/disk/seal.h"

#include <mbedtls/gcm.h>
#include <mbedtls/sha256.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define NONCE_RANDOM_BYTES 8

static_assert(SEAL_KEY_BYTES == crypto_aead_aes256gcm_KEYBYTES, "one cipher");
static_assert(SEAL_NONCE_BYTES == crypto_aead_aes256gcm_NPUBBYTES, "one cipher");
static_assert(SEAL_TAG_BYTES == crypto_aead_aes256gcm_ABYTES, "one cipher");

// One cipher, twice: libsodium is six times as fast, and needs a processor that does AES. What one
// seals the other opens.
struct sealer {
    bool present;
    uint8_t id[SEAL_KEY_ID_BYTES];
    crypto_aead_aes256gcm_state quick;
    mbedtls_gcm_context gcm;
};

struct seal {
    struct sealer current, previous;
    bool quick;
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
    if (crypto_aead_aes256gcm_is_available())
        crypto_aead_aes256gcm_beforenm(&sealer->quick, key->bytes);
}

struct seal *seal_new(const struct seal_key *current, const struct seal_key *previous,
                      seal_random_fn draw)
{
    CHECK(current);
    struct seal *seal = MEM_NEW(struct seal);
    // It asks what the processor can do, once.
    seal->quick = sodium_init() >= 0 && crypto_aead_aes256gcm_is_available();
    sealer_init(&seal->current, current);
    sealer_init(&seal->previous, previous);
    seal->draw = draw;
    draw(seal->nonce_random, sizeof seal->nonce_random);
    return seal;
}

void seal_go_slow(struct seal *seal)
{
    seal->quick = false;
}

void seal_free(struct seal *seal)
{
    if (!seal)
        return;
    mbedtls_gcm_free(&seal->current.gcm); // wipes the key schedule
    mbedtls_gcm_free(&seal->previous.gcm);
    explicit_bzero(seal, sizeof *seal);
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
    int result =
        seal->quick
            ? crypto_aead_aes256gcm_encrypt_detached_afternm(body, body + plain_size, NULL, plain,
                                                             plain_size, place, place_size, NULL,
                                                             nonce, &seal->current.quick)
            : mbedtls_gcm_crypt_and_tag(&seal->current.gcm, MBEDTLS_GCM_ENCRYPT, plain_size, nonce,
                                        SEAL_NONCE_BYTES, place, place_size, plain, body,
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
    int result = seal->quick
                     ? crypto_aead_aes256gcm_decrypt_detached_afternm(
                           plain, NULL, body, size, tag, place, place_size, nonce, &sealer->quick)
                     : mbedtls_gcm_auth_decrypt(&sealer->gcm, size, nonce, SEAL_NONCE_BYTES, place,
                                                place_size, tag, SEAL_TAG_BYTES, body, plain);
    if (result != 0) {
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
