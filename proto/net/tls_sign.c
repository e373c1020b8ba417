#include "proto/net/tls_sign.h"

#include <mbedtls/ecdsa.h>
#include <mbedtls/sha256.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"

static_assert((TLS_SIGN_REMEMBERED_MAX & (TLS_SIGN_REMEMBERED_MAX - 1)) == 0, "a power of two");

// mbedTLS hands a key's functions nothing but the key.
static _Thread_local struct tls_sign *current;

// ---- with the table -----------------------------------------------------------------------------

// The key as a view on the shared group; nothing in it is freed.
static mbedtls_ecdsa_context view_of(const mbedtls_ecp_keypair *pair)
{
    CHECK(current);
    CHECK(pair->grp.id == current->p256.id);
    return (mbedtls_ecdsa_context){.grp = current->p256, .d = pair->d, .Q = pair->Q};
}

static int verify(void *pair, mbedtls_md_type_t md, const unsigned char *hash, size_t hash_size,
                  const unsigned char *sig, size_t sig_size)
{
    (void)md;
    mbedtls_ecdsa_context view = view_of(pair);
    int ret = mbedtls_ecdsa_read_signature(&view, hash, hash_size, sig, sig_size);
    return ret == MBEDTLS_ERR_ECP_SIG_LEN_MISMATCH ? MBEDTLS_ERR_PK_SIG_LEN_MISMATCH : ret;
}

static int sign(void *pair, mbedtls_md_type_t md, const unsigned char *hash, size_t hash_size,
                unsigned char *sig, size_t *sig_size, int (*rng)(void *, unsigned char *, size_t),
                void *rng_context)
{
    mbedtls_ecdsa_context view = view_of(pair);
    return mbedtls_ecdsa_write_signature(&view, md, hash, hash_size, sig, sig_size, rng,
                                         rng_context);
}

// ---- remembering --------------------------------------------------------------------------------

// Of key, hash and signature together. Key and hash have known sizes, so no two triples read alike.
static void digest_of(const mbedtls_ecp_keypair *pair, const unsigned char *hash, size_t hash_size,
                      const unsigned char *sig, size_t sig_size, uint8_t digest[])
{
    unsigned char key[MBEDTLS_ECP_MAX_PT_LEN];
    size_t key_size;
    int ret = mbedtls_ecp_point_write_binary(&current->p256, &pair->Q, MBEDTLS_ECP_PF_UNCOMPRESSED,
                                             &key_size, key, sizeof key);
    CHECK(ret == 0);
    CHECK(hash_size <= MBEDTLS_MD_MAX_SIZE);
    unsigned char size = (unsigned char)hash_size;
    mbedtls_sha256_context sha;
    mbedtls_sha256_init(&sha);
    ret = mbedtls_sha256_starts_ret(&sha, 0);
    ret |= mbedtls_sha256_update_ret(&sha, key, key_size);
    ret |= mbedtls_sha256_update_ret(&sha, &size, 1);
    ret |= mbedtls_sha256_update_ret(&sha, hash, hash_size);
    ret |= mbedtls_sha256_update_ret(&sha, sig, sig_size);
    ret |= mbedtls_sha256_finish_ret(&sha, digest);
    CHECK(ret == 0);
    mbedtls_sha256_free(&sha);
}

static uint8_t *place_of(const uint8_t digest[])
{
    return current
        ->remembered[((size_t)digest[0] << 8 | digest[1]) & (TLS_SIGN_REMEMBERED_MAX - 1)];
}

static void lock(void)
{
    int ret = mbedtls_mutex_lock(&current->lock);
    CHECK(ret == 0);
}

static void unlock(void)
{
    int ret = mbedtls_mutex_unlock(&current->lock);
    CHECK(ret == 0);
}

static bool is_remembered(const uint8_t digest[])
{
    lock();
    bool known =
        current->remembered && memcmp(place_of(digest), digest, TLS_SIGN_DIGEST_BYTES) == 0;
    if (known)
        current->recognised++;
    else
        current->checked++;
    unlock();
    return known;
}

static void remember(const uint8_t digest[])
{
    lock();
    if (!current->remembered) {
        current->remembered = calloc(TLS_SIGN_REMEMBERED_MAX, TLS_SIGN_DIGEST_BYTES);
        CHECK(current->remembered);
    }
    memcpy(place_of(digest), digest, TLS_SIGN_DIGEST_BYTES);
    unlock();
}

static int verify_by_root(void *pair, mbedtls_md_type_t md, const unsigned char *hash,
                          size_t hash_size, const unsigned char *sig, size_t sig_size)
{
    CHECK(current);
    uint8_t digest[TLS_SIGN_DIGEST_BYTES];
    digest_of(pair, hash, hash_size, sig, sig_size, digest);
    if (is_remembered(digest))
        return 0;
    int ret = verify(pair, md, hash, hash_size, sig, sig_size);
    // Only what is good, so nobody without a certificate can push others out.
    if (ret == 0)
        remember(digest);
    return ret;
}

// ---- making and giving --------------------------------------------------------------------------

void tls_sign_init(struct tls_sign *signing)
{
    *signing = (struct tls_sign){0};
    mbedtls_mutex_init(&signing->lock);
    mbedtls_ecp_group *group = &signing->p256;
    mbedtls_ecp_group_init(group);
    mbedtls_ecp_point point;
    mbedtls_mpi two;
    mbedtls_ecp_point_init(&point);
    mbedtls_mpi_init(&two);
    int ret = mbedtls_ecp_group_load(group, MBEDTLS_ECP_DP_SECP256R1);
    CHECK(ret == 0); // these fail only without memory
    // Any multiple of the generator makes the table; nothing is secret about this one.
    ret = mbedtls_mpi_lset(&two, 2);
    CHECK(ret == 0);
    ret = mbedtls_ecp_mul(group, &point, &two, &group->G, NULL, NULL);
    CHECK(ret == 0);
    CHECK(group->T); // or every user would make one, and write to the shared group
    mbedtls_mpi_free(&two);
    mbedtls_ecp_point_free(&point);
    signing->key_info = *mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY);
    signing->key_info.verify_func = verify;
    signing->key_info.sign_func = sign;
    signing->root_info = signing->key_info;
    signing->root_info.verify_func = verify_by_root;
}

void tls_sign_fini(struct tls_sign *signing)
{
    CHECK(current != signing);
    mbedtls_ecp_group_free(&signing->p256);
    mbedtls_mutex_free(&signing->lock);
    free(signing->remembered);
    signing->remembered = NULL;
}

static bool is_p256(const mbedtls_pk_context *key)
{
    return mbedtls_pk_get_type(key) == MBEDTLS_PK_ECKEY &&
           mbedtls_pk_ec(*key)->grp.id == MBEDTLS_ECP_DP_SECP256R1;
}

void tls_sign_take_key(const struct tls_sign *signing, mbedtls_pk_context *key)
{
    if (is_p256(key))
        key->pk_info = &signing->key_info;
}

void tls_sign_take_roots(const struct tls_sign *signing, mbedtls_x509_crt *roots)
{
    for (mbedtls_x509_crt *root = roots; root; root = root->next) {
        if (is_p256(&root->pk))
            root->pk.pk_info = &signing->root_info;
    }
}

void tls_sign_enter(struct tls_sign *signing)
{
    CHECK(!current);
    current = signing;
}

void tls_sign_leave(void)
{
    CHECK(current);
    current = NULL;
}
