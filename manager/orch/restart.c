#include <string.h>

#include "manager/orch/look.h"
#include "manager/orch/task.h"
#include "manager/store/planted.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

// ---- nodes --------------------------------------------------------------------------------------

enum node_use node_use_of(const struct object *node)
{
    if (!node || object_node(node)->state == SWARM__NODE_STATUS__STATE__DOWN)
        return NODE_GONE;
    switch (object_node(node)->availability) {
    case SWARM__NODE_SPEC__AVAILABILITY__DRAIN:
        return NODE_LEAVING;
    case SWARM__NODE_SPEC__AVAILABILITY__PAUSE:
        return NODE_HOLDING;
    default:
        return NODE_ACTIVE;
    }
}

enum node_use node_use(const struct step *step, const char *node_id)
{
    if (str_empty(node_id))
        return NODE_ACTIVE;
    return node_use_of(view_get(step_view(step), OBJECT_NODE, node_id));
}

Swarm__Node *node_unpack(const struct step *step, const char *node_id, struct arena *arena)
{
    const struct object *node = view_get(step_view(step), OBJECT_NODE, node_id);
    return node ? object_unpack(node, arena) : NULL;
}

// ---- whether ------------------------------------------------------------------------------------

static bool same_version(const struct slot_task *a, const struct slot_task *b)
{
    return a->facts->has_spec_version == b->facts->has_spec_version &&
           a->facts->spec_version == b->facts->spec_version;
}

// How many restarts of the task's spec the slot has seen, as far as its history tells: every task
// but the first one of that version. With a window only those made within it before the task's end.
static uint64_t restarts_seen(const struct look *look, const struct slot *slot,
                              const struct slot_task *task)
{
    uint64_t all = 0, counted = 0;
    int64_t since = task->facts->status_ns - look->restart.window_ns;
    for (size_t i = 0; i < slot->count; i++) {
        const struct slot_task *other = &slot->tasks[i];
        if (!same_version(other, task))
            continue;
        all++;
        if (look->restart.window_ns <= 0 || other->facts->created_ns >= since)
            counted++;
    }
    return counted == all ? counted - 1 : counted;
}

bool restart_allowed(const struct look *look, const struct slot *slot, const struct slot_task *task)
{
    bool complete = task->facts->state == SWARM__TASK_STATE__COMPLETE;
    switch (look->restart.condition) {
    case SWARM__RESTART_POLICY__RESTART_CONDITION__NONE:
        return false;
    case SWARM__RESTART_POLICY__RESTART_CONDITION__ON_FAILURE:
        if (complete)
            return false;
        break;
    default:
        // A job's task that is done is done, whatever the policy says.
        if (complete && look->goal == SWARM__TASK_STATE__COMPLETE)
            return false;
        break;
    }
    return look->restart.attempts_max == 0 ||
           restarts_seen(look, slot, task) < look->restart.attempts_max;
}

// ---- when ---------------------------------------------------------------------------------------

// When a replacement's delay is over. *waiting: its predecessors have not stopped yet.
static struct wall due_at(const struct look *look, const struct slot *slot,
                          const struct slot_task *task, bool *waiting)
{
    int64_t delay_ns = 0;
    *waiting = false;
    for (size_t i = 0; i < slot->count; i++) {
        const struct slot_task *other = &slot->tasks[i];
        if (other == task || slot_task_wanted(other, look->goal))
            continue;
        enum node_use use = node_use(look->step, other->facts->node_id);
        if (!slot_task_ended(other) && other->facts->state >= SWARM__TASK_STATE__ASSIGNED &&
            use != NODE_GONE)
            *waiting = true;
        // The newest one before it decides: a failure waits for the policy's delay; a new version,
        // a move away from a draining node and a slot that comes back after scaling down do not.
        bool failed = same_version(other, task) && use != NODE_LEAVING &&
                      other->facts->desired_state < SWARM__TASK_STATE__REMOVE;
        delay_ns = failed ? look->restart.delay_ns : 0;
    }
    return wall_add((struct wall){task->facts->created_ns}, delay_ns);
}

// Starts a replacement whose delay is over and whose predecessors have stopped. They are waited for
// no longer than RESTART_WAIT_FOR_OLD_NS, and not at all when their node is gone.
static void start_if_due(struct look *look, const struct slot *slot, const struct slot_task *task)
{
    bool waiting;
    struct wall due = due_at(look, slot, task, &waiting);
    struct wall latest = wall_add(due, RESTART_WAIT_FOR_OLD_NS);
    if (wall_before(look->step->now, due))
        step_wake(look->step, due);
    else if (waiting && wall_before(look->step->now, latest) && !PLANTED(NO_WAIT))
        step_wake(look->step, latest);
    else
        step_desire(look->step, object_id(task->object), look->goal);
}

// A replacement that ended before it was to start, such as one whose image cannot be had, waits for
// the rest of its delay: a node that rejects at once would be asked again at once, for ever.
static bool ended_too_early(struct look *look, const struct slot *slot,
                            const struct slot_task *task)
{
    bool waiting;
    if (task->facts->desired_state != SWARM__TASK_STATE__READY || !slot_task_ended(task))
        return false;
    struct wall due = due_at(look, slot, task, &waiting);
    if (!wall_before(look->step->now, due))
        return false;
    step_wake(look->step, due);
    return true;
}

// ---- what ---------------------------------------------------------------------------------------

// Ids of tasks that are made by the hundred begin alike, a few hundred each. They are as random as
// others behind that, and lie side by side in the indexes: what one transaction changes there is
// then a few nodes and not one for each task, now and whenever these tasks go on together.
static struct id next_id(struct look *look)
{
    struct id id = id_from_rand(look->step->rand);
    unsigned number = look->created++;
    if (number < LOOK_STRANGERS)
        return id;
    if ((number - LOOK_STRANGERS) % LOOK_KIN == 0)
        look->first_of_kin = id;
    memcpy(id.text, look->first_of_kin.text, LOOK_KIN_CHARS);
    return id;
}

void look_create(struct look *look, uint64_t slot, const char *node_id, Swarm__TaskState desired)
{
    struct step *step = look->step;
    struct arena arena; // of one task: a look may make any number of them
    arena_init(&arena, OBJECT_ARENA_BYTES);
    Swarm__Task *task =
        task_new(next_id(look), look->service, look->cluster, slot, node_id, step->now, &arena);
    task->desired_state = desired;
    step_create(step, task);
    arena_fini(&arena);
}

static bool lost_its_node(const struct look *look, const struct slot_task *task)
{
    enum node_use use = node_use(look->step, task->facts->node_id);
    return use == NODE_GONE || use == NODE_LEAVING;
}

void restart_slot(struct look *look, const struct slot *slot, bool stay)
{
    size_t wanted = slot_wanted_count(slot, look->goal);
    for (size_t i = 0; i < slot->count; i++) {
        const struct slot_task *task = &slot->tasks[i];
        if (!slot_task_wanted(task, look->goal))
            continue;
        bool done = look->goal == SWARM__TASK_STATE__COMPLETE &&
                    task->facts->state == SWARM__TASK_STATE__COMPLETE;
        if (ended_too_early(look, slot, task))
            continue;
        if (!done && (slot_task_ended(task) || (!stay && lost_its_node(look, task)))) {
            step_desire(look->step, object_id(task->object), SWARM__TASK_STATE__SHUTDOWN);
            // During an update another task may hold the slot already.
            if (wanted == 1 && restart_allowed(look, slot, task) && !PLANTED(NO_RESTART)) {
                look_create(look, slot->number, slot->node_id, SWARM__TASK_STATE__READY);
                if (PLANTED(TWICE))
                    look_create(look, slot->number, slot->node_id, SWARM__TASK_STATE__READY);
            }
            wanted--;
        } else if (task->facts->desired_state == SWARM__TASK_STATE__READY) {
            start_if_due(look, slot, task);
        }
    }
}
