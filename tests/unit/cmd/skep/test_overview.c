// What `skep status` finds wrong with a swarm, and what it says to do.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/skep/overview.h"
#include "proto/base/json.h"

#define ACTIVE "{'Swarm': {'LocalNodeState': 'active', 'ControlAvailable': true}}"
#define MANAGER(name, reach, state)                                                                \
    "{'ID': '" name "', 'Description': {'Hostname': '" name "'}, 'Spec': {'Availability': "        \
    "'active'}, 'Status': {'State': '" state "'}, 'ManagerStatus': {'Reachability': '" reach "'}}"
#define WORKER(name, state, availability)                                                          \
    "{'ID': '" name "', 'Description': {'Hostname': '" name "'}, 'Spec': {'Availability': "        \
    "'" availability "'}, 'Status': {'State': '" state "'}}"
#define ONE "[" MANAGER("m1", "reachable", "ready") "]"
#define SMALL_NET                                                                                  \
    "[{'Id': 'n1', 'Name': 'tiny', 'Scope': 'swarm', 'IPAM': {'Config': [{'Subnet': "              \
    "'10.9.0.0/29'}]}}]"
#define ON_TINY(id, state, address)                                                                \
    "{'ID': '" id "', 'ServiceID': 's1', 'NodeID': 'm1', 'DesiredState': 'running', 'Status': "    \
    "{'State': '" state "'}, 'Spec': {'Networks': [{'Target': 'n1'}]}, 'NetworksAttachments': "    \
    "[" address "]}"
#define ADDRESS "{'Network': {'ID': 'n1'}, 'Addresses': ['10.9.0.3/29']}"
#define TINY_SERVICE                                                                               \
    "[{'ID': 's1', 'Spec': {'Name': 'web'}, 'ServiceStatus': {'RunningTasks': 2, 'DesiredTasks': " \
    "2}, 'Endpoint': {'VirtualIPs': [{'NetworkID': 'n1', 'Addr': '10.9.0.2/29'}]}}]"

// JSON with ' for ". NULL: the daemon did not say.
static const struct {
    const char *info, *nodes, *services, *tasks, *networks, *silence;
    const char *what, *cure; // parts of one problem; NULL: nothing is wrong
    bool grave;
} cases[] = {
    {ACTIVE, ONE, "[]", "[]", "[]", NULL, NULL, NULL, false},
    {"{'Swarm': {'LocalNodeState': 'inactive'}}", NULL, NULL, NULL, "[]", NULL,
     "this node is in no swarm", "skep swarm init", false},
    {"{'Swarm': {'LocalNodeState': 'locked'}}", NULL, NULL, NULL, "[]", NULL,
     "this manager is locked", "skep swarm unlock", true},
    {"{'Swarm': {'LocalNodeState': 'active'}, 'Name': 'h1', 'Warnings': ['WARNING: the disk of "
     "this node is almost full: 12 MB are left at /var/lib/skep']}",
     ONE, "[]", "[]", "[]", NULL, "h1: the disk of this node is almost full: 12 MB",
     "skep system prune", true},
    {"{'Swarm': {'LocalNodeState': 'active'}, 'Warnings': ['WARNING: No swap limit support']}", ONE,
     "[]", "[]", "[]", NULL, NULL, NULL, false},
    {"{'Swarm': {'LocalNodeState': 'error', 'Error': 'no certificate'}}", NULL, NULL, NULL, "[]",
     NULL, "no certificate", "daemon's log", true},
    {ACTIVE, NULL, NULL, NULL, NULL, "The swarm does not have a leader.",
     "does not answer: The swarm does not have a leader", "--force-new-cluster", true},
    {ACTIVE,
     "[" MANAGER("m1", "reachable", "ready") "," MANAGER("m2", "reachable", "ready") "," MANAGER(
         "m3", "unreachable", "ready") "]",
     "[]", "[]", "[]", NULL, "no manager may fail any more: 2 of 3", "start the missing managers",
     true},
    {ACTIVE,
     "[" MANAGER("m1", "reachable", "ready") "," MANAGER("m2", "unreachable", "ready") "," MANAGER(
         "m3", "unreachable", "ready") "]",
     "[]", "[]", "[]", NULL, "1 of 3 managers can be reached, 2 are needed", "start managers again",
     true},
    {ACTIVE, "[" MANAGER("m1", "reachable", "ready") "," MANAGER("m2", "reachable", "ready") "]",
     "[]", "[]", "[]", NULL, "2 managers survive no more failures than 1", "odd number", false},
    {ACTIVE, "[" MANAGER("m1", "reachable", "ready") "," WORKER("w1", "down", "active") "]", "[]",
     "[]", "[]", NULL, "node w1 is down", "if it is gone: `skep node rm w1`", true},
    {ACTIVE,
     "[" MANAGER("m1", "reachable", "ready") "," MANAGER("m2", "reachable", "ready") "," MANAGER(
         "m3", "reachable", "down") "]",
     "[]", "[]", "[]", NULL, "node m3 is down", "`skep node demote m3`, and then", true},
    {ACTIVE, "[" MANAGER("m1", "reachable", "ready") "," WORKER("w1", "ready", "drain") "]", "[]",
     "[]", "[]", NULL, "node w1 takes no tasks: it is set to drain",
     "skep node update --availability active w1", false},
    {ACTIVE, ONE,
     "[{'ID': 's1', 'Spec': {'Name': 'web'}, 'ServiceStatus': {'RunningTasks': 0, 'DesiredTasks': "
     "2}}]",
     "[{'ServiceID': 's1', 'DesiredState': 'running', 'Status': {'State': 'pending', 'Timestamp': "
     "'2026-01-01T00:00:00Z', 'Err': 'no suitable node (scheduling constraints not satisfied on 1 "
     "node)'}}]",
     "[]", NULL, "service web: 0 of 2 tasks run: no suitable node (scheduling constraints",
     "skep service ps --no-trunc web", true},
    {ACTIVE, ONE,
     "[{'ID': 's1', 'Spec': {'Name': 'web'}, 'ServiceStatus': {'RunningTasks': 2, 'DesiredTasks': "
     "2}, 'UpdateStatus': {'State': 'paused', 'Message': 'task x failed'}}]",
     "[]", "[]", NULL, "service web: its update is paused: task x failed",
     "skep service rollback web", true},
    // 5 addresses: the service's, the node's, and those of two tasks; then those of four.
    {ACTIVE, ONE, TINY_SERVICE,
     "[" ON_TINY("t1", "running", ADDRESS) "," ON_TINY("t2", "running", ADDRESS) "]", SMALL_NET,
     NULL, NULL, NULL, false},
    {ACTIVE, ONE, TINY_SERVICE,
     "[" ON_TINY("t1", "running", ADDRESS) "," ON_TINY("t2", "running", ADDRESS) "," ON_TINY(
         "t3", "running", ADDRESS) "," ON_TINY("t4", "new", "") "]",
     SMALL_NET, NULL, "network tiny has no addresses left: 5 of 5 are used, 1 tasks wait",
     "larger --subnet", true},
    {ACTIVE, ONE, TINY_SERVICE,
     "[" ON_TINY("t1", "running", ADDRESS) "," ON_TINY("t2", "running", ADDRESS) "," ON_TINY(
         "t3", "shutdown", ADDRESS) "]",
     SMALL_NET, NULL, NULL, NULL, false},
};

static json_t *value_of(const char *text)
{
    if (!text)
        return NULL;
    char *copy = strdup(text);
    for (char *at = copy; *at; at++)
        if (*at == '\'')
            *at = '"';
    json_t *value = json_parse(copy, strlen(copy), NULL);
    ck_assert_msg(value != NULL, "%s", copy);
    free(copy);
    return value;
}

START_TEST(each_trouble_is_named_with_a_cure)
{
    struct arena arena;
    struct problems found;
    arena_init(&arena, 1 << 20);
    struct overview overview = {.info = value_of(cases[_i].info),
                                .nodes = value_of(cases[_i].nodes),
                                .services = value_of(cases[_i].services),
                                .tasks = value_of(cases[_i].tasks),
                                .networks = value_of(cases[_i].networks),
                                .silence = cases[_i].silence};
    overview_judge(&overview, &arena, &found);
    if (!cases[_i].what)
        ck_assert_msg(found.count == 0, "%s", found.count ? found.list[0].what : "");
    const struct problem *named = NULL;
    for (size_t i = 0; i < found.count && cases[_i].what; i++)
        if (strstr(found.list[i].what, cases[_i].what))
            named = &found.list[i];
    if (cases[_i].what) {
        ck_assert_msg(named != NULL, "%s: %zu others", cases[_i].what, found.count);
        ck_assert_msg(strstr(named->cure, cases[_i].cure) != NULL, "%s", named->cure);
        ck_assert_int_eq(named->grave, cases[_i].grave);
    }
    json_decref(overview.info);
    json_decref(overview.nodes);
    json_decref(overview.services);
    json_decref(overview.tasks);
    json_decref(overview.networks);
    arena_fini(&arena);
}
END_TEST

Suite *suite_overview(void);
Suite *suite_overview(void)
{
    Suite *suite = suite_create("overview");
    TCase *tc = tcase_create("troubles");
    tcase_add_loop_test(tc, each_trouble_is_named_with_a_cure, 0, sizeof cases / sizeof cases[0]);
    suite_add_tcase(suite, tc);
    return suite;
}
