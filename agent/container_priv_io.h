// What the files of container_io.h share.
#ifndef AGENT_CONTAINER_PRIV_IO_H
#define AGENT_CONTAINER_PRIV_IO_H

#include "agent/check_io.h"
#include "agent/container_io.h"
#include "agent/net/nets_io.h"
#include "agent/oci/log_files_io.h"
#include "agent/oci/log_packer_io.h"
#include "agent/oci/logs_io.h"
#include "agent/oci/volume_mounts_io.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

#define CONTAINERS_MAGIC    0x636f6e73u
#define EXECUTOR_TASK_MAGIC 0x63746173u

struct containers {
    struct executor executor; // first: tasks come with it
    unsigned magic;
    struct loop *loop;
    struct images *images;
    struct volumes *volumes;
    struct nets *nets; // NULL: no overlay networks
    struct runtime *runtime;
    char *log_dir;
    char *hostname;
    char *resolv_conf;
    const struct container_defaults *defaults; // never NULL
    bool init;
    int64_t rotate_ms;
    struct loop_timer rotate;
    struct log_packer *packer;
    struct map by_id;    // container id -> the open executor_task
    struct list tasks;   // all of them, closed ones with something under way too
    struct list checks;  // those under way (check_io.h)
    struct map leavings; // id -> NULL: what was there at the opening, until the sweep
    size_t sweeping;     // jobs of container_sweep_io.c and container_volumes_io.c under way
    const struct containers_watcher *watcher; // NULL: nobody
    void *watcher_owner;
};

enum container_op {
    CONTAINER_IDLE,
    CONTAINER_FIND,
    CONTAINER_PREPARE,
    CONTAINER_START,
    CONTAINER_STOP,
    CONTAINER_REMOVE,
};

struct executor_task {
    unsigned magic;
    struct list link;
    struct containers *containers;
    const struct executor_events *events;
    void *owner;
    struct arena arena; // the copy of the order
    struct executor_order order;
    char id[CONTAINER_ID_BYTES];
    char *log_path;
    struct container_log log;
    enum container_op op;
    unsigned pending; // callbacks to come that know this task
    bool closed;      // freed when none is pending
    bool aborted;
    bool running; // `exited` is still to be told
    struct loop_later answer;
    struct err err; // of the operation under way
    // Of a prepare under way.
    struct images_pull *pull;
    char image_id[72];
    struct arena made;
    struct container_spec spec;
    const char **fills;       // per spec.volumes: path of a volume to fill, or NULL
    struct volume_uses *uses; // of a prepare or a removal under way; NULL: no volume is mounted
    struct loop_work work;
    struct check *check;     // NULL: none under way
    struct list logs;        // executor_log_stream.link
    bool attaching;          // a prepare waits for its sandbox
    struct loop_timer drain; // of a stop under way
    struct loop_timer names; // of a start under way
    struct mono names_by;
    int64_t grace_ns;
};

// container_io.c: how operations begin and end. A callback came: false when nobody wants the task
// any more, which then may be gone.
bool container_back(struct executor_task *task);
void container_begin(struct executor_task *task, enum container_op op);
// Ends the operation under way with task->err; the callback may close the task.
void container_answer(struct executor_task *task);
void container_answer_later(struct executor_task *task);
// container_io.c: what a task is to the executor.
extern const struct executor_class container_class;
// Its process is no more.
void container_exited(struct executor_task *task, const struct runtime_exit *end);
// Tells the watcher of a container that is there.
void container_appeared(struct executor_task *task);
// Takes away all but the runtime's part, then answers.
void container_unmake(struct executor_task *task);

// container_prepare_io.c: these two are of the class.
void container_prepare(struct executor_task *task);
void container_abort(struct executor_task *task);
// Has what a prepare waits for end soon.
void container_give_up(struct executor_task *task);

// container_watch_io.c: these five are of the class.
const Swarm__HealthConfig *container_health(const struct executor_task *task);
void container_check(struct executor_task *task, const char *const *test, size_t test_count,
                     int64_t timeout_ns);
struct executor_log_stream *
container_logs(struct executor_task *task, const struct executor_log_options *options,
               void (*line)(void *owner, const struct executor_log *log),
               void (*done)(void *owner, const struct err *err), void *owner, struct err *err);
void container_logs_pause(struct executor_log_stream *stream, bool pause);
void container_logs_close(struct executor_log_stream *stream);

// Fills in what an earlier life knew of the health of one that runs.
void container_health_found(const struct executor_task *task, struct executor_container *found,
                            struct wall started);

// Lets go of a check under way: its process is killed, its answer dropped.
void container_check_drop(struct executor_task *task);
// Tells those who follow the logs that the container ended.
void container_logs_finish(struct executor_task *task);

// container_net_io.c: what the task asks of its networks. Harmless for a task on no overlay.
bool container_net_wanted(const struct executor_task *task);
// As nets_sandbox_make; the order of it is made in the task's `made`.
int container_net_make(struct executor_task *task, const char *resolv, bool adopt, nets_made *made,
                       struct err *err);
// Takes over the sandbox of a container found running, which serves from before.
void container_net_adopt(struct executor_task *task);
// It is about to start: its first instruction may ask for the names of its service, its own among
// them. True when that is to be waited for, until they are told.
bool container_net_starting(struct executor_task *task);
bool container_net_named(const struct executor_task *task);
// It runs; and its health check passed.
void container_net_started(struct executor_task *task);
void container_net_healthy(struct executor_task *task);
// Withdraws it from its services. True when the word needs time to go round.
bool container_net_drain(struct executor_task *task);
// It ended, or never will run.
void container_net_ended(struct executor_task *task);
// The host's ports that lead to it, as its endpoint has them, with those that were chosen; in the
// arena. NULL and *count 0 for none.
Swarm__PortConfig **container_net_ports(const struct executor_task *task, struct arena *arena,
                                        size_t *count);

// container_volumes_io.c: the container of that id has ended and uses no volume any more.
void container_volumes_end(struct containers *containers, const char *id);

// container_sweep_io.c: notes what there is, before anything is made.
void container_sweep_note(struct containers *containers);

// The image the container stands on; NULL when it is not there any more.
const struct image *container_image(const struct executor_task *task);

#endif
