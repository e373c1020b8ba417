#include "proto/identity/key.h"

#include <mbedtls/ecp.h>
#include <mbedtls/oid.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/rsa.h>
#include <mbedtls/sha1.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/identity/der.h"
#include "proto/identity/pem.h"

// Room for any key we accept as DER: PKCS#1 of RSA 8192 holds nine numbers of at most 1024 bytes.
#define KEY_DER_BYTES_MAX 8192

void key_make(struct key *key, const struct rng *rng)
{
    mbedtls_pk_init(&key->pk);
    // These fail only without memory: the curve is known and the generator cannot fail.
    CHECK(mbedtls_pk_setup(&key->pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) == 0);
    CHECK(mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(key->pk), rng_mbedtls,
                              (void *)rng) == 0);
}

bool key_acceptable(const mbedtls_pk_context *pk)
{
    switch (mbedtls_pk_get_type(pk)) {
    case MBEDTLS_PK_ECKEY:
    case MBEDTLS_PK_ECDSA:
        switch (mbedtls_pk_ec(*pk)->grp.id) {
        case MBEDTLS_ECP_DP_SECP256R1:
        case MBEDTLS_ECP_DP_SECP384R1:
        case MBEDTLS_ECP_DP_SECP521R1:
            return true;
        default:
            return false;
        }
    case MBEDTLS_PK_RSA: {
        size_t bits = mbedtls_pk_get_bitlen(pk);
        return bits >= KEY_RSA_BITS_MIN && bits <= KEY_RSA_BITS_MAX;
    }
    default:
        return false;
    }
}

int key_parse_der(struct key *key, const void *der, size_t size, struct err *err)
{
    mbedtls_pk_init(&key->pk);
    int result = 0;
    if (mbedtls_pk_parse_key(&key->pk, der, size, NULL, 0) != 0)
        result = err_set(err, ERR_INVALID_ARGUMENT, "not a private key");
    else if (!key_acceptable(&key->pk))
        result =
            err_set(err, ERR_INVALID_ARGUMENT,
                    "private key is neither ECDSA P-256, P-384, P-521 nor RSA of %d to %d bits",
                    KEY_RSA_BITS_MIN, KEY_RSA_BITS_MAX);
    if (result)
        key_fini(key);
    return result;
}

int key_parse_pem(struct key *key, const char *pem, size_t size, struct err *err)
{
    mbedtls_pk_init(&key->pk);
    struct cursor text = cursor_of(pem, size);
    struct pem_block block;
    for (;;) {
        int result = pem_next(&text, &block, err);
        if (result)
            return result == -ERR_NOT_FOUND
                       ? err_set(err, ERR_INVALID_ARGUMENT, "no private key found")
                       : result;
        if (str_ends(block.type, "PRIVATE KEY"))
            break;
        pem_block_fini(&block); // such as the EC PARAMETERS that OpenSSL puts before its keys
    }
    int result;
    if (str_starts(block.type, "ENCRYPTED") || pem_header_get(&block, "DEK-Info"))
        result = err_set(err, ERR_FAILED_PRECONDITION, "private key is encrypted");
    else
        result = key_parse_der(key, block.der.data, block.der.len, err);
    pem_block_fini(&block);
    return result;
}

void key_fini(struct key *key)
{
    mbedtls_pk_free(&key->pk);
    mbedtls_pk_init(&key->pk);
}

// The SEC1 ECPrivateKey without its curve, which PKCS#8 names outside (as Go writes it).
static void put_ec(struct der *der, mbedtls_ecp_keypair *ec)
{
    uint8_t bytes[MBEDTLS_ECP_MAX_PT_LEN];
    size_t size = 0;
    CHECK(mbedtls_ecp_point_write_binary(&ec->grp, &ec->Q, MBEDTLS_ECP_PF_UNCOMPRESSED, &size,
                                         bytes, sizeof bytes) == 0);
    size_t octets = der_mark(der);
    size_t mark = der_mark(der);
    der_put(der, bytes, size);
    der_wrap_bits(der, mark);
    der_wrap(der, mark, DER_EXPLICIT(1));
    size = (ec->grp.nbits + 7) / 8;
    CHECK(mbedtls_mpi_write_binary(&ec->d, bytes, size) == 0);
    der_element(der, DER_OCTETS, bytes, size);
    mbedtls_platform_zeroize(bytes, sizeof bytes);
    der_small(der, 1);
    der_wrap(der, mark, DER_SEQUENCE);
    der_wrap(der, octets, DER_OCTETS);

    const char *curve;
    size_t curve_size;
    CHECK(mbedtls_oid_get_oid_by_ec_grp(ec->grp.id, &curve, &curve_size) == 0);
    mark = der_mark(der);
    der_oid(der, curve, curve_size);
    DER_OID_PUT(der, MBEDTLS_OID_EC_ALG_UNRESTRICTED);
    der_wrap(der, mark, DER_SEQUENCE);
}

static void put_rsa(struct der *der, mbedtls_pk_context *pk)
{
    unsigned char *space = mem_alloc(KEY_DER_BYTES_MAX);
    int size = mbedtls_pk_write_key_der(pk, space, KEY_DER_BYTES_MAX);
    CHECK(size > 0);
    der_element(der, DER_OCTETS, space + KEY_DER_BYTES_MAX - size, (size_t)size);
    mbedtls_platform_zeroize(space, KEY_DER_BYTES_MAX);
    free(space);
    size_t mark = der_mark(der);
    der_element(der, DER_NULL, NULL, 0);
    DER_OID_PUT(der, MBEDTLS_OID_PKCS1_RSA);
    der_wrap(der, mark, DER_SEQUENCE);
}

void key_write_der(const struct key *key, struct buf *out)
{
    mbedtls_pk_context *pk = (mbedtls_pk_context *)&key->pk;
    uint8_t *space = mem_alloc(KEY_DER_BYTES_MAX);
    struct der der;
    der_init(&der, space, KEY_DER_BYTES_MAX);
    size_t mark = der_mark(&der);
    if (mbedtls_pk_get_type(pk) == MBEDTLS_PK_RSA)
        put_rsa(&der, pk);
    else
        put_ec(&der, mbedtls_pk_ec(*pk));
    der_small(&der, 0);
    der_wrap(&der, mark, DER_SEQUENCE);
    CHECK(der_ok(&der));
    buf_put(out, der.at, der_size(&der));
    mbedtls_platform_zeroize(space, KEY_DER_BYTES_MAX);
    free(space);
}

void key_write_pem(const struct key *key, struct buf *out)
{
    struct buf der;
    buf_init(&der, KEY_DER_BYTES_MAX);
    key_write_der(key, &der);
    pem_write_der(out, "PRIVATE KEY", der.data, der.len);
    buf_wipe(&der);
}

void key_write_public(const mbedtls_pk_context *pk, struct buf *out)
{
    unsigned char space[KEY_RSA_BITS_MAX / 8 + 256];
    int size = mbedtls_pk_write_pubkey_der((mbedtls_pk_context *)pk, space, sizeof space);
    CHECK(size > 0);
    buf_put(out, space + sizeof space - size, (size_t)size);
}

bool key_same_public(const mbedtls_pk_context *a, const mbedtls_pk_context *b)
{
    struct buf one;
    struct buf other;
    buf_init(&one, KEY_DER_BYTES_MAX);
    buf_init(&other, KEY_DER_BYTES_MAX);
    key_write_public(a, &one);
    key_write_public(b, &other);
    bool same = one.len == other.len && memcmp(one.data, other.data, one.len) == 0;
    buf_fini(&one);
    buf_fini(&other);
    return same;
}

void key_identifier(const mbedtls_pk_context *pk, unsigned char out[KEY_SHA1_BYTES])
{
    unsigned char space[KEY_RSA_BITS_MAX / 8 + 256];
    unsigned char *at = space + sizeof space;
    int size = mbedtls_pk_write_pubkey(&at, space, pk);
    CHECK(size > 0);
    CHECK(mbedtls_sha1_ret(at, (size_t)size, out) == 0);
}
