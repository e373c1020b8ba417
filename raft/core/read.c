// Read barriers: a leader answers only after a quorum confirmed, later than the question, that
// nobody replaced it (dissertation, section 6.4). The confirmation rides on heartbeats, whose
// context every member echoes.
#include "raft/core/core.h"

int read_begin(struct raft *raft, uint64_t read, struct err *err)
{
    if (raft->role != RAFT_LEADER)
        return err_set(err, ERR_UNAVAILABLE, "not the leader");
    if (raft->reads_count >= raft->config.reads_max)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "%zu read barriers are waiting",
                       raft->reads_count);
    if (PLANTED(STALE_READ)) {
        raft_answer_read(raft, read, true, raft->log.commit);
        return 0;
    }
    raft->reads = raft_grow(raft->reads, raft->reads_count, &raft->reads_cap, sizeof *raft->reads);
    raft->reads[raft->reads_count++] = (struct raft_waiting_read){.read = read};
    return 0;
}

static uint64_t acked_of(const void *ctx, uint64_t id)
{
    const struct raft *raft = ctx;
    return id == raft->config.id ? raft->round : raft_peer(raft, id)->read_acked;
}

void read_confirmed(struct raft *raft)
{
    uint64_t confirmed = quorum_index(&raft->conf, acked_of, raft);
    size_t kept = 0;
    for (size_t i = 0; i < raft->reads_count; i++) {
        struct raft_waiting_read *read = &raft->reads[i];
        if (read->round != 0 && read->round <= confirmed)
            raft_answer_read(raft, read->read, true, read->index);
        else
            raft->reads[kept++] = *read;
    }
    raft->reads_count = kept;
}

void read_flush(struct raft *raft)
{
    // Before its first own commit a leader does not know what former ones acknowledged.
    if (!leader_settled(raft) && !PLANTED(UNSETTLED_READ))
        return;
    bool fresh = false;
    for (size_t i = 0; i < raft->reads_count; i++) {
        struct raft_waiting_read *read = &raft->reads[i];
        if (read->round != 0)
            continue;
        if (!fresh)
            raft->round++;
        fresh = true;
        read->round = raft->round;
        read->index = raft->log.commit;
    }
    if (!fresh)
        return;
    for (size_t i = 0; i < raft->peers_count; i++)
        replicate_heartbeat(raft, &raft->peers[i]);
    read_confirmed(raft); // a sole voter is its own quorum
}

void read_fail_all(struct raft *raft)
{
    for (size_t i = 0; i < raft->reads_count; i++)
        raft_answer_read(raft, raft->reads[i].read, false, 0);
    raft->reads_count = 0;
}
