#include "raft/net/convert.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/wire/wire.h"

// raftpb writes its scalars even when they are zero.
#define SET(message, field, value)                                                                 \
    do {                                                                                           \
        (message)->has_##field = 1;                                                                \
        (message)->field = (value);                                                                \
    } while (0)

// ---- configurations ----------------------------------------------------------------------------

static int compare_ids(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static bool copy_ids(const uint64_t *ids, size_t count, uint64_t out[RAFT_MEMBERS_MAX],
                     uint32_t *out_count)
{
    if (count > RAFT_MEMBERS_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (ids[i] == 0)
            return false;
        out[i] = ids[i];
    }
    // Core keeps them ascending; peers send them in any order.
    qsort(out, count, sizeof out[0], compare_ids);
    *out_count = (uint32_t)count;
    return true;
}

int convert_conf_in(const Raftpb__ConfState *state, struct raft_conf *out, struct err *err)
{
    *out = (struct raft_conf){0};
    if (!state)
        return 0;
    if (!copy_ids(state->voters, state->n_voters, out->voters, &out->voters_count) ||
        !copy_ids(state->voters_outgoing, state->n_voters_outgoing, out->outgoing,
                  &out->outgoing_count) ||
        !copy_ids(state->learners, state->n_learners, out->learners, &out->learners_count) ||
        !copy_ids(state->learners_next, state->n_learners_next, out->learners_next,
                  &out->learners_next_count))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "raft configuration has more than %d members or a member 0",
                       RAFT_MEMBERS_MAX);
    out->auto_leave = state->auto_leave;
    return 0;
}

Raftpb__ConfState *convert_conf_out(const struct raft_conf *conf, struct arena *arena)
{
    Raftpb__ConfState *out = ARENA_NEW(arena, Raftpb__ConfState);
    if (!out)
        return NULL;
    raftpb__conf_state__init(out);
    out->n_voters = conf->voters_count;
    out->voters = (uint64_t *)conf->voters;
    out->n_voters_outgoing = conf->outgoing_count;
    out->voters_outgoing = (uint64_t *)conf->outgoing;
    out->n_learners = conf->learners_count;
    out->learners = (uint64_t *)conf->learners;
    out->n_learners_next = conf->learners_next_count;
    out->learners_next = (uint64_t *)conf->learners_next;
    SET(out, auto_leave, conf->auto_leave);
    return out;
}

// ---- messages out ------------------------------------------------------------------------------

static Raftpb__Snapshot *snapshot_out(const struct raft_snapshot *snapshot, const void *data,
                                      size_t data_size, struct arena *arena)
{
    Raftpb__Snapshot *out = ARENA_NEW(arena, Raftpb__Snapshot);
    Raftpb__SnapshotMetadata *metadata = ARENA_NEW(arena, Raftpb__SnapshotMetadata);
    if (!out || !metadata)
        return NULL;
    raftpb__snapshot__init(out);
    raftpb__snapshot_metadata__init(metadata);
    if (snapshot) {
        metadata->conf_state = convert_conf_out(&snapshot->conf, arena);
        SET(metadata, index, snapshot->index);
        SET(metadata, term, snapshot->term);
    } else {
        metadata->conf_state = convert_conf_out(&(struct raft_conf){0}, arena);
        SET(metadata, index, 0);
        SET(metadata, term, 0);
    }
    out->metadata = metadata;
    if (data_size) {
        out->has_data = 1;
        out->data = (ProtobufCBinaryData){.len = data_size, .data = (uint8_t *)data};
    }
    return out;
}

static bool entries_out(const struct raft_message *message, Raftpb__Message *out,
                        struct arena *arena)
{
    out->entries = arena_alloc_array(arena, message->entries_count, sizeof *out->entries);
    Raftpb__Entry *list = arena_alloc_array(arena, message->entries_count, sizeof *list);
    if (!out->entries || !list)
        return false;
    out->n_entries = message->entries_count;
    for (size_t i = 0; i < message->entries_count; i++) {
        const struct raft_entry *entry = &message->entries[i];
        raftpb__entry__init(&list[i]);
        SET(&list[i], term, entry->term);
        SET(&list[i], index, entry->index);
        SET(&list[i], type, (Raftpb__EntryType)entry->type);
        if (entry->data) {
            list[i].has_data = 1;
            list[i].data =
                (ProtobufCBinaryData){.len = entry->data->len, .data = entry->data->bytes};
        }
        out->entries[i] = &list[i];
    }
    return true;
}

Raftpb__Message *convert_message_out(const struct raft_message *message, const void *data,
                                     size_t data_size, struct arena *arena)
{
    Raftpb__Message *out = ARENA_NEW(arena, Raftpb__Message);
    if (!out)
        return NULL;
    raftpb__message__init(out);
    SET(out, type, (Raftpb__MessageType)message->type);
    SET(out, to, message->to);
    SET(out, from, message->from);
    SET(out, term, message->term);
    SET(out, logterm, message->log_term);
    SET(out, index, message->index);
    SET(out, commit, message->commit);
    SET(out, reject, message->reject);
    SET(out, rejecthint, message->reject_hint);
    if (message->context_len) {
        out->has_context = 1;
        out->context =
            (ProtobufCBinaryData){.len = message->context_len, .data = (uint8_t *)message->context};
    }
    if (!entries_out(message, out, arena))
        return NULL;
    out->snapshot = snapshot_out(message->snapshot, data, data_size, arena);
    return out->snapshot ? out : NULL;
}

// ---- messages in -------------------------------------------------------------------------------

static bool crosses_the_wire(Raftpb__MessageType type)
{
    switch (type) {
    case RAFTPB__MESSAGE_TYPE__MsgProp:
    case RAFTPB__MESSAGE_TYPE__MsgApp:
    case RAFTPB__MESSAGE_TYPE__MsgAppResp:
    case RAFTPB__MESSAGE_TYPE__MsgVote:
    case RAFTPB__MESSAGE_TYPE__MsgVoteResp:
    case RAFTPB__MESSAGE_TYPE__MsgSnap:
    case RAFTPB__MESSAGE_TYPE__MsgHeartbeat:
    case RAFTPB__MESSAGE_TYPE__MsgHeartbeatResp:
    case RAFTPB__MESSAGE_TYPE__MsgTimeoutNow:
    case RAFTPB__MESSAGE_TYPE__MsgPreVote:
    case RAFTPB__MESSAGE_TYPE__MsgPreVoteResp:
        return true;
    default:
        return false;
    }
}

static int entries_in(const Raftpb__Message *message, struct arena *arena, struct raft_message *out,
                      struct err *err)
{
    if (message->n_entries > CONVERT_ENTRIES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "raft message has %zu entries, at most %d",
                       message->n_entries, CONVERT_ENTRIES_MAX);
    struct raft_entry *entries = arena_alloc_array(arena, message->n_entries, sizeof *entries);
    if (!entries)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "raft message is too large");
    out->entries = entries;
    for (size_t i = 0; i < message->n_entries; i++) {
        const Raftpb__Entry *entry = message->entries[i];
        if (entry->type > RAFTPB__ENTRY_TYPE__EntryConfChangeV2)
            return err_set(err, ERR_INVALID_ARGUMENT, "raft entry has unknown type %d",
                           (int)entry->type);
        entries[i] = (struct raft_entry){
            .term = entry->term,
            .index = entry->index,
            .type = (enum raft_entry_type)entry->type,
            .data = entry->data.len ? raft_blob_new(entry->data.data, entry->data.len) : NULL,
        };
        out->entries_count = i + 1; // so that a failure further on drops these
    }
    return 0;
}

static int snapshot_in(const Raftpb__Message *message, struct arena *arena,
                       struct raft_message *out, struct err *err)
{
    const Raftpb__SnapshotMetadata *metadata =
        message->snapshot ? message->snapshot->metadata : NULL;
    if (!metadata)
        return err_set(err, ERR_INVALID_ARGUMENT, "MsgSnap without a snapshot");
    struct raft_snapshot *snapshot = ARENA_NEW(arena, struct raft_snapshot);
    if (!snapshot)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "raft message is too large");
    snapshot->index = metadata->index;
    snapshot->term = metadata->term;
    out->snapshot = snapshot;
    return convert_conf_in(metadata->conf_state, &snapshot->conf, err);
}

int convert_message_in(const Raftpb__Message *message, struct arena *arena,
                       struct raft_message *out, struct err *err)
{
    *out = (struct raft_message){
        .type = (enum raft_message_type)message->type,
        .to = message->to,
        .from = message->from,
        .term = message->term,
        .log_term = message->logterm,
        .index = message->index,
        .commit = message->commit,
        .reject_hint = message->rejecthint,
        .reject = message->reject,
    };
    if (!crosses_the_wire(message->type))
        return err_set(err, ERR_INVALID_ARGUMENT, "raft message type %d does not cross the wire",
                       (int)message->type);
    if (message->from == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "raft message without a sender");
    if (message->context.len > RAFT_CONTEXT_BYTES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "raft message context has %zu bytes, at most %d",
                       message->context.len, RAFT_CONTEXT_BYTES_MAX);
    if (message->context.len)
        memcpy(out->context, message->context.data, message->context.len);
    out->context_len = (uint8_t)message->context.len;
    int result = entries_in(message, arena, out, err);
    if (!result && out->type == RAFT_MSG_SNAP)
        result = snapshot_in(message, arena, out, err);
    if (result)
        convert_message_drop(out);
    return result;
}

void convert_message_drop(struct raft_message *message)
{
    for (size_t i = 0; i < message->entries_count; i++)
        raft_blob_unref(message->entries[i].data);
    message->entries_count = 0;
}

// ---- configuration changes ---------------------------------------------------------------------

static int change_in(Raftpb__ConfChangeType type, uint64_t id, struct raft_conf_change *out,
                     struct err *err)
{
    if (type > RAFTPB__CONF_CHANGE_TYPE__ConfChangeAddLearnerNode || id == 0)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "configuration change of type %d for member %" PRIx64, (int)type, id);
    if (out->changes_count == RAFT_MEMBERS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "configuration change of more than %d members",
                       RAFT_MEMBERS_MAX);
    out->changes[out->changes_count++] =
        (struct raft_change){.type = (enum raft_change_type)type, .id = id};
    return 0;
}

static int change_v2_in(const void *data, size_t size, struct arena *arena,
                        struct raft_conf_change *out, struct err *err)
{
    Raftpb__ConfChangeV2 *change = wire_unpack(&raftpb__conf_change_v2__descriptor, data, size,
                                               &WIRE_LIMITS_STATE, arena, err);
    if (!change)
        return -(int)ERR_INVALID_ARGUMENT;
    out->v2 = true;
    out->transition = (uint8_t)change->transition;
    int result = 0;
    for (size_t i = 0; !result && i < change->n_changes; i++)
        result = change_in(change->changes[i]->type, change->changes[i]->node_id, out, err);
    return result;
}

int convert_change_in(enum raft_entry_type type, const void *data, size_t size, struct arena *arena,
                      struct raft_conf_change *out, Swarm__RaftMember **context, struct err *err)
{
    *out = (struct raft_conf_change){0};
    if (context)
        *context = NULL;
    if (type == RAFT_ENTRY_CONF_CHANGE_V2)
        return change_v2_in(data, size, arena, out, err);
    CHECK(type == RAFT_ENTRY_CONF_CHANGE);
    Raftpb__ConfChange *change =
        wire_unpack(&raftpb__conf_change__descriptor, data, size, &WIRE_LIMITS_STATE, arena, err);
    if (!change)
        return -(int)ERR_INVALID_ARGUMENT;
    int result = change_in(change->type, change->node_id, out, err);
    if (result || !context || change->context.len == 0)
        return result;
    if (change->context.len > CONVERT_CONTEXT_BYTES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "configuration change context is too long");
    *context = wire_unpack(&swarm__raft_member__descriptor, change->context.data,
                           change->context.len, &WIRE_LIMITS_STATE, arena, err);
    return *context ? 0 : -(int)ERR_INVALID_ARGUMENT;
}

void convert_change_out(enum raft_change_type type, uint64_t raft_id,
                        const Swarm__RaftMember *member, struct buf *out)
{
    struct buf context;
    buf_init(&context, CONVERT_CONTEXT_BYTES_MAX);
    Raftpb__ConfChange change = RAFTPB__CONF_CHANGE__INIT;
    SET(&change, id, 0);
    SET(&change, type, (Raftpb__ConfChangeType)type);
    SET(&change, node_id, raft_id);
    if (member) {
        int packed = wire_pack(member, &context, NULL);
        CHECK(packed == 0);
        change.has_context = 1;
        change.context = (ProtobufCBinaryData){.len = context.len, .data = context.data};
    }
    int packed = wire_pack(&change, out, NULL);
    CHECK(packed == 0);
    buf_fini(&context);
}
