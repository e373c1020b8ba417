// What only a leader does: certificates, sessions, allocation, scheduling, orchestration. Started
// when this manager may act as leader, stopped in the same turn when it may not (swarmkit 18.9).
//
// The planners (alloc, sched, orch) are pure; this is their shell: one watch feeds them all, one
// timer wakes whoever is due, and each run's writes come back as events of the next.
#ifndef MANAGER_LEADING_H
#define MANAGER_LEADING_H

#include "manager/ca/ca.h"
#include "manager/dispatch/dispatch.h"
#include "manager/logs/logs.h"
#include "manager/store/txn.h"
#include "proto/base/loop_io.h"
#include "proto/identity/rng.h"
#include "proto/wire/objects.pb-c.h"
#include "raft/members.h"

struct leading;

struct leading_config {
    struct loop *loop;
    struct store *store; // with a proposer
    const struct rng *rng;
    uint64_t seed;
    const char *node_id;     // own
    struct external_way way; // to authorities outside, for the CA
    struct histogram *delay; // dispatcher.h
    // The cluster as it is to be when there is none yet (a founder's), else NULL. Borrowed until
    // the leader stops.
    const Swarm__Cluster *first_cluster;
    Swarm__NodeSpec__Availability availability; // of the founder's node
    int64_t network_keys_ms;                    // manager.h

    // The state cannot be written as it should: the owner gives leadership up.
    void (*failed)(void *ctx, const struct err *why);
    void *ctx;
};

// Creates what a cluster must have (cluster, own node, ingress and predefined networks), then
// starts.
struct leading *leading_start(const struct leading_config *config);

// Ends at once; what was proposed but not committed is forgotten.
void leading_stop(struct leading *leader);

// For the services' desks.
struct ca *leading_ca(struct leading *leader);
struct dispatch *leading_dispatch(struct leading *leader);
struct logs *leading_logs(struct leading *leader);

// The managers that agents are told of.
void leading_set_members(struct leading *leader, const struct members *members);

#endif
