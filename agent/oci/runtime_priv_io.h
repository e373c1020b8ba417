// What runtime_io.c, runtime_ops_io.c, runtime_folder_io.c and runtime_exec_io.c share.
#ifndef AGENT_OCI_RUNTIME_PRIV_IO_H
#define AGENT_OCI_RUNTIME_PRIV_IO_H

#include "agent/oci/programs_io.h"
#include "agent/oci/runtime_io.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "proto/base/process_io.h"

#define RUNTIME_MAGIC   0x72756e74u
#define CONTAINER_MAGIC 0x636f6e74u

#define RUNTIME_PATH_BYTES 4096
#define RUNTIME_OUTPUT     8192

// Names inside a container's state folder, besides conmon's (monitor_io.h).
#define CONFIG_FILE  "config.json"
#define STARTED_FILE "started"
#define PROGRAM_FILE "program" // what runs it: name and path, a line each
#define FILES_DIR    "files"
#define ETC_DIR      "etc"

struct runtime {
    unsigned magic;
    struct loop *loop;
    struct programs programs;
    char conmon[RUNTIME_PATH_BYTES];
    char preload[RUNTIME_PATH_BYTES]; // into conmon (cmd/conmon); "": none
    char init[RUNTIME_PATH_BYTES];    // "": none
    char *state_dir;                  // <state_dir>/<id>/ per container
    char *program_root;               // the runtime's own state
    char *cgroup_parent;
    struct buf seccomp;  // the default profile's text; empty: none
    struct map compiled; // capability set -> the profile's program in base64, "" where it cannot be
    struct cgroup cgroup;
    uint64_t caps;
    uint64_t nofile_hard_max;
    char kernel[64];
    bool has_apparmor;
    bool confines; // containers get APPARMOR_DEFAULT unasked
    bool has_selinux;
    bool has_cgroup_ns;
    unsigned slots;      // runtime programs that may still be started now
    struct list waiting; // operations that wait for a slot
    struct map containers;
    uint64_t exec_number;
    size_t ops; // operations and execs under way
    runtime_exited *exited;
    void *owner;
};

struct container {
    unsigned magic;
    struct runtime *runtime;
    struct program *program; // that runs it
    char *id;
    char *dir;
    char *cgroup_path;
    enum runtime_state state;
    bool creating;    // runtime_create is under way: nobody else sees it yet
    bool busy;        // an operation is under way
    bool starting;    // of these, runtime_start
    bool exit_untold; // it ended, and `exited` waits for runtime_start's answer
    bool tty;
    pid_t pid;
    int pidfd; // of the first process; -1: gone
    pid_t monitor_pid;
    int monitor_pidfd; // -1: not watched
    uv_poll_t monitor_poll;
    bool poll_open; // monitor_poll is not yet closed
    bool doomed;    // freed once monitor_poll is closed
    struct wall created;
    struct wall started;
    struct runtime_exit exit;
    struct list stops; // stop_wait.link
    struct loop_timer grace;
    struct mono grace_due;
    bool stop_asked; // by another signal than SIGKILL
};

// Somebody who waits for a container's end.
struct stop_wait {
    struct list link;
    runtime_done *done;
    void *owner;
};

// One operation. It waits for a slot when it needs one, runs its program, and answers once.
struct op {
    struct list link;
    struct container *container;
    struct runtime *runtime;
    void (*run)(struct op *op); // when it has its slot
    struct loop_later later;    // answers with `err` when the call itself failed
    runtime_done *done;
    void *owner;
    struct err err;
    char *log_path;
    bool open_stdin;
    bool stdin_once;
    bool has_slot;
};

// Finds out what containers need to know of this machine.
void runtime_look(struct runtime *runtime, const char *init_program);
// Finds what makes conmon small, if that conmon runs with it.
void runtime_look_at_conmon(struct runtime *runtime);

struct container *runtime_container(const struct runtime *runtime, const char *id);
struct container *container_new(struct runtime *runtime, const char *id, struct program *program);
void container_free(struct container *container); // also from the map, when it is in there

// Watches over a container whose conmon is `monitor`; opens its descriptors. INTERNAL.
int container_watch(struct container *container, pid_t pid, pid_t monitor, struct err *err);

// Calls `exited` and answers those who wait for the end.
void container_tell_exit(struct container *container);

// Whether the process is one of this container's.
bool container_has_pid(const struct container *container, pid_t pid);

// Unmounts, removes the cgroup and the state folder.
int container_clean(struct container *container, struct err *err);

// Whether crun runs it, rather than runc.
bool container_is_crun(const struct container *container);

// Runs the container's program ("--root=..." is put in) with up to 8 further arguments.
int container_run(struct container *container, const char *const *args, process_done *done,
                  void *owner, struct err *err);

// The default profile's program for a capability set (oci_host.seccomp_bpf); ctx is the runtime.
const char *runtime_seccomp_bpf(void *ctx, uint64_t caps);

// The host part of a bundle for this container.
void runtime_host(const struct runtime *runtime, const struct container *container,
                  struct oci_host *host);

// The runtime's message without its decoration.
int runtime_check(const struct process_result *result, const char *what, struct err *err);

void runtime_slot_free(struct runtime *runtime);

#endif
