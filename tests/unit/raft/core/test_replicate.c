// From leader to followers and back: limits, windows, refusals, commits, odd messages.
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

static struct raft_message to_leader(enum raft_message_type type, uint64_t from, uint64_t index)
{
    return (struct raft_message){.type = type, .from = from, .to = 1, .term = 2, .index = index};
}

static size_t count_messages(const struct group *group, uint64_t to, enum raft_message_type type)
{
    size_t count = 0;
    for (size_t i = 0; i < group->queue_count; i++)
        count += group->queue[i]->to == to && group->queue[i]->type == type;
    return count;
}

START_TEST(one_turn_with_many_proposals_makes_one_write_and_one_message_per_peer)
{
    struct group *group = led_by_1(3);
    struct raft_blob *data[50];
    for (size_t i = 0; i < COUNT_OF(data); i++)
        data[i] = raft_blob_new("x", 1);
    struct raft_event event = {.type = RAFT_EVENT_PROPOSE};
    event.u.propose.data = data;
    event.u.propose.count = COUNT_OF(data);
    ck_assert_int_eq(group_step(group, 1, &event, NULL), 0);
    ck_assert_uint_eq(group_at(group, 1)->log_count, 51);
    ck_assert_uint_eq(count_messages(group, 2, RAFT_MSG_APP), 1);
    ck_assert_uint_eq(group_find(group, 1, 2, RAFT_MSG_APP)->entries_count, 50);
    for (size_t i = 0; i < COUNT_OF(data); i++)
        raft_blob_unref(data[i]);
    group_settle(group);
    ck_assert_uint_eq(raft_commit(group_raft(group, 3)), 52);
    group_free(group);
}
END_TEST

START_TEST(messages_stay_below_their_limit_but_carry_one_entry)
{
    struct group *group = group_new();
    group->limits.append_bytes_max = 3 * (RAFT_ENTRY_OVERHEAD_BYTES + 4);
    group_found(group, 3);
    group_elect(group, 1);
    group_drop(group, 0, 0);
    for (int i = 0; i < 7; i++)
        group_propose(group, 1, "four", NULL);
    group_propose(group, 1,
                  "far longer than the whole limit of a message, which is about one hundred bytes "
                  "and a little more",
                  NULL);
    // All messages so far were sent one by one; start over to see them batched.
    group_drop(group, 0, 0);
    group_unreachable(group, 1, 2);
    group_deliver(group, 1, 2);
    group_drop(group, 1, 0);
    group_deliver(group, 2, 1);
    size_t sizes[8] = {0};
    size_t count = 0;
    for (size_t i = 0; i < group->queue_count && count < 8; i++)
        if (group->queue[i]->to == 2 && group->queue[i]->entries_count > 0)
            sizes[count++] = group->queue[i]->entries_count;
    ck_assert_uint_eq(count, 3); // the probe carried the first three
    ck_assert_uint_eq(sizes[0], 3);
    ck_assert_uint_eq(sizes[1], 1);
    ck_assert_uint_eq(sizes[2], 1);
    group_settle(group);
    ck_assert_uint_eq(group_peer(group, 1, 2).match, 10);
    group_free(group);
}
END_TEST

START_TEST(the_window_bounds_what_is_unanswered)
{
    struct group *group = group_new();
    group->limits.inflight_max = 4;
    group_found(group, 3);
    group_elect(group, 1);
    group_run(group, 200);
    for (int i = 0; i < 10; i++)
        group_propose(group, 1, "x", NULL);
    ck_assert_uint_eq(count_messages(group, 2, RAFT_MSG_APP), 4);
    ck_assert(group_peer(group, 1, 2).paused);
    group_settle(group);
    ck_assert_uint_eq(group_peer(group, 1, 2).match, 12);
    group_free(group);
}
END_TEST

START_TEST(a_full_window_of_lost_messages_is_found_out)
{
    struct group *group = group_new();
    group->limits.inflight_max = 4;
    group_found(group, 3);
    group_elect(group, 1);
    group_run(group, 200);
    for (int i = 0; i < 10; i++)
        group_propose(group, 1, "x", NULL);
    group_drop(group, 0, 0);
    group_run(group, 300);
    ck_assert_uint_eq(group_peer(group, 1, 2).match, 12);
    ck_assert_uint_eq(raft_commit(group_raft(group, 3)), 12);
    group_free(group);
}
END_TEST

START_TEST(a_refusal_in_the_manner_of_20_10_is_understood)
{
    // Hint is the last index, and there is no term at the hint.
    struct group *group = led_by_1(3);
    for (int i = 0; i < 5; i++)
        group_propose(group, 1, "x", NULL);
    group_drop(group, 0, 0);
    struct raft_message no = to_leader(RAFT_MSG_APP_RESP, 2, 7);
    no.reject = true;
    no.reject_hint = 3;
    group_message(group, &no, NULL);
    ck_assert_int_eq(group_peer(group, 1, 2).progress, RAFT_PROBE);
    group_settle(group);
    ck_assert_uint_eq(group_peer(group, 1, 2).match, 7);
    group_free(group);
}
END_TEST

START_TEST(an_acknowledgement_past_our_end_is_ignored)
{
    struct group *group = led_by_1(3);
    struct raft_message ack = to_leader(RAFT_MSG_APP_RESP, 2, 500);
    group_message(group, &ack, NULL);
    ck_assert_uint_eq(group_peer(group, 1, 2).match, 2);
    ck_assert_uint_eq(raft_commit(group_raft(group, 1)), 2);
    group_free(group);
}
END_TEST

START_TEST(an_old_term_is_answered_so_that_the_old_leader_steps_down)
{
    struct group *group = led_by_1(3);
    struct raft_message old = {.type = RAFT_MSG_APP, .from = 3, .to = 2, .term = 1};
    group_message(group, &old, NULL);
    const struct raft_message *answer = group_find(group, 2, 3, RAFT_MSG_APP_RESP);
    ck_assert_uint_eq(answer->term, 2);
    ck_assert_uint_eq(answer->index, 0);
    group_drop(group, 0, 0);
    old.type = RAFT_MSG_APP_RESP; // all others are simply ignored
    group_message(group, &old, NULL);
    ck_assert_uint_eq(group->queue_count, 0);
    group_free(group);
}
END_TEST

START_TEST(a_late_append_is_answered_with_the_commit_index)
{
    struct group *group = led_by_1(3);
    group_propose(group, 1, "a", NULL);
    group_settle(group);
    group_run(group, 200);
    struct raft_message late = {
        .type = RAFT_MSG_APP, .from = 1, .to = 2, .term = 2, .index = 1, .log_term = 1};
    group_message(group, &late, NULL);
    const struct raft_message *answer = group_find(group, 2, 1, RAFT_MSG_APP_RESP);
    ck_assert(!answer->reject);
    ck_assert_uint_eq(answer->index, 3);
    group_free(group);
}
END_TEST

START_TEST(a_short_late_append_keeps_what_follows)
{
    struct group *group = led_by_1(3);
    group->cut[1][3] = true;
    group_at(group, 1)->hold_disk = true; // nothing gets committed
    group_propose(group, 1, "a", NULL);
    group_propose(group, 1, "b", NULL);
    const struct raft_message first = *group_find(group, 1, 2, RAFT_MSG_APP);
    struct raft_entry entry = first.entries[0];
    raft_blob_ref(entry.data);
    group_deliver(group, 1, 2);
    ck_assert_uint_eq(raft_last_index(group_raft(group, 2)), 4);
    struct raft_message again = first;
    again.entries = &entry;
    group_message(group, &again, NULL);
    ck_assert_uint_eq(raft_last_index(group_raft(group, 2)), 4);
    raft_blob_unref(entry.data);
    group_free(group);
}
END_TEST

START_TEST(a_follower_commits_no_further_than_the_message_vouches_for)
{
    struct group *group = led_by_1(3);
    group_at(group, 1)->hold_disk = true;
    group->cut[1][3] = true;
    group_propose(group, 1, "a", NULL);
    group_propose(group, 1, "b", NULL);
    group_deliver(group, 1, 2);
    struct raft_message beyond = {.type = RAFT_MSG_APP,
                                  .from = 1,
                                  .to = 2,
                                  .term = 2,
                                  .index = 3,
                                  .log_term = 2,
                                  .commit = 4};
    group_message(group, &beyond, NULL);
    ck_assert_uint_eq(raft_commit(group_raft(group, 2)), 3);
    group_free(group);
}
END_TEST

START_TEST(entries_that_contradict_committed_ones_are_an_alarm)
{
    struct group *group = led_by_1(3);
    struct raft_entry bad = {.term = 3, .index = 2};
    struct raft_message message = {.type = RAFT_MSG_APP,
                                   .from = 3,
                                   .to = 2,
                                   .term = 3,
                                   .index = 1,
                                   .log_term = 1,
                                   .entries = &bad,
                                   .entries_count = 1};
    struct err err = ERR_INIT;
    // Starting below the commit index it is merely late ...
    ck_assert_int_eq(group_message(group, &message, &err), 0);
    // ... but a heartbeat past the end of the log means that data got lost here.
    struct raft_message beat = {
        .type = RAFT_MSG_HEARTBEAT, .from = 3, .to = 2, .term = 3, .commit = 90};
    ck_assert_int_eq(group_message(group, &beat, &err), -(int)ERR_DATA_LOSS);
    ck_assert(strstr(err.message, "the log here ends at 2"));
    group_free(group);
}
END_TEST

START_TEST(two_leaders_in_one_term_are_an_alarm)
{
    struct group *group = led_by_1(3);
    struct raft_message beat = {.type = RAFT_MSG_HEARTBEAT, .from = 3, .to = 2, .term = 2};
    ck_assert_int_eq(group_message(group, &beat, NULL), -(int)ERR_DATA_LOSS);
    beat.to = 1;
    ck_assert_int_eq(group_message(group, &beat, NULL), -(int)ERR_DATA_LOSS);
    ck_assert_int_eq(raft_role(group_raft(group, 1)), RAFT_LEADER);
    group_free(group);
}
END_TEST

START_TEST(malformed_messages_are_refused)
{
    struct group *group = led_by_1(3);
    struct raft_entry entries[2] = {{.term = 2, .index = 3}, {.term = 2, .index = 5}};
    struct raft_message message = {.type = RAFT_MSG_APP,
                                   .from = 1,
                                   .to = 2,
                                   .term = 2,
                                   .index = 2,
                                   .log_term = 2,
                                   .entries = entries,
                                   .entries_count = 2};
    ck_assert_int_eq(group_message(group, &message, NULL), -(int)ERR_INVALID_ARGUMENT);
    entries[1].index = 4;
    entries[1].term = 1;
    ck_assert_int_eq(group_message(group, &message, NULL), -(int)ERR_INVALID_ARGUMENT);
    entries[1].term = 3;
    ck_assert_int_eq(group_message(group, &message, NULL), -(int)ERR_INVALID_ARGUMENT);
    message.log_term = 0;
    entries[0].term = 0;
    ck_assert_int_eq(group_message(group, &message, NULL), -(int)ERR_INVALID_ARGUMENT);
    message = (struct raft_message){.type = RAFT_MSG_HEARTBEAT, .from = 0, .to = 2, .term = 2};
    ck_assert_int_eq(group_message(group, &message, NULL), -(int)ERR_INVALID_ARGUMENT);
    message.from = 2;
    ck_assert_int_eq(group_message(group, &message, NULL), -(int)ERR_INVALID_ARGUMENT);
    message.from = 1;
    message.term = 0;
    ck_assert_int_eq(group_message(group, &message, NULL), -(int)ERR_INVALID_ARGUMENT);
    message.type = (enum raft_message_type)15; // MsgReadIndex is not used between members
    ck_assert_int_eq(group_message(group, &message, NULL), -(int)ERR_INVALID_ARGUMENT);
    message = (struct raft_message){.type = RAFT_MSG_SNAP, .from = 1, .to = 2, .term = 2};
    ck_assert_int_eq(group_message(group, &message, NULL), -(int)ERR_INVALID_ARGUMENT);
    group_free(group);
}
END_TEST

START_TEST(messages_for_others_are_ignored)
{
    struct group *group = led_by_1(3);
    struct raft_message message = {.type = RAFT_MSG_VOTE, .from = 3, .to = 7, .term = 9};
    struct raft_event event = {.type = RAFT_EVENT_MESSAGE, .u.message = &message};
    ck_assert_int_eq(group_step(group, 2, &event, NULL), 0);
    ck_assert_uint_eq(raft_term(group_raft(group, 2)), 2);
    message.type = RAFT_MSG_PROP;
    ck_assert_int_eq(group_step(group, 1, &event, NULL), 0);
    ck_assert_uint_eq(raft_last_index(group_raft(group, 1)), 2);
    group_free(group);
}
END_TEST

START_TEST(answers_of_strangers_are_ignored)
{
    struct group *group = led_by_1(3);
    struct raft_message message = to_leader(RAFT_MSG_APP_RESP, 9, 2);
    ck_assert_int_eq(group_message(group, &message, NULL), 0);
    message = to_leader(RAFT_MSG_HEARTBEAT_RESP, 2, 0);
    message.to = 3; // not a leader
    ck_assert_int_eq(group_message(group, &message, NULL), 0);
    group_free(group);
}
END_TEST

START_TEST(heartbeats_carry_no_more_than_the_match)
{
    struct group *group = led_by_1(3);
    group->cut[1][3] = group->cut[3][1] = true;
    group_propose(group, 1, "a", NULL);
    group_settle(group);
    group_pass(group, 100);
    ck_assert_uint_eq(group_find(group, 1, 2, RAFT_MSG_HEARTBEAT)->commit, 3);
    ck_assert_uint_eq(group_find(group, 1, 3, RAFT_MSG_HEARTBEAT)->commit, 2);
    group_free(group);
}
END_TEST

START_TEST(a_foreign_heartbeat_context_is_echoed)
{
    struct group *group = led_by_1(3);
    struct raft_message beat = {.type = RAFT_MSG_HEARTBEAT, .from = 1, .to = 2, .term = 2};
    memcpy(beat.context, "abc", 3);
    beat.context_len = 3;
    group_message(group, &beat, NULL);
    const struct raft_message *answer = group_find(group, 2, 1, RAFT_MSG_HEARTBEAT_RESP);
    ck_assert_uint_eq(answer->context_len, 3);
    ck_assert_mem_eq(answer->context, "abc", 3);
    group_free(group);
}
END_TEST

START_TEST(bodies_are_loaded_from_disk_for_a_peer_that_is_far_behind)
{
    struct group *group = group_new();
    group->limits.cache_bytes_max = 0;
    group->limits.append_bytes_max = 200;
    group_found(group, 3);
    group_elect(group, 1);
    group_run(group, 200);
    group_crash(group, 3);
    for (int i = 0; i < 100; i++) {
        group_propose(group, 1, "some text", NULL);
        group_settle(group);
    }
    group_start(group, 3);
    group_run(group, 1000);
    ck_assert_uint_eq(group_at(group, 3)->applied, 102);
    group_free(group);
}
END_TEST

START_TEST(a_restarted_member_loads_what_it_has_not_applied)
{
    struct group *group = led_by_1(3);
    group_at(group, 2)->hold_apply = true;
    for (int i = 0; i < 20; i++)
        group_propose(group, 1, "x", NULL);
    group_settle(group);
    group_run(group, 200);
    group_propose(group, 1, "y", NULL); // so that the commit index gets stored
    group_settle(group);
    ck_assert_uint_eq(group_at(group, 2)->applied, 2);
    group_crash(group, 2);
    group_at(group, 2)->hold_apply = false;
    group_start(group, 2);
    ck_assert_uint_ge(group_at(group, 2)->applied, 22);
    group_free(group);
}
END_TEST

START_TEST(a_load_whose_terms_are_wrong_is_an_alarm)
{
    struct group *group = led_by_1(1);
    group_crash(group, 1);
    group_at(group, 1)->applied = 1;
    // Start it by hand, to answer the load by hand.
    struct raft_run run = {2, 2};
    struct raft_boot boot = {.hard = {.term = 2, .commit = 2}, .start = {1, 1}, .last_index = 2};
    boot.runs = &run;
    boot.runs_count = 1;
    boot.applied = 1;
    boot.conf = group_at(group, 1)->conf;
    struct raft_config config = raft_config_default(1, 1);
    struct raft *raft;
    ck_assert_int_eq(raft_new(&config, &boot, group->now, &raft, NULL), 0);
    struct raft_update update;
    raft_flush(raft, &update);
    ck_assert_uint_eq(update.loads_count, 1);
    ck_assert_uint_eq(update.loads[0].first, 2);
    struct raft_entry wrong = {.term = 1, .index = 2};
    struct raft_event event = {.type = RAFT_EVENT_LOADED};
    event.u.loaded.load = update.loads[0].number;
    event.u.loaded.entries = &wrong;
    event.u.loaded.count = 1;
    ck_assert_int_eq(raft_step(raft, &event, group->now, NULL), -(int)ERR_DATA_LOSS);
    raft_flush(raft, &update); // asked again
    ck_assert_uint_eq(update.loads_count, 1);
    wrong.term = 2;
    ck_assert_int_eq(raft_step(raft, &event, group->now, NULL), 0); // nobody waits for that one
    event.u.loaded.load = update.loads[0].number;
    ck_assert_int_eq(raft_step(raft, &event, group->now, NULL), 0);
    raft_flush(raft, &update);
    ck_assert_uint_eq(update.apply_count, 1);
    raft_free(raft);
    group_free(group);
}
END_TEST

START_TEST(only_entries_of_the_own_term_are_committed_by_counting)
{
    struct group *group = led_by_1(3);
    group_at(group, 2)->hold_disk = true;
    group_at(group, 3)->hold_disk = true;
    group_propose(group, 1, "old", NULL); // index 3, term 2
    group_crash(group, 1);
    group_drop(group, 0, 0);
    group_start(group, 1);
    group_at(group, 2)->hold_disk = false;
    group_at(group, 3)->hold_disk = false;
    group_sync(group, 2);
    group_sync(group, 3);
    group_pass(group, 900);
    group_drop(group, 0, 0);
    group_campaign(group, 1);
    group_deliver(group, 1, 0);
    group_deliver(group, 0, 1);
    ck_assert_int_eq(raft_role(group_raft(group, 1)), RAFT_LEADER);
    uint64_t term = raft_term(group_raft(group, 1));
    struct raft_message ack = {
        .type = RAFT_MSG_APP_RESP, .from = 2, .to = 1, .term = term, .index = 3};
    group_message(group, &ack, NULL);
    ck_assert_uint_eq(raft_commit(group_raft(group, 1)), 2); // a majority has it, and yet
    ack.index = 4;
    group_message(group, &ack, NULL);
    ck_assert_uint_eq(raft_commit(group_raft(group, 1)), 4);
    group_free(group);
}
END_TEST

START_TEST(ours_are_told_of_a_commit_a_little_later_or_with_the_next_append)
{
    struct group *group = group_new();
    group->limits.commit_delay_ms = RAFT_COMMIT_DELAY_MS;
    group_found(group, 3);
    group_at(group, 3)->stock = true;
    group_elect(group, 1);
    group_run(group, 1050);
    group_propose(group, 1, "a", NULL);
    group_settle(group);
    ck_assert_uint_eq(raft_commit(group_raft(group, 1)), 3);
    ck_assert_uint_eq(raft_commit(group_raft(group, 2)), 2);
    ck_assert_uint_eq(raft_commit(group_raft(group, 3)), 3); // stock: at once
    group_propose(group, 1, "b", NULL);
    group_settle(group);
    ck_assert_uint_eq(raft_commit(group_raft(group, 2)), 3);
    group_run(group, RAFT_COMMIT_DELAY_MS);
    ck_assert_uint_eq(raft_commit(group_raft(group, 2)), 4);
    group_free(group);
}
END_TEST

START_TEST(a_removed_member_is_told_before_it_is_dropped)
{
    struct group *group = group_new();
    group->limits.commit_delay_ms = RAFT_COMMIT_DELAY_MS;
    group_found(group, 3);
    group_elect(group, 1);
    group_run(group, 1050);
    ck_assert_int_eq(group_change(group, 1, RAFT_CHANGE_REMOVE, 3, NULL), 0);
    group_settle(group);
    ck_assert_uint_eq(raft_conf(group_raft(group, 3))->voters_count, 2);
    group_free(group);
}
END_TEST

Suite *suite_replicate(void);
Suite *suite_replicate(void)
{
    Suite *suite = suite_create("replicate");
    TCase *tcase = tcase_create("replicate");
    tcase_add_test(tcase, one_turn_with_many_proposals_makes_one_write_and_one_message_per_peer);
    tcase_add_test(tcase, messages_stay_below_their_limit_but_carry_one_entry);
    tcase_add_test(tcase, the_window_bounds_what_is_unanswered);
    tcase_add_test(tcase, a_full_window_of_lost_messages_is_found_out);
    tcase_add_test(tcase, a_refusal_in_the_manner_of_20_10_is_understood);
    tcase_add_test(tcase, an_acknowledgement_past_our_end_is_ignored);
    tcase_add_test(tcase, an_old_term_is_answered_so_that_the_old_leader_steps_down);
    tcase_add_test(tcase, a_late_append_is_answered_with_the_commit_index);
    tcase_add_test(tcase, a_short_late_append_keeps_what_follows);
    tcase_add_test(tcase, a_follower_commits_no_further_than_the_message_vouches_for);
    tcase_add_test(tcase, entries_that_contradict_committed_ones_are_an_alarm);
    tcase_add_test(tcase, two_leaders_in_one_term_are_an_alarm);
    tcase_add_test(tcase, malformed_messages_are_refused);
    tcase_add_test(tcase, messages_for_others_are_ignored);
    tcase_add_test(tcase, answers_of_strangers_are_ignored);
    tcase_add_test(tcase, heartbeats_carry_no_more_than_the_match);
    tcase_add_test(tcase, a_foreign_heartbeat_context_is_echoed);
    tcase_add_test(tcase, bodies_are_loaded_from_disk_for_a_peer_that_is_far_behind);
    tcase_add_test(tcase, a_restarted_member_loads_what_it_has_not_applied);
    tcase_add_test(tcase, a_load_whose_terms_are_wrong_is_an_alarm);
    tcase_add_test(tcase, only_entries_of_the_own_term_are_committed_by_counting);
    tcase_add_test(tcase, ours_are_told_of_a_commit_a_little_later_or_with_the_next_append);
    tcase_add_test(tcase, a_removed_member_is_told_before_it_is_dropped);
    suite_add_tcase(suite, tcase);
    return suite;
}
