// From a leader to its followers: which entries go out, and what their answers mean.
#include "raft/core/core.h"

// Bodies fetched from disk at once for one peer: enough for a good run of messages.
#define LOAD_MESSAGES 16

// ---- sending ------------------------------------------------------------------------------------

static bool is_awake(const struct raft *raft, const struct progress *peer)
{
    struct raft_pace pace = pace_towards(raft, peer->id);
    return mono_since(raft->now, peer->heard) < pace.election_ms * NS_PER_MS;
}

// One MsgApp after `previous` with these entries, whose references it takes over.
static void send_append(struct raft *raft, struct progress *peer, uint64_t previous,
                        struct raft_batch *batch)
{
    struct raft_message *message = raft_send(raft, RAFT_MSG_APP, peer->id);
    message->index = previous;
    message->log_term = log_term(&raft->log, previous);
    message->commit = raft->log.commit;
    message->entries = batch->entries;
    message->entries_count = batch->count;
    peer->commit_sent = raft->log.commit;
    peer->tell_at = MONO_NEVER;
    peer->poke = false;
}

// True when `batch` has as much as one MsgApp may carry and `entry` must wait for the next.
static bool is_full(const struct raft *raft, const struct raft_batch *batch,
                    const struct raft_entry *entry)
{
    return batch->count > 0 &&
           batch->bytes + raft_entry_bytes(entry) > raft->config.append_bytes_max;
}

// Entries from `from` on that are in memory, as many as one MsgApp may carry.
static struct raft_batch gather(const struct raft *raft, uint64_t from)
{
    struct raft_batch batch = {0};
    size_t cap = 0;
    const struct raft_entry *entry;
    for (uint64_t i = from; (entry = log_entry(&raft->log, i)) != NULL; i++) {
        if (is_full(raft, &batch, entry))
            break;
        batch_add(&batch, &cap, entry);
    }
    return batch;
}

static void probe(struct raft *raft, struct progress *peer)
{
    // Without bodies in memory it is an empty probe: it only asks whether the logs agree there.
    struct raft_batch batch = gather(raft, peer->next);
    send_append(raft, peer, peer->next - 1, &batch);
    peer->paused = true;
}

static void load_for(struct raft *raft, struct progress *peer)
{
    if (peer->load != 0)
        return;
    uint64_t last = raft->log.memory_first - 1;
    peer->load =
        raft_ask_load(raft, peer->next, last, LOAD_MESSAGES * raft->config.append_bytes_max);
}

// Is an empty MsgApp due that tells the commit index? Under load the next append tells it anyway,
// and saves the peer, which takes one message at a time, an extra turn.
static bool must_tell(const struct raft *raft, struct progress *peer)
{
    if (peer->commit_sent >= raft->log.commit || progress_is_paused(peer))
        return false;
    // A membership change is told at once: applying it here may be the end of talking to this peer,
    // which then would never learn that it was removed.
    bool change = peer->commit_sent < raft->conf_pending && raft->log.commit >= raft->conf_pending;
    if (change || !pace_is_ours(raft, peer->id))
        return true;
    if (peer->tell_at.ns == MONO_NEVER.ns)
        peer->tell_at = mono_add(raft->now, raft->config.commit_delay_ms * NS_PER_MS);
    return !mono_before(raft->now, peer->tell_at);
}

static void stream(struct raft *raft, struct progress *peer)
{
    while (peer->next <= raft->log.last && !progress_is_paused(peer)) {
        struct raft_batch batch = gather(raft, peer->next);
        if (batch.count == 0) {
            load_for(raft, peer);
            break;
        }
        send_append(raft, peer, peer->next - 1, &batch);
        peer->next += batch.count;
        progress_window_add(peer, peer->next - 1);
    }
    // An empty MsgApp tells the commit index, or finds out whether earlier ones got lost.
    if (must_tell(raft, peer) || peer->poke) {
        struct raft_batch none = {0};
        send_append(raft, peer, peer->next - 1, &none);
    }
}

static void hand_over(struct raft *raft, struct progress *peer)
{
    if (raft->transfer_to != peer->id || raft->transfer_told || peer->match != raft->log.last)
        return;
    raft_send(raft, RAFT_MSG_TIMEOUT_NOW, peer->id);
    raft->transfer_told = true;
}

void replicate_flush(struct raft *raft)
{
    CHECK(raft->role == RAFT_LEADER);
    for (size_t i = 0; i < raft->peers_count; i++) {
        struct progress *peer = &raft->peers[i];
        if (peer->state == RAFT_PROBE && peer->paused)
            continue; // also after a snapshot that failed: not before a heartbeat is answered
        if (peer->state != RAFT_SNAPSHOT && peer->next <= raft->log.start_index) {
            // What it needs is compacted away. A silent peer could not take a snapshot anyway.
            if (is_awake(raft, peer))
                progress_become_snapshot(peer);
            continue;
        }
        if (peer->state == RAFT_PROBE)
            probe(raft, peer);
        else if (peer->state == RAFT_REPLICATE)
            stream(raft, peer);
        hand_over(raft, peer);
    }
}

void replicate_loaded(struct raft *raft, struct progress *peer, const struct raft_entry *entries,
                      size_t count)
{
    size_t at = 0;
    // An answer may have moved `next` while the disk was read.
    while (at < count && entries[at].index < peer->next)
        at++;
    while (at < count && peer->state == RAFT_REPLICATE && entries[at].index == peer->next &&
           !progress_is_paused(peer)) {
        struct raft_batch batch = {0};
        size_t cap = 0;
        for (; at < count && !is_full(raft, &batch, &entries[at]); at++)
            batch_add(&batch, &cap, &entries[at]);
        send_append(raft, peer, peer->next - 1, &batch);
        peer->next += batch.count;
        progress_window_add(peer, peer->next - 1);
    }
}

void replicate_heartbeat(struct raft *raft, struct progress *peer)
{
    farewell_heartbeat(raft, peer);
    struct raft_message *message = raft_send(raft, RAFT_MSG_HEARTBEAT, peer->id);
    // Never past what the follower is known to have: etcd-raft panics on that.
    bool whole = peer->match > raft->log.commit || PLANTED(HEARTBEAT_COMMIT);
    message->commit = whole ? raft->log.commit : peer->match;
    if (message->commit == raft->log.commit) {
        peer->commit_sent = raft->log.commit;
        peer->tell_at = MONO_NEVER;
    }
    pace_write_mark(raft, message);
    uint32_t heartbeat_ms = pace_towards(raft, peer->id).heartbeat_ms;
    peer->heartbeat_at = mono_add(raft->now, heartbeat_ms * NS_PER_MS);
}

// ---- answers ------------------------------------------------------------------------------------

static void refused(struct raft *raft, struct progress *peer, const struct raft_message *message)
{
    // The follower's hint is where its log might agree with ours, going by terms. If it tells its
    // term there, we know more: no higher index of ours can have so low a term. (20.10 does not
    // tell, its hint is its last index.)
    uint64_t hint = message->reject_hint;
    uint64_t term;
    if (message->log_term > 0)
        hint = log_probe_hint(&raft->log, hint, message->log_term, &term);
    if (!PLANTED(NO_RETRY))
        progress_refuse(peer, message->index, hint);
}

void replicate_append_answer(struct raft *raft, struct progress *peer,
                             const struct raft_message *message)
{
    if (message->reject) {
        refused(raft, peer, message);
        return;
    }
    if (message->index > raft->log.last)
        return; // nothing we sent in this term
    bool was_probe = peer->state == RAFT_PROBE;
    bool agreed = was_probe && message->index == peer->next - 1;
    if (!progress_acknowledge(peer, message->index) && !agreed)
        return;
    if (was_probe)
        progress_become_replicate(peer);
    else if (peer->state == RAFT_SNAPSHOT && peer->match >= raft->log.start_index)
        progress_become_replicate(peer); // whatever snapshot it was, the log goes on from there
    leader_maybe_commit(raft);
}

void replicate_heartbeat_answer(struct raft *raft, struct progress *peer,
                                const struct raft_message *message)
{
    peer->paused = false;
    // It answers but lacks something: either it is on the way or it got lost. An empty MsgApp finds
    // out which, even when the window is full of lost messages.
    if (peer->match < raft->log.last && !PLANTED(NO_RETRY))
        peer->poke = true;
    struct mark mark;
    if (!mark_read(message, &mark))
        return;
    if (mark.kind == MARK_ANSWER)
        pace_note_ours(raft, peer->id);
    if (mark.round > peer->read_acked && mark.round <= raft->round) {
        peer->read_acked = mark.round;
        read_confirmed(raft);
        farewell_answered(raft);
    }
}

void replicate_unreachable(struct raft *raft, struct progress *peer)
{
    (void)raft;
    // The window was optimistic; much of it is probably lost.
    if (peer->state == RAFT_REPLICATE)
        progress_become_probe(peer);
}
