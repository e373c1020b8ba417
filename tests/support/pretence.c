#include "tests/support/pretence.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/base/loop_io.h"
#include "proto/base/str.h"

static struct loop *pretence_loop;

enum pretence { FIND, PREPARE, START, STOP, REMOVE };

struct executor_task {
    struct loop_timer timer;
    enum pretence asked;
    const struct executor_events *events;
    void *owner;
    char id[64];
};

// Answers from the loop, as events must.
static void answer(struct loop_timer *timer)
{
    struct executor_task *task = CONTAINER_OF(timer, struct executor_task, timer);
    const struct executor_events *events = task->events;
    struct executor_container box = {.pid = 4242};
    struct executor_exit exit = {.code = 143};
    str_copy(box.id, sizeof box.id, task->id);
    switch (task->asked) {
    case FIND:
        events->found(task->owner, EXECUTOR_ABSENT, NULL, NULL);
        break;
    case PREPARE:
        events->prepared(task->owner, NULL);
        break;
    case START:
        printf("started %s\n", task->id);
        fflush(stdout);
        events->started(task->owner, &box, NULL, 0, NULL);
        break;
    case STOP:
        events->exited(task->owner, &exit);
        events->stopped(task->owner, NULL);
        break;
    case REMOVE:
        events->removed(task->owner, NULL);
        break;
    }
}

static struct executor_task *pretend_open(struct executor *executor,
                                          const struct executor_order *order,
                                          const struct executor_events *events, void *owner,
                                          struct err *err)
{
    (void)executor;
    (void)err;
    struct executor_task *task = MEM_NEW(struct executor_task);
    task->events = events;
    task->owner = owner;
    str_copy(task->id, sizeof task->id, order->task->id);
    loop_timer_init(&task->timer, pretence_loop, answer);
    return task;
}

static void ask(struct executor_task *task, enum pretence what)
{
    task->asked = what;
    loop_timer_start(&task->timer, 1);
}

static void pretend_find(struct executor_task *task)
{
    ask(task, FIND);
}
static void pretend_prepare(struct executor_task *task)
{
    ask(task, PREPARE);
}
static void pretend_abort(struct executor_task *task)
{
    (void)task; // it is nearly done
}
static void pretend_start(struct executor_task *task)
{
    ask(task, START);
}
static void pretend_stop(struct executor_task *task, int64_t grace_ns)
{
    (void)grace_ns;
    ask(task, STOP);
}
static void pretend_remove(struct executor_task *task)
{
    ask(task, REMOVE);
}
static void pretend_close(struct executor_task *task)
{
    loop_timer_stop(&task->timer);
    free(task);
}

static const struct executor_class pretend = {
    .open = pretend_open,
    .find = pretend_find,
    .prepare = pretend_prepare,
    .abort = pretend_abort,
    .start = pretend_start,
    .stop = pretend_stop,
    .remove = pretend_remove,
    .close = pretend_close,
};

struct executor pretence_executor(struct loop *loop)
{
    pretence_loop = loop;
    return (struct executor){.class = &pretend};
}
