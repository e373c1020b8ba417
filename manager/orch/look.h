// One look at one service: what all orchestrators share while they compare what it should have with
// what it has. Internal to the room.
#ifndef MANAGER_ORCH_LOOK_H
#define MANAGER_ORCH_LOOK_H

#include "manager/orch/slots.h"
#include "manager/orch/step.h"
#include "proto/base/id.h"

struct look {
    struct step *step;
    Swarm__Service *service;       // unpacked, in the step's arena
    const Swarm__Cluster *cluster; // NULL when there is none
    Swarm__TaskState goal;         // RUNNING, or COMPLETE for jobs
    struct restart_settled restart;
    bool rolling_back;
    unsigned created;       // tasks so far
    struct id first_of_kin; // whose first characters those that are made now share
};

// Of the tasks that one look makes, so many have nothing to do with each other; after them each so
// many have so many first characters in common.
#define LOOK_STRANGERS 32
#define LOOK_KIN       STORE_ACTIONS_MAX
#define LOOK_KIN_CHARS 2

// ---- nodes --------------------------------------------------------------------------------------

enum node_use {
    NODE_GONE,    // no such node, or it is DOWN
    NODE_LEAVING, // DRAIN: what runs there moves away
    NODE_HOLDING, // PAUSE: what runs there stays, nothing new
    NODE_ACTIVE,
};
enum node_use node_use_of(const struct object *node); // NULL: gone

// The same by id; a task without a node has nothing to fear: NODE_ACTIVE for "".
enum node_use node_use(const struct step *step, const char *node_id);

// The node's message in the step's arena, NULL when there is none.
Swarm__Node *node_unpack(const struct step *step, const char *node_id, struct arena *arena);

// ---- restart: replacing tasks that ended (swarmkit 14) ------------------------------------------

// Whether the policy lets `task` of `slot` be replaced.
bool restart_allowed(const struct look *look, const struct slot *slot,
                     const struct slot_task *task);

// Shuts down the wanted tasks of the slot that ended or whose node cannot keep them, puts
// replacements where the policy allows, and starts replacements whose time has come. With `stay`
// nodes that drain or are down do not count (the caller has dealt with them).
void restart_slot(struct look *look, const struct slot *slot, bool stay);

// A task in the slot with this desired state.
void look_create(struct look *look, uint64_t slot, const char *node_id, Swarm__TaskState desired);

// ---- orchestrators ------------------------------------------------------------------------------

void replicated_look(struct look *look);
void global_look(struct look *look);
void replicated_job_look(struct look *look);
void global_job_look(struct look *look);

// ---- update (swarmkit 16) -----------------------------------------------------------------------

// Brings the slots to the service's present spec, as fast as its update settings allow.
void update_look(struct look *look, const struct slots *slots);

#endif
