// The order of things: what waits for the disk, what does not, who owns what for how long.
#include <check.h>
#include <signal.h>
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

START_TEST(acknowledgements_wait_for_the_disk_and_heartbeat_answers_do_not)
{
    struct group *group = led_by_1(3);
    group_at(group, 2)->hold_disk = true;
    group_propose(group, 1, "a", NULL);
    group_pass(group, 100);
    group_deliver(group, 1, 2);
    ck_assert_ptr_null(group_find(group, 2, 1, RAFT_MSG_APP_RESP));
    ck_assert_ptr_nonnull(group_find(group, 2, 1, RAFT_MSG_HEARTBEAT_RESP));
    group_sync(group, 2);
    ck_assert_uint_eq(group_find(group, 2, 1, RAFT_MSG_APP_RESP)->index, 3);
    group_free(group);
}
END_TEST

START_TEST(one_write_in_flight_and_the_rest_in_the_next)
{
    struct group *group = led_by_1(3);
    struct group_member *member = group_at(group, 2);
    member->hold_disk = true;
    group_propose(group, 1, "a", NULL);
    group_deliver(group, 1, 2);
    ck_assert_uint_eq(member->write.entries_count, 1);
    uint64_t number = member->write.number;
    for (int i = 0; i < 5; i++) {
        group_propose(group, 1, "b", NULL);
        group_deliver(group, 1, 2);
        ck_assert_uint_eq(member->write.number, number);
    }
    group_sync(group, 2);
    ck_assert_uint_eq(member->write.number, number + 1);
    ck_assert_uint_eq(member->write.entries_count, 5);
    // One acknowledgement for the first write, one for all that the second makes durable.
    ck_assert_uint_eq(group_drop(group, 2, 1), 1);
    group_sync(group, 2);
    ck_assert_uint_eq(group_find(group, 2, 1, RAFT_MSG_APP_RESP)->index, 8);
    ck_assert_uint_eq(group_drop(group, 2, 1), 1);
    group_free(group);
}
END_TEST

START_TEST(a_new_term_voids_what_waited)
{
    struct group *group = led_by_1(3);
    group_at(group, 2)->hold_disk = true;
    group_propose(group, 1, "a", NULL);
    group_deliver(group, 1, 2);
    struct raft_message beat = {.type = RAFT_MSG_HEARTBEAT, .from = 3, .to = 2, .term = 3};
    group_message(group, &beat, NULL);
    group_sync(group, 2);
    group_sync(group, 2);
    ck_assert_ptr_null(group_find(group, 2, 1, RAFT_MSG_APP_RESP));
    group_free(group);
}
END_TEST

START_TEST(entries_replaced_while_they_were_written_are_not_durable)
{
    struct group *group = led_by_1(3);
    struct group_member *member = group_at(group, 2);
    member->hold_disk = true;
    group_propose(group, 1, "a", NULL);
    group_propose(group, 1, "b", NULL);
    group_deliver(group, 1, 2);
    group_sync(group, 2); // first write: a; now b is in flight
    struct raft_entry other = {.term = 3, .index = 4};
    struct raft_message append = {.type = RAFT_MSG_APP,
                                  .from = 3,
                                  .to = 2,
                                  .term = 3,
                                  .index = 3,
                                  .log_term = 2,
                                  .entries = &other,
                                  .entries_count = 1};
    group_message(group, &append, NULL);
    group_sync(group, 2); // b is stored, but nobody speaks of it any more
    ck_assert_ptr_null(group_find(group, 2, 3, RAFT_MSG_APP_RESP));
    group_sync(group, 2);
    ck_assert_uint_eq(group_find(group, 2, 3, RAFT_MSG_APP_RESP)->index, 4);
    ck_assert_uint_eq(member->log[member->log_count - 1].term, 3);
    group_free(group);
}
END_TEST

START_TEST(a_write_is_cut_at_its_limit_and_acknowledges_no_more_than_it_has)
{
    struct group *group = group_new();
    group->limits.write_bytes_max = 2 * (RAFT_ENTRY_OVERHEAD_BYTES + 1);
    group_found(group, 3);
    group_elect(group, 1);
    group_run(group, 200);
    struct group_member *member = group_at(group, 2);
    member->hold_disk = true;
    for (int i = 0; i < 6; i++)
        group_propose(group, 1, "x", NULL);
    group_deliver(group, 1, 2);
    group_sync(group, 2); // x
    group_drop(group, 2, 1);
    ck_assert_uint_eq(member->write.entries_count, 2);
    group_sync(group, 2);
    ck_assert_ptr_null(group_find(group, 2, 1, RAFT_MSG_APP_RESP)); // the rest waits as a whole
    group_sync(group, 2);
    group_sync(group, 2);
    ck_assert_uint_eq(group_find(group, 2, 1, RAFT_MSG_APP_RESP)->index, 8);
    group_free(group);
}
END_TEST

START_TEST(nothing_is_applied_before_it_is_durable_here)
{
    struct group *group = led_by_1(3);
    group_at(group, 1)->hold_disk = true;
    group_propose(group, 1, "a", NULL);
    group_settle(group);
    ck_assert_uint_eq(raft_commit(group_raft(group, 1)), 3);
    ck_assert_uint_eq(group_at(group, 1)->applied, 2);
    ck_assert_uint_eq(group_at(group, 2)->applied, 3);
    group_sync(group, 1);
    group_at(group, 1)->hold_disk = false;
    group_run(group, 0);
    group_apply(group, 1);
    ck_assert_uint_eq(group_at(group, 1)->applied, 3);
    group_free(group);
}
END_TEST

START_TEST(what_waits_to_be_applied_is_bounded)
{
    struct group *group = group_new();
    group->limits.apply_bytes_max = 3 * (RAFT_ENTRY_OVERHEAD_BYTES + 1);
    group_found(group, 1);
    group_pass(group, 0);
    struct group_member *member = group_at(group, 1);
    member->hold_apply = true;
    for (int i = 0; i < 10; i++)
        group_propose(group, 1, "x", NULL);
    ck_assert_uint_eq(member->apply_count, 3);
    group_apply(group, 1);
    group_turn(group, 1);
    ck_assert_uint_eq(member->apply_count, 3);
    member->hold_apply = false;
    group_turn(group, 1);
    ck_assert_uint_eq(member->applied, 12);
    group_free(group);
}
END_TEST

START_TEST(a_membership_entry_ends_its_batch)
{
    struct group *group = led_by_1(1);
    struct group_member *member = group_at(group, 1);
    member->hold_apply = true;
    group_propose(group, 1, "a", NULL);
    group_change(group, 1, RAFT_CHANGE_ADD_LEARNER, 5, NULL);
    group_propose(group, 1, "b", NULL);
    ck_assert_uint_eq(member->apply_count, 2); // a and the change
    ck_assert_int_eq(member->log[2].type, RAFT_ENTRY_CONF_CHANGE);
    struct raft_event applied = {.type = RAFT_EVENT_APPLIED, .u.index = 4};
    member->apply_count = 0;
    group_step(group, 1, &applied, NULL);
    ck_assert_uint_eq(member->apply_count, 0); // still waiting for the verdict on the change
    ck_assert_int_eq(group_change(group, 1, RAFT_CHANGE_ADD_LEARNER, 6, NULL),
                     -(int)ERR_FAILED_PRECONDITION);
    struct raft_event ignored = {.type = RAFT_EVENT_CONF_APPLIED, .u.conf_applied = {4, NULL}};
    group_step(group, 1, &ignored, NULL);
    ck_assert_uint_eq(member->apply_count, 1);
    ck_assert_uint_eq(raft_conf(member->raft)->learners_count, 0);
    group_step(group, 1, &ignored, NULL); // overtaken ones are harmless
    group_free(group);
}
END_TEST

START_TEST(the_commit_index_rides_on_the_next_write)
{
    struct group *group = led_by_1(3);
    group_propose(group, 1, "a", NULL);
    group_settle(group);
    ck_assert_uint_eq(raft_commit(group_raft(group, 2)), 3);
    ck_assert_uint_eq(group_at(group, 2)->hard.commit, 2);
    group_propose(group, 1, "b", NULL);
    group_settle(group);
    ck_assert_uint_eq(group_at(group, 2)->hard.commit, 3);
    group_free(group);
}
END_TEST

START_TEST(an_idle_leader_writes_nothing)
{
    struct group *group = led_by_1(3);
    group_run(group, 5000);
    ck_assert_uint_eq(group_at(group, 1)->update.write.number, 0);
    uint64_t stored = group_at(group, 1)->log_count;
    group_run(group, 5000);
    ck_assert_uint_eq(group_at(group, 1)->log_count, stored);
    group_free(group);
}
END_TEST

START_TEST(role_changes_are_told_once)
{
    struct group *group = group_new();
    group_found(group, 1);
    ck_assert(!group_at(group, 1)->update.role_changed);
    struct raft_event tick = {.type = RAFT_EVENT_TICK};
    struct raft *raft = group_raft(group, 1);
    ck_assert_int_eq(raft_step(raft, &tick, group->now, NULL), 0);
    struct raft_update update;
    raft_flush(raft, &update);
    ck_assert(update.role_changed);
    ck_assert_int_eq(update.role, RAFT_CANDIDATE);
    raft_flush(raft, &update);
    ck_assert(!update.role_changed);
    ck_assert_uint_eq(update.term, 2);
    ck_assert_uint_eq(update.write.number, 0); // in flight
    group_free(group);
}
END_TEST

START_TEST(reporting_a_write_that_was_never_handed_out_stops_the_process)
{
    struct group *group = led_by_1(3);
    struct raft_event event = {.type = RAFT_EVENT_PERSISTED, .u.write = 77};
    group_step(group, 1, &event, NULL);
}
END_TEST

START_TEST(reporting_too_much_applied_stops_the_process)
{
    struct group *group = led_by_1(3);
    struct raft_event event = {.type = RAFT_EVENT_APPLIED, .u.index = 77};
    group_step(group, 1, &event, NULL);
}
END_TEST

START_TEST(time_never_runs_backwards)
{
    struct group *group = led_by_1(3);
    struct raft *raft = group_raft(group, 1);
    struct raft_event tick = {.type = RAFT_EVENT_TICK};
    ck_assert_int_eq(raft_step(raft, &tick, (struct mono){0}, NULL), 0);
    ck_assert_int_eq(raft_role(raft), RAFT_LEADER);
    struct raft_update update;
    raft_flush(raft, &update);
    ck_assert(mono_before(group->now, update.wake_at));
    group_free(group);
}
END_TEST

START_TEST(two_cores_with_one_seed_do_the_same)
{
    struct buf text[2];
    for (int i = 0; i < 2; i++) {
        struct group *group = group_new();
        group_found(group, 5);
        group_run(group, 50000);
        buf_init(&text[i], 4u << 20);
        buf_put(&text[i], group->text.data, group->text.len);
        group_free(group);
    }
    ck_assert_uint_gt(text[0].len, 1000);
    ck_assert_uint_eq(text[0].len, text[1].len);
    ck_assert_mem_eq(text[0].data, text[1].data, text[0].len);
    buf_fini(&text[0]);
    buf_fini(&text[1]);
}
END_TEST

START_TEST(damaged_boot_facts_are_refused_by_name)
{
    struct raft_config config = raft_config_default(1, 1);
    struct raft_boot boot = {.hard = {.commit = 5}};
    struct raft *raft = NULL;
    struct err err = ERR_INIT;
    ck_assert_int_eq(raft_new(&config, &boot, (struct mono){0}, &raft, &err), -(int)ERR_DATA_LOSS);
    ck_assert(strstr(err.message, "stored raft state is damaged: commit 5"));
    ck_assert_int_eq(raft_new(&config, &boot, (struct mono){0}, &raft, NULL), -(int)ERR_DATA_LOSS);
    boot.hard.commit = 0;
    boot.conf = (struct raft_conf){.voters_count = 2, .voters = {1, 1}};
    ck_assert_int_eq(raft_new(&config, &boot, (struct mono){0}, &raft, &err), -(int)ERR_DATA_LOSS);
    raft_free(NULL);
}
END_TEST

START_TEST(names_and_looks)
{
    struct group *group = led_by_1(3);
    struct raft *raft = group_raft(group, 1);
    ck_assert_uint_eq(raft_id(raft), 1);
    ck_assert_uint_eq(raft_leader(raft), 1);
    ck_assert_uint_eq(raft_term_at(raft, 2), 2);
    ck_assert_uint_eq(raft_term_at(raft, 9), 0);
    ck_assert_str_eq(raft_role_name(RAFT_PRE_CANDIDATE), "pre-candidate");
    struct raft_peer_status one;
    ck_assert_uint_eq(raft_peers(raft, &one, 1), 2);
    static const struct {
        enum raft_message_type type;
        const char *name;
    } names[] = {
        {RAFT_MSG_PROP, "MsgProp"},
        {RAFT_MSG_APP, "MsgApp"},
        {RAFT_MSG_APP_RESP, "MsgAppResp"},
        {RAFT_MSG_VOTE, "MsgVote"},
        {RAFT_MSG_VOTE_RESP, "MsgVoteResp"},
        {RAFT_MSG_SNAP, "MsgSnap"},
        {RAFT_MSG_HEARTBEAT, "MsgHeartbeat"},
        {RAFT_MSG_HEARTBEAT_RESP, "MsgHeartbeatResp"},
        {RAFT_MSG_TIMEOUT_NOW, "MsgTimeoutNow"},
        {RAFT_MSG_PRE_VOTE, "MsgPreVote"},
        {RAFT_MSG_PRE_VOTE_RESP, "MsgPreVoteResp"},
        {(enum raft_message_type)99, "MsgUnknown"},
    };
    for (size_t i = 0; i < COUNT_OF(names); i++)
        ck_assert_str_eq(raft_message_name(names[i].type), names[i].name);
    group_free(group);
}
END_TEST

START_TEST(blobs_are_counted)
{
    struct raft_blob *blob = raft_blob_new("abc", 3);
    ck_assert_ptr_eq(raft_blob_ref(blob), blob);
    ck_assert_uint_eq(blob->refs, 2);
    raft_blob_unref(blob);
    raft_blob_unref(blob);
    raft_blob_unref(NULL);
    ck_assert_ptr_null(raft_blob_ref(NULL));
    blob = raft_blob_new(NULL, 4);
    ck_assert_mem_eq(blob->bytes, "\0\0\0\0", 4);
    raft_blob_unref(blob);
}
END_TEST

Suite *suite_flush(void);
Suite *suite_flush(void)
{
    Suite *suite = suite_create("flush");
    TCase *tcase = tcase_create("flush");
    tcase_add_test(tcase, acknowledgements_wait_for_the_disk_and_heartbeat_answers_do_not);
    tcase_add_test(tcase, one_write_in_flight_and_the_rest_in_the_next);
    tcase_add_test(tcase, a_new_term_voids_what_waited);
    tcase_add_test(tcase, entries_replaced_while_they_were_written_are_not_durable);
    tcase_add_test(tcase, a_write_is_cut_at_its_limit_and_acknowledges_no_more_than_it_has);
    tcase_add_test(tcase, nothing_is_applied_before_it_is_durable_here);
    tcase_add_test(tcase, what_waits_to_be_applied_is_bounded);
    tcase_add_test(tcase, a_membership_entry_ends_its_batch);
    tcase_add_test(tcase, the_commit_index_rides_on_the_next_write);
    tcase_add_test(tcase, an_idle_leader_writes_nothing);
    tcase_add_test(tcase, role_changes_are_told_once);
    tcase_add_test_raise_signal(
        tcase, reporting_a_write_that_was_never_handed_out_stops_the_process, SIGABRT);
    tcase_add_test_raise_signal(tcase, reporting_too_much_applied_stops_the_process, SIGABRT);
    tcase_add_test(tcase, time_never_runs_backwards);
    tcase_add_test(tcase, two_cores_with_one_seed_do_the_same);
    tcase_add_test(tcase, damaged_boot_facts_are_refused_by_name);
    tcase_add_test(tcase, names_and_looks);
    tcase_add_test(tcase, blobs_are_counted);
    suite_add_tcase(suite, tcase);
    return suite;
}
