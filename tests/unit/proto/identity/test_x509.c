// Certificates that a stock dockerd wrote: who they speak of, who issued them, and which chains
// hold.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"
#include "proto/identity/rootca.h"
#include "proto/identity/x509.h"
#include "tests/unit/proto/identity/vectors.h"

static struct x509_check check_of(const char *chain, const char *roots)
{
    return (struct x509_check){
        .chain_pem = chain, .roots_pem = roots, .now = vector_now(), .usage = X509_SERVER};
}

START_TEST(a_stock_manager_certificate_says_who_it_is)
{
    struct identity identity;
    char node[64];
    char cluster[64];
    ck_assert_int_eq(sscanf(vector("manager/ids.txt"), "%63s %63s", node, cluster), 2);
    ck_assert_int_eq(x509_identity(vector("manager/swarm-node.crt"), &identity, NULL), 0);
    ck_assert_str_eq(identity.node_id, node);
    ck_assert_str_eq(identity.cluster_id, cluster);
    ck_assert_uint_eq(identity.units_count, 1);
    ck_assert(identity_complete(&identity));
    ck_assert(identity_has_role(&identity, IDENTITY_MANAGER));
    ck_assert(!identity_has_role(&identity, IDENTITY_WORKER));
    enum identity_role role;
    ck_assert(identity_own_role(&identity, &role));
    ck_assert_int_eq(role, IDENTITY_MANAGER);
    ck_assert(x509_has_dns_name(vector("manager/swarm-node.crt"), SERVER_NAME_MANAGER));
    ck_assert(x509_has_dns_name(vector("manager/swarm-node.crt"), SERVER_NAME_CA));
    ck_assert(!x509_has_dns_name(vector("worker/swarm-node.crt"), SERVER_NAME_CA));
}
END_TEST

START_TEST(stock_certificates_verify_to_the_stock_root)
{
    struct x509_check check =
        check_of(vector("worker/swarm-node.crt"), vector("worker/swarm-root-ca.crt"));
    ck_assert_int_eq(x509_check_chain(&check, NULL), 0);
    check.usage = X509_CLIENT;
    ck_assert_int_eq(x509_check_chain(&check, NULL), 0);
}
END_TEST

// The stock cross-signed root states no authority key identifier, so only trying keys shows that it
// is not self-signed.
START_TEST(a_chain_of_a_rotation_verifies_to_the_old_root_and_to_the_new)
{
    const char *chain = vector("rotating/swarm-node.crt");
    struct x509_check check = check_of(chain, vector("rotating/swarm-root-ca.crt"));
    struct err err = ERR_INIT;
    ck_assert_msg(x509_check_chain(&check, &err) == 0, "%s", err.message);
    check.roots_pem = vector("manager/swarm-root-ca.crt");
    ck_assert_msg(x509_check_chain(&check, &err) == 0, "%s", err.message);
    // Without its intermediate nothing connects it to the old root, though the names agree.
    char *leaf = str_ndup(chain, (size_t)(strstr(chain + 1, "-----BEGIN") - chain));
    check.chain_pem = leaf;
    ck_assert_int_eq(x509_check_chain(&check, &err), -ERR_UNAUTHENTICATED);
    free(leaf);
}
END_TEST

START_TEST(another_swarms_root_is_an_unknown_authority)
{
    struct buf cert;
    struct buf key;
    struct err err = ERR_INIT;
    buf_init(&cert, 8192);
    buf_init(&key, 8192);
    rootca_make(vector_rng(), vector_now(), &cert, &key);
    struct x509_check check = check_of(vector("manager/swarm-node.crt"), buf_cstr(&cert));
    ck_assert_int_eq(x509_check_chain(&check, &err), -ERR_UNAUTHENTICATED);
    ck_assert_str_eq(err.message, "x509: certificate signed by unknown authority");
    // A bundle with both roots knows it again.
    buf_put_str(&cert, vector("manager/swarm-root-ca.crt"));
    check.roots_pem = buf_cstr(&cert);
    ck_assert_int_eq(x509_check_chain(&check, NULL), 0);
    buf_fini(&cert);
    buf_fini(&key);
}
END_TEST

START_TEST(time_decides_unless_it_is_told_not_to)
{
    struct err err = ERR_INIT;
    struct wall not_before;
    struct wall not_after;
    const char *chain = vector("manager/swarm-node.crt");
    ck_assert_int_eq(x509_validity(chain, &not_before, &not_after, NULL), 0);
    ck_assert_int_eq(wall_since(not_after, not_before), 2161 * NS_PER_H);
    struct x509_check check = check_of(chain, vector("manager/swarm-root-ca.crt"));
    check.now = not_after;
    ck_assert_int_eq(x509_check_chain(&check, NULL), 0);
    check.now = wall_add(not_after, 1);
    ck_assert_int_eq(x509_check_chain(&check, &err), -ERR_FAILED_PRECONDITION);
    ck_assert_ptr_nonnull(strstr(err.message, "x509: certificate has expired or is not yet valid"));
    check.allow_expired = true;
    ck_assert_int_eq(x509_check_chain(&check, NULL), 0);
    check.allow_expired = false;
    check.now = wall_add(not_before, -1);
    ck_assert_int_eq(x509_check_chain(&check, &err), -ERR_FAILED_PRECONDITION);
}
END_TEST

START_TEST(a_certificate_must_match_the_key)
{
    struct key key;
    const char *key_pem = vector("manager/swarm-node.key");
    ck_assert_int_eq(key_parse_pem(&key, key_pem, strlen(key_pem), NULL), 0);
    struct x509_check check =
        check_of(vector("manager/swarm-node.crt"), vector("manager/swarm-root-ca.crt"));
    check.key = &key;
    ck_assert_int_eq(x509_check_chain(&check, NULL), 0);
    check.chain_pem = vector("worker/swarm-node.crt");
    ck_assert_int_eq(x509_check_chain(&check, NULL), -ERR_INVALID_ARGUMENT);
    key_fini(&key);
}
END_TEST

START_TEST(a_root_is_no_leaf_and_a_leaf_no_issuer)
{
    struct err err = ERR_INIT;
    const char *root = vector("manager/swarm-root-ca.crt");
    const char *leaf = vector("manager/swarm-node.crt");
    struct x509_check check = check_of(leaf, leaf);
    ck_assert_int_eq(x509_check_chain(&check, &err), -ERR_UNAUTHENTICATED);
    // Chains whose links do not fit.
    char *unordered = str_printf("%s%s", root, leaf);
    check = check_of(unordered, root);
    ck_assert_int_eq(x509_check_chain(&check, &err), -ERR_INVALID_ARGUMENT);
    free(unordered);
}
END_TEST

START_TEST(the_issuer_is_found_by_key_for_tls_info)
{
    struct x509_issuer issuer;
    const char *root = vector("manager/swarm-root-ca.crt");
    ck_assert_int_eq(x509_issuer(vector("manager/swarm-node.crt"), root, &issuer, NULL), 0);
    static const char name[] = "\x30\x13\x31\x11\x30\x0f\x06\x03\x55\x04\x03\x13\x08swarm-ca";
    ck_assert_uint_eq(issuer.subject.len, sizeof name - 1);
    ck_assert_mem_eq(issuer.subject.data, name, sizeof name - 1);
    ck_assert_uint_eq(issuer.public_key.len, 91);
    struct x509_issuer rotated;
    const char *chain = vector("rotating/swarm-node.crt");
    ck_assert_int_eq(x509_issuer(chain, root, &rotated, NULL), 0);
    ck_assert_mem_eq(rotated.subject.data, name, sizeof name - 1);
    ck_assert_uint_eq(rotated.public_key.len, 91);
    ck_assert_mem_ne(rotated.public_key.data, issuer.public_key.data, 91);
    x509_issuer_fini(&issuer);
    x509_issuer_fini(&rotated);
    ck_assert_int_eq(x509_issuer(chain, vector("worker/swarm-node.crt"), &rotated, NULL), 0);
    x509_issuer_fini(&rotated);
}
END_TEST

START_TEST(normalising_removes_what_is_not_certificate)
{
    struct buf out;
    const char *chain = vector("rotating/swarm-node.crt");
    buf_init(&out, 1 << 16);
    char *messy = str_printf("a comment\n\n  %s\n trailing", chain);
    ck_assert_int_eq(x509_normalise(messy, &out, NULL), 0);
    ck_assert_str_eq(buf_cstr(&out), chain);
    free(messy);
    buf_fini(&out);
    ck_assert_int_eq(x509_normalise("", &out, NULL), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(x509_normalise(vector("manager/swarm-node.key"), &out, NULL),
                     -ERR_INVALID_ARGUMENT);
}
END_TEST

Suite *suite_x509(void);
Suite *suite_x509(void)
{
    Suite *suite = suite_create("x509");
    TCase *tcase = tcase_create("x509");
    tcase_add_test(tcase, a_stock_manager_certificate_says_who_it_is);
    tcase_add_test(tcase, stock_certificates_verify_to_the_stock_root);
    tcase_add_test(tcase, a_chain_of_a_rotation_verifies_to_the_old_root_and_to_the_new);
    tcase_add_test(tcase, another_swarms_root_is_an_unknown_authority);
    tcase_add_test(tcase, time_decides_unless_it_is_told_not_to);
    tcase_add_test(tcase, a_certificate_must_match_the_key);
    tcase_add_test(tcase, a_root_is_no_leaf_and_a_leaf_no_issuer);
    tcase_add_test(tcase, the_issuer_is_found_by_key_for_tls_info);
    tcase_add_test(tcase, normalising_removes_what_is_not_certificate);
    suite_add_tcase(suite, tcase);
    return suite;
}
