// Snapshots: wanted, made, sent, received, refused.
#include <check.h>
#include <string.h>

#include "proto/base/check.h"
#include "tests/support/raft_group.h"

// Member 1 leads three; 3 is away, and what it lacks is compacted on the leader.
static struct group *one_behind(void)
{
    struct group *group = group_new();
    group_found(group, 3);
    group_elect(group, 1);
    group_run(group, 200);
    group_crash(group, 3);
    for (int i = 0; i < 5; i++) {
        group_propose(group, 1, "x", NULL);
        group_settle(group);
    }
    group_compact(group, 1, 6);
    return group;
}

static struct raft_snapshot snapshot_at(uint64_t index, uint64_t term)
{
    return (struct raft_snapshot){.index = index,
                                  .term = term,
                                  .conf = {.voters_count = 3, .voters = {1, 2, 3}},
                                  .handle = 9};
}

static struct raft_message snap_to(uint64_t to, uint64_t term, const struct raft_snapshot *snapshot)
{
    return (struct raft_message){
        .type = RAFT_MSG_SNAP, .from = 1, .to = to, .term = term, .snapshot = snapshot};
}

static struct raft_event report(uint64_t id, bool ok)
{
    struct raft_event event = {.type = RAFT_EVENT_SNAPSHOT_SENT};
    event.u.snapshot_sent.id = id;
    event.u.snapshot_sent.ok = ok;
    return event;
}

START_TEST(a_member_too_far_behind_is_brought_up_by_a_snapshot)
{
    struct group *group = one_behind();
    group_start(group, 3);
    group_run(group, 500);
    ck_assert_uint_eq(group_at(group, 3)->start_index, 7);
    ck_assert_int_eq(group_peer(group, 1, 3).progress, RAFT_REPLICATE);
    ck_assert_uint_eq(group_peer(group, 1, 3).match, 7);
    group_free(group);
}
END_TEST

START_TEST(a_silent_member_gets_no_snapshot)
{
    struct group *group = one_behind();
    group_run(group, 1000);
    ck_assert_int_ne(group_peer(group, 1, 3).progress, RAFT_SNAPSHOT);
    group_free(group);
}
END_TEST

static struct group *with_snapshot_sent(void)
{
    struct group *group = one_behind();
    group_start(group, 3);
    for (int i = 0; i < 100 && !group_find(group, 1, 3, RAFT_MSG_SNAP); i++) {
        group_pass(group, 10);
        size_t count = group->queue_count;
        for (size_t k = 0; k < count && !group_find(group, 1, 3, RAFT_MSG_SNAP); k++)
            group_deliver(group, 0, 0);
    }
    ck_assert_ptr_nonnull(group_find(group, 1, 3, RAFT_MSG_SNAP));
    ck_assert_int_eq(group_peer(group, 1, 3).progress, RAFT_SNAPSHOT);
    return group;
}

START_TEST(a_failed_transfer_is_tried_again_after_a_heartbeat)
{
    struct group *group = with_snapshot_sent();
    group_drop(group, 1, 3);
    struct raft_event failed = report(3, false);
    group_step(group, 1, &failed, NULL);
    ck_assert(group_peer(group, 1, 3).paused);
    ck_assert_ptr_null(group_find(group, 1, 3, RAFT_MSG_SNAP));
    group_run(group, 300);
    ck_assert_uint_eq(group_peer(group, 1, 3).match, 7);
    group_free(group);
}
END_TEST

START_TEST(an_arrived_transfer_waits_for_the_answer)
{
    struct group *group = with_snapshot_sent();
    struct raft_event good = report(3, true);
    group_step(group, 1, &good, NULL);
    ck_assert_int_eq(group_peer(group, 1, 3).progress, RAFT_PROBE);
    ck_assert_uint_eq(group_peer(group, 1, 3).next, 8);
    ck_assert(group_peer(group, 1, 3).paused);
    group_step(group, 1, &good, NULL); // a second report is stale
    group_settle(group);
    ck_assert_int_eq(group_peer(group, 1, 3).progress, RAFT_REPLICATE);
    good = report(2, true); // so is one about a peer that got none
    group_step(group, 1, &good, NULL);
    good = report(9, true);
    group_step(group, 1, &good, NULL);
    good = report(1, true);
    group_step(group, 2, &good, NULL);
    group_free(group);
}
END_TEST

START_TEST(a_snapshot_nobody_needs_any_more_stays_with_the_shell)
{
    struct group *group = one_behind();
    struct raft_event made = {.type = RAFT_EVENT_SNAPSHOT_MADE};
    made.u.snapshot_made.id = 2;
    made.u.snapshot_made.ok = true;
    made.u.snapshot_made.index = 7;
    ck_assert_int_eq(group_step(group, 1, &made, NULL), -(int)ERR_ABORTED);
    made.u.snapshot_made.id = 9;
    ck_assert_int_eq(group_step(group, 1, &made, NULL), -(int)ERR_ABORTED);
    ck_assert_int_eq(group_step(group, 2, &made, NULL), -(int)ERR_ABORTED);
    group_free(group);
}
END_TEST

START_TEST(a_snapshot_that_cannot_be_made_is_wanted_again_later)
{
    struct group *group = one_behind();
    // The stand-in shell says no while nothing is applied.
    group_at(group, 1)->applied = 0;
    group_start(group, 3);
    group_run(group, 300);
    ck_assert_uint_eq(group_at(group, 3)->start_index, 1);
    group_at(group, 1)->applied = 7;
    group_run(group, 300);
    ck_assert_uint_eq(group_at(group, 3)->start_index, 7);
    group_free(group);
}
END_TEST

START_TEST(unwanted_snapshots_are_answered_with_the_commit_index)
{
    struct group *group = one_behind();
    struct raft_snapshot old = snapshot_at(4, 2);
    struct raft_message message = snap_to(2, 2, &old);
    ck_assert_int_eq(group_message(group, &message, NULL), -(int)ERR_ABORTED);
    ck_assert_uint_eq(group_find(group, 2, 1, RAFT_MSG_APP_RESP)->index, 7);
    group_drop(group, 0, 0);
    struct raft_snapshot foreign = snapshot_at(50, 2);
    foreign.conf.voters[1] = 8; // without member 2
    foreign.conf.voters[2] = 9;
    message.snapshot = &foreign;
    ck_assert_int_eq(group_message(group, &message, NULL), -(int)ERR_ABORTED);
    ck_assert_uint_eq(group_find(group, 2, 1, RAFT_MSG_APP_RESP)->index, 7);
    message.term = 1; // of a former leader
    ck_assert_int_eq(group_message(group, &message, NULL), -(int)ERR_ABORTED);
    group_free(group);
}
END_TEST

// What a stock leader sends to a member that joins after its last snapshot.
START_TEST(a_joiner_takes_a_snapshot_made_before_it_was_added)
{
    struct group *group = group_new();
    group_join(group, 3);
    group_start(group, 3);
    struct raft_snapshot snapshot = snapshot_at(40, 2);
    snapshot.conf = (struct raft_conf){.voters_count = 2, .voters = {1, 2}};
    struct raft_message message = snap_to(3, 2, &snapshot);
    ck_assert_int_eq(group_message(group, &message, NULL), 0);
    group_sync(group, 3);
    ck_assert_uint_eq(group_find(group, 3, 1, RAFT_MSG_APP_RESP)->index, 40);
    ck_assert_uint_eq(group_at(group, 3)->start_index, 40);
    group_free(group);
}
END_TEST

START_TEST(malformed_snapshots_are_refused)
{
    struct group *group = one_behind();
    struct raft_snapshot bad = snapshot_at(50, 0);
    struct raft_message message = snap_to(2, 2, &bad);
    ck_assert_int_eq(group_message(group, &message, NULL), -(int)ERR_INVALID_ARGUMENT);
    bad.term = 3; // later than its sender's term
    ck_assert_int_eq(group_message(group, &message, NULL), -(int)ERR_INVALID_ARGUMENT);
    bad = snapshot_at(50, 2);
    bad.conf.voters[1] = 1;
    ck_assert_int_eq(group_message(group, &message, NULL), -(int)ERR_INVALID_ARGUMENT);
    bad.index = 0;
    ck_assert_int_eq(group_message(group, &message, NULL), -(int)ERR_INVALID_ARGUMENT);
    group_free(group);
}
END_TEST

START_TEST(a_snapshot_within_the_log_only_moves_the_commit_index)
{
    struct group *group = group_new();
    group_found(group, 3);
    group_elect(group, 1);
    group_run(group, 200);
    group->cut[1][3] = true;
    group_at(group, 1)->hold_disk = true;
    group_propose(group, 1, "a", NULL);
    group_deliver(group, 1, 2);
    struct raft_snapshot known = snapshot_at(3, 2);
    struct raft_message message = snap_to(2, 2, &known);
    ck_assert_int_eq(group_message(group, &message, NULL), -(int)ERR_ABORTED);
    ck_assert_uint_eq(raft_commit(group_raft(group, 2)), 3);
    ck_assert_uint_eq(group_at(group, 2)->start_index, 1);
    group_free(group);
}
END_TEST

START_TEST(installing_is_one_write_and_one_at_a_time)
{
    struct group *group = one_behind();
    group_start(group, 3);
    struct group_member *member = group_at(group, 3);
    member->hold_disk = true;
    struct raft_snapshot first = snapshot_at(40, 2);
    struct raft_message message = snap_to(3, 2, &first);
    ck_assert_int_eq(group_message(group, &message, NULL), 0);
    ck_assert_ptr_nonnull(member->write.snapshot);
    ck_assert_uint_eq(member->write.snapshot->handle, 9);
    ck_assert_ptr_null(group_find(group, 3, 1, RAFT_MSG_APP_RESP));
    struct raft_snapshot second = snapshot_at(60, 2);
    message.snapshot = &second;
    ck_assert_int_eq(group_message(group, &message, NULL), -(int)ERR_ABORTED);
    // Meanwhile it does not campaign, whatever happens.
    group_campaign(group, 3);
    ck_assert_int_eq(raft_role(member->raft), RAFT_FOLLOWER);
    member->hold_disk = false;
    group_sync(group, 3);
    ck_assert_uint_eq(group_find(group, 3, 1, RAFT_MSG_APP_RESP)->index, 40);
    ck_assert_uint_eq(raft_applied(member->raft), 40);
    ck_assert_uint_eq(raft_first_index(member->raft), 41);
    group_free(group);
}
END_TEST

START_TEST(a_snapshot_overtakes_a_write_and_what_waited_for_it)
{
    struct group *group = one_behind();
    group_start(group, 3);
    struct group_member *member = group_at(group, 3);
    member->hold_disk = true;
    struct raft_entry entries[2] = {{.term = 2, .index = 3}, {.term = 2, .index = 4}};
    struct raft_message append = {.type = RAFT_MSG_APP,
                                  .from = 1,
                                  .to = 3,
                                  .term = 2,
                                  .index = 2,
                                  .log_term = 2,
                                  .entries = entries,
                                  .entries_count = 2};
    ck_assert_int_eq(group_message(group, &append, NULL), 0);
    struct raft_snapshot snapshot = snapshot_at(40, 2);
    struct raft_message message = snap_to(3, 2, &snapshot);
    ck_assert_int_eq(group_message(group, &message, NULL), 0);
    group_sync(group, 3); // the first write only
    ck_assert_ptr_null(group_find(group, 3, 1, RAFT_MSG_APP_RESP));
    member->hold_disk = false;
    group_sync(group, 3);
    ck_assert_uint_eq(group_find(group, 3, 1, RAFT_MSG_APP_RESP)->index, 40);
    ck_assert_uint_eq(member->start_index, 40);
    group_free(group);
}
END_TEST

Suite *suite_snapshot(void);
Suite *suite_snapshot(void)
{
    Suite *suite = suite_create("snapshot");
    TCase *tcase = tcase_create("snapshot");
    tcase_add_test(tcase, a_member_too_far_behind_is_brought_up_by_a_snapshot);
    tcase_add_test(tcase, a_silent_member_gets_no_snapshot);
    tcase_add_test(tcase, a_failed_transfer_is_tried_again_after_a_heartbeat);
    tcase_add_test(tcase, an_arrived_transfer_waits_for_the_answer);
    tcase_add_test(tcase, a_snapshot_nobody_needs_any_more_stays_with_the_shell);
    tcase_add_test(tcase, a_snapshot_that_cannot_be_made_is_wanted_again_later);
    tcase_add_test(tcase, unwanted_snapshots_are_answered_with_the_commit_index);
    tcase_add_test(tcase, a_joiner_takes_a_snapshot_made_before_it_was_added);
    tcase_add_test(tcase, malformed_snapshots_are_refused);
    tcase_add_test(tcase, a_snapshot_within_the_log_only_moves_the_commit_index);
    tcase_add_test(tcase, installing_is_one_write_and_one_at_a_time);
    tcase_add_test(tcase, a_snapshot_overtakes_a_write_and_what_waited_for_it);
    suite_add_tcase(suite, tcase);
    return suite;
}
