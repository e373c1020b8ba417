// How patient to be: the rules of TIMING in raft.h.
#include "raft/core/core.h"

bool pace_is_ours(const struct raft *raft, uint64_t id)
{
    for (size_t i = 0; i < raft->ours_count; i++)
        if (raft->ours[i] == id)
            return true;
    return false;
}

static void forget_strangers(struct raft *raft)
{
    size_t kept = 0;
    for (size_t i = 0; i < raft->ours_count; i++)
        if (raft_conf_has(&raft->conf, raft->ours[i]))
            raft->ours[kept++] = raft->ours[i];
    raft->ours_count = kept;
}

void pace_note_ours(struct raft *raft, uint64_t id)
{
    if (id == 0 || id == raft->config.id || pace_is_ours(raft, id))
        return;
    if (raft->ours_count == RAFT_OURS_MAX)
        forget_strangers(raft);
    if (raft->ours_count == RAFT_OURS_MAX)
        return;
    raft->ours[raft->ours_count++] = id;
    raft->ours_changed = true;
    // Rule 3: a member that has not heard any leader yet may just have become quick.
    if (!raft->pace_known && raft->role == RAFT_FOLLOWER)
        election_reset_timer(raft);
    if (raft->role == RAFT_LEADER)
        leader_adjust_pace(raft);
}

static int ours_or_not(const void *ctx, uint64_t id)
{
    const struct raft *raft = ctx;
    return id == raft->config.id || pace_is_ours(raft, id) ? 1 : -1;
}

bool pace_all_ours(const struct raft *raft)
{
    for (size_t i = 0; i < raft->peers_count; i++)
        if (!raft->peers[i].learner && !pace_is_ours(raft, raft->peers[i].id))
            return false;
    return true;
}

bool pace_quorum_ours(const struct raft *raft)
{
    return raft->conf.voters_count > 0 &&
           quorum_tally(&raft->conf, ours_or_not, raft) == QUORUM_WON;
}

bool pace_is_quick(const struct raft *raft, const struct raft_pace *pace)
{
    return pace->election_ms < raft->config.patient.election_ms;
}

struct raft_pace pace_waiting(const struct raft *raft)
{
    if (raft->pace_known)
        return raft->pace;
    return pace_quorum_ours(raft) ? raft->config.quick : raft->config.patient;
}

struct raft_pace pace_towards(const struct raft *raft, uint64_t id)
{
    bool quick = pace_quorum_ours(raft) && pace_is_ours(raft, id);
    return quick ? raft->config.quick : raft->config.patient;
}

void pace_write_mark(const struct raft *raft, struct raft_message *heartbeat)
{
    struct raft_pace pace = pace_quorum_ours(raft) ? raft->config.quick : raft->config.patient;
    struct mark mark = {
        .kind = MARK_HEARTBEAT,
        .heartbeat_ms = pace.heartbeat_ms > UINT16_MAX ? UINT16_MAX : (uint16_t)pace.heartbeat_ms,
        .election_ms = pace.election_ms,
        .digest = mark_digest(&raft->conf),
        .round = raft->round,
    };
    for (uint32_t i = 0; i < raft->conf.voters_count; i++)
        if (ours_or_not(raft, raft->conf.voters[i]) > 0)
            mark.ours |= UINT64_C(1) << i;
    mark_write(&mark, heartbeat);
}

void pace_read_mark(struct raft *raft, const struct raft_message *heartbeat)
{
    struct mark mark;
    raft->pace = raft->config.patient;
    raft->pace_known = true;
    if (!mark_read(heartbeat, &mark) || mark.kind != MARK_HEARTBEAT)
        return;
    pace_note_ours(raft, heartbeat->from);
    // Within our own bounds: a leader cannot make us hectic, nor put us to sleep.
    uint32_t election_ms = mark.election_ms;
    if (election_ms < raft->config.quick.election_ms)
        election_ms = raft->config.quick.election_ms;
    uint32_t heartbeat_ms = mark.heartbeat_ms;
    if (heartbeat_ms < raft->config.quick.heartbeat_ms)
        heartbeat_ms = raft->config.quick.heartbeat_ms;
    if (heartbeat_ms > election_ms / 2)
        heartbeat_ms = election_ms / 2;
    if (election_ms < raft->config.patient.election_ms)
        raft->pace = (struct raft_pace){heartbeat_ms, election_ms};
    if (mark.digest != mark_digest(&raft->conf))
        return;
    for (uint32_t i = 0; i < raft->conf.voters_count; i++)
        if (mark.ours >> i & 1)
            pace_note_ours(raft, raft->conf.voters[i]);
}
