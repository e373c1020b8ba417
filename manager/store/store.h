// The store: the cluster's state in memory, as a chain of immutable roots.
//
// One thread, the control thread, owns it: transactions (txn.h), watchers (watch.h), applying and
// restoring happen there only. Any other thread reads the committed root through store_pin, without
// locks and without ever waiting.
//
// How a change travels: a transaction edits a private copy of the newest root (path copying: what
// did not change is shared) and proposes its actions. It then waits in the row of pending roots;
// the next transaction starts from it, so that proposals pipeline. When the proposer says the entry
// is committed, its root is published: readers see it, watchers hear of it, the caller is answered.
// When a proposal fails, it and everything built on it is forgotten.
#ifndef MANAGER_STORE_STORE_H
#define MANAGER_STORE_STORE_H

#include "manager/store/view.h"
#include "proto/base/buf.h"
#include "proto/base/clock.h"

struct store;

// Texts that clients match (swarmkit.md section 19); the code is ERR_UNKNOWN for all of them.
#define STORE_ERR_EXIST    "object already exists"
#define STORE_ERR_NOEXIST  "object does not exist"
#define STORE_ERR_NAME     "name conflicts with an existing object"
#define STORE_ERR_SEQUENCE "update out of sequence"
#define STORE_ERR_NOKIND   "object kind is unregistered"
#define STORE_ERR_LARGE    "raft: raft message is too large and can't be sent"
#define STORE_ERR_LOST     "raft: failed to process the request: node lost leader status"

// Most actions in one entry, and most bytes (swarmkit.md section 19).
#define STORE_ACTIONS_MAX 200
#define STORE_ENTRY_BYTES ((size_t)1536 * 1024)

// Proposals in flight; a transaction begun beyond gets RESOURCE_EXHAUSTED.
#define STORE_PENDING_MAX 4096

// One change on its way through the log. Embedded by the store in its own records.
struct proposal {
    // The entry is committed (err NULL), or will not be proposed by us any more (err filled; it may
    // still be committed by another leader, and then comes back through store_apply). Exactly once,
    // on the control thread, never before propose returned, for all proposals in their order.
    void (*done)(struct proposal *proposal, const struct err *err);
};

// What stands between the store and Raft: manager/replica in the product, a fake in tests.
struct proposer {
    // The log's commit index now.
    uint64_t (*commit_index)(struct proposer *proposer);

    // Appends an entry. `actions` holds the action fields of an InternalRaftRequest; the proposer
    // puts the id field before them (protobuf fields concatenate) and takes the bytes with
    // buf_steal or copies them. *index is the entry's index in the log. On error (not leader,
    // stopped) nothing was appended and done never runs.
    int (*propose)(struct proposer *proposer, struct buf *actions, struct proposal *proposal,
                   uint64_t *index, struct err *err);
};

struct store *store_new(void);

// All pins must be given back, all watchers closed, no transaction open; pending proposals are
// forgotten without a call. The proposer must not call done afterwards.
void store_free(struct store *store);

// Sets who proposes; NULL (a follower's state) makes txn_commit fail with STORE_ERR_LOST. Pending
// transactions fail with it first.
void store_set_proposer(struct store *store, struct proposer *proposer);

// Fails every pending transaction, newest root last: leadership is lost.
void store_abandon(struct store *store, const struct err *err);

// Applies a committed entry of another leader, or of ours from before a restart: the bytes of an
// InternalRaftRequest, at log index `index`. All actions in order, or none: a broken entry, an
// unknown target, a create of what exists, an update or removal of what does not, or a name taken
// twice discards the whole entry with an error (swarmkit.md section 18.6). Pending transactions of
// our own that are not in the log before it are failed first.
int store_apply(struct store *store, const void *entry, size_t size, uint64_t index,
                struct err *err);

// The log index up to which the committed root holds everything: the last published proposal's,
// applied entry's or restored snapshot's.
uint64_t store_applied(const struct store *store);

// True when no proposal is on its way: what transactions see is what is committed.
bool store_settled(const struct store *store);

// ---- reading from any thread -------------------------------------------------------------------

// A thread that pins registers once (liburcu, memb), and unregisters before it ends. The thread
// that made the store is registered by store_new.
void store_reader_enter(void);
void store_reader_leave(void);

// The committed state, unchanging until unpinned; may be kept across calls and loop turns, and
// costs the memory of what changed since. Any registered thread; unpin from any thread.
struct view store_pin(struct store *store);
void store_unpin(struct view view);

// Gives back what no reader needs any more (which each commit does in passing as well), and after
// large deletions freed pages to the system. The owner calls it on a slow timer (1 s), so that an
// idle store shrinks. Control thread.
void store_tidy(struct store *store);

// ---- figures -----------------------------------------------------------------------------------

struct store_stats {
    uint64_t commits;    // roots published
    size_t roots_live;   // current, pending and still pinned
    size_t dead_items;   // nodes and objects waiting for a pinned root
    size_t tree_bytes;   // index nodes alive
    size_t object_bytes; // objects alive (held by the store)
    size_t pending;      // proposals in flight
};
void store_stats(const struct store *store, struct store_stats *out);

#endif
