// The log database keeps what it acknowledged across restarts, refuses what is damaged by name, and
// changes keys while it runs.
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "raft/disk/logdb_io.h"
#include "tests/support/support.h"

static const char *folder;
static struct logdb *db;
static struct seal_key key_one = {{1}}, key_two = {{2}};

static void open_db(const struct seal_key *current, const struct seal_key *previous)
{
    struct err err = ERR_INIT;
    ck_assert_msg(logdb_open(folder, current, previous, &db, &err) == 0, "%s", err.message);
}

static void reopen(void)
{
    logdb_close(db);
    open_db(&key_one, NULL);
}

static void setup(void)
{
    folder = support_tmpdir();
    open_db(&key_one, NULL);
}

static void teardown(void)
{
    logdb_close(db);
    db = NULL;
    support_tmpdir_remove(folder);
}

static void commit(const struct logdb_batch *batch)
{
    struct err err = ERR_INIT;
    ck_assert_msg(logdb_commit(db, batch, &err) == 0, "%s", err.message);
}

// Writes entries first..last of `term`, each with its index as text.
static void append(uint64_t first, uint64_t last, uint64_t term)
{
    struct raft_entry entries[64] = {0};
    size_t count = (size_t)(last - first + 1);
    ck_assert_uint_le(count, 64);
    for (size_t i = 0; i < count; i++) {
        char text[24];
        int length = snprintf(text, sizeof text, "%llu", (unsigned long long)(first + i));
        entries[i] = (struct raft_entry){
            .term = term, .index = first + i, .data = raft_blob_new(text, (size_t)length)};
    }
    struct raft_write write = {.number = 1,
                               .hard = {.term = term, .vote = 9, .commit = first},
                               .entries = entries,
                               .entries_count = count};
    commit(&(struct logdb_batch){.write = &write});
    for (size_t i = 0; i < count; i++)
        raft_blob_unref(entries[i].data);
}

static struct raft_boot boot(void)
{
    struct raft_boot boot;
    struct err err = ERR_INIT;
    ck_assert_msg(logdb_boot(db, &boot, &err) == 0, "%s", err.message);
    return boot;
}

START_TEST(an_empty_database_boots_as_nothing)
{
    struct raft_boot facts = boot();
    ck_assert_uint_eq(facts.last_index, 0);
    ck_assert_uint_eq(facts.hard.term, 0);
    ck_assert_uint_eq(facts.runs_count, 0);
}
END_TEST

START_TEST(entries_and_hard_state_survive_a_restart)
{
    append(1, 10, 1);
    append(11, 20, 3);
    append(21, 21, 8);
    reopen();
    struct raft_boot facts = boot();
    ck_assert_uint_eq(facts.last_index, 21);
    ck_assert_uint_eq(facts.hard.term, 8);
    ck_assert_uint_eq(facts.hard.vote, 9);
    ck_assert_uint_eq(facts.runs_count, 3);
    ck_assert_uint_eq(facts.runs[1].index, 11);
    ck_assert_uint_eq(facts.runs[1].term, 3);
    ck_assert_uint_eq(facts.runs[2].index, 21);
}
END_TEST

START_TEST(new_entries_replace_those_they_conflict_with)
{
    append(1, 10, 1);
    append(5, 6, 2);
    struct raft_boot facts = boot();
    ck_assert_uint_eq(facts.last_index, 6);
    ck_assert_uint_eq(facts.runs_count, 2);
    ck_assert_uint_eq(facts.runs[1].index, 5);
}
END_TEST

START_TEST(loads_stop_at_their_bounds)
{
    append(1, 20, 1);
    struct raft_entry entries[20];
    size_t count = 0;
    ck_assert_int_eq(logdb_load(db, 3, 7, 1 << 20, entries, 20, &count, NULL), 0);
    ck_assert_uint_eq(count, 5);
    ck_assert_mem_eq(entries[4].data->bytes, "7", 1);
    for (size_t i = 0; i < count; i++)
        raft_blob_unref(entries[i].data);
    // One entry at least, however small the limit.
    ck_assert_int_eq(logdb_load(db, 3, 7, 1, entries, 20, &count, NULL), 0);
    ck_assert_uint_eq(count, 1);
    raft_blob_unref(entries[0].data);
    ck_assert_int_eq(logdb_load(db, 30, 40, 1 << 20, entries, 20, &count, NULL), 0);
    ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(compaction_moves_the_start_and_keeps_its_term)
{
    append(1, 10, 1);
    append(11, 20, 2);
    commit(&(struct logdb_batch){.applied = 15, .compact_to = 12});
    reopen();
    struct raft_boot facts = boot();
    ck_assert_uint_eq(facts.start.index, 12);
    ck_assert_uint_eq(facts.start.term, 2);
    ck_assert_uint_eq(facts.applied, 15);
    ck_assert_uint_eq(facts.last_index, 20);
    ck_assert_uint_eq(facts.runs[0].index, 13);
    commit(&(struct logdb_batch){.compact_to = 20});
    facts = boot();
    ck_assert_uint_eq(facts.last_index, 20);
    ck_assert_uint_eq(facts.runs_count, 0);
}
END_TEST

static int count_rows(void *ctx, const void *key, size_t key_size, const void *value,
                      size_t value_size, struct err *err)
{
    (void)key;
    (void)key_size;
    (void)value;
    (void)value_size;
    (void)err;
    ++*(int *)ctx;
    return 0;
}

START_TEST(state_is_put_removed_and_replaced_with_its_index)
{
    struct logdb_op ops[] = {
        {.key = "a", .key_size = 1, .value = "1", .value_size = 1},
        {.key = "b", .key_size = 1, .value = "2", .value_size = 1},
        {.key = "gone", .key_size = 4, .remove = true},
    };
    commit(&(struct logdb_batch){.ops = ops, .ops_count = 3, .applied = 5});
    struct logdb_op removal = {.key = "a", .key_size = 1, .remove = true};
    commit(&(struct logdb_batch){.ops = &removal, .ops_count = 1, .applied = 6});
    int rows = 0;
    uint64_t applied = 0;
    ck_assert_int_eq(logdb_state_each(db, count_rows, &rows, &applied, NULL), 0);
    ck_assert_int_eq(rows, 1);
    ck_assert_uint_eq(applied, 6);
    commit(&(struct logdb_batch){.state_replaced = true, .ops = ops, .ops_count = 2});
    rows = 0;
    ck_assert_int_eq(logdb_state_each(db, count_rows, &rows, NULL, NULL), 0);
    ck_assert_int_eq(rows, 2);
}
END_TEST

#define MANY_ROWS 3000

START_TEST(what_a_large_commit_left_behind_goes_and_all_that_is_stored_stays)
{
    static char values[MANY_ROWS][16];
    static char value[512];
    static struct logdb_op ops[MANY_ROWS];
    append(1, 10, 1);
    ck_assert(!logdb_swollen(db));
    for (size_t i = 0; i < MANY_ROWS; i++) {
        int length = snprintf(values[i], sizeof values[i], "row%zu", i);
        ops[i] = (struct logdb_op){.key = values[i],
                                   .key_size = (size_t)length,
                                   .value = value,
                                   .value_size = sizeof value};
    }
    commit(&(struct logdb_batch){.ops = ops, .ops_count = MANY_ROWS, .applied = 10});
    ck_assert(logdb_swollen(db));
    for (int round = 0; round < 3; round++) {
        struct err err = ERR_INIT;
        ck_assert_msg(logdb_settle(db, &err) == 0, "%s", err.message);
        ck_assert(!logdb_swollen(db));
        int rows = 0;
        uint64_t applied = 0;
        ck_assert_int_eq(logdb_state_each(db, count_rows, &rows, &applied, NULL), 0);
        ck_assert_int_eq(rows, MANY_ROWS);
        ck_assert_uint_eq(applied, 10);
        append(11 + (uint64_t)round, 11 + (uint64_t)round, 1);
        ck_assert_uint_eq(boot().last_index, 11 + (uint64_t)round);
    }
    struct logdb_figures figures;
    logdb_figures(db, &figures);
    ck_assert_uint_eq(figures.settles, 3);
    // Removals touch pages, too.
    for (size_t i = 0; i < MANY_ROWS; i++)
        ops[i].remove = true;
    commit(&(struct logdb_batch){.ops = ops, .ops_count = MANY_ROWS, .applied = 11});
    ck_assert(logdb_swollen(db));
}
END_TEST

START_TEST(a_snapshot_replaces_log_and_state)
{
    append(1, 10, 1);
    struct raft_snapshot snapshot = {
        .index = 100, .term = 4, .conf = {.voters_count = 2, .voters = {1, 2}}};
    struct raft_write write = {.number = 2, .hard = {.term = 4}, .snapshot = &snapshot};
    struct logdb_op op = {.key = "k", .key_size = 1, .value = "v", .value_size = 1};
    commit(
        &(struct logdb_batch){.write = &write, .state_replaced = true, .ops = &op, .ops_count = 1});
    reopen();
    struct raft_boot facts = boot();
    ck_assert_uint_eq(facts.start.index, 100);
    ck_assert_uint_eq(facts.last_index, 100);
    ck_assert_uint_eq(facts.applied, 100);
    ck_assert_uint_eq(facts.conf.voters_count, 2);
    append(101, 103, 5);
    ck_assert_uint_eq(boot().last_index, 103);
}
END_TEST

START_TEST(another_data_key_opens_nothing_and_says_so)
{
    append(1, 3, 1);
    logdb_close(db);
    open_db(&key_two, NULL);
    struct raft_boot facts;
    struct err err = ERR_INIT;
    ck_assert_int_eq(logdb_boot(db, &facts, &err), -ERR_DATA_LOSS);
    ck_assert_ptr_nonnull(strstr(err.message, "another data key"));
}
END_TEST

START_TEST(keys_rotate_in_steps_while_writes_go_on)
{
    append(1, 50, 1);
    struct logdb_op op = {.key = "k", .key_size = 1, .value = "v", .value_size = 1};
    commit(&(struct logdb_batch){.ops = &op, .ops_count = 1, .applied = 50});
    logdb_set_keys(db, &key_two, &key_one);
    bool done = false;
    uint64_t next = 51;
    for (int step = 0; !done; step++) {
        ck_assert_int_lt(step, 100);
        ck_assert_int_eq(logdb_reseal(db, 7, &done, NULL), 0);
        append(next, next, 1);
        next++;
    }
    logdb_close(db);
    open_db(&key_two, NULL); // the old key is forgotten
    ck_assert_uint_eq(boot().last_index, next - 1);
    struct raft_entry entries[64];
    size_t count = 0;
    struct err err = ERR_INIT;
    ck_assert_msg(logdb_load(db, 1, next - 1, 1 << 20, entries, 64, &count, &err) == 0, "%s",
                  err.message);
    ck_assert_uint_ge(count, 50);
    for (size_t i = 0; i < count; i++)
        raft_blob_unref(entries[i].data);
    int rows = 0;
    ck_assert_int_eq(logdb_state_each(db, count_rows, &rows, NULL, NULL), 0);
    ck_assert_int_eq(rows, 1);
}
END_TEST

START_TEST(rows_on_pages_of_their_own_keep_their_keys_through_a_rotation)
{
    static char large[9000];
    char keys[60][16];
    struct logdb_op ops[60];
    for (int i = 0; i < 60; i++) {
        snprintf(keys[i], sizeof keys[i], "row/%02d", i);
        ops[i] = (struct logdb_op){.key = keys[i],
                                   .key_size = strlen(keys[i]),
                                   .value = large,
                                   .value_size = i % 3 ? 10 + (size_t)i : sizeof large};
    }
    commit(&(struct logdb_batch){.ops = ops, .ops_count = 60, .applied = 1});
    logdb_set_keys(db, &key_two, &key_one);
    bool done = false;
    for (int step = 0; !done; step++) {
        ck_assert_int_lt(step, 100);
        ck_assert_int_eq(logdb_reseal(db, 50, &done, NULL), 0);
    }
    logdb_close(db);
    open_db(&key_two, NULL);
    boot();
    int rows = 0;
    struct err err = ERR_INIT;
    ck_assert_msg(logdb_state_each(db, count_rows, &rows, NULL, &err) == 0, "%s", err.message);
    ck_assert_int_eq(rows, 60);
}
END_TEST

START_TEST(nothing_readable_is_in_the_file)
{
    struct logdb_op op = {.key = "k", .key_size = 1, .value = "TOP-SECRET-VALUE", .value_size = 16};
    commit(&(struct logdb_batch){.ops = &op, .ops_count = 1, .applied = 1});
    char path[4096];
    snprintf(path, sizeof path, "%s/data.mdb", folder);
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    static char bytes[1 << 20];
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    ck_assert_uint_gt(size, 0);
    ck_assert_ptr_null(memmem(bytes, size, "TOP-SECRET", 10));
}
END_TEST

// Flips one bit of every byte in the pages that hold the given entry's sealed body.
START_TEST(a_damaged_entry_is_named_and_not_replayed)
{
    append(1, 5, 1);
    boot(); // into the tables
    logdb_close(db);
    db = NULL;
    char path[4096];
    snprintf(path, sizeof path, "%s/data.mdb", folder);
    int fd = open(path, O_RDWR);
    ck_assert_int_ge(fd, 0);
    // Row heads are in clear: term 1, type 0, then the key id. Damage what follows each of them.
    static unsigned char bytes[1 << 20];
    ssize_t size = pread(fd, bytes, sizeof bytes, 0);
    int damaged = 0;
    for (ssize_t i = 0; i + 64 < size; i++) {
        if (memcmp(bytes + i, "\1\0\0\0\0\0\0\0\0", 9) == 0) {
            unsigned char changed = bytes[i + 30] ^ 0xff;
            ck_assert_int_eq(pwrite(fd, &changed, 1, i + 30), 1);
            damaged++;
        }
    }
    close(fd);
    ck_assert_int_gt(damaged, 0);
    struct err err = ERR_INIT;
    int result = logdb_open(folder, &key_one, NULL, &db, &err);
    struct raft_boot facts;
    if (!result)
        result = logdb_boot(db, &facts, &err);
    ck_assert_int_lt(result, 0);
    ck_assert_int_eq(err.code, ERR_DATA_LOSS);
}
END_TEST

Suite *suite_logdb_io(void);
Suite *suite_logdb_io(void)
{
    Suite *suite = suite_create("logdb_io");
    TCase *tcase = tcase_create("logdb_io");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, an_empty_database_boots_as_nothing);
    tcase_add_test(tcase, entries_and_hard_state_survive_a_restart);
    tcase_add_test(tcase, new_entries_replace_those_they_conflict_with);
    tcase_add_test(tcase, loads_stop_at_their_bounds);
    tcase_add_test(tcase, compaction_moves_the_start_and_keeps_its_term);
    tcase_add_test(tcase, state_is_put_removed_and_replaced_with_its_index);
    tcase_add_test(tcase, what_a_large_commit_left_behind_goes_and_all_that_is_stored_stays);
    tcase_add_test(tcase, a_snapshot_replaces_log_and_state);
    tcase_add_test(tcase, another_data_key_opens_nothing_and_says_so);
    tcase_add_test(tcase, keys_rotate_in_steps_while_writes_go_on);
    tcase_add_test(tcase, rows_on_pages_of_their_own_keep_their_keys_through_a_rotation);
    tcase_add_test(tcase, nothing_readable_is_in_the_file);
    tcase_add_test(tcase, a_damaged_entry_is_named_and_not_replayed);
    suite_add_tcase(suite, tcase);
    return suite;
}
