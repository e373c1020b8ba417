// The managers of a swarm as Raft knows them: raft id, node id, address, and the ids that were ever
// removed. Pure.
//
// Changes come from committed configuration entries (swarmkit 18.6) and from snapshots (18.7).
#ifndef RAFT_MEMBERS_H
#define RAFT_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/err.h"
#include "proto/wire/raft.pb-c.h"
#include "proto/wire/snapshot.pb-c.h"
#include "raft/core/types.h"

// Texts that clients and stock peers match (swarmkit 18.8, 18.4).
#define MEMBERS_ERR_QUORUM                                                                         \
    "raft: member cannot be removed, because removing it may result in loss of quorum"
#define MEMBERS_ERR_REMOVED "raft: member was removed from the cluster"

struct member {
    uint64_t raft_id;
    char *node_id;
    char *addr; // host:port
};

struct members {
    struct member list[RAFT_MEMBERS_MAX]; // raft ids ascending
    size_t count;
    uint64_t *removed; // never used again; in order of removal
    size_t removed_count;
};

void members_init(struct members *members);
void members_fini(struct members *members);

// Valid until the next change; NULL when there is none.
const struct member *members_find(const struct members *members, uint64_t raft_id);
const struct member *members_find_node(const struct members *members, const char *node_id);
bool members_was_removed(const struct members *members, uint64_t raft_id);

// Whether a change may be applied, by the rules of 18.6: an added id is new and was never removed,
// a removed or updated one is there, and Add and Update name a node and an address. Core is told of
// the entry in any case; an error means that it is told to ignore it.
int members_check(const struct members *members, const struct raft_conf_change *change,
                  const Swarm__RaftMember *context, struct err *err);

// Applies what members_check accepts; anything else is a broken invariant.
void members_apply(struct members *members, const struct raft_conf_change *change,
                   const Swarm__RaftMember *context);

// FAILED_PRECONDITION with MEMBERS_ERR_QUORUM unless enough other members are reachable (own member
// counts): at least floor((n - 1) / 2) + 1 of n (18.8).
int members_check_removal(const struct members *members, uint64_t victim,
                          bool (*reachable)(void *ctx, uint64_t raft_id), void *ctx,
                          struct err *err);

// As SwarmKit's messages, in `arena`, borrowing the texts; NULL when the arena is full.
Swarm__RaftMember *members_row(const struct member *member, struct arena *arena);
Swarm__ClusterSnapshot *members_save(const struct members *members, struct arena *arena);

// Replaces everything. INVALID_ARGUMENT with too many members, a member twice or without an id;
// then nothing is changed.
int members_load(struct members *members, const Swarm__ClusterSnapshot *from, struct err *err);

#endif
