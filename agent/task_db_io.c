#include "agent/task_db_io.h"

#include <lmdb.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

// Two tables with the task id as key; their names are part of the format.
#define TABLE_TASKS    "tasks"
#define TABLE_STATUSES "statuses"

static const struct wire_limits limits = {
    .bytes = TASK_DB_TASK_BYTES, .fields = 1 << 18, .depth = WIRE_DEPTH_MAX};

struct task_db {
    MDB_env *env;
    MDB_dbi tasks;
    MDB_dbi statuses;
};

struct change {
    struct change *next;
    char *id;
    struct buf task; // empty: gone
    struct buf status;
};

struct task_batch {
    struct change *first;
    struct change **last;
    size_t count;
};

static int fail(struct err *err, int code, const char *what)
{
    if (code == MDB_MAP_FULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "task database: %s: it is full", what);
    if (code > 0)
        return err_set_errno(err, code, "task database: %s", what);
    return err_set(err, ERR_DATA_LOSS, "task database: %s: %s", what, mdb_strerror(code));
}

static int open_tables(struct task_db *db, struct err *err)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(db->env, NULL, 0, &txn);
    if (code)
        return fail(err, code, "begin");
    code = mdb_dbi_open(txn, TABLE_TASKS, MDB_CREATE, &db->tasks);
    if (!code)
        code = mdb_dbi_open(txn, TABLE_STATUSES, MDB_CREATE, &db->statuses);
    if (code) {
        mdb_txn_abort(txn);
        return fail(err, code, "open tables");
    }
    code = mdb_txn_commit(txn);
    return code ? fail(err, code, "commit") : 0;
}

int task_db_open(const char *dir, struct task_db **out, struct err *err)
{
    int result = dir_make(dir, 0700, err);
    if (result)
        return result;
    struct task_db *db = MEM_NEW(struct task_db);
    // LMDB takes a megabyte that it hardly ever writes to. In a hole of the heap it would keep the
    // pages that a start has used there for ever: they go first.
    malloc_trim(0);
    int code = mdb_env_create(&db->env);
    CHECK(code == 0); // fails only without memory
    mdb_env_set_maxdbs(db->env, 2);
    mdb_env_set_mapsize(db->env, TASK_DB_BYTES);
    // Reads and writes come from different threads of the pool.
    code = mdb_env_open(db->env, dir, MDB_NOTLS, 0600);
    result = code ? fail(err, code, "open") : open_tables(db, err);
    if (result) {
        task_db_close(db);
        return result;
    }
    *out = db;
    return 0;
}

void task_db_close(struct task_db *db)
{
    if (!db)
        return;
    mdb_env_close(db->env);
    free(db);
}

// ---- reading -----------------------------------------------------------------------------------

static void give(MDB_txn *txn, struct task_db *db, MDB_val *key, const MDB_val *value,
                 void (*found)(void *owner, const Swarm__Task *task,
                               const Swarm__TaskStatus *status),
                 void *owner)
{
    struct err err = ERR_INIT;
    MDB_val status_value;
    Swarm__Task *task =
        wire_unpack(&swarm__task__descriptor, value->mv_data, value->mv_size, &limits, NULL, &err);
    Swarm__TaskStatus *status = NULL;
    if (task && mdb_get(txn, db->statuses, key, &status_value) == 0)
        status = wire_unpack(&swarm__task_status__descriptor, status_value.mv_data,
                             status_value.mv_size, &limits, NULL, &err);
    if (task && status)
        found(owner, task, status);
    else
        log_warn("task record left out", "task=%.*s err=\"%s\"", (int)key->mv_size,
                 (const char *)key->mv_data, err.code == ERR_OK ? "no status" : err.message);
    wire_free(task);
    wire_free(status);
}

int task_db_load(struct task_db *db,
                 void (*found)(void *owner, const Swarm__Task *task,
                               const Swarm__TaskStatus *status),
                 void *owner, struct err *err)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;
    int code = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    if (code)
        return fail(err, code, "begin");
    code = mdb_cursor_open(txn, db->tasks, &cursor);
    if (!code) {
        while ((code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
            give(txn, db, &key, &value, found, owner);
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return code == MDB_NOTFOUND ? 0 : fail(err, code, "read");
}

// ---- writing -----------------------------------------------------------------------------------

struct task_batch *task_batch_new(void)
{
    struct task_batch *batch = MEM_NEW(struct task_batch);
    batch->last = &batch->first;
    return batch;
}

static void change_free(struct change *change)
{
    // Specs carry environments, and those carry passwords.
    buf_wipe(&change->task);
    buf_wipe(&change->status);
    free(change->id);
    free(change);
}

void task_batch_free(struct task_batch *batch)
{
    if (!batch)
        return;
    for (struct change *change = batch->first, *next; change; change = next) {
        next = change->next;
        change_free(change);
    }
    free(batch);
}

size_t task_batch_count(const struct task_batch *batch)
{
    return batch->count;
}

void task_batch_put(struct task_batch *batch, const char *task_id, const Swarm__Task *task,
                    const Swarm__TaskStatus *status)
{
    CHECK((task != NULL) == (status != NULL));
    struct change *change = MEM_NEW(struct change);
    struct err err = ERR_INIT;
    change->id = str_dup(task_id);
    buf_init(&change->task, TASK_DB_TASK_BYTES);
    buf_init(&change->status, TASK_DB_TASK_BYTES);
    size_t id_size = strlen(task_id);
    int result = 0;
    if (!id_size || id_size > TASK_DB_ID_CHARS_MAX) {
        result = err_set(&err, ERR_INVALID_ARGUMENT, "its id has %zu characters", id_size);
    } else if (task) {
        Swarm__TaskStatus blank;
        swarm__task_status__init(&blank);
        Swarm__Task bare = *task;
        bare.status = &blank;
        result = wire_pack(&bare, &change->task, &err);
        if (!result)
            result = wire_pack(status, &change->status, &err);
    }
    if (result) {
        log_warn("task record left out", "task=%.*s err=\"%s\"", TASK_DB_ID_CHARS_MAX, task_id,
                 err.message);
        change_free(change);
        return;
    }
    *batch->last = change;
    batch->last = &change->next;
    batch->count++;
}

static int write_change(struct task_db *db, MDB_txn *txn, const struct change *change)
{
    MDB_val key = {.mv_size = strlen(change->id), .mv_data = change->id};
    if (!change->task.len) {
        int code = mdb_del(txn, db->tasks, &key, NULL);
        int other = mdb_del(txn, db->statuses, &key, NULL);
        if (code && code != MDB_NOTFOUND)
            return code;
        return other == MDB_NOTFOUND ? 0 : other;
    }
    MDB_val task = {.mv_size = change->task.len, .mv_data = change->task.data};
    MDB_val status = {.mv_size = change->status.len, .mv_data = change->status.data};
    int code = mdb_put(txn, db->tasks, &key, &task, 0);
    return code ? code : mdb_put(txn, db->statuses, &key, &status, 0);
}

int task_db_write(struct task_db *db, const struct task_batch *batch, struct err *err)
{
    if (!batch->count)
        return 0;
    MDB_txn *txn;
    int code = mdb_txn_begin(db->env, NULL, 0, &txn);
    if (code)
        return fail(err, code, "begin");
    for (const struct change *change = batch->first; change && !code; change = change->next)
        code = write_change(db, txn, change);
    if (code) {
        mdb_txn_abort(txn);
        return fail(err, code, "write");
    }
    code = mdb_txn_commit(txn);
    return code ? fail(err, code, "commit") : 0;
}
