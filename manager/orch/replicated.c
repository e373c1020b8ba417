// Replicated services: so many slots, numbered from 1 (swarmkit 13.1).
#include <stdlib.h>

#include "manager/orch/look.h"
#include "manager/store/planted.h"
#include "proto/base/check.h"
#include "proto/base/map.h"
#include "proto/base/str.h"

// A slot that counts towards the replicas, ranked for scaling down.
struct ranked {
    const struct slot *slot;
    const char *node_id; // of its one task; "" without one or with several
    bool running;
    uint64_t rank; // how many slots before it are on the same node
};

// Counts although nothing in it is wanted: its last task is not to be restarted. A rollback tries
// again.
static bool is_done(const struct look *look, const struct slot *slot)
{
    const struct slot_task *newest = slot_newest(slot);
    return !look->rolling_back && slot_task_ended(newest) &&
           newest->facts->desired_state < SWARM__TASK_STATE__REMOVE &&
           !restart_allowed(look, slot, newest);
}

static bool counts(const struct look *look, const struct slot *slot)
{
    return slot_wanted_count(slot, look->goal) > 0 || is_done(look, slot);
}

static bool keep_counting(void *ctx, const struct slot *slot)
{
    return counts(ctx, slot);
}

// Scaled down a moment ago: what ran in it still stops.
static bool is_stopping(const struct slot *slot)
{
    for (size_t i = 0; i < slot->count; i++)
        if (!slot_task_ended(&slot->tasks[i]) &&
            slot->tasks[i].facts->state >= SWARM__TASK_STATE__ASSIGNED)
            return true;
    return false;
}

// Adds tasks in the lowest numbers that are free; a number whose slot died is free again. One that
// is still stopping is waited for, as a restart does: what is kept by slot number has one user.
static void scale_up(struct look *look, const struct slots *slots, uint64_t missing)
{
    for (uint64_t number = 1; missing > 0; number++) {
        const struct slot *slot = slots_find(slots, number);
        if (slot && counts(look, slot))
            continue;
        bool wait = slot && is_stopping(slot);
        look_create(look, number, "", wait ? SWARM__TASK_STATE__READY : look->goal);
        missing--;
    }
}

static int running_first(const void *a, const void *b)
{
    const struct ranked *left = a, *right = b;
    if (left->running != right->running)
        return left->running ? -1 : 1;
    return left->slot->number < right->slot->number ? -1 : 1;
}

static int by_rank(const void *a, const void *b)
{
    const struct ranked *left = a, *right = b;
    if (left->rank != right->rank)
        return left->rank < right->rank ? -1 : 1;
    return running_first(a, b);
}

static struct ranked rank_of(const struct look *look, const struct slot *slot)
{
    struct ranked ranked = {.slot = slot, .node_id = ""};
    for (size_t i = 0; i < slot->count; i++) {
        const struct slot_task *task = &slot->tasks[i];
        if (!slot_task_wanted(task, look->goal))
            continue;
        ranked.running |= task->facts->state == SWARM__TASK_STATE__RUNNING;
        ranked.node_id = slot_wanted_count(slot, look->goal) == 1 ? task->facts->node_id : "";
    }
    return ranked;
}

// Removes the slots that come last when nodes take turns: the busiest nodes give first.
static void scale_down(struct look *look, const struct slots *slots, uint64_t replicas)
{
    struct ranked *ranked = mem_alloc_array(slots->count, sizeof *ranked);
    size_t count = 0;
    for (size_t i = 0; i < slots->count; i++)
        if (counts(look, &slots->list[i]))
            ranked[count++] = rank_of(look, &slots->list[i]);
    qsort(ranked, count, sizeof *ranked, running_first);
    struct map seen; // node id -> slots so far
    map_init(&seen);
    for (size_t i = 0; i < count; i++) {
        if (str_empty(ranked[i].node_id)) {
            ranked[i].rank = UINT64_MAX;
            continue;
        }
        uintptr_t before = (uintptr_t)map_get_str(&seen, ranked[i].node_id);
        ranked[i].rank = before;
        map_put_str(&seen, ranked[i].node_id, (void *)(before + 1));
    }
    map_fini(&seen);
    qsort(ranked, count, sizeof *ranked, by_rank);
    for (size_t i = (size_t)replicas; i < count; i++)
        for (size_t k = 0; k < ranked[i].slot->count; k++)
            step_desire(look->step, object_id(ranked[i].slot->tasks[k].object),
                        SWARM__TASK_STATE__REMOVE);
    free(ranked);
}

// History of slots that are neither wanted nor used again goes at once, but never a task that an
// agent may still be running.
static void forget_dead(struct look *look, const struct slots *slots, uint64_t replicas)
{
    for (size_t i = 0; i < slots->count; i++) {
        const struct slot *slot = &slots->list[i];
        if (counts(look, slot) || slot->number <= replicas)
            continue;
        for (size_t k = 0; k < slot->count; k++)
            if (slot_task_ended(&slot->tasks[k]) ||
                slot->tasks[k].facts->state < SWARM__TASK_STATE__ASSIGNED)
                step_delete(look->step, object_id(slot->tasks[k].object));
    }
}

void replicated_look(struct look *look)
{
    uint64_t replicas = look->service->spec->replicated->replicas;
    struct slots slots;
    slots_load(&slots, look->step, look->service->id, false);
    uint64_t live = 0, writes = look->step->writes;
    for (size_t i = 0; i < slots.count; i++) {
        restart_slot(look, &slots.list[i], false);
        live += counts(look, &slots.list[i]);
    }
    if (live < replicas && !(PLANTED(NO_RESTART) && slots.count > 0))
        scale_up(look, &slots, replicas - live);
    else if (live > replicas)
        scale_down(look, &slots, replicas);
    forget_dead(look, &slots, replicas);
    // The update sees what was just written: a number that was filled again, or that is not wanted
    // any more, is not its business.
    if (live <= replicas) {
        if (look->step->writes != writes) {
            slots_fini(&slots);
            slots_load(&slots, look->step, look->service->id, false);
        }
        slots_filter(&slots, keep_counting, look);
        update_look(look, &slots);
    }
    slots_fini(&slots);
}
