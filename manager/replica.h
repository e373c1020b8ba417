// The one seam between the store and Raft: proposals go out, committed entries come in, and every
// change leaves as a row for the disk.
//
// Rows are objects by "<type name>/<id>"; a restart puts the store together from them and replays
// the tail of the log.
#ifndef MANAGER_REPLICA_H
#define MANAGER_REPLICA_H

#include "manager/store/store.h"
#include "proto/base/metrics.h"
#include "raft/node_io.h"

struct replica;

// A replica around an empty store (borrowed, with this as its only source of change). `seed` is for
// the entries' ids, by which members find their waiting proposers.
struct replica *replica_new(struct store *store, uint64_t seed);
void replica_free(struct replica *replica);

// The callbacks that raft_node_open needs for a replica: apply, save, load, row, rows_done, with
// the replica as their context. `role`, `members` and `stopped` are the manager's: they are passed
// on with `ctx`.
struct replica_owner {
    void (*role)(void *ctx, const struct raft_node_role *role);
    void (*members)(void *ctx, const struct members *members);
    void (*stopped)(void *ctx, const struct err *why);
    void *ctx;
};
struct raft_node_ops replica_ops(struct replica *replica, const struct replica_owner *owner);

// The node that was opened with them. NULL when it is closing: nothing can be proposed from then
// on.
void replica_set_node(struct replica *replica, struct raft_node *node);

// How long things took: a change from its proposal until it is committed and published, a snapshot
// of the store.
struct replica_figures {
    struct histogram transaction;
    struct histogram snapshot;
};
const struct replica_figures *replica_figures(const struct replica *replica);

#endif
