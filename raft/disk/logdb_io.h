// The durable half of a manager: Raft log, hard state and applied state in one LMDB environment
// with a journal beside it, sealed at rest.
//
// One commit is atomic and synced, however much it carries. A write of the log alone, as most are,
// is a record of the journal and one flush; everything else is a transaction, which takes along
// what the journal holds. All calls block: raft/node runs them in worker jobs, at most one commit
// and one read at a time (they may overlap each other).
//
// Errors, which name what is damaged or full:
//   DATA_LOSS           a record does not verify, or the database contradicts itself, or the disk
//                       reported an I/O error. The node must stop; nothing was replayed, and
//                       nothing more is written before the database is opened again.
//   RESOURCE_EXHAUSTED  the disk or the map is full. Nothing changed; the same commit may be tried
//                       again when there is room.
#ifndef RAFT_DISK_LOGDB_IO_H
#define RAFT_DISK_LOGDB_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "raft/core/raft.h"
#include "raft/disk/seal.h"

// Address space reserved for the file, which grows as needed: no disk is taken for it.
#define LOGDB_MAP_BYTES ((size_t)64 << 30)

// The file is extended in steps of this, zeroed beforehand: syncing a file that grows costs three
// times as much as syncing one that does not.
#define LOGDB_EXTEND_BYTES ((size_t)8 << 20)

// Longest key of a state row (LMDB's own limit).
#define LOGDB_KEY_BYTES_MAX 511

struct logdb;

// Opens or creates the database in folder `dir` (made with mode 0700 when missing). `previous` is
// the data key that a rotation is leaving, or NULL. FAILED_PRECONDITION when the format is newer
// than this program; PERMISSION_DENIED when the records were made with another data key.
int logdb_open(const char *dir, const struct seal_key *current, const struct seal_key *previous,
               struct logdb **out, struct err *err);
void logdb_close(struct logdb *db); // NULL is harmless

// Removes the folder with all it holds. When it is interrupted, what is left opens as a new
// database. A folder that is not there is no error.
int logdb_remove(const char *dir, struct err *err);

// ---- start --------------------------------------------------------------------------------------

// What raft_new needs, read from the log. `boot` points into the logdb until its next call here.
// DATA_LOSS when entries are missing, or facts are missing beside entries.
int logdb_boot(struct logdb *db, struct raft_boot *boot, struct err *err);

// ---- one durable change -------------------------------------------------------------------------

struct logdb_op {
    const void *key;
    size_t key_size; // 1 to LOGDB_KEY_BYTES_MAX
    const void *value;
    size_t value_size; // at most ROW_STATE_BYTES_MAX
    bool remove;       // the row goes, `value` is ignored; a missing row is no error
};

// Everything borrowed until the call returns. Fields left zero change nothing. Applied in this
// order: snapshot of `write`, state, entries, hard state, compaction.
struct logdb_batch {
    const struct raft_write *write; // NULL: the log does not change
    bool state_replaced;            // all state rows go before `ops`
    const struct logdb_op *ops;
    size_t ops_count;
    uint64_t applied;             // the state now includes everything up to here
    const struct raft_conf *conf; // configuration as of `applied`
    uint64_t compact_to;  // entries up to and including this one go (but not past `applied`)
    const uint64_t *ours; // peers of our own kind
    size_t ours_count;
};

int logdb_commit(struct logdb *db, const struct logdb_batch *batch, struct err *err);

// LMDB keeps memory for all pages of the largest commit that it ever made. True when a commit was
// so large that it is worth while to open the database again.
bool logdb_swollen(const struct logdb *db);

// Closes and opens the database, and gives back what it kept. Not while any other call is under
// way. After an error it can only be closed.
int logdb_settle(struct logdb *db, struct err *err);

// ---- reading ------------------------------------------------------------------------------------

// Reads entries `first` to `last` at most, stopping before the sum of raft_entry_bytes passes
// `bytes_max` (one entry at least), into `entries`, which has room for `entries_max`. *count is how
// many; 0 when `first` is compacted away. The caller unrefs each entry's data.
int logdb_load(struct logdb *db, uint64_t first, uint64_t last, size_t bytes_max,
               struct raft_entry *entries, size_t entries_max, size_t *count, struct err *err);

// Calls `each` for every state row in key order, from one consistent view; *applied (may be NULL)
// is the index that view stands at. `each` returns 0, or an error that ends the walk.
typedef int (*logdb_each_fn)(void *ctx, const void *key, size_t key_size, const void *value,
                             size_t value_size, struct err *err);
int logdb_state_each(struct logdb *db, logdb_each_fn each, void *ctx, uint64_t *applied,
                     struct err *err);

// ---- key rotation -------------------------------------------------------------------------------

// From now on seals with `current`, and opens `previous` as well. Not while a call is under way.
void logdb_set_keys(struct logdb *db, const struct seal_key *current,
                    const struct seal_key *previous);

// Seals up to `rows_max` rows anew that were made with the previous key. *done when none is left:
// the previous key may then be forgotten.
int logdb_reseal(struct logdb *db, size_t rows_max, bool *done, struct err *err);

// ---- figures ------------------------------------------------------------------------------------

struct logdb_figures {
    uint64_t commits;
    uint64_t journaled; // of them, by a record of the journal
    uint64_t rows_written;
    uint64_t bytes_written; // of rows, sealed
    uint64_t file_bytes;
    uint64_t settles;
};
void logdb_figures(const struct logdb *db, struct logdb_figures *out);

#endif
