// One task on this node, from its assignment to its removal: a machine that is told what is wanted
// and what happened, and answers what to do next and what to report. Pure.
//
// It is level-triggered: task_step looks at what is wanted and what is known, never at how it came
// about, so that a restarted agent goes on wherever the last one stopped. Observed states only rise
// (swarmkit.md section 12).
#ifndef AGENT_TASK_TASK_H
#define AGENT_TASK_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/task/executor.h"
#include "agent/task/health.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/wire/types.pb-c.h"

// How often a container that will not stop is asked again before the task counts as failed, and how
// long between.
#define TASK_STOP_TRIES    3
#define TASK_STOP_PAUSE_NS (5 * NS_PER_S)
// Pause between attempts to remove; they never end.
#define TASK_REMOVE_PAUSE_NS (10 * NS_PER_S)

// What the executor is to do; one at a time.
enum task_op {
    TASK_OP_NONE,
    TASK_OP_FIND,
    TASK_OP_PREPARE,
    TASK_OP_START,
    TASK_OP_STOP,
    TASK_OP_REMOVE,
};

// Most host ports reported of one task; further ones are bound but not told.
#define TASK_PORTS_MAX 64

struct task_port {
    Swarm__PortConfig__Protocol protocol;
    uint32_t target;
    uint32_t published; // on the host
};

// What is reported of a task. Texts are the engine's: "accepted", "preparing", "prepared",
// "starting", "started", "finished", "shutdown".
struct task_status {
    Swarm__TaskState state;
    const char *message; // static
    char err[ERR_MESSAGE_BYTES];
    struct wall at; // when the state began
    bool has_container;
    struct executor_container container;
    int32_t exit_code;
    struct task_port ports[TASK_PORTS_MAX]; // bound on the host
    size_t ports_count;
};

// What task_step found to do. All of it is to be done.
struct task_asks {
    bool report;      // the status changed
    enum task_op op;  // begin this
    bool abort;       // give up the prepare under way
    bool check;       // run the health check
    bool gone;        // removed: the task may be freed
    struct mono wake; // step again then, at the latest; MONO_NEVER
};

struct task {
    struct task_status status;
    Swarm__TaskState desired;
    int64_t stop_grace_ns;
    struct health health;
    enum task_op op; // under way
    bool aborting;   // abort was asked of it
    bool forgotten;  // the assignment is gone
    bool removed;
    // Facts about the container.
    bool looked; // find was answered, or was not needed
    bool prepared;
    bool running;
    bool exited;
    bool unhealthy; // its health decided the end
    struct executor_exit exit;
    struct err failure; // of the last operation
    unsigned stop_tries;
    struct mono retry; // not before this
    bool changed;      // since the last step that reported
};

struct task_config {
    Swarm__TaskState desired;
    int64_t stop_grace_ns;
    // What an earlier life of the agent knew of it; NULL for a task that is new here.
    const struct task_status *known;
};

void task_init(struct task *task, const struct task_config *config);

// What its health check is, once its image is known. NULL: none. Changes nothing while it runs.
void task_set_health(struct task *task, const Swarm__HealthConfig *health);

// The executor cannot run it at all.
void task_reject(struct task *task, const struct err *err);

// The manager wants another state. Lower ones than before are ignored.
void task_want(struct task *task, Swarm__TaskState desired);

// The assignment is gone: stop, remove.
void task_forget(struct task *task);

// What the executor told (executor.h, events).
void task_found(struct task *task, enum executor_found found,
                const struct executor_container *container, const struct executor_exit *exit,
                struct mono now);
void task_prepared(struct task *task, const struct err *err);
void task_started(struct task *task, const struct executor_container *container,
                  const struct err *err, struct mono now);
void task_set_ports(struct task *task, const Swarm__PortConfig *const *ports, size_t count);
void task_exited(struct task *task, const struct executor_exit *exit);
void task_stopped(struct task *task, const struct err *err, struct mono now);
void task_removed(struct task *task, const struct err *err, struct mono now);
void task_checked(struct task *task, bool passed, struct mono now);

// Decides what to do next. Call after every event and at `wake`; what it asks for counts as begun.
struct task_asks task_step(struct task *task, struct mono now, struct wall wall);

// True for COMPLETE, SHUTDOWN, FAILED, REJECTED and what lies above.
bool task_state_final(Swarm__TaskState state);

#endif
