// Members at work over real disks and a transport in memory: proposals, restarts, membership,
// snapshots, loss of the leader, rotation of keys.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "raft/disk/logdb_io.h"
#include "tests/support/support.h"
#include "tests/unit/raft/rig.h"

START_TEST(a_founded_cluster_commits_and_a_restart_has_it_all)
{
    rig_found();
    ck_assert_uint_eq(rig_nodes[0].members, 1);
    rig_write_many(0, 0, 20);
    rig_write_one(0, "k0=again");
    rig_close(0);
    rig_open(0);
    ck_assert(raft_node_is_member(rig_nodes[0].node));
    rig_start(0);
    ck_assert(loop_run_until(&rig_loop, rig_is_acting, &rig_nodes[0], RIG_WAIT_MS));
    rig_expect(0, "k0", "again");
    rig_expect(0, "k19", "v19");
    rig_write_one(0, "k20=v20");
}
END_TEST

START_TEST(a_turn_of_proposals_is_one_commit)
{
    rig_found();
    struct logdb_figures before, after;
    raft_node_disk_figures(rig_nodes[0].node, &before);
    rig_write_many(0, 0, 500);
    raft_node_disk_figures(rig_nodes[0].node, &after);
    ck_assert_uint_le(after.commits - before.commits, 5);
}
END_TEST

START_TEST(the_log_is_cut_and_a_restart_replays_only_its_tail)
{
    rig_found();
    for (int i = 0; i < 10; i++)
        rig_write_many(0, 20 * i, 20);
    rig_close(0);
    rig_open(0);
    rig_nodes[0].applied_foreign = 0;
    rig_start(0);
    ck_assert(loop_run_until(&rig_loop, rig_is_acting, &rig_nodes[0], RIG_WAIT_MS));
    ck_assert_uint_gt(raft_first_index(raft_node_core(rig_nodes[0].node)), 50);
    rig_expect(0, "k0", "v0");
    rig_expect(0, "k199", "v199");
    ck_assert_int_lt(rig_nodes[0].applied_foreign, 100);
}
END_TEST

START_TEST(members_join_follow_and_catch_up_by_snapshot)
{
    rig_found();
    rig_write_many(0, 0, 10);
    rig_join(0, 1);
    rig_expect(1, "k9", "v9");
    rig_write_one(0, "a=1");
    rig_expect(1, "a", "1");
    // Far behind: the log has been cut past what the third one has.
    for (int i = 0; i < 10; i++)
        rig_write_many(0, 20 * i, 20);
    rig_join(0, 2);
    rig_expect(2, "k199", "v199");
    rig_expect(2, "a", "1");
    ck_assert_uint_eq(rig_nodes[2].members, 3);
    ck_assert(loop_run_until(&rig_loop, rig_is_acting, &rig_nodes[0], RIG_WAIT_MS));
    rig_write_one(0, "b=2");
    rig_expect(2, "b", "2");
    // What came by snapshot survives a restart.
    rig_close(2);
    rig_open(2);
    rig_start(2);
    rig_expect(2, "k0", "v0");
    rig_expect(2, "b", "2");
}
END_TEST

// Goal: who learns of a removal only by snapshot lets go of the removed one all the same.
START_TEST(a_snapshot_that_lacks_a_member_drops_its_connection)
{
    rig_found();
    for (int i = 1; i < 4; i++)
        rig_join(0, i);
    rig_write_one(0, "a=1");
    rig_expect(3, "a", "1");
    rig_nodes[3].cut = true;
    rig_change(0, RAFT_CHANGE_REMOVE, 1);
    for (int i = 0; i < 10; i++)
        rig_write_many(0, 20 * i, 20);
    ck_assert_uint_eq(rig_nodes[3].removed_peer, 0);
    rig_nodes[3].cut = false;
    rig_expect(3, "k199", "v199");
    ck_assert_uint_eq(rig_nodes[3].removed_peer, 101);
    ck_assert_uint_eq(rig_nodes[3].members, 3);
}
END_TEST

static bool other_acts(void *ctx)
{
    (void)ctx;
    return rig_nodes[1].role.acting || rig_nodes[2].role.acting;
}

static bool steps_down(void *ctx)
{
    return ((struct rig_member *)ctx)->role.role != RAFT_LEADER;
}

START_TEST(another_leads_when_the_leader_is_cut_off_and_its_lost_proposals_fail)
{
    rig_found();
    rig_join(0, 1);
    rig_join(0, 2);
    rig_write_one(0, "a=1");
    rig_expect(1, "a", "1");
    rig_expect(2, "a", "1");
    rig_nodes[0].cut = true;
    struct rig_write lost;
    ck_assert_int_eq(rig_write_start(0, &lost, "lost=1"), 0);
    ck_assert(loop_run_until(&rig_loop, other_acts, NULL, RIG_WAIT_MS));
    int leader = rig_nodes[1].role.acting ? 1 : 2;
    rig_write_one(leader, "b=2");
    ck_assert(loop_run_until(&rig_loop, steps_down, &rig_nodes[0], RIG_WAIT_MS));
    ck_assert(lost.done);
    ck_assert(!lost.ok);
    rig_nodes[0].cut = false;
    rig_expect(0, "b", "2");
    ck_assert(!map_has_str(&rig_nodes[0].store, "lost"));
    ck_assert_int_lt(rig_write_start(0, &lost, "c=3"), 0);
}
END_TEST

START_TEST(closing_a_leader_hands_over_at_once)
{
    rig_found();
    rig_join(0, 1);
    rig_join(0, 2);
    rig_write_one(0, "a=1");
    rig_expect(1, "a", "1");
    rig_expect(2, "a", "1");
    rig_close(0);
    ck_assert(loop_run_until(&rig_loop, other_acts, NULL, RIG_WAIT_MS));
    rig_write_one(rig_nodes[1].role.acting ? 1 : 2, "b=2");
}
END_TEST

static bool is_stopped(void *ctx)
{
    return ((struct rig_member *)ctx)->stopped;
}

START_TEST(a_removed_member_stops_and_quorum_is_guarded)
{
    rig_found();
    rig_join(0, 1);
    rig_join(0, 2);
    rig_write_one(0, "a=1");
    rig_expect(2, "a", "1");
    // With one of three away, removing one of the two left would lose the quorum.
    rig_nodes[2].cut = true;
    struct err err = ERR_INIT;
    ck_assert_int_eq(raft_node_check_removal(rig_nodes[0].node, 101, &err),
                     -ERR_FAILED_PRECONDITION);
    ck_assert_str_eq(err.message, MEMBERS_ERR_QUORUM);
    ck_assert_int_eq(raft_node_check_removal(rig_nodes[0].node, 102, &err), 0);
    rig_nodes[2].cut = false;
    rig_change(0, RAFT_CHANGE_REMOVE, 1);
    ck_assert(loop_run_until(&rig_loop, is_stopped, &rig_nodes[1], RIG_WAIT_MS));
    ck_assert(members_was_removed(raft_node_members(rig_nodes[0].node), 101));
    rig_write_one(0, "b=2");
    rig_expect(2, "b", "2");
}
END_TEST

START_TEST(of_two_the_leader_that_removes_itself_leaves_one_that_works)
{
    rig_found();
    rig_join(0, 1);
    rig_write_one(0, "a=1");
    rig_expect(1, "a", "1");
    rig_change(0, RAFT_CHANGE_REMOVE, 0);
    struct rig_write late;
    ck_assert_int_lt(rig_write_start(0, &late, "late=1"), 0);
    rig_close(0); // at once: it still says farewell
    ck_assert(loop_run_until(&rig_loop, other_acts, NULL, RIG_WAIT_MS));
    rig_write_one(1, "b=2");
    ck_assert_uint_eq(rig_nodes[1].members, 1);
}
END_TEST

START_TEST(a_removed_leader_stops_once_the_others_know)
{
    rig_found();
    rig_join(0, 1);
    rig_join(0, 2);
    rig_write_one(0, "a=1");
    rig_expect(2, "a", "1");
    rig_change(0, RAFT_CHANGE_REMOVE, 0);
    ck_assert(loop_run_until(&rig_loop, is_stopped, &rig_nodes[0], RIG_WAIT_MS));
    ck_assert(loop_run_until(&rig_loop, other_acts, NULL, RIG_WAIT_MS));
    int leader = rig_nodes[1].role.acting ? 1 : 2;
    rig_write_one(leader, "b=2");
    rig_expect(3 - leader, "b", "2");
}
END_TEST

struct barrier_under_test {
    struct raft_barrier barrier;
    bool done, ok;
};

static void on_barrier(struct raft_barrier *barrier, const struct err *err)
{
    struct barrier_under_test *b = CONTAINER_OF(barrier, struct barrier_under_test, barrier);
    b->done = true;
    b->ok = err == NULL;
}

static bool barrier_done(void *ctx)
{
    return ((struct barrier_under_test *)ctx)->done;
}

START_TEST(a_read_is_answered_by_a_leader_that_still_is_one)
{
    rig_found();
    rig_join(0, 1);
    rig_join(0, 2);
    rig_write_one(0, "a=1");
    struct barrier_under_test read = {.barrier.done = on_barrier};
    ck_assert_int_eq(raft_node_read(rig_nodes[0].node, &read.barrier, NULL), 0);
    ck_assert(loop_run_until(&rig_loop, barrier_done, &read, RIG_WAIT_MS));
    ck_assert(read.ok);
    rig_expect(1, "a", "1");
    ck_assert_int_lt(raft_node_read(rig_nodes[1].node, &read.barrier, NULL), 0);
    rig_nodes[0].cut = true;
    read = (struct barrier_under_test){.barrier.done = on_barrier};
    ck_assert_int_eq(raft_node_read(rig_nodes[0].node, &read.barrier, NULL), 0);
    ck_assert(loop_run_until(&rig_loop, barrier_done, &read, RIG_WAIT_MS));
    ck_assert(!read.ok);
}
END_TEST

START_TEST(the_last_one_left_founds_anew_with_what_it_had)
{
    rig_found();
    rig_join(0, 1);
    rig_join(0, 2);
    rig_write_one(0, "a=1");
    rig_expect(1, "a", "1");
    rig_close(0);
    rig_close(2);
    rig_close(1);
    rig_open(1);
    struct err err = ERR_INIT;
    ck_assert_msg(raft_node_force_new(rig_nodes[1].node, "10.0.0.9:2377", &err) == 0, "%s",
                  err.message);
    rig_start(1);
    ck_assert(loop_run_until(&rig_loop, rig_is_acting, &rig_nodes[1], RIG_WAIT_MS));
    rig_expect(1, "a", "1");
    ck_assert_uint_eq(rig_nodes[1].members, 1);
    rig_write_one(1, "b=2");
    ck_assert(members_was_removed(raft_node_members(rig_nodes[1].node), 100));
    ck_assert(members_was_removed(raft_node_members(rig_nodes[1].node), 102));
    ck_assert_str_eq(raft_node_members(rig_nodes[1].node)->list[0].addr, "10.0.0.9:2377");
}
END_TEST

// Goal: a write that was acknowledged just before everything ended, when no later write had carried
// its row to the disk yet, is still there.
START_TEST(founding_anew_keeps_what_was_acknowledged_last)
{
    rig_found();
    rig_join(0, 1);
    for (int i = 0; i < 20; i++) {
        char text[16];
        snprintf(text, sizeof text, "k%d=%d", i, i);
        rig_write_one(0, text);
    }
    rig_close(1);
    rig_close(0);
    rig_open(0);
    struct err err = ERR_INIT;
    ck_assert_msg(raft_node_force_new(rig_nodes[0].node, NULL, &err) == 0, "%s", err.message);
    rig_start(0);
    ck_assert(loop_run_until(&rig_loop, rig_is_acting, &rig_nodes[0], RIG_WAIT_MS));
    rig_expect(0, "k19", "19");
    ck_assert_uint_eq(rig_nodes[0].members, 1);
    rig_write_one(0, "b=2");
}
END_TEST

static bool rotated;
static void on_rotated(void *ctx)
{
    (void)ctx;
    rotated = true;
}
static bool is_rotated(void *ctx)
{
    (void)ctx;
    return rotated;
}

START_TEST(keys_rotate_while_writes_go_on)
{
    rig_found();
    rig_write_many(0, 0, 100);
    struct seal_key key = {{9}};
    ck_assert_int_eq(raft_node_rotate_key(rig_nodes[0].node, &key, on_rotated, NULL, NULL), 0);
    ck_assert_int_lt(raft_node_rotate_key(rig_nodes[0].node, &key, on_rotated, NULL, NULL), 0);
    rig_write_many(0, 100, 20);
    ck_assert(loop_run_until(&rig_loop, is_rotated, NULL, RIG_WAIT_MS));
    rig_write_many(0, 120, 20);
    rig_close(0);
    // Only the new key opens it now.
    struct logdb *db = NULL;
    char dir[4096];
    snprintf(dir, sizeof dir, "%s/0", rig_folder);
    ck_assert_int_eq(logdb_open(dir, &key, NULL, &db, NULL), 0);
    struct raft_boot boot;
    struct err err = ERR_INIT;
    ck_assert_msg(logdb_boot(db, &boot, &err) == 0, "%s", err.message);
    logdb_close(db);
}
END_TEST

Suite *suite_node_io(void);
Suite *suite_node_io(void)
{
    Suite *suite = suite_create("node_io");
    TCase *tcase = tcase_create("node_io");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, rig_setup, rig_teardown);
    tcase_add_test(tcase, a_founded_cluster_commits_and_a_restart_has_it_all);
    tcase_add_test(tcase, a_turn_of_proposals_is_one_commit);
    tcase_add_test(tcase, the_log_is_cut_and_a_restart_replays_only_its_tail);
    tcase_add_test(tcase, members_join_follow_and_catch_up_by_snapshot);
    tcase_add_test(tcase, a_snapshot_that_lacks_a_member_drops_its_connection);
    tcase_add_test(tcase, another_leads_when_the_leader_is_cut_off_and_its_lost_proposals_fail);
    tcase_add_test(tcase, closing_a_leader_hands_over_at_once);
    tcase_add_test(tcase, a_removed_member_stops_and_quorum_is_guarded);
    tcase_add_test(tcase, of_two_the_leader_that_removes_itself_leaves_one_that_works);
    tcase_add_test(tcase, a_removed_leader_stops_once_the_others_know);
    tcase_add_test(tcase, a_read_is_answered_by_a_leader_that_still_is_one);
    tcase_add_test(tcase, the_last_one_left_founds_anew_with_what_it_had);
    tcase_add_test(tcase, founding_anew_keeps_what_was_acknowledged_last);
    tcase_add_test(tcase, keys_rotate_while_writes_go_on);
    suite_add_tcase(suite, tcase);
    return suite;
}
