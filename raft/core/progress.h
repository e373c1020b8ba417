// What a member knows about one other member: as leader, how far its log is and how to send to it.
//
// A peer is probed with one MsgApp at a time until the point is found from which its log agrees,
// then replicated to with a window of unanswered messages, or brought up by a snapshot.
#ifndef RAFT_CORE_PROGRESS_H
#define RAFT_CORE_PROGRESS_H

#include "raft/core/raft.h"

struct progress {
    uint64_t id;
    bool learner;

    // As candidate.
    int vote; // 1 granted, -1 refused, 0 not heard

    // As leader.
    enum raft_progress_state state;
    uint64_t match;       // known to be in the peer's durable log
    uint64_t next;        // to be sent next
    bool paused;          // probing: one is out, wait for an answer or a heartbeat's
    bool poke;            // send an empty MsgApp even if the window is full (something got lost?)
    bool snapshot_wanted; // asked of the shell, not made yet
    bool snapshot_asked;  // the want was handed out
    uint64_t snapshot_index;  // of the snapshot on its way; 0: none
    uint64_t commit_sent;     // highest commit index told
    struct mono tell_at;      // the commit index is told by then; MONO_NEVER: no news
    uint64_t read_acked;      // highest read round answered
    uint64_t farewell_round;  // of the heartbeat that told it of our removal; 0: none yet
    uint64_t load;            // number of the load under way; 0: none
    bool load_stale;          // its answer is of no use any more, but no other is asked for before
    struct mono heard;        // last message from it
    struct mono heartbeat_at; // next heartbeat is due
    bool graced;              // the grace for waking late was used
    bool quick;               // talked to at the quick pace

    uint64_t *window; // last indexes of unanswered MsgApps, a ring
    uint32_t window_cap;
    uint32_t window_head;
    uint32_t window_count;
};

void progress_init(struct progress *progress, uint64_t id, bool learner, uint32_t inflight_max);
void progress_fini(struct progress *progress);

// As a new leader starts: probe from `next`; nothing is known.
void progress_reset(struct progress *progress, uint64_t next, struct mono now);

void progress_become_probe(struct progress *progress);
void progress_become_replicate(struct progress *progress);
void progress_become_snapshot(struct progress *progress);

// The peer's durable log agrees with ours up to `index`. False when that is no news.
bool progress_acknowledge(struct progress *progress, uint64_t index);

// The peer refused what follows `rejected`; `hint` is where it may agree. False when the refusal is
// stale: then nothing changes.
bool progress_refuse(struct progress *progress, uint64_t rejected, uint64_t hint);

// True when no MsgApp with entries may go out now.
bool progress_is_paused(const struct progress *progress);

// Notes a MsgApp in flight whose last entry is `last`; there must be room.
void progress_window_add(struct progress *progress, uint64_t last);

#endif
