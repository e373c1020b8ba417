// The scheduler: which pending task goes to which node, and why it cannot (swarmkit.md section 15).
//
// Pure. It keeps sums over the nodes' tasks, fed from a view at first and from store events then,
// so that a run costs nodes times groups of pending tasks, not tasks times nodes: tasks of one
// service and spec version are one group, decided together. Setting a task is idempotent: its own
// decisions count at once and may come back later as events.
#ifndef MANAGER_SCHED_SCHED_H
#define MANAGER_SCHED_SCHED_H

#include "manager/store/txn.h"
#include "manager/store/watch.h"

struct sched;

// When to run: this long after the last event that may help a task, but no later than that after
// the first (swarmkit.md section 15).
#define SCHED_DELAY_MS     50
#define SCHED_DELAY_MS_MAX 1000

// A node that failed this often with one service and spec version within that time is avoided.
#define SCHED_FAILURES_MAX      5
#define SCHED_FAILURE_WINDOW_NS (5 * NS_PER_MIN)

// Why a node cannot take a task; the order is the order of the checks.
enum sched_filter {
    FILTER_READY,
    FILTER_RESOURCE,
    FILTER_PLUGIN,
    FILTER_CONSTRAINT,
    FILTER_PLATFORM,
    FILTER_HOST_PORT,
    FILTER_MAX_REPLICAS,
    FILTER_VOLUMES,
    SCHED_FILTERS, // how many; also "passes all"
};

struct sched *sched_new(void);
void sched_free(struct sched *sched);

// Forgets everything and takes the state of a view, at leader start or after lost events. Events
// from before that view must not follow.
void sched_load(struct sched *sched, struct view view, struct wall now);

// One event of a watch on nodes, tasks and services (others are ignored). `now` dates failures,
// `tick` sets when to run.
void sched_event(struct sched *sched, const struct watch_event *event, struct wall now,
                 struct mono tick);

// When sched_run is wanted; MONO_NEVER when nothing waits or nothing changed.
struct mono sched_due(const struct sched *sched);

enum sched_verdict {
    SCHED_ASSIGN,    // to `node_id`
    SCHED_CONFIRM,   // a preassigned task fits its node
    SCHED_EXPLAIN,   // stays pending; `err` says why
    SCHED_SHUT_DOWN, // of an older spec version, and not wanted any more
};

struct sched_decision {
    enum sched_verdict verdict;
    const char *task_id;
    const char *node_id;         // ASSIGN, CONFIRM
    const char *err;             // EXPLAIN
    struct generic_set *generic; // ASSIGN, CONFIRM: items chosen; NULL for none
};

// Decides all groups. The decisions belong to the scheduler until the next call that changes it.
// A task that stays pending for the same reason as before has no decision.
const struct sched_decision *sched_run(struct sched *sched, struct wall now, size_t *count);

// Writes one decision into a transaction, which must have room for one action. The task may have
// moved on, or its node have gone, since the scheduler heard of them: then nothing is written, *ok
// is false, and the task is decided again. Errors are those of txn_update.
int sched_write(struct sched *sched, const struct sched_decision *decision, struct txn *txn,
                struct wall now, bool *ok, struct err *err);

// Runs and writes everything that was decided, in as many transactions as it takes. Nobody waits
// for them: when they are lost, so is leadership, and with it this scheduler. On error some
// decisions were not written: load again.
int sched_run_and_write(struct sched *sched, struct store *store, struct wall now, struct mono tick,
                        struct err *err);

// Forgets the decisions about a task whose transaction was lost, going by the view.
void sched_resync(struct sched *sched, struct view view, const char *task_id, struct wall now,
                  struct mono tick);

// The text of "no suitable node (...)" inside the parentheses: for each filter how many nodes it
// turned away, most frequent first. `out` is always terminated.
void sched_explain(const size_t counts[SCHED_FILTERS], char *out, size_t size);

// Tasks waiting for a node.
size_t sched_pending(const struct sched *sched);

#endif
