#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/skepd/charge.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

Suite *suite_charge(void);

#define TEXT_BYTES_MAX ((size_t)64 << 10)

static Swarm__Cluster *cluster_with_id(const char *id)
{
    Swarm__Cluster cluster = SWARM__CLUSTER__INIT;
    cluster.id = (char *)(uintptr_t)id;
    return wire_copy(&cluster, NULL);
}

static struct charge whole_charge(void)
{
    struct charge charge = {
        .birth = MANAGER_FOUND,
        .advertise = str_dup("10.0.0.1:2377"),
        .chain_pem = str_dup("chain\n"),
        .key_pem = str_dup("key\n"),
        .roots_pem = str_dup("roots\n"),
        .first_cluster = cluster_with_id("the-cluster"),
        .joins = {str_dup("10.0.0.2:2377"), str_dup("10.0.0.3:2377")},
        .joins_count = 2,
    };
    memset(charge.key.bytes, 7, sizeof charge.key.bytes);
    return charge;
}

// Goal: the manager process reads what the node process wrote, all of it.
START_TEST(charge_round_trips)
{
    struct charge charge = whole_charge(), again;
    struct buf text;
    buf_init(&text, TEXT_BYTES_MAX);
    charge_pack(&charge, &text);
    ck_assert_int_eq(charge_parse(text.data, text.len, &again, NULL), 0);
    ck_assert_int_eq(again.birth, MANAGER_FOUND);
    ck_assert_mem_eq(again.key.bytes, charge.key.bytes, sizeof charge.key.bytes);
    ck_assert(!again.has_previous_key);
    ck_assert_str_eq(again.advertise, "10.0.0.1:2377");
    ck_assert_str_eq(again.chain_pem, "chain\n");
    ck_assert_str_eq(again.key_pem, "key\n");
    ck_assert_str_eq(again.roots_pem, "roots\n");
    ck_assert_str_eq(again.first_cluster->id, "the-cluster");
    ck_assert_uint_eq(again.joins_count, 2);
    ck_assert_str_eq(again.joins[1], "10.0.0.3:2377");
    buf_wipe(&text);
    charge_fini(&charge);
    charge_fini(&again);
}
END_TEST

// Goal: a charge that was cut anywhere is refused, and nothing of it is kept.
START_TEST(charge_refuses_a_cut_text)
{
    struct charge charge = whole_charge(), again;
    struct buf text;
    buf_init(&text, TEXT_BYTES_MAX);
    charge_pack(&charge, &text);
    for (size_t size = 0; size < text.len; size++) {
        struct err err = ERR_INIT;
        ck_assert_int_eq(charge_parse(text.data, size, &again, &err), -ERR_INVALID_ARGUMENT);
    }
    buf_wipe(&text);
    charge_fini(&charge);
}
END_TEST

// Goal: settings that no charge can hold are refused before anything is done with them.
START_TEST(a_large_cluster_is_refused)
{
    struct err err = ERR_INIT;
    char *id = malloc(CHARGE_CLUSTER_BYTES_MAX + 1);
    ck_assert_ptr_nonnull(id);
    memset(id, 'x', CHARGE_CLUSTER_BYTES_MAX);
    id[CHARGE_CLUSTER_BYTES_MAX] = '\0';
    Swarm__Cluster *large = cluster_with_id(id), *small = cluster_with_id("small");
    ck_assert_int_eq(charge_check_cluster(small, &err), 0);
    ck_assert_int_eq(charge_check_cluster(large, &err), -ERR_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.message, "too large"));
    wire_free(large);
    wire_free(small);
    free(id);
}
END_TEST

Suite *suite_charge(void)
{
    Suite *suite = suite_create("charge");
    TCase *tcase = tcase_create("charge");
    tcase_add_test(tcase, charge_round_trips);
    tcase_add_test(tcase, charge_refuses_a_cut_text);
    tcase_add_test(tcase, a_large_cluster_is_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
