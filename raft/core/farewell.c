// A leader that was removed stays in office until a quorum of those left knows it (dissertation,
// section 4.2.2, says only that it steps down once its removal is committed). One that left earlier
// would leave followers that have the change in their logs but do not know that it is committed:
// of two, the other would wait for a vote that never comes.
//
// A peer knows when it answered a heartbeat that told it the commit index; heartbeats to it carry
// rounds like those of reads, which every member echoes.
#include "raft/core/core.h"

static void step_down(struct raft *raft)
{
    election_become_follower(raft, raft->hard.term, 0); // which forgets the farewell
}

static int knows_or_not(const void *ctx, uint64_t id)
{
    const struct raft *raft = ctx;
    const struct progress *peer = raft_peer(raft, id);
    return peer->farewell_round != 0 && peer->read_acked >= peer->farewell_round ? 1 : 0;
}

void farewell_begin(struct raft *raft)
{
    if (raft->conf.voters_count == 0) {
        step_down(raft);
        return;
    }
    raft->farewell = raft->log.commit;
    raft->farewell_until = mono_add(raft->now, raft->pace.election_ms * NS_PER_MS);
    raft->transfer_to = 0;
    for (size_t i = 0; i < raft->peers_count; i++) {
        raft->peers[i].farewell_round = 0;
        raft->peers[i].heartbeat_at = raft->now;
    }
    replicate_flush(raft);
}

void farewell_heartbeat(struct raft *raft, struct progress *peer)
{
    if (raft->farewell != 0 && peer->match >= raft->farewell && peer->farewell_round == 0)
        peer->farewell_round = ++raft->round;
}

// One that knows everything is asked to take over, so that nobody waits for an election timeout.
static void name_successor(struct raft *raft)
{
    for (size_t i = 0; i < raft->peers_count; i++) {
        const struct progress *peer = &raft->peers[i];
        if (raft_conf_is_voter(&raft->conf, peer->id) && knows_or_not(raft, peer->id) > 0 &&
            peer->match == raft->log.last) {
            raft_send(raft, RAFT_MSG_TIMEOUT_NOW, peer->id);
            return;
        }
    }
}

void farewell_answered(struct raft *raft)
{
    if (raft->farewell == 0 || quorum_tally(&raft->conf, knows_or_not, raft) != QUORUM_WON)
        return;
    name_successor(raft);
    step_down(raft);
}

void farewell_tick(struct raft *raft)
{
    if (raft->farewell != 0 && !mono_before(raft->now, raft->farewell_until))
        step_down(raft);
}
