// Joining and renewing, against a CA that is a function call away.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "agent/enroll.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/identity/rootca.h"
#include "proto/identity/token.h"

static char *root_pem;
static struct signer *signer;
static char token[TOKEN_TEXT_BYTES];
static struct enroll *enroll;
static const struct wall now = {INT64_C(1795176100) * NS_PER_S};

static struct signer *make_root(char **pem)
{
    struct buf cert;
    struct buf key;
    buf_init(&cert, 8192);
    buf_init(&key, 8192);
    rootca_make(&rng_kernel, now, &cert, &key);
    *pem = str_dup(buf_cstr(&cert));
    struct signer *made = signer_new(*pem, buf_cstr(&key), NULL, NULL);
    buf_fini(&cert);
    buf_fini(&key);
    return made;
}

static void set_up(void)
{
    signer = make_root(&root_pem);
    token_make(root_pem, strlen(root_pem), false, &rng_kernel, token);
    enroll = enroll_join(token, SWARM__NODE_SPEC__AVAILABILITY__ACTIVE, &rng_kernel, 1, NULL);
    ck_assert_ptr_nonnull(enroll);
}

static void tear_down(void)
{
    enroll_free(enroll);
    signer_free(signer);
    free(root_pem);
}

static struct enroll_ask expect(enum enroll_call call)
{
    struct enroll_ask ask = enroll_next(enroll);
    ck_assert_int_eq(ask.call, call);
    return ask;
}

static void refuse(enum err_code code)
{
    struct err err;
    err_set(&err, code, "refused");
    enroll_failed(enroll, &err);
}

// The CA's answer to the present request.
static void answer_as(struct signer *by, enum identity_role role, const char *node_id,
                      struct wall at)
{
    struct signer_order order = {
        .node_id = node_id, .cluster_id = "cluster", .role = role, .now = at};
    order.csr_pem = enroll_csr(enroll, &order.csr_size);
    struct buf chain;
    buf_init(&chain, 1 << 16);
    ck_assert_int_eq(signer_issue(by, &order, &rng_kernel, &chain, NULL), 0);
    Swarm__Certificate certificate;
    swarm__certificate__init(&certificate);
    certificate.csr.data = (uint8_t *)order.csr_pem;
    certificate.csr.len = order.csr_size;
    certificate.certificate.data = chain.data;
    certificate.certificate.len = chain.len;
    enroll_got_status(enroll, SWARM__ISSUANCE_STATUS__STATE__ISSUED, "", &certificate, now);
    buf_fini(&chain);
}

static void answer(enum identity_role role)
{
    answer_as(signer, role, "node1", now);
}

static void join(enum identity_role role)
{
    enroll_got_root(enroll, root_pem, strlen(root_pem), now);
    enroll_got_issued(enroll, "node1");
    answer(role);
}

START_TEST(a_worker_joins_in_three_calls)
{
    struct enroll_ask ask = expect(ENROLL_ROOT);
    ck_assert_ptr_null(ask.server_name); // the digest vouches, not TLS
    enroll_got_root(enroll, root_pem, strlen(root_pem), now);
    ask = expect(ENROLL_ISSUE);
    ck_assert(ask.fresh);
    ck_assert_str_eq(ask.server_name, "swarm-ca");
    ck_assert_str_eq(ask.roots_pem, root_pem);
    ck_assert_ptr_null(ask.chain_pem);
    ck_assert_str_eq(enroll_token(enroll), token);
    enroll_got_issued(enroll, "node1");
    ask = expect(ENROLL_STATUS);
    ck_assert(!ask.fresh);
    answer(IDENTITY_WORKER);
    expect(ENROLL_DONE);
    const struct credentials *credentials = enroll_credentials(enroll);
    ck_assert_str_eq(credentials->identity.node_id, "node1");
    uint64_t version;
    ck_assert_ptr_null(enroll_lock_key(enroll, &version));
}
END_TEST

START_TEST(a_manager_also_asks_for_the_lock_key)
{
    uint8_t key[LOCK_KEY_BYTES] = {7};
    uint64_t version;
    join(IDENTITY_MANAGER);
    struct enroll_ask ask = expect(ENROLL_UNLOCK_KEY);
    ck_assert_str_eq(ask.server_name, "swarm-ca");
    ck_assert_ptr_nonnull(ask.chain_pem);
    enroll_got_unlock_key(enroll, key, sizeof key, 12);
    expect(ENROLL_DONE);
    ck_assert_mem_eq(enroll_lock_key(enroll, &version), key, sizeof key);
    ck_assert_uint_eq(version, 12);
}
END_TEST

START_TEST(managers_without_locks_are_fine)
{
    join(IDENTITY_MANAGER);
    refuse(ERR_UNIMPLEMENTED);
    expect(ENROLL_DONE);
}
END_TEST

START_TEST(another_root_than_the_tokens_is_refused_at_once)
{
    char *other;
    struct signer *other_signer = make_root(&other);
    enroll_got_root(enroll, other, strlen(other), now);
    expect(ENROLL_FAILED);
    ck_assert_int_eq(enroll_error(enroll)->code, ERR_UNAUTHENTICATED);
    signer_free(other_signer);
    free(other);
}
END_TEST

START_TEST(a_wrong_token_is_not_tried_again)
{
    enroll_got_root(enroll, root_pem, strlen(root_pem), now);
    refuse(ERR_INVALID_ARGUMENT);
    expect(ENROLL_FAILED);
    ck_assert_int_eq(enroll_error(enroll)->code, ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(unreachable_managers_are_tried_five_times)
{
    for (int i = 1; i < ENROLL_TRIES; i++) {
        refuse(ERR_UNAVAILABLE);
        struct enroll_ask ask = expect(ENROLL_ROOT);
        ck_assert_int_eq(ask.wait_ns, ENROLL_PAUSE_NS);
        ck_assert(ask.fresh);
    }
    refuse(ERR_UNAVAILABLE);
    expect(ENROLL_FAILED);
}
END_TEST

START_TEST(polling_goes_on_through_deadlines_and_lost_connections)
{
    enroll_got_root(enroll, root_pem, strlen(root_pem), now);
    enroll_got_issued(enroll, "node1");
    refuse(ERR_DEADLINE_EXCEEDED);
    struct enroll_ask ask = expect(ENROLL_STATUS);
    ck_assert(!ask.fresh);
    ck_assert_int_eq(ask.wait_ns, 0);
    refuse(ERR_UNAVAILABLE);
    ask = expect(ENROLL_STATUS);
    ck_assert(ask.fresh);
    enroll_got_status(enroll, SWARM__ISSUANCE_STATUS__STATE__PENDING, "", NULL, now);
    expect(ENROLL_STATUS);
    answer(IDENTITY_WORKER);
    expect(ENROLL_DONE);
}
END_TEST

START_TEST(an_answer_to_another_request_is_no_answer)
{
    Swarm__Certificate certificate;
    swarm__certificate__init(&certificate);
    enroll_got_root(enroll, root_pem, strlen(root_pem), now);
    enroll_got_issued(enroll, "node1");
    enroll_got_status(enroll, SWARM__ISSUANCE_STATUS__STATE__ISSUED, "", &certificate, now);
    expect(ENROLL_STATUS);
}
END_TEST

START_TEST(bundles_that_do_not_hold_are_not_taken)
{
    char *other;
    struct signer *stranger = make_root(&other);
    enroll_got_root(enroll, root_pem, strlen(root_pem), now);
    size_t size;
    for (int i = 0; i < 3; i++) {
        char *request = str_dup(enroll_csr(enroll, &size));
        enroll_got_issued(enroll, "node1");
        switch (i) {
        case 0:
            answer_as(stranger, IDENTITY_WORKER, "node1", now);
            break;
        case 1:
            answer_as(signer, IDENTITY_WORKER, "node2", now);
            break;
        case 2:
            answer_as(signer, IDENTITY_WORKER, "node1", wall_add(now, -3000 * NS_PER_H));
            break;
        }
        expect(ENROLL_ISSUE);
        ck_assert_str_ne(request, enroll_csr(enroll, &size)); // another key each time
        free(request);
    }
    signer_free(stranger);
    free(other);
}
END_TEST

static void begin_renewal(enum identity_role expected)
{
    join(IDENTITY_WORKER);
    struct enroll *renewal = enroll_renew(enroll_credentials(enroll), expected, &rng_kernel, 1);
    enroll_free(enroll);
    enroll = renewal;
}

START_TEST(a_renewal_shows_the_present_certificate)
{
    begin_renewal(IDENTITY_WORKER);
    struct enroll_ask ask = expect(ENROLL_ISSUE);
    ck_assert_str_eq(ask.server_name, "swarm-manager");
    ck_assert_ptr_nonnull(ask.chain_pem);
    ck_assert_str_eq(enroll_token(enroll), "");
    enroll_got_issued(enroll, "node1");
    answer(IDENTITY_WORKER);
    expect(ENROLL_DONE);
}
END_TEST

START_TEST(a_renewal_with_the_wrong_role_fails)
{
    begin_renewal(IDENTITY_MANAGER);
    enroll_got_issued(enroll, "node1");
    answer(IDENTITY_WORKER);
    expect(ENROLL_FAILED);
    ck_assert_int_eq(enroll_error(enroll)->code, ERR_FAILED_PRECONDITION);
}
END_TEST

START_TEST(a_worker_takes_a_new_root_only_if_it_vouches_for_the_old_certificate)
{
    char *other;
    struct signer *next = make_root(&other);
    char *both = str_printf("%s%s", root_pem, other);
    begin_renewal(IDENTITY_WORKER);
    enroll_got_issued(enroll, "node1");
    answer_as(next, IDENTITY_WORKER, "node1", now);
    struct enroll_ask ask = expect(ENROLL_ROOT);
    ck_assert_ptr_null(ask.server_name);
    enroll_got_root(enroll, both, strlen(both), now);
    expect(ENROLL_ISSUE);
    enroll_got_issued(enroll, "node1");
    answer_as(next, IDENTITY_WORKER, "node1", now);
    expect(ENROLL_DONE);
    ck_assert_str_eq(enroll_credentials(enroll)->roots_pem, both);

    struct enroll *renewal =
        enroll_renew(enroll_credentials(enroll), IDENTITY_WORKER, &rng_kernel, 1);
    enroll_free(enroll);
    enroll = renewal;
    char *strange;
    struct signer *stranger = make_root(&strange);
    enroll_got_issued(enroll, "node1");
    answer_as(stranger, IDENTITY_WORKER, "node1", now);
    expect(ENROLL_ROOT);
    enroll_got_root(enroll, strange, strlen(strange), now);
    expect(ENROLL_FAILED);
    signer_free(stranger);
    signer_free(next);
    free(strange);
    free(both);
    free(other);
}
END_TEST

START_TEST(a_cluster_that_insists_on_fips_is_refused)
{
    char fips[TOKEN_TEXT_BYTES];
    struct err err = ERR_INIT;
    token_make(root_pem, strlen(root_pem), true, &rng_kernel, fips);
    ck_assert_ptr_null(enroll_join(fips, 0, &rng_kernel, 1, &err));
    ck_assert_int_eq(err.code, ERR_FAILED_PRECONDITION);
    ck_assert_ptr_null(enroll_join("no token", 0, &rng_kernel, 1, &err));
    ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
}
END_TEST

Suite *suite_enroll(void);
Suite *suite_enroll(void)
{
    Suite *suite = suite_create("enroll");
    TCase *tcase = tcase_create("enroll");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_worker_joins_in_three_calls);
    tcase_add_test(tcase, a_manager_also_asks_for_the_lock_key);
    tcase_add_test(tcase, managers_without_locks_are_fine);
    tcase_add_test(tcase, another_root_than_the_tokens_is_refused_at_once);
    tcase_add_test(tcase, a_wrong_token_is_not_tried_again);
    tcase_add_test(tcase, unreachable_managers_are_tried_five_times);
    tcase_add_test(tcase, polling_goes_on_through_deadlines_and_lost_connections);
    tcase_add_test(tcase, an_answer_to_another_request_is_no_answer);
    tcase_add_test(tcase, bundles_that_do_not_hold_are_not_taken);
    tcase_add_test(tcase, a_renewal_shows_the_present_certificate);
    tcase_add_test(tcase, a_renewal_with_the_wrong_role_fails);
    tcase_add_test(tcase, a_worker_takes_a_new_root_only_if_it_vouches_for_the_old_certificate);
    tcase_add_test(tcase, a_cluster_that_insists_on_fips_is_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
