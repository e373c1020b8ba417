#include "proto/identity/sign.h"

#include <mbedtls/ecp.h>
#include <mbedtls/md.h>
#include <mbedtls/oid.h>

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

// Rows in order of strength; a key takes the last row it reaches.
static const struct sign_row {
    size_t ec_bits;
    size_t rsa_bits;
    mbedtls_md_type_t hash;
    const char *ec_oid;
    const char *rsa_oid;
} rows[] = {
    {256, 2048, MBEDTLS_MD_SHA256, MBEDTLS_OID_ECDSA_SHA256, MBEDTLS_OID_PKCS1_SHA256},
    {384, 3072, MBEDTLS_MD_SHA384, MBEDTLS_OID_ECDSA_SHA384, MBEDTLS_OID_PKCS1_SHA384},
    {521, 4096, MBEDTLS_MD_SHA512, MBEDTLS_OID_ECDSA_SHA512, MBEDTLS_OID_PKCS1_SHA512},
};

static bool is_rsa(const mbedtls_pk_context *pk)
{
    return mbedtls_pk_get_type(pk) == MBEDTLS_PK_RSA;
}

static const struct sign_row *row_of(const struct key *key)
{
    CHECK(key_acceptable(&key->pk));
    size_t bits = mbedtls_pk_get_bitlen(&key->pk);
    const struct sign_row *row = &rows[0];
    for (size_t i = 1; i < COUNT_OF(rows); i++)
        if (bits >= (is_rsa(&key->pk) ? rows[i].rsa_bits : rows[i].ec_bits))
            row = &rows[i];
    return row;
}

void sign_algorithm(struct der *der, const struct key *key)
{
    const struct sign_row *row = row_of(key);
    bool rsa = is_rsa(&key->pk);
    const char *oid = rsa ? row->rsa_oid : row->ec_oid;
    size_t mark = der_mark(der);
    if (rsa)
        der_element(der, DER_NULL, NULL, 0);
    der_oid(der, oid, strlen(oid));
    der_wrap(der, mark, DER_SEQUENCE);
}

static void hash_of(mbedtls_md_type_t hash, const void *bytes, size_t size, unsigned char *out)
{
    const mbedtls_md_info_t *info = mbedtls_md_info_from_type(hash);
    CHECK(info);
    CHECK(mbedtls_md(info, bytes, size, out) == 0);
}

void sign_document(const struct key *key, const struct rng *rng, const void *document, size_t size,
                   struct buf *out)
{
    mbedtls_md_type_t hash = row_of(key)->hash;
    unsigned char digest[MBEDTLS_MD_MAX_SIZE];
    unsigned char bytes[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
    size_t bytes_size = 0;
    hash_of(hash, document, size, digest);
    // Fails only without memory or with a broken key, and ours were checked when they were made or
    // read.
    CHECK(mbedtls_pk_sign((mbedtls_pk_context *)&key->pk, hash, digest, 0, bytes, &bytes_size,
                          rng_mbedtls, (void *)rng) == 0);

    uint8_t tail_space[MBEDTLS_PK_SIGNATURE_MAX_SIZE + 64];
    struct der tail;
    der_init(&tail, tail_space, sizeof tail_space);
    size_t mark = der_mark(&tail);
    der_put(&tail, bytes, bytes_size);
    der_wrap_bits(&tail, mark);
    sign_algorithm(&tail, key);
    CHECK(der_ok(&tail));

    // The header of the outer sequence needs only the total length.
    size_t total = size + der_size(&tail);
    uint8_t *whole = mem_alloc(total + 16);
    struct der outer;
    der_init(&outer, whole, total + 16);
    mark = der_mark(&outer);
    der_put(&outer, tail.at, der_size(&tail));
    der_put(&outer, document, size);
    der_wrap(&outer, mark, DER_SEQUENCE);
    CHECK(der_ok(&outer));
    buf_put(out, outer.at, der_size(&outer));
    free(whole);
}

bool sign_check(const struct signature *signature, const mbedtls_pk_context *pk)
{
    if (signature->hash != MBEDTLS_MD_SHA256 && signature->hash != MBEDTLS_MD_SHA384 &&
        signature->hash != MBEDTLS_MD_SHA512)
        return false;
    if (!key_acceptable(pk) || !mbedtls_pk_can_do(pk, signature->kind))
        return false;
    unsigned char digest[MBEDTLS_MD_MAX_SIZE];
    hash_of(signature->hash, signature->document, signature->document_size, digest);
    return mbedtls_pk_verify_ext(signature->kind, signature->options, (mbedtls_pk_context *)pk,
                                 signature->hash, digest, 0, signature->bytes,
                                 signature->bytes_size) == 0;
}
