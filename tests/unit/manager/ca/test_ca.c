// Joining and renewing against a store whose log is the test's, with a real loop for the signing.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "manager/ca/absent.h"
#include "manager/ca/bootstrap.h"
#include "manager/ca/ca.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/identity/csr.h"
#include "proto/identity/rng_io.h"
#include "proto/identity/x509.h"
#include "proto/wire/wire.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

static struct fake_log log_;
static struct loop loop;
static struct arena arena;
static struct ca *ca;
static const Swarm__Cluster *cluster;
static struct buf csr;
static struct key node_key;

static void make_cluster(void)
{
    struct bootstrap bootstrap = {.cluster_id = "cluster1", .vxlan_port = 4790};
    struct wall now = {.ns = INT64_C(1795000000) * NS_PER_S};
    Swarm__Cluster *made = bootstrap_cluster(&bootstrap, &rng_kernel, now, &arena);
    struct txn *txn = fake_begin(&log_, 1795000000);
    ck_assert_int_eq(txn_create(txn, OBJECT_CLUSTER, made, NULL), 0);
    fake_write(&log_, txn);
    cluster = made;
}

static void set_up(void)
{
    fake_log_init(&log_, 10);
    loop_init(&loop);
    arena_init(&arena, SIZE_MAX);
    key_make(&node_key, &rng_kernel);
    buf_init(&csr, CSR_BYTES_MAX);
    csr_make(&node_key, &rng_kernel, &csr);
    make_cluster();
    struct ca_config config = {.store = log_.store, .loop = &loop, .rng = &rng_kernel};
    ca = ca_start(&config);
}

static bool never(void *ctx)
{
    (void)ctx;
    return false;
}

static void tear_down(void)
{
    if (ca)
        ca_stop(ca);
    loop_fini(&loop);
    fake_log_fini(&log_);
    arena_fini(&arena);
    buf_fini(&csr);
    key_fini(&node_key);
}

// One request and what came of it.
struct asked {
    struct ca_request request;
    int count;
    int code;
    char text[128];
    char node_id[64];
    int state;
    const Swarm__Node *node;
};

static void answered(struct ca_request *request, const struct object *node, const struct err *err)
{
    struct asked *asked = CONTAINER_OF(request, struct asked, request);
    ck_assert((node == NULL) == (err != NULL));
    asked->count++;
    asked->code = err ? (int)err->code : 0;
    str_copy(asked->text, sizeof asked->text, err ? err->message : "");
    if (!node)
        return;
    asked->node = object_unpack(node, &arena);
    asked->state = (int)asked->node->certificate->status->state;
    str_copy(asked->node_id, sizeof asked->node_id, object_id(node));
}

static void ask(struct asked *asked, const char *token, const char *renewal_of, const char *addr)
{
    struct ca_issue issue = {.csr = csr.data,
                             .csr_size = csr.len,
                             .token = token,
                             .availability = SWARM__NODE_SPEC__AVAILABILITY__DRAIN,
                             .renewal_of = renewal_of,
                             .addr = addr};
    *asked = (struct asked){.request = {.answered = answered}};
    ca_issue(ca, &issue, &asked->request);
    fake_commit_all(&log_);
}

static void ask_status(struct asked *asked, const char *node_id)
{
    *asked = (struct asked){.request = {.answered = answered}};
    ca_status(ca, node_id, &asked->request);
}

static bool is_answered(void *ctx)
{
    struct asked *asked = ctx;
    fake_commit_all(&log_);
    return asked->count > 0;
}

static void wait_for(struct asked *asked)
{
    ck_assert_msg(loop_run_until(&loop, is_answered, asked, 60000), "no answer");
    ck_assert_int_eq(asked->count, 1);
}

static void check_issued(const struct asked *asked, enum identity_role role)
{
    const Swarm__Certificate *certificate = asked->node->certificate;
    ck_assert_int_eq(asked->state, SWARM__ISSUANCE_STATUS__STATE__ISSUED);
    ck_assert_uint_eq(certificate->csr.len, csr.len);
    ck_assert_mem_eq(certificate->csr.data, csr.data, csr.len);
    char *chain =
        str_ndup((const char *)certificate->certificate.data, certificate->certificate.len);
    struct identity identity;
    struct err err = ERR_INIT;
    ck_assert_int_eq(x509_identity(chain, &identity, &err), 0);
    ck_assert_str_eq(identity.node_id, asked->node_id);
    ck_assert_str_eq(identity.cluster_id, "cluster1");
    ck_assert(identity_has_role(&identity, role));
    struct wall from;
    struct wall to;
    ck_assert_int_eq(x509_validity(chain, &from, &to, &err), 0);
    char *roots =
        str_ndup((const char *)cluster->root_ca->ca_cert.data, cluster->root_ca->ca_cert.len);
    struct x509_check check = {.chain_pem = chain,
                               .roots_pem = roots,
                               .key = &node_key,
                               .now = wall_add(from, NS_PER_H),
                               .usage = X509_SERVER,
                               .allow_expired = true};
    ck_assert_msg(x509_check_chain(&check, &err) == 0, "%s", err.message);
    free(roots);
    free(chain);
}

static void join_as(const char *token, enum identity_role role, struct asked *status)
{
    struct asked joined;
    ask(&joined, token, NULL, "10.0.0.1:1");
    ck_assert_msg(joined.count == 1 && joined.code == 0, "%s", joined.text);
    ck_assert_int_eq(joined.node->spec->membership, SWARM__NODE_SPEC__MEMBERSHIP__ACCEPTED);
    ck_assert_int_eq(joined.node->spec->availability, SWARM__NODE_SPEC__AVAILABILITY__DRAIN);
    ck_assert_int_eq((int)joined.node->role, (int)role);
    ck_assert_int_eq((int)joined.node->spec->desired_role, (int)role);
    ck_assert_uint_eq(joined.node->vxlanudpport, 4790);
    ask_status(status, joined.node_id);
    ck_assert_int_eq(status->count, 0); // it blocks
    wait_for(status);
    check_issued(status, role);
}

START_TEST(a_token_gives_its_role_and_the_status_blocks_until_issued)
{
    struct asked status;
    join_as(cluster->root_ca->join_tokens->worker, IDENTITY_WORKER, &status);
    join_as(cluster->root_ca->join_tokens->manager, IDENTITY_MANAGER, &status);
    struct asked again;
    ask_status(&again, status.node_id);
    ck_assert_int_eq(again.count, 1); // at once
}
END_TEST

START_TEST(wrong_requests_get_the_texts_that_clients_know)
{
    struct asked asked;
    ask(&asked, "SWMTKN-1-no", NULL, "10.0.0.1:1");
    ck_assert_int_eq(asked.code, ERR_INVALID_ARGUMENT);
    ck_assert_str_eq(asked.text, "A valid join token is necessary to join this cluster");
    ask(&asked, "", NULL, "10.0.0.1:1");
    ck_assert_int_eq(asked.code, ERR_INVALID_ARGUMENT);
    ask(&asked, "", "gone", "10.0.0.1:1");
    ck_assert_int_eq(asked.code, ERR_NOT_FOUND);
    ck_assert_str_eq(asked.text, "node gone not found when attempting to renew certificate");
    ask_status(&asked, "");
    ck_assert_int_eq(asked.code, ERR_INVALID_ARGUMENT);
    ask_status(&asked, "gone");
    ck_assert_int_eq(asked.code, ERR_NOT_FOUND);
    buf_clear(&csr);
    ask(&asked, cluster->root_ca->join_tokens->worker, NULL, "10.0.0.1:1");
    ck_assert_int_eq(asked.code, ERR_INVALID_ARGUMENT);
    struct view view = store_pin(log_.store);
    ck_assert_uint_eq(view_count(view, OBJECT_NODE), 0); // nothing changed
    store_unpin(view);
}
END_TEST

START_TEST(ten_thousand_wrong_tokens_do_not_keep_others_out)
{
    struct asked asked;
    int refused = 0;
    for (int i = 0; i < 10000; i++) {
        ask(&asked, "SWMTKN-1-wrong", NULL, "10.9.9.9:1");
        refused += asked.code == ERR_RESOURCE_EXHAUSTED;
    }
    ck_assert_int_ge(refused, 9900);
    join_as(cluster->root_ca->join_tokens->worker, IDENTITY_WORKER, &asked);
    // The guesser's next right token is refused too, until it is forgiven. (On a slow machine one
    // guess may have been meanwhile.)
    do
        ask(&asked, "SWMTKN-1-wrong", NULL, "10.9.9.9:1");
    while (asked.code != ERR_RESOURCE_EXHAUSTED);
    ask(&asked, cluster->root_ca->join_tokens->worker, NULL, "10.9.9.9:2");
    ck_assert_int_eq(asked.code, ERR_RESOURCE_EXHAUSTED);
}
END_TEST

// The CA looks at what was written; also when this process was held up meanwhile.
static void let_look(void)
{
    loop_run_until(&loop, never, NULL, 5);
    for (int i = 0; i < 10; i++)
        uv_run(&loop.uv, UV_RUN_NOWAIT);
}

static void set_state(const char *id, int state)
{
    struct txn *txn = fake_begin(&log_, 1795000100);
    Swarm__Node *node = txn_edit(txn, OBJECT_NODE, id);
    node->status->state = (Swarm__NodeStatus__State)state;
    ck_assert_int_eq(txn_update(txn, OBJECT_NODE, node, NULL), 0);
    fake_write(&log_, txn);
    let_look();
}

START_TEST(a_join_and_leave_loop_cve_2016_6595_comes_to_an_end_and_others_join)
{
    const char *token = cluster->root_ca->join_tokens->worker;
    struct asked asked;
    char *first = NULL;
    for (int i = 0; i < ABSENT_MAX; i++) {
        ask(&asked, token, NULL, "10.9.9.9:1");
        ck_assert_msg(asked.code == 0, "%d: %s", i, asked.text);
        if (i == 0)
            first = arena_strdup(&arena, asked.node_id);
    }
    ask(&asked, token, NULL, "10.9.9.9:2");
    ck_assert_int_eq(asked.code, ERR_RESOURCE_EXHAUSTED);
    ask(&asked, token, NULL, "10.0.0.1:1");
    ck_assert_msg(asked.code == 0, "%s", asked.text); // others join
    // The next leader counts the same.
    ca_stop(ca);
    struct ca_config config = {.store = log_.store, .loop = &loop, .rng = &rng_kernel};
    ca = ca_start(&config);
    ask(&asked, token, NULL, "10.9.9.9:3");
    ck_assert_int_eq(asked.code, ERR_RESOURCE_EXHAUSTED);
    // A node that comes makes room for another, and takes it back when it leaves.
    set_state(first, SWARM__NODE_STATUS__STATE__READY);
    ask(&asked, token, NULL, "10.9.9.9:4");
    ck_assert_msg(asked.code == 0, "%s", asked.text);
    struct txn *txn = fake_begin(&log_, 1795000101);
    ck_assert_int_eq(txn_delete(txn, OBJECT_NODE, asked.node_id, NULL), 0);
    fake_write(&log_, txn);
    set_state(first, SWARM__NODE_STATUS__STATE__DOWN);
    ask(&asked, token, NULL, "10.9.9.9:5");
    ck_assert_int_eq(asked.code, ERR_RESOURCE_EXHAUSTED);
}
END_TEST

START_TEST(a_renewal_gets_the_role_the_cluster_wants)
{
    struct asked status;
    join_as(cluster->root_ca->join_tokens->worker, IDENTITY_WORKER, &status);
    char *id = arena_strdup(&arena, status.node_id);
    struct txn *txn = fake_begin(&log_, 1795000100);
    Swarm__Node *node = txn_edit(txn, OBJECT_NODE, id);
    node->role = SWARM__NODE_ROLE__MANAGER;
    ck_assert_int_eq(txn_update(txn, OBJECT_NODE, node, NULL), 0);
    fake_write(&log_, txn);
    struct asked renewed;
    ask(&renewed, "", id, "10.0.0.1:1");
    ck_assert_int_eq(renewed.code, 0);
    ck_assert_int_eq(renewed.state, SWARM__ISSUANCE_STATUS__STATE__RENEW);
    ask_status(&status, id);
    wait_for(&status);
    check_issued(&status, IDENTITY_MANAGER);
}
END_TEST

START_TEST(a_request_that_is_none_fails_for_good_with_its_reason)
{
    struct asked joined;
    struct asked status;
    buf_clear(&csr);
    buf_put_str(&csr, "no request at all");
    ask(&joined, cluster->root_ca->join_tokens->worker, NULL, "10.0.0.1:1");
    ck_assert_int_eq(joined.code, 0);
    ask_status(&status, joined.node_id);
    wait_for(&status);
    ck_assert_int_eq(status.state, SWARM__ISSUANCE_STATUS__STATE__FAILED);
    ck_assert_str_ne(status.node->certificate->status->err, "");
}
END_TEST

START_TEST(a_hundred_joins_are_signed_in_batches)
{
    struct asked joined[100];
    struct asked status[100];
    for (int i = 0; i < 100; i++) {
        ask(&joined[i], cluster->root_ca->join_tokens->worker, NULL, "10.0.0.1:1");
        ask_status(&status[i], joined[i].node_id);
    }
    for (int i = 0; i < 100; i++)
        wait_for(&status[i]);
    // 100 joins, and the results in a few entries.
    ck_assert_uint_lt(log_.count, 1 + 100 + 10);
}
END_TEST

START_TEST(without_a_signer_requests_wait_and_go_on_when_there_is_one)
{
    struct asked joined;
    struct asked status;
    struct txn *txn = fake_begin(&log_, 1795000100);
    Swarm__Cluster *edited = txn_edit(txn, OBJECT_CLUSTER, "cluster1");
    ProtobufCBinaryData key = edited->root_ca->ca_key;
    ProtobufCBinaryData kept = {.data = arena_memdup(&arena, key.data, key.len), .len = key.len};
    edited->root_ca->ca_key.len = 0;
    ck_assert_int_eq(txn_update(txn, OBJECT_CLUSTER, edited, NULL), 0);
    fake_write(&log_, txn);
    let_look();
    ask(&joined, cluster->root_ca->join_tokens->worker, NULL, "10.0.0.1:1");
    ask_status(&status, joined.node_id);
    ck_assert(!loop_run_until(&loop, is_answered, &status, 30));
    txn = fake_begin(&log_, 1795000200);
    edited = txn_edit(txn, OBJECT_CLUSTER, "cluster1");
    edited->root_ca->ca_key = kept;
    ck_assert_int_eq(txn_update(txn, OBJECT_CLUSTER, edited, NULL), 0);
    fake_write(&log_, txn);
    wait_for(&status);
    check_issued(&status, IDENTITY_WORKER);
}
END_TEST

START_TEST(stopping_answers_everybody_with_aborted)
{
    struct asked joined = {.request = {.answered = answered}};
    struct asked status;
    struct ca_issue issue = {.csr = csr.data,
                             .csr_size = csr.len,
                             .token = cluster->root_ca->join_tokens->worker,
                             .addr = ""};
    ca_issue(ca, &issue, &joined.request);
    fake_commit_all(&log_);
    ask_status(&status, joined.node_id);
    joined.count = 0;
    ca_issue(ca, &issue, &joined.request); // in flight
    loop_run_until(&loop, never, NULL, 1); // a job may be under way
    ca_stop(ca);
    ca = NULL;
    ck_assert_int_eq(status.count, 1);
    ck_assert_int_eq(status.code, ERR_ABORTED);
    ck_assert_str_eq(status.text, "CA signer is stopped");
    ck_assert_int_eq(joined.count, 1);
    ck_assert_int_eq(joined.code, ERR_ABORTED);
    fake_commit_all(&log_); // its commit hears of nobody
}
END_TEST

START_TEST(a_forgotten_request_is_not_answered)
{
    struct asked joined;
    struct asked status;
    ask(&joined, cluster->root_ca->join_tokens->worker, NULL, "10.0.0.1:1");
    ask_status(&status, joined.node_id);
    ca_forget(&status.request);
    struct asked other;
    ask_status(&other, joined.node_id);
    wait_for(&other);
    ck_assert_int_eq(status.count, 0);
}
END_TEST

START_TEST(a_new_leader_signs_what_the_old_one_left)
{
    struct asked joined;
    struct asked status;
    ask(&joined, cluster->root_ca->join_tokens->worker, NULL, "10.0.0.1:1");
    ca_stop(ca);
    struct ca_config config = {.store = log_.store, .loop = &loop, .rng = &rng_kernel};
    ca = ca_start(&config);
    ask_status(&status, joined.node_id);
    wait_for(&status);
    check_issued(&status, IDENTITY_WORKER);
}
END_TEST

START_TEST(removing_a_node_answers_who_waits_for_it)
{
    struct asked status;
    struct txn *txn = fake_begin(&log_, 1795000100);
    Swarm__Node *node = fake_node(&arena, "n1"); // certificate in state UNKNOWN
    ck_assert_int_eq(txn_create(txn, OBJECT_NODE, node, NULL), 0);
    fake_write(&log_, txn);
    ask_status(&status, "n1");
    ck_assert_int_eq(status.count, 0);
    txn = fake_begin(&log_, 1795000101);
    ck_assert_int_eq(txn_delete(txn, OBJECT_NODE, "n1", NULL), 0);
    fake_write(&log_, txn);
    wait_for(&status);
    ck_assert_int_eq(status.code, ERR_NOT_FOUND);
}
END_TEST

Suite *suite_ca(void);
Suite *suite_ca(void)
{
    Suite *suite = suite_create("ca");
    TCase *tcase = tcase_create("ca");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_token_gives_its_role_and_the_status_blocks_until_issued);
    tcase_add_test(tcase, wrong_requests_get_the_texts_that_clients_know);
    tcase_add_test(tcase, ten_thousand_wrong_tokens_do_not_keep_others_out);
    tcase_add_test(tcase, a_join_and_leave_loop_cve_2016_6595_comes_to_an_end_and_others_join);
    tcase_add_test(tcase, a_renewal_gets_the_role_the_cluster_wants);
    tcase_add_test(tcase, a_request_that_is_none_fails_for_good_with_its_reason);
    tcase_add_test(tcase, a_hundred_joins_are_signed_in_batches);
    tcase_add_test(tcase, without_a_signer_requests_wait_and_go_on_when_there_is_one);
    tcase_add_test(tcase, stopping_answers_everybody_with_aborted);
    tcase_add_test(tcase, a_forgotten_request_is_not_answered);
    tcase_add_test(tcase, a_new_leader_signs_what_the_old_one_left);
    tcase_add_test(tcase, removing_a_node_answers_who_waits_for_it);
    suite_add_tcase(suite, tcase);
    return suite;
}
