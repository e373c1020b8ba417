#include "agent/task/task.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define STATE(name) SWARM__TASK_STATE__##name

// What a state without an end is waiting for, and what follows when that is so. The machine walks
// up this table; only shutting down, failing and removing leave it.
struct row {
    Swarm__TaskState state;
    // The operation that leads out of here, TASK_OP_NONE for states that are only said.
    enum task_op op;
    // True when nothing is left to do in this state.
    bool (*done)(const struct task *task);
    Swarm__TaskState next;
    const char *message; // of the next state
    Swarm__TaskState failed;
};

static bool always(const struct task *task)
{
    (void)task;
    return true;
}

static bool is_prepared(const struct task *task)
{
    return task->prepared;
}

// A prepared task waits here until it is wanted to run (updates that start the new one first,
// restart delays); a container lost to a reboot meanwhile is made again.
static bool may_start(const struct task *task)
{
    return task->prepared && task->desired > STATE(READY);
}

// RUNNING is only said of a task whose health check passed.
static bool is_up(const struct task *task)
{
    return task->running &&
           (task->health.state == HEALTH_NONE || task->health.state == HEALTH_HEALTHY);
}

static bool never(const struct task *task)
{
    (void)task;
    return false;
}

static const struct row rows[] = {
    {STATE(ASSIGNED), TASK_OP_NONE, always, STATE(ACCEPTED), "accepted", STATE(REJECTED)},
    {STATE(ACCEPTED), TASK_OP_NONE, always, STATE(PREPARING), "preparing", STATE(REJECTED)},
    {STATE(PREPARING), TASK_OP_PREPARE, is_prepared, STATE(READY), "prepared", STATE(REJECTED)},
    {STATE(READY), TASK_OP_PREPARE, may_start, STATE(STARTING), "starting", STATE(REJECTED)},
    {STATE(STARTING), TASK_OP_START, is_up, STATE(RUNNING), "started", STATE(FAILED)},
    {STATE(RUNNING), TASK_OP_NONE, never, STATE(COMPLETE), "finished", STATE(FAILED)},
};

static const struct row *row_of(const struct task *task)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].state == task->status.state)
            return &rows[i];
    return NULL;
}

bool task_state_final(Swarm__TaskState state)
{
    return state >= STATE(COMPLETE);
}

void task_init(struct task *task, const struct task_config *config)
{
    *task = (struct task){
        .desired = config->desired,
        .stop_grace_ns = config->stop_grace_ns,
        .status = {.state = STATE(ASSIGNED), .message = ""},
        .looked = true,
    };
    health_init(&task->health, NULL);
    if (!config->known)
        return;
    task->status = *config->known;
    if (task->status.state < STATE(ASSIGNED))
        task->status.state = STATE(ASSIGNED);
    task->looked = task->status.state < STATE(PREPARING) || task_state_final(task->status.state);
    task->changed = true; // all that is known is told again in every session
}

static void go(struct task *task, Swarm__TaskState state, const char *message, struct wall wall)
{
    CHECK(state > task->status.state); // observed states only rise
    task->status.state = state;
    if (message)
        task->status.message = message;
    task->status.at = wall;
    task->changed = true;
}

// Failures keep the message of the last state and say why beside it.
static void fail(struct task *task, Swarm__TaskState state, const char *why, struct wall wall)
{
    str_copy(task->status.err, sizeof task->status.err, why);
    go(task, state, NULL, wall);
}

void task_set_health(struct task *task, const Swarm__HealthConfig *health)
{
    if (!task->running)
        health_init(&task->health, health);
}

void task_reject(struct task *task, const struct err *err)
{
    task->failure = *err;
}

void task_want(struct task *task, Swarm__TaskState desired)
{
    if (desired > task->desired)
        task->desired = desired;
}

void task_forget(struct task *task)
{
    task->forgotten = true;
    task_want(task, STATE(SHUTDOWN));
}

static void op_ends(struct task *task, enum task_op op)
{
    CHECK(task->op == op);
    task->op = TASK_OP_NONE;
    task->aborting = false;
}

static void set_container(struct task *task, const struct executor_container *container)
{
    task->status.has_container = true;
    task->status.container = *container;
    task->changed = true;
}

void task_found(struct task *task, enum executor_found found,
                const struct executor_container *container, const struct executor_exit *exit,
                struct mono now)
{
    op_ends(task, TASK_OP_FIND);
    task->looked = true;
    switch (found) {
    case EXECUTOR_ABSENT:
        if (task->status.state >= STATE(STARTING))
            err_set(&task->failure, ERR_DATA_LOSS,
                    "the task's container was lost while the agent was away");
        return;
    case EXECUTOR_CREATED:
        task->prepared = true;
        if (task->status.state == STATE(RUNNING))
            err_set(&task->failure, ERR_DATA_LOSS,
                    "the task's container was lost while the agent was away");
        return;
    case EXECUTOR_RUNNING:
        task->prepared = true;
        task->running = true;
        set_container(task, container);
        if (container->health == HEALTH_NONE)
            health_start(&task->health, now);
        else
            health_resume(&task->health, container->health, container->health_failing,
                          container->age_ns, now);
        return;
    case EXECUTOR_EXITED:
        task->prepared = true;
        set_container(task, container);
        task_exited(task, exit);
        return;
    }
    UNREACHABLE("what an executor finds");
}

void task_prepared(struct task *task, const struct err *err)
{
    op_ends(task, TASK_OP_PREPARE);
    if (!err)
        task->prepared = true;
    else if (err->code != ERR_CANCELLED || task->desired < STATE(SHUTDOWN))
        task->failure = *err;
}

void task_started(struct task *task, const struct executor_container *container,
                  const struct err *err, struct mono now)
{
    op_ends(task, TASK_OP_START);
    if (container)
        set_container(task, container);
    if (err) {
        task->failure = *err;
        return;
    }
    // It may have ended already: `exited` comes in any order with this.
    task->running = !task->exited;
    if (task->running)
        health_start(&task->health, now);
}

void task_set_ports(struct task *task, const Swarm__PortConfig *const *ports, size_t count)
{
    struct task_status *status = &task->status;
    status->ports_count = count < TASK_PORTS_MAX ? count : TASK_PORTS_MAX;
    for (size_t i = 0; i < status->ports_count; i++)
        status->ports[i] = (struct task_port){.protocol = ports[i]->protocol,
                                              .target = ports[i]->target_port,
                                              .published = ports[i]->published_port};
    task->changed = true;
}

void task_exited(struct task *task, const struct executor_exit *exit)
{
    task->running = false;
    task->exited = true;
    task->exit = *exit;
    task->status.exit_code = exit->code;
    task->status.container.pid = 0;
    health_stop(&task->health);
}

void task_stopped(struct task *task, const struct err *err, struct mono now)
{
    op_ends(task, TASK_OP_STOP);
    if (!err) {
        task->running = false;
        task->exited = true;
        health_stop(&task->health);
        return;
    }
    task->stop_tries++;
    task->retry = mono_add(now, TASK_STOP_PAUSE_NS);
    if (task->stop_tries >= TASK_STOP_TRIES) {
        task->failure = *err;
        err_wrap(&task->failure, "the container cannot be stopped");
    }
}

void task_removed(struct task *task, const struct err *err, struct mono now)
{
    op_ends(task, TASK_OP_REMOVE);
    task->removed = !err;
    if (err)
        task->retry = mono_add(now, TASK_REMOVE_PAUSE_NS);
}

void task_checked(struct task *task, bool passed, struct mono now)
{
    if (task->running)
        health_result(&task->health, passed, now);
}

// ---- deciding ----------------------------------------------------------------------------------

static void begin(struct task *task, enum task_op op, struct task_asks *asks)
{
    CHECK(task->op == TASK_OP_NONE);
    task->op = op;
    asks->op = op;
}

// The words users know from the engine, with what is known of the cause behind them.
static void finish(struct task *task, struct wall wall)
{
    char why[ERR_MESSAGE_BYTES];
    const char *cause = task->unhealthy         ? "unhealthy container"
                        : task->exit.oom_killed ? "out of memory"
                                                : task->exit.message;
    if (task->exit.code == 0 && !task->unhealthy) {
        // A container found ended after a restart goes through the states it missed in one step.
        go(task, STATE(COMPLETE), "finished", wall);
        return;
    }
    if (task->exit.code == 0)
        str_format(why, sizeof why, "%s", cause);
    else
        str_format(why, sizeof why, "task: non-zero exit (%d)%s%s", (int)task->exit.code,
                   *cause ? ": " : "", cause);
    fail(task, STATE(FAILED), why, wall);
}

// Ends an attempt that is no longer wanted. True when the task is final.
static bool shut_down(struct task *task, struct mono now, struct wall wall, struct task_asks *asks)
{
    if (task->op == TASK_OP_PREPARE && !task->aborting) {
        task->aborting = true;
        asks->abort = true;
    }
    if (task->op != TASK_OP_NONE)
        return false;
    bool may_run = task->running || (task->prepared && !task->exited);
    if (!may_run) {
        go(task, STATE(SHUTDOWN), "shutdown", wall);
        return true;
    }
    if (mono_before(now, task->retry)) {
        asks->wake = task->retry;
        return false;
    }
    begin(task, TASK_OP_STOP, asks);
    return false;
}

// A container whose health check failed too often is stopped; its exit then ends the task.
static void stop_unhealthy(struct task *task, struct mono now, struct task_asks *asks)
{
    task->unhealthy = true;
    if (task->op != TASK_OP_NONE)
        return;
    if (mono_before(now, task->retry))
        asks->wake = task->retry;
    else
        begin(task, TASK_OP_STOP, asks);
}

static void watch_health(struct task *task, struct mono now, struct task_asks *asks)
{
    if (!task->running)
        return;
    if (health_take_due(&task->health, now))
        asks->check = true;
    if (mono_before(task->health.due, asks->wake))
        asks->wake = task->health.due;
}

// One move up the table, or out of it. True when there may be more to do at once.
static bool advance(struct task *task, struct mono now, struct wall wall, struct task_asks *asks)
{
    const struct row *row = row_of(task);
    if (!row)
        return false; // final
    if (task->failure.code != ERR_OK) {
        fail(task, row->failed, task->failure.message, wall);
        return true;
    }
    if (!task->looked) {
        if (task->op == TASK_OP_NONE)
            begin(task, TASK_OP_FIND, asks);
        return false;
    }
    if (task->desired >= STATE(SHUTDOWN) && !(task->exited && task->unhealthy))
        return shut_down(task, now, wall, asks);
    if (task->exited) {
        // An operation under way ends by itself; its event must find the task in a final state.
        finish(task, wall);
        return true;
    }
    if (task->running && task->health.state == HEALTH_UNHEALTHY) {
        stop_unhealthy(task, now, asks);
        return false;
    }
    if (row->done(task)) {
        go(task, row->next, row->message, wall);
        return true;
    }
    bool needs_op = row->op == TASK_OP_START     ? !task->running
                    : row->op == TASK_OP_PREPARE ? !task->prepared
                                                 : false;
    if (needs_op && task->op == TASK_OP_NONE)
        begin(task, row->op, asks);
    return false;
}

static void take_away(struct task *task, struct mono now, struct task_asks *asks)
{
    if (task->removed) {
        asks->gone = true;
    } else if (task->op == TASK_OP_NONE) {
        if (mono_before(now, task->retry))
            asks->wake = task->retry;
        else
            begin(task, TASK_OP_REMOVE, asks);
    }
}

struct task_asks task_step(struct task *task, struct mono now, struct wall wall)
{
    struct task_asks asks = {.wake = MONO_NEVER};
    // Every move goes up a state, so the walk ends.
    for (size_t moves = 0; advance(task, now, wall, &asks); moves++)
        CHECK(moves <= COUNT_OF(rows) + 1);
    if (task->forgotten && task_state_final(task->status.state))
        take_away(task, now, &asks);
    else if (!task_state_final(task->status.state))
        watch_health(task, now, &asks);
    asks.report = task->changed;
    task->changed = false;
    return asks;
}
