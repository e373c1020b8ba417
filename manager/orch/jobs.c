// Replicated jobs: tasks that run to completion, so many in all, so many at a time (swarmkit 13.3).
#include "manager/orch/look.h"
#include "proto/base/check.h"

// What the present run of the job has in one slot.
static bool slot_used(const struct slot *slot, uint64_t iteration)
{
    for (size_t i = 0; slot && i < slot->count; i++)
        if (slot->tasks[i].facts->job_iteration == iteration)
            return true;
    return false;
}

void replicated_job_look(struct look *look)
{
    const Swarm__ReplicatedJob *job = look->service->spec->replicated_job;
    uint64_t iteration = look->service->job_status && look->service->job_status->job_iteration
                             ? look->service->job_status->job_iteration->index
                             : 0;
    struct slots slots;
    slots_load(&slots, look->step, look->service->id, false);
    uint64_t complete = 0, unfinished = 0;
    for (size_t i = 0; i < slots.count; i++) {
        const struct slot *slot = &slots.list[i];
        restart_slot(look, slot, false);
        for (size_t k = 0; k < slot->count; k++) {
            const struct slot_task *task = &slot->tasks[k];
            if (task->facts->job_iteration != iteration) // an older run
                step_desire(look->step, object_id(task->object), SWARM__TASK_STATE__REMOVE);
            else if (task->facts->state == SWARM__TASK_STATE__COMPLETE)
                complete++;
            else if (slot_task_wanted(task, look->goal))
                // One that failed just now has been replaced in its slot: it counts as its
                // successor.
                unfinished += !slot_task_ended(task) || restart_allowed(look, slot, task);
        }
    }
    uint64_t missing = job->total_completions > complete ? job->total_completions - complete : 0;
    uint64_t room = job->max_concurrent == 0           ? missing
                    : job->max_concurrent > unfinished ? job->max_concurrent - unfinished
                                                       : 0;
    uint64_t wanted = missing > unfinished ? missing - unfinished : 0;
    if (wanted > room)
        wanted = room;
    for (uint64_t number = 0; wanted > 0 && number < job->total_completions; number++) {
        if (slot_used(slots_find(&slots, number), iteration))
            continue;
        look_create(look, number, "", look->goal);
        wanted--;
    }
    slots_fini(&slots);
}
