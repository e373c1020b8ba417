#include "raft/disk/logdb_private_io.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proto/base/str.h"

#define RUNS_MAX 65536u // terms a log may hold; compaction keeps it to a handful

// ---- start -------------------------------------------------------------------------------------

// Reads one fact. 1: found, 0: absent, negative: error.
static int get_fact(struct logdb *db, MDB_txn *txn, const char *name, MDB_val *row, struct err *err)
{
    MDB_val key = key_of_name(name);
    int result = mdb_get(txn, db->facts, &key, row);
    if (result == MDB_NOTFOUND)
        return 0;
    return result ? logdb_fail(result, err, name) : 1;
}

static int boot_facts(struct logdb *db, MDB_txn *txn, struct raft_boot *boot, struct err *err)
{
    MDB_val row;
    int found = get_fact(db, txn, ROW_HARD, &row, err);
    if (found > 0)
        found = row_get_hard(db->read_seal, row.mv_data, row.mv_size, &boot->hard, err);
    if (found < 0)
        return found;
    struct raft_run start = {0};
    found = get_fact(db, txn, ROW_START, &row, err);
    if (found > 0)
        found = row_get_start(db->read_seal, row.mv_data, row.mv_size, &start, err);
    if (found < 0)
        return found;
    boot->start.index = start.index;
    boot->start.term = start.term;
    found = get_fact(db, txn, ROW_APPLIED, &row, err);
    if (found > 0)
        found = row_get_applied(db->read_seal, row.mv_data, row.mv_size, &boot->applied, err);
    if (found < 0)
        return found;
    found = get_fact(db, txn, ROW_CONF, &row, err);
    if (found > 0)
        found = row_get_conf(db->read_seal, row.mv_data, row.mv_size, &boot->conf, err);
    if (found < 0)
        return found;
    found = get_fact(db, txn, ROW_OURS, &row, err);
    if (found > 0) {
        found =
            row_get_ours(db->read_seal, row.mv_data, row.mv_size, db->ours, &boot->ours_count, err);
        boot->ours = db->ours;
    }
    return found < 0 ? found : 0;
}

// The last index in [first, last] that has the term of `first`; terms never descend in a log.
static uint64_t run_end(struct logdb *db, MDB_txn *txn, uint64_t first, uint64_t last,
                        uint64_t term)
{
    while (first < last) {
        uint64_t middle = first + (last - first + 1) / 2;
        if (logdb_term_at(db, txn, middle) == term)
            first = middle;
        else
            last = middle - 1;
    }
    return first;
}

static int boot_runs(struct logdb *db, MDB_txn *txn, uint64_t first, uint64_t last,
                     struct raft_boot *boot, struct err *err)
{
    free(db->runs);
    db->runs = NULL;
    size_t cap = 0;
    for (uint64_t index = first; index <= last;) {
        uint64_t term = logdb_term_at(db, txn, index);
        if (term == 0)
            return err_set(err, ERR_DATA_LOSS, "log entry %" PRIu64 " is missing or damaged",
                           index);
        if (boot->runs_count == RUNS_MAX)
            return err_set(err, ERR_DATA_LOSS, "log holds more than %u terms", RUNS_MAX);
        if (boot->runs_count == cap) {
            cap = cap ? 2 * cap : 16;
            db->runs = mem_realloc(db->runs, cap * sizeof *db->runs);
        }
        db->runs[boot->runs_count++] = (struct raft_run){.index = index, .term = term};
        index = run_end(db, txn, index, last, term) + 1;
    }
    boot->runs = db->runs;
    return 0;
}

// The ends of the log, which must be where `start` says and without a gap between.
static int boot_log(struct logdb *db, MDB_txn *txn, struct raft_boot *boot, struct err *err)
{
    boot->last_index = boot->start.index;
    MDB_stat stat;
    mdb_stat(txn, db->log, &stat);
    if (stat.ms_entries == 0)
        return 0;
    MDB_cursor *cursor;
    MDB_val key, row;
    int result = mdb_cursor_open(txn, db->log, &cursor);
    CHECK(result == 0);
    result = mdb_cursor_get(cursor, &key, &row, MDB_FIRST);
    uint64_t first = result ? 0 : index_of_key(&key);
    if (!result)
        result = mdb_cursor_get(cursor, &key, &row, MDB_LAST);
    uint64_t last = result ? 0 : index_of_key(&key);
    mdb_cursor_close(cursor);
    if (result)
        return logdb_fail(result, err, "log");
    if (first != boot->start.index + 1 || last - first + 1 != stat.ms_entries)
        return err_set(err, ERR_DATA_LOSS,
                       "log has %zu entries from %" PRIu64 " to %" PRIu64
                       ", but begins after %" PRIu64,
                       stat.ms_entries, first, last, boot->start.index);
    boot->last_index = last;
    result = boot_runs(db, txn, first, last, boot, err);
    if (result)
        return result;
    // The newest entry is opened, so that a wrong data key or a torn end shows now and not later.
    struct raft_entry entry;
    result = row_get_entry(db->read_seal, last, row.mv_data, row.mv_size, &entry, err);
    if (!result)
        raft_blob_unref(entry.data);
    return result;
}

int logdb_boot(struct logdb *db, struct raft_boot *boot, struct err *err)
{
    MAGIC_CHECK(db, LOGDB_MAGIC);
    *boot = (struct raft_boot){0};
    int result = logdb_settle_pending(db, err); // right after opening it finds nothing to do
    if (result)
        return result;
    MDB_txn *txn;
    result = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    if (result)
        return logdb_fail(result, err, "read log database");
    result = boot_facts(db, txn, boot, err);
    if (!result)
        result = boot_log(db, txn, boot, err);
    if (!result && boot->last_index > 0 && boot->hard.term == 0)
        result = err_set(err, ERR_DATA_LOSS, "log has entries but no hard state");
    mdb_txn_abort(txn);
    return result;
}

// ---- reading -----------------------------------------------------------------------------------

// The newest end of the log as a read found it, and the rest of it in the tables.
struct view {
    MDB_txn *txn;
    uint64_t pending; // the first entry that is not looked for in the tables; 0: none is
    size_t count;     // of rows at hand, from `at` on
    uint64_t at;
    struct buf sized; // the rows, each after its size
    struct cursor left;
};

// Copies what waits of the wanted entries: a commit beside this read may move it at any time. It
// does so after the tables have it, so a transaction that is begun before looks at what the tables
// lacked, and the copy has it.
static int view_begin(struct logdb *db, uint64_t first, uint64_t last, size_t bytes_max,
                      size_t entries_max, struct view *view, struct err *err)
{
    *view = (struct view){0};
    buf_init(&view->sized, 2 * JOURNAL_BYTES);
    pthread_mutex_lock(&db->pending_lock);
    int result = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &view->txn);
    const struct pending *pending = &db->pending;
    if (!result && pending->count) {
        view->pending = pending->first;
        view->at = first > pending->first ? first : pending->first;
        size_t bytes = 0;
        for (uint64_t i = view->at - pending->first; i < pending->count; i++) {
            struct cursor row = pending_row(pending, (size_t)i);
            bytes += cursor_left(&row) - ROW_ENTRY_HEAD_BYTES;
            if (pending->first + i > last || view->count == entries_max ||
                (view->count && bytes > bytes_max))
                break;
            journal_payload_row(&view->sized, row.at, cursor_left(&row));
            view->count++;
        }
        CHECK(buf_ok(&view->sized));
        view->left = cursor_of(view->sized.data, view->sized.len);
    }
    pthread_mutex_unlock(&db->pending_lock);
    return result ? logdb_fail(result, err, "read log database") : 0;
}

static void view_end(struct view *view)
{
    if (view->txn)
        mdb_txn_abort(view->txn);
    buf_fini(&view->sized);
}

// The row of entry `index`; asked for in order. 0, MDB_NOTFOUND or another LMDB code.
static int view_row(struct logdb *db, struct view *view, uint64_t index, struct cursor *row)
{
    if (view->pending && index >= view->pending) {
        if (index < view->at || index - view->at >= view->count)
            return MDB_NOTFOUND;
        *row = cursor_sub(&view->left, cursor_u32le(&view->left));
        return 0;
    }
    MDB_val key = key_of_index(&index), found;
    int result = mdb_get(view->txn, db->log, &key, &found);
    if (!result)
        *row = cursor_of(found.mv_data, found.mv_size);
    return result;
}

// Beyond the newest entry, or beyond what was copied: the caller asks again for the rest.
static bool view_ends(const struct view *view, uint64_t index)
{
    return view->pending && index >= view->at && index - view->at >= view->count;
}

int logdb_load(struct logdb *db, uint64_t first, uint64_t last, size_t bytes_max,
               struct raft_entry *entries, size_t entries_max, size_t *count, struct err *err)
{
    MAGIC_CHECK(db, LOGDB_MAGIC);
    *count = 0;
    struct view view;
    int result = view_begin(db, first, last, bytes_max, entries_max, &view, err);
    size_t bytes = 0;
    for (uint64_t index = first; !result && index <= last && *count < entries_max; index++) {
        struct cursor row;
        if (view_ends(&view, index))
            break;
        result = view_row(db, &view, index, &row);
        if (result == MDB_NOTFOUND) {
            // Compacted before the first one is an answer; a hole in the middle is damage.
            result = *count == 0
                         ? 0
                         : err_set(err, ERR_DATA_LOSS, "log entry %" PRIu64 " is missing", index);
            break;
        }
        if (result) {
            result = logdb_fail(result, err, "read log database");
            break;
        }
        struct raft_entry *entry = &entries[*count];
        result = row_get_entry(db->read_seal, index, row.at, cursor_left(&row), entry, err);
        if (result)
            break;
        bytes += raft_entry_bytes(entry);
        if (*count > 0 && bytes > bytes_max) {
            raft_blob_unref(entry->data);
            break;
        }
        (*count)++;
    }
    view_end(&view);
    if (result) {
        for (size_t i = 0; i < *count; i++)
            raft_blob_unref(entries[i].data);
        *count = 0;
    }
    return result;
}

int logdb_state_each(struct logdb *db, logdb_each_fn each, void *ctx, uint64_t *applied,
                     struct err *err)
{
    MAGIC_CHECK(db, LOGDB_MAGIC);
    MDB_txn *txn;
    int result = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    if (result)
        return logdb_fail(result, err, "read log database");
    struct raft_boot boot = {0};
    result = boot_facts(db, txn, &boot, err);
    if (applied)
        *applied = boot.applied;
    MDB_cursor *cursor = NULL;
    if (!result && mdb_cursor_open(txn, db->state, &cursor))
        UNREACHABLE("no cursor");
    struct buf value;
    buf_init(&value, ROW_STATE_BYTES_MAX);
    MDB_val key, row;
    for (MDB_cursor_op step = MDB_FIRST; !result; step = MDB_NEXT) {
        int code = mdb_cursor_get(cursor, &key, &row, step);
        if (code == MDB_NOTFOUND)
            break;
        if (code) {
            result = logdb_fail(code, err, "read state");
            break;
        }
        buf_clear(&value);
        result = row_get_state(db->read_seal, key.mv_data, key.mv_size, row.mv_data, row.mv_size,
                               &value, err);
        if (!result)
            result = each(ctx, key.mv_data, key.mv_size, value.data, value.len, err);
    }
    buf_wipe(&value); // it may have held secrets
    if (cursor)
        mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    logdb_let_go(db);
    return result;
}
