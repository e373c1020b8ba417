// A Raft member at work: core, disk and transport tied together on the control loop.
//
// Once per loop turn everything that arrived becomes one flush of the core: one write to the disk,
// one batch of messages, one run of committed entries. Thousands of proposals of one turn share one
// sync.
//
// State: the owner (manager/replica) keeps the applied objects in memory and tells the node which
// rows changed (raft_node_put) while it applies; rows travel to disk with the next write, together
// with the index they stand at. A restart hands the rows back and replays only the tail of the log.
//
// Everything here runs on the loop that was given; callbacks come from that loop, never inside the
// call that causes them.
#ifndef RAFT_NODE_IO_H
#define RAFT_NODE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/list.h"
#include "proto/base/loop_io.h"
#include "raft/core/raft.h"
#include "raft/disk/seal.h"
#include "raft/members.h"
#include "raft/net/transport.h"

// Entries applied since the start of the log before it is cut, and how many stay for slow followers
// (swarmkit 18.1).
#define RAFT_NODE_COMPACT_ENTRIES 10000
#define RAFT_NODE_KEEP_ENTRIES    500

// Rows are gathered for this time or up to this many bytes, then written with the next commit. What
// a write of the log has to wait for is so its own pages only, and a row that changes again soon is
// written once. A restart replays what was not written.
#define RAFT_NODE_ROWS_MS    1000
#define RAFT_NODE_ROWS_BYTES ((size_t)128 << 10)

// A database that made a large commit and then none for this time gives back what it kept of it.
#define RAFT_NODE_SETTLE_MS 2000

// A commit that the full disk refused is tried again after this time.
#define RAFT_NODE_DISK_RETRY_MS 1000

// Texts that clients match (swarmkit 18.8); the codes are UNKNOWN.
#define RAFT_NODE_ERR_LOST    "raft: failed to process the request: node lost leader status"
#define RAFT_NODE_ERR_STOPPED "raft: failed to process the request: node is stopped"

struct raft_node;

// ---- what the owner hands in --------------------------------------------------------------------

struct raft_node_role {
    enum raft_role role;
    uint64_t leader; // raft id, 0: unknown
    uint64_t term;
    bool acting; // leader that has applied everything in its log: may act as one (swarmkit 18.9)
};

struct raft_node_ops {
    // A committed entry that no proposal of ours waits for. An error stops the node: state would
    // diverge. (What an entry itself does wrong is the owner's to ignore, returning 0.)
    int (*apply)(void *ctx, uint64_t index, const void *data, size_t size, struct err *err);

    // Anything of it changed.
    void (*role)(void *ctx, const struct raft_node_role *role);

    // The member list changed (a change was applied, a snapshot installed).
    void (*members)(void *ctx, const struct members *members);

    // The store as of what is applied, as a StoreSnapshot message, appended to `out`.
    int (*save)(void *ctx, struct buf *out, struct err *err);

    // Replaces the store with this StoreSnapshot at `index`, and puts all its rows.
    int (*load)(void *ctx, uint64_t index, const void *store, size_t size, struct err *err);

    // At open: one row as it was put before; then, once, that all were, and the index they stand
    // at.
    int (*row)(void *ctx, const void *key, size_t key_size, const void *value, size_t value_size,
               struct err *err);
    int (*rows_done)(void *ctx, uint64_t applied, struct err *err);

    // The node cannot go on: damaged or failing disk, or this member was removed (NOT_FOUND with
    // MEMBERS_ERR_REMOVED). Proposals and reads have been failed; the owner closes the node.
    void (*stopped)(void *ctx, const struct err *why);
    void *ctx;
};

struct raft_node_config {
    struct loop *loop;
    const char *dir; // of the log database
    struct seal_key key;
    const struct seal_key *previous_key; // NULL: no rotation under way
    // With previous_key: no record under it is left. May be NULL.
    void (*rotated)(void *ctx);
    void *rotated_ctx;
    struct transport *transport; // borrowed
    struct raft_node_ops ops;
    uint64_t seed;

    // 0: the defaults above. For tests.
    uint64_t compact_entries;
    uint64_t keep_entries;
    struct raft_pace patient, quick; // heartbeat_ms 0: core's defaults
};

// ---- life ---------------------------------------------------------------------------------------

// Opens the database and hands its rows to the owner (ops.row, ops.rows_done, inside this call).
// The node then stands still: when raft_node_is_member says so, raft_node_start goes on from there;
// else raft_node_found or raft_node_join makes it one first. Blocks.
int raft_node_open(const struct raft_node_config *config, struct raft_node **out, struct err *err);
bool raft_node_is_member(const struct raft_node *node);

// Founds a cluster of this one member. Blocks for one commit.
int raft_node_found(struct raft_node *node, uint64_t raft_id, const char *node_id, const char *addr,
                    struct err *err);

// Becomes the member that a leader's Join reply named, with an empty log. Blocks for one commit.
int raft_node_join(struct raft_node *node, uint64_t raft_id, const Swarm__ClusterSnapshot *members,
                   struct err *err);

// The only member left of a cluster that lost its quorum: all others are removed, all that is in
// the log stays (swarmkit 6.5, force-new-cluster). Before raft_node_start. FAILED_PRECONDITION when
// this node was removed itself. Blocks for one commit.
int raft_node_force_new(struct raft_node *node, const char *addr, struct err *err);

// Starts to take part.
int raft_node_start(struct raft_node *node, struct err *err);

// Hands leadership on when it has it and somebody can take it, waits for running jobs, and frees
// the node; `closed` (may be NULL) runs then. Proposals and reads still waiting fail with
// RAFT_NODE_ERR_STOPPED.
void raft_node_close(struct raft_node *node, void (*closed)(void *ctx), void *ctx);

// ---- messages -----------------------------------------------------------------------------------

// A member sent us something; `snapshot` is a MsgSnap's data (own reference taken), else NULL.
// Messages not meant for us, from removed members or ignored by rule are no errors.
int raft_node_receive(struct raft_node *node, const struct raft_message *message,
                      struct raft_blob *snapshot, struct err *err);

// What the transport reports; fill raft_node_config.transport's owner with it.
struct transport_reports raft_node_reports(struct raft_node *node);

// ---- proposals and reads ------------------------------------------------------------------------

// Embedded by the caller and kept until done, which runs exactly once: err NULL when the entry is
// committed (and is the next to be applied), else why not; with RAFT_NODE_ERR_LOST it may still get
// committed and then comes through ops.apply.
struct raft_proposal {
    struct list link;
    uint64_t index; // of the entry, once proposed
    uint64_t term;
    void (*done)(struct raft_proposal *proposal, const struct err *err);
};

// Appends an entry with this body (one reference is taken). On error nothing was appended and done
// never runs: UNKNOWN with RAFT_NODE_ERR_LOST when not leader, RESOURCE_EXHAUSTED when too much is
// uncommitted.
int raft_node_propose(struct raft_node *node, struct raft_proposal *proposal,
                      struct raft_blob *body, struct err *err);

// Proposes a change of members: checked against the present list first. `node_id` and `addr` are
// NULL for a removal. FAILED_PRECONDITION while another change is under way.
int raft_node_propose_change(struct raft_node *node, struct raft_proposal *proposal,
                             enum raft_change_type type, uint64_t raft_id, const char *node_id,
                             const char *addr, struct err *err);

// Embedded by the caller. done: err NULL when everything that was acknowledged anywhere before the
// question is applied here.
struct raft_barrier {
    struct list link;
    uint64_t index;
    void (*done)(struct raft_barrier *barrier, const struct err *err);
};
int raft_node_read(struct raft_node *node, struct raft_barrier *barrier, struct err *err);

// Hands leadership to a member (0: the one furthest ahead).
int raft_node_transfer(struct raft_node *node, uint64_t to, struct err *err);

// Whether `victim` may be removed without losing the quorum (swarmkit 18.8).
int raft_node_check_removal(const struct raft_node *node, uint64_t victim, struct err *err);

// ---- state rows ---------------------------------------------------------------------------------

// A row of applied state changed (value NULL: it is gone). Called while applying: inside ops.apply,
// ops.load and a proposal's done. Keys begin with a byte from 0x20 on; lower ones are the node's
// own.
void raft_node_put(struct raft_node *node, const void *key, size_t key_size, const void *value,
                   size_t value_size);

// ---- keys and figures ---------------------------------------------------------------------------

// Seals with `key` from now on; *rotated runs when no record under the previous key is left.
// FAILED_PRECONDITION while another rotation is under way.
int raft_node_rotate_key(struct raft_node *node, const struct seal_key *key,
                         void (*rotated)(void *ctx), void *ctx, struct err *err);

uint64_t raft_node_id(const struct raft_node *node); // 0: not a member yet
const struct members *raft_node_members(const struct raft_node *node);
struct raft_node_role raft_node_role(const struct raft_node *node);
uint64_t raft_node_commit_index(const struct raft_node *node);
uint64_t raft_node_applied(const struct raft_node *node);
const struct raft *raft_node_core(const struct raft_node *node);          // NULL before start
bool raft_node_reachable(const struct raft_node *node, uint64_t raft_id); // own member: true

struct logdb_figures;
void raft_node_disk_figures(const struct raft_node *node, struct logdb_figures *out);

#endif
