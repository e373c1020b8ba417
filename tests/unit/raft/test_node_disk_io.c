// Disks that are full or break under a member at work: nothing is acknowledged that is not stored.
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "raft/disk/logdb_io.h"
#include "tests/unit/raft/rig.h"

#define FILES_MAX 8
// A member that waits for room has tried again within it.
#define TRIES_MS (RAFT_NODE_DISK_RETRY_MS * 3 / 2)

// The descriptors a member's database and its journal have open, each with a copy to give back.
struct disk {
    int fds[FILES_MAX], copies[FILES_MAX];
    size_t count;
};

static void find_files(int number, struct disk *disk)
{
    char wanted[4096], journal[4096], link[64], path[4096];
    snprintf(wanted, sizeof wanted, "%s/%d/data.mdb", rig_folder, number);
    snprintf(journal, sizeof journal, "%s/%d/journal", rig_folder, number);
    disk->count = 0;
    DIR *open_files = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(open_files);
    for (struct dirent *entry; (entry = readdir(open_files));) {
        snprintf(link, sizeof link, "/proc/self/fd/%.16s", entry->d_name);
        ssize_t length = readlink(link, path, sizeof path - 1);
        if (length <= 0)
            continue;
        path[length] = '\0';
        bool ours = str_equal(path, wanted) || str_equal(path, journal);
        if (ours && disk->count < FILES_MAX)
            disk->fds[disk->count++] = atoi(entry->d_name);
    }
    closedir(open_files);
    ck_assert_uint_gt(disk->count, 1);
}

// From here on what the database writes goes to `fd` instead.
static void put_in_place(struct disk *disk, int fd)
{
    ck_assert_int_ge(fd, 0);
    for (size_t i = 0; i < disk->count; i++) {
        disk->copies[i] = dup(disk->fds[i]);
        ck_assert_int_ge(disk->copies[i], 0);
        ck_assert_int_ge(dup2(fd, disk->fds[i]), 0);
    }
    close(fd);
}

static void give_back(struct disk *disk)
{
    for (size_t i = 0; i < disk->count; i++) {
        ck_assert_int_ge(dup2(disk->copies[i], disk->fds[i]), 0);
        close(disk->copies[i]);
    }
}

static void fill_up(int number, struct disk *disk)
{
    find_files(number, disk);
    put_in_place(disk, open("/dev/full", O_RDWR | O_CLOEXEC));
}

static void break_down(int number, struct disk *disk)
{
    int ends[2];
    find_files(number, disk);
    ck_assert_int_eq(pipe(ends), 0);
    close(ends[0]);
    put_in_place(disk, ends[1]); // neither written at a place nor synced
}

// ---- a full disk --------------------------------------------------------------------------------

START_TEST(a_member_alone_waits_for_room_and_acknowledges_nothing_meanwhile)
{
    rig_found();
    rig_write_one(0, "a=1");
    struct disk disk;
    fill_up(0, &disk);
    struct rig_write first, second;
    ck_assert_int_eq(rig_write_start(0, &first, "b=2"), 0);
    ck_assert_int_eq(rig_write_start(0, &second, "c=3"), 0);
    ck_assert(!loop_run_until(&rig_loop, rig_write_done, &first, TRIES_MS));
    ck_assert(!second.done);
    ck_assert(!rig_nodes[0].stopped);
    give_back(&disk);
    ck_assert(loop_run_until(&rig_loop, rig_write_done, &second, RIG_WAIT_MS));
    ck_assert(first.ok && second.ok);
    rig_close(0);
    rig_open(0);
    rig_start(0);
    rig_expect(0, "b", "2");
    rig_expect(0, "c", "3");
}
END_TEST

static bool other_acts(void *ctx)
{
    (void)ctx;
    return rig_nodes[1].role.acting || rig_nodes[2].role.acting;
}

START_TEST(a_leader_without_room_hands_over_and_comes_back)
{
    rig_found();
    rig_join(0, 1);
    rig_join(0, 2);
    rig_write_one(0, "a=1");
    rig_expect(1, "a", "1");
    rig_expect(2, "a", "1");
    struct disk disk;
    fill_up(0, &disk);
    struct rig_write write;
    ck_assert_int_eq(rig_write_start(0, &write, "b=2"), 0);
    ck_assert(loop_run_until(&rig_loop, other_acts, NULL, RIG_WAIT_MS));
    int leader = rig_nodes[1].role.acting ? 1 : 2;
    rig_write_one(leader, "c=3");
    ck_assert(!map_has_str(&rig_nodes[0].store, "c")); // what is not stored is not applied
    ck_assert(!rig_nodes[0].stopped);
    give_back(&disk);
    rig_expect(0, "c", "3");
}
END_TEST

// Of two, one cannot store: neither its vote nor its word that it has an entry may count.
START_TEST(a_follower_without_room_acknowledges_nothing)
{
    rig_found();
    rig_join(0, 1);
    rig_write_one(0, "a=1");
    rig_expect(1, "a", "1");
    struct disk disk;
    fill_up(1, &disk);
    struct rig_write write;
    ck_assert_int_eq(rig_write_start(0, &write, "b=2"), 0);
    ck_assert(!loop_run_until(&rig_loop, rig_write_done, &write, TRIES_MS));
    ck_assert(!map_has_str(&rig_nodes[0].store, "b"));
    give_back(&disk);
    rig_expect(1, "b", "2");
    ck_assert(loop_run_until(&rig_loop, rig_write_done, &write, RIG_WAIT_MS));
    ck_assert(write.ok);
}
END_TEST

// ---- a broken disk ------------------------------------------------------------------------------

static bool has_stopped(void *ctx)
{
    return ((struct rig_member *)ctx)->stopped;
}

START_TEST(a_member_whose_disk_breaks_stops_and_what_it_was_asked_fails)
{
    rig_found();
    rig_join(0, 1);
    rig_join(0, 2);
    rig_write_one(0, "a=1");
    rig_expect(1, "a", "1");
    rig_expect(2, "a", "1");
    struct disk disk;
    break_down(0, &disk);
    struct rig_write write;
    ck_assert_int_eq(rig_write_start(0, &write, "b=2"), 0);
    ck_assert(loop_run_until(&rig_loop, has_stopped, &rig_nodes[0], RIG_WAIT_MS));
    ck_assert(write.done);
    ck_assert(!write.ok);
    ck_assert_int_lt(rig_write_start(0, &write, "c=3"), 0);
    ck_assert(loop_run_until(&rig_loop, other_acts, NULL, RIG_WAIT_MS));
    rig_write_one(rig_nodes[1].role.acting ? 1 : 2, "d=4");
    give_back(&disk);
}
END_TEST

// ---- after large commits ------------------------------------------------------------------------

static bool has_settled(void *ctx)
{
    struct logdb_figures figures;
    raft_node_disk_figures(rig_nodes[*(int *)ctx].node, &figures);
    return figures.settles > 0;
}

START_TEST(a_quiet_member_gives_back_what_a_large_commit_took_and_goes_on)
{
    rig_found();
    rig_join(0, 1);
    char *text = mem_alloc(2 << 20);
    memset(text, 'x', 2 << 20);
    memcpy(text, "large=", 6);
    text[(1 << 20) + 1] = '\0';
    rig_write_one(0, text);
    free(text);
    rig_write_one(0, "a=1");
    for (int number = 0; number < 2; number++) {
        ck_assert(loop_run_until(&rig_loop, has_settled, &number, RIG_WAIT_MS));
        rig_expect(number, "a", "1");
    }
    rig_write_one(0, "b=2");
    rig_expect(1, "b", "2");
    rig_close(1); // at once: nothing of it may be under way
    rig_open(1);
    rig_start(1);
    rig_expect(1, "b", "2");
    rig_write_one(0, "c=3");
    rig_expect(1, "c", "3");
}
END_TEST

Suite *suite_node_disk_io(void);
Suite *suite_node_disk_io(void)
{
    Suite *suite = suite_create("node_disk_io");
    TCase *tcase = tcase_create("node_disk_io");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, rig_setup, rig_teardown);
    tcase_add_test(tcase, a_member_alone_waits_for_room_and_acknowledges_nothing_meanwhile);
    tcase_add_test(tcase, a_leader_without_room_hands_over_and_comes_back);
    tcase_add_test(tcase, a_follower_without_room_acknowledges_nothing);
    tcase_add_test(tcase, a_member_whose_disk_breaks_stops_and_what_it_was_asked_fails);
    tcase_add_test(tcase, a_quiet_member_gives_back_what_a_large_commit_took_and_goes_on);
    suite_add_tcase(suite, tcase);
    return suite;
}
