// What a swarm may be founded with, and settings that leave things out.
#include <check.h>
#include <string.h>

#include "agent/engine/swarm_check.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/defaults.h"
#include "proto/wire/times.h"

static struct arena arena;
static struct err err;

static void set_up(void)
{
    arena_init(&arena, SIZE_MAX);
    err = (struct err)ERR_INIT;
}

static void tear_down(void)
{
    arena_fini(&arena);
}

START_TEST(ports_sizes_and_pools_are_those_of_stock)
{
    static const struct {
        const char *pool;
        uint32_t port, size;
        const char *complaint; // NULL: fine
    } rows[] = {
        {NULL, 0, 0, NULL},
        {"10.20.0.0/16", 4790, 26, NULL},
        {NULL, 80, 24, "Datapath port number is not in valid range (1024-49151) : 80"},
        {NULL, 70000, 24, "Datapath port number is not in valid range (1024-49151) : 70000"},
        {"10.20.0.0/16", 0, 31, "subnet size is out of range: 31"},
        {"10.20.0.0/24", 0, 16,
         "invalid CIDR: \"10.20.0.0/24\". Subnet size is too small for pool: 16"},
        {"10.20.0.0", 0, 24, "invalid CIDR address: 10.20.0.0"},
        {"10.20.0.0/33", 0, 24, "invalid CIDR address: 10.20.0.0/33"},
        {"fd00::/16", 0, 24, "invalid CIDR address: fd00::/16"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct backend_init init = {.data_path_port = rows[i].port,
                                    .subnet_size = rows[i].size,
                                    .address_pools = &rows[i].pool,
                                    .address_pools_count = rows[i].pool ? 1 : 0};
        int result = swarm_check_pools(&init, &err);
        ck_assert_int_eq(result, rows[i].complaint ? -ERR_INVALID_ARGUMENT : 0);
        if (rows[i].complaint)
            ck_assert_str_eq(err.message, rows[i].complaint);
    }
}
END_TEST

static Swarm__ClusterSpec *read(const char *text)
{
    json_t *json = json_parse(text, strlen(text), NULL);
    ck_assert_ptr_nonnull(json);
    Swarm__ClusterSpec *spec =
        swarm_spec_read(json, defaults_new_cluster_spec(&arena), &arena, &err);
    json_decref(json);
    return spec;
}

START_TEST(what_is_left_out_or_zero_stays_as_it_was)
{
    Swarm__ClusterSpec *spec =
        read("{\"Raft\":{\"ElectionTick\":0,\"SnapshotInterval\":5000},\"Dispatcher\":{},"
             "\"CAConfig\":{\"NodeCertExpiry\":0},\"Orchestration\":{\"TaskHistoryRetentionLimit\":"
             "0}}");
    ck_assert_ptr_nonnull(spec);
    ck_assert_uint_eq(spec->raft->election_tick, DEFAULT_ELECTION_TICK);
    ck_assert_uint_eq(spec->raft->snapshot_interval, 5000);
    ck_assert_int_eq(duration_to_ns(spec->dispatcher->heartbeat_period, 0), DEFAULT_HEARTBEAT_NS);
    ck_assert_int_eq(duration_to_ns(spec->ca_config->node_cert_expiry, 0), DEFAULT_CERT_EXPIRY_NS);
    ck_assert_int_eq(spec->orchestration->task_history_retention_limit, 0);
    ck_assert_ptr_null(read("{\"Raft\":{\"SnapshotInterval\":\"x\"}}"));
}
END_TEST

Suite *suite_swarm_check(void);
Suite *suite_swarm_check(void)
{
    Suite *suite = suite_create("swarm_check");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, ports_sizes_and_pools_are_those_of_stock);
    tcase_add_test(tcase, what_is_left_out_or_zero_stays_as_it_was);
    suite_add_tcase(suite, tcase);
    return suite;
}
