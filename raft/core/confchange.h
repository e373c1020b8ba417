// What a membership change makes of a configuration.
//
// v1 changes (all that SwarmKit makes) replace one member at a time. v2 changes with several
// members go through a joint configuration; we never propose them but follow them when a leader
// does.
#ifndef RAFT_CORE_CONFCHANGE_H
#define RAFT_CORE_CONFCHANGE_H

#include "proto/base/err.h"
#include "raft/core/types.h"

// Sorts the lists of a configuration from outside. INVALID_ARGUMENT for id 0, duplicates, or a
// member that is voter and learner at once.
int confchange_settle(struct raft_conf *conf, struct err *err);

// Fills `out` with what `conf` becomes. INVALID_ARGUMENT when the change does not fit: unknown
// type, id 0, too many members, no voter left, several voters at once without joint, or joining
// twice. Adding a member that is there and removing one that is not are no errors: replaying a
// change over a snapshot that knows it already must be harmless (stock snapshots carry the newest
// configuration).
int confchange_apply(const struct raft_conf *conf, const struct raft_conf_change *change,
                     struct raft_conf *out, struct err *err);

#endif
