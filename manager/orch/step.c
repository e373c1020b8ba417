#include "manager/orch/step.h"

#include "proto/base/check.h"

void step_begin(struct step *step, struct store *store, struct wall now, struct rand *rand,
                struct err *err)
{
    *step = (struct step){.now = now, .rand = rand, .err = err};
    arena_init(&step->arena, STEP_ARENA_BYTES);
    step->result = txn_begin(store, now, &step->txn, err);
}

int step_end(struct step *step)
{
    if (step->result) {
        if (step->txn)
            txn_abandon(step->txn);
    } else {
        int result = txn_commit(step->txn, NULL, step->err);
        step->result = result == TXN_EMPTY ? 0 : result;
    }
    step->txn = NULL;
    arena_fini(&step->arena);
    return step->result;
}

struct view step_view(const struct step *step)
{
    return txn_view(step->txn);
}

void step_wake(struct step *step, struct wall at)
{
    if (step->wake.ns == 0 || wall_before(at, step->wake))
        step->wake = at;
}

void step_follow(struct step *step)
{
    step->follow = true;
}

// Room for one more action. False after an error.
static bool room(struct step *step)
{
    if (!step->result)
        step->result = txn_turn(&step->txn, 1, step->err);
    step->writes++;
    return step->result == 0;
}

void step_create(struct step *step, Swarm__Task *task)
{
    if (room(step))
        step->result = txn_create(step->txn, OBJECT_TASK, task, step->err);
}

void step_desire(struct step *step, const char *task_id, Swarm__TaskState state)
{
    if (!room(step))
        return;
    Swarm__Task *task = txn_edit(step->txn, OBJECT_TASK, task_id);
    // A desired state never goes back (swarmkit 12).
    if (!task || task->desired_state >= state)
        return;
    task->desired_state = state;
    step->result = txn_update(step->txn, OBJECT_TASK, task, step->err);
}

void step_delete(struct step *step, const char *task_id)
{
    if (room(step) && view_get(step_view(step), OBJECT_TASK, task_id))
        step->result = txn_delete(step->txn, OBJECT_TASK, task_id, step->err);
}

void step_update_service(struct step *step, Swarm__Service *service)
{
    if (room(step))
        step->result = txn_update(step->txn, OBJECT_SERVICE, service, step->err);
}
