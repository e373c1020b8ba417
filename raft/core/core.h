// What the modules of the core share: the state of one member. Private to raft/core.
#ifndef RAFT_CORE_CORE_H
#define RAFT_CORE_CORE_H

#include "proto/base/check.h"
#include "proto/base/rand.h"
#include "raft/core/log.h"
#include "raft/core/mark.h"
#include "raft/core/progress.h"
#include "raft/core/quorum.h"
#include "raft/core/raft.h"

// Mistakes the simulator must be able to find. In production builds they are not there at all; the
// library that tests/sim builds for itself chooses one at run time.
#define RAFT_PLANTED_BUGS(X)                                                                       \
    X(COMMIT_OLD_TERM, "a leader commits an earlier term's entry by counting")                     \
    X(DOUBLE_VOTE, "a member votes although it voted for another in this term")                    \
    X(ACK_BEFORE_SYNC, "a follower acknowledges entries before they are durable")                  \
    X(VOTE_BEFORE_SYNC, "a vote is sent before it is durable")                                     \
    X(SKIP_UP_TO_DATE, "a vote ignores which log is more up to date")                              \
    X(REMOVED_COUNTS, "a removed member still counts for commits")                                 \
    X(STALE_READ, "a leader answers reads without confirming itself")                              \
    X(UNSETTLED_READ, "a new leader answers reads before its own term has committed")              \
    X(TRUNCATE_ACKNOWLEDGED, "a late short append drops the entries after it")                     \
    X(COMMIT_UNCHECKED, "a follower commits entries beyond those the message vouches for")         \
    X(SKIP_PREVIOUS_CHECK, "a follower appends without comparing the entry before")                \
    X(HEARTBEAT_COMMIT, "a heartbeat carries the leader's commit index unclamped")                 \
    X(COUNT_SELF_EARLY, "a leader counts itself before its own entries are durable")               \
    X(FORGET_VOTE, "the stored hard state lacks the vote")                                         \
    X(QUORUM_OF_HALF, "half of the voters passes for a majority")                                  \
    X(TWO_CHANGES, "a second membership change starts before the first is applied")                \
    X(KEEP_TERM, "a member whose term ran ahead never tells the old leader")                       \
    X(SNAPSHOT_OLD, "a follower installs a snapshot older than what it committed")                 \
    X(APPLY_UNDURABLE, "entries are applied before they are durable here")                         \
    X(NO_RETRY, "a lost append is never sent again")

enum raft_planted {
    RAFT_PLANTED_NONE,
#define X(name, text) RAFT_PLANTED_##name,
    RAFT_PLANTED_BUGS(X)
#undef X
};

#ifdef SKEP_PLANTED_BUGS
extern enum raft_planted raft_planted;
#define PLANTED(name) (raft_planted == RAFT_PLANTED_##name)
#else
#define PLANTED(name) false
#endif

// ---- pieces of the state ------------------------------------------------------------------------

struct raft_outbox {
    struct raft_message *items;
    size_t count;
    size_t cap;
};

// A message that waits for the disk.
struct raft_held {
    struct raft_message message; // never with entries or snapshot
    uint64_t write;              // the write it depends on
};

struct raft_waiting_read {
    uint64_t read;
    uint64_t index;
    uint64_t round; // 0: the round has not begun
};

// Entries handed out, with own references, until they are reported.
struct raft_batch {
    struct raft_entry *entries;
    size_t count;
    size_t bytes;
};

#define RAFT_OURS_MAX (2 * RAFT_MEMBERS_MAX)

struct raft {
    uint32_t magic;
    struct raft_config config;
    struct rand rand;
    struct mono now;

    struct raft_hard_state hard; // commit unused: the log has it
    struct raft_hard_state hard_emitted;
    enum raft_role role;
    uint64_t leader;
    struct log log;
    struct raft_conf conf;
    struct progress *peers; // everyone in conf but ourselves, ids ascending
    size_t peers_count;
    uint64_t ours[RAFT_OURS_MAX];
    size_t ours_count;

    // Timing (pace.c, election.c).
    struct raft_pace pace;   // of the last leader heard, or of ourselves as leader
    bool pace_known;         // false until a leader was heard or we led
    struct mono heard;       // the leader, or we became it
    struct mono election_at; // next election timeout
    struct mono patient_at;  // a real election may start from here, whatever is known of peers
    struct mono wake_at;     // as handed out last
    struct mono ask_at;      // a (pre-)candidate asks again those of ours that have not answered
    bool graced;             // the grace for waking late was used
    bool gave_way;           // to another's pre-vote, since a leader was heard or a vote given
    int own_vote;            // as in progress.vote
    uint64_t own_vote_write; // the write that makes it durable
    bool transfer_election;  // this candidacy follows a transfer

    // Leading (leader.c, replicate.c, read.c).
    uint64_t conf_pending; // no membership proposal until this index is applied
    size_t uncommitted_bytes;
    uint64_t uncommitted_from; // entries from here on are in uncommitted_bytes
    uint64_t settled_at;       // index of our term's first entry
    uint64_t transfer_to;      // 0: none
    bool transfer_told;
    struct mono transfer_until;
    uint64_t farewell; // removed: in office until a quorum knows this commit index; 0: not removed
    struct mono farewell_until;
    uint64_t round; // of read confirmation
    struct raft_waiting_read *reads;
    size_t reads_count;
    size_t reads_cap;

    // Storing and applying (flush.c).
    uint64_t write_next;    // number of the next write
    uint64_t write_durable; // number of the last durable write
    bool write_in_flight;
    uint64_t write_last; // log index up to which the write in flight still holds
    struct raft_batch write_batch;
    struct raft_snapshot write_snapshot;
    bool write_has_snapshot;
    struct raft_snapshot snapshot_pending;
    bool has_snapshot_pending;   // accepted, not yet in a write
    uint64_t conf_wait;          // membership entry handed out for apply, not answered
    struct raft_batch *applying; // oldest first
    size_t applying_count;
    size_t applying_cap;
    size_t applying_bytes;
    uint64_t load_number;
    uint64_t apply_load;      // number of the load for apply; 0: none
    struct raft_batch loaded; // for apply

    // Output.
    struct raft_outbox out;    // being filled
    struct raft_outbox handed; // borrowed by the shell until the next flush
    struct raft_held *held;
    size_t held_count;
    size_t held_cap;
    struct raft_load *loads;
    size_t loads_count;
    size_t loads_cap;
    struct raft_load *loads_handed;
    size_t loads_handed_cap;
    struct raft_read *answers;
    size_t answers_count;
    size_t answers_cap;
    struct raft_read *answers_handed;
    size_t answers_handed_cap;
    struct raft_snapshot_want wants[RAFT_MEMBERS_MAX * 3];
    enum raft_role role_told;
    uint64_t leader_told;
    uint64_t term_told;
    bool conf_changed;
    bool ours_changed;
};

// ---- raft.c: members ----------------------------------------------------------------------------

struct progress *raft_peer(const struct raft *raft,
                           uint64_t id); // NULL when not in the configuration
void raft_set_conf(struct raft *raft, const struct raft_conf *conf);

// Makes room for one more element of `size` bytes in a growing array.
void *raft_grow(void *items, size_t count, size_t *cap, size_t size);

// ---- output (flush.c) ---------------------------------------------------------------------------

// A message to `to`, with from and our term filled in, ready to be completed. It leaves with the
// next flush. The pointer is good until the next message.
struct raft_message *raft_send(struct raft *raft, enum raft_message_type type, uint64_t to);

// The same, but it leaves only when everything decided so far is durable.
void raft_send_durable(struct raft *raft, const struct raft_message *message);
struct raft_message raft_message_init(const struct raft *raft, enum raft_message_type type,
                                      uint64_t to);
void raft_forget_held(struct raft *raft);
void raft_forget_held_answers(struct raft *raft); // only the MsgAppResps

// The write after which everything decided so far is durable; 0 when it is already.
uint64_t raft_fence(const struct raft *raft);

uint64_t raft_ask_load(struct raft *raft, uint64_t first, uint64_t last, size_t bytes);
void raft_answer_read(struct raft *raft, uint64_t read, bool ok, uint64_t index);
void batch_fini(struct raft_batch *batch);
void batch_add(struct raft_batch *batch, size_t *cap, const struct raft_entry *entry);
void flush_persisted(struct raft *raft, uint64_t number);
void flush_applied(struct raft *raft, uint64_t index);
void flush_fini(struct raft *raft);
int flush_loaded(struct raft *raft, uint64_t load, const struct raft_entry *entries, size_t count,
                 struct err *err);

// ---- pace.c -------------------------------------------------------------------------------------

bool pace_is_ours(const struct raft *raft, uint64_t id);
void pace_note_ours(struct raft *raft, uint64_t id);
bool pace_all_ours(const struct raft *raft);
bool pace_quorum_ours(const struct raft *raft);

// The pace at which we wait for a leader now.
struct raft_pace pace_waiting(const struct raft *raft);
bool pace_is_quick(const struct raft *raft, const struct raft_pace *pace);

// The pace at which a leader talks to `peer`.
struct raft_pace pace_towards(const struct raft *raft, uint64_t id);

// The mark of a leader's heartbeats, and what a follower makes of it.
void pace_write_mark(const struct raft *raft, struct raft_message *heartbeat);
void pace_read_mark(struct raft *raft, const struct raft_message *heartbeat);

// ---- election.c ---------------------------------------------------------------------------------

void election_become_follower(struct raft *raft, uint64_t term, uint64_t leader);
void election_reset_timer(struct raft *raft);
void election_leader_heard(struct raft *raft);
bool election_is_promotable(const struct raft *raft);
bool election_in_lease(const struct raft *raft);
struct mono election_wake_at(const struct raft *raft);
void election_tick(struct raft *raft);
void election_campaign(struct raft *raft, bool transfer);
void election_own_vote_durable(struct raft *raft);
void election_vote_request(struct raft *raft, const struct raft_message *message);
void election_vote_answer(struct raft *raft, const struct raft_message *message);

// ---- leader.c -----------------------------------------------------------------------------------

void leader_start(struct raft *raft);
void leader_stop(struct raft *raft); // forgets what only a leader has; fails waiting reads
void leader_tick(struct raft *raft);
struct mono leader_wake_at(const struct raft *raft);
bool leader_settled(const struct raft *raft);
void leader_append(struct raft *raft, enum raft_entry_type type, struct raft_blob *data);
int leader_propose(struct raft *raft, struct raft_blob *const *data, size_t count, struct err *err);
int leader_propose_conf(struct raft *raft, bool v2, struct raft_blob *data, struct err *err);
void leader_forwarded(struct raft *raft, const struct raft_message *message);
int leader_transfer(struct raft *raft, uint64_t id, struct err *err);
void leader_conf_applied(struct raft *raft);
void leader_adjust_pace(struct raft *raft); // after who is ours, or who is a voter, has changed
void leader_maybe_commit(struct raft *raft);
void leader_leave_joint(struct raft *raft);
void leader_commit_to(struct raft *raft, uint64_t index);

// ---- replicate.c: from leader to followers ------------------------------------------------------

void replicate_flush(struct raft *raft); // sends all that may be sent now
void replicate_append_answer(struct raft *raft, struct progress *peer,
                             const struct raft_message *message);
void replicate_heartbeat(struct raft *raft, struct progress *peer);
void replicate_heartbeat_answer(struct raft *raft, struct progress *peer,
                                const struct raft_message *message);
void replicate_loaded(struct raft *raft, struct progress *peer, const struct raft_entry *entries,
                      size_t count);
void replicate_unreachable(struct raft *raft, struct progress *peer);

// ---- follow.c: what a follower does with a leader's messages ------------------------------------

int follow_append(struct raft *raft, const struct raft_message *message, struct err *err);
int follow_heartbeat(struct raft *raft, const struct raft_message *message, struct err *err);

// ---- snapshot.c ---------------------------------------------------------------------------------

int snapshot_receive(struct raft *raft, const struct raft_message *message, struct err *err);
int snapshot_made(struct raft *raft, uint64_t id, bool ok, uint64_t index, uint64_t handle,
                  struct err *err);
void snapshot_sent(struct raft *raft, uint64_t id, bool ok);

// ---- farewell.c: a leader that was removed ------------------------------------------------------

void farewell_begin(struct raft *raft);
void farewell_heartbeat(struct raft *raft, struct progress *peer); // one is about to go to it
void farewell_answered(struct raft *raft);                         // somebody's read_acked rose
void farewell_tick(struct raft *raft);

// ---- read.c -------------------------------------------------------------------------------------

int read_begin(struct raft *raft, uint64_t read, struct err *err);
void read_flush(struct raft *raft);     // begins a round for reads that wait for one
void read_confirmed(struct raft *raft); // answers what a quorum has confirmed
void read_fail_all(struct raft *raft);

#endif
