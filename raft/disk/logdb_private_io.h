// Inside of the log database, shared by the files that make it up: logdb_io (open, commit),
// logjournal_io (what is not in the tables yet), logread_io (boot, load, walk) and reseal_io (key
// rotation). Nobody else includes this.
#ifndef RAFT_DISK_LOGDB_PRIVATE_IO_H
#define RAFT_DISK_LOGDB_PRIVATE_IO_H

#include <lmdb.h>
#include <pthread.h>
#include <string.h>

#include "proto/base/check.h"
#include "raft/disk/journal_io.h"
#include "raft/disk/logdb_io.h"
#include "raft/disk/pending.h"
#include "raft/disk/row.h"

#define LOGDB_MAGIC 0x6c6f6764u

// The facts that are written in clear: they must be readable before any key is tried.
#define LOGDB_FORMAT  "format"
#define LOGDB_JOURNAL "journal"

// 1: no journal. 2: as written today.
#define LOGDB_FORMAT_VERSION 2u

struct logdb {
    unsigned magic;
    MDB_env *env;
    MDB_dbi log;   // entry rows by index
    MDB_dbi facts; // named rows
    MDB_dbi state; // applied objects
    struct seal *write_seal;
    struct seal *read_seal;
    struct buf scratch; // one row being built
    uint32_t format;    // of the file; 0: a new one
    bool failed;        // nobody knows what is stored: nothing more is written
    struct journal_file journal;
    struct buf payload;           // of the record being built
    struct pending pending;       // changed where commits run, under the lock
    pthread_mutex_t pending_lock; // reads may run beside a commit
    struct raft_run *runs;
    uint64_t ours[RAFT_MEMBERS_MAX];
    char *dir;
    char *path;        // of the data file
    size_t file_bytes; // zeroed and synced up to here
    unsigned page_bytes;
    uint8_t *map;         // where the file is mapped; NULL: not found
    size_t touched_bytes; // of rows, since the mapped pages were let go
    size_t commit_bytes;  // touched by the commit under way
    size_t largest_bytes; // by the largest one since the database was opened
    // Where resealing goes on: table number, then key.
    unsigned reseal_table;
    struct buf reseal_key;
    struct logdb_figures figures;
};

// Turns an LMDB or errno code into an error: full, damaged, or what the system says.
int logdb_fail(int code, struct err *err, const char *what);

// Takes the file's pages out of this process: they count as its memory as long as they are mapped.
// The system keeps them cached, and maps again what is read again.
void logdb_let_go(struct logdb *db);

// Puts a row, and counts it. 0 or an LMDB code.
int logdb_put_row(struct logdb *db, MDB_txn *txn, MDB_dbi table, MDB_val key, const void *row,
                  size_t size, unsigned flags);

// Removes the entries from `first` on. 0 or an LMDB code.
int logdb_truncate_from(struct logdb *db, MDB_txn *txn, uint64_t first);

// The figures are counted where commits run, a worker thread, and read on the owner's.
void logdb_count(uint64_t *figure, uint64_t by);

// The term of the entry at `index` as its row tells, 0 when there is none.
uint64_t logdb_term_at(struct logdb *db, MDB_txn *txn, uint64_t index);

// ---- the journal (logjournal_io.c) --------------------------------------------------------------

// Opens the journal, moves what it holds to the tables, and begins a new generation.
int logdb_open_journal(struct logdb *db, struct err *err);

// Whether the journal takes this commit; if so its record is built, and is the next thing written.
bool logdb_journal_takes(struct logdb *db, const struct logdb_batch *batch);
int logdb_journal_commit(struct logdb *db, struct err *err);

// At the start of every transaction that writes: what waits in the journal goes into the tables. 0
// or an LMDB code. Once the transaction is stored it is forgotten.
int logdb_take_pending(struct logdb *db, MDB_txn *txn);
void logdb_forget_pending(struct logdb *db);

// A commit for that alone; nothing where nothing waits.
int logdb_settle_pending(struct logdb *db, struct err *err);

// Ends a transaction that writes, and with it what waited.
int logdb_end(struct logdb *db, MDB_txn *txn, const char *what, struct err *err);

static inline MDB_val key_of_index(uint64_t *index)
{
    return (MDB_val){.mv_size = sizeof *index, .mv_data = index};
}

static inline MDB_val key_of_name(const char *name)
{
    return (MDB_val){.mv_size = strlen(name), .mv_data = (void *)name};
}

static inline uint64_t index_of_key(const MDB_val *key)
{
    uint64_t index = 0;
    CHECK(key->mv_size == sizeof index);
    memcpy(&index, key->mv_data, sizeof index);
    return index;
}

#endif
