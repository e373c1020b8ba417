// Consensus as arithmetic: events and the time go in, an update comes out. This header is the whole
// contract between raft/core and the shell around it (raft/node, raft/disk, raft/net, the
// simulator).
//
// It behaves on the wire as etcd-raft does the way SwarmKit sets it up: check-quorum with the lease
// rule for votes, no learners proposed, one membership change at a time, no pre-vote towards stock.
// It touches no clock, socket, file or global. Two cores with one seed fed the same events are
// equal.
//
// THE TURN. Once per loop turn the shell feeds everything that happened, then asks once:
//
//     raft_step(raft, &event, now, &err);      // any number of times; cheap, produces nothing
//     raft_flush(raft, &update);               // once: everything the steps asked for, batched
//     ... hand update.write to the disk, update.messages to the net, update.apply to the store ...
//
// Thousands of proposals in one turn thus become one write, and one MsgApp per peer and 64 KiB.
// `update.wake_at` says when to come back with RAFT_EVENT_TICK if nothing else happens.
//
// ORDER. There is only one rule, and the core keeps it: what an update hands out may be acted upon
// at once, in any order, in parallel. A message (or acknowledgement, or committed entry) that
// depends on something durable stays inside until the shell reported the write that carries it.
// Hence:
//  - At most one write is in flight. While it is, the core goes on, and all that needs storing
//    meanwhile comes out as the next write, after RAFT_EVENT_PERSISTED. (Group commit for free.)
//  - A write is atomic: it is durable as a whole, or a crash leaves nothing of it. raft/disk does
//    one LMDB transaction. Report PERSISTED only after the sync. Never report after an I/O error:
//    stop.
//  - A leader sends MsgApp before its own sync, and counts itself only after it.
//  - MsgVote, granting MsgVoteResp and accepting MsgAppResp leave only after term, vote, entries or
//    snapshot they speak of are durable. Heartbeats and their answers never wait for the disk, so a
//    slow disk delays acknowledgements and nothing else.
//  - Entries in `apply` are committed and durable here. Apply them in order.
//  - The commit index alone never causes a write; it rides on the next one. On start the shell may
//    give any lower bound of it, such as max(stored commit, applied).
//
// OWNERSHIP. Everything a step is given is borrowed for the call (blobs are ref'ed where kept).
// Everything an update points at belongs to the core and stays unchanged:
//  - messages, reads, loads, snapshots_wanted: until the next raft_flush. raft/net either encodes
//    at once or copies the struct and refs the blobs.
//  - write: until the step that reports it PERSISTED. A worker may read it meanwhile.
//  - apply: until the step that reports APPLIED with an index at or past its last entry.
//
// STORAGE. The core keeps in memory the terms of the whole log (as runs) and the bodies that are
// not yet durable and applied, plus recent ones: up to config.cache_bytes_max while it leads and a
// peer may need them, else up to a small part of it (RAFT_CACHE_BYTES_QUIET). Older bodies are
// asked for with `loads` and answered, now or later, with RAFT_EVENT_LOADED. Nothing is loaded at
// start, so a restart costs the same with ten entries as with a million. Compaction is the shell's
// decision.
//
// TIMING. Time is whatever monotonic clock the shell passes; it may stand still or jump forward,
// and moments before one already seen count as that one. There are two paces:
//  - patient (config.patient, SwarmKit's: heartbeat 1 s, election 10..20 s), and
//  - quick (config.quick: 100 ms and 400..800 ms), for our own nodes among themselves.
// The rule, which needs nothing from stock peers:
//  1. A node knows some peers to be ours: their heartbeats and heartbeat answers carry our mark in
//     `context` (stock members echo a heartbeat's context unread, so a heartbeat's mark in an
//     answer proves nothing), or the shell says so (RAFT_EVENT_PEER_IS_OURS, boot.ours).
//  2. A leader is quick while voters known to be ours, itself included, form a quorum. It then
//     sends heartbeats to ours at the quick pace and to the others at the patient one, and its
//     mark tells its pace (100/400). Otherwise the mark tells 1000/10000.
//  3. A follower's election timeout and vote lease are what its leader's mark tells, the timeout
//     drawn from [election, 2 x election). A leader without mark (stock) means patient. With no
//     leader heard since start, it is quick when voters known to be ours form a quorum.
//  4. A quick timeout only leads to a pre-vote, asked from voters known to be ours alone, and won
//     by a quorum of all voters from among them; nobody's term moves before it is won. So stock
//     peers hear nothing until an election can be won without them, and a healed partition
//     disturbs nobody.
//  5. A patient timeout without a leader leads to a real election as stock does it; this also is
//     the way out when too few of ours are left for rule 4. When every voter is ours, a pre-vote
//     goes first at any pace.
//  6. Check-quorum: a leader steps down when, counting itself, no quorum was heard from, each peer
//     being given the election time of the pace at which it is talked to.
//  7. A (pre-)candidate asks voters of ours that have not answered again after each heartbeat's
//     time: a lost question, or one that came within a lease, does not cost a whole timeout.
//  8. Who grants a pre-vote does not stand for one to two heartbeats; of two that ask each other,
//     the one with the smaller id gives way. Hence few votes are split. Once only, until a leader
//     is heard or a vote is given: the other may be one whom no answer reaches.
// A group of our own thus elects in well under a second (`sim_raft --failover`: 99 of 100 within
// 0.9 s of the leader's death); a group led by stock is as calm as stock.
#ifndef RAFT_CORE_RAFT_H
#define RAFT_CORE_RAFT_H

#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "raft/core/types.h"

// ---- configuration -----------------------------------------------------------------------------

struct raft_pace {
    uint32_t heartbeat_ms; // at least 1
    uint32_t election_ms;  // at least 2 x heartbeat_ms
};

#define RAFT_PATIENT_HEARTBEAT_MS 1000
#define RAFT_PATIENT_ELECTION_MS  10000
#define RAFT_QUICK_HEARTBEAT_MS   100
#define RAFT_QUICK_ELECTION_MS    400

#define RAFT_APPEND_BYTES_MAX      65535               // entries per MsgApp (one entry at least)
#define RAFT_INFLIGHT_MAX          256                 // unanswered MsgApps per peer
#define RAFT_UNCOMMITTED_BYTES_MAX ((size_t)256 << 20) // a leader's proposals not yet committed
#define RAFT_APPLY_BYTES_MAX       ((size_t)8 << 20)   // handed out for apply and not yet reported
#define RAFT_WRITE_BYTES_MAX       ((size_t)16 << 20)  // entries in one write (one at least)
#define RAFT_CACHE_BYTES_MAX       ((size_t)4 << 20)   // bodies kept although durable and applied
#define RAFT_CACHE_BYTES_QUIET     ((size_t)256 << 10) // the same while no peer lags
#define RAFT_COMMIT_DELAY_MS       5
#define RAFT_READS_MAX             65536 // read barriers waiting

struct raft_config {
    uint64_t id;   // own member id, not 0
    uint64_t seed; // of the randomness in election timeouts
    struct raft_pace patient;
    struct raft_pace quick;
    uint32_t inflight_max;
    size_t append_bytes_max;
    size_t uncommitted_bytes_max;
    size_t apply_bytes_max;
    size_t write_bytes_max;
    size_t cache_bytes_max;
    uint32_t reads_max;
    uint32_t commit_delay_ms; // members of ours are told a new commit index by the next append or
                              // heartbeat, or after this long; stock members, and all of a
                              // membership change, at once, as etcd does
    bool forward_proposals;   // a follower sends proposals on to a leader of ours, as MsgProp
};

// The values above, for member `id`.
struct raft_config raft_config_default(uint64_t id, uint64_t seed);

// ---- life ---------------------------------------------------------------------------------------

// What is on disk at start. All zero for a member that is about to be brought up by a leader.
//
// A new cluster is not created here: the shell first stores its entry 1 (AddNode of itself, term
// 1), {term 1, vote 0, commit 1}, applied 1 and the configuration {itself}, and then starts from
// that. A sole voter campaigns at once on start.
struct raft_boot {
    struct raft_hard_state hard;
    struct {
        uint64_t index; // last compacted entry or installed snapshot, 0: none; its body is gone,
        uint64_t term;  // but its term is known
    } start;
    uint64_t last_index; // of the log; start.index when the log is empty
    const struct raft_run
        *runs;             // terms of (start.index, last_index]. Found by binary search over the
    size_t runs_count;     // stored log: terms never descend. Empty when the log is.
    uint64_t applied;      // what the store has durably applied, start.index at least
    struct raft_conf conf; // the configuration as of `applied`
    const uint64_t *ours;  // peers known to be our own kind from an earlier life (a hint only)
    size_t ours_count;
};

struct raft;

// A follower at `now`. DATA_LOSS when the boot facts contradict each other (runs that do not ascend
// or do not cover the log, applied outside the log, a term above the hard state's); the message
// says which.
int raft_new(const struct raft_config *config, const struct raft_boot *boot, struct mono now,
             struct raft **out, struct err *err);
void raft_free(struct raft *raft); // NULL is harmless

// ---- events in ----------------------------------------------------------------------------------

enum raft_event_type {
    RAFT_EVENT_TICK,          // time has passed; nothing else
    RAFT_EVENT_MESSAGE,       // a member sent us something
    RAFT_EVENT_PROPOSE,       // append these normal entries
    RAFT_EVENT_PROPOSE_CONF,  // append this membership change
    RAFT_EVENT_PERSISTED,     // the write is durable
    RAFT_EVENT_APPLIED,       // the store has applied everything up to index
    RAFT_EVENT_CONF_APPLIED,  // a membership entry from `apply` takes effect (or is ignored)
    RAFT_EVENT_LOADED,        // answer to a load
    RAFT_EVENT_COMPACTED,     // the log up to index is gone from disk, or about to go
    RAFT_EVENT_READ,          // read barrier: after which index may I read?
    RAFT_EVENT_TRANSFER,      // hand leadership to `id`
    RAFT_EVENT_UNREACHABLE,   // the last send to `id` failed
    RAFT_EVENT_SNAPSHOT_MADE, // answer to snapshots_wanted
    RAFT_EVENT_SNAPSHOT_SENT, // MsgSnap to `id` arrived or failed
    RAFT_EVENT_PEER_IS_OURS,  // the transport recognised `id` as our own kind
    RAFT_EVENT_CAMPAIGN,      // start an election now (tests, operator)
};

struct raft_event {
    enum raft_event_type type;
    union {
        const struct raft_message *message;
        struct {
            struct raft_blob *const *data; // one body per entry; the core takes own references
            size_t count;                  // 1 at least
        } propose;
        struct {
            bool v2;                // entry type; what it says is the shell's to encode
            struct raft_blob *data; // may be NULL (v2: leave the joint configuration)
        } propose_conf;
        uint64_t write; // PERSISTED: number of the write
        uint64_t index; // APPLIED, COMPACTED
        struct {
            uint64_t index;                        // of the entry
            const struct raft_conf_change *change; // NULL: the entry is ignored, nothing changes
        } conf_applied;
        struct {
            uint64_t load;                    // number of the load
            const struct raft_entry *entries; // from its `first` on, at least one
            size_t count;                     // 0: compacted meanwhile, or not readable
        } loaded;
        uint64_t read; // READ: the shell's name for it, returned in update.reads
        uint64_t id;   // UNREACHABLE, PEER_IS_OURS, TRANSFER (0: whoever is furthest)
        struct {
            uint64_t id;
            bool ok;
            uint64_t index;  // where the snapshot stands: an applied index, and
            uint64_t handle; // the shell's name for it
        } snapshot_made;
        struct {
            uint64_t id;
            bool ok;
        } snapshot_sent;
    } u;
};

// Takes one event. What a peer or caller may do wrong comes back as an error and changes nothing;
// what only a broken shell does (PERSISTED for a write never handed out ...) stops the process.
//
// MESSAGE: 0, also for messages that are ignored by rule (stale, lease, not for us).
//   MSG_SNAP: 0 only when the core took it: its handle then comes out in exactly one later write.
//   ABORTED: not wanted (old, we are not in it, or another is being installed); the handle stays
//   the shell's. DATA_LOSS: the peer's message contradicts what is committed here; the node should
//   stop.
//   INVALID_ARGUMENT: malformed (entries out of sequence, type unknown).
// PROPOSE, PROPOSE_CONF: on success the entries have the indexes up to raft_last_index() and the
//   term raft_term(), unless they were forwarded. All or nothing. UNAVAILABLE: no leader,
//   leadership being transferred, or not leader and not forwarded. RESOURCE_EXHAUSTED: too much
//   uncommitted. FAILED_PRECONDITION: an earlier membership change is still in flight, or this does
//   not fit a joint configuration. A proposal is lost when, at its index, an entry of another term
//   gets committed.
// CONF_APPLIED: exactly one for each membership entry handed out in `apply`, in order. `apply`
//   holds at most one, as its last entry, and the next `apply` waits for it. INVALID_ARGUMENT when
//   the change itself makes no sense (it then counts as ignored, and the core goes on).
// READ: on a leader only, else UNAVAILABLE; RESOURCE_EXHAUSTED when too many wait. The answer is
//   one entry in some later update.reads. Reads are answered only after a quorum confirmed the
//   leader.
// TRANSFER: UNAVAILABLE when not leader; NOT_FOUND when `id` is no voter (or nobody else is).
//   Success means started; it ends with a role change, or is given up after one election time.
// COMPACTED: index must be at or below applied. Going backwards is ignored.
int raft_step(struct raft *raft, const struct raft_event *event, struct mono now, struct err *err);

// ---- updates out --------------------------------------------------------------------------------

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

// To be stored as one atomic, durable change, in this order:
//  1. snapshot, when not NULL: its state replaces the store, the whole log goes, the log now starts
//     after snapshot->index, applied is snapshot->index, conf is snapshot->conf;
//  2. entries: any stored entry at entries[0].index or above goes first, then these are appended;
//  3. hard: replaces the hard state.
struct raft_write {
    uint64_t number; // ascending; 0 in an update without write
    struct raft_hard_state hard;
    const struct raft_snapshot *snapshot;
    const struct raft_entry *entries; // consecutive indexes
    size_t entries_count;             // 0: no entries
};

// At most one per peer and two for `apply` are unanswered at any time.
struct raft_load {
    uint64_t number;
    uint64_t first; // entries wanted: from here,
    uint64_t last;  // to here at most, all of them in the stored log,
    size_t bytes;   // stopping before the sum of raft_entry_bytes passes this (one entry at least)
};

struct raft_read {
    uint64_t read;  // the shell's name
    bool ok;        // false: leadership was lost; nothing is known
    uint64_t index; // serve the read once this is applied
};

struct raft_snapshot_want {
    uint64_t id;       // the peer that needs one
    uint64_t at_least; // its index must be at least this for the peer to catch up
};

struct raft_update {
    // Changed since the last flush? The values are always filled in.
    bool role_changed; // role, leader or term
    enum raft_role role;
    uint64_t leader; // 0: unknown
    uint64_t term;
    bool conf_changed; // raft_conf() has a new value
    bool ours_changed; // a peer was recognised as our own kind (worth remembering for boot.ours)

    uint64_t commit;
    struct mono wake_at; // TICK is wanted at this moment, at the latest

    struct raft_write write;
    const struct raft_message
        *messages; // to different peers in any order, to one peer in this order
    size_t messages_count;
    const struct raft_entry *apply; // committed, consecutive, in order; no-ops included
    size_t apply_count;
    const struct raft_load *loads;
    size_t loads_count;
    const struct raft_read *reads;
    size_t reads_count;
    const struct raft_snapshot_want *snapshots_wanted; // answer each with SNAPSHOT_MADE, ok or not
    size_t snapshots_wanted_count;
};

// Fills `update` with all that is to be done since the last flush.
void raft_flush(struct raft *raft, struct raft_update *update);

// ---- looking in ---------------------------------------------------------------------------------

uint64_t raft_id(const struct raft *raft);
uint64_t raft_term(const struct raft *raft);
uint64_t raft_leader(const struct raft *raft); // 0: unknown
enum raft_role raft_role(const struct raft *raft);
const char *raft_role_name(enum raft_role role);
uint64_t raft_commit(const struct raft *raft);
uint64_t raft_applied(const struct raft *raft);     // a snapshot counts as soon as it is taken
uint64_t raft_first_index(const struct raft *raft); // of the log; last + 1 when it is empty
uint64_t raft_last_index(const struct raft *raft);
const struct raft_conf *raft_conf(const struct raft *raft);

// The term of the entry at `index`, 0 when it is compacted away or past the end.
uint64_t raft_term_at(const struct raft *raft, uint64_t index);

// True on a leader that has committed an entry of its own term: what it applied up to raft_commit()
// is then everything that was ever acknowledged. (SwarmKit acts as leader from here on.)
bool raft_leader_settled(const struct raft *raft);

enum raft_progress_state { RAFT_PROBE, RAFT_REPLICATE, RAFT_SNAPSHOT };

struct raft_peer_status {
    uint64_t id;
    uint64_t match; // leader only, as the next four
    uint64_t next;
    enum raft_progress_state progress;
    bool active; // heard from within its election time
    bool paused;
    bool learner;
    bool ours; // known to be our own kind
};

// Fills up to `max` peers (own member not included), ids ascending; returns how many there are.
size_t raft_peers(const struct raft *raft, struct raft_peer_status *out, size_t max);

#endif
