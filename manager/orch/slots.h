// A service's tasks by slot: the numbered places of a replicated service, the nodes of a global
// one.
#ifndef MANAGER_ORCH_SLOTS_H
#define MANAGER_ORCH_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "manager/orch/step.h"

struct slot_task {
    const struct object *object; // own reference
    const struct task_facts *facts;
};

struct slot {
    uint64_t number;         // replicated services; 0 for global ones
    const char *node_id;     // global services; "" for replicated ones
    struct slot_task *tasks; // oldest first
    size_t count;
};

struct slots {
    struct slot *list; // by number, or by node id
    size_t count;
    struct slot_task *tasks;
    size_t tasks_count;
};

// All tasks of the service as of the step's view. `by_node` groups them by node instead of slot.
void slots_load(struct slots *slots, const struct step *step, const char *service_id, bool by_node);
void slots_fini(struct slots *slots);

// Leaves out the slots for which `keep` says no.
void slots_filter(struct slots *slots, bool (*keep)(void *ctx, const struct slot *slot), void *ctx);

// Wanted by the user, whatever its state: desired RUNNING or below (jobs: COMPLETE or below).
static inline bool slot_task_wanted(const struct slot_task *task, Swarm__TaskState goal)
{
    return task->facts->desired_state <= (unsigned)goal;
}

// Over, one way or another.
static inline bool slot_task_ended(const struct slot_task *task)
{
    return task->facts->state > SWARM__TASK_STATE__RUNNING;
}

size_t slot_wanted_count(const struct slot *slot, Swarm__TaskState goal);

// The newest task, or the newest that is wanted (NULL: none).
const struct slot_task *slot_newest(const struct slot *slot);
const struct slot_task *slot_newest_wanted(const struct slot *slot, Swarm__TaskState goal);

// The slot with that number, or NULL.
const struct slot *slots_find(const struct slots *slots, uint64_t number);

#endif
