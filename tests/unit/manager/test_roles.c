// Who is a manager (swarmkit 8.3 to 8.5): promotion, demotion, also of the leader, and what would
// cost the quorum. Real managers, joined through the CA.
#include <check.h>

#include "proto/base/str.h"
#include "tests/unit/manager/sites.h"

static const Swarm__Node *get_node(int number, const char *id)
{
    Swarm__GetNodeRequest request = SWARM__GET_NODE_REQUEST__INIT;
    request.node_id = id;
    struct asked asked = SITE_ASK(number, Control, GetNode, get_node_response, &request);
    ck_assert_msg(asked.status.err.code == ERR_OK, "%s", asked.status.err.message);
    return ((Swarm__GetNodeResponse *)asked.reply)->node;
}

// UpdateNode, through a manager, with the role as wanted.
static struct asked want(int number, const char *id, Swarm__NodeRole role)
{
    for (;;) {
        const Swarm__Node *node = get_node(number, id);
        Swarm__UpdateNodeRequest request = SWARM__UPDATE_NODE_REQUEST__INIT;
        node->spec->desired_role = role;
        request.node_id = id;
        request.node_version = node->meta->version;
        request.spec = node->spec;
        struct asked asked = SITE_ASK(number, Control, UpdateNode, update_node_response, &request);
        // Something else was written meanwhile.
        if (!str_equal(asked.status.err.message, "update out of sequence"))
            return asked;
    }
}

// A manager that has just joined counts as unreachable for a moment.
static void demote(int number, const char *id)
{
    struct asked asked;
    for (int round = 0; round < 600; round++) {
        asked = want(number, id, SWARM__NODE_ROLE__WORKER);
        if (asked.status.err.code != ERR_FAILED_PRECONDITION)
            break;
        loop_run_until(&sites_loop, sites_never, NULL, 50);
    }
    ck_assert_msg(asked.status.err.code == ERR_OK, "%s", asked.status.err.message);
}

static void will_be(int number, const char *id, Swarm__NodeRole role)
{
    for (int round = 0; round < 600; round++) {
        if (get_node(number, id)->role == role)
            return;
        loop_run_until(&sites_loop, sites_never, NULL, 50);
    }
    ck_abort_msg("node %s does not get its role", id);
}

static bool is_out(void *ctx)
{
    return ((struct site *)ctx)->stopped;
}

static const char *id_of(int number)
{
    return sites[number].credentials.identity.node_id;
}

static size_t members(int number)
{
    struct manager_status status;
    manager_status(sites[number].manager, &status);
    return status.members;
}

START_TEST(a_promoted_worker_gets_the_role_and_a_demoted_one_that_never_came_loses_it)
{
    struct credentials worker;
    sites_found(1);
    sites_admit(0, IDENTITY_WORKER, &worker);
    const char *id = worker.identity.node_id;
    ck_assert_int_eq(want(0, id, SWARM__NODE_ROLE__MANAGER).status.err.code, ERR_OK);
    will_be(0, id, SWARM__NODE_ROLE__MANAGER);
    ck_assert_int_eq(want(0, id, SWARM__NODE_ROLE__WORKER).status.err.code, ERR_NOT_FOUND);
    credentials_fini(&worker);
}
END_TEST

START_TEST(a_demoted_manager_leaves_raft_and_then_becomes_a_worker)
{
    sites_found(3);
    demote(1, id_of(2)); // through a follower
    ck_assert(loop_run_until(&sites_loop, is_out, &sites[2], SITES_WAIT_MS));
    ck_assert_int_eq(sites[2].why, ERR_NOT_FOUND);
    will_be(0, id_of(2), SWARM__NODE_ROLE__WORKER);
    ck_assert_uint_eq(members(0), 2);
}
END_TEST

static bool other_leads(void *ctx)
{
    (void)ctx;
    return site_is_leading(&sites[1]) || site_is_leading(&sites[2]);
}

START_TEST(a_demoted_leader_hands_over_first)
{
    sites_found(3);
    demote(0, id_of(0));
    ck_assert(loop_run_until(&sites_loop, other_leads, NULL, SITES_WAIT_MS));
    ck_assert(loop_run_until(&sites_loop, is_out, &sites[0], SITES_WAIT_MS));
    ck_assert_int_eq(sites[0].why, ERR_NOT_FOUND);
    will_be(1, id_of(0), SWARM__NODE_ROLE__WORKER);
    struct asked asked = site_create_service(1, "after", 1);
    ck_assert_msg(asked.status.err.code == ERR_OK, "%s", asked.status.err.message);
}
END_TEST

static bool is_unreachable(void *ctx)
{
    const Swarm__Node *node = get_node(0, ctx);
    return node->manager_status && node->manager_status->reachability ==
                                       SWARM__RAFT_MEMBER_STATUS__REACHABILITY__UNREACHABLE;
}

START_TEST(what_would_cost_the_quorum_is_refused_and_changes_nothing)
{
    sites_found(1);
    struct asked asked = want(0, id_of(0), SWARM__NODE_ROLE__WORKER);
    ck_assert_int_eq(asked.status.err.code, ERR_FAILED_PRECONDITION);
    ck_assert_str_eq(asked.status.err.message,
                     "attempting to demote the last manager of the swarm");
    for (int i = 1; i < SITES; i++) {
        sites_admit(0, IDENTITY_MANAGER, &sites[i].credentials);
        site_start(i, MANAGER_JOIN, sites[0].advertise);
    }
    char lost[IDENTITY_TEXT_BYTES];
    str_copy(lost, sizeof lost, id_of(2));
    site_stop(2);
    for (int round = 0; round < 600 && !is_unreachable(lost); round++)
        loop_run_until(&sites_loop, sites_never, NULL, 50);
    ck_assert(is_unreachable(lost));
    asked = want(0, id_of(1), SWARM__NODE_ROLE__WORKER);
    ck_assert_int_eq(asked.status.err.code, ERR_FAILED_PRECONDITION);
    ck_assert_str_eq(asked.status.err.message, "can't remove member from the raft: this would "
                                               "result in a loss of quorum");
    ck_assert_int_eq(get_node(0, id_of(1))->spec->desired_role, SWARM__NODE_ROLE__MANAGER);
    // The one that is gone can be demoted, and is out without having been asked.
    asked = want(0, lost, SWARM__NODE_ROLE__WORKER);
    ck_assert_msg(asked.status.err.code == ERR_OK, "%s", asked.status.err.message);
    will_be(0, lost, SWARM__NODE_ROLE__WORKER);
    ck_assert_uint_eq(members(0), 2);
    // A member is not removed as a node.
    Swarm__RemoveNodeRequest request = SWARM__REMOVE_NODE_REQUEST__INIT;
    request.node_id = id_of(1);
    request.force = true;
    asked = SITE_ASK(0, Control, RemoveNode, remove_node_response, &request);
    ck_assert_int_eq(asked.status.err.code, ERR_FAILED_PRECONDITION);
}
END_TEST

Suite *suite_roles(void);
Suite *suite_roles(void)
{
    Suite *suite = suite_create("roles");
    TCase *tcase = tcase_create("roles");
    tcase_set_timeout(tcase, 100);
    tcase_add_checked_fixture(tcase, sites_setup, sites_teardown);
    tcase_add_test(tcase,
                   a_promoted_worker_gets_the_role_and_a_demoted_one_that_never_came_loses_it);
    tcase_add_test(tcase, a_demoted_manager_leaves_raft_and_then_becomes_a_worker);
    tcase_add_test(tcase, a_demoted_leader_hands_over_first);
    tcase_add_test(tcase, what_would_cost_the_quorum_is_refused_and_changes_nothing);
    suite_add_tcase(suite, tcase);
    return suite;
}
