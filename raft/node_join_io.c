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

// ---- alone again --------------------------------------------------------------------------------

// Entries looked at in one go, and their bytes.
#define TAIL_ENTRIES_MAX 64
#define TAIL_BYTES_MAX   ((size_t)1 << 20)
#define TAIL_ARENA_BYTES ((size_t)1 << 20)

static void change_list(struct members *members, const struct raft_entry *entry)
{
    struct arena arena;
    arena_init(&arena, TAIL_ARENA_BYTES);
    struct raft_conf_change change;
    Swarm__RaftMember *context = NULL;
    if (!convert_change_in(entry->type, entry->data ? entry->data->bytes : NULL,
                           entry->data ? entry->data->len : 0, &arena, &change, &context, NULL) &&
        !members_check(members, &change, context, NULL))
        members_apply(members, &change, context);
    arena_fini(&arena);
}

// The member list as it will be when all of the log is applied.
static int list_at_the_end(struct raft_node *node, struct members *out, struct err *err)
{
    struct arena arena;
    arena_init(&arena, TAIL_ARENA_BYTES);
    members_init(out);
    int result = members_load(out, members_save(&node->members, &arena), err);
    arena_fini(&arena);
    uint64_t next = node->boot.applied + 1, last = node->boot.last_index;
    while (!result && next <= last) {
        struct raft_entry entries[TAIL_ENTRIES_MAX];
        size_t count = 0;
        result = logdb_load(node->db, next, last, TAIL_BYTES_MAX, entries, COUNT_OF(entries),
                            &count, err);
        if (!result && count == 0)
            result = err_set(err, ERR_DATA_LOSS, "entries after the applied ones are missing");
        for (size_t i = 0; i < count; i++) {
            if (entries[i].type != RAFT_ENTRY_NORMAL)
                change_list(out, &entries[i]);
            raft_blob_unref(entries[i].data);
        }
        next += count;
    }
    return result;
}

static void add_change(struct raft_write *write, struct raft_entry *entries,
                       enum raft_change_type type, uint64_t id, const Swarm__RaftMember *context)
{
    struct buf body;
    buf_init(&body, CHANGE_BYTES_MAX);
    convert_change_out(type, id, context, &body);
    entries[write->entries_count++] =
        (struct raft_entry){.term = write->hard.term,
                            .index = ++write->hard.commit,
                            .type = RAFT_ENTRY_CONF_CHANGE,
                            .data = raft_blob_new(body.data, body.len)};
    buf_fini(&body);
}

// All of the log counts as committed: what of it was acknowledged nobody alive knows better, and
// keeping what was not breaks no promise. Behind it come the removals of all others, as if the
// group had agreed on them.
int raft_node_force_new(struct raft_node *node, const char *addr, struct err *err)
{
    CHECK(!node->core);
    CHECK(node->self);
    struct members members;
    int result = list_at_the_end(node, &members, err);
    const struct member *own = result ? NULL : members_find(&members, node->self);
    if (!result && !own)
        result = err_set(err, ERR_FAILED_PRECONDITION, "this node is not in the member list");
    if (!result) {
        struct raft_entry entries[RAFT_MEMBERS_MAX + 1];
        struct raft_write write = {
            .hard = {.term = node->boot.hard.term + 1, .commit = node->boot.last_index},
            .entries = entries};
        if (!str_equal(str_or(addr, own->addr), own->addr)) {
            Swarm__RaftMemberStatus status = SWARM__RAFT_MEMBER_STATUS__INIT;
            Swarm__RaftMember row = SWARM__RAFT_MEMBER__INIT;
            row.raft_id = own->raft_id;
            row.node_id = own->node_id;
            row.addr = (char *)addr;
            row.status = &status;
            add_change(&write, entries, RAFT_CHANGE_UPDATE, own->raft_id, &row);
        }
        for (size_t i = 0; i < members.count; i++)
            if (members.list[i].raft_id != node->self)
                add_change(&write, entries, RAFT_CHANGE_REMOVE, members.list[i].raft_id, NULL);
        result = commit_membership(node, &write, 0, NULL, err);
        for (size_t i = 0; i < write.entries_count; i++)
            raft_blob_unref(entries[i].data);
    }
    members_fini(&members);
    return result;
}
