// The allocator: subnets and VXLAN ids for networks, ports and virtual addresses for services,
// addresses for tasks and nodes (swarmkit.md section 17).
//
// Pure. It keeps what is held, claimed from a view at first and followed through store events then,
// and writes what is missing in transactions. A task leaves NEW for PENDING once all it needs is
// there; until then its Err says what is not.
//
// An address rests until its holder surely is gone: a task that its agent reported ended gives back
// at once; one that was deleted, or given up with its node, before its agent said so keeps its
// addresses for a time, since its container may still answer on them.
#ifndef MANAGER_ALLOC_ALLOC_H
#define MANAGER_ALLOC_ALLOC_H

#include "manager/store/txn.h"
#include "manager/store/watch.h"
#include "proto/wire/objects.pb-c.h"

struct alloc;

// What could not be had is tried again when something is given back, and at the latest after this.
#define ALLOC_RETRY_NS (5 * NS_PER_MIN)

// How long the addresses of a task rest that went without its agent's word: while its node is READY
// the agent stops it soon; a node that is away may run it for long (SwarmKit gives up after 24 h),
// until it comes back and is told otherwise.
#define ALLOC_LINGER_NS      (5 * NS_PER_MIN)
#define ALLOC_LINGER_AWAY_NS (24 * NS_PER_H)

// The pool of a cluster that names none.
#define ALLOC_POOL_DEFAULT        "10.0.0.0/8"
#define ALLOC_SUBNET_BITS_DEFAULT 24

struct alloc *alloc_new(void);
void alloc_free(struct alloc *alloc);

// Forgets everything and claims what the view shows as allocated, at leader start or after lost
// events. Events from before that view must not follow.
void alloc_load(struct alloc *alloc, struct view view, struct mono tick);

// One event of a watch on networks, services, tasks, nodes and clusters (others are ignored).
void alloc_event(struct alloc *alloc, const struct watch_event *event, struct mono tick);

// When alloc_run is wanted; MONO_NEVER when there is nothing to do.
struct mono alloc_due(const struct alloc *alloc);

// Allocates what is wanted and writes it, in as many transactions as it takes; nobody waits for
// them: when they are lost, so is leadership, and with it this allocator. On error (of txn_begin
// and txn_commit) something may be held that was not written: load again.
int alloc_run(struct alloc *alloc, struct store *store, struct wall now, struct mono tick,
              struct err *err);

// For the Control API, before a network is created: refuses a spec whose subnets cannot be had
// because another network has them. INVALID_ARGUMENT for what is no subnet, range or gateway;
// FAILED_PRECONDITION naming the network that is met.
int alloc_check_network(struct view view, const Swarm__NetworkSpec *spec, struct err *err);

// True for drivers whose networks live on one node: bridge, host, ipvlan, macvlan.
bool alloc_driver_is_local(const char *driver);

// True for the routing mesh's network: spec.ingress, or name and label of old clusters.
bool alloc_is_ingress(const Swarm__NetworkSpec *spec);

struct alloc_stats {
    uint64_t addresses; // held by tasks, services and nodes; resting ones included
    uint64_t resting;
    size_t ports;
    size_t vnis;
    size_t blocked; // networks, nodes, services and tasks that wait for something
    uint64_t looks; // at objects, to give them what they lack
};
void alloc_stats(const struct alloc *alloc, struct alloc_stats *out);

#endif
