#include "manager/orch/slots.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

// By slot, then age. Ids break ties so that every leader sees the same order.
static int compare_by_slot(const void *a, const void *b)
{
    const struct slot_task *left = a, *right = b;
    if (left->facts->slot != right->facts->slot)
        return left->facts->slot < right->facts->slot ? -1 : 1;
    if (left->facts->created_ns != right->facts->created_ns)
        return left->facts->created_ns < right->facts->created_ns ? -1 : 1;
    return strcmp(object_id(left->object), object_id(right->object));
}

static int compare_by_node(const void *a, const void *b)
{
    const struct slot_task *left = a, *right = b;
    int order = strcmp(left->facts->node_id, right->facts->node_id);
    return order ? order : compare_by_slot(a, b);
}

void slots_load(struct slots *slots, const struct step *step, const char *service_id, bool by_node)
{
    *slots = (struct slots){0};
    size_t cap = 0;
    VIEW_EACH (object, step_view(step), OBJECT_TASK, by_service(service_id)) {
        if (slots->tasks_count == cap) {
            cap = cap ? 2 * cap : 16;
            slots->tasks = mem_realloc(slots->tasks, cap * sizeof *slots->tasks);
        }
        slots->tasks[slots->tasks_count++] =
            (struct slot_task){.object = object_ref(object), .facts = object_task(object)};
    }
    if (slots->tasks_count == 0)
        return;
    qsort(slots->tasks, slots->tasks_count, sizeof *slots->tasks,
          by_node ? compare_by_node : compare_by_slot);
    slots->list = mem_alloc_array(slots->tasks_count, sizeof *slots->list);
    for (size_t i = 0; i < slots->tasks_count; i++) {
        struct slot_task *task = &slots->tasks[i];
        struct slot *last = slots->count ? &slots->list[slots->count - 1] : NULL;
        bool same = last && (by_node ? strcmp(last->node_id, task->facts->node_id) == 0
                                     : last->number == task->facts->slot);
        if (!same) {
            last = &slots->list[slots->count++];
            *last = (struct slot){.number = by_node ? 0 : task->facts->slot,
                                  .node_id = by_node ? task->facts->node_id : "",
                                  .tasks = task};
        }
        last->count++;
    }
}

void slots_fini(struct slots *slots)
{
    for (size_t i = 0; i < slots->tasks_count; i++)
        object_unref(slots->tasks[i].object);
    free(slots->tasks);
    free(slots->list);
    *slots = (struct slots){0};
}

void slots_filter(struct slots *slots, bool (*keep)(void *ctx, const struct slot *slot), void *ctx)
{
    size_t count = 0;
    for (size_t i = 0; i < slots->count; i++)
        if (keep(ctx, &slots->list[i]))
            slots->list[count++] = slots->list[i];
    slots->count = count;
}

size_t slot_wanted_count(const struct slot *slot, Swarm__TaskState goal)
{
    size_t count = 0;
    for (size_t i = 0; i < slot->count; i++)
        count += slot_task_wanted(&slot->tasks[i], goal);
    return count;
}

const struct slot_task *slot_newest(const struct slot *slot)
{
    CHECK(slot->count > 0);
    return &slot->tasks[slot->count - 1];
}

const struct slot_task *slot_newest_wanted(const struct slot *slot, Swarm__TaskState goal)
{
    for (size_t i = slot->count; i-- > 0;)
        if (slot_task_wanted(&slot->tasks[i], goal))
            return &slot->tasks[i];
    return NULL;
}

const struct slot *slots_find(const struct slots *slots, uint64_t number)
{
    for (size_t i = 0; i < slots->count; i++)
        if (slots->list[i].number == number)
            return &slots->list[i];
    return NULL;
}
