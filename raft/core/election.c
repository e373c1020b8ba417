// Elections: timers, pre-votes, votes, the lease.
#include <string.h>

#include "raft/core/core.h"

// How soon a member without peers looks again whether all it knows to be committed is applied.
#define ALONE_RETRY_MS 10

// ---- timers -------------------------------------------------------------------------------------

// A moment drawn from [election, 2 x election) after now, with the draw of this wait.
static struct mono draw_after(struct raft *raft, uint32_t election_ms)
{
    int64_t election_ns = election_ms * NS_PER_MS;
    return mono_add(raft->now, rand_between(&raft->rand, election_ns, 2 * election_ns - 1));
}

void election_reset_timer(struct raft *raft)
{
    raft->election_at = draw_after(raft, pace_waiting(raft).election_ms);
    raft->graced = false;
}

static void reset_patience(struct raft *raft)
{
    raft->patient_at = draw_after(raft, raft->config.patient.election_ms);
}

void election_leader_heard(struct raft *raft)
{
    // Rule 3: a leader not known to be ours gets all patience until its mark says otherwise.
    if (!pace_is_ours(raft, raft->leader)) {
        raft->pace = raft->config.patient;
        raft->pace_known = true;
    }
    raft->heard = raft->now;
    raft->gave_way = false;
    election_reset_timer(raft);
    reset_patience(raft);
}

bool election_in_lease(const struct raft *raft)
{
    if (raft->role == RAFT_LEADER)
        return true;
    return raft->leader != 0 &&
           mono_since(raft->now, raft->heard) < pace_waiting(raft).election_ms * NS_PER_MS;
}

bool election_is_promotable(const struct raft *raft)
{
    bool installing = raft->has_snapshot_pending || raft->write_has_snapshot;
    return raft_conf_is_voter(&raft->conf, raft->config.id) && !installing;
}

// Could a membership change be waiting among what is committed and not applied? Such a member does
// not campaign: it might count by a configuration that is two changes old.
static bool has_unapplied_change(const struct raft *raft)
{
    for (uint64_t i = raft->log.applied + 1; i <= raft->log.commit; i++) {
        const struct raft_entry *entry = log_entry(&raft->log, i);
        // Not in memory: it will be loaded for apply in a moment; better wait than guess.
        if (!entry || entry->type != RAFT_ENTRY_NORMAL)
            return true;
    }
    return raft->conf_wait != 0;
}

// ---- becoming something -------------------------------------------------------------------------

static void clear_votes(struct raft *raft)
{
    for (size_t i = 0; i < raft->peers_count; i++)
        raft->peers[i].vote = 0;
    raft->own_vote = 0;
    raft->own_vote_write = 0;
}

static void set_term(struct raft *raft, uint64_t term)
{
    CHECK(term >= raft->hard.term);
    if (term == raft->hard.term)
        return;
    raft->hard.term = term;
    raft->hard.vote = 0;
    // Whatever waited for the disk spoke for the old term.
    raft_forget_held(raft);
}

void election_become_follower(struct raft *raft, uint64_t term, uint64_t leader)
{
    if (raft->role == RAFT_LEADER)
        leader_stop(raft);
    bool was_leader = raft->role == RAFT_LEADER;
    bool stays = raft->role == RAFT_FOLLOWER && leader == 0 && raft->election_at.ns != 0;
    set_term(raft, term);
    raft->role = RAFT_FOLLOWER;
    raft->leader = leader;
    clear_votes(raft);
    // A candidate's later term alone does not postpone our own candidacy, only a vote for it does:
    // with a log that is behind it would ask, and with a quick clock ask again, and never win.
    if (!stays)
        election_reset_timer(raft);
    // Nor does it, or a lost pre-vote, postpone the real election that rule 5 promises.
    if (leader != 0 || was_leader || raft->patient_at.ns == 0)
        reset_patience(raft);
}

static int vote_of(const void *ctx, uint64_t id)
{
    const struct raft *raft = ctx;
    if (id == raft->config.id)
        return raft->own_vote;
    const struct progress *peer = raft_peer(raft, id);
    return peer ? peer->vote : 0;
}

static void campaign_now(struct raft *raft, bool transfer);

static void tally(struct raft *raft)
{
    enum quorum_vote result = quorum_tally(&raft->conf, vote_of, raft);
    if (PLANTED(QUORUM_OF_HALF)) {
        uint32_t yes = 0;
        for (uint32_t i = 0; i < raft->conf.voters_count; i++)
            yes += vote_of(raft, raft->conf.voters[i]) > 0;
        result = 2 * yes >= raft->conf.voters_count ? QUORUM_WON : result;
    }
    if (result == QUORUM_LOST)
        election_become_follower(raft, raft->hard.term, 0);
    if (result != QUORUM_WON)
        return;
    if (raft->role == RAFT_PRE_CANDIDATE)
        campaign_now(raft, false);
    else
        leader_start(raft);
}

// ---- asking for votes ---------------------------------------------------------------------------

// Rule 7: a lost question, or one that came while the voter's lease still ran, costs a heartbeat's
// time and not a whole wait.
static void set_ask_again(struct raft *raft)
{
    raft->ask_at = mono_add(raft->now, pace_waiting(raft).heartbeat_ms * NS_PER_MS);
}

static void ask(struct raft *raft, enum raft_message_type type, uint64_t id, bool transfer)
{
    struct raft_message message = raft_message_init(raft, type, id);
    message.index = raft->log.last;
    message.log_term = log_last_term(&raft->log);
    if (transfer) {
        message.context_len = sizeof RAFT_CAMPAIGN_TRANSFER - 1;
        memcpy(message.context, RAFT_CAMPAIGN_TRANSFER, message.context_len);
    }
    if (type == RAFT_MSG_PRE_VOTE) {
        message.term = raft->hard.term + 1;
        *raft_send(raft, type, id) = message;
    } else {
        raft_send_durable(raft, &message);
    }
}

static void campaign_now(struct raft *raft, bool transfer)
{
    set_term(raft, raft->hard.term + 1);
    raft->hard.vote = raft->config.id;
    raft->role = RAFT_CANDIDATE;
    raft->leader = 0;
    clear_votes(raft);
    election_reset_timer(raft);
    reset_patience(raft);
    raft->own_vote_write = raft_fence(raft);
    CHECK(raft->own_vote_write > raft->write_durable);
    for (size_t i = 0; i < raft->peers_count; i++)
        if (raft_conf_is_voter(&raft->conf, raft->peers[i].id))
            ask(raft, RAFT_MSG_VOTE, raft->peers[i].id, transfer);
    raft->transfer_election = transfer;
    set_ask_again(raft);
}

static void pre_campaign(struct raft *raft, bool all_ours)
{
    raft->role = RAFT_PRE_CANDIDATE;
    raft->leader = 0;
    clear_votes(raft);
    election_reset_timer(raft);
    raft->own_vote = 1;
    for (size_t i = 0; i < raft->peers_count; i++) {
        uint64_t id = raft->peers[i].id;
        if (raft_conf_is_voter(&raft->conf, id) && (all_ours || pace_is_ours(raft, id)))
            ask(raft, RAFT_MSG_PRE_VOTE, id, false);
    }
    set_ask_again(raft);
    tally(raft);
}

static void ask_again(struct raft *raft)
{
    set_ask_again(raft);
    bool pre = raft->role == RAFT_PRE_CANDIDATE;
    // Before the own vote is durable the first questions have not left either.
    for (size_t i = 0; i < raft->peers_count && raft->own_vote != 0; i++) {
        const struct progress *peer = &raft->peers[i];
        if (peer->vote == 0 && raft_conf_is_voter(&raft->conf, peer->id) &&
            pace_is_ours(raft, peer->id))
            ask(raft, pre ? RAFT_MSG_PRE_VOTE : RAFT_MSG_VOTE, peer->id,
                !pre && raft->transfer_election);
    }
}

void election_campaign(struct raft *raft, bool transfer)
{
    CHECK(raft->role != RAFT_LEADER);
    if (!election_is_promotable(raft) || has_unapplied_change(raft))
        return;
    campaign_now(raft, transfer);
}

void election_own_vote_durable(struct raft *raft)
{
    if (raft->role != RAFT_CANDIDATE || raft->own_vote != 0 ||
        raft->own_vote_write > raft->write_durable)
        return;
    raft->own_vote = 1;
    tally(raft);
}

// Woken much later than asked for: what was sent to us meanwhile may still wait to be read. One
// heartbeat of grace, once.
static bool is_graced(struct raft *raft, uint32_t heartbeat_ms)
{
    int64_t grace_ns = heartbeat_ms * NS_PER_MS;
    if (raft->graced || raft->peers_count == 0 || mono_since(raft->now, raft->wake_at) <= grace_ns)
        return false;
    raft->graced = true;
    raft->election_at = mono_add(raft->now, grace_ns);
    return true;
}

static bool is_asking(const struct raft *raft)
{
    return raft->role == RAFT_PRE_CANDIDATE || raft->role == RAFT_CANDIDATE;
}

struct mono election_wake_at(const struct raft *raft)
{
    if (!election_is_promotable(raft))
        return MONO_NEVER;
    bool sooner = is_asking(raft) && mono_before(raft->ask_at, raft->election_at);
    return sooner ? raft->ask_at : raft->election_at;
}

void election_tick(struct raft *raft)
{
    if (!election_is_promotable(raft))
        return;
    if (mono_before(raft->now, raft->election_at)) {
        if (is_asking(raft) && !mono_before(raft->now, raft->ask_at))
            ask_again(raft);
        return;
    }
    struct raft_pace pace = pace_waiting(raft);
    if (is_graced(raft, pace.heartbeat_ms))
        return;
    if (has_unapplied_change(raft)) {
        election_reset_timer(raft);
        // Alone, as after a start, only the disk is waited for.
        if (raft->peers_count == 0)
            raft->election_at = mono_add(raft->now, ALONE_RETRY_MS * NS_PER_MS);
        return;
    }
    bool all_ours = pace_all_ours(raft);
    if (all_ours) {
        pre_campaign(raft, true);
    } else if (!pace_is_quick(raft, &pace) || !mono_before(raft->now, raft->patient_at)) {
        campaign_now(raft, false);
    } else if (pace_quorum_ours(raft)) {
        pre_campaign(raft, false);
    } else {
        raft->election_at = raft->patient_at;
    }
}

// ---- voting -------------------------------------------------------------------------------------

// Rule 8: who grants a pre-vote lets the other go first, by the time of a vote; of two that ask
// each other, the one with the smaller id does. Else both would stand in one term, each with its
// own vote, and a whole wait would pass. Only once: the other may be one whom no answer reaches.
static void give_way(struct raft *raft, uint64_t to)
{
    bool asks = raft->role == RAFT_PRE_CANDIDATE;
    if (raft->gave_way || raft->role == RAFT_CANDIDATE || (asks && to < raft->config.id))
        return;
    int64_t heartbeat_ns = pace_waiting(raft).heartbeat_ms * NS_PER_MS;
    int64_t wait_ns = rand_between(&raft->rand, heartbeat_ns, 2 * heartbeat_ns);
    struct mono at = mono_add(raft->now, wait_ns);
    raft->gave_way = true;
    if (asks)
        election_become_follower(raft, raft->hard.term, 0);
    if (asks || mono_before(raft->election_at, at))
        raft->election_at = at;
}

void election_vote_request(struct raft *raft, const struct raft_message *message)
{
    bool pre = message->type == RAFT_MSG_PRE_VOTE;
    enum raft_message_type answer = pre ? RAFT_MSG_PRE_VOTE_RESP : RAFT_MSG_VOTE_RESP;
    if (pre)
        pace_note_ours(raft, message->from); // nobody else asks
    bool may_vote = raft->hard.vote == message->from ||
                    (raft->hard.vote == 0 && raft->leader == 0) ||
                    (pre && message->term > raft->hard.term) || PLANTED(DOUBLE_VOTE);
    bool good_log = log_is_up_to_date(&raft->log, message->index, message->log_term) ||
                    PLANTED(SKIP_UP_TO_DATE);
    if (!may_vote || !good_log) {
        raft_send(raft, answer, message->from)->reject = true;
        return;
    }
    if (pre) {
        // The grant repeats the term asked about: the asker ignores earlier ones.
        raft_send(raft, answer, message->from)->term = message->term;
        give_way(raft, message->from);
        return;
    }
    raft->hard.vote = message->from;
    raft->gave_way = false;
    election_reset_timer(raft);
    reset_patience(raft);
    struct raft_message granted = raft_message_init(raft, answer, message->from);
    raft_send_durable(raft, &granted);
}

void election_vote_answer(struct raft *raft, const struct raft_message *message)
{
    bool pre = message->type == RAFT_MSG_PRE_VOTE_RESP;
    if (raft->role != (pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE))
        return;
    if (pre && !message->reject && message->term != raft->hard.term + 1)
        return;
    struct progress *peer = raft_peer(raft, message->from);
    if (!peer || peer->vote != 0)
        return;
    peer->vote = message->reject ? -1 : 1;
    tally(raft);
}
