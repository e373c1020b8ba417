#include "tests/support/raft_group.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "raft/core/confchange.h"

#define TEXT_MAX (4u << 20)

struct group *group_new(void)
{
    struct group *group = calloc(1, sizeof *group);
    CHECK(group);
    group->now = (struct mono){NS_PER_S};
    group->limits = raft_config_default(1, 0);
    group->limits.commit_delay_ms = 0; // tests look at followers at once
    buf_init(&group->text, TEXT_MAX);
    return group;
}

static void message_free(struct raft_message *message)
{
    for (size_t i = 0; i < message->entries_count; i++)
        raft_blob_unref(message->entries[i].data);
    free((void *)message->entries);
    free((void *)message->snapshot);
    free(message);
}

void group_free(struct group *group)
{
    for (uint64_t id = 1; id <= GROUP_MEMBERS_MAX; id++) {
        struct group_member *member = &group->members[id];
        raft_free(member->raft);
        for (size_t i = 0; i < member->log_count; i++)
            raft_blob_unref(member->log[i].data);
    }
    for (size_t i = 0; i < group->queue_count; i++)
        message_free(group->queue[i]);
    buf_fini(&group->text);
    free(group);
}

struct group_member *group_at(struct group *group, uint64_t id)
{
    CHECK(id >= 1);
    CHECK(id <= GROUP_MEMBERS_MAX);
    CHECK(group->members[id].exists);
    return &group->members[id];
}

struct raft *group_raft(struct group *group, uint64_t id)
{
    CHECK(group_at(group, id)->alive);
    return group->members[id].raft;
}

// ---- members ------------------------------------------------------------------------------------

struct group_member *group_join(struct group *group, uint64_t id)
{
    CHECK(id <= GROUP_MEMBERS_MAX);
    CHECK(!group->members[id].exists);
    group->members[id].exists = true;
    group->members[id].id = id;
    return &group->members[id];
}

void group_found(struct group *group, size_t count)
{
    struct raft_conf conf = {.voters_count = (uint32_t)count};
    for (uint64_t id = 1; id <= count; id++)
        conf.voters[id - 1] = id;
    for (uint64_t id = 1; id <= count; id++) {
        struct group_member *member = group_join(group, id);
        member->conf = conf;
        member->hard = (struct raft_hard_state){.term = 1, .commit = 1};
        member->start_index = 1;
        member->start_term = 1;
        member->applied = 1;
        group_start(group, id);
    }
}

void group_start(struct group *group, uint64_t id)
{
    struct group_member *member = group_at(group, id);
    CHECK(!member->alive);
    struct raft_run runs[GROUP_LOG_MAX];
    size_t runs_count = 0;
    for (size_t i = 0; i < member->log_count; i++)
        if (i == 0 || member->log[i].term != member->log[i - 1].term)
            runs[runs_count++] = (struct raft_run){member->log[i].index, member->log[i].term};
    struct raft_boot boot = {
        .hard = member->hard,
        .start = {member->start_index, member->start_term},
        .last_index = member->start_index + member->log_count,
        .runs = runs,
        .runs_count = runs_count,
        .applied = member->applied,
        .conf = member->conf,
    };
    struct raft_config config = group->limits;
    config.id = id;
    config.seed = id;
    if (member->stock)
        config.quick = config.patient;
    struct err err = ERR_INIT;
    CHECK(raft_new(&config, &boot, group->now, &member->raft, &err) == 0);
    member->alive = true;
    member->applied_count = 0;
    group_turn(group, id);
}

void group_crash(struct group *group, uint64_t id)
{
    struct group_member *member = group_at(group, id);
    CHECK(member->alive);
    raft_free(member->raft);
    member->raft = NULL;
    member->alive = false;
    member->write = (struct raft_write){0};
    member->apply_count = 0;
    buf_printf(&group->text, "%" PRIu64 " crashes\n", id);
}

// ---- turns --------------------------------------------------------------------------------------

static void post(struct group *group, struct group_member *from, const struct raft_message *message)
{
    struct raft_message *copy = malloc(sizeof *copy);
    CHECK(copy);
    *copy = *message;
    copy->entries = NULL;
    if (message->entries_count > 0) {
        struct raft_entry *entries = calloc(message->entries_count, sizeof *entries);
        CHECK(entries);
        for (size_t i = 0; i < message->entries_count; i++) {
            entries[i] = message->entries[i];
            raft_blob_ref(entries[i].data);
        }
        copy->entries = entries;
    }
    if (message->snapshot) {
        struct raft_snapshot *snapshot = malloc(sizeof *snapshot);
        CHECK(snapshot);
        *snapshot = *message->snapshot;
        copy->snapshot = snapshot;
    }
    if (from->stock && copy->type == RAFT_MSG_HEARTBEAT)
        copy->context_len = 0;
    if (from->stock && copy->type == RAFT_MSG_HEARTBEAT_RESP) {
        copy->context_len = from->echo_len;
        memcpy(copy->context, from->echo, sizeof copy->context);
    }
    CHECK(group->queue_count < GROUP_QUEUE_MAX);
    group->queue[group->queue_count++] = copy;
}

static void store(struct group_member *member, const struct raft_write *write)
{
    size_t keep = member->log_count;
    if (write->snapshot) {
        keep = 0;
        member->applied = write->snapshot->index;
        member->conf = write->snapshot->conf;
    } else if (write->entries_count > 0) {
        keep = write->entries[0].index - member->start_index - 1;
    }
    CHECK(keep <= member->log_count);
    for (size_t i = keep; i < member->log_count; i++)
        raft_blob_unref(member->log[i].data);
    member->log_count = keep;
    if (write->snapshot) {
        member->start_index = write->snapshot->index;
        member->start_term = write->snapshot->term;
    }
    for (size_t i = 0; i < write->entries_count; i++) {
        CHECK(member->log_count < GROUP_LOG_MAX);
        CHECK(write->entries[i].index == member->start_index + member->log_count + 1);
        member->log[member->log_count++] = write->entries[i];
        raft_blob_ref(write->entries[i].data);
    }
    member->hard = write->hard;
}

static void load(struct group *group, struct group_member *member, const struct raft_load *wanted)
{
    struct raft_event event = {.type = RAFT_EVENT_LOADED, .u.loaded.load = wanted->number};
    if (wanted->first > member->start_index) {
        CHECK(wanted->last <= member->start_index + member->log_count);
        event.u.loaded.entries = &member->log[wanted->first - member->start_index - 1];
        event.u.loaded.count = wanted->last - wanted->first + 1;
    }
    CHECK(raft_step(member->raft, &event, group->now, NULL) == 0);
}

static void make_snapshot(struct group *group, struct group_member *member, uint64_t peer)
{
    struct raft_event event = {.type = RAFT_EVENT_SNAPSHOT_MADE};
    event.u.snapshot_made.id = peer;
    event.u.snapshot_made.ok = member->applied > 0;
    event.u.snapshot_made.index = member->applied;
    event.u.snapshot_made.handle = member->applied;
    CHECK(raft_step(member->raft, &event, group->now, NULL) == 0);
}

void group_turn(struct group *group, uint64_t id)
{
    struct group_member *member = group_at(group, id);
    for (int rounds = 0;; rounds++) {
        CHECK(rounds < 1000);
        raft_flush(member->raft, &member->update);
        struct raft_update *update = &member->update;
        group_describe_update(group, member);
        for (size_t i = 0; i < update->messages_count; i++)
            post(group, member, &update->messages[i]);
        for (size_t i = 0; i < update->reads_count; i++) {
            member->reads_ok += update->reads[i].ok;
            member->reads_failed += !update->reads[i].ok;
            member->read_index = update->reads[i].index;
        }
        if (update->apply_count > 0) {
            if (member->apply_count == 0)
                member->apply = update->apply;
            member->apply_count += update->apply_count;
        }
        if (update->write.number != 0)
            member->write = update->write;
        bool again = update->loads_count > 0 || update->snapshots_wanted_count > 0;
        for (size_t i = 0; i < update->loads_count; i++)
            load(group, member, &update->loads[i]);
        for (size_t i = 0; i < update->snapshots_wanted_count; i++)
            make_snapshot(group, member, update->snapshots_wanted[i].id);
        if (member->write.number != 0 && !member->hold_disk) {
            store(member, &member->write);
            struct raft_event event = {.type = RAFT_EVENT_PERSISTED,
                                       .u.write = member->write.number};
            member->write = (struct raft_write){0};
            CHECK(raft_step(member->raft, &event, group->now, NULL) == 0);
            again = true;
        }
        if (member->apply_count > 0 && !member->hold_apply) {
            group_apply(group, id);
            again = true;
        }
        if (!again)
            return;
    }
}

void group_sync(struct group *group, uint64_t id)
{
    struct group_member *member = group_at(group, id);
    bool held = member->hold_disk;
    member->hold_disk = false;
    buf_printf(&group->text, "%" PRIu64 " has synced\n", id);
    if (member->write.number != 0) {
        store(member, &member->write);
        struct raft_event event = {.type = RAFT_EVENT_PERSISTED, .u.write = member->write.number};
        member->write = (struct raft_write){0};
        CHECK(raft_step(member->raft, &event, group->now, NULL) == 0);
    }
    member->hold_disk = held;
    group_turn(group, id);
}

// One byte of transition, then type and id of each change; no data leaves a joint configuration.
static bool decode_change(const struct raft_entry *entry, struct raft_conf_change *change)
{
    *change = (struct raft_conf_change){.v2 = entry->type == RAFT_ENTRY_CONF_CHANGE_V2};
    if (!entry->data)
        return change->v2;
    const uint8_t *bytes = entry->data->bytes;
    if (entry->data->len % 2 != 1)
        return false;
    change->transition = bytes[0];
    for (uint32_t at = 1; at < entry->data->len; at += 2)
        change->changes[change->changes_count++] =
            (struct raft_change){(enum raft_change_type)bytes[at], bytes[at + 1]};
    return true;
}

static void apply_change(struct group *group, struct group_member *member,
                         const struct raft_entry *entry)
{
    struct raft_conf_change change;
    struct raft_event event = {.type = RAFT_EVENT_CONF_APPLIED};
    event.u.conf_applied.index = entry->index;
    event.u.conf_applied.change = decode_change(entry, &change) ? &change : NULL;
    if (raft_step(member->raft, &event, group->now, NULL) == 0)
        member->conf = *raft_conf(member->raft);
}

void group_apply(struct group *group, uint64_t id)
{
    struct group_member *member = group_at(group, id);
    size_t count = member->apply_count;
    if (count == 0)
        return;
    // Held batches may be several: entries come from the stored log, which has them all.
    uint64_t first = member->apply[0].index;
    member->apply_count = 0;
    for (uint64_t index = first; index < first + count; index++) {
        const struct raft_entry *entry = &member->log[index - member->start_index - 1];
        member->applied = index;
        member->applied_count++;
        if (entry->type != RAFT_ENTRY_NORMAL)
            apply_change(group, member, entry);
    }
    struct raft_event event = {.type = RAFT_EVENT_APPLIED, .u.index = member->applied};
    CHECK(raft_step(member->raft, &event, group->now, NULL) == 0);
}

int group_step(struct group *group, uint64_t id, const struct raft_event *event, struct err *err)
{
    int result = raft_step(group_raft(group, id), event, group->now, err);
    group_turn(group, id);
    return result;
}

// ---- time and messages --------------------------------------------------------------------------

int group_tick(struct group *group, uint64_t id)
{
    struct raft_event event = {.type = RAFT_EVENT_TICK};
    return group_step(group, id, &event, NULL);
}

static void advance(struct group *group, int64_t ms, bool deliver)
{
    struct mono end = mono_add(group->now, ms * NS_PER_MS);
    for (;;) {
        struct mono next = end;
        for (uint64_t id = 1; id <= GROUP_MEMBERS_MAX; id++) {
            const struct group_member *member = &group->members[id];
            if (member->alive && mono_before(member->update.wake_at, next))
                next = member->update.wake_at;
        }
        if (mono_before(group->now, next))
            group->now = next;
        bool woken = false;
        for (uint64_t id = 1; id <= GROUP_MEMBERS_MAX; id++) {
            const struct group_member *member = &group->members[id];
            if (!member->alive || mono_before(group->now, member->update.wake_at))
                continue;
            woken = true;
            group_tick(group, id);
        }
        if (deliver)
            group_settle(group);
        if (!woken)
            return;
    }
}

void group_pass(struct group *group, int64_t ms)
{
    advance(group, ms, false);
}

void group_run(struct group *group, int64_t ms)
{
    group_settle(group);
    advance(group, ms, true);
}

int group_message(struct group *group, const struct raft_message *message, struct err *err)
{
    struct raft_event event = {.type = RAFT_EVENT_MESSAGE, .u.message = message};
    return group_step(group, message->to, &event, err);
}

static void hand_over(struct group *group, struct raft_message *message)
{
    struct group_member *to = &group->members[message->to];
    if (to->alive && !group->cut[message->from][message->to]) {
        if (to->stock && message->type == RAFT_MSG_HEARTBEAT) {
            to->echo_len = message->context_len;
            memcpy(to->echo, message->context, sizeof to->echo);
            message->context_len = 0;
        }
        group->delivered++;
        struct err err = ERR_INIT;
        if (group_message(group, message, &err) < 0)
            buf_printf(&group->text, "%" PRIu64 " refuses: %s\n", message->to, err.message);
    }
    message_free(message);
}

static size_t take(struct group *group, uint64_t from, uint64_t to, bool deliver)
{
    size_t count = group->queue_count;
    size_t kept = 0;
    size_t taken = 0;
    struct raft_message *mine[GROUP_QUEUE_MAX];
    for (size_t i = 0; i < count; i++) {
        struct raft_message *message = group->queue[i];
        if ((from && message->from != from) || (to && message->to != to))
            group->queue[kept++] = message;
        else
            mine[taken++] = message;
    }
    group->queue_count = kept;
    for (size_t i = 0; i < taken; i++) {
        if (deliver)
            hand_over(group, mine[i]);
        else
            message_free(mine[i]);
    }
    return taken;
}

size_t group_deliver(struct group *group, uint64_t from, uint64_t to)
{
    return take(group, from, to, true);
}

size_t group_drop(struct group *group, uint64_t from, uint64_t to)
{
    return take(group, from, to, false);
}

void group_settle(struct group *group)
{
    for (int rounds = 0; group->queue_count > 0; rounds++) {
        CHECK(rounds < 10000);
        group_deliver(group, 0, 0);
    }
}

void group_elect(struct group *group, uint64_t id)
{
    group_campaign(group, id);
    group_settle(group);
    CHECK(raft_role(group_raft(group, id)) == RAFT_LEADER);
}

const struct raft_message *group_find(const struct group *group, uint64_t from, uint64_t to,
                                      enum raft_message_type type)
{
    for (size_t i = 0; i < group->queue_count; i++) {
        const struct raft_message *message = group->queue[i];
        if (message->from == from && message->to == to && message->type == type)
            return message;
    }
    return NULL;
}

// ---- requests -----------------------------------------------------------------------------------

int group_campaign(struct group *group, uint64_t id)
{
    struct raft_event event = {.type = RAFT_EVENT_CAMPAIGN};
    return group_step(group, id, &event, NULL);
}

int group_propose(struct group *group, uint64_t id, const char *text, struct err *err)
{
    struct raft_blob *data = raft_blob_new(text, strlen(text));
    struct raft_event event = {.type = RAFT_EVENT_PROPOSE};
    event.u.propose.data = &data;
    event.u.propose.count = 1;
    int result = group_step(group, id, &event, err);
    raft_blob_unref(data);
    return result;
}

int group_change_v2(struct group *group, uint64_t id, const struct raft_conf_change *change,
                    struct err *err)
{
    struct raft_event event = {.type = RAFT_EVENT_PROPOSE_CONF, .u.propose_conf.v2 = true};
    struct raft_blob *data = NULL;
    if (change) {
        uint8_t bytes[1 + 2 * RAFT_MEMBERS_MAX] = {change->transition};
        size_t len = 1;
        for (uint32_t i = 0; i < change->changes_count; i++) {
            bytes[len++] = (uint8_t)change->changes[i].type;
            bytes[len++] = (uint8_t)change->changes[i].id;
        }
        data = raft_blob_new(bytes, len);
        event.u.propose_conf.v2 = change->v2;
    }
    event.u.propose_conf.data = data;
    int result = group_step(group, id, &event, err);
    raft_blob_unref(data);
    return result;
}

int group_change(struct group *group, uint64_t id, enum raft_change_type type, uint64_t member,
                 struct err *err)
{
    struct raft_conf_change change = {.changes_count = 1, .changes = {{type, member}}};
    return group_change_v2(group, id, &change, err);
}

int group_read(struct group *group, uint64_t id, struct err *err)
{
    struct raft_event event = {.type = RAFT_EVENT_READ, .u.read = 1};
    return group_step(group, id, &event, err);
}

int group_transfer(struct group *group, uint64_t id, uint64_t to, struct err *err)
{
    struct raft_event event = {.type = RAFT_EVENT_TRANSFER, .u.id = to};
    return group_step(group, id, &event, err);
}

void group_compact(struct group *group, uint64_t id, uint64_t index)
{
    struct group_member *member = group_at(group, id);
    size_t gone = index - member->start_index;
    CHECK(index > member->start_index);
    CHECK(gone <= member->log_count);
    member->start_term = member->log[gone - 1].term;
    for (size_t i = 0; i < gone; i++)
        raft_blob_unref(member->log[i].data);
    memmove(member->log, member->log + gone, (member->log_count - gone) * sizeof *member->log);
    member->log_count -= gone;
    member->start_index = index;
    struct raft_event event = {.type = RAFT_EVENT_COMPACTED, .u.index = index};
    group_step(group, id, &event, NULL);
}

void group_unreachable(struct group *group, uint64_t id, uint64_t peer)
{
    struct raft_event event = {.type = RAFT_EVENT_UNREACHABLE, .u.id = peer};
    group_step(group, id, &event, NULL);
}

struct raft_peer_status group_peer(struct group *group, uint64_t leader, uint64_t id)
{
    struct raft_peer_status peers[RAFT_MEMBERS_MAX];
    size_t count = raft_peers(group_raft(group, leader), peers, COUNT_OF(peers));
    for (size_t i = 0; i < count; i++)
        if (peers[i].id == id)
            return peers[i];
    UNREACHABLE("no such peer");
}
