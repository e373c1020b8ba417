// What the files of this room share.
#ifndef AGENT_CRATE_CRATES_PRIV_IO_H
#define AGENT_CRATE_CRATES_PRIV_IO_H

#include "agent/crate/crates_io.h"
#include "agent/crate/spec.h"
#include "agent/oci/stdio_io.h"
#include "agent/oci/user.h"
#include "agent/oci/volume_mounts_io.h"
#include "agent/task/health.h"

#define CRATES_MAGIC       0x63727473u
#define CRATE_MAGIC        0x63726174u
#define CRATE_EXEC_MAGIC   0x63726578u
#define CRATE_ATTACH_MAGIC 0x63726161u
#define CRATE_PATH_BYTES   4096
#define CRATE_NETWORKS_MAX 32

struct crates {
    unsigned magic;
    struct loop *loop;
    struct images *images;
    struct volumes *volumes;
    struct containers *containers;
    struct locals *locals;           // NULL: containers are on no networks
    struct attachments *attachments; // NULL: and on none of the swarm
    struct runtime *runtime;
    char *dir;
    char *log_dir;
    char *hostname;
    const struct container_defaults *defaults; // the containers'
    char *sandbox_dir;                         // NULL: no links are made
    bool init;
    bool quiet; // no restarts any more
    void (*event)(void *owner, const struct crate_event *event);
    void *owner;
    struct list all;    // crate.link, oldest first
    struct map by_id;   // crate
    struct map by_name; // crate; names under way of being made too
    struct list execs;  // crate_exec.link, oldest first
    struct list drains; // crate_attach.link: those of lives that have ended
    struct list checks; // those under way (check_io.h)
    size_t pending;     // callbacks to come
    json_t *task_host;  // HostConfig of the newest task's container; NULL: none yet
    struct loop_timer rotate;
};

enum op_kind {
    OP_START,
    OP_STOP,
    OP_RESTART,
    OP_PAUSE,
    OP_UNPAUSE,
    OP_REMOVE,
    OP_UPDATE,
    OP_COMMIT,
    OP_CLEAN, // after an exit: our own
};

struct crate_op {
    struct list link;
    enum op_kind kind;
    int signal;
    int64_t seconds;
    bool force, volumes;
    bool paused;   // by this operation
    bool restarts; // a start that is the second half of a restart
    json_t *body;
    struct crate_commit *commit;
    crate_done *done; // NULL for our own
    void *owner;
    struct err err;
    struct err why; // of a start that removes its container: what its caller is told
};

// What is under way with one crate.
struct crate_life {
    struct crate *crate;
    struct list ops;        // waiting; the first one runs
    bool running_op;        // the first one was begun
    struct loop_later step; // begins the next
    struct loop_later free_later;
    bool forgotten; // it was asked
    struct loop_work work;
    struct arena made;
    struct container_spec spec;
    struct volume_uses *uses; // of the job under way that mounts or unmounts them; NULL: none
    void (*volumes_done)(struct crate *crate);
    const char *netns; // path of its network namespace, while it runs; NULL: its own
    const char *addresses[CRATE_NETWORKS_MAX]; // for its hosts file
    size_t addresses_count;
    bool answers; // names, at 127.0.0.11
    // Its attachments to networks of the swarm: those that are still to come, the first that
    // failed, and who waits for all of them.
    size_t attaching;
    struct loop_later refused;
    struct err refusal;
    attachments_made *made_attachment;
    void *attach_owner;
    bool asked; // the runtime was, in this start
    unsigned root_users;
    bool dead;        // its end came, and OP_CLEAN has to look at it
    bool start_again; // OP_RESTART, after its stop
    struct loop_timer restart;
    int64_t restart_delay_ms;
    struct list waits;    // crate_wait.link
    struct list attaches; // crate_attach.link
    // Health checks.
    struct health health_state;
    struct loop_timer health_timer;
    struct check *check;               // NULL: none under way
    char check_id[CONTAINER_ID_BYTES]; // of the one that events were told of; "": none yet
};

// crates_io.c
// A fresh id, of a container or of an exec.
void crate_id_make(char out[CONTAINER_ID_BYTES]);
struct crate *crate_new(struct crates *crates, const char *id);
void crate_forget(struct crate *crate); // out of the lists; freed at the end of the turn

// crate_record_io.c: one of a task has no record, which is no error.
int crate_save(const struct crate *crate, struct err *err);
int crate_record_remove(const struct crate *crate, struct err *err);
// Makes crates of all that are written down. What cannot be read is logged.
int crates_records_read(struct crates *crates, struct err *err);

// crate_task_io.c: for containers_watch, with the crates as owner.
extern const struct containers_watcher crate_task_watcher;

// crate_end_io.c: begin the operation that runs, of that kind.
void crate_clean_begin(struct crate *crate);
void crate_stop_begin(struct crate *crate);
void crate_restart_begin(struct crate *crate);
void crate_remove_begin(struct crate *crate);
void crate_exited(struct crate *crate, const struct runtime_exit *end);
void crate_restart_later(struct crate *crate); // if its policy says so
void crate_restart_fire(struct loop_timer *timer);

// crate_life_io.c
void crate_life_init(struct crate *crate);
void crate_life_fini(struct crate *crate);
void crate_waits_tell(struct crate *crate, bool removed);

// An operation of one's own (done NULL) or a user's, queued behind those that wait.
struct crate_op *crate_op_new(enum op_kind kind, crate_done *done, void *owner);
void crate_op_queue(struct crate *crate, struct crate_op *op);
struct crate_op *crate_op_now(struct crate *crate); // the one that runs
// Behind the operation that runs, before all others.
void crate_op_queue_next(struct crate *crate, struct crate_op *op);
// The operation that runs once more, after what is next.
void crate_op_again_after_next(struct crate *crate);
// Ends the operation that runs, with its err. The next begins later in this turn.
void crate_op_end(struct crate *crate);
// One of the callbacks that `pending` counts has come.
void crate_op_back(struct crate *crate);

// crate_volumes_io.c: within the operation that runs. What has volumes to mount mounts them in a
// job, whose error is the operation's; `done` runs after it, or at once when there is nothing to
// do.
void crate_volumes_begin(struct crate *crate, void (*done)(struct crate *crate));
void crate_volumes_end(struct crate *crate, void (*done)(struct crate *crate));
// What happens to all its volumes: "create", "mount", "unmount"; "destroy" to those that are gone.
void crate_volumes_tell(const struct crate *crate, const char *action);

// crate_start_io.c: begins the operation that runs, an OP_START.
void crate_start_begin(struct crate *crate);

// crate_commit_io.c: begins the operation that runs, an OP_COMMIT.
void crate_commit_begin(struct crate *crate);

#define CRATE_RESOLVER "127.0.0.11" // where the node's own answers inside

// crate_net_io.c
// It is on networks that are none of this node's: before the join, it has to be attached there.
// `made` runs once, later; nothing is left of it when one failed.
bool crate_net_shared(const struct crate *crate);
void crate_net_attach(struct crate *crate, attachments_made *made, void *owner);
// For attachments_listen.
bool crate_net_describe(void *owner, const char *container, const char *network_id,
                        const char *network_name, struct attachment_wish *wish,
                        struct attachment_frame *frame);
int crate_net_join(struct crate *crate, struct err *err); // before it starts
void crate_net_leave(struct crate *crate);                // harmless when it is on none

// Puts its own name with that address (none: nothing happens) into its hosts file while it runs, or
// takes it out; what else stands there stays. Where that cannot be done it is logged.
void crate_hosts_change(const struct crate *crate, const struct ipnet *ip, bool there);

// Names the node's resolver in the resolv.conf of one that runs, or the host's name servers, unless
// somebody wrote there.
void crate_resolv_change(const struct crate *crate, bool answered);

// crate_attach_io.c
void crate_attaches_begin(struct crate *crate); // its streams are there
void crate_attaches_end(struct crate *crate);   // it did not start, or goes away
// It has ended: who is attached still gets what lies in the connection.
void crate_attaches_drain(struct crate *crate);
void crates_attaches_end(struct crates *crates); // all, those that are being drained too

// crate_exec_io.c
void crate_execs_forget(struct crate *crate);

// crate_health_io.c
void crate_health_begin(struct crate *crate);
void crate_health_resume(struct crate *crate); // one that ran while we were away
// What of it is kept in the record, and that back again.
void crate_health_write(const struct crate *crate, struct json_out *out);
void crate_health_take(struct crate *crate, const json_t *record);
void crate_health_end(struct crate *crate);
// A check of it was run.
void crate_health_checked(struct crate *crate, const struct check_result *result);
// A check begins, which its events say.
void crate_health_asks(struct crate *crate);

#endif
