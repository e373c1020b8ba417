// What becomes of the root with another configuration, and who has to be heard first.
#include <check.h>
#include <string.h>

#include "manager/ca/bootstrap.h"
#include "manager/ca/settle.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/identity/rootca.h"
#include "proto/identity/x509.h"
#include "proto/wire/wire.h"

static const struct wall now = {.ns = INT64_C(1800000000) * NS_PER_S};
static struct arena arena;
static char *roots[3], *keys[3]; // the cluster's, the one it rotates to, another one
static char *old_root, *old_key; // ends within a year
static Swarm__Cluster *cluster;

static void make_pair(char **cert, char **key, int64_t age_ns)
{
    struct buf a;
    struct buf b;
    buf_init(&a, 65536);
    buf_init(&b, 65536);
    rootca_make(&rng_kernel, wall_add(now, -age_ns), &a, &b);
    *cert = arena_strdup(&arena, buf_cstr(&a));
    *key = arena_strdup(&arena, buf_cstr(&b));
    buf_fini(&a);
    buf_fini(&b);
}

static ProtobufCBinaryData data_of(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
}

static void set_up(void)
{
    arena_init(&arena, SIZE_MAX);
    for (size_t i = 0; i < COUNT_OF(roots); i++)
        make_pair(&roots[i], &keys[i], 0);
    make_pair(&old_root, &old_key, INT64_C(19) * 365 * 24 * NS_PER_H + 200 * 24 * NS_PER_H);
    struct bootstrap bootstrap = {
        .cluster_id = "cluster1", .root_cert_pem = roots[0], .root_key_pem = keys[0]};
    cluster = bootstrap_cluster(&bootstrap, &rng_kernel, now, &arena);
    cluster->root_ca->last_forced_rotation = 3;
    cluster->spec->ca_config->force_rotate = 3;
}

static void tear_down(void)
{
    arena_fini(&arena);
}

static void rotate_to(const char *cert, const char *key)
{
    Swarm__RootRotation *rotation = wire_new(&swarm__root_rotation__descriptor, &arena);
    rotation->ca_cert = data_of(cert);
    rotation->ca_key = data_of(key);
    cluster->root_ca->root_rotation = rotation;
}

// Authorities that serve these roots (-1: the entry names none), in this order.
static void add_externals(const int *serves, size_t count)
{
    Swarm__CAConfig *config = cluster->spec->ca_config;
    config->n_external_cas = count;
    config->external_cas = arena_alloc_array(&arena, count, sizeof(void *));
    for (size_t i = 0; i < count; i++) {
        Swarm__ExternalCA *external = wire_new(&swarm__external_ca__descriptor, &arena);
        external->url = arena_printf(&arena, "https://ca%zu.test/", i);
        if (serves[i] >= 0)
            external->ca_cert = data_of(roots[serves[i]]);
        config->external_cas[i] = external;
    }
}

struct row {
    const char *what;
    bool keyless;          // the cluster has not its root's key
    int rotates;           // 0: no; 1: to roots[1], 2: to it without its key
    bool force;            // another number
    const char *cert;      // NULL, "0".."2" a root, "old", "two", or as it is
    const char *key;       // NULL, "0".."2" a key
    int code;              // of the plan
    enum settle_turn turn; // else
    const char *needs[2];  // what they are for
    size_t urls[2];        // and how many there are
    bool outside;
};

// The list of the cluster is: one without a root (its present one), one each for roots 1 and 2.
static const struct row rows[] = {
    {"nothing", 0, 0, 0, NULL, NULL, 0, SETTLE_STAYS},
    {"a fresh root", 0, 0, 1, NULL, NULL, 0, SETTLE_ROTATE},
    {"a root with its key", 0, 0, 1, "1", "1", 0, SETTLE_ROTATE},
    {"a root with its key, same number", 0, 0, 0, "1", "1", 0, SETTLE_ROTATE},
    {"a root with another key", 0, 0, 1, "1", "2", ERR_INVALID_ARGUMENT},
    {"a root with a key that is none", 0, 0, 1, "1", "rubbish", ERR_INVALID_ARGUMENT},
    {"a key alone", 0, 0, 1, NULL, "1", ERR_INVALID_ARGUMENT},
    {"two roots", 0, 0, 1, "two", "1", ERR_INVALID_ARGUMENT},
    {"no root", 0, 0, 1, "rubbish", "1", ERR_INVALID_ARGUMENT},
    {"a root that ends soon", 0, 0, 1, "old", "old", ERR_INVALID_ARGUMENT},
    {"the present root", 0, 0, 1, "0", "0", 0, SETTLE_KEY},
    {"back to the present root", 0, 1, 1, "0", "0", 0, SETTLE_KEY},
    {"the present root without key", 0, 0, 1, "0", NULL, 0, SETTLE_KEY, {"desired"}, {1}},
    {"outside", 0, 0, 1, "1", NULL, 0, SETTLE_ROTATE, {"desired"}, {1}},
    {"the next root's key is taken away", 0, 1, 1, "1", NULL, 0, SETTLE_NEXT_KEY, {"desired"}, {1}},
    {"the next root's key comes", 0, 2, 1, "1", "1", 0, SETTLE_NEXT_KEY},
    {"a third root", 0, 1, 1, "2", "2", 0, SETTLE_ROTATE},
    {"nothing, rotating outside", 0, 2, 0, NULL, NULL, 0, SETTLE_STAYS, {"next"}, {1}},
    {"nothing, with an outside root", 1, 0, 0, NULL, NULL, 0, SETTLE_STAYS, {"current"}, {1}},
    {"both outside", 1, 2, 0, NULL, NULL, 0, SETTLE_STAYS, {"current", "next"}, {1, 1}},
    {"inside at last", 1, 1, 1, "0", "0", 0, SETTLE_KEY},
    {"inside with a wrong key", 1, 0, 1, "0", "1", ERR_INVALID_ARGUMENT},
    {"inside by a fresh root", 1, 0, 1, NULL, NULL, 0, SETTLE_ROTATE, {"current"}, {1}, true},
    {"inside by a root", 1, 0, 1, "1", "1", 0, SETTLE_ROTATE, {"current"}, {1}, true},
    {"from outside to outside", 1, 0, 1, "1", NULL, ERR_INVALID_ARGUMENT},
};

static const char *pick(const char *name, char *const *from, const char *old)
{
    if (str_equal(name, "old"))
        return old;
    if (name && name[0] >= '0' && name[0] <= '2' && !name[1])
        return from[name[0] - '0'];
    return str_or(name, "");
}

START_TEST(the_plan_is_as_the_table_says)
{
    const struct row *row = &rows[_i];
    static const int serves[] = {-1, 1, 2};
    struct settle_plan plan;
    struct err err = ERR_INIT;
    Swarm__CAConfig *config = cluster->spec->ca_config;
    add_externals(serves, COUNT_OF(serves));
    if (row->keyless)
        cluster->root_ca->ca_key.len = 0;
    if (row->rotates)
        rotate_to(roots[1], row->rotates == 1 ? keys[1] : "");
    config->force_rotate += row->force;
    config->signing_ca_cert = data_of(pick(row->cert, roots, old_root));
    if (str_equal(row->cert, "two"))
        config->signing_ca_cert = data_of(arena_printf(&arena, "%s%s", roots[1], roots[2]));
    config->signing_ca_key = data_of(pick(row->key, keys, old_key));
    int result = settle_plan(cluster, &rng_kernel, now, &arena, &plan, &err);
    ck_assert_msg(result == -row->code, "%s: %s", row->what, err.message);
    if (row->code)
        return;
    ck_assert_msg(plan.turn == row->turn, "%s: turn %d", row->what, (int)plan.turn);
    ck_assert_msg(plan.crossed_outside == row->outside, "%s: crossed where", row->what);
    size_t count = 0;
    for (; count < 2 && row->needs[count]; count++) {
        ck_assert_msg(count < plan.needs_count, "%s: needs", row->what);
        ck_assert_str_eq(plan.needs[count].what, row->needs[count]);
        ck_assert_uint_eq(plan.needs[count].urls_count, row->urls[count]);
    }
    ck_assert_msg(count == plan.needs_count, "%s: %zu needs", row->what, plan.needs_count);
}
END_TEST

START_TEST(a_plan_is_carried_out_on_the_root_alone)
{
    struct settle_plan plan;
    Swarm__CAConfig *config = cluster->spec->ca_config;
    Swarm__RootCA *ca = cluster->root_ca;
    config->force_rotate = 4;
    config->signing_ca_cert = data_of(roots[1]);
    config->signing_ca_key = data_of(keys[1]);
    ck_assert_int_eq(settle_plan(cluster, &rng_kernel, now, &arena, &plan, NULL), 0);
    ck_assert_int_eq(settle_apply(cluster, &plan, NULL, &rng_kernel, &arena, NULL), 0);
    ck_assert_uint_eq(ca->last_forced_rotation, 4);
    ck_assert_ptr_nonnull(ca->root_rotation);
    char *crossed = arena_strndup(&arena, (char *)ca->root_rotation->cross_signed_ca_cert.data,
                                  ca->root_rotation->cross_signed_ca_cert.len);
    ck_assert_int_eq(external_take_crossed(crossed, roots[1], roots[0], now, NULL), 0);
    ck_assert_uint_eq(ca->ca_key.len, strlen(keys[0]));

    config->force_rotate = 5; // the present root again, from now on without its key
    static const int serves[] = {0};
    add_externals(serves, 1);
    config->signing_ca_cert = data_of(roots[0]);
    config->signing_ca_key = data_of("");
    ck_assert_int_eq(settle_plan(cluster, &rng_kernel, now, &arena, &plan, NULL), 0);
    ck_assert_int_eq(settle_apply(cluster, &plan, NULL, &rng_kernel, &arena, NULL), 0);
    ck_assert_ptr_null(ca->root_rotation);
    ck_assert_uint_eq(ca->ca_key.len, 0);
    ck_assert_uint_eq(ca->last_forced_rotation, 5);

    config->force_rotate = 6; // and a fresh one, signed outside
    config->signing_ca_cert = data_of("");
    ck_assert_int_eq(settle_plan(cluster, &rng_kernel, now, &arena, &plan, NULL), 0);
    ck_assert_int_eq(settle_apply(cluster, &plan, "crossed", &rng_kernel, &arena, NULL), 0);
    ck_assert_uint_eq(ca->root_rotation->cross_signed_ca_cert.len, strlen("crossed"));
    ck_assert_uint_gt(ca->root_rotation->ca_key.len, 0);
}
END_TEST

START_TEST(another_certificate_of_the_present_key_is_refused)
{
    struct settle_plan plan;
    struct err err = ERR_INIT;
    struct buf crossed;
    buf_init(&crossed, 65536);
    struct signer *signer = signer_new(roots[0], keys[0], NULL, NULL);
    ck_assert_int_eq(signer_cross_sign(signer, roots[0], &rng_kernel, &crossed, NULL), 0);
    cluster->spec->ca_config->force_rotate = 4;
    cluster->spec->ca_config->signing_ca_cert = data_of(buf_cstr(&crossed));
    cluster->spec->ca_config->signing_ca_key = data_of(keys[0]);
    ck_assert_int_eq(settle_plan(cluster, &rng_kernel, now, &arena, &plan, &err),
                     -ERR_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, "Cannot update to a cert with an identical key");
    signer_free(signer);
    buf_fini(&crossed);
}
END_TEST

START_TEST(texts_of_one_certificate_are_the_same_however_written)
{
    char *spaced = arena_printf(&arena, "\n\nsubject: x\n%s\n", roots[1]);
    ck_assert(external_same_certs(data_of(roots[1]), data_of(spaced)));
    ck_assert(!external_same_certs(data_of(roots[1]), data_of(roots[2])));
    ck_assert(!external_same_certs(data_of(roots[1]), data_of("")));
    ck_assert(!external_same_certs(data_of("x"), data_of("y")));
}
END_TEST

Suite *suite_settle(void);
Suite *suite_settle(void)
{
    Suite *suite = suite_create("settle");
    TCase *tcase = tcase_create("settle");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_loop_test(tcase, the_plan_is_as_the_table_says, 0, COUNT_OF(rows));
    tcase_add_test(tcase, a_plan_is_carried_out_on_the_root_alone);
    tcase_add_test(tcase, another_certificate_of_the_present_key_is_refused);
    tcase_add_test(tcase, texts_of_one_certificate_are_the_same_however_written);
    suite_add_tcase(suite, tcase);
    return suite;
}
