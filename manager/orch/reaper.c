#include "manager/orch/reaper.h"

#include <stdlib.h>

#include "manager/orch/slots.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

// No agent runs it, or will: it ended, or it never reached one.
static bool stopped(const struct slot_task *task)
{
    return slot_task_ended(task) || task->facts->state < SWARM__TASK_STATE__ASSIGNED;
}

static bool is_job(const Swarm__Service *service)
{
    return service->spec->mode_case == SWARM__SERVICE_SPEC__MODE_REPLICATED_JOB ||
           service->spec->mode_case == SWARM__SERVICE_SPEC__MODE_GLOBAL_JOB;
}

// How many tasks a slot keeps; negative: all. A limit of restarts is counted on the history, so it
// must hold one more than the limit.
static int64_t history_of(const Swarm__Service *service, const Swarm__Cluster *cluster)
{
    int64_t keep = defaults_cluster(cluster).task_history;
    struct restart_settled restart = defaults_restart(service->spec->task->restart);
    if (keep >= 0 && restart.attempts_max > 0 && restart.attempts_max < INT64_MAX)
        keep = (int64_t)restart.attempts_max + 1;
    return keep;
}

static int by_age(const void *a, const void *b)
{
    const struct slot_task *const *left = a, *const *right = b;
    int64_t l = (*left)->facts->status_ns, r = (*right)->facts->status_ns;
    return l < r ? -1 : l > r;
}

// Oldest first, down to the history's length; what still lives is passed over.
static void trim(struct step *step, const struct slot *slot, int64_t keep)
{
    if (keep < 0 || slot->count <= (size_t)keep)
        return;
    const struct slot_task **order = mem_alloc_array(slot->count, sizeof *order);
    for (size_t i = 0; i < slot->count; i++)
        order[i] = &slot->tasks[i];
    qsort(order, slot->count, sizeof *order, by_age);
    size_t left = slot->count;
    for (size_t i = 0; i < slot->count && left > (size_t)keep; i++) {
        const struct slot_task *task = order[i];
        bool over =
            slot_task_ended(task) || (task->facts->state < SWARM__TASK_STATE__ASSIGNED &&
                                      task->facts->desired_state > SWARM__TASK_STATE__COMPLETE);
        // One that was not replaced yet is not history.
        if (!over || task->facts->desired_state <= SWARM__TASK_STATE__COMPLETE)
            continue;
        step_delete(step, object_id(task->object));
        left--;
    }
    free(order);
}

static void remove_stopped(struct step *step, const struct slot *slot, bool all)
{
    for (size_t i = 0; i < slot->count; i++) {
        const struct slot_task *task = &slot->tasks[i];
        bool unwanted = task->facts->desired_state >= SWARM__TASK_STATE__REMOVE;
        // Nobody has to hear first that it is not wanted when nobody runs it.
        if ((all || unwanted) && stopped(task))
            step_delete(step, object_id(task->object));
        else if (all && !unwanted)
            step_desire(step, object_id(task->object), SWARM__TASK_STATE__REMOVE);
    }
}

void reaper_look(struct step *step, const char *service_id, const Swarm__Service *service,
                 const Swarm__Cluster *cluster)
{
    bool by_node = service && service->spec->mode_case == SWARM__SERVICE_SPEC__MODE_GLOBAL;
    struct slots slots;
    slots_load(&slots, step, service_id, by_node);
    for (size_t i = 0; i < slots.count; i++) {
        remove_stopped(step, &slots.list[i], !service);
        if (service && !is_job(service))
            trim(step, &slots.list[i], history_of(service, cluster));
    }
    slots_fini(&slots);
}

void reaper_attachments(struct step *step)
{
    const char *ids[STORE_ACTIONS_MAX];
    size_t count = 0;
    VIEW_EACH (task, step_view(step), OBJECT_TASK,
               by_number(INDEX_STATE, SWARM__TASK_STATE__ORPHANED)) {
        if (str_empty(object_task(task)->service_id) && count < COUNT_OF(ids))
            ids[count++] = arena_strdup(&step->arena, object_id(task));
    }
    for (size_t i = 0; i < count; i++)
        step_delete(step, ids[i]);
}
