#include "raft/core/quorum.h"

static uint64_t half_index(const uint64_t *ids, uint32_t count,
                           uint64_t (*value)(const void *ctx, uint64_t id), const void *ctx)
{
    if (count == 0)
        return UINT64_MAX;
    // Insertion sort, descending: the groups are tiny.
    uint64_t values[RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        uint64_t one = value(ctx, ids[i]);
        uint32_t at = i;
        for (; at > 0 && values[at - 1] < one; at--)
            values[at] = values[at - 1];
        values[at] = one;
    }
    return values[count / 2];
}

uint64_t quorum_index(const struct raft_conf *conf, uint64_t (*value)(const void *ctx, uint64_t id),
                      const void *ctx)
{
    uint64_t incoming = half_index(conf->voters, conf->voters_count, value, ctx);
    uint64_t outgoing = half_index(conf->outgoing, conf->outgoing_count, value, ctx);
    return incoming < outgoing ? incoming : outgoing;
}

static enum quorum_vote half_tally(const uint64_t *ids, uint32_t count,
                                   int (*vote)(const void *ctx, uint64_t id), const void *ctx)
{
    if (count == 0)
        return QUORUM_WON;
    uint32_t yes = 0;
    uint32_t missing = 0;
    for (uint32_t i = 0; i < count; i++) {
        int one = vote(ctx, ids[i]);
        yes += one > 0;
        missing += one == 0;
    }
    uint32_t needed = count / 2 + 1;
    if (yes >= needed)
        return QUORUM_WON;
    return yes + missing >= needed ? QUORUM_PENDING : QUORUM_LOST;
}

enum quorum_vote quorum_tally(const struct raft_conf *conf,
                              int (*vote)(const void *ctx, uint64_t id), const void *ctx)
{
    enum quorum_vote incoming = half_tally(conf->voters, conf->voters_count, vote, ctx);
    enum quorum_vote outgoing = half_tally(conf->outgoing, conf->outgoing_count, vote, ctx);
    if (incoming == outgoing)
        return incoming;
    return incoming == QUORUM_LOST || outgoing == QUORUM_LOST ? QUORUM_LOST : QUORUM_PENDING;
}
