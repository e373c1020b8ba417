// Proposals and their limits, membership, transfer, reads: what callers of a leader may expect.
#include <check.h>
#include <string.h>

#include "proto/base/check.h"
#include "tests/support/raft_group.h"

static struct group *led_by_1(size_t count)
{
    struct group *group = group_new();
    group_found(group, count);
    group_elect(group, 1);
    group_run(group, 200);
    return group;
}

static enum raft_role role(struct group *group, uint64_t id)
{
    return raft_role(group_raft(group, id));
}

// ---- proposals ----------------------------------------------------------------------------------

START_TEST(only_leaders_take_proposals)
{
    struct group *group = led_by_1(3);
    struct err err = ERR_INIT;
    ck_assert_int_eq(group_propose(group, 2, "a", &err), -(int)ERR_UNAVAILABLE);
    ck_assert_str_eq(err.message, "not the leader");
    ck_assert_int_eq(group_change(group, 2, RAFT_CHANGE_ADD, 4, NULL), -(int)ERR_UNAVAILABLE);
    ck_assert_int_eq(group_read(group, 2, NULL), -(int)ERR_UNAVAILABLE);
    ck_assert_int_eq(group_transfer(group, 2, 3, NULL), -(int)ERR_UNAVAILABLE);
    group_free(group);
}
END_TEST

START_TEST(uncommitted_proposals_are_bounded)
{
    struct group *group = group_new();
    group->limits.uncommitted_bytes_max = 3 * (RAFT_ENTRY_OVERHEAD_BYTES + 1);
    group_found(group, 3);
    group_elect(group, 1);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(group_propose(group, 1, "x", NULL), 0);
    struct err err = ERR_INIT;
    ck_assert_int_eq(group_propose(group, 1, "x", &err), -(int)ERR_RESOURCE_EXHAUSTED);
    group_settle(group);
    // Room again; and one that is larger than the limit passes when it is alone.
    ck_assert_int_eq(group_propose(group, 1,
                                   "a single proposal that is by itself much larger than all that "
                                   "may wait, which is ninety-nine bytes",
                                   NULL),
                     0);
    ck_assert_int_eq(group_propose(group, 1, "x", NULL), -(int)ERR_RESOURCE_EXHAUSTED);
    group_free(group);
}
END_TEST

START_TEST(proposals_are_forwarded_to_a_leader_of_ours_if_configured)
{
    struct group *group = group_new();
    group->limits.forward_proposals = true;
    group_found(group, 3);
    ck_assert_int_eq(group_propose(group, 2, "a", NULL), -(int)ERR_UNAVAILABLE); // no leader
    group_elect(group, 1);
    group_run(group, 200);
    ck_assert_int_eq(group_propose(group, 2, "b", NULL), 0);
    ck_assert_ptr_nonnull(group_find(group, 2, 1, RAFT_MSG_PROP));
    group_settle(group);
    ck_assert_uint_eq(group_at(group, 3)->applied, 3);
    group_free(group);
}
END_TEST

START_TEST(forwarded_membership_changes_become_empty_when_one_is_in_flight)
{
    struct group *group = led_by_1(3);
    struct raft_entry entries[3] = {{.type = RAFT_ENTRY_CONF_CHANGE},
                                    {.type = RAFT_ENTRY_CONF_CHANGE},
                                    {.type = RAFT_ENTRY_NORMAL}};
    uint8_t add[] = {0, RAFT_CHANGE_ADD, 4};
    entries[0].data = raft_blob_new(add, sizeof add);
    entries[1].data = entries[0].data;
    struct raft_message prop = {
        .type = RAFT_MSG_PROP, .from = 2, .to = 1, .entries = entries, .entries_count = 3};
    ck_assert_int_eq(group_message(group, &prop, NULL), 0);
    group_settle(group);
    const struct group_member *leader = group_at(group, 1);
    ck_assert_uint_eq(leader->log_count, 4);
    ck_assert_int_eq(leader->log[1].type, RAFT_ENTRY_CONF_CHANGE);
    ck_assert_int_eq(leader->log[2].type, RAFT_ENTRY_NORMAL);
    ck_assert_ptr_null(leader->log[2].data);
    prop.from = 3;
    prop.to = 2; // not the leader: dropped
    ck_assert_int_eq(group_message(group, &prop, NULL), 0);
    ck_assert_uint_eq(raft_last_index(group_raft(group, 2)), 5);
    raft_blob_unref(entries[0].data);
    group_free(group);
}
END_TEST

// ---- membership ---------------------------------------------------------------------------------

START_TEST(changes_come_one_at_a_time)
{
    struct group *group = led_by_1(3);
    ck_assert_int_eq(group_change(group, 1, RAFT_CHANGE_ADD, 4, NULL), 0);
    ck_assert_int_eq(group_change(group, 1, RAFT_CHANGE_ADD, 5, NULL),
                     -(int)ERR_FAILED_PRECONDITION);
    group_settle(group);
    ck_assert_int_eq(group_change(group, 1, RAFT_CHANGE_ADD, 5, NULL), 0);
    group_free(group);
}
END_TEST

START_TEST(a_new_leader_waits_for_what_may_lie_in_its_log)
{
    struct group *group = led_by_1(3);
    group_at(group, 2)->hold_apply = true;
    struct err err = ERR_INIT;
    group_transfer(group, 1, 2, NULL);
    group_settle(group);
    ck_assert_int_eq(role(group, 2), RAFT_LEADER);
    ck_assert_int_eq(group_change(group, 2, RAFT_CHANGE_ADD, 4, &err), 0); // applied up to there
    group_free(group);
}
END_TEST

START_TEST(a_change_that_makes_no_sense_counts_as_ignored)
{
    struct group *group = led_by_1(3);
    ck_assert_int_eq(group_change(group, 1, (enum raft_change_type)9, 4, NULL), 0);
    group_settle(group);
    ck_assert_uint_eq(raft_conf(group_raft(group, 1))->voters_count, 3);
    ck_assert_int_eq(group_change(group, 1, RAFT_CHANGE_REMOVE, 3, NULL), 0);
    group_settle(group);
    ck_assert_uint_eq(raft_conf(group_raft(group, 1))->voters_count, 2);
    group_free(group);
}
END_TEST

START_TEST(a_smaller_quorum_commits_at_once)
{
    struct group *group = led_by_1(2);
    group_join(group, 3);
    group_start(group, 3);
    group_change(group, 1, RAFT_CHANGE_ADD, 3, NULL);
    group_settle(group);
    group_run(group, 100);
    group_crash(group, 3);
    group_crash(group, 2);
    group_propose(group, 1, "a", NULL);
    group_settle(group);
    ck_assert_uint_lt(raft_commit(group_raft(group, 1)), raft_last_index(group_raft(group, 1)));
    group_free(group);
}
END_TEST

START_TEST(a_leader_that_removes_itself_steps_down_and_tells_first)
{
    struct group *group = led_by_1(3);
    group_change(group, 1, RAFT_CHANGE_REMOVE, 1, NULL);
    group_settle(group);
    ck_assert_int_eq(role(group, 1), RAFT_LEADER); // nobody has said yet that it knows
    ck_assert_uint_eq(raft_conf(group_raft(group, 2))->voters_count, 2);
    ck_assert_uint_eq(raft_conf(group_raft(group, 3))->voters_count, 2);
    group_run(group, 100); // far less than an election timeout
    ck_assert(role(group, 2) == RAFT_LEADER || role(group, 3) == RAFT_LEADER);
    ck_assert_int_eq(role(group, 1), RAFT_FOLLOWER);
    group_free(group);
}
END_TEST

START_TEST(learners_follow_but_do_not_count)
{
    struct group *group = led_by_1(1);
    group_join(group, 2);
    group_start(group, 2);
    group_change(group, 1, RAFT_CHANGE_ADD_LEARNER, 2, NULL);
    group_settle(group);
    group_run(group, 1200);
    ck_assert(group_peer(group, 1, 2).learner);
    ck_assert_uint_eq(group_at(group, 2)->applied, 3);
    group_crash(group, 2);
    group_propose(group, 1, "a", NULL);
    ck_assert_uint_eq(raft_commit(group_raft(group, 1)), 4);
    ck_assert_int_eq(group_transfer(group, 1, 2, NULL), -(int)ERR_NOT_FOUND);
    ck_assert_int_eq(group_transfer(group, 1, 0, NULL), -(int)ERR_NOT_FOUND);
    group_free(group);
}
END_TEST

START_TEST(joint_needs_both_majorities_and_is_left)
{
    struct group *group = led_by_1(3);
    for (uint64_t id = 4; id <= 5; id++) {
        group_join(group, id);
        group_start(group, id);
    }
    struct raft_conf_change change = {
        .v2 = true,
        .transition = 2,
        .changes_count = 2,
        .changes = {{RAFT_CHANGE_ADD, 4}, {RAFT_CHANGE_ADD, 5}},
    };
    ck_assert_int_eq(group_change_v2(group, 1, NULL, NULL), -(int)ERR_FAILED_PRECONDITION);
    ck_assert_int_eq(group_change_v2(group, 1, &change, NULL), 0);
    group_settle(group);
    group_run(group, 300);
    const struct raft_conf *conf = raft_conf(group_raft(group, 1));
    ck_assert_uint_eq(conf->outgoing_count, 3);
    ck_assert_int_eq(group_change(group, 1, RAFT_CHANGE_REMOVE, 5, NULL),
                     -(int)ERR_FAILED_PRECONDITION);
    // Two of the old three are away: 1, 4 and 5 are a majority of the new half only.
    group_crash(group, 2);
    group_crash(group, 3);
    group_propose(group, 1, "a", NULL);
    group_settle(group);
    ck_assert_uint_lt(raft_commit(group_raft(group, 1)), raft_last_index(group_raft(group, 1)));
    group_start(group, 2);
    group_run(group, 300);
    ck_assert_uint_eq(raft_commit(group_raft(group, 1)), raft_last_index(group_raft(group, 1)));
    ck_assert_int_eq(group_change_v2(group, 1, NULL, NULL), 0);
    group_settle(group);
    ck_assert_uint_eq(conf->outgoing_count, 0);
    group_free(group);
}
END_TEST

// ---- transfer -----------------------------------------------------------------------------------

START_TEST(the_furthest_voter_succeeds)
{
    struct group *group = led_by_1(3);
    group->cut[1][2] = true;
    group_propose(group, 1, "a", NULL);
    group_settle(group);
    group->cut[1][2] = false;
    ck_assert_int_eq(group_transfer(group, 1, 0, NULL), 0);
    group_settle(group);
    ck_assert_int_eq(role(group, 3), RAFT_LEADER);
    group_free(group);
}
END_TEST

START_TEST(transfer_to_oneself_or_twice_changes_nothing)
{
    struct group *group = led_by_1(3);
    ck_assert_int_eq(group_transfer(group, 1, 1, NULL), 0);
    ck_assert_uint_eq(group->queue_count, 0);
    ck_assert_int_eq(group_transfer(group, 1, 9, NULL), -(int)ERR_NOT_FOUND);
    ck_assert_int_eq(group_transfer(group, 1, 2, NULL), 0);
    ck_assert_int_eq(group_transfer(group, 1, 2, NULL), 0);
    ck_assert_uint_eq(group->queue_count, 1);
    ck_assert_int_eq(group_propose(group, 1, "x", NULL), -(int)ERR_UNAVAILABLE);
    ck_assert_int_eq(group_transfer(group, 1, 3, NULL), 0); // another mind
    ck_assert_ptr_nonnull(group_find(group, 1, 3, RAFT_MSG_TIMEOUT_NOW));
    group_free(group);
}
END_TEST

START_TEST(a_transfer_ends_when_its_target_is_removed)
{
    struct group *group = led_by_1(3);
    group_change(group, 1, RAFT_CHANGE_REMOVE, 3, NULL);
    group->cut[1][3] = true;
    group_transfer(group, 1, 3, NULL);
    ck_assert_int_eq(group_propose(group, 1, "x", NULL), -(int)ERR_UNAVAILABLE);
    group_settle(group);
    ck_assert_int_eq(group_propose(group, 1, "x", NULL), 0);
    group_free(group);
}
END_TEST

START_TEST(with_everybody_silent_nobody_succeeds)
{
    struct group *group = led_by_1(2);
    group_pass(group, 399);
    group_drop(group, 0, 0);
    group->now = mono_add(group->now, 5 * NS_PER_MS);
    ck_assert_int_eq(group_transfer(group, 1, 0, NULL), -(int)ERR_NOT_FOUND);
    group_free(group);
}
END_TEST

// ---- reads --------------------------------------------------------------------------------------

START_TEST(a_read_waits_for_a_majority_that_answers_later)
{
    struct group *group = led_by_1(3);
    group_pass(group, 100); // heartbeats from before the question
    ck_assert_int_eq(group_read(group, 1, NULL), 0);
    size_t early = 0;
    for (uint64_t id = 2; id <= 3; id++) {
        const struct raft_message *beat = group_find(group, 1, id, RAFT_MSG_HEARTBEAT);
        struct raft_message copy = *beat;
        group_message(group, &copy, NULL); // the early one only
        early++;
    }
    ck_assert_uint_eq(early, 2);
    group_deliver(group, 2, 1);
    group_deliver(group, 3, 1);
    ck_assert_uint_eq(group_at(group, 1)->reads_ok, 0);
    group_settle(group);
    ck_assert_uint_eq(group_at(group, 1)->reads_ok, 1);
    ck_assert_uint_eq(group_at(group, 1)->read_index, 2);
    group_free(group);
}
END_TEST

START_TEST(a_new_leader_answers_reads_after_its_first_commit)
{
    struct group *group = group_new();
    group_found(group, 3);
    group_campaign(group, 1);
    group_deliver(group, 1, 0);
    group_deliver(group, 0, 1);
    ck_assert_int_eq(role(group, 1), RAFT_LEADER);
    ck_assert(!raft_leader_settled(group_raft(group, 1)));
    group_read(group, 1, NULL);
    for (uint64_t id = 2; id <= 3; id++) {
        struct raft_message beat = *group_find(group, 1, id, RAFT_MSG_HEARTBEAT);
        group_message(group, &beat, NULL);
    }
    group_deliver(group, 2, 1);
    group_deliver(group, 3, 1);
    ck_assert_uint_eq(group_at(group, 1)->reads_ok, 0);
    group_settle(group);
    ck_assert_uint_eq(group_at(group, 1)->reads_ok, 1);
    ck_assert_uint_eq(group_at(group, 1)->read_index, 2);
    group_free(group);
}
END_TEST

START_TEST(a_sole_voter_answers_reads_by_itself)
{
    struct group *group = group_new();
    group_found(group, 1);
    group_pass(group, 0);
    ck_assert_int_eq(group_read(group, 1, NULL), 0);
    ck_assert_uint_eq(group_at(group, 1)->reads_ok, 1);
    group_free(group);
}
END_TEST

START_TEST(waiting_reads_are_bounded_and_fail_with_the_leadership)
{
    struct group *group = group_new();
    group->limits.reads_max = 2;
    group_found(group, 3);
    group_elect(group, 1);
    group_run(group, 200);
    ck_assert_int_eq(group_read(group, 1, NULL), 0);
    ck_assert_int_eq(group_read(group, 1, NULL), 0);
    ck_assert_int_eq(group_read(group, 1, NULL), -(int)ERR_RESOURCE_EXHAUSTED);
    struct raft_message later = {
        .type = RAFT_MSG_APP, .from = 2, .to = 1, .term = 9, .index = 2, .log_term = 2};
    group_message(group, &later, NULL);
    ck_assert_uint_eq(group_at(group, 1)->reads_failed, 2);
    group_free(group);
}
END_TEST

START_TEST(stock_echoes_confirm_reads_as_well)
{
    struct group *group = group_new();
    group_found(group, 3);
    group_at(group, 2)->stock = true;
    group_at(group, 3)->stock = true;
    group_elect(group, 1);
    group_run(group, 2000);
    group_read(group, 1, NULL);
    group_settle(group);
    ck_assert_uint_eq(group_at(group, 1)->reads_ok, 1);
    ck_assert(!group_peer(group, 1, 2).ours);
    group_free(group);
}
END_TEST

Suite *suite_leader(void);
Suite *suite_leader(void)
{
    Suite *suite = suite_create("leader");
    TCase *tcase = tcase_create("leader");
    tcase_add_test(tcase, only_leaders_take_proposals);
    tcase_add_test(tcase, uncommitted_proposals_are_bounded);
    tcase_add_test(tcase, proposals_are_forwarded_to_a_leader_of_ours_if_configured);
    tcase_add_test(tcase, forwarded_membership_changes_become_empty_when_one_is_in_flight);
    tcase_add_test(tcase, changes_come_one_at_a_time);
    tcase_add_test(tcase, a_new_leader_waits_for_what_may_lie_in_its_log);
    tcase_add_test(tcase, a_change_that_makes_no_sense_counts_as_ignored);
    tcase_add_test(tcase, a_smaller_quorum_commits_at_once);
    tcase_add_test(tcase, a_leader_that_removes_itself_steps_down_and_tells_first);
    tcase_add_test(tcase, learners_follow_but_do_not_count);
    tcase_add_test(tcase, joint_needs_both_majorities_and_is_left);
    tcase_add_test(tcase, the_furthest_voter_succeeds);
    tcase_add_test(tcase, transfer_to_oneself_or_twice_changes_nothing);
    tcase_add_test(tcase, a_transfer_ends_when_its_target_is_removed);
    tcase_add_test(tcase, with_everybody_silent_nobody_succeeds);
    tcase_add_test(tcase, a_read_waits_for_a_majority_that_answers_later);
    tcase_add_test(tcase, a_new_leader_answers_reads_after_its_first_commit);
    tcase_add_test(tcase, a_sole_voter_answers_reads_by_itself);
    tcase_add_test(tcase, waiting_reads_are_bounded_and_fail_with_the_leadership);
    tcase_add_test(tcase, stock_echoes_confirm_reads_as_well);
    suite_add_tcase(suite, tcase);
    return suite;
}
