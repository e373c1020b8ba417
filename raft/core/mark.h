// Our mark in the context of heartbeats and their answers: how our nodes recognise each other and
// learn their leader's pace. Stock members echo a heartbeat's context unread, so a mark says which
// of the two it was made for.
#ifndef RAFT_CORE_MARK_H
#define RAFT_CORE_MARK_H

#include "raft/core/types.h"

#define MARK_BYTES 32

enum mark_kind { MARK_HEARTBEAT = 'h', MARK_ANSWER = 'a' };

// Layout: "SkeP", kind (1 byte), version 1 (1 byte), then big-endian heartbeat_ms (2 bytes),
// election_ms (4), digest (4), ours (8), round (8).
struct mark {
    enum mark_kind kind;
    uint16_t heartbeat_ms; // the leader's pace; 0 in an answer, as the next three
    uint32_t election_ms;
    uint32_t digest; // of the voters that `ours` speaks about
    uint64_t ours;   // bit i: the i-th voter (ids ascending) is known to be ours
    uint64_t round;  // the leader's latest round of read confirmation; echoed
};

void mark_write(const struct mark *mark, struct raft_message *message);

// False when the context is not a mark, or of a version we do not know.
bool mark_read(const struct raft_message *message, struct mark *mark);

// A digest of the voters (not the outgoing ones), so that `ours` is only read against the same
// list.
uint32_t mark_digest(const struct raft_conf *conf);

#endif
