// Inside of the log database, shared by the files that make it up: logdb_io (open, commit),
// logread_io (boot, load, walk) and reseal_io (key rotation). Nobody else includes this.
#ifndef RAFT_DISK_LOGDB_PRIVATE_IO_H
#define RAFT_DISK_LOGDB_PRIVATE_IO_H

#include <lmdb.h>
#include <string.h>

#include "proto/base/check.h"
#include "raft/disk/logdb_io.h"
#include "raft/disk/row.h"

#define LOGDB_MAGIC 0x6c6f6764u

// The fact that is written in clear: it must be readable before any key is tried.
#define LOGDB_FORMAT "format"

struct logdb {
    unsigned magic;
    MDB_env *env;
    MDB_dbi log;   // entry rows by index
    MDB_dbi facts; // named rows
    MDB_dbi state; // applied objects
    struct seal *write_seal;
    struct seal *read_seal;
    struct buf scratch; // one row being built
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

// The term of the entry at `index` as its row tells, 0 when there is none.
uint64_t logdb_term_at(struct logdb *db, MDB_txn *txn, uint64_t index);

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
