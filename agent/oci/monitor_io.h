// conmon, the small program that owns one container: it starts the OCI runtime, holds the
// container's standard streams, writes its log, and leaves its exit status in a file.
#ifndef AGENT_OCI_MONITOR_IO_H
#define AGENT_OCI_MONITOR_IO_H

#include <stdbool.h>
#include <sys/types.h>

#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/base/loop_io.h"

// Names inside a container's state folder.
#define MONITOR_PID_FILE      "pid"
#define MONITOR_OWN_PID_FILE  "conmon.pid"
#define MONITOR_PERSIST_DIR   "persist" // conmon leaves "exit" and "oom" in here
#define MONITOR_ATTACH_SOCKET "attach"
#define MONITOR_CONTROL_FIFO  "ctl"

struct monitor_spec {
    const char *conmon;       // path
    const char *preload;      // a library to load into it first; "": none
    const char *runtime;      // path of crun or runc
    const char *runtime_root; // its --root
    const char *id;
    const char *dir;      // the container's state folder: the bundle, and conmon's working folder
    const char *log_path; // "" or a file in the k8s-file format
    bool tty;
    bool open_stdin;
    bool stdin_once;
};

// pid of the container's first process, or err.
typedef void monitor_started(void *owner, pid_t container_pid, const struct err *err);

// Starts conmon, which creates the container. `started` runs exactly once: FAILED_PRECONDITION and
// others with the runtime's message when it could not. Afterwards conmon is a child of init's.
int monitor_start(struct loop *loop, const struct monitor_spec *spec, monitor_started *started,
                  void *owner, struct err *err);

// The conmon that watches over the container in `dir`: its pid, checked against /proc to be that
// very program for that very id, or 0.
pid_t monitor_find(const char *dir, const char *id);

// The exit status conmon left, if it did: true and *code (0..255), *oom and the time.
bool monitor_exit(const char *dir, int *code, bool *oom, struct wall *at);

// Notes an OOM kill that conmon missed as it would have, so that monitor_exit tells it from now on.
int monitor_note_oom(const char *dir, struct err *err);

// Both through the control fifo; FAILED_PRECONDITION when conmon is gone.
int monitor_resize(const char *dir, unsigned rows, unsigned columns, struct err *err);
int monitor_reopen_log(const char *dir, struct err *err);

#endif
