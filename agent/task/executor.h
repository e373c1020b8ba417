// What tasks ask of the machine, and what it tells them: the seam between the task machine and
// containers, images, volumes and networks.
//
// An implementation embeds struct executor first and fills in its class; every running task holds
// one struct executor_task of the implementation's. All calls are made on one loop's thread. No
// event runs inside the call that causes it. Of prepare, start, stop and remove at most one is
// under way per task, and each ends in exactly one event, unless the task is closed before.
#ifndef AGENT_TASK_EXECUTOR_H
#define AGENT_TASK_EXECUTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/task/health.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/wire/objects.pb-c.h"
#include "proto/wire/types.pb-c.h"

#define EXECUTOR_ID_BYTES      129 // of a container, terminator included
#define EXECUTOR_PORTS_MAX     256
#define EXECUTOR_MESSAGE_BYTES 256

struct executor_container {
    char id[EXECUTOR_ID_BYTES];
    int32_t pid; // 0: none
    // Of one found running: what an earlier life learned from its checks, and how long it has run.
    // HEALTH_NONE: nothing.
    enum health_state health;
    int32_t health_failing;
    int64_t age_ns;
};

struct executor_exit {
    int32_t code; // 0..255; -1 when nobody knows
    bool oom_killed;
    char message[EXECUTOR_MESSAGE_BYTES]; // "" or what the runtime had to say
};

// What is there of a task from before the agent's restart.
enum executor_found {
    EXECUTOR_ABSENT,
    EXECUTOR_CREATED, // prepared, never started
    EXECUTOR_RUNNING,
    EXECUTOR_EXITED,
};

// A secret or config as the task's container sees it: the reference from the spec with the data,
// which are expanded already where the spec asks for a template. Borrowed like the order.
struct executor_file {
    const Swarm__SecretReference *secret; // one of these two is set
    const Swarm__ConfigReference *config;
    const void *data;
    size_t size;
};

// All that is to be done, given once. Borrowed during executor_open; copy what is needed longer.
struct executor_order {
    const Swarm__Task *task; // settled, its templates expanded
    const struct executor_file *files;
    size_t files_count;
};

// What the implementation tells. `owner` is what executor_open was given; err is NULL on success.
struct executor_events {
    // The answer to find. `exit` only with EXECUTOR_EXITED.
    void (*found)(void *owner, enum executor_found found,
                  const struct executor_container *container, const struct executor_exit *exit);
    // Image, volumes, networks and container are there; or CANCELLED after an abort, or why not:
    // the message is shown to users as it is ("No such image: x:9").
    void (*prepared)(void *owner, const struct err *err);
    // The process runs. `ports` are the host ports really bound (publish mode HOST).
    void (*started)(void *owner, const struct executor_container *container,
                    const Swarm__PortConfig *const *ports, size_t ports_count,
                    const struct err *err);
    // The process ended: exactly once after `started` or found running, before `stopped`.
    void (*exited)(void *owner, const struct executor_exit *exit);
    void (*stopped)(void *owner, const struct err *err);
    void (*removed)(void *owner, const struct err *err);
    // The answer to check: exit code and the first part of the output. DEADLINE_EXCEEDED when it
    // took longer than it may.
    void (*checked)(void *owner, int code, const char *output, const struct err *err);
};

struct executor_task;
struct executor;

// A mark of a log, for readers that ask for details: one of the labels or variables, or the tag.
struct executor_mark {
    const char *key;
    const char *value;
};

#define EXECUTOR_MARKS_MAX 48 // of one log

// A line, its newline included, or part of one that a container wrote.
struct executor_log {
    struct wall at;
    int stream; // 1 standard output, 2 standard error
    const void *bytes;
    size_t size;
    const struct executor_mark *marks; // the same for all lines of a stream
    size_t marks_count;                // at most EXECUTOR_MARKS_MAX
};

struct executor_log_options {
    bool follow;
    bool no_stdout;
    bool no_stderr;
    int64_t tail;      // last lines first; negative: all
    struct wall since; // 0: from the start
};

struct executor_log_stream;

struct executor_class {
    // Takes the task in hand without doing anything yet. NULL and *err for what this executor
    // cannot run at all (a runtime it does not know, an option it does not support): the task is
    // rejected with that message.
    struct executor_task *(*open)(struct executor *executor, const struct executor_order *order,
                                  const struct executor_events *events, void *owner,
                                  struct err *err);
    // Looks for what an earlier life of the agent left of it.
    void (*find)(struct executor_task *task);
    // Pulls the image, makes volumes, networks and the container. Done again for a prepared task it
    // changes nothing.
    void (*prepare)(struct executor_task *task);
    // Gives up a prepare under way as soon as possible; `prepared` comes with CANCELLED, or success
    // if it was too late. Harmless otherwise.
    void (*abort)(struct executor_task *task);
    void (*start)(struct executor_task *task);
    // Withdraws the task from its services' balancers, lets connections drain, sends the stop
    // signal, kills after the grace period. Fine for a task that never started or ended already.
    void (*stop)(struct executor_task *task, int64_t grace_ns);
    // Its health check, the spec's and the image's together, known once it was found or prepared;
    // NULL: none. Valid until its next prepare. Executors without checks have none of these two.
    const Swarm__HealthConfig *(*health)(const struct executor_task *task);
    // Runs a health check inside: test[0] is CMD or CMD-SHELL. One at a time per task.
    void (*check)(struct executor_task *task, const char *const *test, size_t test_count,
                  int64_t timeout_ns);
    // Takes away container, networks and anonymous volumes, running or not.
    void (*remove)(struct executor_task *task);
    // Forgets the task; no event comes any more. What runs, runs on and can be found again.
    void (*close)(struct executor_task *task);
    // Reads its logs: `line` for each, then `done` once. NULL and *err when it has none.
    struct executor_log_stream *(*logs)(struct executor_task *task,
                                        const struct executor_log_options *options,
                                        void (*line)(void *owner, const struct executor_log *log),
                                        void (*done)(void *owner, const struct err *err),
                                        void *owner, struct err *err);
    // Slows the reading down or lets it go on; ends it, without `done` if that did not run yet.
    // Each stream is closed once, before its task is.
    void (*logs_pause)(struct executor_log_stream *stream, bool pause);
    void (*logs_close)(struct executor_log_stream *stream);
};

struct executor {
    const struct executor_class *class;
};

#endif
