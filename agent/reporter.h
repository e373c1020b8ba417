// Which task statuses a manager still has to be told: the newest of each task only, one at a time,
// all of them again in each new session (swarmkit.md sections 9.3 and 11). Pure.
#ifndef AGENT_REPORTER_H
#define AGENT_REPORTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/task/task.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

// How long to wait before a report that failed is sent again.
#define REPORTER_PAUSE_NS NS_PER_S

struct reporter {
    struct map entries;    // task id -> struct report
    struct list waiting;   // struct report, oldest first
    bool busy;             // one was told and is not answered yet
    struct report *flying; // which; NULL when it was forgotten meanwhile
    bool flying_again;     // it changed meanwhile
};

void reporter_init(struct reporter *reporter);
void reporter_fini(struct reporter *reporter);

// The task's status is now this; it is to be told. A lower state than the one kept is dropped.
void reporter_set(struct reporter *reporter, const char *task_id, const struct task_status *status);

// The task is gone: nothing of it is told any more.
void reporter_forget(struct reporter *reporter, const char *task_id);

// A new session: all is to be told again.
void reporter_restart(struct reporter *reporter);

// What to tell next, or NULL when nothing waits or one is under way. It counts as under way until
// reporter_answered. *task_id is valid until the next change.
const struct task_status *reporter_next(struct reporter *reporter, const char **task_id);

// The manager has it, or not: then it waits again, behind the others.
void reporter_answered(struct reporter *reporter, bool accepted);

size_t reporter_waiting(const struct reporter *reporter);

#endif
