// What the scheduler knows, shared by the files that keep it up and that decide by it. Internal to
// the room.
#ifndef MANAGER_SCHED_STATE_H
#define MANAGER_SCHED_STATE_H

#include "manager/sched/nodeinfo.h"

// Bytes of the decisions of one run: ids and reasons.
#define SCHED_RUN_BYTES ((size_t)1024 * 1024 * 1024)

struct sched {
    struct map nodes;        // id -> sched_node
    struct map services;     // id -> sched_service
    struct map demands;      // service id, NUL, spec version -> shared demand
    struct map tasks;        // id -> sched_task
    struct list waiting;     // demand.waiting, oldest first
    struct list preassigned; // sched_task.pending
    size_t pending;
    uint64_t serials;          // given to services
    struct sched_node **order; // existing nodes; rebuilt when stale
    size_t order_count;
    bool order_stale;
    struct sched_decision *decisions;
    size_t decisions_count;
    size_t decisions_cap;
    struct arena arena; // of the last run's decisions
    struct mono first;  // event not yet followed by a run; MONO_NEVER for none
    struct mono last;
};

// Brings `order` up to date: sorted by id, so that two managers with one state decide alike.
void order_nodes(struct sched *sched);

// Takes over what the store says of a task.
void task_set(struct sched *sched, const struct object *object, struct wall now);

// Forgets a task.
void task_drop(struct sched *sched, struct sched_task *task);

// Takes a task out of the queue it waits in, if any. A demand that nobody waits with stays in
// sched.waiting only during a run.
void task_dequeue(struct sched *sched, struct sched_task *task);

#endif
