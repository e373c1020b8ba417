// The secrets and configs that a task refers to, with their data: out of what was assigned to this
// node, expanded where they are templates.
//
// Pure.
#ifndef AGENT_TASK_FILES_H
#define AGENT_TASK_FILES_H

#include "agent/task/executor.h"
#include "agent/task/template.h"
#include "proto/base/arena.h"
#include "proto/base/err.h"
#include "proto/base/map.h"

// Where they come from.
struct task_files {
    const struct map *secrets; // id -> Swarm__Secret
    const struct map *configs; // id -> Swarm__Config
    const struct template_node *node;
};

// Puts them into the order, in the sequence of the spec: secrets, then configs. Templates see the
// unexpanded ones. The list and what was expanded are the arena's (which then holds secrets), all
// else is borrowed from `from` and the task. NOT_FOUND for one that was not assigned,
// INVALID_ARGUMENT for a template that cannot be expanded, RESOURCE_EXHAUSTED; the order is then as
// before.
int task_files_gather(const struct task_files *from, const Swarm__Task *task,
                      struct executor_order *order, struct arena *arena, struct err *err);

#endif
