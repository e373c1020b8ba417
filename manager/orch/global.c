// Global services: one task on every node that takes it (swarmkit 13.2).
#include "manager/orch/look.h"
#include "manager/orch/task.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// Room for one node's message and the constraints, per node looked at.
#define NODE_ARENA_BYTES OBJECT_ARENA_BYTES

static const struct slot *slot_on(const struct slots *slots, const char *node_id)
{
    size_t low = 0, high = slots->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = str_compare(slots->list[middle].node_id, node_id);
        if (order == 0)
            return &slots->list[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static bool takes(const struct look *look, const struct object *node)
{
    const Swarm__Placement *placement = look->service->spec->task->placement;
    if (!placement || placement->n_constraints == 0)
        return true;
    struct arena arena;
    arena_init(&arena, NODE_ARENA_BYTES);
    Swarm__Node *message = object_unpack(node, &arena);
    bool result = message && task_node_matches(look->service, message, &arena);
    arena_fini(&arena);
    return result;
}

static void shut_down(struct look *look, const struct slot *slot)
{
    for (size_t i = 0; i < slot->count; i++)
        if (slot_task_wanted(&slot->tasks[i], look->goal))
            step_desire(look->step, object_id(slot->tasks[i].object), SWARM__TASK_STATE__SHUTDOWN);
}

// A node that came back finds its last task shut down: it gets another, unless the policy says that
// the last one was the last.
static bool wants_task(const struct look *look, const struct slot *slot)
{
    if (!slot)
        return true;
    if (slot_wanted_count(slot, look->goal) > 0)
        return false;
    const struct slot_task *newest = slot_newest(slot);
    // One that was stopped on request (drain, constraints) did not fail.
    if (!slot_task_ended(newest) || newest->facts->state == SWARM__TASK_STATE__SHUTDOWN ||
        newest->facts->state == SWARM__TASK_STATE__ORPHANED)
        return true;
    return restart_allowed(look, slot, newest);
}

static void look_at_node(struct look *look, const struct slots *slots, const struct object *node,
                         Swarm__TaskState desired)
{
    const struct slot *slot = slot_on(slots, object_id(node));
    enum node_use use = node_use_of(node);
    if (use == NODE_GONE || use == NODE_LEAVING || !takes(look, node)) {
        if (slot)
            shut_down(look, slot);
        return;
    }
    if (slot)
        restart_slot(look, slot, true);
    if (use == NODE_ACTIVE && wants_task(look, slot))
        look_create(look, 0, object_id(node), desired);
}

// Tasks whose node was deleted go with it.
static void forget_nodeless(struct look *look, const struct slots *slots)
{
    for (size_t i = 0; i < slots->count; i++) {
        const struct slot *slot = &slots->list[i];
        if (view_get(step_view(look->step), OBJECT_NODE, slot->node_id))
            continue;
        for (size_t k = 0; k < slot->count; k++)
            step_delete(look->step, object_id(slot->tasks[k].object));
    }
}

// Collects the nodes first: writing spoils a walk.
struct node_list {
    const struct object **list;
    size_t count;
};

static struct node_list nodes_of(const struct look *look)
{
    struct view view = step_view(look->step);
    struct node_list nodes = {0};
    nodes.list = arena_alloc_array(&look->step->arena, view_count(view, OBJECT_NODE) + 1,
                                   sizeof *nodes.list);
    CHECK(nodes.list);
    VIEW_EACH (node, view, OBJECT_NODE, BY_ALL) {
        nodes.list[nodes.count++] = object_ref(node);
    }
    return nodes;
}

static void nodes_drop(struct node_list *nodes)
{
    for (size_t i = 0; i < nodes->count; i++)
        object_unref(nodes->list[i]);
}

static bool keep_usable(void *ctx, const struct slot *slot)
{
    struct look *look = ctx;
    const struct object *node = view_get(step_view(look->step), OBJECT_NODE, slot->node_id);
    bool wanted = slot_wanted_count(slot, look->goal) > 0;
    return wanted || (node_use_of(node) == NODE_ACTIVE && takes(look, node));
}

void global_look(struct look *look)
{
    struct slots slots;
    slots_load(&slots, look->step, look->service->id, true);
    struct node_list nodes = nodes_of(look);
    uint64_t writes = look->step->writes;
    for (size_t i = 0; i < nodes.count; i++)
        look_at_node(look, &slots, nodes.list[i], SWARM__TASK_STATE__RUNNING);
    forget_nodeless(look, &slots);
    nodes_drop(&nodes);
    // The update sees what was just written, and leaves out nodes that get nothing new.
    if (look->step->writes != writes) {
        slots_fini(&slots);
        slots_load(&slots, look->step, look->service->id, true);
    }
    slots_filter(&slots, keep_usable, look);
    update_look(look, &slots);
    slots_fini(&slots);
}

// ---- global jobs (swarmkit 13.3) ----------------------------------------------------------------

void global_job_look(struct look *look)
{
    uint64_t iteration = look->service->job_status && look->service->job_status->job_iteration
                             ? look->service->job_status->job_iteration->index
                             : 0;
    struct slots slots;
    slots_load(&slots, look->step, look->service->id, true);
    struct node_list nodes = nodes_of(look);
    for (size_t i = 0; i < nodes.count; i++) {
        const struct object *node = nodes.list[i];
        const struct slot *slot = slot_on(&slots, object_id(node));
        enum node_use use = node_use_of(node);
        bool has = false;
        for (size_t k = 0; slot && k < slot->count; k++) {
            const struct slot_task *task = &slot->tasks[k];
            if (task->facts->job_iteration == iteration)
                has = true;
            else // an older run
                step_desire(look->step, object_id(task->object), SWARM__TASK_STATE__REMOVE);
        }
        if (use == NODE_GONE || use == NODE_LEAVING) {
            if (slot)
                shut_down(look, slot);
            continue;
        }
        if (slot)
            restart_slot(look, slot, true);
        bool ready = object_node(node)->state == SWARM__NODE_STATUS__STATE__READY;
        if (!has && use == NODE_ACTIVE && ready && takes(look, node))
            look_create(look, 0, object_id(node), look->goal);
    }
    forget_nodeless(look, &slots);
    nodes_drop(&nodes);
    slots_fini(&slots);
}
