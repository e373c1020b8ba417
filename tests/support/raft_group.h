// A group of Raft cores on a table: time, disks and messages move only when the test moves them.
//
// Every member has a disk that keeps what was synced, applies entries to nothing, and posts its
// messages to one queue. What happens is also written down as text, for transcripts.
#ifndef TESTS_SUPPORT_RAFT_GROUP_H
#define TESTS_SUPPORT_RAFT_GROUP_H

#include "proto/base/buf.h"
#include "raft/core/raft.h"

#define GROUP_MEMBERS_MAX 9
#define GROUP_QUEUE_MAX   8192
#define GROUP_LOG_MAX     4096

struct group_member {
    uint64_t id;
    bool exists;
    bool alive;
    bool stock; // strips marks and echoes contexts, as a SwarmKit member would look from outside
    bool hold_disk;  // writes stay in flight until group_sync
    bool hold_apply; // entries stay unapplied until group_apply
    bool quiet;      // its turns are not written down
    struct raft *raft;
    struct raft_update update; // of the last flush

    struct raft_write write; // in flight
    struct raft_hard_state hard;
    uint64_t start_index;
    uint64_t start_term;
    struct raft_entry log[GROUP_LOG_MAX]; // stored, by index - start_index - 1
    size_t log_count;
    uint64_t applied;
    struct raft_conf conf;
    const struct raft_entry *apply; // handed out, not yet applied
    size_t apply_count;
    size_t applied_count; // entries applied in this life
    uint64_t reads_ok;
    uint64_t reads_failed;
    uint64_t read_index;
    uint8_t echo[RAFT_CONTEXT_BYTES_MAX];
    uint8_t echo_len;
};

struct group {
    struct mono now;
    struct group_member members[GROUP_MEMBERS_MAX + 1]; // [0] unused
    bool cut[GROUP_MEMBERS_MAX + 1][GROUP_MEMBERS_MAX + 1];
    struct raft_message *queue[GROUP_QUEUE_MAX];
    size_t queue_count;
    struct raft_config limits; // for members made from now on; id and seed are filled in
    struct buf text;
    size_t delivered; // messages handed over so far
};

// An empty table.
struct group *group_new(void);
void group_free(struct group *group);

// Members 1..count, all voters, nobody leads. Their logs are empty after index 1 of term 1, as if a
// snapshot had founded the group. They do not know each other to be ours until they have met.
void group_found(struct group *group, size_t count);

// A member with an empty disk and no configuration, as one that joins.
struct group_member *group_join(struct group *group, uint64_t id);
struct group_member *group_at(struct group *group, uint64_t id);
struct raft *group_raft(struct group *group, uint64_t id);

void group_crash(struct group *group, uint64_t id); // what was in flight is lost
void group_start(struct group *group, uint64_t id); // from its disk

// One step of one member, then its turn: flush, sync, apply (unless held), messages to the queue.
int group_step(struct group *group, uint64_t id, const struct raft_event *event, struct err *err);
void group_turn(struct group *group, uint64_t id);

int group_tick(struct group *group, uint64_t id);
void group_sync(struct group *group, uint64_t id);
void group_apply(struct group *group, uint64_t id);

// Moves time on; members are woken when they asked for it, and messages stay where they are.
void group_pass(struct group *group, int64_t ms);

// The same, and every message arrives at once.
void group_run(struct group *group, int64_t ms);

// Delivers what is queued, and what comes of it, until nothing is left.
void group_settle(struct group *group);

// Delivers or drops what is queued from `from` to `to` (0: any) now. The number of messages.
size_t group_deliver(struct group *group, uint64_t from, uint64_t to);
size_t group_drop(struct group *group, uint64_t from, uint64_t to);

// Makes `id` leader by an election that everybody takes part in.
void group_elect(struct group *group, uint64_t id);

int group_campaign(struct group *group, uint64_t id);
int group_propose(struct group *group, uint64_t id, const char *text, struct err *err);
int group_change(struct group *group, uint64_t id, enum raft_change_type type, uint64_t member,
                 struct err *err);

// Any change; NULL to leave a joint configuration.
int group_change_v2(struct group *group, uint64_t id, const struct raft_conf_change *change,
                    struct err *err);
int group_message(struct group *group, const struct raft_message *message, struct err *err);
int group_read(struct group *group, uint64_t id, struct err *err);
int group_transfer(struct group *group, uint64_t id, uint64_t to, struct err *err);
void group_compact(struct group *group, uint64_t id, uint64_t index);
void group_unreachable(struct group *group, uint64_t id, uint64_t peer);

// The first queued message from, to and of this type, or NULL. Not taken out.
const struct raft_message *group_find(const struct group *group, uint64_t from, uint64_t to,
                                      enum raft_message_type type);

// What a leader knows of a peer.
struct raft_peer_status group_peer(struct group *group, uint64_t leader, uint64_t id);

// "1 follower term 2 leader 3 log (0, 5] commit 4 applied 4 voters 1 2 3"
void group_describe(struct group *group, uint64_t id, struct buf *out);

// What the member's last flush asked for, into the group's text.
void group_describe_update(struct group *group, const struct group_member *member);
void group_describe_message(const struct raft_message *message, struct buf *out);

#endif
