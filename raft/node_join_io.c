#include "raft/node_private_io.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "raft/net/convert.h"

#define CHANGE_BYTES_MAX 8192

// Writes what makes us a member, then reads the boot facts again.
static int commit_membership(struct raft_node *node, const struct raft_write *write,
                             uint64_t applied, const struct raft_conf *conf, struct err *err)
{
    uint8_t self[8];
    for (unsigned i = 0; i < sizeof self; i++)
        self[i] = (uint8_t)(node->self >> (8 * i));
    rows_put(&node->rows, NODE_ROW_SELF, strlen(NODE_ROW_SELF), self, sizeof self);
    node_put_members(node);
    struct logdb_batch batch = {.write = write, .applied = applied, .conf = conf};
    batch.ops = rows_ops(&node->rows, &batch.ops_count);
    int result = logdb_commit(node->db, &batch, err);
    rows_fini(&node->rows);
    rows_init(&node->rows);
    return result ? result : logdb_boot(node->db, &node->boot, err);
}

int raft_node_found(struct raft_node *node, uint64_t raft_id, const char *node_id, const char *addr,
                    struct err *err)
{
    CHECK(!node->core);
    CHECK(!node->self);
    node->self = raft_id;
    Swarm__RaftMemberStatus status = SWARM__RAFT_MEMBER_STATUS__INIT;
    Swarm__RaftMember row = SWARM__RAFT_MEMBER__INIT;
    row.raft_id = raft_id;
    row.node_id = (char *)node_id;
    row.addr = (char *)addr;
    row.status = &status;
    struct raft_conf_change change = {.changes_count = 1,
                                      .changes = {{.type = RAFT_CHANGE_ADD, .id = raft_id}}};
    members_apply(&node->members, &change, &row);
    struct buf body;
    buf_init(&body, CHANGE_BYTES_MAX);
    convert_change_out(RAFT_CHANGE_ADD, raft_id, &row, &body);
    // The first entry of every cluster (swarmkit 18.3).
    struct raft_entry entry = {.term = 1,
                               .index = 1,
                               .type = RAFT_ENTRY_CONF_CHANGE,
                               .data = raft_blob_new(body.data, body.len)};
    struct raft_write write = {
        .hard = {.term = 1, .commit = 1}, .entries = &entry, .entries_count = 1};
    struct raft_conf conf = {.voters_count = 1, .voters = {raft_id}};
    int result = commit_membership(node, &write, 1, &conf, err);
    raft_blob_unref(entry.data);
    buf_fini(&body);
    return result ? err_wrap(err, "found cluster") : 0;
}

int raft_node_join(struct raft_node *node, uint64_t raft_id, const Swarm__ClusterSnapshot *members,
                   struct err *err)
{
    CHECK(!node->core);
    CHECK(!node->self);
    int result = members_load(&node->members, members, err);
    if (result)
        return result;
    node->self = raft_id;
    struct raft_write write = {.hard = {0}};
    // Log and configuration stay empty: the leader brings them (swarmkit 18.3).
    return commit_membership(node, &write, 0, NULL, err);
}

int raft_node_force_new(struct raft_node *node, const char *addr, struct err *err)
{
    CHECK(!node->core);
    CHECK(node->self);
    const struct member *own = members_find(&node->members, node->self);
    if (!own)
        return err_set(err, ERR_FAILED_PRECONDITION, "this node is not in the member list");
    struct members rest;
    members_init(&rest);
    Swarm__RaftMember row = SWARM__RAFT_MEMBER__INIT;
    row.raft_id = own->raft_id;
    row.node_id = own->node_id;
    row.addr = (char *)str_or(addr, own->addr);
    Swarm__RaftMember *list[] = {&row};
    Swarm__ClusterSnapshot only = SWARM__CLUSTER_SNAPSHOT__INIT;
    only.n_members = 1;
    only.members = list;
    // Ids of those dropped never come back.
    size_t dropped = node->members.count - 1, before = node->members.removed_count;
    uint64_t *removed = mem_alloc_array(dropped + before, sizeof *removed);
    if (before)
        memcpy(removed, node->members.removed, before * sizeof *removed);
    size_t next = before;
    for (size_t i = 0; i < node->members.count; i++)
        if (node->members.list[i].raft_id != node->self)
            removed[next++] = node->members.list[i].raft_id;
    only.removed = removed;
    only.n_removed = next;
    int result = members_load(&rest, &only, err);
    free(removed);
    if (result)
        return result;
    members_fini(&node->members);
    node->members = rest;
    // What was not applied was never shown to anybody as done; it goes, by a snapshot at the
    // applied index, which also makes the old members' configuration history.
    struct raft_boot *boot = &node->boot;
    uint64_t term = boot->start.term;
    for (size_t i = 0; i < boot->runs_count && boot->runs[i].index <= boot->applied; i++)
        term = boot->runs[i].term;
    struct raft_snapshot snapshot = {
        .index = boot->applied, .term = term, .conf = {.voters_count = 1, .voters = {node->self}}};
    struct raft_write write = {.hard = {.term = boot->hard.term + 1, .commit = boot->applied},
                               .snapshot = &snapshot};
    return commit_membership(node, &write, 0, NULL, err);
}
