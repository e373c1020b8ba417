// Transactions: read, change, propose; on the control thread, one at a time, never kept open across
// loop turns.
//
// A transaction sees its own writes and those of all transactions before it, committed or still in
// flight. Its changes become one InternalRaftRequest of at most STORE_ACTIONS_MAX actions.
#ifndef MANAGER_STORE_TXN_H
#define MANAGER_STORE_TXN_H

#include "manager/store/store.h"

struct txn;

// Told when the transaction's fate is known: err NULL when it is committed, published and visible
// to readers, else why not. Exactly once, on the control thread, never before txn_commit returned.
struct txn_done {
    void (*run)(struct txn_done *done, const struct err *err);
};

// `now` becomes created_at and updated_at of what is written. Meta.version of everything written is
// the log's commit index as of the begin; with proposals in flight, the index of the newest of
// them: what the commit index will be for a leader that waits for each, as SwarmKit's does.
// RESOURCE_EXHAUSTED with STORE_PENDING_MAX proposals in flight; STORE_ERR_LOST (UNKNOWN) without a
// proposer.
int txn_begin(struct store *store, struct wall now, struct txn **txn, struct err *err);

struct view txn_view(const struct txn *txn);

// The transaction's own memory, gone with it: where messages are built and unpacked.
struct arena *txn_arena(struct txn *txn);

// The version this transaction gives to what it writes.
uint64_t txn_version(const struct txn *txn);

// The object's message, unpacked into the transaction's arena to be changed and handed to
// txn_update. NULL when there is no such object.
void *txn_edit(struct txn *txn, enum object_type type, const char *id);

// Writes a message of the type's protobuf-c struct; it is copied (packed) at once and its meta is
// filled in: the caller's struct shows version and times afterwards (in the transaction's arena).
// UNKNOWN with the texts of store.h: create: NAME, EXIST, NOKIND (a resource without its
// extension); update: NAME, NOEXIST, SEQUENCE (meta.version differs from what the store holds);
// delete: NOEXIST. RESOURCE_EXHAUSTED when the transaction has STORE_ACTIONS_MAX actions; UNKNOWN
// LARGE when its bytes pass STORE_ENTRY_BYTES. After an error the transaction is as before the call
// and may go on or be abandoned.
int txn_create(struct txn *txn, enum object_type type, void *message, struct err *err);
int txn_update(struct txn *txn, enum object_type type, void *message, struct err *err);
int txn_delete(struct txn *txn, enum object_type type, const char *id, struct err *err);

size_t txn_count(const struct txn *txn); // actions so far

// True from STORE_ACTIONS_MAX actions or three quarters of STORE_ENTRY_BYTES on: time to commit and
// begin another (SwarmKit's batch rule). `reserve` actions more must fit.
bool txn_full(const struct txn *txn, size_t reserve);

// What a write may add to an object without asking again: for txn_has_room.
#define TXN_GROWTH_BYTES ((size_t)64 * 1024)

// True when a rewrite of the stored object (NULL: a small new one) fits beside what is there. An
// empty transaction always has room.
bool txn_has_room(const struct txn *txn, const struct object *object);

// Proposes the changes and frees the transaction, error or not. 0: `done` (may be NULL) will run.
// TXN_EMPTY: nothing was changed, so nothing was proposed, and done never runs. On error done never
// runs either.
int txn_commit(struct txn *txn, struct txn_done *done, struct err *err);
#define TXN_EMPTY 1

// Forgets the changes and frees the transaction.
void txn_abandon(struct txn *txn);

// For long lists of changes: when txn_full(*txn, reserve), commits it (nobody waits for it) and
// begins another with the same time. On error *txn is NULL.
int txn_turn(struct txn **txn, size_t reserve, struct err *err);

// The same, whether it is full or not.
int txn_renew(struct txn **txn, struct err *err);

#endif
