// Signatures with the shared table and the memory of roots' are the same as without.
#include <check.h>
#include <mbedtls/x509_crt.h>
#include <string.h>

#include "proto/identity/rng_io.h"
#include "proto/net/tls_sign.h"
#include "tests/support/pems.h"

static struct tls_sign signing;
static mbedtls_x509_crt roots, leaf;

static void parse(mbedtls_x509_crt *crt, const char *pem)
{
    mbedtls_x509_crt_init(crt);
    ck_assert_int_eq(mbedtls_x509_crt_parse(crt, (const unsigned char *)pem, strlen(pem) + 1), 0);
}

static void set_up(void)
{
    tls_sign_init(&signing);
    parse(&roots, pem_ca);
    parse(&leaf, pem_worker);
    tls_sign_take_roots(&signing, &roots);
}

static void tear_down(void)
{
    mbedtls_x509_crt_free(&leaf);
    mbedtls_x509_crt_free(&roots);
    tls_sign_fini(&signing);
}

static uint32_t flags_of_leaf(void)
{
    uint32_t flags = 0;
    tls_sign_enter(&signing);
    mbedtls_x509_crt_verify(&leaf, &roots, NULL, NULL, &flags, NULL, NULL);
    tls_sign_leave();
    return flags;
}

START_TEST(a_certificate_seen_before_is_recognised)
{
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(flags_of_leaf(), 0);
        ck_assert_uint_eq(signing.checked, 1);
        ck_assert_uint_eq(signing.recognised, i);
    }
}
END_TEST

START_TEST(a_changed_certificate_or_signature_is_never_recognised)
{
    ck_assert_uint_eq(flags_of_leaf(), 0);
    unsigned char *last[] = {leaf.sig.p + leaf.sig.len - 1, leaf.tbs.p + leaf.tbs.len - 1};
    for (unsigned i = 0; i < 2; i++) {
        *last[i] ^= 1;
        for (unsigned j = 0; j < 2; j++)
            ck_assert_uint_eq(flags_of_leaf(), MBEDTLS_X509_BADCERT_NOT_TRUSTED);
        *last[i] ^= 1;
    }
    ck_assert_uint_eq(signing.checked, 5);
    ck_assert_uint_eq(flags_of_leaf(), 0);
    ck_assert_uint_eq(signing.recognised, 1);
}
END_TEST

START_TEST(another_root_does_not_profit)
{
    ck_assert_uint_eq(flags_of_leaf(), 0);
    // A root of the same name with another key.
    int ret = mbedtls_ecp_copy(&mbedtls_pk_ec(roots.pk)->Q, &mbedtls_pk_ec(leaf.pk)->Q);
    ck_assert_int_eq(ret, 0);
    ck_assert_uint_eq(flags_of_leaf(), MBEDTLS_X509_BADCERT_NOT_TRUSTED);
    ck_assert_uint_eq(signing.recognised, 0);
}
END_TEST

START_TEST(dates_are_looked_at_each_time)
{
    ck_assert_uint_eq(flags_of_leaf(), 0);
    leaf.valid_to.year = 2001;
    ck_assert_uint_eq(flags_of_leaf(), MBEDTLS_X509_BADCERT_EXPIRED);
    ck_assert_uint_eq(signing.recognised, 1);
}
END_TEST

START_TEST(signatures_are_good_for_mbedtls_and_the_other_way_round)
{
    static const unsigned char hash[32] = {1, 2, 3};
    struct rng rng = rng_kernel;
    mbedtls_pk_context key;
    mbedtls_pk_init(&key);
    ck_assert_int_eq(mbedtls_pk_parse_key(&key, (const unsigned char *)pem_worker_key,
                                          strlen(pem_worker_key) + 1, NULL, 0),
                     0);
    unsigned char ours[MBEDTLS_PK_SIGNATURE_MAX_SIZE], theirs[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
    size_t ours_size, theirs_size;
    ck_assert_int_eq(mbedtls_pk_sign(&key, MBEDTLS_MD_SHA256, hash, sizeof hash, theirs,
                                     &theirs_size, rng_mbedtls, &rng),
                     0);
    tls_sign_take_key(&signing, &key);
    tls_sign_enter(&signing);
    ck_assert_int_eq(mbedtls_pk_sign(&key, MBEDTLS_MD_SHA256, hash, sizeof hash, ours, &ours_size,
                                     rng_mbedtls, &rng),
                     0);
    ck_assert_int_eq(
        mbedtls_pk_verify(&key, MBEDTLS_MD_SHA256, hash, sizeof hash, theirs, theirs_size), 0);
    theirs[theirs_size - 1] ^= 1;
    ck_assert_int_ne(
        mbedtls_pk_verify(&key, MBEDTLS_MD_SHA256, hash, sizeof hash, theirs, theirs_size), 0);
    tls_sign_leave();
    ck_assert_int_eq(
        mbedtls_pk_verify(&leaf.pk, MBEDTLS_MD_SHA256, hash, sizeof hash, ours, ours_size), 0);
    mbedtls_pk_free(&key);
}
END_TEST

Suite *suite_tls_sign(void);
Suite *suite_tls_sign(void)
{
    Suite *suite = suite_create("tls_sign");
    TCase *tcase = tcase_create("tls_sign");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_certificate_seen_before_is_recognised);
    tcase_add_test(tcase, a_changed_certificate_or_signature_is_never_recognised);
    tcase_add_test(tcase, another_root_does_not_profit);
    tcase_add_test(tcase, dates_are_looked_at_each_time);
    tcase_add_test(tcase, signatures_are_good_for_mbedtls_and_the_other_way_round);
    suite_add_tcase(suite, tcase);
    return suite;
}
