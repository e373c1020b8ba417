// Updates and rollbacks (swarmkit 16), level-triggered: which slots are done, in hand or still to
// do follows from the versions, states and times of their tasks, so a new leader goes on in the
// middle.
#include <inttypes.h>

#include "manager/orch/look.h"
#include "manager/orch/task.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"

// Room to compare one task with its service.
#define COMPARE_ARENA_BYTES OBJECT_ARENA_BYTES

typedef Swarm__UpdateStatus__UpdateState update_state;
#define STATE(name) SWARM__UPDATE_STATUS__UPDATE_STATE__##name

// The whole update as the tasks show it.
struct progress {
    struct update_settled how;
    struct wall started;
    uint64_t total;    // slots this update is about
    uint64_t dirty;    // slots that only have tasks of another spec
    uint64_t in_hand;  // slots whose new task is not through yet
    uint64_t unclean;  // slots with a task to be shut down besides the new one
    uint64_t failures; // tasks of this update that ended early
    const char *failed_id;
    struct wall newest_running; // when the last new task began to run
    bool waiting;               // some new task does not run yet
};

static bool is_dirty(const struct look *look, const struct slot_task *task)
{
    // The usual case needs no comparison: the versions agree.
    const Swarm__Version *version = look->service->spec_version;
    if (version && task->facts->has_spec_version && task->facts->spec_version == version->index)
        return false;
    struct arena arena;
    arena_init(&arena, COMPARE_ARENA_BYTES);
    Swarm__Task *message = object_unpack(task->object, &arena);
    CHECK(message);
    const char *node_id = task->facts->node_id;
    Swarm__Node *node = str_empty(node_id) ? NULL : node_unpack(look->step, node_id, &arena);
    bool dirty = task_is_dirty(look->service, message, node, &arena);
    arena_fini(&arena);
    return dirty;
}

static bool runs(const struct slot_task *task)
{
    return task->facts->state == SWARM__TASK_STATE__RUNNING;
}

// ---- failures -----------------------------------------------------------------------------------

// Ended by itself. What we shut down ends in SHUTDOWN; a lost node is not the new version's fault.
static bool ended_early(const struct slot_task *task)
{
    return task->facts->state == SWARM__TASK_STATE__COMPLETE ||
           task->facts->state == SWARM__TASK_STATE__FAILED ||
           task->facts->state == SWARM__TASK_STATE__REJECTED;
}

// Whether it ended before or soon after it began to run. Of what ended under another leader nobody
// knows when it began: its whole life stands in for it.
static bool ended_soon(const struct look *look, const struct slot_task *task, int64_t monitor_ns)
{
    const struct run *run =
        look->step->runs ? map_get_str(look->step->runs, object_id(task->object)) : NULL;
    if (run)
        return run->ns <= monitor_ns;
    return task->facts->status_ns - task->facts->created_ns <= monitor_ns + look->restart.delay_ns;
}

// Tasks of the present spec, made by this update, that failed it.
static void count_failures(const struct look *look, const struct slot *slot,
                           struct progress *progress)
{
    for (size_t i = 0; i < slot->count; i++) {
        const struct slot_task *task = &slot->tasks[i];
        if (task->facts->created_ns < progress->started.ns || !ended_early(task))
            continue;
        if (!ended_soon(look, task, progress->how.monitor_ns) || is_dirty(look, task))
            continue;
        progress->failures++;
        progress->failed_id = object_id(task->object);
    }
}

// ---- one slot -----------------------------------------------------------------------------------

struct slot_sight {
    const struct slot_task *clean; // newest wanted task of the present spec, NULL: none
    size_t dirty;                  // wanted tasks of another spec
};

static struct slot_sight sight_of(const struct look *look, const struct slot *slot)
{
    struct slot_sight sight = {0};
    for (size_t i = 0; i < slot->count; i++) {
        const struct slot_task *task = &slot->tasks[i];
        if (!slot_task_wanted(task, look->goal) || slot_task_ended(task))
            continue;
        if (is_dirty(look, task))
            sight.dirty++;
        else
            sight.clean = task;
    }
    return sight;
}

// The new task has the slot: those it replaces go, at once or when it runs.
static void retire_others(struct look *look, const struct slot *slot, const struct slot_task *clean,
                          const struct update_settled *how)
{
    if (how->order == SWARM__UPDATE_CONFIG__UPDATE_ORDER__START_FIRST && !runs(clean))
        return;
    for (size_t i = 0; i < slot->count; i++)
        if (&slot->tasks[i] != clean && slot_task_wanted(&slot->tasks[i], look->goal))
            step_desire(look->step, object_id(slot->tasks[i].object), SWARM__TASK_STATE__SHUTDOWN);
}

static void look_at_slot(struct look *look, const struct slot *slot, struct progress *progress)
{
    struct slot_sight sight = sight_of(look, slot);
    bool dead = slot_wanted_count(slot, look->goal) == 0;
    // A slot that is over for good is still brought to a new spec.
    bool dirty = !sight.clean && (sight.dirty > 0 || (dead && is_dirty(look, slot_newest(slot))));
    bool ours = sight.clean && sight.clean->facts->created_ns >= progress->started.ns &&
                progress->started.ns > 0;
    progress->dirty += dirty;
    progress->total += dirty || ours;
    if (progress->started.ns > 0)
        count_failures(look, slot, progress);
    if (!sight.clean)
        return;
    if (slot_wanted_count(slot, look->goal) > 1) {
        progress->unclean++;
        retire_others(look, slot, sight.clean, &progress->how);
    }
    if (!ours)
        return;
    if (!runs(sight.clean)) {
        progress->in_hand++;
        progress->waiting = true;
        return;
    }
    struct wall running = {sight.clean->facts->status_ns};
    struct wall next = wall_add(running, progress->how.delay_ns);
    if (wall_before(progress->newest_running, running))
        progress->newest_running = running;
    if (wall_before(look->step->now, next) || slot_wanted_count(slot, look->goal) > 1) {
        progress->in_hand++;
        step_wake(look->step, next);
    }
}

// The one task that goes on until the new one runs: start-first keeps the newest that serves. Those
// that never came to run, as when one update follows on the heels of another, serve nobody.
static const struct slot_task *keeper(const struct look *look, const struct slot *slot,
                                      const struct update_settled *how)
{
    const struct slot_task *kept = NULL;
    if (how->order != SWARM__UPDATE_CONFIG__UPDATE_ORDER__START_FIRST)
        return NULL;
    for (size_t i = 0; i < slot->count; i++)
        if (slot_task_wanted(&slot->tasks[i], look->goal) && runs(&slot->tasks[i]))
            kept = &slot->tasks[i];
    return kept;
}

// Puts a task of the present spec into a slot that has none.
static void begin_slot(struct look *look, const struct slot *slot, const struct update_settled *how)
{
    const struct slot_task *kept = keeper(look, slot, how);
    for (size_t i = 0; i < slot->count; i++)
        if (&slot->tasks[i] != kept && slot_task_wanted(&slot->tasks[i], look->goal))
            step_desire(look->step, object_id(slot->tasks[i].object), SWARM__TASK_STATE__SHUTDOWN);
    look_create(look, slot->number, slot->node_id, kept ? look->goal : SWARM__TASK_STATE__READY);
}

// ---- the status ---------------------------------------------------------------------------------

// The service as the transaction has it now: earlier writes of this step must not be undone.
static Swarm__Service *edit(struct look *look)
{
    return look->step->result ? NULL : txn_edit(look->step->txn, OBJECT_SERVICE, look->service->id);
}

static void set_status(struct look *look, Swarm__Service *service, update_state state,
                       const char *message, bool begin, bool end)
{
    struct arena *arena = txn_arena(look->step->txn);
    if (!service->update_status || begin) {
        service->update_status = wire_new(&swarm__update_status__descriptor, arena);
        CHECK(service->update_status);
        service->update_status->started_at = timestamp_new(look->step->now, arena);
    }
    service->update_status->state = state;
    service->update_status->message = arena_strdup(arena, message);
    if (end)
        service->update_status->completed_at = timestamp_new(look->step->now, arena);
    step_update_service(look->step, service);
}

static bool rolling_back(const struct look *look)
{
    return look->service->update_status &&
           look->service->update_status->state == STATE(ROLLBACK_STARTED);
}

// Goes back to the spec before (swarmkit 16.1).
static void roll_back(struct look *look, const char *message)
{
    Swarm__Service *service = edit(look);
    if (!service)
        return;
    CHECK(service->previous_spec);
    service->spec = service->previous_spec;
    service->spec_version = service->previous_spec_version;
    service->previous_spec = NULL;
    service->previous_spec_version = NULL;
    set_status(look, service, STATE(ROLLBACK_STARTED), message, true, false);
    step_wake(look->step, look->step->now); // the slots look different now
}

static void pause(struct look *look, const char *message)
{
    Swarm__Service *service = edit(look);
    if (service)
        set_status(look, service, rolling_back(look) ? STATE(ROLLBACK_PAUSED) : STATE(PAUSED),
                   message, false, false);
}

// True when too much failed and the update has stopped.
static bool give_up(struct look *look, const struct progress *progress)
{
    if (progress->failures == 0 || progress->total == 0 ||
        progress->how.failure_action == SWARM__UPDATE_CONFIG__FAILURE_ACTION__CONTINUE)
        return false;
    double ratio = (double)progress->failures / (double)progress->total;
    if (ratio <= (double)progress->how.failure_ratio_max)
        return false;
    const char *why = arena_printf(
        &look->step->arena, "due to failure or early termination of task %s", progress->failed_id);
    bool back = progress->how.failure_action == SWARM__UPDATE_CONFIG__FAILURE_ACTION__ROLLBACK &&
                !rolling_back(look) && look->service->previous_spec;
    if (back)
        roll_back(look, arena_printf(&look->step->arena, "update rolled back %s", why));
    else
        pause(look, arena_printf(&look->step->arena, "%s paused %s",
                                 rolling_back(look) ? "rollback" : "update", why));
    return true;
}

// Everything is new: after watching over it for a while the update is complete.
static void complete_if_due(struct look *look, const struct progress *progress)
{
    if (progress->waiting || progress->unclean > 0)
        return;
    int64_t watch_ns = progress->how.delay_ns >= progress->how.monitor_ns
                           ? progress->how.delay_ns + NS_PER_S
                           : progress->how.monitor_ns;
    struct wall due = wall_add(progress->newest_running, watch_ns);
    if (progress->newest_running.ns > 0 && wall_before(look->step->now, due)) {
        step_wake(look->step, due);
        return;
    }
    Swarm__Service *service = edit(look);
    if (!service)
        return;
    bool back = rolling_back(look);
    set_status(look, service, back ? STATE(ROLLBACK_COMPLETED) : STATE(COMPLETED),
               back ? "rollback completed" : "update completed", false, true);
}

void update_look(struct look *look, const struct slots *slots)
{
    const Swarm__UpdateStatus *status = look->service->update_status;
    update_state state = status ? status->state : STATE(UNKNOWN);
    if (state == STATE(PAUSED) || state == STATE(ROLLBACK_PAUSED))
        return;
    bool under_way = state == STATE(UPDATING) || state == STATE(ROLLBACK_STARTED);
    struct progress progress = {
        .how = defaults_update(state == STATE(ROLLBACK_STARTED) ? look->service->spec->rollback
                                                                : look->service->spec->update),
        .started = under_way ? timestamp_to_wall(status->started_at) : (struct wall){0},
    };
    for (size_t i = 0; i < slots->count; i++)
        look_at_slot(look, &slots->list[i], &progress);
    if (under_way || progress.dirty > 0 || progress.unclean > 0)
        step_follow(look->step);
    if (under_way && give_up(look, &progress))
        return;
    if (progress.dirty == 0) {
        if (under_way)
            complete_if_due(look, &progress);
        return;
    }
    if (!under_way) {
        Swarm__Service *service = edit(look);
        if (service)
            set_status(look, service, STATE(UPDATING), "update in progress", true, false);
    }
    uint64_t room = progress.how.parallelism == 0 ? progress.dirty
                    : progress.how.parallelism > progress.in_hand
                        ? progress.how.parallelism - progress.in_hand
                        : 0;
    for (size_t i = 0; i < slots->count && room > 0; i++) {
        const struct slot *slot = &slots->list[i];
        struct slot_sight sight = sight_of(look, slot);
        bool dead = slot_wanted_count(slot, look->goal) == 0;
        if (sight.clean || (sight.dirty == 0 && !(dead && is_dirty(look, slot_newest(slot)))))
            continue;
        begin_slot(look, slot, &progress.how);
        room--;
    }
}
