// What only a leader does: take proposals, decide what is committed, keep its quorum, hand over.
#include <inttypes.h>

#include "raft/core/core.h"

static struct raft_pace own_pace(const struct raft *raft)
{
    return pace_quorum_ours(raft) ? raft->config.quick : raft->config.patient;
}

// ---- starting and stopping ----------------------------------------------------------------------

void leader_start(struct raft *raft)
{
    CHECK(raft->role == RAFT_CANDIDATE);
    CHECK(raft->hard.vote == raft->config.id);
    raft->role = RAFT_LEADER;
    raft->leader = raft->config.id;
    raft->pace_known = true;
    raft->graced = false;
    for (size_t i = 0; i < raft->peers_count; i++)
        progress_reset(&raft->peers[i], raft->log.last + 1, raft->now);
    raft->settled_at = raft->log.last + 1;
    // Somewhere in the log a membership change may be waiting. Looking for it could mean reading
    // the whole tail; waiting until it is applied costs nothing.
    raft->conf_pending = raft->log.last;
    raft->uncommitted_bytes = 0;
    raft->uncommitted_from = raft->log.last + 1;
    raft->transfer_to = 0;
    raft->farewell = 0;
    leader_adjust_pace(raft);
    // Section 5.4.2: only an entry of our own term commits what earlier leaders left.
    leader_append(raft, RAFT_ENTRY_NORMAL, NULL);
    leader_tick(raft);
}

void leader_stop(struct raft *raft)
{
    CHECK(raft->role == RAFT_LEADER);
    raft->transfer_to = 0;
    raft->farewell = 0;
    raft->uncommitted_bytes = 0;
    for (size_t i = 0; i < raft->peers_count; i++)
        progress_reset(&raft->peers[i], raft->log.last + 1, raft->now);
    read_fail_all(raft);
}

bool leader_settled(const struct raft *raft)
{
    return raft->role == RAFT_LEADER && raft->log.commit >= raft->settled_at;
}

void leader_adjust_pace(struct raft *raft)
{
    raft->pace = own_pace(raft);
    for (size_t i = 0; i < raft->peers_count; i++) {
        struct progress *peer = &raft->peers[i];
        struct raft_pace pace = pace_towards(raft, peer->id);
        bool quick = pace_is_quick(raft, &pace);
        if (quick && !peer->quick) {
            // It was asked for answers once a second so far: do not call it silent for that, and
            // tell it of the quick pace at once.
            peer->heard = raft->now;
            peer->heartbeat_at = raft->now;
        }
        peer->quick = quick;
    }
}

// ---- time ---------------------------------------------------------------------------------------

static int active_or_not(const void *ctx, uint64_t id)
{
    const struct raft *raft = ctx;
    if (id == raft->config.id)
        return 1;
    const struct progress *peer = raft_peer(raft, id);
    struct raft_pace pace = pace_towards(raft, id);
    return mono_since(raft->now, peer->heard) < pace.election_ms * NS_PER_MS ? 1 : -1;
}

// Woken much later than asked for: answers of our peers may still wait to be read, so nobody counts
// as silent for one more heartbeat. Once per peer until it is heard again.
static void grant_grace(struct raft *raft)
{
    for (size_t i = 0; i < raft->peers_count; i++) {
        struct progress *peer = &raft->peers[i];
        struct raft_pace pace = pace_towards(raft, peer->id);
        int64_t grace_ns = pace.heartbeat_ms * NS_PER_MS;
        int64_t limit_ns = pace.election_ms * NS_PER_MS;
        if (peer->graced || mono_since(raft->now, raft->wake_at) <= grace_ns ||
            mono_since(raft->now, peer->heard) < limit_ns)
            continue;
        peer->graced = true;
        peer->heard = mono_add(raft->now, grace_ns - limit_ns);
    }
}

// Those that are due, and with them those that soon will be: from then on one waking up does for
// all of them.
static void send_heartbeats(struct raft *raft)
{
    struct mono soon = mono_add(raft->now, raft->config.quick.heartbeat_ms * NS_PER_MS / 4);
    bool due = false;
    for (size_t i = 0; i < raft->peers_count; i++)
        due = due || !mono_before(raft->now, raft->peers[i].heartbeat_at);
    for (size_t i = 0; due && i < raft->peers_count; i++)
        if (!mono_before(soon, raft->peers[i].heartbeat_at))
            replicate_heartbeat(raft, &raft->peers[i]);
}

void leader_tick(struct raft *raft)
{
    grant_grace(raft);
    if (quorum_tally(&raft->conf, active_or_not, raft) != QUORUM_WON) {
        election_become_follower(raft, raft->hard.term, 0);
        return;
    }
    farewell_tick(raft);
    if (raft->role != RAFT_LEADER)
        return;
    if (raft->transfer_to != 0 && !mono_before(raft->now, raft->transfer_until))
        raft->transfer_to = 0;
    send_heartbeats(raft);
}

struct mono leader_wake_at(const struct raft *raft)
{
    struct mono at = raft->transfer_to != 0 ? raft->transfer_until : MONO_NEVER;
    if (raft->farewell != 0)
        at = raft->farewell_until;
    for (size_t i = 0; i < raft->peers_count; i++) {
        const struct progress *peer = &raft->peers[i];
        if (mono_before(peer->heartbeat_at, at))
            at = peer->heartbeat_at;
        bool telling = peer->state == RAFT_REPLICATE && !progress_is_paused(peer);
        if (telling && mono_before(peer->tell_at, at))
            at = peer->tell_at;
    }
    return at;
}

// ---- committing ---------------------------------------------------------------------------------

static uint64_t match_of(const void *ctx, uint64_t id)
{
    const struct raft *raft = ctx;
    if (id == raft->config.id)
        return PLANTED(COUNT_SELF_EARLY) ? raft->log.last : raft->log.durable;
    return raft_peer(raft, id)->match;
}

// The mistake REMOVED_COUNTS: everybody we ever talked to counts towards today's majority.
static uint64_t match_with_removed(const struct raft *raft)
{
    uint64_t best = 0;
    for (uint64_t index = raft->log.last; index > raft->log.commit && best == 0; index--) {
        uint32_t have = raft->log.durable >= index;
        for (size_t i = 0; i < raft->peers_count; i++)
            have += raft->peers[i].match >= index;
        if (have >= raft->conf.voters_count / 2 + 1)
            best = index;
    }
    return best;
}

void leader_commit_to(struct raft *raft, uint64_t index)
{
    CHECK(index > raft->log.commit);
    CHECK(index <= raft->log.last);
    uint64_t from = raft->log.commit + 1;
    if (from < raft->uncommitted_from)
        from = raft->uncommitted_from;
    for (uint64_t i = from; i <= index; i++)
        raft->uncommitted_bytes -= raft_entry_bytes(log_entry(&raft->log, i));
    raft->log.commit = index;
}

void leader_maybe_commit(struct raft *raft)
{
    if (raft->conf.voters_count == 0)
        return;
    uint64_t index = quorum_index(&raft->conf, match_of, raft);
    if (PLANTED(REMOVED_COUNTS))
        index = match_with_removed(raft);
    bool own_term = log_term(&raft->log, index) == raft->hard.term;
    if (index > raft->log.commit && (own_term || PLANTED(COMMIT_OLD_TERM)))
        leader_commit_to(raft, index);
}

// ---- proposing ----------------------------------------------------------------------------------

void leader_append(struct raft *raft, enum raft_entry_type type, struct raft_blob *data)
{
    CHECK(raft->role == RAFT_LEADER);
    struct raft_entry entry = {
        .term = raft->hard.term,
        .index = raft->log.last + 1,
        .type = type,
        .data = data,
    };
    log_append(&raft->log, &entry);
    raft->uncommitted_bytes += raft_entry_bytes(&entry);
}

static int check_may_propose(const struct raft *raft, size_t bytes, struct err *err)
{
    if (raft->role != RAFT_LEADER)
        return err_set(err, ERR_UNAVAILABLE, "not the leader");
    if (raft->farewell != 0)
        return err_set(err, ERR_UNAVAILABLE, "this leader was removed");
    if (raft->transfer_to != 0)
        return err_set(err, ERR_UNAVAILABLE, "leadership is being transferred to %" PRIx64,
                       raft->transfer_to);
    // One entry always fits, however large; the limit is about how many wait.
    if (raft->uncommitted_bytes > 0 &&
        bytes > raft->config.uncommitted_bytes_max - raft->uncommitted_bytes)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "%zu bytes of proposals are not committed yet",
                       raft->uncommitted_bytes);
    return 0;
}

static bool may_forward(const struct raft *raft)
{
    return raft->config.forward_proposals && raft->role == RAFT_FOLLOWER && raft->leader != 0 &&
           pace_is_ours(raft, raft->leader);
}

static void forward(struct raft *raft, struct raft_blob *const *data, size_t count)
{
    struct raft_batch batch = {0};
    size_t cap = 0;
    for (size_t i = 0; i < count; i++) {
        struct raft_entry entry = {.type = RAFT_ENTRY_NORMAL, .data = data[i]};
        batch_add(&batch, &cap, &entry);
    }
    struct raft_message *message = raft_send(raft, RAFT_MSG_PROP, raft->leader);
    message->entries = batch.entries;
    message->entries_count = batch.count;
}

int leader_propose(struct raft *raft, struct raft_blob *const *data, size_t count, struct err *err)
{
    CHECK(count > 0);
    if (may_forward(raft)) {
        forward(raft, data, count);
        return 0;
    }
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += RAFT_ENTRY_OVERHEAD_BYTES + (data[i] ? data[i]->len : 0);
    if (raft->uncommitted_bytes > raft->config.uncommitted_bytes_max)
        bytes = SIZE_MAX;
    int result = check_may_propose(raft, bytes, err);
    if (result < 0)
        return result;
    for (size_t i = 0; i < count; i++)
        leader_append(raft, RAFT_ENTRY_NORMAL, data[i]);
    return 0;
}

// Why a membership change cannot be proposed now; NULL when it can.
static const char *conf_obstacle(const struct raft *raft, bool leaves_joint)
{
    bool joint = raft->conf.outgoing_count > 0;
    bool pending = raft->conf_pending > raft->log.applied || raft->conf_wait != 0;
    if (pending && !PLANTED(TWO_CHANGES))
        return "an earlier membership change may still be in flight";
    if (joint && !leaves_joint)
        return "the joint configuration must be left first";
    if (!joint && leaves_joint)
        return "not in a joint configuration";
    return NULL;
}

int leader_propose_conf(struct raft *raft, bool v2, struct raft_blob *data, struct err *err)
{
    int result = check_may_propose(raft, 0, err);
    if (result < 0)
        return result;
    const char *obstacle = conf_obstacle(raft, v2 && (!data || data->len == 0));
    if (obstacle)
        return err_set(err, ERR_FAILED_PRECONDITION, "%s", obstacle);
    leader_append(raft, v2 ? RAFT_ENTRY_CONF_CHANGE_V2 : RAFT_ENTRY_CONF_CHANGE, data);
    raft->conf_pending = raft->log.last;
    return 0;
}

void leader_forwarded(struct raft *raft, const struct raft_message *message)
{
    size_t bytes = 0;
    for (size_t i = 0; i < message->entries_count; i++)
        bytes += raft_entry_bytes(&message->entries[i]);
    if (raft->uncommitted_bytes > raft->config.uncommitted_bytes_max ||
        check_may_propose(raft, bytes, NULL) < 0)
        return;
    for (size_t i = 0; i < message->entries_count; i++) {
        const struct raft_entry *entry = &message->entries[i];
        bool v2 = entry->type == RAFT_ENTRY_CONF_CHANGE_V2;
        if (entry->type == RAFT_ENTRY_NORMAL)
            leader_append(raft, RAFT_ENTRY_NORMAL, entry->data);
        else if (leader_propose_conf(raft, v2, entry->data, NULL) < 0)
            leader_append(raft, RAFT_ENTRY_NORMAL, NULL); // as etcd: an empty entry in its place
    }
}

// ---- membership ---------------------------------------------------------------------------------

void leader_conf_applied(struct raft *raft)
{
    if (!raft_conf_is_voter(&raft->conf, raft->config.id)) {
        if (raft->farewell == 0)
            farewell_begin(raft);
        return;
    }
    if (raft->transfer_to != 0 && !raft_conf_is_voter(&raft->conf, raft->transfer_to))
        raft->transfer_to = 0;
    leader_adjust_pace(raft);
    leader_maybe_commit(raft); // fewer may be needed now
}

void leader_leave_joint(struct raft *raft)
{
    if (raft->role != RAFT_LEADER || raft->conf.outgoing_count == 0 || !raft->conf.auto_leave ||
        raft->conf_pending > raft->log.applied || raft->conf_wait != 0)
        return;
    leader_append(raft, RAFT_ENTRY_CONF_CHANGE_V2, NULL);
    raft->conf_pending = raft->log.last;
}

// ---- handing over -------------------------------------------------------------------------------

// The voter that lacks least, among those that are awake.
static uint64_t best_successor(const struct raft *raft)
{
    const struct progress *best = NULL;
    for (size_t i = 0; i < raft->peers_count; i++) {
        const struct progress *peer = &raft->peers[i];
        if (!raft_conf_is_voter(&raft->conf, peer->id) || active_or_not(raft, peer->id) < 0)
            continue;
        if (!best || peer->match > best->match)
            best = peer;
    }
    return best ? best->id : 0;
}

int leader_transfer(struct raft *raft, uint64_t id, struct err *err)
{
    if (raft->role != RAFT_LEADER)
        return err_set(err, ERR_UNAVAILABLE, "not the leader");
    if (raft->farewell != 0)
        return err_set(err, ERR_UNAVAILABLE, "this leader was removed");
    if (id == 0)
        id = best_successor(raft);
    if (id == 0 || !raft_conf_is_voter(&raft->conf, id))
        return err_set(err, ERR_NOT_FOUND, "no voter to transfer leadership to");
    if (id == raft->config.id || id == raft->transfer_to)
        return 0;
    raft->transfer_to = id;
    raft->transfer_told = false;
    int64_t limit_ns = pace_towards(raft, id).election_ms * NS_PER_MS;
    raft->transfer_until = mono_add(raft->now, limit_ns);
    return 0;
}
