#include "raft/node_private_io.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

static struct raft_node *node_of_commit(struct node_commit *commit)
{
    struct raft_node *node = CONTAINER_OF(commit, struct raft_node, commit);
    MAGIC_CHECK(node, RAFT_NODE_MAGIC);
    return node;
}

bool node_jobs_running(const struct raft_node *node)
{
    return node->commit.running || node->load.running;
}

// ---- commits ------------------------------------------------------------------------------------

// On a pool thread. Touches the commit and the database only.
static void run_commit(struct loop_work *work)
{
    struct node_commit *commit = CONTAINER_OF(work, struct node_commit, work);
    struct logdb *db = CONTAINER_OF(commit, struct raft_node, commit)->db;
    if (commit->settles) {
        commit->result = logdb_settle(db, &commit->err);
        commit->swollen = false;
        return;
    }
    bool snapshot = commit->has_write && commit->write.snapshot;
    struct logdb_batch batch = {
        .write = commit->has_write ? &commit->write : NULL,
        .state_replaced = commit->rows.replaced,
        // A snapshot brings its own index and configuration.
        .applied = snapshot ? 0 : commit->applied,
        .conf = snapshot || !commit->applied ? NULL : &commit->conf,
        .compact_to = commit->compact_to,
        .ours = commit->has_ours ? commit->ours : NULL,
        .ours_count = commit->ours_count,
    };
    batch.ops = rows_ops(&commit->rows, &batch.ops_count);
    commit->result = logdb_commit(db, &batch, &commit->err);
    if (!commit->result && commit->reseal)
        commit->result = logdb_reseal(db, NODE_RESEAL_ROWS, &commit->resealed, &commit->err);
    commit->swollen = logdb_swollen(db);
}

static void on_committed(struct loop_work *work);
static void next_load(struct raft_node *node);

static void begin(struct raft_node *node)
{
    node->commit.running = true;
    loop_work_start(node->loop, &node->commit.work, run_commit, on_committed);
}

static void on_retry(struct loop_timer *timer)
{
    struct node_commit *commit = CONTAINER_OF(timer, struct node_commit, retry);
    struct raft_node *node = node_of_commit(commit);
    if (!node->failed)
        begin(node);
}

// The disk is full: nothing of this commit happened, so it is tried again until there is room.
// While it waits nothing is acknowledged; a leader hands over to somebody who can still write.
static void stall(struct raft_node *node)
{
    struct node_commit *commit = &node->commit;
    if (!commit->stalled) {
        commit->stalled = true;
        log_error("log database is full, waiting for space", "err=\"%s\"", commit->err.message);
        struct raft_event event = {.type = RAFT_EVENT_TRANSFER};
        if (node->core && raft_role(node->core) == RAFT_LEADER)
            node_step(node, &event, NULL); // alone there is nobody to hand over to
    }
    loop_timer_init(&commit->retry, node->loop, on_retry);
    loop_timer_start(&commit->retry, RAFT_NODE_DISK_RETRY_MS);
}

static void finish_rotation(struct raft_node *node)
{
    node->rotation.active = false;
    logdb_set_keys(node->db, &node->key, NULL);
    explicit_bzero(&node->rotation.previous, sizeof node->rotation.previous);
    if (node->rotation.done)
        node->rotation.done(node->rotation.ctx);
}

static void on_committed(struct loop_work *work)
{
    struct node_commit *commit = CONTAINER_OF(work, struct node_commit, work);
    struct raft_node *node = node_of_commit(commit);
    commit->running = false;
    bool settled = commit->settles;
    commit->settles = false;
    loop_later_ask(&node->turn);
    if (commit->result == -ERR_RESOURCE_EXHAUSTED && !node->closing && !settled) {
        stall(node);
        return;
    }
    if (commit->result) {
        // An error of the disk is final: what is acknowledged must be what is stored.
        err_wrap(&commit->err, "raft");
        node_fail(node, &commit->err);
        return;
    }
    if (commit->stalled) {
        commit->stalled = false;
        log_info("log database has space again", "%s", "");
    }
    rows_fini(&commit->rows);
    rows_init(&commit->rows);
    if (commit->resealed && node->rotation.active && !node->load.running)
        finish_rotation(node);
    if (node->failed || !node->core)
        return;
    if (settled)
        next_load(node);
    if (commit->swollen)
        loop_timer_start(&node->settle_timer, RAFT_NODE_SETTLE_MS); // counted from the last commit
    if (commit->compact_to) {
        struct raft_event event = {.type = RAFT_EVENT_COMPACTED, .u.index = commit->compact_to};
        node_step(node, &event, NULL);
    }
    if (commit->has_write) {
        struct raft_event event = {.type = RAFT_EVENT_PERSISTED, .u.write = commit->write.number};
        node_step(node, &event, NULL);
    }
    if (node->held) {
        node->held = false;
        node_commit_start(node, &node->held_write);
    }
}

// How far the log may be cut: once it is long enough, up to `keep_entries` behind what is applied.
static uint64_t compaction_due(const struct raft_node *node)
{
    uint64_t applied = raft_applied(node->core), first = raft_first_index(node->core);
    if (applied < first || applied - first + 1 < node->compact_entries + node->keep_entries)
        return 0;
    return applied - node->keep_entries;
}

static void change_keys(struct raft_node *node)
{
    node->rotation.wanted = false;
    node->rotation.active = true;
    node->rotation.previous = node->key;
    node->key = node->rotation.key;
    explicit_bzero(&node->rotation.key, sizeof node->rotation.key);
    logdb_set_keys(node->db, &node->key, &node->rotation.previous);
}

// Whether a commit of this write takes the rows along. It must where the log is cut, which is only
// right up to what is stored as applied, and where what was stored before goes. Otherwise a write
// goes alone, which costs one flush: what a restart finds as applied then lies further behind, and
// it applies the entries since again.
static bool takes_rows(const struct raft_node *node, const struct raft_write *write)
{
    return !write || write->snapshot || node->commit.compact_to || node->rows.replaced ||
           node->rows_late || node->rows.bytes >= RAFT_NODE_ROWS_BYTES;
}

void node_commit_start(struct raft_node *node, const struct raft_write *write)
{
    struct node_commit *commit = &node->commit;
    CHECK(!commit->running);
    CHECK(!commit->stalled);
    if (node->rotation.wanted && !node->load.running)
        change_keys(node);
    commit->has_write = write != NULL;
    if (write)
        commit->write = *write;
    commit->compact_to = write && write->snapshot ? 0 : compaction_due(node);
    commit->applied = 0;
    if (takes_rows(node, write)) {
        rows_move(&commit->rows, &node->rows);
        commit->applied = raft_applied(node->core);
        commit->conf = *raft_conf(node->core);
        node->rows_late = false;
        loop_timer_stop(&node->rows_timer);
    }
    commit->has_ours = node->ours_changed;
    if (node->ours_changed) {
        struct raft_peer_status peers[RAFT_MEMBERS_MAX];
        size_t count = raft_peers(node->core, peers, COUNT_OF(peers));
        commit->ours_count = 0;
        for (size_t i = 0; i < count && i < COUNT_OF(peers); i++)
            if (peers[i].ours)
                commit->ours[commit->ours_count++] = peers[i].id;
        node->ours_changed = false;
    }
    commit->reseal = node->rotation.active;
    commit->resealed = false;
    begin(node);
}

void node_commit_rows_if_due(struct raft_node *node)
{
    if (!rows_empty(&node->rows) && !node->rows_late && !loop_timer_running(&node->rows_timer))
        loop_timer_start(&node->rows_timer, RAFT_NODE_ROWS_MS);
    if (node->commit.running || node->commit.stalled)
        return;
    bool due = compaction_due(node) != 0 || node->rows.bytes >= RAFT_NODE_ROWS_BYTES ||
               (node->rows_late && !rows_empty(&node->rows)) || node->rotation.active ||
               (node->rotation.wanted && !node->load.running);
    if (due)
        node_commit_start(node, NULL);
}

void node_settle_disk(struct raft_node *node)
{
    struct node_commit *commit = &node->commit;
    if (node->failed || node->closing)
        return;
    if (node_jobs_running(node) || commit->stalled || !rows_empty(&node->rows)) {
        loop_timer_start(&node->settle_timer, RAFT_NODE_SETTLE_MS);
        return;
    }
    commit->settles = true;
    commit->has_write = false;
    commit->has_ours = false;
    commit->reseal = commit->resealed = false;
    commit->compact_to = 0;
    commit->applied = 0;
    begin(node);
}

// ---- loads --------------------------------------------------------------------------------------

static void run_load(struct loop_work *work)
{
    struct node_load *load = CONTAINER_OF(work, struct node_load, work);
    struct logdb *db = CONTAINER_OF(load, struct raft_node, load)->db;
    const struct raft_load *wanted = &load->wanted[0];
    uint64_t span = wanted->last - wanted->first + 1;
    size_t room = span < NODE_LOAD_ENTRIES_MAX ? (size_t)span : NODE_LOAD_ENTRIES_MAX;
    load->entries = mem_alloc_array(room, sizeof *load->entries);
    load->result = logdb_load(db, wanted->first, wanted->last, wanted->bytes, load->entries, room,
                              &load->count, &load->err);
}

static void on_loaded(struct loop_work *work);

static void next_load(struct raft_node *node)
{
    // A key change waits for the jobs that run; it must not wait for ever for the next one to end.
    if (node->load.running || node->load.wanted_count == 0 || node->rotation.wanted ||
        node->commit.settles)
        return;
    node->load.running = true;
    loop_work_start(node->loop, &node->load.work, run_load, on_loaded);
}

static void on_loaded(struct loop_work *work)
{
    struct node_load *load = CONTAINER_OF(work, struct node_load, work);
    struct raft_node *node = CONTAINER_OF(load, struct raft_node, load);
    MAGIC_CHECK(node, RAFT_NODE_MAGIC);
    load->running = false;
    if (load->result) {
        err_wrap(&load->err, "raft");
        node_fail(node, &load->err);
    } else if (!node->failed) {
        struct raft_event event = {.type = RAFT_EVENT_LOADED,
                                   .u.loaded = {.load = load->wanted[0].number,
                                                .entries = load->entries,
                                                .count = load->count}};
        // Entries that are not those the core knows of: the stored log is damaged.
        struct err err = ERR_INIT;
        if (node_step(node, &event, &err) == -ERR_DATA_LOSS)
            node_fail(node, &err);
    }
    for (size_t i = 0; i < load->count; i++)
        raft_blob_unref(load->entries[i].data);
    MEM_FREE(load->entries);
    load->count = 0;
    memmove(&load->wanted[0], &load->wanted[1], --load->wanted_count * sizeof load->wanted[0]);
    loop_later_ask(&node->turn);
    if (!node->failed)
        next_load(node);
}

void node_load_add(struct raft_node *node, const struct raft_load *load)
{
    CHECK(node->load.wanted_count < NODE_LOADS_MAX);
    node->load.wanted[node->load.wanted_count++] = *load;
    next_load(node);
}
