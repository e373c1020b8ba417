#include "raft/disk/logdb_io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/entropy_io.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "raft/disk/logdb_private_io.h"

#define DATA_FILE        "data.mdb"
#define READERS_MAX      8
#define ROW_SCRATCH_MAX  ((size_t)8 << 20)
#define EXTEND_LEAD_PART 8 // extend when less than 1/8 of a step is left

// So many bytes of rows are written between two times that mapped pages are let go.
#define LET_GO_BYTES ((size_t)1 << 20)

// A commit that touched so much left as much behind in LMDB.
#define SWOLLEN_BYTES ((size_t)1 << 20)

// What LMDB takes at least for one of its large arrays, and how many such holes a heap may have.
#define HOLE_BYTES ((size_t)1 << 20)
#define HOLES_MAX  64

// ---- errors ------------------------------------------------------------------------------------

int logdb_fail(int code, struct err *err, const char *what)
{
    switch (code) {
    case ENOSPC:
    case EDQUOT:
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "%s: the disk is full", what);
    case MDB_MAP_FULL:
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "%s: the log database is full", what);
    case MDB_VERSION_MISMATCH:
        return err_set(err, ERR_FAILED_PRECONDITION, "%s: %s", what, mdb_strerror(code));
    case EACCES:
    case ENOENT:
        return err_set_errno(err, code, "%s", what);
    default:
        return err_set(err, ERR_DATA_LOSS, "%s: %s", what, mdb_strerror(code));
    }
}

uint64_t logdb_term_at(struct logdb *db, MDB_txn *txn, uint64_t index)
{
    MDB_val key = key_of_index(&index), row;
    if (mdb_get(txn, db->log, &key, &row))
        return 0;
    return row_entry_term(row.mv_data, row.mv_size);
}

// ---- opening -----------------------------------------------------------------------------------

void logdb_set_keys(struct logdb *db, const struct seal_key *current,
                    const struct seal_key *previous)
{
    seal_free(db->write_seal);
    seal_free(db->read_seal);
    db->write_seal = seal_new(current, previous, entropy_bytes);
    db->read_seal = seal_new(current, previous, entropy_bytes);
    db->reseal_table = 0;
    buf_clear(&db->reseal_key);
}

static int open_tables(struct logdb *db, struct err *err)
{
    MDB_txn *txn;
    int result = mdb_txn_begin(db->env, NULL, 0, &txn);
    if (result)
        return logdb_fail(result, err, "open log database");
    result = mdb_dbi_open(txn, "log", MDB_CREATE | MDB_INTEGERKEY, &db->log);
    if (!result)
        result = mdb_dbi_open(txn, "facts", MDB_CREATE, &db->facts);
    if (!result)
        result = mdb_dbi_open(txn, "state", MDB_CREATE, &db->state);
    // The format is written in clear: it must be readable before any key is tried.
    MDB_val key = key_of_name(LOGDB_FORMAT), value;
    if (!result)
        result = mdb_get(txn, db->facts, &key, &value);
    db->format = 0;
    bool damaged = !result && value.mv_size != sizeof db->format;
    if (!result && !damaged)
        memcpy(&db->format, value.mv_data, sizeof db->format);
    if (result && result != MDB_NOTFOUND) {
        mdb_txn_abort(txn);
        return logdb_fail(result, err, "open log database");
    }
    result = mdb_txn_commit(txn);
    if (result)
        return logdb_fail(result, err, "open log database");
    if (damaged)
        return err_set(err, ERR_DATA_LOSS, "log record '%s' is damaged", LOGDB_FORMAT);
    if (db->format > LOGDB_FORMAT_VERSION)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "log database has format %" PRIu32 ", this program knows format %u",
                       db->format, LOGDB_FORMAT_VERSION);
    return 0;
}

// Bytes of the file that hold pages in use.
static size_t used_bytes(struct logdb *db)
{
    MDB_envinfo info;
    mdb_env_info(db->env, &info);
    return (info.me_last_pgno + 1) * db->page_bytes;
}

// LMDB does not tell where it mapped the file. But a small value that it gives out lies in a page,
// and a page begins with its own number, eight bytes.
static void find_map(struct logdb *db)
{
    MDB_txn *txn;
    MDB_val key = key_of_name(LOGDB_FORMAT), value;
    if (mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn))
        return;
    if (!mdb_get(txn, db->facts, &key, &value)) {
        uint8_t *page = (uint8_t *)value.mv_data - (uintptr_t)value.mv_data % db->page_bytes;
        uint64_t number;
        memcpy(&number, page, sizeof number);
        if (number < used_bytes(db) / db->page_bytes)
            db->map = page - number * db->page_bytes;
    }
    mdb_txn_abort(txn);
}

void logdb_let_go(struct logdb *db)
{
    db->touched_bytes = 0;
    // A failure only means that the pages stay.
    if (db->map)
        (void)madvise(db->map, used_bytes(db), MADV_DONTNEED);
}

// Extends the file ahead of its use. A disk too full for it is no error: the commit itself will
// tell.
static void extend_file(struct logdb *db)
{
    size_t used = used_bytes(db);
    if (used + LOGDB_EXTEND_BYTES / EXTEND_LEAD_PART <= db->file_bytes)
        return;
    static const uint8_t zeros[65536];
    size_t from = used > db->file_bytes ? used : db->file_bytes;
    size_t to = from + LOGDB_EXTEND_BYTES;
    int fd = open(db->path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    bool ok = true;
    for (size_t at = from; ok && at < to; at += sizeof zeros)
        ok = pwrite(fd, zeros, sizeof zeros, (off_t)at) == (ssize_t)sizeof zeros;
    if (ok && fdatasync(fd) == 0)
        __atomic_store_n(&db->file_bytes, to, __ATOMIC_RELAXED);
    else if (ftruncate(fd, (off_t)from) != 0) // give back what a full disk needs elsewhere
        __atomic_store_n(&db->file_bytes, from, __ATOMIC_RELAXED);
    close(fd);
}

static int open_env(struct logdb *db, struct err *err)
{
    int result = mdb_env_create(&db->env);
    CHECK(result == 0);
    mdb_env_set_maxdbs(db->env, 3);
    mdb_env_set_maxreaders(db->env, READERS_MAX);
    result = mdb_env_set_mapsize(db->env, LOGDB_MAP_BYTES);
    CHECK(result == 0);
    result = mdb_env_open(db->env, db->dir, MDB_NOTLS | MDB_NORDAHEAD, 0600);
    result = result ? logdb_fail(result, err, db->dir) : open_tables(db, err);
    if (result)
        return result;
    MDB_stat stat;
    mdb_env_stat(db->env, &stat);
    db->page_bytes = stat.ms_psize;
    return 0;
}

int logdb_open(const char *dir, const struct seal_key *current, const struct seal_key *previous,
               struct logdb **out, struct err *err)
{
    int result = dir_make(dir, 0700, err);
    if (result)
        return result;
    struct logdb *db = MEM_NEW(struct logdb);
    MAGIC_SET(db, LOGDB_MAGIC);
    buf_init(&db->scratch, ROW_SCRATCH_MAX);
    buf_init(&db->payload, JOURNAL_PAYLOAD_MAX);
    pending_init(&db->pending, JOURNAL_BYTES);
    pthread_mutex_init(&db->pending_lock, NULL);
    db->journal.fd = -1;
    buf_init(&db->reseal_key, LOGDB_KEY_BYTES_MAX);
    db->dir = str_dup(dir);
    db->path = str_printf("%s/" DATA_FILE, dir);
    logdb_set_keys(db, current, previous);
    result = open_env(db, err);
    if (!result)
        result = logdb_open_journal(db, err);
    if (result) {
        logdb_close(db);
        return result;
    }
    find_map(db);
    extend_file(db);
    *out = db;
    return 0;
}

void logdb_close(struct logdb *db)
{
    if (!db)
        return;
    MAGIC_CHECK(db, LOGDB_MAGIC);
    if (db->env)
        mdb_env_close(db->env);
    seal_free(db->write_seal);
    seal_free(db->read_seal);
    journal_file_close(&db->journal);
    pending_fini(&db->pending);
    pthread_mutex_destroy(&db->pending_lock);
    buf_fini(&db->scratch);
    buf_fini(&db->payload);
    buf_fini(&db->reseal_key);
    free(db->runs);
    free(db->dir);
    free(db->path);
    MAGIC_CLEAR(db);
    free(db);
}

int logdb_remove(const char *dir, struct err *err)
{
    // The tables first: without them the journal means nothing, but they miss the journal.
    char *path = str_printf("%s/" DATA_FILE, dir);
    int result = file_remove(path, err);
    free(path);
    return result ? result : dir_remove(dir, err);
}

// ---- committing --------------------------------------------------------------------------------

void logdb_count(uint64_t *figure, uint64_t by)
{
    __atomic_fetch_add(figure, by, __ATOMIC_RELAXED);
}

static uint64_t counted(const uint64_t *figure)
{
    return __atomic_load_n(figure, __ATOMIC_RELAXED);
}

static void touch(struct logdb *db, size_t bytes)
{
    db->touched_bytes += bytes;
    db->commit_bytes += bytes;
}

int logdb_put_row(struct logdb *db, MDB_txn *txn, MDB_dbi table, MDB_val key, const void *row,
                  size_t size, unsigned flags)
{
    MDB_val value = {.mv_size = size, .mv_data = (void *)row};
    logdb_count(&db->figures.rows_written, 1);
    logdb_count(&db->figures.bytes_written, size);
    touch(db, size);
    return mdb_put(txn, table, &key, &value, flags);
}

// Puts what is in scratch. 0 or an LMDB code.
static int put_row(struct logdb *db, MDB_txn *txn, MDB_dbi table, MDB_val key, unsigned flags)
{
    CHECK(buf_ok(&db->scratch));
    return logdb_put_row(db, txn, table, key, db->scratch.data, db->scratch.len, flags);
}

static int put_fact(struct logdb *db, MDB_txn *txn, const char *name)
{
    return put_row(db, txn, db->facts, key_of_name(name), 0);
}

// Rare, so each one is looked up anew.
int logdb_truncate_from(struct logdb *db, MDB_txn *txn, uint64_t first)
{
    MDB_cursor *cursor;
    int result = mdb_cursor_open(txn, db->log, &cursor);
    if (result)
        return result;
    do {
        uint64_t from = first;
        MDB_val key = key_of_index(&from), row;
        result = mdb_cursor_get(cursor, &key, &row, MDB_SET_RANGE);
        if (!result)
            result = mdb_cursor_del(cursor, 0);
    } while (!result);
    mdb_cursor_close(cursor);
    return result == MDB_NOTFOUND ? 0 : result;
}

static int put_entries(struct logdb *db, MDB_txn *txn, const struct raft_write *write)
{
    if (!write->entries_count)
        return 0;
    int result = logdb_truncate_from(db, txn, write->entries[0].index);
    for (size_t i = 0; !result && i < write->entries_count; i++) {
        const struct raft_entry *entry = &write->entries[i];
        CHECK(!entry->data || entry->data->len <= ROW_ENTRY_BYTES_MAX);
        buf_clear(&db->scratch);
        row_put_entry(db->write_seal, entry, &db->scratch);
        uint64_t index = entry->index;
        result = put_row(db, txn, db->log, key_of_index(&index), MDB_APPEND);
    }
    return result;
}

// Removes the entries up to `last`, whose term is kept as the start of the log.
static int compact(struct logdb *db, MDB_txn *txn, uint64_t last)
{
    uint64_t term = logdb_term_at(db, txn, last);
    if (term == 0)
        return 0; // already gone
    MDB_cursor *cursor;
    MDB_val key, row;
    int result = mdb_cursor_open(txn, db->log, &cursor);
    if (result)
        return result;
    while (!(result = mdb_cursor_get(cursor, &key, &row, MDB_FIRST)) &&
           index_of_key(&key) <= last) {
        result = mdb_cursor_del(cursor, 0);
        if (result)
            break;
    }
    mdb_cursor_close(cursor);
    if (result && result != MDB_NOTFOUND)
        return result;
    buf_clear(&db->scratch);
    row_put_start(db->write_seal, &(struct raft_run){.index = last, .term = term}, &db->scratch);
    return put_fact(db, txn, ROW_START);
}

static int put_snapshot(struct logdb *db, MDB_txn *txn, const struct raft_snapshot *snapshot)
{
    int result = mdb_drop(txn, db->log, 0);
    if (result)
        return result;
    struct raft_run start = {.index = snapshot->index, .term = snapshot->term};
    buf_clear(&db->scratch);
    row_put_start(db->write_seal, &start, &db->scratch);
    result = put_fact(db, txn, ROW_START);
    if (result)
        return result;
    buf_clear(&db->scratch);
    row_put_applied(db->write_seal, snapshot->index, &db->scratch);
    result = put_fact(db, txn, ROW_APPLIED);
    if (result)
        return result;
    buf_clear(&db->scratch);
    row_put_conf(db->write_seal, &snapshot->conf, &db->scratch);
    return put_fact(db, txn, ROW_CONF);
}

static int put_state(struct logdb *db, MDB_txn *txn, const struct logdb_batch *batch)
{
    int result = batch->state_replaced ? mdb_drop(txn, db->state, 0) : 0;
    for (size_t i = 0; !result && i < batch->ops_count; i++) {
        const struct logdb_op *op = &batch->ops[i];
        CHECK(op->key_size > 0);
        CHECK(op->key_size <= LOGDB_KEY_BYTES_MAX);
        MDB_val key = {.mv_size = op->key_size, .mv_data = (void *)op->key};
        if (op->remove) {
            touch(db, db->page_bytes); // at most: of rows side by side it is one page
            result = mdb_del(txn, db->state, &key, NULL);
            if (result == MDB_NOTFOUND)
                result = 0;
            continue;
        }
        CHECK(op->value_size <= ROW_STATE_BYTES_MAX);
        buf_clear(&db->scratch);
        row_put_state(db->write_seal, op->key, op->key_size, op->value, op->value_size,
                      &db->scratch);
        result = put_row(db, txn, db->state, key, 0);
    }
    return result;
}

static int put_facts(struct logdb *db, MDB_txn *txn, const struct logdb_batch *batch)
{
    int result = 0;
    if (batch->applied) {
        buf_clear(&db->scratch);
        row_put_applied(db->write_seal, batch->applied, &db->scratch);
        result = put_fact(db, txn, ROW_APPLIED);
    }
    if (!result && batch->conf) {
        buf_clear(&db->scratch);
        row_put_conf(db->write_seal, batch->conf, &db->scratch);
        result = put_fact(db, txn, ROW_CONF);
    }
    if (!result && batch->ours) {
        buf_clear(&db->scratch);
        row_put_ours(db->write_seal, batch->ours, batch->ours_count, &db->scratch);
        result = put_fact(db, txn, ROW_OURS);
    }
    if (!result && batch->write) {
        buf_clear(&db->scratch);
        row_put_hard(db->write_seal, &batch->write->hard, &db->scratch);
        result = put_fact(db, txn, ROW_HARD);
    }
    return result;
}

int logdb_end(struct logdb *db, MDB_txn *txn, const char *what, struct err *err)
{
    int result = mdb_txn_commit(txn);
    if (!result) {
        logdb_forget_pending(db);
        return 0;
    }
    // Whether it names a new generation of the journal is not known: until a transaction tells,
    // nothing may be written there.
    db->journal.shut = true;
    result = logdb_fail(result, err, what);
    db->failed = result != -ERR_RESOURCE_EXHAUSTED;
    return result;
}

// Everything in one transaction.
static int commit_tables(struct logdb *db, const struct logdb_batch *batch, struct err *err)
{
    MDB_txn *txn;
    db->commit_bytes = 0;
    int result = mdb_txn_begin(db->env, NULL, 0, &txn);
    if (result)
        return logdb_fail(result, err, "write log database");
    result = logdb_take_pending(db, txn);
    if (!result && batch->write && batch->write->snapshot)
        result = put_snapshot(db, txn, batch->write->snapshot);
    if (!result)
        result = put_state(db, txn, batch);
    if (!result && batch->write)
        result = put_entries(db, txn, batch->write);
    if (!result)
        result = put_facts(db, txn, batch);
    if (!result && batch->compact_to)
        result = compact(db, txn, batch->compact_to);
    if (result) {
        mdb_txn_abort(txn);
        return logdb_fail(result, err, "write log database");
    }
    result = logdb_end(db, txn, "sync log database", err);
    if (result)
        return result;
    logdb_count(&db->figures.commits, 1);
    if (db->commit_bytes > db->largest_bytes)
        db->largest_bytes = db->commit_bytes;
    if (db->touched_bytes >= LET_GO_BYTES)
        logdb_let_go(db);
    extend_file(db);
    return 0;
}

int logdb_commit(struct logdb *db, const struct logdb_batch *batch, struct err *err)
{
    MAGIC_CHECK(db, LOGDB_MAGIC);
    if (db->failed)
        return err_set(err, ERR_DATA_LOSS, "log database is not written any more: a write failed");
    if (!logdb_journal_takes(db, batch))
        return commit_tables(db, batch, err);
    int result = logdb_journal_commit(db, err);
    db->failed = result && result != -ERR_RESOURCE_EXHAUSTED;
    return result;
}

// ---- settling ----------------------------------------------------------------------------------

bool logdb_swollen(const struct logdb *db)
{
    return db->largest_bytes >= SWOLLEN_BYTES;
}

// LMDB begins with megabytes of zeros that it hardly ever uses. Mapped for it they cost nothing,
// taken from a hole of the heap they are all written to: so the holes are in use meanwhile.
static size_t holes_hold(void *holes[HOLES_MAX])
{
    size_t count = 0;
    for (size_t mapped = mallinfo2().hblks; count < HOLES_MAX; count++) {
        holes[count] = malloc(HOLE_BYTES);
        CHECK(holes[count]);
        if (mallinfo2().hblks != mapped)
            return count + 1;
    }
    return count;
}

int logdb_settle(struct logdb *db, struct err *err)
{
    MAGIC_CHECK(db, LOGDB_MAGIC);
    mdb_env_close(db->env);
    db->env = NULL;
    db->map = NULL;
    db->touched_bytes = 0;
    db->largest_bytes = 0;
    void *holes[HOLES_MAX];
    size_t held = holes_hold(holes);
    int result = open_env(db, err);
    if (!result)
        find_map(db);
    while (held > 0)
        free(holes[--held]);
    malloc_trim(0); // thousands of pages, here and there in the heap
    if (result)
        return err_wrap(err, "open again");
    logdb_count(&db->figures.settles, 1);
    return 0;
}

void logdb_figures(const struct logdb *db, struct logdb_figures *out)
{
    *out = (struct logdb_figures){
        .commits = counted(&db->figures.commits),
        .journaled = counted(&db->figures.journaled),
        .rows_written = counted(&db->figures.rows_written),
        .bytes_written = counted(&db->figures.bytes_written),
        .file_bytes = __atomic_load_n(&db->file_bytes, __ATOMIC_RELAXED),
        .settles = counted(&db->figures.settles),
    };
}
