// Patient and quick: who is ours, and what follows from it.
#include <check.h>
#include <string.h>

#include "proto/base/check.h"
#include "raft/core/core.h"
#include "tests/support/raft_group.h"

static enum raft_role role(struct group *group, uint64_t id)
{
    return raft_role(group_raft(group, id));
}

static void told_ours(struct group *group, uint64_t id, uint64_t peer)
{
    struct raft_event event = {.type = RAFT_EVENT_PEER_IS_OURS, .u.id = peer};
    group_step(group, id, &event, NULL);
}

START_TEST(members_of_one_kind_find_out_by_themselves)
{
    struct group *group = group_new();
    group_found(group, 3);
    group_elect(group, 1);
    group_run(group, 200);
    for (uint64_t id = 2; id <= 3; id++) {
        ck_assert(group_peer(group, 1, id).ours);
        ck_assert(group_peer(group, id, 1).ours);
        ck_assert(group_peer(group, id, 5 - id).ours); // told by the leader
    }
    ck_assert_int_eq(raft_peers(group_raft(group, 1), NULL, 0), 2);
    group_free(group);
}
END_TEST

START_TEST(a_transport_that_knows_makes_the_first_election_quick)
{
    struct group *group = group_new();
    group_found(group, 3);
    told_ours(group, 2, 1);
    told_ours(group, 2, 1); // no news
    told_ours(group, 2, 3);
    ck_assert(group_at(group, 2)->update.ours_changed);
    group_pass(group, 800);
    ck_assert_int_eq(role(group, 2), RAFT_PRE_CANDIDATE);
    ck_assert_int_eq(role(group, 1), RAFT_FOLLOWER);
    group_settle(group);
    ck_assert_int_eq(role(group, 2), RAFT_LEADER);
    group_free(group);
}
END_TEST

START_TEST(a_stock_leader_makes_everybody_patient)
{
    struct group *group = group_new();
    group_found(group, 3);
    group_elect(group, 1);
    group_run(group, 200);
    struct raft_message beat = {.type = RAFT_MSG_HEARTBEAT, .from = 3, .to = 2, .term = 3};
    group_message(group, &beat, NULL); // without mark
    group_drop(group, 0, 0);
    group_crash(group, 1);
    group_crash(group, 3);
    group_pass(group, 9900);
    ck_assert_int_eq(role(group, 2), RAFT_FOLLOWER);
    group_pass(group, 10200);
    ck_assert_int_ne(role(group, 2), RAFT_FOLLOWER);
    group_free(group);
}
END_TEST

START_TEST(a_first_message_of_an_unknown_leader_already_means_patience)
{
    struct group *group = group_new();
    group_found(group, 3);
    told_ours(group, 2, 1);
    struct raft_message append = {
        .type = RAFT_MSG_APP, .from = 3, .to = 2, .term = 2, .index = 1, .log_term = 1};
    group_message(group, &append, NULL);
    group_pass(group, 5000);
    ck_assert_int_eq(role(group, 2), RAFT_FOLLOWER);
    group_free(group);
}
END_TEST

static void heartbeat_with(struct group *group, uint32_t election_ms, uint32_t digest)
{
    struct mark mark = {.kind = MARK_HEARTBEAT,
                        .heartbeat_ms = 1,
                        .election_ms = election_ms,
                        .digest = digest,
                        .ours = UINT64_MAX};
    struct raft_message beat = {.type = RAFT_MSG_HEARTBEAT, .from = 1, .to = 2, .term = 2};
    mark_write(&mark, &beat);
    group_message(group, &beat, NULL);
}

START_TEST(a_mark_is_believed_within_bounds)
{
    struct group *group = group_new();
    group_found(group, 3);
    heartbeat_with(group, 1, 0); // hectic, and about other voters
    ck_assert(!group_peer(group, 2, 3).ours);
    struct mono wake = group_at(group, 2)->update.wake_at;
    ck_assert_int_ge(mono_since(wake, group->now), RAFT_QUICK_ELECTION_MS * NS_PER_MS);
    heartbeat_with(group, UINT32_MAX, 0); // sleepy
    wake = group_at(group, 2)->update.wake_at;
    ck_assert_int_le(mono_since(wake, group->now), 2 * RAFT_PATIENT_ELECTION_MS * NS_PER_MS);
    heartbeat_with(group, 2000, mark_digest(raft_conf(group_raft(group, 2))));
    ck_assert(group_peer(group, 2, 3).ours);
    wake = group_at(group, 2)->update.wake_at;
    ck_assert_int_ge(mono_since(wake, group->now), 2000 * NS_PER_MS);
    ck_assert_int_lt(mono_since(wake, group->now), 4000 * NS_PER_MS);
    group_free(group);
}
END_TEST

START_TEST(an_answer_mark_in_a_heartbeat_is_no_heartbeat_mark)
{
    struct group *group = group_new();
    group_found(group, 3);
    struct mark mark = {.kind = MARK_ANSWER};
    struct raft_message beat = {.type = RAFT_MSG_HEARTBEAT, .from = 1, .to = 2, .term = 2};
    mark_write(&mark, &beat);
    group_message(group, &beat, NULL);
    ck_assert(!group_peer(group, 2, 1).ours);
    group_free(group);
}
END_TEST

START_TEST(a_quick_timeout_without_a_quorum_of_ours_waits_for_the_patient_one)
{
    struct group *group = group_new();
    group_found(group, 5);
    heartbeat_with(group, RAFT_QUICK_ELECTION_MS, 0); // quick, but we know of one other only
    group_crash(group, 1);
    group_pass(group, 5000);
    ck_assert_int_eq(role(group, 2), RAFT_FOLLOWER);
    group_pass(group, 16000);
    ck_assert_int_eq(role(group, 2), RAFT_CANDIDATE);
    group_free(group);
}
END_TEST

START_TEST(who_is_ours_is_remembered_for_a_bounded_number)
{
    struct group *group = group_new();
    group_found(group, 3);
    for (uint64_t id = 100; id < 100 + 2 * RAFT_OURS_MAX; id++)
        told_ours(group, 1, id);
    told_ours(group, 1, 2);
    ck_assert(group_peer(group, 1, 2).ours);
    told_ours(group, 1, 0);
    told_ours(group, 1, 1);
    group_free(group);
}
END_TEST

START_TEST(a_full_memory_of_members_takes_nobody_else)
{
    struct raft_config config = raft_config_default(1, 1);
    struct raft_boot boot = {.conf = {.voters_count = RAFT_MEMBERS_MAX}};
    boot.conf.learners_count = RAFT_MEMBERS_MAX;
    for (uint64_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        boot.conf.voters[i] = i + 2;
        boot.conf.learners[i] = i + 1000;
    }
    struct raft *raft;
    ck_assert_int_eq(raft_new(&config, &boot, (struct mono){0}, &raft, NULL), 0);
    struct raft_event event = {.type = RAFT_EVENT_PEER_IS_OURS};
    for (uint64_t i = 0; i < RAFT_MEMBERS_MAX; i++) {
        event.u.id = i + 2;
        raft_step(raft, &event, (struct mono){0}, NULL);
        event.u.id = i + 1000;
        raft_step(raft, &event, (struct mono){0}, NULL);
    }
    event.u.id = 5000;
    raft_step(raft, &event, (struct mono){0}, NULL);
    ck_assert_uint_eq(raft->ours_count, RAFT_OURS_MAX);
    ck_assert(!pace_is_ours(raft, 5000));
    raft_free(raft);
}
END_TEST

START_TEST(ours_from_an_earlier_life_count)
{
    struct raft_config config = raft_config_default(1, 1);
    static const uint64_t ours[] = {2};
    struct raft_boot boot = {
        .conf = {.voters_count = 3, .voters = {1, 2, 3}}, .ours = ours, .ours_count = 1};
    struct raft *raft;
    ck_assert_int_eq(raft_new(&config, &boot, (struct mono){0}, &raft, NULL), 0);
    struct raft_update update;
    raft_flush(raft, &update);
    ck_assert(!update.ours_changed);
    ck_assert_int_lt(update.wake_at.ns, 2 * RAFT_QUICK_ELECTION_MS * NS_PER_MS);
    raft_free(raft);
}
END_TEST

START_TEST(stock_voters_hear_of_a_leader_once_a_second)
{
    struct group *group = group_new();
    group_found(group, 3);
    group_at(group, 3)->stock = true;
    group_elect(group, 1);
    group_run(group, 1200);
    buf_clear(&group->text);
    size_t quick = 0;
    size_t patient = 0;
    for (int i = 0; i < 300; i++) {
        group_pass(group, 10);
        for (size_t k = 0; k < group->queue_count; k++) {
            bool beat = group->queue[k]->type == RAFT_MSG_HEARTBEAT;
            quick += beat && group->queue[k]->to == 2;
            patient += beat && group->queue[k]->to == 3;
        }
        group_settle(group);
    }
    ck_assert_uint_ge(quick, 29);
    ck_assert_uint_le(quick, 31);
    ck_assert_uint_ge(patient, 2);
    ck_assert_uint_le(patient, 4);
    group_free(group);
}
END_TEST

Suite *suite_pace(void);
Suite *suite_pace(void)
{
    Suite *suite = suite_create("pace");
    TCase *tcase = tcase_create("pace");
    tcase_add_test(tcase, members_of_one_kind_find_out_by_themselves);
    tcase_add_test(tcase, a_transport_that_knows_makes_the_first_election_quick);
    tcase_add_test(tcase, a_stock_leader_makes_everybody_patient);
    tcase_add_test(tcase, a_first_message_of_an_unknown_leader_already_means_patience);
    tcase_add_test(tcase, a_mark_is_believed_within_bounds);
    tcase_add_test(tcase, an_answer_mark_in_a_heartbeat_is_no_heartbeat_mark);
    tcase_add_test(tcase, a_quick_timeout_without_a_quorum_of_ours_waits_for_the_patient_one);
    tcase_add_test(tcase, who_is_ours_is_remembered_for_a_bounded_number);
    tcase_add_test(tcase, a_full_memory_of_members_takes_nobody_else);
    tcase_add_test(tcase, ours_from_an_earlier_life_count);
    tcase_add_test(tcase, stock_voters_hear_of_a_leader_once_a_second);
    suite_add_tcase(suite, tcase);
    return suite;
}
