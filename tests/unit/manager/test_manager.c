// A manager as the node process sees it: founded, asked over its local socket, stopped and started
// again, joined by others, and forwarding to the leader. Real loops, sockets, TLS and disks.
#include <check.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/health.pb-c.h"
#include "tests/unit/manager/sites.h"

static Swarm__ListClustersResponse *list_clusters(int number)
{
    Swarm__ListClustersRequest request = SWARM__LIST_CLUSTERS_REQUEST__INIT;
    struct asked asked = SITE_ASK(number, Control, ListClusters, list_clusters_response, &request);
    ck_assert_msg(asked.status.err.code == ERR_OK, "%s", asked.status.err.message);
    return asked.reply;
}

static Swarm__ListTasksResponse *list_tasks(int number)
{
    Swarm__ListTasksRequest request = SWARM__LIST_TASKS_REQUEST__INIT;
    struct asked asked = SITE_ASK(number, Control, ListTasks, list_tasks_response, &request);
    ck_assert_msg(asked.status.err.code == ERR_OK, "%s", asked.status.err.message);
    return asked.reply;
}

// ---- tests --------------------------------------------------------------------------------------

START_TEST(a_founded_cluster_has_what_a_cluster_must_have)
{
    site_start(0, MANAGER_FOUND, NULL);
    ck_assert(loop_run_until(&sites_loop, site_is_leading, &sites[0], SITES_WAIT_MS));
    // What a new leader writes is there a commit later.
    Swarm__ListClustersResponse *list = list_clusters(0);
    for (int round = 0; round < 3000 && list->n_clusters == 0; round++) {
        loop_run_until(&sites_loop, sites_never, NULL, 20);
        list = list_clusters(0);
    }
    ck_assert_uint_eq(list->n_clusters, 1);
    ck_assert_str_eq(list->clusters[0]->spec->annotations->name, "default");
    ck_assert_uint_eq(list->clusters[0]->root_ca->ca_key.len, 0); // redacted
    ck_assert(str_starts(list->clusters[0]->root_ca->join_tokens->worker, "SWMTKN-1-"));
    Swarm__ListNetworksRequest request = SWARM__LIST_NETWORKS_REQUEST__INIT;
    struct asked asked = SITE_ASK(0, Control, ListNetworks, list_networks_response, &request);
    Swarm__ListNetworksResponse *networks = asked.reply;
    ck_assert_uint_eq(networks->n_networks, 3); // ingress, bridge, host
    Swarm__ListNodesRequest nodes_request = SWARM__LIST_NODES_REQUEST__INIT;
    asked = SITE_ASK(0, Control, ListNodes, list_nodes_response, &nodes_request);
    Swarm__ListNodesResponse *nodes = asked.reply;
    ck_assert_uint_eq(nodes->n_nodes, 1);
    ck_assert_ptr_nonnull(nodes->nodes[0]->manager_status);
    ck_assert(nodes->nodes[0]->manager_status->leader);
}
END_TEST

START_TEST(a_leader_renews_network_keys_when_they_are_old)
{
    sites_network_keys_ms = 50;
    site_start(0, MANAGER_FOUND, NULL);
    ck_assert(loop_run_until(&sites_loop, site_is_leading, &sites[0], SITES_WAIT_MS));
    // Each renewal moves the keys' clock on; what clients see has the clock and never the keys.
    uint64_t first = 0, now = 0, renewals = 0;
    for (int round = 0; round < 3000 && renewals < 3; round++) {
        Swarm__ListClustersResponse *list = list_clusters(0);
        if (list->n_clusters) {
            ck_assert_uint_eq(list->clusters[0]->n_network_bootstrap_keys, 0);
            uint64_t clock = list->clusters[0]->encryption_key_lamport_clock;
            first = first ? first : clock;
            ck_assert_uint_ge(clock, now);
            renewals += now && clock > now;
            now = clock;
        }
        loop_run_until(&sites_loop, sites_never, NULL, 20);
    }
    ck_assert_uint_eq(renewals, 3);
    ck_assert_uint_gt(now, first);
}
END_TEST

struct wanted {
    int number;
    const char *line;
};

// True when the manager's figures have the line.
static bool shows(void *ctx)
{
    const struct wanted *wanted = ctx;
    struct buf text;
    buf_init(&text, (size_t)1 << 20);
    manager_metrics(sites[wanted->number].manager, &text);
    ck_assert(buf_ok(&text));
    const char *at = strstr(buf_cstr(&text), wanted->line);
    bool whole = at && at[-1] == '\n' && at[strlen(wanted->line)] == '\n';
    buf_fini(&text);
    return whole;
}

// Around an election a call may be lost with the leader that took it, and says so.
static void will_create(int number, const char *name)
{
    struct asked created;
    do
        created = site_create_service(number, name, 1);
    while (str_ends(created.status.err.message, "node lost leader status"));
    ck_assert_msg(created.status.err.code == ERR_OK, "%s", created.status.err.message);
}

// A follower's own state may come a moment after what it passed on was answered.
static void will_show(int number, const char *line)
{
    struct wanted wanted = {number, line};
    ck_assert_msg(loop_run_until(&sites_loop, shows, &wanted, SITES_WAIT_MS), "%s", line);
}

START_TEST(a_service_gets_its_tasks_and_survives_a_restart)
{
    site_start(0, MANAGER_FOUND, NULL);
    ck_assert(loop_run_until(&sites_loop, site_is_leading, &sites[0], SITES_WAIT_MS));
    struct asked created = site_create_service(0, "web", 3);
    ck_assert_msg(created.status.err.code == ERR_OK, "%s", created.status.err.message);
    Swarm__CreateServiceResponse *service = created.reply;
    ck_assert_str_eq(service->service->spec->annotations->name, "web");
    ck_assert_int_eq(site_create_service(0, "web", 1).status.err.code, ERR_ALREADY_EXISTS);
    ck_assert_int_eq(site_create_service(0, "not a name", 1).status.err.code, ERR_INVALID_ARGUMENT);
    Swarm__ListTasksResponse *tasks = NULL;
    for (int round = 0; round < 3000; round++) {
        tasks = list_tasks(0);
        if (tasks->n_tasks == 3 && tasks->tasks[0]->status->state == SWARM__TASK_STATE__PENDING &&
            tasks->tasks[1]->status->state == SWARM__TASK_STATE__PENDING &&
            tasks->tasks[2]->status->state == SWARM__TASK_STATE__PENDING &&
            !str_empty(tasks->tasks[0]->status->err))
            break;
        loop_run_until(&sites_loop, sites_never, NULL, 20);
    }
    ck_assert_uint_eq(tasks->n_tasks, 3);
    // The one node there is never registered: nobody can take them, and they say so.
    ck_assert(str_starts(tasks->tasks[0]->status->err, "no suitable node"));
    will_show(0, "swarm_manager_leader 1");
    will_show(0, "swarm_manager_services_total 1");
    will_show(0, "swarm_manager_networks_total 3");
    will_show(0, "swarm_manager_nodes{state=\"unknown\"} 1");
    will_show(0, "swarm_manager_tasks_total{state=\"pending\"} 3");
    will_show(0, "swarm_manager_tasks_total{state=\"running\"} 0");
    site_stop(0);
    site_start(0, MANAGER_RESTART, NULL);
    ck_assert(loop_run_until(&sites_loop, site_is_leading, &sites[0], SITES_WAIT_MS));
    ck_assert_uint_eq(list_tasks(0)->n_tasks, 3);
    ck_assert_int_eq(site_create_service(0, "web", 1).status.err.code, ERR_ALREADY_EXISTS);
}
END_TEST

// What the health check of that service says, or the call's status.
static int health(const char *service, struct err *err)
{
    Swarm__HealthCheckRequest request = SWARM__HEALTH_CHECK_REQUEST__INIT;
    request.service = (char *)service;
    struct asked asked = SITE_ASK(0, Health, Check, health_check_response, &request);
    *err = asked.status.err;
    return err->code == ERR_OK ? (int)((Swarm__HealthCheckResponse *)asked.reply)->status : -1;
}

START_TEST(health_is_told_for_each_service)
{
    struct err err;
    sites_found(1);
    static const char *const services[] = {"", "Raft", "ControlAPI"};
    for (size_t i = 0; i < COUNT_OF(services); i++)
        ck_assert_msg(health(services[i], &err) ==
                          SWARM__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING,
                      "%s: %s", services[i], err.message);
    ck_assert_int_eq(health("nobody", &err), -1);
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
}
END_TEST

START_TEST(managers_join_and_pass_calls_on_to_the_leader)
{
    sites_found(3);
    ck_assert_int_eq(site_create_service(0, "one", 1).status.err.code, ERR_OK);
    // Written through a follower, read through every one of them.
    struct asked created = site_create_service(2, "two", 1);
    ck_assert_msg(created.status.err.code == ERR_OK, "%s", created.status.err.message);
    for (int i = 0; i < 3; i++) {
        Swarm__ListServicesRequest request = SWARM__LIST_SERVICES_REQUEST__INIT;
        struct asked asked = SITE_ASK(i, Control, ListServices, list_services_response, &request);
        ck_assert_msg(asked.status.err.code == ERR_OK, "%s", asked.status.err.message);
        ck_assert_uint_eq(((Swarm__ListServicesResponse *)asked.reply)->n_services, 2);
    }
    will_show(2, "swarm_manager_leader 0");
    will_show(2, "swarm_manager_services_total 2");
    will_show(2, "skep_raft_members 3");
    // The leader goes; the others elect one of themselves and go on.
    site_stop(0);
    will_create(1, "three");
    site_start(0, MANAGER_RESTART, NULL);
    will_create(0, "four");
}
END_TEST

Suite *suite_manager(void);
Suite *suite_manager(void)
{
    Suite *suite = suite_create("manager");
    TCase *tcase = tcase_create("manager");
    tcase_set_timeout(tcase, 100);
    tcase_add_checked_fixture(tcase, sites_setup, sites_teardown);
    tcase_add_test(tcase, a_founded_cluster_has_what_a_cluster_must_have);
    tcase_add_test(tcase, a_leader_renews_network_keys_when_they_are_old);
    tcase_add_test(tcase, a_service_gets_its_tasks_and_survives_a_restart);
    tcase_add_test(tcase, health_is_told_for_each_service);
    tcase_add_test(tcase, managers_join_and_pass_calls_on_to_the_leader);
    suite_add_tcase(suite, tcase);
    return suite;
}
