// Inside of a Raft member, shared by node_io (life, turns), node_apply_io (committed entries,
// proposals, reads, snapshots) and node_disk_io (jobs). Nobody else includes this.
#ifndef RAFT_NODE_PRIVATE_IO_H
#define RAFT_NODE_PRIVATE_IO_H

#include "raft/disk/logdb_io.h"
#include "raft/node_io.h"
#include "raft/rows.h"

#define RAFT_NODE_MAGIC 0x6e6f6465u

// Most loads the core has open at a time are few (one per lagging peer, one for apply).
#define NODE_LOADS_MAX        (RAFT_MEMBERS_MAX + 8)
#define NODE_LOAD_ENTRIES_MAX 16384

// Rows sealed anew between two commits while keys rotate.
#define NODE_RESEAL_ROWS 512

// Keys of the node's own rows.
#define NODE_ROW_SELF    "\1self"
#define NODE_ROW_MEMBERS "\1members"
#define NODE_ROW_OWN_MAX 0x20

// One commit on its way to the disk; node->commit.running while it is.
struct node_commit {
    struct loop_work work;
    bool running;
    bool stalled; // refused for want of space, waiting for `retry`
    bool has_write;
    struct raft_write write; // borrowed from the core until PERSISTED
    struct rows rows;
    uint64_t applied; // 0: rows and what belongs to them stay for a later one
    struct raft_conf conf;
    uint64_t compact_to;
    bool has_ours;
    uint64_t ours[RAFT_MEMBERS_MAX];
    size_t ours_count;
    bool reseal, resealed;
    bool settles; // no commit: the database is opened again
    bool swollen; // and should be
    int result;
    struct err err;
    struct loop_timer retry;
};

// Reading entries back for the core, one load at a time.
struct node_load {
    struct loop_work work;
    bool running;
    struct raft_load wanted[NODE_LOADS_MAX];
    size_t wanted_count;
    struct raft_entry *entries;
    size_t count;
    int result;
    struct err err;
};

// Snapshot data by the handle the core knows it by.
struct node_snapshot {
    uint64_t handle; // 0: none
    uint64_t index;
    struct raft_blob *data;
};

struct raft_node {
    unsigned magic;
    struct loop *loop;
    struct transport *transport;
    struct raft_node_ops ops;
    struct raft_config core_config;
    struct raft *core; // NULL before start
    struct logdb *db;
    uint64_t compact_entries, keep_entries;

    uint64_t self; // raft id, 0: none
    struct members members;
    struct raft_node_role role;
    struct raft_boot boot; // read at open, used at start

    struct loop_later turn;
    struct loop_timer wake;
    struct loop_timer rows_timer;
    struct loop_timer settle_timer;
    struct rows rows; // gathered for a commit
    bool rows_late;   // their time is over: the next commit takes them
    struct node_commit commit;
    bool held; // a write waits for a commit of rows to end
    struct raft_write held_write;
    struct node_load load;

    struct list proposals; // raft_proposal.link, by index
    struct map barriers;   // number -> raft_barrier, asked and not answered
    struct list waiting;   // raft_barrier.link: answered, not yet applied; by index
    uint64_t next_barrier;

    struct node_snapshot incoming; // until the write that installs it
    struct node_snapshot outgoing; // the newest made
    size_t outgoing_users;
    uint64_t next_handle;

    bool ours_changed;
    struct {
        bool wanted; // set_keys is due as soon as no job runs
        bool active; // records under the previous key are being sealed anew
        struct seal_key key, previous;
        void (*done)(void *ctx);
        void *ctx;
    } rotation;
    struct seal_key key;

    bool removed; // by a committed change; false while it is only hearsay
    bool failed;
    bool closing;
    struct loop_timer closing_timer; // no longer than this for handing leadership on
    void (*closed)(void *ctx);
    void *closed_ctx;
};

// ---- node_io ------------------------------------------------------------------------------------

// Stops for good: fails what waits, tells the owner once.
void node_fail(struct raft_node *node, const struct err *why);

// Stops a member that was removed, once it need not be leader any more.
void node_part_if_removed(struct raft_node *node);

// Feeds the core one event and asks for a turn.
int node_step(struct raft_node *node, const struct raft_event *event, struct err *err);

// ---- node_apply_io ------------------------------------------------------------------------------

// Applies the update's committed entries. True when anything was fed back to the core.
bool node_apply(struct raft_node *node, const struct raft_update *update);
void node_answer_reads(struct raft_node *node, const struct raft_update *update);
bool node_make_snapshots(struct raft_node *node, const struct raft_update *update);

// The data of the snapshot that a write installs goes into store, members and rows.
int node_install_snapshot(struct raft_node *node, const struct raft_snapshot *snapshot,
                          struct err *err);

// Fails every waiting proposal and read with UNKNOWN and this text.
void node_fail_waiting(struct raft_node *node, const char *text);

// The member list as a row for the next commit.
void node_put_members(struct raft_node *node);

// Tells transport and owner who the members are now.
void node_publish_members(struct raft_node *node);

void node_drop_snapshot(struct node_snapshot *snapshot);

// ---- node_disk_io -------------------------------------------------------------------------------

// Starts a commit when there is something to write and none runs. `write` may be NULL.
void node_commit_start(struct raft_node *node, const struct raft_write *write);

// Commits rows, compaction or resealing if they are due and nothing else brings a commit.
void node_commit_rows_if_due(struct raft_node *node);

// Has a quiet database give back what large commits left behind, or looks again later.
void node_settle_disk(struct raft_node *node);
void node_load_add(struct raft_node *node, const struct raft_load *load);
bool node_jobs_running(const struct raft_node *node);

#endif
