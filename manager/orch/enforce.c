// The constraint enforcer: tasks whose node changed under them (swarmkit 14).
#include "manager/orch/reaper.h"

#include <stdlib.h>

#include "manager/orch/task.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"

// Room for one service and one task beside the node.
#define ENFORCE_ARENA_BYTES OBJECT_ARENA_BYTES

// What is left of the node as its tasks are counted one by one.
struct room {
    int64_t nano_cpus, memory_bytes;
};

// Takes the task's reservations; false when they do not fit any more.
static bool fits(struct room *room, const Swarm__Task *task)
{
    const Swarm__ResourceRequirements *resources = task->spec->resources;
    const Swarm__Resources *reserved = resources ? resources->reservations : NULL;
    if (!reserved)
        return true;
    if (reserved->nano_cpus > room->nano_cpus || reserved->memory_bytes > room->memory_bytes)
        return false;
    room->nano_cpus -= reserved->nano_cpus;
    room->memory_bytes -= reserved->memory_bytes;
    return true;
}

// The constraints that count are those the service has now; a task without one keeps its own.
static bool meets_constraints(struct step *step, const Swarm__Task *task, const Swarm__Node *node,
                              struct arena *arena)
{
    const struct object *object = str_empty(task->service_id)
                                      ? NULL
                                      : view_get(step_view(step), OBJECT_SERVICE, task->service_id);
    Swarm__Service *service = object ? object_unpack(object, arena) : NULL;
    return !service || task_node_matches(service, node, arena);
}

static void reject(struct step *step, const char *task_id)
{
    if (step->result || (step->result = txn_turn(&step->txn, 1, step->err)))
        return;
    Swarm__Task *task = txn_edit(step->txn, OBJECT_TASK, task_id);
    if (!task)
        return;
    task->status->state = SWARM__TASK_STATE__REJECTED;
    task->status->message = "task rejected by constraint enforcer";
    task->status->err = "assigned node no longer meets constraints";
    task->status->timestamp = timestamp_new(step->now, txn_arena(step->txn));
    step->result = txn_update(step->txn, OBJECT_TASK, task, step->err);
}

static bool concerns(const struct task_facts *facts)
{
    return facts->desired_state >= SWARM__TASK_STATE__ASSIGNED &&
           facts->desired_state <= SWARM__TASK_STATE__COMPLETE &&
           facts->state < SWARM__TASK_STATE__COMPLETE;
}

static int by_id(const void *a, const void *b)
{
    return str_compare(object_id(*(const struct object *const *)a),
                       object_id(*(const struct object *const *)b));
}

void enforce_node(struct step *step, const char *node_id)
{
    const struct object *object = view_get(step_view(step), OBJECT_NODE, node_id);
    if (!object || object_node(object)->availability != SWARM__NODE_SPEC__AVAILABILITY__ACTIVE)
        return;
    struct arena node_arena;
    arena_init(&node_arena, OBJECT_ARENA_BYTES);
    Swarm__Node *node = object_unpack(object, &node_arena);
    CHECK(node);
    const Swarm__Resources *has = node->description ? node->description->resources : NULL;
    struct room room = {.nano_cpus = has ? has->nano_cpus : INT64_MAX,
                        .memory_bytes = has ? has->memory_bytes : INT64_MAX};
    const struct object **tasks = NULL;
    size_t count = 0;
    VIEW_EACH (task, step_view(step), OBJECT_TASK, by_node(node_id)) {
        if (!concerns(object_task(task)))
            continue;
        tasks = mem_realloc(tasks, (count + 1) * sizeof *tasks);
        tasks[count++] = object_ref(task);
    }
    // In a fixed order, so that the same tasks lose whoever looks.
    if (count)
        qsort(tasks, count, sizeof *tasks, by_id);
    for (size_t i = 0; i < count; i++) {
        struct arena arena;
        arena_init(&arena, ENFORCE_ARENA_BYTES);
        Swarm__Task *task = object_unpack(tasks[i], &arena);
        CHECK(task);
        if (!meets_constraints(step, task, node, &arena) || !fits(&room, task))
            reject(step, object_id(tasks[i]));
        arena_fini(&arena);
        object_unref(tasks[i]);
    }
    free(tasks);
    arena_fini(&node_arena);
}
