// Containers, run by crun or runc under conmon.
//
// Each container belongs to a conmon process of its own, not to us: it survives our restart and
// crash, and runtime_adopt finds it again. What is known of it lies in <state_dir>/<id>/
// (config.json, pid files, exit status, OOM mark, attach socket); <state_dir> is on a tmpfs, so
// that a reboot forgets it. Everything runs on the loop's thread. A call that takes `done` calls it
// exactly once and never before it returns. One operation per container at a time; a second one is
// FAILED_PRECONDITION, runtime_signal, runtime_stop and runtime_exec excepted.
#ifndef AGENT_OCI_RUNTIME_IO_H
#define AGENT_OCI_RUNTIME_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/oci/bundle.h"
#include "agent/oci/cgroup_io.h"
#include "agent/oci/programs_io.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/base/loop_io.h"

struct runtime;

enum runtime_state {
    RUNTIME_CREATED, // init process waits for runtime_start
    RUNTIME_RUNNING,
    RUNTIME_PAUSED,
    RUNTIME_EXITED, // everything is still there until runtime_delete
};

struct runtime_exit {
    // 0..255; 128 + signal when a signal ended it; -1 when nobody knows (conmon was killed).
    int code;
    bool oom_killed;
    bool killed; // runtime_stop's other signal did not do within its time: SIGKILL followed
    struct wall at;
    char message[256]; // "" or why the code is unknown
};

struct runtime_status {
    const char *id; // valid during the call that gives it
    enum runtime_state state;
    pid_t pid; // of the container's first process, in our pid namespace; 0 after its exit
    pid_t monitor_pid;
    struct wall created;
    struct wall started;      // 0: not yet
    struct runtime_exit exit; // when RUNTIME_EXITED
    bool tty;
};

// Called once per container when it ended, for created, started and adopted ones alike; never from
// inside another call, never before the answer to a runtime_start under way. The container stays
// until runtime_delete.
typedef void runtime_exited(void *owner, const char *id, const struct runtime_exit *exit);

struct runtime_config {
    struct loop *loop;
    // What runs containers that name nothing else: one of `more`, "crun", "runc" or a path; NULL:
    // crun, and runc where crun cannot work.
    const char *program;
    const struct program_name *more; // besides crun and runc
    size_t more_count;
    const char *conmon;       // NULL: found in PATH
    const char *init_program; // static init; NULL: docker-init, tini-static or catatonit when found
    const char *seccomp_file; // NULL: containers-common's profile
    const char *state_dir;    // absolute, made 0700; below --exec-root
    const char *cgroup_parent; // NULL: "/skep"
    unsigned parallel_max;     // most runtime programs at once; 0: twice the cores
    runtime_exited *exited;
    void *owner;
};

// Finds the programs and looks at the machine. FAILED_PRECONDITION with what is missing in words an
// operator understands (no crun, no conmon, hybrid cgroups and no runc, no seccomp profile is only
// a warning until a container needs it). Blocks for some milliseconds.
int runtime_open(const struct runtime_config *config, struct runtime **out, struct err *err);

// Takes other programs from now on (as in runtime_config); containers that are there keep theirs.
// FAILED_PRECONDITION, RESOURCE_EXHAUSTED, and all is as before.
int runtime_reload(struct runtime *runtime, const char *program, const struct program_name *more,
                   size_t more_count, struct err *err);

// Forgets everything and frees; containers run on. No operation may be under way (runtime_busy).
void runtime_close(struct runtime *runtime);

bool runtime_busy(const struct runtime *runtime);

// Finds the containers of an earlier life, each with its present state; `found` runs during the
// call. Those that ended meanwhile are found as RUNTIME_EXITED and `exited` is not called for them.
// Leavings that are no whole container are cleaned away, and so are empty cgroups of containers
// that nothing else is left of. Call once, right after open.
typedef void runtime_found(void *owner, const struct runtime_status *status);
int runtime_adopt(struct runtime *runtime, runtime_found *found, void *owner, struct err *err);

// err is NULL on success.
typedef void runtime_done(void *owner, const struct err *err);

// Makes the container: afterwards its namespaces and cgroup exist, and its first process waits.
// `log_path` is where its output goes (logs_io.h); "" throws it away. What `container` points to is
// copied as needed. On failure nothing is left behind.
void runtime_create(struct runtime *runtime, const struct oci_container *container,
                    const char *log_path, runtime_done *done, void *owner);

// Lets the first process run. Fails with the runtime's own words (no such program, no permission);
// the container then is RUNTIME_EXITED.
void runtime_start(struct runtime *runtime, const char *id, runtime_done *done, void *owner);

// Signals the first process. NOT_FOUND for no such container, FAILED_PRECONDITION when it ended.
int runtime_signal(struct runtime *runtime, const char *id, int signal, struct err *err);

// Sends `signal`, after `grace_ms` SIGKILL to all its processes; done (with NULL) once it has
// ended, also when it had before. Its `exited` call comes first. A later runtime_stop for the same
// container may only shorten the grace period.
void runtime_stop(struct runtime *runtime, const char *id, int signal, int64_t grace_ms,
                  runtime_done *done, void *owner);

// Nobody waits for that stop any more: its `done` is not called, and it does not count as under
// way. The container's end comes all the same while this lives. False: there is no such stop.
bool runtime_stop_forget(struct runtime *runtime, const char *id, runtime_done *done, void *owner);

// Takes it away: state, cgroup, processes left (force: also when it runs), secret files. The log
// file stays. NOT_FOUND is not an error.
void runtime_delete(struct runtime *runtime, const char *id, bool force, runtime_done *done,
                    void *owner);

void runtime_pause(struct runtime *runtime, const char *id, runtime_done *done, void *owner);
void runtime_resume(struct runtime *runtime, const char *id, runtime_done *done, void *owner);

// Changes limits of a running container (docker update).
void runtime_update(struct runtime *runtime, const char *id, const struct oci_limits *limits,
                    runtime_done *done, void *owner);

// What is known now; NOT_FOUND.
int runtime_inspect(const struct runtime *runtime, const char *id, struct runtime_status *out,
                    struct err *err);

// Walks all containers: start with *position 0; false at the end.
bool runtime_next(const struct runtime *runtime, size_t *position, struct runtime_status *out);

// Path of the container's state folder, for stdio_attach; valid until it is deleted. NULL: not
// found.
const char *runtime_dir(const struct runtime *runtime, const char *id);

// "/proc/<pid>/ns/net" and the like for a live container; NOT_FOUND.
int runtime_ns_path(const struct runtime *runtime, const char *id, const char *kind, char *out,
                    size_t size, struct err *err);

// Its cgroup, as cgroup_io.h wants it; NULL: not found.
const char *runtime_cgroup_path(const struct runtime *runtime, const char *id);

// Usage now; NOT_FOUND, FAILED_PRECONDITION when it is not running.
int runtime_stats(const struct runtime *runtime, const char *id, struct cgroup_stats *out,
                  struct err *err);

// Pids of its processes, at most `max`; returns how many there are or a negative code.
int runtime_pids(const struct runtime *runtime, const char *id, pid_t *out, size_t max,
                 struct err *err);

// Tells conmon to open its log file anew, after logs_io renamed it.
int runtime_reopen_log(struct runtime *runtime, const char *id, struct err *err);

// The cgroup tree found at open.
const struct cgroup *runtime_cgroup(const struct runtime *runtime);

// The name of the default program, whether there is one of this name, and all there are
// (programs_next).
const char *runtime_program(const struct runtime *runtime);
bool runtime_has_program(const struct runtime *runtime, const char *name);
bool runtime_next_program(const struct runtime *runtime, size_t *position,
                          struct program_name *out);

// The AppArmor profile of containers that name none; NULL: they have none, as this machine's kernel
// has no AppArmor or the profile could not be loaded.
const char *runtime_apparmor(const struct runtime *runtime);

// ---- exec ---------------------------------------------------------------------------------------
// A
// further process in a running container. It is a child of ours: it does not survive our end.

struct runtime_exec;

struct runtime_exec_events {
    // Bytes on stream 1 (also everything of a TTY) or 2. May be NULL.
    void (*output)(void *owner, int stream, const void *bytes, size_t size);
    // Once: exit code as for containers; err set (and code -1) when it could not be started:
    // NOT_FOUND no such program, PERMISSION_DENIED not executable. The exec is freed afterwards.
    void (*exited)(void *owner, int code, const struct err *err);
};

int runtime_exec(struct runtime *runtime, const char *id, const struct oci_exec *exec,
                 bool attach_stdin, const struct runtime_exec_events *events, void *owner,
                 struct runtime_exec **out, struct err *err);

// Queues bytes for its standard input (copied). RESOURCE_EXHAUSTED when more than
// RUNTIME_EXEC_INPUT_BYTES wait: try again after `output` or later.
#define RUNTIME_EXEC_INPUT_BYTES (1u << 20)
int runtime_exec_write(struct runtime_exec *exec, const void *bytes, size_t size, struct err *err);
void runtime_exec_close_stdin(struct runtime_exec *exec);
void runtime_exec_resize(struct runtime_exec *exec, uint16_t rows, uint16_t columns);
// Signals the process inside the container (its pid in our namespace is known once it runs).
void runtime_exec_kill(struct runtime_exec *exec, int signal);
pid_t runtime_exec_pid(const struct runtime_exec *exec); // 0: not yet known
// Whether its program has been seen to run: what could not be started is told by `exited`.
bool runtime_exec_began(const struct runtime_exec *exec);
// Stops or restarts reading its output: a slow reader holds the process back, nothing is dropped.
void runtime_exec_pause(struct runtime_exec *exec, bool pause);

#endif
