// A manager at work: store, Raft, services and, while it leads, everything a leader does. Runs
// whole in the manager process; the node process talks to it over the local socket only.
//
// The control loop owns it; calls are served on the serving loops, which must run already.
#ifndef MANAGER_MANAGER_H
#define MANAGER_MANAGER_H

#include <stdbool.h>

#include "proto/base/loop_io.h"
#include "proto/identity/credentials.h"
#include "proto/identity/rng.h"
#include "proto/identity/token.h"
#include "proto/net/addr.h"
#include "proto/wire/objects.pb-c.h"
#include "raft/disk/seal.h"
#include "raft/node_io.h"

struct manager;
struct external_lookup;

// How a manager without Raft state becomes a member.
enum manager_birth {
    MANAGER_RESTART, // it has state; FAILED_PRECONDITION when it has not
    MANAGER_FOUND,   // the first manager of a new cluster
    MANAGER_JOIN,    // asks the managers at `join_addrs` for admission
    MANAGER_FORCE,   // has state, and shall be the only member of a cluster that lost its quorum
};

struct manager_config {
    struct loop *loop;           // control
    struct loop *const *serving; // for calls of others; at least one
    size_t serving_count;
    const char *dir;                     // of the Raft state
    struct seal_key key;                 // data key
    const struct seal_key *previous_key; // while it is being rotated, else NULL
    const struct rng *rng;
    const struct credentials *credentials; // of a manager; copied
    const char *advertise;                 // host:port that others reach us at
    struct addr listen;                    // used unless listen_fd is a bound socket
    int listen_fd;                         // -1: bind `listen`
    struct addr local;                     // unix socket for our own node process
    int local_fd;                          // -1: bind `local`

    enum manager_birth birth;
    const Swarm__Cluster *first_cluster;        // MANAGER_FOUND; borrowed until manager_stop's end
    Swarm__NodeSpec__Availability availability; // MANAGER_FOUND: of its first node
    const char *const *join_addrs;              // MANAGER_JOIN
    size_t join_addrs_count;

    struct raft_pace patient, quick; // heartbeat_ms 0: the defaults. For tests
    int64_t network_keys_ms; // how old network keys get; 0: BOOTSTRAP_KEY_ROTATION_NS. For tests

    // Once: this manager takes part (it is a member and the services answer; of a new cluster, its
    // first objects are committed), or it cannot (err); then the owner stops it.
    void (*ready)(void *ctx, const struct err *err);
    // What managers lock their key files with (LOCK_KEY_BYTES; NULL: nothing), with the version of
    // the cluster object. At the start, and when it changes.
    void (*locked)(void *ctx, const uint8_t *lock_key, uint64_t version);
    // Nothing is sealed with the previous data key any more: after manager_rotate_key, or after a
    // start with previous_key.
    void (*rotated)(void *ctx);
    // Looks host names up for the CA (ca/external_io.h); NULL: the process does it itself.
    void (*look_up)(void *ctx, const char *name, struct external_lookup *lookup);
    void (*forget_lookup)(void *ctx, struct external_lookup *lookup);
    // Role, leader or members changed.
    void (*changed)(void *ctx);
    // It cannot go on, or was removed from the cluster (NOT_FOUND): the owner stops it.
    void (*stopped)(void *ctx, const struct err *why);
    void *ctx;
};

// How often and how far apart a join is tried (swarmkit 3.2).
#define MANAGER_JOIN_TRIES   5
#define MANAGER_JOIN_WAIT_MS 2000
#define MANAGER_JOIN_MS      30000

// Starts; `ready` runs later. An error names what is wrong with files, sockets or credentials.
int manager_start(const struct manager_config *config, struct manager **out, struct err *err);

// Hands leadership on, ends calls and closes; `closed` runs when all is freed.
void manager_stop(struct manager *manager, void (*closed)(void *ctx), void *ctx);

// A renewed certificate: new handshakes use it.
int manager_set_credentials(struct manager *manager, const struct credentials *credentials,
                            struct err *err);

// Seals the Raft state with another data key from now on, and what there is anew; `rotated` runs
// when that is done. FAILED_PRECONDITION while another rotation is under way.
int manager_rotate_key(struct manager *manager, const struct seal_key *key, struct err *err);

struct manager_status {
    struct raft_node_role role;
    uint64_t raft_id;
    size_t members;
    uint64_t commit, applied;
    struct addr listen; // with the port the kernel chose for port 0
};
void manager_status(const struct manager *manager, struct manager_status *out);

// The manager's figures in Prometheus' text, appended: what SwarmKit has under its names, and what
// it has no names for as skep_*. Walks all tasks and nodes once.
void manager_metrics(struct manager *manager, struct buf *out);

#endif
