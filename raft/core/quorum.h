// Majorities over a configuration, joint ones included. Pure arithmetic on a function of the voter.
#ifndef RAFT_CORE_QUORUM_H
#define RAFT_CORE_QUORUM_H

#include "raft/core/types.h"

// The highest value that a quorum of voters reaches; UINT64_MAX without voters, so that an empty
// half of a joint configuration never decides.
uint64_t quorum_index(const struct raft_conf *conf, uint64_t (*value)(const void *ctx, uint64_t id),
                      const void *ctx);

enum quorum_vote { QUORUM_PENDING, QUORUM_WON, QUORUM_LOST };

// Each voter says 1 (yes), -1 (no) or 0 (not heard). An election without voters is won.
enum quorum_vote quorum_tally(const struct raft_conf *conf,
                              int (*vote)(const void *ctx, uint64_t id), const void *ctx);

#endif
