// The tasks of this node: what the dispatcher assigned, carried out by an executor, told through a
// reporter, and remembered across restarts (swarmkit.md sections 9.4, 11 and 12).
//
// It makes no decisions about a single task (agent/task/task.h does) and touches nothing itself:
// time comes from its config, containers are the executor's, and what is to be remembered is handed
// out by worker_save. One loop's thread.
#ifndef AGENT_WORKER_H
#define AGENT_WORKER_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/reporter.h"
#include "agent/task/executor.h"
#include "agent/task/template.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/wire/dispatcher.pb-c.h"

// Most tasks, and most secrets or configs, that a node takes in hand.
#define WORKER_TASKS_MAX   16384
#define WORKER_OBJECTS_MAX 16384
// Longest task id taken; ours have 25 characters.
#define WORKER_ID_CHARS_MAX 128
// Memory for one task's expanded spec.
#define WORKER_TASK_BYTES (8u << 20)

struct worker;

struct worker_config {
    struct executor *executor;
    struct executor *attacher; // of tasks of runtime "attachment"; NULL: the executor is theirs too
    struct reporter *reporter;
    struct template_node node; // borrowed for ever
    struct mono (*now)(void *owner);
    struct wall (*wall)(void *owner);
    // Something changed: worker_run is due as soon as possible, but not inside this call. Also
    // asked for when there is something to save or to report.
    void (*wake)(void *owner);
    // The executor's side of a task is about to be closed: whoever reads its logs stops. May be
    // NULL.
    void (*closing)(void *owner, const char *task_id);
    void *owner;
};

struct worker *worker_new(const struct worker_config *config);

// Forgets all tasks; their containers run on and are found again.
void worker_free(struct worker *worker);

// A task of an earlier life, before the first worker_assign. Tasks that may have a container are
// looked after at once; the others wait for the first assignments, which bring their secrets.
void worker_restore(struct worker *worker, const Swarm__Task *task,
                    const Swarm__TaskStatus *status);

// Applies an assignments message. A complete one replaces everything: tasks it does not list are
// shut down and removed. What cannot be used (an assignment without an id, too many) is left out
// and told in *err with the first reason; the rest is applied all the same.
int worker_assign(struct worker *worker, const Swarm__AssignmentsMessage *message, struct err *err);

// Nothing is assigned any more: every task is killed, without a grace period, and removed. Go on
// with worker_run until none is left.
void worker_discard(struct worker *worker);

// Goes on with every task that has something to do. Returns when to call it again at the latest.
struct mono worker_run(struct worker *worker);

// What is to be remembered since the last call, task by task: `task` and `status` for one that
// changed, NULL both for one that is gone. Valid during the call of `put`.
void worker_save(struct worker *worker,
                 void (*put)(void *owner, const char *task_id, const Swarm__Task *task,
                             const Swarm__TaskStatus *status),
                 void *owner);

size_t worker_count(const struct worker *worker);

// The executor's side of a task, for logs and inspection; NULL for none, and for one that the
// executor does not run.
struct executor_task *worker_find(const struct worker *worker, const char *task_id);
// Walks the tasks in the order they came: start with *position 0; false at the end.
struct worker_view {
    const Swarm__Task *task;     // as assigned
    struct executor_task *hands; // NULL: none yet
    Swarm__TaskState state;
};
bool worker_next(const struct worker *worker, size_t *position, struct worker_view *out);
// The task as assigned, NULL for none.
const Swarm__Task *worker_task(const struct worker *worker, const char *task_id);

#endif
