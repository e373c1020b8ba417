#include "raft/disk/logdb_private_io.h"

// Opens a row of any table and builds it anew in scratch. 0 or a negative code.
static int reseal_row(struct logdb *db, unsigned table, const MDB_val *key, const MDB_val *row,
                      struct err *err)
{
    int result;
    buf_clear(&db->scratch);
    if (table == 0) {
        struct raft_entry entry;
        result = row_get_entry(db->write_seal, index_of_key(key), row->mv_data, row->mv_size,
                               &entry, err);
        if (result)
            return result;
        row_put_entry(db->write_seal, &entry, &db->scratch);
        raft_blob_unref(entry.data);
        return 0;
    }
    struct buf plain;
    buf_init(&plain, ROW_STATE_BYTES_MAX);
    if (table == 1) {
        // A fact's place is its name.
        result = seal_open(db->write_seal, key->mv_data, key->mv_size, row->mv_data, row->mv_size,
                           &plain, err);
        if (!result)
            seal_put(db->write_seal, key->mv_data, key->mv_size, plain.data, plain.len,
                     &db->scratch);
    } else {
        result = row_get_state(db->write_seal, key->mv_data, key->mv_size, row->mv_data,
                               row->mv_size, &plain, err);
        if (!result)
            row_put_state(db->write_seal, key->mv_data, key->mv_size, plain.data, plain.len,
                          &db->scratch);
    }
    buf_wipe(&plain);
    return result;
}

// The sealed part of a row: entries have a head in clear.
static bool is_current(struct logdb *db, unsigned table, const MDB_val *row)
{
    size_t head = table == 0 ? ROW_ENTRY_HEAD_BYTES : 0;
    return row->mv_size >= head &&
           seal_is_current(db->write_seal, (const uint8_t *)row->mv_data + head,
                           row->mv_size - head);
}

static bool is_named(const MDB_val *key, const char *name)
{
    return key->mv_size == strlen(name) && memcmp(key->mv_data, name, key->mv_size) == 0;
}

static bool in_clear(const MDB_val *fact)
{
    return is_named(fact, LOGDB_FORMAT) || is_named(fact, LOGDB_JOURNAL);
}

// Goes on through one table; *left counts down. *end when the table is through.
static int reseal_table(struct logdb *db, MDB_txn *txn, MDB_dbi dbi, size_t *left, bool *end,
                        struct err *err)
{
    unsigned table = db->reseal_table;
    MDB_cursor *cursor;
    if (mdb_cursor_open(txn, dbi, &cursor))
        UNREACHABLE("no cursor");
    MDB_val key = {.mv_size = db->reseal_key.len, .mv_data = db->reseal_key.data}, row;
    int code = mdb_cursor_get(cursor, &key, &row, key.mv_size ? MDB_SET_RANGE : MDB_FIRST);
    int result = 0;
    for (; !code && !result && *left > 0; code = mdb_cursor_get(cursor, &key, &row, MDB_NEXT)) {
        (*left)--;
        if ((table == 1 && in_clear(&key)) || is_current(db, table, &row))
            continue;
        result = reseal_row(db, table, &key, &row, err);
        if (result)
            break;
        MDB_val value = {.mv_size = db->scratch.len, .mv_data = db->scratch.data};
        // LMDB takes a row that has pages of its own out of its leaf before it puts it back, and
        // the key it gave us lies in that leaf: what follows moves over it.
        buf_clear(&db->reseal_key);
        buf_put(&db->reseal_key, key.mv_data, key.mv_size);
        MDB_val own = {.mv_size = db->reseal_key.len, .mv_data = db->reseal_key.data};
        int put = mdb_cursor_put(cursor, &own, &value, MDB_CURRENT);
        if (put)
            result = logdb_fail(put, err, "reseal");
    }
    *end = code == MDB_NOTFOUND;
    buf_clear(&db->reseal_key);
    if (!code && !result)
        buf_put(&db->reseal_key, key.mv_data, key.mv_size); // the first row not yet looked at
    if (code && code != MDB_NOTFOUND && !result)
        result = logdb_fail(code, err, "reseal");
    mdb_cursor_close(cursor);
    return result;
}

int logdb_reseal(struct logdb *db, size_t rows_max, bool *done, struct err *err)
{
    MAGIC_CHECK(db, LOGDB_MAGIC);
    const MDB_dbi tables[] = {db->log, db->facts, db->state};
    *done = false;
    if (db->failed)
        return err_set(err, ERR_DATA_LOSS, "log database is not written any more: a write failed");
    MDB_txn *txn;
    int result = mdb_txn_begin(db->env, NULL, 0, &txn);
    if (result)
        return logdb_fail(result, err, "reseal");
    // What waits may be sealed with the previous key, and belong where resealing has been already.
    result = logdb_take_pending(db, txn);
    if (result) {
        mdb_txn_abort(txn);
        return logdb_fail(result, err, "reseal");
    }
    while (!result && rows_max > 0 && db->reseal_table < COUNT_OF(tables)) {
        bool end = false;
        result = reseal_table(db, txn, tables[db->reseal_table], &rows_max, &end, err);
        if (!result && end)
            db->reseal_table++;
    }
    if (result) {
        mdb_txn_abort(txn);
        return result;
    }
    result = logdb_end(db, txn, "reseal", err);
    if (result)
        return result;
    *done = db->reseal_table == COUNT_OF(tables);
    return 0;
}
