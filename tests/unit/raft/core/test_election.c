// Elections: timers, votes, the lease, pre-votes.
#include <check.h>
#include <string.h>

#include "proto/base/check.h"
#include "tests/support/raft_group.h"

static struct raft_message message_to(struct group *group, enum raft_message_type type,
                                      uint64_t from, uint64_t to, uint64_t term)
{
    (void)group;
    return (struct raft_message){.type = type, .from = from, .to = to, .term = term};
}

static enum raft_role role(struct group *group, uint64_t id)
{
    return raft_role(group_raft(group, id));
}

START_TEST(patient_members_campaign_within_two_election_times)
{
    struct group *group = group_new();
    group_found(group, 3);
    group_pass(group, RAFT_PATIENT_ELECTION_MS - 1);
    for (uint64_t id = 1; id <= 3; id++)
        ck_assert_int_eq(role(group, id), RAFT_FOLLOWER);
    group_pass(group, RAFT_PATIENT_ELECTION_MS + 1);
    for (uint64_t id = 1; id <= 3; id++)
        ck_assert_int_eq(role(group, id), RAFT_CANDIDATE);
    group_free(group);
}
END_TEST

START_TEST(a_sole_voter_leads_at_once)
{
    struct group *group = group_new();
    group_found(group, 1);
    group_pass(group, 0);
    ck_assert_int_eq(role(group, 1), RAFT_LEADER);
    ck_assert(raft_leader_settled(group_raft(group, 1)));
    ck_assert_int_eq(group_propose(group, 1, "a", NULL), 0);
    ck_assert_uint_eq(group_at(group, 1)->applied, 3);
    group_free(group);
}
END_TEST

START_TEST(a_fresh_group_elects_one_leader)
{
    struct group *group = group_new();
    group_found(group, 5);
    group_run(group, 60000);
    int leaders = 0;
    for (uint64_t id = 1; id <= 5; id++)
        leaders += role(group, id) == RAFT_LEADER;
    ck_assert_int_eq(leaders, 1);
    group_free(group);
}
END_TEST

START_TEST(the_quick_leader_is_replaced_within_a_second)
{
    // Over many groups: from the leader's death to the next settled leader.
    struct group *group = group_new();
    group_found(group, 3);
    group->now = mono_add(group->now, _i * NS_PER_MS);
    group_elect(group, 1);
    group_run(group, 200 + 13 * _i);
    group_crash(group, 1);
    int ms = 0;
    for (; ms < 2000 && role(group, 2) != RAFT_LEADER && role(group, 3) != RAFT_LEADER; ms += 10)
        group_run(group, 10);
    ck_assert_int_lt(ms, 1000);
    group_free(group);
}
END_TEST

START_TEST(only_one_vote_per_term)
{
    struct group *group = group_new();
    group_found(group, 3);
    struct raft_message vote = message_to(group, RAFT_MSG_VOTE, 2, 1, 2);
    vote.index = 1;
    vote.log_term = 1;
    group_message(group, &vote, NULL);
    vote.from = 3;
    group_message(group, &vote, NULL);
    ck_assert(!group_find(group, 1, 2, RAFT_MSG_VOTE_RESP)->reject);
    ck_assert(group_find(group, 1, 3, RAFT_MSG_VOTE_RESP)->reject);
    group_drop(group, 0, 0);
    vote.from = 2; // the first one asks again, its answer was lost
    group_message(group, &vote, NULL);
    ck_assert(!group_find(group, 1, 2, RAFT_MSG_VOTE_RESP)->reject);
    ck_assert_uint_eq(group_at(group, 1)->hard.vote, 2);
    group_free(group);
}
END_TEST

START_TEST(a_vote_survives_a_restart)
{
    struct group *group = group_new();
    group_found(group, 3);
    struct raft_message vote = message_to(group, RAFT_MSG_VOTE, 2, 1, 2);
    vote.index = 1;
    vote.log_term = 1;
    group_message(group, &vote, NULL);
    group_crash(group, 1);
    group_drop(group, 0, 0);
    group_start(group, 1);
    vote.from = 3;
    group_message(group, &vote, NULL);
    ck_assert(group_find(group, 1, 3, RAFT_MSG_VOTE_RESP)->reject);
    group_free(group);
}
END_TEST

START_TEST(a_shorter_or_older_log_gets_no_vote)
{
    struct group *group = group_new();
    group_found(group, 3);
    group_elect(group, 1); // term 2, entry 2
    group_run(group, 200);
    group_pass(group, 900);
    group_drop(group, 0, 0);
    struct raft_message vote = message_to(group, RAFT_MSG_VOTE, 3, 2, 9);
    vote.index = 1;
    vote.log_term = 2;
    group_message(group, &vote, NULL);
    ck_assert(group_find(group, 2, 3, RAFT_MSG_VOTE_RESP)->reject);
    group_drop(group, 0, 0);
    vote.term = 10;
    vote.index = 50;
    vote.log_term = 1;
    group_message(group, &vote, NULL);
    ck_assert(group_find(group, 2, 3, RAFT_MSG_VOTE_RESP)->reject);
    ck_assert_uint_eq(raft_term(group_raft(group, 2)), 10);
    group_free(group);
}
END_TEST

START_TEST(votes_are_ignored_within_the_lease_unless_for_a_transfer)
{
    struct group *group = group_new();
    group_found(group, 3);
    group_elect(group, 1);
    struct raft_message vote = message_to(group, RAFT_MSG_VOTE, 3, 2, 5);
    vote.index = 9;
    vote.log_term = 2;
    group_message(group, &vote, NULL);
    ck_assert_uint_eq(raft_term(group_raft(group, 2)), 2);
    ck_assert_uint_eq(group->queue_count, 0);
    vote.to = 1; // a leader counts as being in its own lease
    group_message(group, &vote, NULL);
    ck_assert_int_eq(role(group, 1), RAFT_LEADER);
    vote.to = 2;
    memcpy(vote.context, RAFT_CAMPAIGN_TRANSFER, 16);
    vote.context_len = 16;
    group_message(group, &vote, NULL);
    ck_assert_uint_eq(raft_term(group_raft(group, 2)), 5);
    ck_assert(!group_find(group, 2, 3, RAFT_MSG_VOTE_RESP)->reject);
    group_free(group);
}
END_TEST

START_TEST(a_candidate_returns_to_a_leader_of_its_term)
{
    struct group *group = group_new();
    group_found(group, 3);
    group_campaign(group, 1);
    group_drop(group, 0, 0);
    struct raft_message beat = message_to(group, RAFT_MSG_HEARTBEAT, 2, 1, 2);
    group_message(group, &beat, NULL);
    ck_assert_int_eq(role(group, 1), RAFT_FOLLOWER);
    ck_assert_uint_eq(raft_leader(group_raft(group, 1)), 2);
    group_free(group);
}
END_TEST

START_TEST(a_majority_of_refusals_ends_a_candidacy)
{
    struct group *group = group_new();
    group_found(group, 3);
    group_campaign(group, 1);
    group_drop(group, 0, 0);
    struct raft_message no = message_to(group, RAFT_MSG_VOTE_RESP, 2, 1, 2);
    no.reject = true;
    group_message(group, &no, NULL);
    group_message(group, &no, NULL); // the same one twice counts once
    ck_assert_int_eq(role(group, 1), RAFT_CANDIDATE);
    no.from = 9; // nobody's vote
    group_message(group, &no, NULL);
    no.from = 3;
    group_message(group, &no, NULL);
    ck_assert_int_eq(role(group, 1), RAFT_FOLLOWER);
    group_free(group);
}
END_TEST

START_TEST(a_candidate_counts_itself_only_when_its_vote_is_durable)
{
    struct group *group = group_new();
    group_found(group, 1);
    group_at(group, 1)->hold_disk = true;
    group_pass(group, 0);
    ck_assert_int_eq(role(group, 1), RAFT_CANDIDATE);
    group_sync(group, 1);
    ck_assert_int_eq(role(group, 1), RAFT_LEADER);
    group_free(group);
}
END_TEST

START_TEST(prevotes_move_no_term_and_are_refused_to_worse_logs)
{
    struct group *group = group_new();
    group_found(group, 3);
    struct raft_message ask = message_to(group, RAFT_MSG_PRE_VOTE, 2, 1, 7);
    ask.index = 1;
    ask.log_term = 1;
    group_message(group, &ask, NULL);
    const struct raft_message *answer = group_find(group, 1, 2, RAFT_MSG_PRE_VOTE_RESP);
    ck_assert(!answer->reject);
    ck_assert_uint_eq(answer->term, 7);
    ck_assert_uint_eq(raft_term(group_raft(group, 1)), 1);
    group_drop(group, 0, 0);
    ask.index = 0;
    ask.log_term = 0;
    group_message(group, &ask, NULL);
    ck_assert(group_find(group, 1, 2, RAFT_MSG_PRE_VOTE_RESP)->reject);
    ck_assert_uint_eq(group_find(group, 1, 2, RAFT_MSG_PRE_VOTE_RESP)->term, 1);
    ck_assert(group_peer(group, 1, 2).ours); // nobody else asks
    group_free(group);
}
END_TEST

START_TEST(a_prevote_of_an_old_term_is_told_the_term)
{
    struct group *group = group_new();
    group_found(group, 3);
    group_campaign(group, 1);
    group_campaign(group, 1);
    group_drop(group, 0, 0);
    struct raft_message ask = message_to(group, RAFT_MSG_PRE_VOTE, 2, 1, 2);
    group_message(group, &ask, NULL);
    const struct raft_message *answer = group_find(group, 1, 2, RAFT_MSG_PRE_VOTE_RESP);
    ck_assert(answer->reject);
    ck_assert_uint_eq(answer->term, 3);
    group_deliver(group, 1, 2);
    ck_assert_uint_eq(raft_term(group_raft(group, 2)), 3);
    group_free(group);
}
END_TEST

START_TEST(a_stale_grant_of_a_prevote_counts_for_nothing)
{
    struct group *group = group_new();
    group_found(group, 3);
    group_elect(group, 1);
    group_run(group, 200);
    group_crash(group, 1);
    group_pass(group, 800);
    ck_assert_int_eq(role(group, 2), RAFT_PRE_CANDIDATE);
    struct raft_message grant = message_to(group, RAFT_MSG_PRE_VOTE_RESP, 3, 2, 9);
    group_message(group, &grant, NULL);
    ck_assert_int_eq(role(group, 2), RAFT_PRE_CANDIDATE);
    grant.term = 3;
    group_message(group, &grant, NULL);
    ck_assert_int_eq(role(group, 2), RAFT_CANDIDATE);
    group_message(group, &grant, NULL); // too late for the candidate
    ck_assert_int_eq(role(group, 2), RAFT_CANDIDATE);
    group_free(group);
}
END_TEST

// Three of ours whose leader, 1, died so long ago that its lease is over; nobody has stood yet.
static struct group *leaderless(void)
{
    struct group *group = group_new();
    group_found(group, 3);
    group_elect(group, 1);
    group_run(group, 300);
    group_crash(group, 1);
    group_pass(group, RAFT_QUICK_ELECTION_MS);
    group_drop(group, 0, 0);
    return group;
}

// Passes time in steps of 10 ms, with messages that stay where they are.
static bool pass_until(struct group *group, uint64_t id, enum raft_role wanted, int ms)
{
    for (; ms > 0 && role(group, id) != wanted; ms -= 10)
        group_pass(group, 10);
    return role(group, id) == wanted;
}

START_TEST(two_that_ask_each_other_do_not_split_the_votes)
{
    struct group *group = leaderless();
    ck_assert(pass_until(group, 2, RAFT_PRE_CANDIDATE, RAFT_QUICK_ELECTION_MS));
    ck_assert(pass_until(group, 3, RAFT_PRE_CANDIDATE, RAFT_QUICK_ELECTION_MS));
    group_settle(group);
    ck_assert_int_eq(role(group, 2), RAFT_FOLLOWER);
    ck_assert_int_eq(role(group, 3), RAFT_LEADER);
    ck_assert_uint_eq(raft_term(group_raft(group, 3)), 3);
    group_free(group);
}
END_TEST

START_TEST(a_lost_question_is_asked_again_after_a_heartbeat)
{
    struct group *group = leaderless();
    uint64_t id = pass_until(group, 2, RAFT_PRE_CANDIDATE, 2 * RAFT_QUICK_ELECTION_MS) ? 2 : 3;
    group_drop(group, 0, 0);
    group_pass(group, RAFT_QUICK_HEARTBEAT_MS + 1);
    ck_assert_ptr_nonnull(group_find(group, id, 5 - id, RAFT_MSG_PRE_VOTE));
    group_deliver(group, id, 5 - id);
    group_deliver(group, 5 - id, id);
    ck_assert_int_eq(role(group, id), RAFT_CANDIDATE);
    group_drop(group, 0, 0);
    group_pass(group, RAFT_QUICK_HEARTBEAT_MS + 1);
    ck_assert_ptr_nonnull(group_find(group, id, 5 - id, RAFT_MSG_VOTE));
    group_settle(group);
    ck_assert_int_eq(role(group, id), RAFT_LEADER);
    group_free(group);
}
END_TEST

START_TEST(one_whom_no_answer_reaches_is_given_way_to_once)
{
    struct group *group = leaderless();
    struct raft_message ask = message_to(group, RAFT_MSG_PRE_VOTE, 3, 2, 3);
    ask.index = 2;
    ask.log_term = 2;
    int ms = 0;
    for (; ms < 2000 && role(group, 2) == RAFT_FOLLOWER; ms += 20) {
        group_message(group, &ask, NULL);
        group_pass(group, 20);
        group_drop(group, 0, 0);
    }
    ck_assert_int_le(ms, RAFT_QUICK_ELECTION_MS + 2 * RAFT_QUICK_HEARTBEAT_MS + 20);
    group_free(group);
}
END_TEST

START_TEST(a_member_outside_its_configuration_does_not_campaign)
{
    struct group *group = group_new();
    group_found(group, 3);
    group_join(group, 4);
    group_start(group, 4);
    group_pass(group, 60000);
    group_campaign(group, 4);
    ck_assert_int_eq(role(group, 4), RAFT_FOLLOWER);
    group_free(group);
}
END_TEST

START_TEST(a_member_with_an_unapplied_membership_change_does_not_campaign)
{
    struct group *group = group_new();
    group_found(group, 3);
    group_elect(group, 1);
    group_at(group, 2)->hold_apply = true;
    group_change(group, 1, RAFT_CHANGE_REMOVE, 3, NULL);
    group_settle(group);
    group_crash(group, 1);
    group_campaign(group, 2);
    ck_assert_int_eq(role(group, 2), RAFT_FOLLOWER);
    group_pass(group, 3000);
    ck_assert_int_eq(role(group, 2), RAFT_FOLLOWER);
    group_apply(group, 2);
    group_at(group, 2)->hold_apply = false;
    group_campaign(group, 2);
    ck_assert_int_eq(role(group, 2), RAFT_CANDIDATE);
    group_free(group);
}
END_TEST

START_TEST(timeout_now_is_obeyed_by_followers_only)
{
    struct group *group = group_new();
    group_found(group, 3);
    group_elect(group, 1);
    struct raft_message now = message_to(group, RAFT_MSG_TIMEOUT_NOW, 1, 2, 2);
    group_message(group, &now, NULL);
    ck_assert_int_eq(role(group, 2), RAFT_CANDIDATE);
    ck_assert_uint_eq(group_find(group, 2, 1, RAFT_MSG_VOTE)->context_len, 16);
    now.term = 3;
    group_message(group, &now, NULL);
    ck_assert_uint_eq(raft_term(group_raft(group, 2)), 3);
    group_free(group);
}
END_TEST

START_TEST(waking_late_grants_one_heartbeat_of_grace)
{
    struct group *group = group_new();
    group_found(group, 3);
    group_elect(group, 1);
    group_run(group, 200);
    // The whole process slept for two seconds; messages of its leader may be waiting.
    group->now = mono_add(group->now, 2 * NS_PER_S);
    group_tick(group, 2);
    ck_assert_int_eq(role(group, 2), RAFT_FOLLOWER);
    group_tick(group, 1);
    ck_assert_int_eq(role(group, 1), RAFT_LEADER);
    group_pass(group, RAFT_QUICK_HEARTBEAT_MS);
    ck_assert_int_eq(role(group, 2), RAFT_PRE_CANDIDATE);
    ck_assert_int_eq(role(group, 1), RAFT_FOLLOWER);
    group_free(group);
}
END_TEST

START_TEST(an_isolated_leader_steps_down)
{
    struct group *group = group_new();
    group_found(group, 3);
    group_elect(group, 1);
    group_run(group, 200);
    group_crash(group, 2);
    group_run(group, 1000);
    ck_assert_int_eq(role(group, 1), RAFT_LEADER);
    group_crash(group, 3);
    group_run(group, 600);
    ck_assert_int_ne(role(group, 1), RAFT_LEADER);
    group_free(group);
}
END_TEST

Suite *suite_election(void);
Suite *suite_election(void)
{
    Suite *suite = suite_create("election");
    TCase *tcase = tcase_create("election");
    tcase_add_test(tcase, patient_members_campaign_within_two_election_times);
    tcase_add_test(tcase, a_sole_voter_leads_at_once);
    tcase_add_test(tcase, a_fresh_group_elects_one_leader);
    tcase_add_loop_test(tcase, the_quick_leader_is_replaced_within_a_second, 0, 40);
    tcase_add_test(tcase, only_one_vote_per_term);
    tcase_add_test(tcase, a_vote_survives_a_restart);
    tcase_add_test(tcase, a_shorter_or_older_log_gets_no_vote);
    tcase_add_test(tcase, votes_are_ignored_within_the_lease_unless_for_a_transfer);
    tcase_add_test(tcase, a_candidate_returns_to_a_leader_of_its_term);
    tcase_add_test(tcase, a_majority_of_refusals_ends_a_candidacy);
    tcase_add_test(tcase, a_candidate_counts_itself_only_when_its_vote_is_durable);
    tcase_add_test(tcase, prevotes_move_no_term_and_are_refused_to_worse_logs);
    tcase_add_test(tcase, a_prevote_of_an_old_term_is_told_the_term);
    tcase_add_test(tcase, a_stale_grant_of_a_prevote_counts_for_nothing);
    tcase_add_test(tcase, two_that_ask_each_other_do_not_split_the_votes);
    tcase_add_test(tcase, a_lost_question_is_asked_again_after_a_heartbeat);
    tcase_add_test(tcase, one_whom_no_answer_reaches_is_given_way_to_once);
    tcase_add_test(tcase, a_member_outside_its_configuration_does_not_campaign);
    tcase_add_test(tcase, a_member_with_an_unapplied_membership_change_does_not_campaign);
    tcase_add_test(tcase, timeout_now_is_obeyed_by_followers_only);
    tcase_add_test(tcase, waking_late_grants_one_heartbeat_of_grace);
    tcase_add_test(tcase, an_isolated_leader_steps_down);
    suite_add_tcase(suite, tcase);
    return suite;
}
