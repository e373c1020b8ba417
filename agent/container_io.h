// Tasks as containers of this node: the executor that joins images, root file systems, volumes and
// the OCI runtime.
//
// A task on overlay networks, or on none, gets a sandbox of agent/net (one on none where there is
// no agent/net a namespace with nothing but the loopback device), one attached to the host's
// network gets the host's; any other is rejected. Everything runs on the loop's thread.
#ifndef AGENT_CONTAINER_IO_H
#define AGENT_CONTAINER_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/check_io.h"
#include "agent/container_spec.h"
#include "agent/image/images_io.h"
#include "agent/net/nets_io.h"
#include "agent/oci/runtime_io.h"
#include "agent/oci/volumes_io.h"
#include "agent/task/executor.h"
#include "proto/base/err.h"
#include "proto/base/json.h"
#include "proto/base/loop_io.h"

// How often the sizes of logs are looked at, unless asked otherwise.
#define CONTAINERS_ROTATE_MS 10000

struct containers;

struct containers_config {
    struct loop *loop;
    struct images *images;   // borrowed, like volumes; used until containers_close
    struct volumes *volumes; // they hold what containers use
    struct nets *nets;       // as images; NULL: tasks on overlay networks are rejected
    // The rest of it is runtime_config's; loop, exited and owner are not looked at.
    struct runtime_config runtime;
    const char *log_dir;     // made 0700; a file per container, below --data-root
    const char *hostname;    // of this node, for containers in the host's network; may be NULL
    const char *resolv_conf; // NULL: /etc/resolv.conf
    bool init;               // containers get an init process unless they say
    const struct container_defaults *defaults; // borrowed until the close; NULL: none
    int64_t rotate_ms;                         // 0: CONTAINERS_ROTATE_MS
};

// A task's container, for those who show containers. Borrowed for the call.
struct containers_view {
    const char *id;
    const Swarm__Task *task;           // settled and expanded
    const struct container_spec *spec; // container.args are the image's too, if it is here
    const char *image_id;              // "" when it is not known
    const char *log_path;              // "" for none
};

// What becomes of containers, for who shows them. None runs inside the call that causes it, but for
// those of a call of the executor's.
// What the watcher keeps of a container's health beside it, {"Health": {"Status": "healthy",
// "FailingStreak": 0, "Log": [...]}}, so that it goes on after a restart: in runtime_dir, gone with
// the container.
#define CONTAINER_HEALTH_FILE  "health.json"
#define CONTAINER_HEALTH_BYTES (1u << 20)
// Reads it; NULL when there is none, or it is broken. To be released.
json_t *containers_health(const struct containers *containers, const char *id);

struct containers_watcher {
    // A task's container is there: made, or found again.
    void (*appeared)(void *owner, const struct containers_view *view);
    void (*started)(void *owner, const char *id);
    // The agent stops it, with this signal.
    void (*stopping)(void *owner, const char *id, int signal);
    void (*vanished)(void *owner, const char *id);
    // Its health check begins, and was run once more.
    void (*checking)(void *owner, const char *id);
    void (*checked)(void *owner, const char *id, const struct check_result *result);
    // Any container ended, also one that is no task's.
    void (*exited)(void *owner, const char *id, const struct runtime_exit *exit);
};

// Opens the runtime (its errors) and takes over what an earlier life left running.
int containers_open(const struct containers_config *config, struct containers **out,
                    struct err *err);

// Nothing is begun any more that nobody asked for.
void containers_quiesce(struct containers *containers);

// Whether something is under way that has to end before the close; closed tasks included.
bool containers_busy(const struct containers *containers);

// Takes away what was there at the opening of containers that are no open task's and that `claimed`
// does not know either: once, when all tasks that were restored have been opened. Returns how many.
size_t containers_sweep(struct containers *containers, bool (*claimed)(void *owner, const char *id),
                        void *owner);

// All tasks are closed and nothing is under way. Containers run on.
void containers_close(struct containers *containers);

// For agent/worker.
struct executor *containers_executor(struct containers *containers);

// One watcher; NULL takes it away.
void containers_watch(struct containers *containers, const struct containers_watcher *watcher,
                      void *owner);

// For those who look at containers themselves: exec, attach, statistics.
struct runtime *containers_runtime(struct containers *containers);

// Keeps the log of a running container, task or not, within its bounds: call it now and then.
void containers_keep_log(struct containers *containers, const char *id, const char *path,
                         const struct container_log *log);

// The host's resolv.conf, as it is now, with what the defaults say of it; initializes `out`.
void containers_resolv(const struct containers *containers, struct buf *out);

const struct container_defaults *containers_defaults(const struct containers *containers);

// Where their sandboxes are; NULL: there are none.
const struct nets *containers_nets(const struct containers *containers);

#endif
