#include "proto/identity/pbe.h"

#include <mbedtls/aes.h>
#include <mbedtls/asn1.h>
#include <mbedtls/md.h>
#include <mbedtls/md5.h>
#include <mbedtls/oid.h>
#include <mbedtls/pkcs5.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/codec.h"
#include "proto/base/str.h"
#include "proto/identity/der.h"

#define IV_BYTES         16
#define BLOCK_BYTES      16
#define SALT_BYTES       8
#define SALT_BYTES_MAX   64
#define KEY_BYTES_MAX    32
#define SEALED_BYTES_MAX 16384

static const struct cipher_row {
    const char *oid;
    const char *dek_name; // of the older form
    size_t key_size;
} ciphers[] = {
    {MBEDTLS_OID_AES "\x02", "AES-128-CBC", 16},
    {MBEDTLS_OID_AES "\x16", "AES-192-CBC", 24},
    {MBEDTLS_OID_AES "\x2a", "AES-256-CBC", 32},
};
#define CIPHER_AES_256 (&ciphers[2])

static int unsupported(struct err *err)
{
    return err_set(err, ERR_INVALID_ARGUMENT,
                   "private key is encrypted in a form that is not known");
}

static void derive(mbedtls_md_type_t hash, const void *password, size_t password_size,
                   const uint8_t *salt, size_t salt_size, unsigned iterations, uint8_t *key,
                   size_t key_size)
{
    mbedtls_md_context_t md;
    mbedtls_md_init(&md);
    CHECK(mbedtls_md_setup(&md, mbedtls_md_info_from_type(hash), 1) == 0);
    CHECK(mbedtls_pkcs5_pbkdf2_hmac(&md, password, password_size, salt, salt_size, iterations,
                                    (uint32_t)key_size, key) == 0);
    mbedtls_md_free(&md);
}

// Decrypts and strips the padding.
static int decrypt(const uint8_t *key, size_t key_size, const uint8_t iv[IV_BYTES],
                   const uint8_t *body, size_t body_size, struct buf *out, struct err *err)
{
    if (!body_size || body_size % BLOCK_BYTES)
        return err_set(err, ERR_INVALID_ARGUMENT, "encrypted private key has a wrong length");
    uint8_t *plain = mem_alloc(body_size);
    uint8_t iv_copy[IV_BYTES];
    memcpy(iv_copy, iv, IV_BYTES);
    mbedtls_aes_context aes;
    mbedtls_aes_init(&aes);
    CHECK(mbedtls_aes_setkey_dec(&aes, key, (unsigned)key_size * 8) == 0);
    CHECK(mbedtls_aes_crypt_cbc(&aes, MBEDTLS_AES_DECRYPT, body_size, iv_copy, body, plain) == 0);
    mbedtls_aes_free(&aes);
    size_t pad = plain[body_size - 1];
    bool good = pad >= 1 && pad <= BLOCK_BYTES;
    for (size_t i = 0; good && i < pad; i++)
        good = plain[body_size - 1 - i] == pad;
    if (good)
        buf_put(out, plain, body_size - pad);
    explicit_bzero(plain, body_size);
    free(plain);
    return good ? 0
                : err_set(err, ERR_UNAUTHENTICATED, "private key does not open with this lock key");
}

void pbe_seal(const void *plain, size_t plain_size, const void *password, size_t password_size,
              const struct rng *rng, struct buf *out)
{
    uint8_t salt[SALT_BYTES];
    uint8_t iv[IV_BYTES];
    uint8_t key[KEY_BYTES_MAX];
    rng_fill(rng, salt, sizeof salt);
    rng_fill(rng, iv, sizeof iv);
    derive(MBEDTLS_MD_SHA1, password, password_size, salt, sizeof salt, PBE_ITERATIONS, key,
           sizeof key);
    size_t pad = BLOCK_BYTES - plain_size % BLOCK_BYTES;
    size_t body_size = plain_size + pad;
    uint8_t *body = mem_alloc(body_size);
    memcpy(body, plain, plain_size);
    memset(body + plain_size, (int)pad, pad);

    uint8_t *space = mem_alloc(SEALED_BYTES_MAX);
    struct der der;
    der_init(&der, space, SEALED_BYTES_MAX);
    size_t whole = der_mark(&der);
    uint8_t iv_used[IV_BYTES];
    memcpy(iv_used, iv, IV_BYTES);
    mbedtls_aes_context aes;
    mbedtls_aes_init(&aes);
    CHECK(mbedtls_aes_setkey_enc(&aes, key, sizeof key * 8) == 0);
    CHECK(mbedtls_aes_crypt_cbc(&aes, MBEDTLS_AES_ENCRYPT, body_size, iv_used, body, body) == 0);
    mbedtls_aes_free(&aes);
    explicit_bzero(key, sizeof key);
    der_element(&der, DER_OCTETS, body, body_size);
    free(body);

    // EncryptionAlgorithm: PBES2 { PBKDF2 { salt, iterations }, AES-256-CBC { iv } }
    size_t algorithm = der_mark(&der);
    size_t mark = der_mark(&der);
    der_element(&der, DER_OCTETS, iv, sizeof iv);
    der_oid(&der, CIPHER_AES_256->oid, strlen(CIPHER_AES_256->oid));
    der_wrap(&der, mark, DER_SEQUENCE);
    mark = der_mark(&der);
    der_small(&der, PBE_ITERATIONS);
    der_element(&der, DER_OCTETS, salt, sizeof salt);
    der_wrap(&der, mark, DER_SEQUENCE);
    DER_OID_PUT(&der, MBEDTLS_OID_PKCS5_PBKDF2);
    der_wrap(&der, mark, DER_SEQUENCE);
    der_wrap(&der, algorithm, DER_SEQUENCE);
    DER_OID_PUT(&der, MBEDTLS_OID_PKCS5_PBES2);
    der_wrap(&der, algorithm, DER_SEQUENCE);
    der_wrap(&der, whole, DER_SEQUENCE);
    CHECK(der_ok(&der));
    buf_put(out, der.at, der_size(&der));
    free(space);
}

// ---- reading PBES2 -----------------------------------------------------------------------------

struct pbes2 {
    const uint8_t *salt;
    size_t salt_size;
    int iterations;
    mbedtls_md_type_t hash;
    const struct cipher_row *cipher;
    const uint8_t *iv;
    const uint8_t *body;
    size_t body_size;
};

// Steps into the next element of that tag: *at to its content, the end of which is returned; NULL
// when it is another.
static unsigned char *enter(unsigned char **at, const unsigned char *end, int tag)
{
    size_t length;
    if (mbedtls_asn1_get_tag(at, end, &length, tag) != 0)
        return NULL;
    return *at + length;
}

static bool oid_next(unsigned char **at, const unsigned char *end, mbedtls_asn1_buf *oid)
{
    oid->tag = MBEDTLS_ASN1_OID;
    if (mbedtls_asn1_get_tag(at, end, &oid->len, MBEDTLS_ASN1_OID) != 0)
        return false;
    oid->p = *at;
    *at += oid->len;
    return true;
}

static bool oid_is(const mbedtls_asn1_buf *oid, const char *wanted)
{
    return oid->len == strlen(wanted) && memcmp(oid->p, wanted, oid->len) == 0;
}

// AlgorithmIdentifier: enters its sequence, reads the OID; *at then stands on the parameters.
static unsigned char *algorithm_next(unsigned char **at, const unsigned char *end,
                                     mbedtls_asn1_buf *oid)
{
    unsigned char *inner = enter(at, end, DER_SEQUENCE);
    return inner && oid_next(at, inner, oid) ? inner : NULL;
}

// PBKDF2-params: salt, iterations, [key length], [PRF].
static bool parse_pbkdf2(unsigned char *at, const unsigned char *end, struct pbes2 *out)
{
    unsigned char *salt_end = enter(&at, end, MBEDTLS_ASN1_OCTET_STRING);
    if (!salt_end)
        return false;
    out->salt = at;
    out->salt_size = (size_t)(salt_end - at);
    at = salt_end;
    if (mbedtls_asn1_get_int(&at, end, &out->iterations) != 0)
        return false;
    int key_length;
    if (at < end && *at == MBEDTLS_ASN1_INTEGER && mbedtls_asn1_get_int(&at, end, &key_length) != 0)
        return false;
    out->hash = MBEDTLS_MD_SHA1; // the default
    if (at == end)
        return true;
    mbedtls_asn1_buf oid;
    return algorithm_next(&at, end, &oid) && mbedtls_oid_get_md_hmac(&oid, &out->hash) == 0;
}

static bool parse_cipher(unsigned char *at, const unsigned char *end, const mbedtls_asn1_buf *oid,
                         struct pbes2 *out)
{
    for (size_t i = 0; i < COUNT_OF(ciphers); i++)
        if (oid_is(oid, ciphers[i].oid))
            out->cipher = &ciphers[i];
    unsigned char *iv_end = enter(&at, end, MBEDTLS_ASN1_OCTET_STRING);
    out->iv = at;
    return out->cipher && iv_end && iv_end - at == IV_BYTES;
}

static bool parse(const unsigned char *der, size_t size, struct pbes2 *out)
{
    unsigned char *at = (unsigned char *)der;
    mbedtls_asn1_buf oid;
    unsigned char *end = enter(&at, der + size, DER_SEQUENCE);
    if (!end)
        return false;
    unsigned char *algorithm_end = algorithm_next(&at, end, &oid);
    if (!algorithm_end || !oid_is(&oid, MBEDTLS_OID_PKCS5_PBES2) ||
        !enter(&at, algorithm_end, DER_SEQUENCE))
        return false;
    unsigned char *inner = algorithm_next(&at, algorithm_end, &oid);
    if (!inner || !oid_is(&oid, MBEDTLS_OID_PKCS5_PBKDF2))
        return false;
    unsigned char *params_end = enter(&at, inner, DER_SEQUENCE);
    if (!params_end || !parse_pbkdf2(at, params_end, out))
        return false;
    at = inner;
    inner = algorithm_next(&at, algorithm_end, &oid);
    if (!inner || !parse_cipher(at, inner, &oid, out))
        return false;
    at = algorithm_end;
    unsigned char *body_end = enter(&at, end, MBEDTLS_ASN1_OCTET_STRING);
    out->body = at;
    out->body_size = body_end ? (size_t)(body_end - at) : 0;
    return body_end != NULL;
}

int pbe_open(const void *der, size_t der_size, const void *password, size_t password_size,
             struct buf *out, struct err *err)
{
    struct pbes2 pbes2 = {0};
    if (!der_size || !parse(der, der_size, &pbes2) || pbes2.salt_size > SALT_BYTES_MAX ||
        pbes2.iterations < 1)
        return unsupported(err);
    if (pbes2.iterations > PBE_ITERATIONS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "private key asks for %d rounds of key derivation; at most %d are done",
                       pbes2.iterations, PBE_ITERATIONS_MAX);
    uint8_t key[KEY_BYTES_MAX];
    size_t key_size = pbes2.cipher->key_size;
    derive(pbes2.hash, password, password_size, pbes2.salt, pbes2.salt_size,
           (unsigned)pbes2.iterations, key, key_size);
    int result = decrypt(key, key_size, pbes2.iv, pbes2.body, pbes2.body_size, out, err);
    explicit_bzero(key, sizeof key);
    return result;
}

// ---- the older form ----------------------------------------------------------------------------

// OpenSSL's EVP_BytesToKey with MD5 and one round: key = MD5(password, salt), then each further
// block MD5(block before, password, salt).
static void derive_legacy(const void *password, size_t password_size, const uint8_t *salt,
                          uint8_t key[KEY_BYTES_MAX])
{
    static_assert(KEY_BYTES_MAX == 2 * 16, "two MD5 blocks make the longest key");
    for (size_t at = 0; at < KEY_BYTES_MAX; at += 16) {
        mbedtls_md5_context md5;
        mbedtls_md5_init(&md5);
        CHECK(mbedtls_md5_starts_ret(&md5) == 0);
        if (at)
            CHECK(mbedtls_md5_update_ret(&md5, key + at - 16, 16) == 0);
        CHECK(mbedtls_md5_update_ret(&md5, password, password_size) == 0);
        CHECK(mbedtls_md5_update_ret(&md5, salt, SALT_BYTES) == 0);
        CHECK(mbedtls_md5_finish_ret(&md5, key + at) == 0);
        mbedtls_md5_free(&md5);
    }
}

int pbe_open_legacy(const char *dek_info, const void *body, size_t body_size, const void *password,
                    size_t password_size, struct buf *out, struct err *err)
{
    const struct cipher_row *cipher = NULL;
    uint8_t iv[IV_BYTES];
    const char *rest = dek_info;
    struct str_part name;
    str_split(&rest, ',', &name);
    for (size_t i = 0; i < COUNT_OF(ciphers); i++)
        if (str_part_is(name, ciphers[i].dek_name))
            cipher = &ciphers[i];
    if (!cipher || !rest || !hex_decode(rest, strlen(rest), iv, sizeof iv))
        return unsupported(err);
    uint8_t key[KEY_BYTES_MAX];
    derive_legacy(password, password_size, iv, key);
    int result = decrypt(key, cipher->key_size, iv, body, body_size, out, err);
    explicit_bzero(key, sizeof key);
    return result;
}
