// Tasks as the orchestrators make and judge them (swarmkit 12, 16).
#ifndef MANAGER_ORCH_TASK_H
#define MANAGER_ORCH_TASK_H

#include <stdbool.h>

#include "manager/store/view.h"
#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/base/id.h"
#include "proto/wire/objects.pb-c.h"

// A new task of the service in `arena`, to be written at once: what it takes over from the service
// and the cluster is theirs still. NEW, or PENDING at once when it has no networks and publishes no
// ports, and the allocator thus has nothing to give.
// `cluster` (may be NULL) gives the default log driver; `node_id` is "" unless the task belongs to
// one node. Services want RUNNING, jobs COMPLETE and carry the job's iteration.
Swarm__Task *task_new(struct id id, const Swarm__Service *service, const Swarm__Cluster *cluster,
                      uint64_t slot, const char *node_id, struct wall now, struct arena *arena);

// What a finished desire is called for this service: RUNNING, or COMPLETE for jobs.
Swarm__TaskState task_goal(const Swarm__Service *service);

// True when the task runs another spec than the service asks for, in a way that needs a new task. A
// change of placement alone is none as long as the task's node (NULL: none yet) satisfies it, and
// for a task that has its image already a change of pull options is none.
bool task_is_dirty(const Swarm__Service *service, const Swarm__Task *task, const Swarm__Node *node,
                   struct arena *arena);

// Whether the node meets the service's constraints.
bool task_node_matches(const Swarm__Service *service, const Swarm__Node *node, struct arena *arena);

#endif
