// What agents report, collected until it is written to the store in one go: task statuses, node
// states, volumes given back (swarmkit.md sections 8.2, 9.3, 9.6). Pure.
//
// Only the newest report per task and node counts.
#ifndef MANAGER_DISPATCH_WRITES_H
#define MANAGER_DISPATCH_WRITES_H

#include "manager/store/txn.h"
#include "proto/base/map.h"
#include "proto/base/metrics.h"
#include "proto/wire/objects.pb-c.h"

struct writes {
    struct map tasks;   // task id -> Swarm__TaskStatus
    struct map nodes;   // node id -> struct node_write
    struct map volumes; // volume id, blank, node id; no values
    // How long tasks took from their creation until they ran. The owner's; NULL: not wanted.
    struct histogram *delay;
};

void writes_init(struct writes *writes);
void writes_fini(struct writes *writes);
size_t writes_count(const struct writes *writes);

// Everything is copied.
void writes_task(struct writes *writes, const char *task_id, const Swarm__TaskStatus *status);

// `addr` "" and `description` NULL leave those of the node as they are (or as an earlier write says
// that still waits).
void writes_node(struct writes *writes, const char *node_id, Swarm__NodeStatus__State state,
                 const char *message, const char *addr, const Swarm__NodeDescription *description);
void writes_volume(struct writes *writes, const char *volume_id, const char *node_id);

// Who is told what became of a node's write: the version its object will have, or 0 when there is
// no such node.
struct writes_hook {
    void (*node)(void *ctx, const char *node_id, uint64_t version);
    void *ctx;
};

// Proposes all of it, in as many entries as it takes. `applied_by` is the leader's node id. On
// error what was not proposed yet still waits.
int writes_flush(struct writes *writes, struct store *store, struct wall now,
                 const char *applied_by, const struct writes_hook *hook, struct err *err);

// Every node that is not DOWN becomes UNKNOWN, as after a change of leader.
int writes_unknown(struct store *store, struct wall now, struct err *err);

// The unfinished tasks of a node that was DOWN for too long become ORPHANED.
int writes_orphaned(struct store *store, const char *node_id, struct wall now, struct err *err);

#endif
