// Defaults are by absence: what is present counts as it is.
#include <check.h>

#include "proto/wire/defaults.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"

static struct arena arena;

static void setup(void)
{
    arena_init(&arena, 1 << 20);
}

static void teardown(void)
{
    arena_fini(&arena);
}

START_TEST(restart_policy_zeros_are_real_once_present)
{
    struct restart_settled settled = defaults_restart(NULL);
    ck_assert_int_eq(settled.condition, SWARM__RESTART_POLICY__RESTART_CONDITION__ANY);
    ck_assert_int_eq(settled.delay_ns, 5 * NS_PER_S);
    Swarm__RestartPolicy *policy = wire_new(&swarm__restart_policy__descriptor, &arena);
    settled = defaults_restart(policy);
    ck_assert_int_eq(settled.condition, SWARM__RESTART_POLICY__RESTART_CONDITION__NONE);
    ck_assert_int_eq(settled.delay_ns, 5 * NS_PER_S);
    policy->delay = duration_new(0, &arena);
    ck_assert_int_eq(defaults_restart(policy).delay_ns, 0);
}
END_TEST

START_TEST(update_config_zeros_are_real_once_present)
{
    ck_assert_uint_eq(defaults_update(NULL).parallelism, 1);
    Swarm__UpdateConfig *config = wire_new(&swarm__update_config__descriptor, &arena);
    struct update_settled settled = defaults_update(config);
    ck_assert_uint_eq(settled.parallelism, 0);
    ck_assert_int_eq(settled.monitor_ns, 5 * NS_PER_S);
    config->monitor = duration_new(NS_PER_S, &arena);
    ck_assert_int_eq(defaults_update(config).monitor_ns, NS_PER_S);
}
END_TEST

START_TEST(cluster_settings_fall_back_where_zero_means_nothing)
{
    Swarm__Cluster *cluster = wire_new(&swarm__cluster__descriptor, &arena);
    struct cluster_settled settled = defaults_cluster(cluster);
    ck_assert_int_eq(settled.task_history, 0);
    ck_assert_int_eq(settled.heartbeat_ns, 5 * NS_PER_S);
    ck_assert_int_eq(settled.cert_expiry_ns, 2160 * NS_PER_H);
    ck_assert_uint_eq(settled.vxlan_port, 4789);
    ck_assert_uint_eq(settled.subnet_size, 24);
    cluster->spec->ca_config->node_cert_expiry = duration_new(NS_PER_H - 1, &arena);
    ck_assert_int_eq(defaults_cluster(cluster).cert_expiry_ns, 2160 * NS_PER_H);
    cluster->spec->ca_config->node_cert_expiry = duration_new(NS_PER_H, &arena);
    ck_assert_int_eq(defaults_cluster(cluster).cert_expiry_ns, NS_PER_H);
    ck_assert_int_eq(defaults_cluster(NULL).task_history, 5);
}
END_TEST

START_TEST(a_new_cluster_says_its_defaults)
{
    Swarm__Cluster *cluster = wire_new(&swarm__cluster__descriptor, &arena);
    cluster->spec = defaults_new_cluster_spec(&arena);
    ck_assert_str_eq(cluster->spec->annotations->name, "default");
    struct cluster_settled none = defaults_cluster(NULL);
    struct cluster_settled fresh = defaults_cluster(cluster);
    ck_assert_int_eq(fresh.task_history, none.task_history);
    ck_assert_uint_eq(fresh.slow_follower_log, none.slow_follower_log);
    ck_assert_uint_eq(fresh.snapshot_interval, none.snapshot_interval);
    wire_free(defaults_new_cluster_spec(NULL));
}
END_TEST

START_TEST(a_service_spec_is_filled_in_a_copy)
{
    Swarm__ServiceSpec *spec = wire_new(&swarm__service_spec__descriptor, &arena);
    spec->task->runtime_case = SWARM__TASK_SPEC__RUNTIME_CONTAINER;
    spec->task->container = wire_new(&swarm__container_spec__descriptor, &arena);
    spec->rollback = wire_new(&swarm__update_config__descriptor, &arena);
    Swarm__ServiceSpec *full = defaults_fill_service(spec, NULL);
    ck_assert_ptr_null(spec->update);
    ck_assert_uint_eq(full->update->parallelism, 1);
    ck_assert_uint_eq(full->rollback->parallelism, 0); // was there
    ck_assert_int_eq(full->rollback->monitor->seconds, 5);
    ck_assert_int_eq(full->task->restart->condition, SWARM__RESTART_POLICY__RESTART_CONDITION__ANY);
    ck_assert_int_eq(full->task->restart->delay->seconds, 5);
    ck_assert_ptr_nonnull(full->task->placement);
    ck_assert_ptr_nonnull(full->task->container->dns_config);
    ck_assert_int_eq(defaults_stop_grace_ns(full->task->container), 10 * NS_PER_S);
    ck_assert_int_eq(defaults_stop_grace_ns(spec->task->container), 10 * NS_PER_S);
    wire_free(full);
}
END_TEST

Suite *suite_defaults(void);
Suite *suite_defaults(void)
{
    Suite *suite = suite_create("defaults");
    TCase *tcase = tcase_create("defaults");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, restart_policy_zeros_are_real_once_present);
    tcase_add_test(tcase, update_config_zeros_are_real_once_present);
    tcase_add_test(tcase, cluster_settings_fall_back_where_zero_means_nothing);
    tcase_add_test(tcase, a_new_cluster_says_its_defaults);
    tcase_add_test(tcase, a_service_spec_is_filled_in_a_copy);
    suite_add_tcase(suite, tcase);
    return suite;
}
