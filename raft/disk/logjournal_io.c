// The log database's journal: most commits are a write of the log alone, and go there instead of
// into a transaction.
//
// A transaction of LMDB is flushed twice, its pages and then the page that names their root; a
// record of the journal once. Rows in the journal are also kept in memory (struct pending), where
// reads find them, until the next transaction, whatever it is for, takes them along. It names a new
// generation of the journal, too, so what was moved is void at the same instant as it is in the
// tables. A start does the same before anything else. So everything but a plain write of the log
// (compaction, snapshots, keys, state) sees a database that is complete, and the journal needs to
// know of none of it.
#include <inttypes.h>
#include <stdlib.h>

#include "proto/base/entropy_io.h"
#include "raft/disk/logdb_private_io.h"

// A fact in clear, as the format is: which generation of the journal is not yet in the tables (8),
// and how many bytes of the file may be in use (8).
#define FACT_BYTES 16

// Generations begin somewhere below this, so that a file of another database is known for it.
#define GENERATION_FIRST_MAX ((UINT64_C(1) << 48) - 1)

// ---- the fact -----------------------------------------------------------------------------------

static int put_fact(struct logdb *db, MDB_txn *txn, uint64_t generation)
{
    struct buf fact;
    buf_init(&fact, FACT_BYTES);
    buf_put_u64le(&fact, generation);
    buf_put_u64le(&fact, db->journal.bytes);
    CHECK(buf_ok(&fact));
    MDB_val key = key_of_name(LOGDB_JOURNAL);
    MDB_val value = {.mv_size = fact.len, .mv_data = fact.data};
    int result = mdb_put(txn, db->facts, &key, &value, 0);
    buf_fini(&fact);
    return result;
}

// From then on programs that know of no journal refuse the database.
static int put_format(struct logdb *db, MDB_txn *txn)
{
    uint32_t version = LOGDB_FORMAT_VERSION;
    MDB_val key = key_of_name(LOGDB_FORMAT);
    MDB_val value = {.mv_size = sizeof version, .mv_data = &version};
    return mdb_put(txn, db->facts, &key, &value, 0);
}

static int get_fact(struct logdb *db, uint64_t *generation, uint64_t *bytes, struct err *err)
{
    MDB_txn *txn;
    int result = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    if (result)
        return logdb_fail(result, err, "read log database");
    MDB_val key = key_of_name(LOGDB_JOURNAL), value;
    result = mdb_get(txn, db->facts, &key, &value);
    struct cursor cursor = cursor_of(value.mv_data, result ? 0 : value.mv_size);
    *generation = cursor_u64le(&cursor);
    *bytes = cursor_u64le(&cursor);
    bool ok = cursor_done(&cursor) && *bytes <= JOURNAL_BYTES && *bytes % JOURNAL_PAGE_BYTES == 0 &&
              *generation > 0 && *generation < UINT64_MAX / 2;
    mdb_txn_abort(txn);
    if (result && result != MDB_NOTFOUND)
        return logdb_fail(result, err, "read log database");
    return ok ? 0 : err_set(err, ERR_DATA_LOSS, "log record '%s' is damaged", LOGDB_JOURNAL);
}

// ---- what waits in the journal ------------------------------------------------------------------

int logdb_take_pending(struct logdb *db, MDB_txn *txn)
{
    const struct pending *pending = &db->pending;
    if (!db->journal.used && !db->journal.shut)
        return 0;
    int result = pending->count ? logdb_truncate_from(db, txn, pending->first) : 0;
    for (size_t i = 0; !result && i < pending->count; i++) {
        struct cursor row = pending_row(pending, i);
        uint64_t index = pending->first + i;
        result = logdb_put_row(db, txn, db->log, key_of_index(&index), row.at, cursor_left(&row),
                               MDB_APPEND);
    }
    if (!result && pending->hard.len)
        result = logdb_put_row(db, txn, db->facts, key_of_name(ROW_HARD), pending->hard.data,
                               pending->hard.len, 0);
    if (!result)
        result = put_fact(db, txn, db->journal.generation + 1);
    if (!result && db->format != LOGDB_FORMAT_VERSION)
        result = put_format(db, txn);
    return result;
}

void logdb_forget_pending(struct logdb *db)
{
    if (!db->journal.used && !db->journal.shut)
        return;
    db->format = LOGDB_FORMAT_VERSION;
    journal_file_restart(&db->journal, db->journal.generation + 1);
    pthread_mutex_lock(&db->pending_lock);
    pending_clear(&db->pending);
    pthread_mutex_unlock(&db->pending_lock);
}

int logdb_settle_pending(struct logdb *db, struct err *err)
{
    return logdb_commit(db, &(struct logdb_batch){0}, err);
}

// ---- commits ------------------------------------------------------------------------------------

bool logdb_journal_takes(struct logdb *db, const struct logdb_batch *batch)
{
    const struct raft_write *write = batch->write;
    if (!write || write->snapshot || batch->state_replaced || batch->ops_count || batch->applied ||
        batch->conf || batch->compact_to || batch->ours || !journal_file_has_room(&db->journal, 0))
        return false;
    size_t least = 0;
    for (size_t i = 0; i < write->entries_count; i++) {
        least += raft_entry_bytes(&write->entries[i]);
        if (least > JOURNAL_PAYLOAD_MAX)
            return false;
    }
    buf_clear(&db->payload);
    journal_payload_begin(&db->payload, write->entries_count ? write->entries[0].index : 0,
                          (uint32_t)write->entries_count);
    buf_clear(&db->scratch);
    row_put_hard(db->write_seal, &write->hard, &db->scratch);
    CHECK(buf_ok(&db->scratch));
    journal_payload_row(&db->payload, db->scratch.data, db->scratch.len);
    for (size_t i = 0; i < write->entries_count; i++) {
        buf_clear(&db->scratch);
        row_put_entry(db->write_seal, &write->entries[i], &db->scratch);
        CHECK(buf_ok(&db->scratch));
        journal_payload_row(&db->payload, db->scratch.data, db->scratch.len);
    }
    return buf_ok(&db->payload) && journal_file_has_room(&db->journal, db->payload.len);
}

int logdb_journal_commit(struct logdb *db, struct err *err)
{
    struct journal_record record;
    bool ok = journal_payload_read(db->payload.data, db->payload.len, &record);
    CHECK(ok);
    uint32_t rows = record.count + 1;
    int result = journal_file_append(&db->journal, &db->payload, err);
    if (result)
        return result;
    pthread_mutex_lock(&db->pending_lock);
    ok = pending_take(&db->pending, &record);
    pthread_mutex_unlock(&db->pending_lock);
    CHECK(ok); // the core's writes leave no gap
    logdb_count(&db->figures.commits, 1);
    logdb_count(&db->figures.journaled, 1);
    logdb_count(&db->figures.rows_written, rows);
    logdb_count(&db->figures.bytes_written, db->payload.len);
    if (db->payload.cap > JOURNAL_BYTES / 64)
        buf_fini(&db->payload);
    return 0;
}

// ---- opening ------------------------------------------------------------------------------------

static int replay(struct logdb *db, const struct buf *bytes, struct err *err)
{
    struct journal_reader reader;
    journal_reader_init(&reader, bytes->data, bytes->len, db->journal.generation);
    struct journal_record record;
    int result;
    while ((result = journal_next(&reader, &record, err)) > 0) {
        if (pending_take(&db->pending, &record))
            continue;
        result = err_set(err, ERR_DATA_LOSS,
                         "log journal is damaged: record %" PRIu64 " does not follow",
                         reader.number - 1);
        break;
    }
    journal_reader_fini(&reader);
    return result;
}

// What the file holds of its generation, into memory.
static int read_journal(struct logdb *db, struct err *err)
{
    uint64_t bytes;
    int result = get_fact(db, &db->journal.generation, &bytes, err);
    if (result)
        return result;
    uint64_t generation = db->journal.generation;
    result = journal_file_open(&db->journal, db->dir, &bytes, err);
    db->journal.generation = generation;
    struct buf all;
    buf_init(&all, JOURNAL_BYTES);
    if (!result)
        result = journal_file_read(&db->journal, &all, err);
    if (!result)
        result = replay(db, &all, err);
    buf_fini(&all);
    return result;
}

// A database without a journal yet, a new one or of format 1.
static int make_journal(struct logdb *db, struct err *err)
{
    int result = journal_file_open(&db->journal, db->dir, NULL, err);
    if (result)
        return result;
    uint64_t random;
    entropy_bytes(&random, sizeof random);
    db->journal.generation = 1 + random % GENERATION_FIRST_MAX;
    return 0;
}

int logdb_open_journal(struct logdb *db, struct err *err)
{
    bool made = db->format != LOGDB_FORMAT_VERSION;
    int result = made ? make_journal(db, err) : read_journal(db, err);
    if (!result)
        result = journal_file_extend(&db->journal, db->dir, err);
    if (result)
        return result;
    // A torn record may lie there: nothing more of its generation is written.
    db->journal.shut = true;
    struct err why = ERR_INIT;
    result = logdb_settle_pending(db, &why);
    // On a full disk what is in the tables may be all there is, and can be read.
    if (result == -ERR_RESOURCE_EXHAUSTED && !made && pending_empty(&db->pending))
        return 0;
    return result ? err_copy(err, &why) : 0;
}
