// What a group of Raft cores does, as text.
#include "tests/support/raft_group.h"

#include <inttypes.h>

#include "proto/base/check.h"

static void describe_entries(const struct raft_entry *entries, size_t count, struct buf *out)
{
    for (size_t i = 0; i < count; i++) {
        const struct raft_entry *entry = &entries[i];
        buf_printf(out, " %" PRIu64 "/%" PRIu64, entry->term, entry->index);
        if (entry->type != RAFT_ENTRY_NORMAL)
            buf_put_str(out, entry->type == RAFT_ENTRY_CONF_CHANGE ? ":conf" : ":conf2");
        else if (entry->data)
            buf_printf(out, ":%.*s", (int)(entry->data->len > 16 ? 16 : entry->data->len),
                       (const char *)entry->data->bytes);
    }
}

void group_describe_message(const struct raft_message *message, struct buf *out)
{
    buf_printf(out, "%" PRIu64 "->%" PRIu64 " %s term %" PRIu64, message->from, message->to,
               raft_message_name(message->type), message->term);
    if (message->index || message->log_term)
        buf_printf(out, " at %" PRIu64 "/%" PRIu64, message->log_term, message->index);
    if (message->commit)
        buf_printf(out, " commit %" PRIu64, message->commit);
    if (message->reject)
        buf_printf(out, " reject");
    if (message->reject_hint)
        buf_printf(out, " hint %" PRIu64, message->reject_hint);
    if (message->context_len == sizeof RAFT_CAMPAIGN_TRANSFER - 1)
        buf_printf(out, " transfer");
    if (message->snapshot)
        buf_printf(out, " snapshot %" PRIu64 "/%" PRIu64, message->snapshot->term,
                   message->snapshot->index);
    describe_entries(message->entries, message->entries_count, out);
}

static void describe_ids(const char *what, const uint64_t *ids, uint32_t count, struct buf *out)
{
    if (count == 0)
        return;
    buf_printf(out, " %s", what);
    for (uint32_t i = 0; i < count; i++)
        buf_printf(out, " %" PRIu64, ids[i]);
}

void group_describe(struct group *group, uint64_t id, struct buf *out)
{
    struct group_member *member = group_at(group, id);
    if (!member->alive) {
        buf_printf(out, "%" PRIu64 " down\n", id);
        return;
    }
    struct raft *raft = member->raft;
    const struct raft_conf *conf = raft_conf(raft);
    buf_printf(out, "%" PRIu64 " %s term %" PRIu64 " leader %" PRIu64, id,
               raft_role_name(raft_role(raft)), raft_term(raft), raft_leader(raft));
    buf_printf(out, " log [%" PRIu64 ", %" PRIu64 "] commit %" PRIu64 " applied %" PRIu64,
               raft_first_index(raft), raft_last_index(raft), raft_commit(raft),
               raft_applied(raft));
    describe_ids("voters", conf->voters, conf->voters_count, out);
    describe_ids("outgoing", conf->outgoing, conf->outgoing_count, out);
    describe_ids("learners", conf->learners, conf->learners_count, out);
    buf_put_str(out, "\n");
    if (raft_role(raft) != RAFT_LEADER)
        return;
    static const char *const states[] = {"probe", "replicate", "snapshot"};
    struct raft_peer_status peers[RAFT_MEMBERS_MAX];
    size_t count = raft_peers(raft, peers, COUNT_OF(peers));
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "  %" PRIu64 " %s match %" PRIu64 " next %" PRIu64 "%s%s%s\n", peers[i].id,
                   states[peers[i].progress], peers[i].match, peers[i].next,
                   peers[i].paused ? " paused" : "", peers[i].active ? "" : " silent",
                   peers[i].ours ? " ours" : "");
}

void group_describe_update(struct group *group, const struct group_member *member)
{
    const struct raft_update *update = &member->update;
    struct buf *out = &group->text;
    if (member->quiet)
        return;
    if (update->role_changed)
        buf_printf(out, "%" PRIu64 " is %s in term %" PRIu64 ", leader %" PRIu64 "\n", member->id,
                   raft_role_name(update->role), update->term, update->leader);
    if (update->write.number != 0) {
        buf_printf(out, "%" PRIu64 " stores term %" PRIu64 " vote %" PRIu64, member->id,
                   update->write.hard.term, update->write.hard.vote);
        if (update->write.snapshot)
            buf_printf(out, " snapshot %" PRIu64 "/%" PRIu64, update->write.snapshot->term,
                       update->write.snapshot->index);
        describe_entries(update->write.entries, update->write.entries_count, out);
        buf_put_str(out, member->hold_disk ? " (not synced)\n" : "\n");
    }
    for (size_t i = 0; i < update->messages_count; i++) {
        buf_put_str(out, "  ");
        group_describe_message(&update->messages[i], out);
        buf_put_str(out, "\n");
    }
    if (update->apply_count > 0) {
        buf_printf(out, "%" PRIu64 " applies", member->id);
        describe_entries(update->apply, update->apply_count, out);
        buf_put_str(out, "\n");
    }
    for (size_t i = 0; i < update->reads_count; i++)
        buf_printf(out, "%" PRIu64 " answers a read: %s at %" PRIu64 "\n", member->id,
                   update->reads[i].ok ? "ok" : "unknown", update->reads[i].index);
}
