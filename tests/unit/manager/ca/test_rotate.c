// A cluster moves to a new root, node by node.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/ca/bootstrap.h"
#include "manager/ca/rotate.h"
#include "manager/ca/settle.h"
#include "manager/ca/signing.h"
#include "manager/ca/trust.h"
#include "proto/base/str.h"
#include "proto/identity/csr.h"
#include "proto/identity/rng_io.h"
#include "proto/identity/x509.h"
#include "proto/wire/wire.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

#define NODES 40

static const struct wall now = {.ns = INT64_C(1800000000) * NS_PER_S};
static struct fake_log log_;
static struct arena arena;

static void set_up(void)
{
    fake_log_init(&log_, 10);
    arena_init(&arena, SIZE_MAX);
}

static void tear_down(void)
{
    fake_log_fini(&log_);
    arena_fini(&arena);
}

static Swarm__Cluster *make(void)
{
    struct bootstrap bootstrap = {.cluster_id = "cluster1"};
    return bootstrap_cluster(&bootstrap, &rng_kernel, now, &arena);
}

static char *text_of(ProtobufCBinaryData data)
{
    return arena_strndup(&arena, (const char *)data.data, data.len);
}

static int rotate_to_fresh(Swarm__Cluster *cluster, struct err *err)
{
    struct settle_plan plan;
    cluster->spec->ca_config->force_rotate++;
    int result = settle_plan(cluster, &rng_kernel, now, &arena, &plan, err);
    return result ? result : settle_apply(cluster, &plan, NULL, &rng_kernel, &arena, err);
}

START_TEST(during_a_rotation_leaves_verify_under_both_roots)
{
    Swarm__Cluster *cluster = make();
    struct err err = ERR_INIT;
    char *tokens = arena_strdup(&arena, cluster->root_ca->join_tokens->worker);
    ck_assert_int_eq(rotate_to_fresh(cluster, &err), 0);
    const Swarm__RootRotation *rotation = cluster->root_ca->root_rotation;
    ck_assert_ptr_nonnull(rotation);
    ck_assert_str_eq(cluster->root_ca->join_tokens->worker, tokens);
    struct trust trust = {.signer = NULL};
    trust_update(&trust, cluster);
    ck_assert_msg(trust.signer != NULL, "%s", trust.why.message);
    ck_assert(trust.rotating);
    struct key key;
    struct buf csr;
    struct buf chain;
    key_make(&key, &rng_kernel);
    buf_init(&csr, CSR_BYTES_MAX);
    buf_init(&chain, 65536);
    csr_make(&key, &rng_kernel, &csr);
    struct signer_order order = {.csr_pem = csr.data,
                                 .csr_size = csr.len,
                                 .node_id = "n1",
                                 .cluster_id = "cluster1",
                                 .role = IDENTITY_WORKER,
                                 .now = now};
    ck_assert_int_eq(signer_issue(trust.signer, &order, &rng_kernel, &chain, &err), 0);
    const char *roots[] = {text_of(cluster->root_ca->ca_cert), text_of(rotation->ca_cert)};
    for (size_t i = 0; i < 2; i++) {
        struct x509_check check = {.chain_pem = buf_cstr(&chain),
                                   .roots_pem = roots[i],
                                   .key = &key,
                                   .now = now,
                                   .usage = X509_SERVER};
        ck_assert_msg(x509_check_chain(&check, &err) == 0, "%zu: %s", i, err.message);
    }
    trust_fini(&trust);
    buf_fini(&csr);
    buf_fini(&chain);
    key_fini(&key);
}
END_TEST

static void round_once(void)
{
    struct err err = ERR_INIT;
    ck_assert_msg(rotate_round(log_.store, &rng_kernel, now, &err) == 0, "%s", err.message);
    fake_commit_all(&log_);
}

static size_t count_rotating(void)
{
    size_t count = 0;
    struct view view = store_pin(log_.store);
    VIEW_EACH (node, view, OBJECT_NODE, BY_ALL)
        count += signing_state(node) == SWARM__ISSUANCE_STATUS__STATE__ROTATE;
    store_unpin(view);
    return count;
}

// Every node that was asked has renewed and reports the issuer of `root_pem`.
static void renew_asked(const char *root_pem)
{
    struct x509_issuer issuer;
    ck_assert_int_eq(x509_issuer(root_pem, root_pem, &issuer, NULL), 0);
    struct txn *txn = fake_begin(&log_, 300);
    for (int i = 0; i < NODES; i++) {
        char id[16];
        snprintf(id, sizeof id, "n%d", i);
        Swarm__Node *node = txn_edit(txn, OBJECT_NODE, id);
        if (node->certificate->status->state != SWARM__ISSUANCE_STATUS__STATE__ROTATE)
            continue;
        node->certificate->status->state = SWARM__ISSUANCE_STATUS__STATE__ISSUED;
        node->description = wire_new(&swarm__node_description__descriptor, &arena);
        node->description->tls_info = wire_new(&swarm__node_tlsinfo__descriptor, &arena);
        node->description->tls_info->cert_issuer_subject =
            (ProtobufCBinaryData){.data = issuer.subject.data, .len = issuer.subject.len};
        node->description->tls_info->cert_issuer_public_key =
            (ProtobufCBinaryData){.data = issuer.public_key.data, .len = issuer.public_key.len};
        ck_assert_int_eq(txn_update(txn, OBJECT_NODE, node, NULL), 0);
    }
    fake_write(&log_, txn);
    x509_issuer_fini(&issuer);
}

START_TEST(nodes_are_asked_in_batches_and_the_last_one_ends_the_rotation)
{
    Swarm__Cluster *cluster = make();
    struct err err = ERR_INIT;
    struct txn *txn = fake_begin(&log_, 200);
    for (int i = 0; i < NODES; i++) {
        char id[16];
        snprintf(id, sizeof id, "n%d", i);
        Swarm__Node *node = fake_node(&arena, id);
        ck_assert(wire_settle(node, &arena));
        node->certificate->status->state = SWARM__ISSUANCE_STATUS__STATE__ISSUED;
        ck_assert_int_eq(txn_create(txn, OBJECT_NODE, node, NULL), 0);
    }
    ck_assert_int_eq(txn_create(txn, OBJECT_CLUSTER, cluster, NULL), 0);
    fake_write(&log_, txn);
    size_t entries = log_.count;
    round_once(); // no rotation: nothing
    ck_assert_uint_eq(log_.count, entries);

    txn = fake_begin(&log_, 200);
    cluster = txn_edit(txn, OBJECT_CLUSTER, "cluster1");
    ck_assert(wire_settle(cluster, &arena));
    ck_assert_int_eq(rotate_to_fresh(cluster, &err), 0);
    char *old_token = arena_strdup(&arena, cluster->root_ca->join_tokens->worker);
    char *root = text_of(cluster->root_ca->root_rotation->ca_cert);
    ck_assert_int_eq(txn_update(txn, OBJECT_CLUSTER, cluster, NULL), 0);
    fake_write(&log_, txn);
    round_once();
    ck_assert_uint_eq(count_rotating(), ROTATE_BATCH_MAX);
    round_once();
    ck_assert_uint_eq(count_rotating(), NODES);
    renew_asked(root);
    round_once();
    struct view view = store_pin(log_.store);
    cluster = object_unpack(view_get(view, OBJECT_CLUSTER, "cluster1"), &arena);
    store_unpin(view);
    ck_assert_ptr_null(cluster->root_ca->root_rotation);
    ck_assert_str_eq(text_of(cluster->root_ca->ca_cert), root);
    ck_assert_str_ne(cluster->root_ca->join_tokens->worker, old_token);
    struct trust trust = {.signer = NULL};
    trust_update(&trust, cluster);
    ck_assert_ptr_nonnull(trust.signer);
    ck_assert(!trust.rotating);
    trust_fini(&trust);
}
END_TEST

Suite *suite_rotate(void);
Suite *suite_rotate(void)
{
    Suite *suite = suite_create("rotate");
    TCase *tcase = tcase_create("rotate");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, during_a_rotation_leaves_verify_under_both_roots);
    tcase_add_test(tcase, nodes_are_asked_in_batches_and_the_last_one_ends_the_rotation);
    suite_add_tcase(suite, tcase);
    return suite;
}
