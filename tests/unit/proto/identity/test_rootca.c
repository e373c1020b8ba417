// A root made here signs certificates that OpenSSL verifies, with exactly the fields stock peers
// want.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "proto/identity/csr.h"
#include "proto/identity/rng_io.h"
#include "proto/identity/rootca.h"
#include "proto/identity/x509.h"
#include "tests/support/support.h"
#include "tests/unit/proto/identity/vectors.h"

static char *cert_pem;
static char *key_pem;
static struct signer *signer;
static struct key node_key;
static char *csr_pem;
static const char *dir;

static struct wall now(void)
{
    struct wall at;
    ck_assert_int_eq(wall_parse("2026-11-20T12:00:31Z", &at, NULL), 0);
    return at;
}

// The texts as heap copies.
static void make_root(char **cert, char **key)
{
    struct buf one;
    struct buf other;
    buf_init(&one, 8192);
    buf_init(&other, 8192);
    rootca_make(&rng_kernel, now(), &one, &other);
    *cert = str_dup(buf_cstr(&one));
    *key = str_dup(buf_cstr(&other));
    buf_fini(&one);
    buf_fini(&other);
}

static void set_up(void)
{
    struct buf csr;
    make_root(&cert_pem, &key_pem);
    signer = signer_new(cert_pem, key_pem, NULL, NULL);
    ck_assert_ptr_nonnull(signer);
    key_make(&node_key, &rng_kernel);
    buf_init(&csr, CSR_BYTES_MAX);
    csr_make(&node_key, &rng_kernel, &csr);
    csr_pem = str_dup(buf_cstr(&csr));
    buf_fini(&csr);
    dir = support_tmpdir();
}

static void tear_down(void)
{
    support_tmpdir_remove(dir);
    signer_free(signer);
    key_fini(&node_key);
    free(cert_pem);
    free(key_pem);
    free(csr_pem);
}

static char *issue(struct signer *by, enum identity_role role)
{
    struct signer_order order = {
        .csr_pem = csr_pem,
        .csr_size = strlen(csr_pem),
        .node_id = "node1",
        .cluster_id = "cluster1",
        .role = role,
        .now = now(),
    };
    struct buf chain;
    struct err err = ERR_INIT;
    buf_init(&chain, 1 << 16);
    ck_assert_msg(signer_issue(by, &order, &rng_kernel, &chain, &err) == 0, "%s", err.message);
    char *text = str_dup(buf_cstr(&chain));
    buf_fini(&chain);
    return text;
}

static const char *save(const char *name, const char *text)
{
    char *path = vector_keep(str_printf("%s/%s", dir, name));
    ck_assert_int_eq(file_write_atomic(path, text, strlen(text), 0600, NULL), 0);
    return path;
}

static const char *openssl(const char *format, const char *a, const char *b)
{
    char command[1024];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(command, sizeof command, format, a, b ? b : "");
#pragma GCC diagnostic pop
    return vector_run(command);
}

static void contains(const char *text, const char *wanted)
{
    ck_assert_msg(strstr(text, wanted) != NULL, "%s\nlacks: %s", text, wanted);
}

START_TEST(a_new_root_has_the_fields_of_a_stock_root)
{
    const char *said = openssl("openssl x509 -in %s -noout -text", save("root", cert_pem), NULL);
    contains(said, "Issuer: CN = swarm-ca");
    contains(said, "Subject: CN = swarm-ca");
    contains(said, "Not Before: Nov 20 11:56:00 2026 GMT");
    contains(said, "Not After : Nov 15 11:56:00 2046 GMT");
    contains(said, "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n");
    contains(said, "X509v3 Basic Constraints: critical\n                CA:TRUE\n");
    contains(said, "X509v3 Subject Key Identifier");
    ck_assert_ptr_null(strstr(said, "Authority Key Identifier"));
    ck_assert_ptr_null(strstr(said, "Extended Key Usage"));
    openssl("openssl verify -attime 1795176100 -CAfile %s %s 2>&1", save("root", cert_pem),
            save("root", cert_pem));
    ck_assert_int_eq(rootca_check(cert_pem, now(), NULL), 0);
}
END_TEST

START_TEST(a_node_certificate_has_the_fields_of_a_stock_one)
{
    char *chain = issue(signer, IDENTITY_MANAGER);
    const char *said = openssl("openssl x509 -in %s -noout -text", save("node", chain), NULL);
    contains(said, "Subject: O = cluster1, OU = swarm-manager, CN = node1");
    contains(said, "Not Before: Nov 20 11:01:00 2026 GMT");
    contains(said, "Not After : Feb 18 12:01:00 2027 GMT");
    contains(said, "Key Usage: critical\n                Digital Signature, Key Encipherment\n");
    contains(said, "TLS Web Server Authentication, TLS Web Client Authentication");
    contains(said, "Basic Constraints: critical\n                CA:FALSE");
    contains(said, "DNS:swarm-manager, DNS:node1, DNS:swarm-ca");
    contains(said, "Signature Algorithm: ecdsa-with-SHA256");
    free(chain);
    chain = issue(signer, IDENTITY_WORKER);
    said = openssl("openssl x509 -in %s -noout -text", save("node", chain), NULL);
    contains(said, "OU = swarm-worker");
    contains(said, "DNS:swarm-worker, DNS:node1\n");
    free(chain);
}
END_TEST

START_TEST(openssl_and_we_verify_what_was_issued)
{
    char *chain = issue(signer, IDENTITY_WORKER);
    struct x509_check check = {.chain_pem = chain,
                               .roots_pem = cert_pem,
                               .key = &node_key,
                               .now = now(),
                               .usage = X509_SERVER};
    struct err err = ERR_INIT;
    ck_assert_msg(x509_check_chain(&check, &err) == 0, "%s", err.message);
    openssl("openssl verify -x509_strict -purpose sslclient -attime 1795176100 -CAfile %s %s 2>&1",
            save("root", cert_pem), save("node", chain));
    free(chain);
}
END_TEST

START_TEST(openssl_reads_our_requests_and_we_read_openssls)
{
    const char *said =
        openssl("openssl req -in %s -noout -verify -text 2>&1", save("csr", csr_pem), NULL);
    contains(said, "self-signature verify OK");
    static const char *const kinds[] = {
        "-newkey ec -pkeyopt ec_paramgen_curve:P-384",
        "-newkey ec -pkeyopt ec_paramgen_curve:P-521",
        "-newkey rsa:2048",
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char *made = str_dup(openssl("openssl req -new -nodes -subj /CN=x -keyout /dev/null %s "
                                     "2>/dev/null%s",
                                     kinds[i], NULL));
        struct buf public_key;
        struct err err = ERR_INIT;
        buf_init(&public_key, 4096);
        ck_assert_msg(csr_open(made, strlen(made), &public_key, &err) == 0, "%s", err.message);
        buf_fini(&public_key);
        free(made);
    }
}
END_TEST

static const char *const refused_kinds[] = {
    "-newkey rsa:1024",
    "-newkey ec -pkeyopt ec_paramgen_curve:secp256k1",
    "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -sha1",
    "-newkey ed25519",
};

START_TEST(requests_with_weak_or_foreign_keys_are_refused)
{
    char *made =
        str_dup(openssl("openssl req -new -nodes -subj /CN=x -keyout /dev/null %s 2>/dev/null%s",
                        refused_kinds[_i], NULL));
    struct buf public_key;
    buf_init(&public_key, 4096);
    ck_assert_int_eq(csr_open(made, strlen(made), &public_key, NULL), -ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(public_key.len, 0);
    free(made);
}
END_TEST

START_TEST(a_request_that_was_changed_is_refused)
{
    struct buf public_key;
    struct err err = ERR_INIT;
    buf_init(&public_key, 4096);
    // A character of the signature, near the end of the body.
    char *at = strstr(csr_pem, "\n-----END") - 12;
    *at = *at == 'A' ? 'B' : 'A';
    ck_assert_int_eq(csr_open(csr_pem, strlen(csr_pem), &public_key, &err), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(csr_open("", 0, &public_key, &err), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(csr_open(cert_pem, strlen(cert_pem), &public_key, &err),
                     -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(names_that_do_not_fit_are_refused)
{
    char longer[66];
    memset(longer, 'a', sizeof longer - 1);
    longer[65] = '\0';
    struct signer_order order = {.csr_pem = csr_pem,
                                 .csr_size = strlen(csr_pem),
                                 .node_id = longer,
                                 .cluster_id = "c",
                                 .now = now()};
    struct buf chain;
    buf_init(&chain, 1 << 16);
    ck_assert_int_eq(signer_issue(signer, &order, &rng_kernel, &chain, NULL),
                     -ERR_INVALID_ARGUMENT);
    order.node_id = "";
    ck_assert_int_eq(signer_issue(signer, &order, &rng_kernel, &chain, NULL),
                     -ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(chain.len, 0);
}
END_TEST

START_TEST(an_expiry_below_an_hour_is_the_default)
{
    struct wall not_before;
    struct wall not_after;
    struct signer_order order = {.csr_pem = csr_pem,
                                 .csr_size = strlen(csr_pem),
                                 .node_id = "n",
                                 .cluster_id = "c",
                                 .expiry_ns = NS_PER_H - 1,
                                 .now = now()};
    struct buf chain;
    buf_init(&chain, 1 << 16);
    ck_assert_int_eq(signer_issue(signer, &order, &rng_kernel, &chain, NULL), 0);
    ck_assert_int_eq(x509_validity(buf_cstr(&chain), &not_before, &not_after, NULL), 0);
    ck_assert_int_eq(wall_since(not_after, not_before), 2161 * NS_PER_H);
    buf_clear(&chain);
    order.expiry_ns = NS_PER_H;
    ck_assert_int_eq(signer_issue(signer, &order, &rng_kernel, &chain, NULL), 0);
    ck_assert_int_eq(x509_validity(buf_cstr(&chain), &not_before, &not_after, NULL), 0);
    ck_assert_int_eq(wall_since(not_after, not_before), 2 * NS_PER_H);
    buf_fini(&chain);
}
END_TEST

START_TEST(a_cross_signed_root_bridges_old_and_new)
{
    char *new_cert;
    char *new_key;
    struct buf cross;
    make_root(&new_cert, &new_key);
    buf_init(&cross, 8192);
    ck_assert_int_eq(signer_cross_sign(signer, new_cert, &rng_kernel, &cross, NULL), 0);
    const char *cross_pem = buf_cstr(&cross);
    struct signer *rotating = signer_new(cross_pem, new_key, cross_pem, NULL);
    ck_assert_ptr_nonnull(rotating);
    char *chain = issue(rotating, IDENTITY_WORKER);
    struct x509_check check = {.chain_pem = chain,
                               .roots_pem = cert_pem,
                               .key = &node_key,
                               .now = now(),
                               .usage = X509_SERVER};
    ck_assert_int_eq(x509_check_chain(&check, NULL), 0); // the old root, through the bridge
    check.roots_pem = new_cert;
    ck_assert_int_eq(x509_check_chain(&check, NULL), 0); // the new root, directly
    save("root", cert_pem);
    save("cross", cross_pem);
    save("node", chain);
    save("new", new_cert);
    vector_run(vector_keep(
        str_printf("cd %s; openssl verify -attime 1795176100 -CAfile root -untrusted cross node "
                   "&& openssl verify -attime 1795176100 -CAfile new node",
                   dir)));
    // The issuer a node reports is the new root's, both times.
    struct x509_issuer one;
    struct x509_issuer other;
    ck_assert_int_eq(x509_issuer(chain, cert_pem, &one, NULL), 0);
    ck_assert_int_eq(x509_issuer(new_cert, new_cert, &other, NULL), 0);
    ck_assert_mem_eq(one.public_key.data, other.public_key.data, one.public_key.len);
    x509_issuer_fini(&one);
    x509_issuer_fini(&other);
    free(chain);
    signer_free(rotating);
    buf_fini(&cross);
    free(new_cert);
    free(new_key);
}
END_TEST

START_TEST(a_signer_insists_on_its_own_key)
{
    char *other_cert;
    char *other_key;
    struct err err = ERR_INIT;
    make_root(&other_cert, &other_key);
    ck_assert_ptr_null(signer_new(cert_pem, other_key, NULL, &err));
    ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
    ck_assert_ptr_null(signer_new("", other_key, NULL, &err));
    free(other_cert);
    free(other_key);
}
END_TEST

START_TEST(roots_that_are_none_are_refused)
{
    struct err err = ERR_INIT;
    ck_assert_int_eq(rootca_check(vector("manager/swarm-root-ca.crt"), vector_now(), NULL), 0);
    ck_assert_int_eq(rootca_check(vector("manager/swarm-node.crt"), vector_now(), &err),
                     -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(rootca_check("", now(), &err), -ERR_INVALID_ARGUMENT);
    struct wall late = wall_add(now(), (ROOTCA_VALID_S + 3600) * NS_PER_S);
    ck_assert_int_eq(rootca_check(cert_pem, late, &err), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(rootca_check(cert_pem, wall_add(now(), -NS_PER_H), &err),
                     -ERR_INVALID_ARGUMENT);
    char *bundle = str_printf("%s%s", cert_pem, vector("manager/swarm-node.crt"));
    ck_assert_int_eq(rootca_check(bundle, now(), &err), -ERR_INVALID_ARGUMENT);
    free(bundle);
    // A certificate signed by another root of the same name is no root of its own.
    struct buf cross;
    buf_init(&cross, 8192);
    ck_assert_int_eq(
        signer_cross_sign(signer, vector("manager/swarm-root-ca.crt"), &rng_kernel, &cross, NULL),
        0);
    ck_assert_int_eq(rootca_check(buf_cstr(&cross), vector_now(), &err), -ERR_INVALID_ARGUMENT);
    buf_fini(&cross);
}
END_TEST

START_TEST(the_hash_text_is_over_the_pem_bytes)
{
    char hash[ROOTCA_HASH_TEXT_BYTES];
    rootca_hash_text("abc", 3, hash);
    ck_assert_str_eq(hash,
                     "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
END_TEST

Suite *suite_rootca(void);
Suite *suite_rootca(void)
{
    Suite *suite = suite_create("rootca");
    TCase *tcase = tcase_create("rootca");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 100);
    tcase_add_test(tcase, a_new_root_has_the_fields_of_a_stock_root);
    tcase_add_test(tcase, a_node_certificate_has_the_fields_of_a_stock_one);
    tcase_add_test(tcase, openssl_and_we_verify_what_was_issued);
    tcase_add_test(tcase, openssl_reads_our_requests_and_we_read_openssls);
    tcase_add_loop_test(tcase, requests_with_weak_or_foreign_keys_are_refused, 0,
                        (int)(sizeof refused_kinds / sizeof *refused_kinds));
    tcase_add_test(tcase, a_request_that_was_changed_is_refused);
    tcase_add_test(tcase, names_that_do_not_fit_are_refused);
    tcase_add_test(tcase, an_expiry_below_an_hour_is_the_default);
    tcase_add_test(tcase, a_cross_signed_root_bridges_old_and_new);
    tcase_add_test(tcase, a_signer_insists_on_its_own_key);
    tcase_add_test(tcase, roots_that_are_none_are_refused);
    tcase_add_test(tcase, the_hash_text_is_over_the_pem_bytes);
    suite_add_tcase(suite, tcase);
    return suite;
}
