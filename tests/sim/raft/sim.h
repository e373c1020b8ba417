// The Raft simulator: real cores over a fake network, fake disks and fake clocks, all from one
// seed.
//
// Everything happens in virtual time on one thread, so that a seed replays exactly. Rules are
// checked after every step (check.c); the first broken one ends the run with a message.
#ifndef TESTS_SIM_RAFT_SIM_H
#define TESTS_SIM_RAFT_SIM_H

#include <stdarg.h>
#include <stdio.h>

#include "proto/base/rand.h"
#include "raft/core/core.h"
#include "raft/disk/row.h"
#include "raft/disk/seal.h"

#define SIM_IDS_MAX 14 // members that may ever exist in one run; ids 1..SIM_IDS_MAX

// ---- disk.c: a disk that loses what was not synced ----------------------------------------------

struct sim_disk {
    struct raft_hard_state hard;
    uint64_t start_index;
    uint64_t start_term;
    struct raft_entry *entries; // start_index + 1 ...
    struct raft_blob **rows;    // sealed, one per entry
    size_t count;
    size_t cap;
    struct seal *seal; // NULL: the disk is not sealed
    struct buf hard_row;
    const struct raft_write *in_flight; // borrowed from the core
};

// Keys and nonces of a sealed disk come from `rand`.
void disk_init(struct sim_disk *disk, struct rand *rand, bool sealed);
void disk_fini(struct sim_disk *disk);
void disk_submit(struct sim_disk *disk, const struct raft_write *write);

// What was submitted is durable now.
void disk_sync(struct sim_disk *disk);

// The power fails: what was in flight is gone, or there after all, or torn in the middle. Returns
// the handle of a snapshot that became durable that way, or 0. False in *sound: a torn write was
// taken for a whole one.
uint64_t disk_crash(struct sim_disk *disk, struct rand *rand, bool *sound);

uint64_t disk_last(const struct sim_disk *disk);
uint64_t disk_term(const struct sim_disk *disk, uint64_t index); // 0: not there
void disk_compact(struct sim_disk *disk, uint64_t index);

// As after a restart: nothing is known but what the rows say.
int disk_reread(struct sim_disk *disk, struct err *err);

// The stored facts. `runs` has room for one per entry.
void disk_boot(const struct sim_disk *disk, struct raft_boot *boot, struct raft_run *runs);

// The stored entries a load asks for; the count.
size_t disk_load(const struct sim_disk *disk, const struct raft_load *load,
                 const struct raft_entry **entries);

// ---- the state machine and clients --------------------------------------------------------------

// What a member has applied, durably.
struct sim_store {
    uint64_t applied;
    uint64_t hash; // of everything applied so far, in order
    struct raft_conf conf;
    uint32_t removed; // bit per id
};

struct sim_snapshot {
    uint64_t index;
    struct sim_store store;
};

enum sim_op_state { SIM_OP_OPEN, SIM_OP_DONE, SIM_OP_LOST };

struct sim_op {
    enum sim_op_state state;
    bool is_read;
    uint64_t floor;   // highest index any client had seen when it began
    uint64_t applied; // of a write: where it was applied; 0: nowhere yet
};

// A client's proposal or read that a member is working on.
struct sim_waiter {
    uint64_t op;
    uint64_t index;
    uint64_t term; // of a read: 0
};

// ---- members ------------------------------------------------------------------------------------

struct sim_batch {
    const struct raft_entry *entries;
    size_t count;
};

struct sim_node {
    uint64_t id;
    bool exists;
    bool alive;
    bool stock;    // behaves as SwarmKit's: patient, no mark, no pre-vote
    bool stopped;  // removed and told so: never comes back
    uint64_t life; // counts restarts; events of an earlier life are void
    struct raft *raft;
    struct sim_disk disk;
    struct sim_store store;
    int64_t clock_offset_ns;
    int64_t clock_ppm; // how fast its clock runs, 1000000 is right
    int64_t paused_until_ns;
    int64_t disk_ns;  // longest sync
    int64_t apply_ns; // longest apply
    bool turn_due;
    uint64_t timer_token;
    struct raft_write write;
    struct sim_batch *applying;
    size_t applying_count;
    size_t applying_cap;
    struct sim_waiter *writes;
    size_t writes_count;
    size_t writes_cap;
    struct sim_waiter *reads; // confirmed, waiting to be applied
    size_t reads_count;
    size_t reads_cap;
    uint8_t echo[SIM_IDS_MAX + 1][RAFT_CONTEXT_BYTES_MAX]; // as stock: context to echo, per sender
    uint8_t echo_len[SIM_IDS_MAX + 1];

    // What check.c saw last.
    uint64_t *terms; // of its log, by index
    size_t terms_cap;
    uint64_t seen_last;
    uint64_t seen_commit;
    uint64_t seen_term;
    enum raft_role seen_role;
};

// ---- the world ----------------------------------------------------------------------------------

enum sim_event_type {
    SIM_PACKET,
    SIM_TIMER,
    SIM_TURN,
    SIM_SYNCED,
    SIM_APPLIED,
    SIM_LOADED,
    SIM_SNAPSHOT_READY,
    SIM_UNREACHABLE,
    SIM_SNAPSHOT_SENT,
    SIM_RESTART,
    SIM_FAULT,
    SIM_CLIENT,
    SIM_MEMBER,
};

struct sim_event {
    int64_t at_ns;
    uint64_t order;
    enum sim_event_type type;
    uint64_t node;
    uint64_t life;
    uint64_t number; // token, peer, write ...
    bool ok;
    struct raft_load load;
    struct raft_message *packet; // owned
};

// One entry that some member ever had: what (index, term) stands for.
struct sim_fact {
    uint64_t term;
    uint64_t before; // term of the entry before
    uint64_t hash;
};

struct sim_index {
    struct sim_fact *facts;
    size_t facts_count;
    size_t facts_cap;
    uint64_t committed_term; // of the committed entry; 0: none known
    uint64_t committed_in;   // the term in which it was first seen committed
    uint64_t store_hash;     // after applying it; 0: nobody has
};

struct sim_options {
    bool trace;
    bool quiet;
};

struct sim {
    uint64_t seed;
    struct sim_options options;
    struct rand rand;
    int64_t now_ns;
    struct sim_event *heap;
    size_t heap_count;
    size_t heap_cap;
    uint64_t order;
    uint64_t steps;

    struct sim_node nodes[SIM_IDS_MAX + 1];     // [0] unused
    bool cut[SIM_IDS_MAX + 1][SIM_IDS_MAX + 1]; // from, to
    uint32_t lose_percent;
    uint32_t repeat_percent;
    int64_t delay_ns;
    bool quiet_phase; // faults are over
    int64_t faults_until_ns;
    int64_t deadline_ns;
    bool with_stock;
    bool with_seal;
    bool with_joint;
    bool with_members;
    struct raft_config limits; // what the members of this run are configured with
    uint64_t compact_every;
    uint64_t compact_keep;

    struct sim_index *indexes; // by index
    size_t indexes_cap;
    uint64_t leaders[4096];         // by term
    struct sim_snapshot *snapshots; // by handle - 1
    size_t snapshots_count;
    size_t snapshots_cap;
    struct sim_op *ops;
    size_t ops_count;
    size_t ops_cap;
    uint64_t floor;      // highest index that any finished operation has seen
    uint64_t acked;      // writes acknowledged
    uint64_t read;       // reads answered
    uint64_t last_probe; // the write that shows life after the faults
    int64_t probe_again_ns;

    bool failed;
    char message[512];
};

// The first broken rule of a run.
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Runs one seed; true when every rule held. The message of a failure is in sim->message.
bool sim_run(struct sim *sim, uint64_t seed, const struct sim_options *options);

// What the members of a fail-over are like.
struct sim_failover {
    uint32_t members;
    int64_t disk_ms;  // longest sync
    int64_t delay_us; // longest way of a packet
    uint32_t lose_percent;
};

// failover.c: the time from the death of a group's leader until the next one has committed, in ns;
// a rule that broke is in sim->message.
int64_t sim_failover(struct sim *sim, uint64_t seed, const struct sim_options *options,
                     const struct sim_failover *terms);

// world.c: time and events.
void sim_happen(struct sim *sim, struct sim_event *event);
struct sim_event *sim_schedule(struct sim *sim, int64_t delay_ns, enum sim_event_type type,
                               uint64_t node);
bool sim_next(struct sim *sim, struct sim_event *event);
void sim_world_fini(struct sim *sim);
int64_t sim_between(struct sim *sim, int64_t low, int64_t high);
bool sim_percent(struct sim *sim, uint32_t percent);
uint64_t sim_leader(struct sim *sim); // the leader of the highest term, 0: none

// net.c: packets.
void net_send(struct sim *sim, struct sim_node *from, const struct raft_message *message);
void net_deliver(struct sim *sim, struct sim_event *event);
void packet_free(struct raft_message *packet);

// node.c: the shell around one core.
void node_create(struct sim *sim, uint64_t id, const struct raft_conf *conf);
void node_start(struct sim *sim, struct sim_node *node);
void node_crash(struct sim *sim, struct sim_node *node);
int node_step(struct sim *sim, struct sim_node *node, const struct raft_event *event);
void node_event(struct sim *sim, const struct sim_event *event);
void node_fini(struct sim_node *node);
bool node_is_paused(const struct sim *sim, const struct sim_node *node);

// faults.c: what goes wrong, and membership.
void fault_happen(struct sim *sim);
void fault_end(struct sim *sim);
void member_change(struct sim *sim);
void member_encode(const struct raft_conf_change *change, struct raft_blob **out);
bool member_decode(const struct raft_entry *entry, struct raft_conf_change *change);

// client.c: load and its history.
void client_act(struct sim *sim);
uint64_t client_write(struct sim *sim, struct sim_node *node);
void client_applied(struct sim *sim, struct sim_node *node, const struct raft_entry *entry);
void client_reads_ready(struct sim *sim, struct sim_node *node);
void client_read_answer(struct sim *sim, struct sim_node *node, const struct raft_read *read);
void client_forget(struct sim *sim, struct sim_node *node);

// check.c: the rules.
struct sim_index *check_index(struct sim *sim, uint64_t index);
void check_node(struct sim *sim, struct sim_node *node);
void check_applied(struct sim *sim, struct sim_node *node, const struct raft_entry *entry);
void check_promise(struct sim *sim, struct sim_node *node, const struct raft_message *message);
void check_restored(struct sim *sim, struct sim_node *node);
uint64_t check_hash(uint64_t hash, const struct raft_entry *entry);
bool check_converged(struct sim *sim);

#endif
