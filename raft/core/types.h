// The plain structs of consensus: entries with counted bodies, messages, configuration, hard state.
//
// Names and numbers follow raftpb, so that raft/net/convert is a field-by-field copy. Indexes and
// terms start at 1; 0 means "none". Member ids are never 0 and never reused (swarmkit 18.2).
#ifndef RAFT_CORE_TYPES_H
#define RAFT_CORE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Most members in one configuration, voters and learners together. A swarm has a handful; the bound
// keeps configurations plain values. Decoders refuse more.
#define RAFT_MEMBERS_MAX 64

// Longest message context kept. Stock sends "CampaignTransfer" (16 bytes) or nothing; ours are 32.
#define RAFT_CONTEXT_BYTES_MAX 64

// The context of a MsgVote that follows a leadership transfer; it passes the lease (swarmkit 18.1).
#define RAFT_CAMPAIGN_TRANSFER "CampaignTransfer"

// Highest index or term taken from outside: far beyond what any group reaches, and far from where
// adding one would wrap around.
#define RAFT_NUMBER_MAX (UINT64_C(1) << 62)

// ---- bodies ------------------------------------------------------------------------------------

// Immutable bytes with a count. The count is not atomic: only the thread that owns the core touches
// it. A worker may read the bytes while the control thread holds a reference for it.
struct raft_blob {
    uint32_t refs;
    uint32_t len;
    uint8_t bytes[];
};

// A copy of `len` bytes (NULL bytes: zeroed, for the caller to fill at once) with one reference.
struct raft_blob *raft_blob_new(const void *bytes, size_t len);
struct raft_blob *raft_blob_ref(struct raft_blob *blob); // NULL gives NULL
void raft_blob_unref(struct raft_blob *blob);            // NULL is harmless

// ---- entries -----------------------------------------------------------------------------------

enum raft_entry_type {
    RAFT_ENTRY_NORMAL = 0,
    RAFT_ENTRY_CONF_CHANGE = 1,    // data: raftpb.ConfChange
    RAFT_ENTRY_CONF_CHANGE_V2 = 2, // data: raftpb.ConfChangeV2; never sent by stock managers
};

struct raft_entry {
    uint64_t term;
    uint64_t index;
    enum raft_entry_type type;
    struct raft_blob *data; // NULL: empty, as the no-op of a new leader
};

// What an entry counts for in every byte limit: its body and a generous share of framing, never
// less than its marshalled size.
#define RAFT_ENTRY_OVERHEAD_BYTES 32
size_t raft_entry_bytes(const struct raft_entry *entry);

// "From `index` on, until the next run, entries carry `term`." The terms of a whole log are a short
// ascending list of runs, which stays in memory while bodies live on disk.
struct raft_run {
    uint64_t index;
    uint64_t term;
};

// ---- durable facts -----------------------------------------------------------------------------

struct raft_hard_state {
    uint64_t term;
    uint64_t vote;   // whom we voted for in `term`; 0: nobody
    uint64_t commit; // a lower bound of what is committed
};

// A configuration. Simple when `outgoing_count` is 0, else joint: decisions need a majority of
// `voters` and of `outgoing`. Ids ascend within each list.
struct raft_conf {
    uint32_t voters_count;
    uint32_t outgoing_count;
    uint32_t learners_count;
    uint32_t learners_next_count; // voters of `outgoing` that become learners when the joint ends
    bool auto_leave;              // the leader ends the joint configuration by itself
    uint64_t voters[RAFT_MEMBERS_MAX];
    uint64_t outgoing[RAFT_MEMBERS_MAX];
    uint64_t learners[RAFT_MEMBERS_MAX];
    uint64_t learners_next[RAFT_MEMBERS_MAX];
};

enum raft_change_type { // raftpb.ConfChangeType
    RAFT_CHANGE_ADD = 0,
    RAFT_CHANGE_REMOVE = 1,
    RAFT_CHANGE_UPDATE = 2, // address only: nothing changes for the core
    RAFT_CHANGE_ADD_LEARNER = 3,
};

struct raft_change {
    enum raft_change_type type;
    uint64_t id;
};

// A whole change, v1 or v2. v1 has exactly one `change` (or none, when the entry is to be ignored).
// v2 with no changes and transition 0 leaves a joint configuration.
struct raft_conf_change {
    bool v2;
    uint8_t transition; // raftpb.ConfChangeTransition: 0 auto, 1 joint implicit, 2 joint explicit
    uint32_t changes_count;
    struct raft_change changes[RAFT_MEMBERS_MAX];
};

// A snapshot: the state after applying everything up to `index`. The state itself never enters the
// core; `handle` is the shell's name for it and only travels through.
struct raft_snapshot {
    uint64_t index;
    uint64_t term;
    struct raft_conf conf;
    uint64_t handle;
};

// ---- messages ----------------------------------------------------------------------------------

// Numbers of raftpb.MessageType that cross the wire. PRE_VOTE goes to and comes from our own nodes
// only; PROP only when forwarding is configured, since stock members drop it.
enum raft_message_type {
    RAFT_MSG_PROP = 2,
    RAFT_MSG_APP = 3,
    RAFT_MSG_APP_RESP = 4,
    RAFT_MSG_VOTE = 5,
    RAFT_MSG_VOTE_RESP = 6,
    RAFT_MSG_SNAP = 7,
    RAFT_MSG_HEARTBEAT = 8,
    RAFT_MSG_HEARTBEAT_RESP = 9,
    RAFT_MSG_TIMEOUT_NOW = 14,
    RAFT_MSG_PRE_VOTE = 17,
    RAFT_MSG_PRE_VOTE_RESP = 18,
};

struct raft_message {
    enum raft_message_type type;
    uint64_t to;
    uint64_t from;
    uint64_t term;
    uint64_t log_term;
    uint64_t index;
    uint64_t commit;
    uint64_t reject_hint;
    bool reject;
    uint8_t context_len;
    uint8_t context[RAFT_CONTEXT_BYTES_MAX];
    size_t entries_count;
    const struct raft_entry *entries;     // consecutive indexes from index + 1 (PROP: not numbered)
    const struct raft_snapshot *snapshot; // MSG_SNAP only
};

// "MsgApp", as etcd prints it; "MsgUnknown" for anything else.
const char *raft_message_name(enum raft_message_type type);

// ---- configurations as values -------------------------------------------------------------------

bool raft_conf_is_voter(const struct raft_conf *conf, uint64_t id);   // of either half
bool raft_conf_is_learner(const struct raft_conf *conf, uint64_t id); // and not a voter
bool raft_conf_has(const struct raft_conf *conf, uint64_t id);        // either of them
bool raft_conf_equal(const struct raft_conf *a, const struct raft_conf *b);

#endif
