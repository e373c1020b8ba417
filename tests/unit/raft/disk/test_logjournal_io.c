// The log database with its journal, through crashes: a naive model of the log takes the same
// random changes, and after every crash the database is what the model was before the change that
// was under way, or after it, and always what was acknowledged.
#include <check.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/rand.h"
#include "raft/disk/journal_io.h"
#include "raft/disk/logdb_io.h"
#include "tests/support/support.h"

#define ENTRIES_MAX 4096
#define WRITE_MAX   40

// An entry's body tells its index and the number of the write it came with.
struct model {
    uint64_t start, start_term, last, applied;
    uint64_t terms[ENTRIES_MAX], writes[ENTRIES_MAX];
    struct raft_hard_state hard;
    uint64_t state; // value of the one state row
    uint64_t write;
};

static const char *folder;
static struct logdb *db;
static struct rand chance;
static struct seal_key keys[2] = {{{1}}, {{2}}};
static unsigned key;     // index of the current one
static bool rotating;    // the other one is known as well
static struct model now; // what was acknowledged
static uint8_t image[2][JOURNAL_BYTES];

static const char *path_of(const char *name)
{
    static char paths[4][4096];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int try_open(struct err *err)
{
    return logdb_open(folder, &keys[key], rotating ? &keys[!key] : NULL, &db, err);
}

static void open_db(void)
{
    struct err err = ERR_INIT;
    ck_assert_msg(try_open(&err) == 0, "%s", err.message);
}

static void setup(void)
{
    folder = support_tmpdir();
    key = 0;
    rotating = false;
    now = (struct model){0};
    open_db();
}

static void teardown(void)
{
    logdb_close(db);
    db = NULL;
    support_tmpdir_remove(folder);
}

// ---- files --------------------------------------------------------------------------------------

static void read_journal(uint8_t *bytes)
{
    int fd = open(path_of(JOURNAL_FILE), O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, bytes, JOURNAL_BYTES, 0), JOURNAL_BYTES);
    close(fd);
}

static void write_journal(const uint8_t *bytes)
{
    int fd = open(path_of(JOURNAL_FILE), O_WRONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, bytes, JOURNAL_BYTES, 0), JOURNAL_BYTES);
    close(fd);
}

static void copy_file(const char *from, const char *to)
{
    static char bytes[1 << 16];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    ck_assert_ptr_nonnull(in);
    ck_assert_ptr_nonnull(out);
    for (size_t got; (got = fread(bytes, 1, sizeof bytes, in)) > 0;)
        ck_assert_uint_eq(fwrite(bytes, 1, got, out), got);
    fclose(in);
    fclose(out);
}

static uint64_t journaled(void)
{
    struct logdb_figures figures;
    logdb_figures(db, &figures);
    return figures.journaled;
}

// ---- the database and the model -----------------------------------------------------------------

static void expect_entries(const struct model *model)
{
    struct raft_entry *entries = calloc(ENTRIES_MAX, sizeof *entries);
    struct err err = ERR_INIT;
    for (uint64_t next = model->start + 1; next <= model->last + 3;) {
        size_t count = 0, room = 1 + rand_below(&chance, 100);
        uint64_t most = next > model->last ? next : model->last;
        ck_assert_msg(logdb_load(db, next, most, 1 + rand_below(&chance, 4000), entries, room,
                                 &count, &err) == 0,
                      "%s", err.message);
        if (next > model->last) {
            ck_assert_uint_eq(count, 0);
            break;
        }
        ck_assert_uint_gt(count, 0);
        for (size_t i = 0; i < count; i++, next++) {
            char text[64];
            snprintf(text, sizeof text, "%" PRIu64 "/%" PRIu64, next, model->writes[next]);
            ck_assert_uint_le(next, model->last);
            ck_assert_uint_eq(entries[i].index, next);
            ck_assert_uint_eq(entries[i].term, model->terms[next]);
            ck_assert_uint_ge(entries[i].data->len, strlen(text));
            ck_assert_mem_eq(entries[i].data->bytes, text, strlen(text));
            raft_blob_unref(entries[i].data);
        }
    }
    free(entries);
}

static int on_row(void *ctx, const void *row_key, size_t key_size, const void *value,
                  size_t value_size, struct err *err)
{
    (void)row_key;
    (void)key_size;
    (void)err;
    ck_assert_uint_eq(value_size, sizeof(uint64_t));
    memcpy(ctx, value, value_size);
    return 0;
}

static void expect_all(const struct model *model)
{
    expect_entries(model);
    uint64_t state = 0, applied = 0;
    ck_assert_int_eq(logdb_state_each(db, on_row, &state, &applied, NULL), 0);
    ck_assert_uint_eq(state, model->state);
    ck_assert_uint_eq(applied, model->applied);
    struct raft_boot boot;
    struct err err = ERR_INIT;
    ck_assert_msg(logdb_boot(db, &boot, &err) == 0, "%s", err.message);
    ck_assert_uint_eq(boot.last_index, model->last);
    ck_assert_uint_eq(boot.start.index, model->start);
    ck_assert_uint_eq(boot.start.term, model->start_term);
    ck_assert_uint_eq(boot.hard.term, model->hard.term);
    ck_assert_uint_eq(boot.hard.vote, model->hard.vote);
    ck_assert_uint_eq(boot.hard.commit, model->hard.commit);
    ck_assert_uint_eq(boot.applied, model->applied);
}

static uint64_t term_of(const struct model *model, uint64_t index)
{
    return index == model->start ? model->start_term : model->terms[index];
}

// Makes the write in the model, and its entries.
static size_t make_write(struct model *model, uint64_t first, size_t count, size_t body,
                         struct raft_entry *entries)
{
    model->write++;
    for (size_t i = 0; i < count; i++) {
        uint64_t index = first + i;
        struct raft_blob *blob = raft_blob_new(NULL, (uint32_t)(64 + body));
        snprintf((char *)blob->bytes, 64, "%" PRIu64 "/%" PRIu64, index, model->write);
        model->terms[index] = model->hard.term;
        model->writes[index] = model->write;
        model->last = index;
        entries[i] = (struct raft_entry){.term = model->hard.term, .index = index, .data = blob};
    }
    return count;
}

static void commit(const struct logdb_batch *batch)
{
    struct err err = ERR_INIT;
    ck_assert_msg(logdb_commit(db, batch, &err) == 0, "%s", err.message);
}

// One random change, in `model` and in the database.
static void change(struct model *model)
{
    struct raft_entry entries[WRITE_MAX];
    struct raft_write write = {.number = 1, .entries = entries};
    struct logdb_batch batch = {.write = &write};
    struct raft_snapshot snapshot = {0};
    struct logdb_op op = {
        .key = "state", .key_size = 5, .value = &model->state, .value_size = sizeof model->state};
    uint64_t kind = rand_below(&chance, 100);
    uint64_t first = model->last + 1;
    if (model->hard.term == 0 || kind < 15) {
        model->hard.term++;
        model->hard.vote = rand_below(&chance, 5);
        // What follows what is applied may be overwritten by another leader.
        if (model->last > model->applied && rand_chance(&chance, 1, 2))
            first = model->applied + 1 + rand_below(&chance, model->last - model->applied);
    }
    if (kind < 75) {
        size_t count = rand_chance(&chance, 1, 4) ? WRITE_MAX : 1 + rand_below(&chance, 3);
        size_t body = rand_chance(&chance, 1, 30) ? 20000 : rand_below(&chance, 900);
        write.entries_count = make_write(model, first, count, body, entries);
    }
    model->hard.commit = model->applied;
    if (kind >= 80 && kind < 90) { // state
        model->applied += rand_below(&chance, model->last - model->applied + 1);
        model->hard.commit = model->applied;
        model->state++;
        batch.ops = &op;
        batch.ops_count = 1;
        batch.applied = model->applied;
        if (model->applied > model->start && rand_chance(&chance, 1, 2)) {
            batch.compact_to = model->applied;
            model->start_term = term_of(model, model->applied);
            model->start = model->applied;
        }
    } else if (kind >= 97) { // a snapshot
        snapshot = (struct raft_snapshot){.index = model->last + 5,
                                          .term = model->hard.term,
                                          .conf = {.voters_count = 1, .voters = {1}}};
        model->start = model->last = model->applied = snapshot.index;
        model->start_term = snapshot.term;
        model->hard.commit = snapshot.index;
        model->state++;
        write.snapshot = &snapshot;
        batch.state_replaced = true;
        batch.ops = &op;
        batch.ops_count = 1;
    }
    write.hard = model->hard;
    commit(&batch);
    for (size_t i = 0; i < write.entries_count; i++)
        raft_blob_unref(entries[i].data);
}

static void turn_keys(void)
{
    if (!rotating) {
        rotating = true;
        key = !key;
        logdb_set_keys(db, &keys[key], &keys[!key]);
        return;
    }
    bool done = false;
    struct err err = ERR_INIT;
    ck_assert_msg(logdb_reseal(db, 1 + rand_below(&chance, 100), &done, &err) == 0, "%s",
                  err.message);
    if (!done)
        return;
    rotating = false;
    logdb_set_keys(db, &keys[key], NULL);
}

// The power fails while a record is written: any of its sectors may be there.
static void tear(const struct model *before)
{
    logdb_close(db);
    read_journal(image[1]);
    bool whole = true;
    uint64_t kind = rand_below(&chance, 3);
    bool prefix = kind == 0, broke = false;
    for (size_t at = 0; at < JOURNAL_BYTES; at += JOURNAL_SECTOR_BYTES) {
        if (memcmp(image[0] + at, image[1] + at, JOURNAL_SECTOR_BYTES) == 0)
            continue;
        bool kept = prefix ? !(broke |= rand_chance(&chance, 1, 6))
                           : kind == 1 || rand_chance(&chance, 1, 2);
        whole &= kept;
        if (!kept)
            memcpy(image[1] + at, image[0] + at, JOURNAL_SECTOR_BYTES);
    }
    write_journal(image[1]);
    if (!whole)
        now = *before;
}

static void live(uint64_t seed, int steps)
{
    rand_init(&chance, seed);
    static struct model before;
    for (int step = 0; step < steps && now.last + WRITE_MAX + 5 < ENTRIES_MAX; step++) {
        before = now;
        uint64_t crash = rand_below(&chance, 12), records = journaled();
        bool tables = crash == 2; // the transaction of the change may not have been stored
        if (crash == 1)
            read_journal(image[0]);
        if (tables)
            copy_file(path_of("data.mdb"), path_of("data.before"));
        change(&now);
        bool journal = journaled() != records;
        bool turned = rand_chance(&chance, 1, 10);
        if (turned)
            turn_keys();
        if (rand_chance(&chance, 1, 40))
            ck_assert_int_eq(logdb_settle(db, NULL), 0);
        if (rand_chance(&chance, 1, 5))
            expect_entries(&now);
        // Resealing comes after the change, and was acknowledged, too.
        if (crash == 1 && journal && !turned) {
            tear(&before);
        } else if (tables && !journal && !turned) {
            logdb_close(db);
            copy_file(path_of("data.before"), path_of("data.mdb"));
            now = before;
        } else if (crash == 3) {
            logdb_close(db);
        } else {
            continue;
        }
        open_db();
        if (rand_chance(&chance, 1, 4)) { // again, before anything else
            logdb_close(db);
            open_db();
        }
        expect_all(&now);
    }
    logdb_close(db);
    open_db();
    expect_all(&now);
}

START_TEST(what_was_acknowledged_is_there_after_every_crash)
{
    live(1000 + (uint64_t)_i, 200);
}
END_TEST

// ---- refusals -----------------------------------------------------------------------------------

// Writes entries of one write, alone.
static void append(size_t count)
{
    struct raft_entry entries[WRITE_MAX];
    now.hard.term = now.hard.term ? now.hard.term : 1;
    make_write(&now, now.last + 1, count, 100, entries);
    struct raft_write write = {
        .number = 1, .hard = now.hard, .entries = entries, .entries_count = count};
    commit(&(struct logdb_batch){.write = &write});
    for (size_t i = 0; i < count; i++)
        raft_blob_unref(entries[i].data);
}

static void expect_refused(const char *text)
{
    struct err err = ERR_INIT;
    db = NULL;
    ck_assert_int_eq(try_open(&err), -ERR_DATA_LOSS);
    ck_assert_msg(strstr(err.message, text) != NULL, "%s", err.message);
    db = NULL;
}

START_TEST(a_journal_that_is_damaged_short_or_gone_is_refused)
{
    append(3);
    append(2);
    append(1);
    ck_assert_uint_eq(journaled(), 3);
    logdb_close(db);
    read_journal(image[0]);
    memcpy(image[1], image[0], JOURNAL_BYTES);
    image[1][JOURNAL_PAGE_BYTES + 100] ^= 1;
    write_journal(image[1]);
    expect_refused("log journal is damaged: record 1");
    memcpy(image[1], image[0], JOURNAL_BYTES);
    memset(image[1] + JOURNAL_PAGE_BYTES, 0, JOURNAL_PAGE_BYTES);
    write_journal(image[1]);
    expect_refused("lacks record 1");
    write_journal(image[0]);
    ck_assert_int_eq(truncate(path_of(JOURNAL_FILE), JOURNAL_PAGE_BYTES), 0);
    expect_refused("cut short");
    ck_assert_int_eq(unlink(path_of(JOURNAL_FILE)), 0);
    expect_refused("open log journal");
    // None of it has changed what is stored.
    int fd = open(path_of(JOURNAL_FILE), O_WRONLY | O_CREAT, 0600);
    close(fd);
    write_journal(image[0]);
    rand_init(&chance, 1);
    open_db();
    expect_all(&now);
}
END_TEST

START_TEST(a_database_older_than_its_journal_is_refused)
{
    append(3);
    copy_file(path_of("data.mdb"), path_of("data.before"));
    commit(&(struct logdb_batch){.applied = 3});
    append(2);
    logdb_close(db);
    copy_file(path_of("data.before"), path_of("data.mdb"));
    expect_refused("newer than the database");
}
END_TEST

START_TEST(what_a_removal_that_was_interrupted_leaves_is_a_new_database)
{
    append(3);
    logdb_close(db);
    db = NULL;
    ck_assert_int_eq(unlink(path_of("data.mdb")), 0); // what goes first
    open_db();
    struct raft_boot boot;
    ck_assert_int_eq(logdb_boot(db, &boot, NULL), 0);
    ck_assert_uint_eq(boot.last_index, 0);
    logdb_close(db);
    db = NULL;
    ck_assert_int_eq(logdb_remove(folder, NULL), 0);
    ck_assert_int_eq(access(folder, F_OK), -1);
    ck_assert_int_eq(logdb_remove(folder, NULL), 0);
    open_db();
}
END_TEST

// A database as it was before there were journals: all in tables, and format 1.
static void make_format(uint32_t format)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi facts;
    ck_assert_int_eq(mdb_env_create(&env), 0);
    mdb_env_set_maxdbs(env, 3);
    mdb_env_set_mapsize(env, LOGDB_MAP_BYTES);
    ck_assert_int_eq(mdb_env_open(env, folder, 0, 0600), 0);
    ck_assert_int_eq(mdb_txn_begin(env, NULL, 0, &txn), 0);
    ck_assert_int_eq(mdb_dbi_open(txn, "facts", 0, &facts), 0);
    MDB_val name = {.mv_size = 6, .mv_data = (void *)"format"};
    MDB_val value = {.mv_size = sizeof format, .mv_data = &format};
    ck_assert_int_eq(mdb_put(txn, facts, &name, &value, 0), 0);
    MDB_val journal = {.mv_size = 7, .mv_data = (void *)"journal"};
    if (format == 1)
        ck_assert_int_eq(mdb_del(txn, facts, &journal, NULL), 0);
    ck_assert_int_eq(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

START_TEST(a_database_without_a_journal_gets_one_and_a_newer_format_is_refused)
{
    append(30);
    now.applied = 20;
    commit(&(struct logdb_batch){.applied = 20});
    logdb_close(db);
    make_format(1);
    // What may lie there belongs to something else.
    memset(image[0], 0xa5, JOURNAL_BYTES);
    write_journal(image[0]);
    rand_init(&chance, 1);
    open_db();
    expect_all(&now);
    append(5);
    ck_assert_uint_eq(journaled(), 1);
    logdb_close(db);
    open_db();
    expect_all(&now);
    logdb_close(db);
    make_format(3);
    struct err err = ERR_INIT;
    db = NULL;
    ck_assert_int_eq(try_open(&err), -ERR_FAILED_PRECONDITION);
    ck_assert_ptr_nonnull(strstr(err.message, "format 3"));
    db = NULL;
}
END_TEST

// ---- a disk that fails --------------------------------------------------------------------------

// A descriptor that the database has of the file, from `from` on; -1 when there is none.
static int fd_of(const char *name, int from)
{
    struct stat wanted, stat;
    ck_assert_int_eq(lstat(path_of(name), &wanted), 0);
    for (int fd = from; fd < 256; fd++)
        if (fstat(fd, &stat) == 0 && stat.st_ino == wanted.st_ino && stat.st_dev == wanted.st_dev)
            return fd;
    return -1;
}

static int journal_fd(void)
{
    int fd = fd_of(JOURNAL_FILE, 3);
    ck_assert_int_ge(fd, 0);
    return fd;
}

static int put_in_place(int fd, const char *device)
{
    int copy = dup(fd), other = open(device, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(other, 0);
    ck_assert_int_ge(dup2(other, fd), 0);
    close(other);
    return copy;
}

static int try_append(struct err *err)
{
    struct raft_entry entries[1];
    now.hard.term = now.hard.term ? now.hard.term : 1;
    make_write(&now, now.last + 1, 1, 100, entries);
    struct raft_write write = {
        .number = 1, .hard = now.hard, .entries = entries, .entries_count = 1};
    int result = logdb_commit(db, &(struct logdb_batch){.write = &write}, err);
    raft_blob_unref(entries[0].data);
    if (result)
        now.last--;
    return result;
}

START_TEST(a_full_disk_is_an_error_that_loses_nothing)
{
    rand_init(&chance, 1);
    append(5);
    int fd = journal_fd(), copy = put_in_place(fd, "/dev/full");
    struct err err = ERR_INIT;
    ck_assert_int_eq(try_append(&err), -ERR_RESOURCE_EXHAUSTED);
    ck_assert_ptr_nonnull(strstr(err.message, "disk is full"));
    expect_entries(&now);
    ck_assert_int_ge(dup2(copy, fd), 0);
    close(copy);
    // The same again, and then on: the tables take it, and the journal after that.
    ck_assert_int_eq(try_append(&err), 0);
    ck_assert_uint_eq(journaled(), 1);
    append(4);
    ck_assert_uint_eq(journaled(), 2);
    expect_entries(&now);
    logdb_close(db);
    open_db();
    expect_all(&now);
}
END_TEST

// Whether such a transaction is stored nobody knows, and what the journal says counts only if it is
// not: so nothing may go there until one is.
START_TEST(after_a_transaction_that_failed_the_next_write_is_one)
{
    rand_init(&chance, 1);
    append(5);
    int fds[4], copies[4], count = 0;
    for (int fd = 2; count < 4 && (fd = fd_of("data.mdb", fd + 1)) >= 0; count++)
        fds[count] = fd;
    ck_assert_int_gt(count, 0);
    for (int i = 0; i < count; i++)
        copies[i] = put_in_place(fds[i], "/dev/full");
    struct err err = ERR_INIT;
    struct logdb_batch batch = {.applied = 3};
    ck_assert_int_eq(logdb_commit(db, &batch, &err), -ERR_RESOURCE_EXHAUSTED);
    ck_assert_int_eq(try_append(&err), -ERR_RESOURCE_EXHAUSTED);
    ck_assert_uint_eq(journaled(), 1);
    expect_entries(&now);
    for (int i = 0; i < count; i++) {
        ck_assert_int_ge(dup2(copies[i], fds[i]), 0);
        close(copies[i]);
    }
    append(2);
    ck_assert_uint_eq(journaled(), 1);
    append(2);
    ck_assert_uint_eq(journaled(), 2);
    logdb_close(db);
    open_db();
    expect_all(&now);
}
END_TEST

// The system reports a failed flush once and then takes the pages for clean: asked again, it would
// say that all is well.
START_TEST(after_a_flush_that_failed_nothing_is_written_any_more)
{
    rand_init(&chance, 1);
    append(5);
    int fd = journal_fd(), copy = put_in_place(fd, "/dev/null"); // takes bytes, cannot be synced
    struct err err = ERR_INIT;
    ck_assert_int_eq(try_append(&err), -ERR_DATA_LOSS);
    ck_assert_ptr_nonnull(strstr(err.message, "sync log journal"));
    ck_assert_int_ge(dup2(copy, fd), 0);
    close(copy);
    ck_assert_int_eq(try_append(&err), -ERR_DATA_LOSS);
    bool done;
    ck_assert_int_eq(logdb_commit(db, &(struct logdb_batch){.applied = 3}, &err), -ERR_DATA_LOSS);
    ck_assert_int_eq(logdb_reseal(db, 10, &done, &err), -ERR_DATA_LOSS);
    logdb_close(db);
    open_db();
    expect_all(&now);
}
END_TEST

START_TEST(a_write_too_large_for_the_journal_goes_to_the_tables)
{
    rand_init(&chance, 1);
    append(3);
    struct raft_entry entries[1];
    make_write(&now, now.last + 1, 1, JOURNAL_PAYLOAD_MAX, entries);
    struct raft_write write = {
        .number = 1, .hard = now.hard, .entries = entries, .entries_count = 1};
    commit(&(struct logdb_batch){.write = &write});
    raft_blob_unref(entries[0].data);
    ck_assert_uint_eq(journaled(), 1);
    append(2);
    ck_assert_uint_eq(journaled(), 2);
    logdb_close(db);
    open_db();
    expect_all(&now);
}
END_TEST

START_TEST(a_full_journal_goes_to_the_tables_and_begins_anew)
{
    rand_init(&chance, 1);
    for (size_t i = 0; i < JOURNAL_BYTES / JOURNAL_PAGE_BYTES + 20; i++)
        append(1);
    struct logdb_figures figures;
    logdb_figures(db, &figures);
    ck_assert_uint_eq(figures.journaled, JOURNAL_BYTES / JOURNAL_PAGE_BYTES + 19);
    expect_entries(&now);
    logdb_close(db);
    open_db();
    expect_all(&now);
}
END_TEST

START_TEST(nothing_readable_is_in_the_journal)
{
    struct raft_entry entry = {
        .term = 1, .index = 1, .data = raft_blob_new("TOP-SECRET-VALUE", 16)};
    struct raft_write write = {
        .number = 1, .hard = {.term = 1}, .entries = &entry, .entries_count = 1};
    commit(&(struct logdb_batch){.write = &write});
    raft_blob_unref(entry.data);
    ck_assert_uint_eq(journaled(), 1);
    read_journal(image[0]);
    ck_assert_ptr_null(memmem(image[0], JOURNAL_BYTES, "TOP-SECRET", 10));
    struct stat stat;
    ck_assert_int_eq(lstat(path_of(JOURNAL_FILE), &stat), 0);
    ck_assert_uint_eq(stat.st_mode & 0777, 0600);
}
END_TEST

// ---- reads beside commits -----------------------------------------------------------------------

static uint64_t acknowledged, stop_reading;

static void *read_on(void *unused)
{
    (void)unused;
    struct raft_entry entries[50];
    uint64_t next = 0;
    while (!__atomic_load_n(&stop_reading, __ATOMIC_ACQUIRE)) {
        uint64_t last = __atomic_load_n(&acknowledged, __ATOMIC_ACQUIRE);
        uint64_t first = last > 20 ? last - 20 + next++ % 5 : 1;
        size_t count = 0;
        struct err err = ERR_INIT;
        if (last == 0)
            continue;
        ck_assert_msg(logdb_load(db, first, last, 1 << 20, entries, 50, &count, &err) == 0, "%s",
                      err.message);
        ck_assert_uint_eq(count, last - first + 1);
        for (size_t i = 0; i < count; i++) {
            ck_assert_uint_eq(entries[i].index, first + i);
            raft_blob_unref(entries[i].data);
        }
    }
    return NULL;
}

START_TEST(reads_beside_commits_find_every_entry)
{
    acknowledged = stop_reading = 0;
    pthread_t reader;
    ck_assert_int_eq(pthread_create(&reader, NULL, read_on, NULL), 0);
    for (int i = 0; i < 400; i++) {
        append(1 + (size_t)i % 3);
        __atomic_store_n(&acknowledged, now.last, __ATOMIC_RELEASE);
        if (i % 7 == 0)
            commit(&(struct logdb_batch){.applied = now.last});
    }
    __atomic_store_n(&stop_reading, 1, __ATOMIC_RELEASE);
    pthread_join(reader, NULL);
}
END_TEST

Suite *suite_logjournal_io(void);
Suite *suite_logjournal_io(void)
{
    Suite *suite = suite_create("logjournal_io");
    TCase *tcase = tcase_create("logjournal_io");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, what_was_acknowledged_is_there_after_every_crash, 0, 6);
    tcase_add_test(tcase, a_journal_that_is_damaged_short_or_gone_is_refused);
    tcase_add_test(tcase, a_database_older_than_its_journal_is_refused);
    tcase_add_test(tcase, a_database_without_a_journal_gets_one_and_a_newer_format_is_refused);
    tcase_add_test(tcase, what_a_removal_that_was_interrupted_leaves_is_a_new_database);
    tcase_add_test(tcase, a_full_disk_is_an_error_that_loses_nothing);
    tcase_add_test(tcase, after_a_transaction_that_failed_the_next_write_is_one);
    tcase_add_test(tcase, after_a_flush_that_failed_nothing_is_written_any_more);
    tcase_add_test(tcase, a_write_too_large_for_the_journal_goes_to_the_tables);
    tcase_add_test(tcase, a_full_journal_goes_to_the_tables_and_begins_anew);
    tcase_add_test(tcase, nothing_readable_is_in_the_journal);
    tcase_add_test(tcase, reads_beside_commits_find_every_entry);
    suite_add_tcase(suite, tcase);
    return suite;
}
