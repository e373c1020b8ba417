#include "raft/node_private_io.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"
#include "raft/envelope.h"
#include "raft/net/convert.h"

// Room to decode a configuration entry or a member list.
#define SMALL_ARENA_BYTES ((size_t)1 << 20)

// ---- members ------------------------------------------------------------------------------------

void node_put_members(struct raft_node *node)
{
    struct arena arena;
    arena_init(&arena, SMALL_ARENA_BYTES);
    struct buf bytes;
    buf_init(&bytes, SMALL_ARENA_BYTES);
    Swarm__ClusterSnapshot *list = members_save(&node->members, &arena);
    CHECK(list);
    int packed = wire_pack(list, &bytes, NULL);
    CHECK(packed == 0);
    rows_put(&node->rows, NODE_ROW_MEMBERS, strlen(NODE_ROW_MEMBERS), bytes.data, bytes.len);
    buf_fini(&bytes);
    arena_fini(&arena);
}

void node_publish_members(struct raft_node *node)
{
    for (size_t i = 0; i < node->members.count; i++) {
        const struct member *member = &node->members.list[i];
        if (member->raft_id != node->self)
            node->transport->set_peer(node->transport, member->raft_id, member->node_id,
                                      member->addr);
    }
    node->ops.members(node->ops.ctx, &node->members);
}

// Whether the entry fits our list. A joiner got the list with its welcome and now meets, in the
// log, the entries that made it: nothing to warn about.
static bool fits(struct raft_node *node, uint64_t index, const struct raft_conf_change *change,
                 const Swarm__RaftMember *context)
{
    struct err err = ERR_INIT;
    if (!members_check(&node->members, change, context, &err))
        return true;
    if (err.code != ERR_ALREADY_EXISTS)
        log_warn("membership change is ignored", "index=%" PRIu64 " err=\"%s\"", index,
                 err.message);
    return false;
}

static void change_members(struct raft_node *node, const struct raft_conf_change *change,
                           const Swarm__RaftMember *context)
{
    members_apply(&node->members, change, context);
    node_put_members(node);
    for (uint32_t i = 0; i < change->changes_count; i++) {
        if (change->changes[i].type != RAFT_CHANGE_REMOVE)
            continue;
        node->transport->remove_peer(node->transport, change->changes[i].id);
        node->removed |= change->changes[i].id == node->self;
    }
    node_publish_members(node);
    node_part_if_removed(node);
}

// A committed membership entry. The core hears of every change that parses, whether or not it fits
// our list (swarmkit 18.6): all members must agree on the configuration.
static void apply_change(struct raft_node *node, const struct raft_entry *entry)
{
    struct arena arena;
    arena_init(&arena, SMALL_ARENA_BYTES);
    struct raft_conf_change change;
    Swarm__RaftMember *context = NULL;
    struct err err = ERR_INIT;
    int result =
        convert_change_in(entry->type, entry->data ? entry->data->bytes : NULL,
                          entry->data ? entry->data->len : 0, &arena, &change, &context, &err);
    struct raft_event event = {
        .type = RAFT_EVENT_CONF_APPLIED,
        .u.conf_applied = {.index = entry->index, .change = result ? NULL : &change}};
    if (!node_step(node, &event, result ? NULL : &err) && !result &&
        fits(node, entry->index, &change, context))
        change_members(node, &change, context);
    else if (err.code != ERR_OK)
        log_warn("membership change makes no sense", "index=%" PRIu64 " err=\"%s\"", entry->index,
                 err.message);
    arena_fini(&arena);
}

// ---- entries ------------------------------------------------------------------------------------

// The proposal of ours that this entry answers, taken off the list; NULL when it is somebody
// else's. One that waits for this index with another term has lost its place in the log.
static struct raft_proposal *take_proposal(struct raft_node *node, const struct raft_entry *entry)
{
    while (!list_empty(&node->proposals)) {
        struct raft_proposal *first = LIST_ENTRY(node->proposals.next, struct raft_proposal, link);
        if (first->index > entry->index)
            return NULL;
        list_remove(&first->link);
        if (first->index == entry->index && first->term == entry->term)
            return first;
        struct err err = ERR_INIT;
        err_set(&err, ERR_UNKNOWN, RAFT_NODE_ERR_LOST);
        first->done(first, &err);
    }
    return NULL;
}

// False when the node stopped.
static bool apply_entry(struct raft_node *node, const struct raft_entry *entry)
{
    struct raft_proposal *own = take_proposal(node, entry);
    if (entry->type != RAFT_ENTRY_NORMAL) {
        apply_change(node, entry);
    } else if (!own && entry->data) {
        struct err err = ERR_INIT;
        if (node->ops.apply(node->ops.ctx, entry->index, entry->data->bytes, entry->data->len,
                            &err)) {
            err_wrap(&err, "apply entry %" PRIu64, entry->index);
            node_fail(node, &err);
        }
    }
    if (own)
        own->done(own, NULL);
    return !node->failed;
}

static void finish_reads(struct raft_node *node)
{
    while (!list_empty(&node->waiting)) {
        struct raft_barrier *first = LIST_ENTRY(node->waiting.next, struct raft_barrier, link);
        if (first->index > raft_applied(node->core))
            return;
        list_remove(&first->link);
        first->done(first, NULL);
    }
}

bool node_apply(struct raft_node *node, const struct raft_update *update)
{
    if (update->apply_count == 0)
        return false;
    for (size_t i = 0; i < update->apply_count; i++)
        if (!apply_entry(node, &update->apply[i]))
            return false;
    struct raft_event event = {.type = RAFT_EVENT_APPLIED,
                               .u.index = update->apply[update->apply_count - 1].index};
    node_step(node, &event, NULL);
    finish_reads(node);
    return true;
}

// ---- reads --------------------------------------------------------------------------------------

void node_answer_reads(struct raft_node *node, const struct raft_update *update)
{
    for (size_t i = 0; i < update->reads_count; i++) {
        struct raft_barrier *barrier = map_remove_u64(&node->barriers, update->reads[i].read);
        CHECK(barrier);
        if (!update->reads[i].ok) {
            struct err err = ERR_INIT;
            err_set(&err, ERR_UNKNOWN, RAFT_NODE_ERR_LOST);
            barrier->done(barrier, &err);
            continue;
        }
        barrier->index = update->reads[i].index;
        // Answers come with ascending indexes, so the list stays ordered.
        list_push_back(&node->waiting, &barrier->link);
    }
    finish_reads(node);
}

void node_fail_waiting(struct raft_node *node, const char *text)
{
    struct err err = ERR_INIT;
    err_set(&err, ERR_UNKNOWN, "%s", text);
    for (struct list *link; (link = list_pop_front(&node->proposals));) {
        struct raft_proposal *proposal = LIST_ENTRY(link, struct raft_proposal, link);
        proposal->done(proposal, &err);
    }
    for (struct list *link; (link = list_pop_front(&node->waiting));) {
        struct raft_barrier *barrier = LIST_ENTRY(link, struct raft_barrier, link);
        barrier->done(barrier, &err);
    }
}

// ---- snapshots ----------------------------------------------------------------------------------

void node_drop_snapshot(struct node_snapshot *snapshot)
{
    raft_blob_unref(snapshot->data);
    *snapshot = (struct node_snapshot){0};
}

// Members and store as of what is applied, in SwarmKit's form.
static int make_snapshot(struct raft_node *node, struct err *err)
{
    struct buf members, store, whole;
    buf_init(&members, SMALL_ARENA_BYTES);
    buf_init(&store, ENVELOPE_BYTES_MAX);
    buf_init(&whole, ENVELOPE_BYTES_MAX);
    struct arena arena;
    arena_init(&arena, SMALL_ARENA_BYTES);
    Swarm__ClusterSnapshot *list = members_save(&node->members, &arena);
    CHECK(list);
    int result = wire_pack(list, &members, err);
    if (!result)
        result = node->ops.save(node->ops.ctx, &store, err);
    if (!result) {
        struct envelope envelope = {.members = members.data,
                                    .members_size = members.len,
                                    .store = store.data,
                                    .store_size = store.len};
        envelope_put(&envelope, &whole);
        if (!buf_ok(&whole) || !buf_ok(&store))
            result = err_set(err, ERR_RESOURCE_EXHAUSTED, "snapshot is larger than %zu bytes",
                             ENVELOPE_BYTES_MAX);
    }
    if (!result) {
        node_drop_snapshot(&node->outgoing);
        node->outgoing = (struct node_snapshot){
            .handle = ++node->next_handle,
            .index = raft_applied(node->core),
            .data = raft_blob_new(whole.data, whole.len),
        };
    }
    arena_fini(&arena);
    buf_fini(&members);
    buf_wipe(&store);
    buf_wipe(&whole);
    return result;
}

bool node_make_snapshots(struct raft_node *node, const struct raft_update *update)
{
    for (size_t i = 0; i < update->snapshots_wanted_count; i++) {
        const struct raft_snapshot_want *want = &update->snapshots_wanted[i];
        struct err err = ERR_INIT;
        int result = 0;
        if (!node->outgoing.handle || node->outgoing.index < want->at_least)
            result = make_snapshot(node, &err);
        if (result)
            log_error("snapshot cannot be made", "err=\"%s\"", err.message);
        struct raft_event event = {.type = RAFT_EVENT_SNAPSHOT_MADE,
                                   .u.snapshot_made = {.id = want->id,
                                                       .ok = result == 0,
                                                       .index = node->outgoing.index,
                                                       .handle = node->outgoing.handle}};
        if (!node_step(node, &event, NULL) && !result)
            node->outgoing_users++;
    }
    return update->snapshots_wanted_count > 0;
}

int node_install_snapshot(struct raft_node *node, const struct raft_snapshot *snapshot,
                          struct err *err)
{
    CHECK(snapshot->handle == node->incoming.handle);
    struct envelope envelope;
    const struct raft_blob *data = node->incoming.data;
    int result = envelope_get(data ? data->bytes : NULL, data ? data->len : 0, &envelope, err);
    if (result)
        return result;
    struct arena arena;
    arena_init(&arena, SMALL_ARENA_BYTES);
    Swarm__ClusterSnapshot *list =
        wire_unpack(&swarm__cluster_snapshot__descriptor, envelope.members, envelope.members_size,
                    &WIRE_LIMITS_STATE, &arena, err);
    uint64_t before[RAFT_MEMBERS_MAX];
    size_t before_count = node->members.count;
    for (size_t i = 0; i < before_count; i++)
        before[i] = node->members.list[i].raft_id;
    result = list ? members_load(&node->members, list, err) : -(int)ERR_INVALID_ARGUMENT;
    arena_fini(&arena);
    if (result)
        return result;
    for (size_t i = 0; i < before_count; i++)
        if (!members_find(&node->members, before[i]))
            node->transport->remove_peer(node->transport, before[i]);
    rows_replace(&node->rows);
    uint8_t self[8];
    memcpy(self, &node->self, sizeof self);
    rows_put(&node->rows, NODE_ROW_SELF, strlen(NODE_ROW_SELF), self, sizeof self);
    node_put_members(node);
    result =
        node->ops.load(node->ops.ctx, snapshot->index, envelope.store, envelope.store_size, err);
    node_drop_snapshot(&node->incoming);
    if (!result)
        node_publish_members(node);
    return result;
}
