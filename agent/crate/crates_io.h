// Crates: the containers of this node as `docker` shows and makes them. Those that users make are
// recorded below the data root and live until somebody removes them; those of the swarm's tasks are
// shown beside them, and belong to the agent.
//
// One JSON file per container: each is written whole, on its own, when that container changes, can
// be read by an operator, and no change ever concerns two of them at once. A record is on disk
// before the call that made it answers. Running containers belong to conmon: after a restart they
// are found again, and those that ended meanwhile get what their restart policy says.
//
// Everything runs on the loop's thread. A `done` runs exactly once and never before its call
// returns. Operations on one container wait for each other, in order.
#ifndef AGENT_CRATE_CRATES_IO_H
#define AGENT_CRATE_CRATES_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/attachments_io.h"
#include "agent/container_io.h"
#include "agent/image/images_io.h"
#include "agent/oci/volume_mounts_io.h"
#include "agent/oci/volumes_io.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/base/json.h"
#include "proto/base/list.h"
#include "proto/base/loop_io.h"

#define CRATES_MAX           10000
#define CRATE_NAME_BYTES     256
#define CRATE_SANDBOX_BYTES  256
#define CRATE_HEALTH_LOG_MAX 5
#define CRATE_STOP_S         10 // from the stop signal to SIGKILL, unless asked otherwise

struct crates;

enum crate_state {
    CRATE_CREATED,
    CRATE_RUNNING,
    CRATE_PAUSED,
    CRATE_RESTARTING, // between two lives
    CRATE_EXITED,
    CRATE_REMOVING,
};

// Read-only for everybody but this room.
struct crate {
    unsigned magic;
    struct list link; // crates, in order of creation
    struct crates *crates;
    char id[CONTAINER_ID_BYTES];
    char name[CRATE_NAME_BYTES]; // without '/'
    char image_id[72];
    bool task; // of the swarm's: never recorded, and not ours to start or remove
    struct wall created;
    struct wall started;  // 0: never
    struct wall finished; // 0: never
    enum crate_state state;
    int32_t pid;
    int exit_code;
    bool oom_killed;
    char error[512];
    unsigned restart_count;
    bool stopped_by_user;
    const char *health;      // "starting", "healthy", "unhealthy", or NULL
    int health_failing;      // checks in a row
    json_t *health_log;      // the last CRATE_HEALTH_LOG_MAX, as inspect shows them; NULL: none yet
    json_t *config;          // settled (config.h)
    json_t *host;            // likewise
    json_t *points;          // points.h
    json_t *endpoints;       // name -> EndpointSettings, as it was asked for; a task's: as they are
    json_t *chosen;          // the host's ports of its latest start, a number each; NULL: none
    char *log_path;          // "" : none
    struct crate_life *life; // what is under way
};

struct crate_event {
    const char *action; // "create", "die", "exec_start: sh"
    const struct crate *crate;
    const char *volume;       // of its volumes; NULL: the container itself
    const char *const *extra; // key, value, ..., NULL: attributes; a container's beside labels,
                              // image and name
};

struct crates_config {
    struct loop *loop;
    struct images *images; // borrowed, like the next two
    struct volumes *volumes;
    struct containers *containers;   // its watcher becomes ours
    struct locals *locals;           // borrowed; NULL: containers are on no networks
    struct attachments *attachments; // borrowed; NULL: and on none of the swarm
    const char *dir;                 // of the records; made 0700
    const char *log_dir;             // of the containers' output; made 0700
    const char *hostname;
    const char *sandbox_dir; // for links to containers' network namespaces; NULL: none are made
    bool init;
};

// Reads the records and takes over what runs. Records that cannot be read are logged and left
// alone.
int crates_open(const struct crates_config *config, struct crates **out, struct err *err);
bool crates_busy(const struct crates *crates);
// Gives up what can be given up, so that crates_busy ends soon; containers run on.
void crates_quiesce(struct crates *crates);
void crates_close(struct crates *crates);

// Who hears of what happens; NULL: nobody. Never inside the call that causes it, but for rename.
void crates_listen(struct crates *crates,
                   void (*event)(void *owner, const struct crate_event *event), void *owner);

// Keeps it busy: for those who still have to let go of something.
void crates_hold(struct crates *crates);
void crates_release(struct crates *crates);

struct images *crates_images(const struct crates *crates);
struct volumes *crates_volumes(const struct crates *crates);
struct runtime *crates_runtime(const struct crates *crates);
struct loop *crates_loop(const struct crates *crates);
// Where tasks have their sandboxes; NULL: nowhere.
const struct nets *crates_nets(const struct crates *crates);

// ---- finding -----------------------------------------------------------------------------------

// Newest first: start with NULL.
struct crate *crates_next(const struct crates *crates, const struct crate *after);

// By id, name (a leading '/' allowed) or unique beginning of an id. NOT_FOUND "No such container:
// x", INVALID_ARGUMENT when ambiguous. It lives until the present turn of the loop ends.
struct crate *crates_find(const struct crates *crates, const char *name, struct err *err);

bool crate_running(const struct crate *crate); // paused counts

// The network its mode names ("default" is bridge), and its endpoint on one, NULL while there is
// none. The endpoint lives until the present turn of the loop ends.
struct local;
struct local_endpoint;
const char *crate_network(const struct crate *crate);
bool crate_is_networked(const struct crate *crate);
const struct local *crate_local(const struct crate *crate, const char *network,
                                const struct local_endpoint **endpoint);
// What it has on a network of the swarm, by name or id; false when it is not there.
bool crate_attachment(const struct crate *crate, const char *network, struct attachment_view *out);
// The host's ports that lead to it, with those that were chosen; valid for this turn of the loop.
// NULL and *count 0 for none.
const struct ports_row *crate_ports(const struct crate *crate, size_t *count);
const char *crate_state_name(const struct crate *crate);
// Where `ip netns` and others find its network namespace, a path; "" while it does not run.
void crate_sandbox_key(const struct crate *crate, char out[CRATE_SANDBOX_BYTES]);

// The root of its file system as it is now, for archives. `crate_root_close` when done with it.
int crate_root_open(struct crate *crate, char out[4096], struct err *err);
// Its volumes that are to be mounted (volume_mounts_io.h); NULL when there are none.
struct volume_uses *crate_volumes(const struct crate *crate);
void crate_root_close(struct crate *crate);

// ---- changing ----------------------------------------------------------------------------------

typedef void crate_done(void *owner, const struct err *err);
// `id` and `warnings` (a list of texts, may be NULL) are valid during the call.
typedef void crate_created(void *owner, const char *id, const json_t *warnings,
                           const struct err *err);

// `body` is that of POST /containers/create. NOT_FOUND "No such image: x", ALREADY_EXISTS for a
// name in use, INVALID_ARGUMENT, UNIMPLEMENTED.
void crates_create(struct crates *crates, const char *name, const json_t *body, crate_created *done,
                   void *owner);

// Tells who listens (crate_event) that this was done with it. `extra`: attributes, names and values
// in turns, and NULL; NULL: none.
void crate_tell(const struct crate *crate, const char *action, const char *const *extra);

// A running one is left as it is.
void crate_start(struct crate *crate, crate_done *done, void *owner);
// `signal` 0: its own; `seconds` negative: for ever.
void crate_stop(struct crate *crate, int signal, int64_t seconds, crate_done *done, void *owner);
void crate_restart(struct crate *crate, int signal, int64_t seconds, crate_done *done, void *owner);
int crate_kill(struct crate *crate, int signal, struct err *err);
void crate_pause(struct crate *crate, crate_done *done, void *owner);
void crate_unpause(struct crate *crate, crate_done *done, void *owner);
void crate_remove(struct crate *crate, bool force, bool volumes, crate_done *done, void *owner);
int crate_rename(struct crate *crate, const char *name, struct err *err);

// Puts it on one more network, of this node or (in a swarm) an attachable one of the swarm, at once
// if it runs; `settings` is the request's EndpointConfig, may be NULL. NOT_FOUND, PERMISSION_DENIED
// (one that has others' networks, or is on it), UNIMPLEMENTED for tasks, and what an attachment
// fails with. Whether a network of the swarm is there shows at the start of one that does not run.
void crate_connect(struct crate *crate, const char *network, const json_t *settings,
                   crate_done *done, void *owner);
// Takes it from one. From the network its mode names it goes until its next start.
void crate_disconnect(struct crate *crate, const char *network, crate_done *done, void *owner);
void crate_update(struct crate *crate, const json_t *body, crate_done *done, void *owner);
int crate_resize(struct crate *crate, unsigned rows, unsigned columns, struct err *err);
// The seconds it asks for itself; where it asks for none, docker's 10 or those given. Negative: for
// ever.
int64_t crate_stop_seconds(const struct crate *crate);
int64_t crate_stop_seconds_or(const struct crate *crate, int64_t seconds);
int64_t crate_grace_ms(int64_t seconds); // as runtime_stop takes them
// The signal it is to be stopped with: its own, its image's, or SIGTERM.
int crate_stop_signal(const struct crate *crate);

// ---- committing --------------------------------------------------------------------------------

// An image of what the container is now: its image's layers and one of its own changes.
struct crate_commit {
    const char *layer_path; // where the layer's tar is made for the time being
    const char *reference;  // "" for no name
    const char *author;
    const char *comment;
    bool pause;           // a running container stands still while its layer is read
    const json_t *config; // of the image, made by crate_image_config
    char image_id[72];    // comes out
};

// What an image made of the container would run; to be freed with json_decref.
json_t *crate_image_config(const struct crate *crate);

// `commit` and what it names stay until done.
void crate_commit(struct crate *crate, struct crate_commit *commit, crate_done *done, void *owner);

// ---- waiting -----------------------------------------------------------------------------------

enum crate_condition {
    CRATE_NOT_RUNNING,
    CRATE_NEXT_EXIT,
    CRATE_REMOVED,
};

struct crate_wait {
    struct list link;
    enum crate_condition condition;
    struct loop_later later;
    int code;
    char error[512];
    void (*done)(struct crate_wait *wait); // with code and error
};

// `wait` is the caller's and stays until done ran or crate_wait_cancel.
void crate_wait(struct crate *crate, enum crate_condition condition, struct crate_wait *wait);
void crate_wait_cancel(struct crate_wait *wait);

// ---- attaching ---------------------------------------------------------------------------------

struct crate_attach;

struct crate_attach_events {
    void (*output)(void *owner, int stream, const void *bytes, size_t size);
    void (*ended)(void *owner); // once; it is still to be closed
};

// To one that does not run yet: from its start on.
int crate_attach(struct crate *crate, const struct crate_attach_events *events, void *owner,
                 struct crate_attach **out, struct err *err);
// RESOURCE_EXHAUSTED: too much waits to be read; the same bytes again a little later.
int crate_attach_write(struct crate_attach *attach, const void *bytes, size_t size);
void crate_attach_end(struct crate_attach *attach); // of input
void crate_attach_pause(struct crate_attach *attach, bool pause);
void crate_attach_close(struct crate_attach *attach);

// ---- exec --------------------------------------------------------------------------------------

struct crate_exec {
    unsigned magic;
    struct list link;
    char id[65];
    struct crate *crate; // NULL: it is gone
    char container_id[CONTAINER_ID_BYTES];
    json_t *config; // exec_config_read
    bool started;
    bool running;
    int exit_code; // once it ran
    char *failure; // why its program could not be started, in dockerd's words; NULL: it could
    int32_t pid;
    struct runtime_exec *exec; // while it runs
    const struct crate_attach_events *events;
    void *owner;
    struct wall ended;
    struct buf early; // input that came before the process
    uint16_t rows, columns;
};

int crate_exec_make(struct crate *crate, const json_t *body, struct crate_exec **out,
                    struct err *err);
struct crate_exec *crates_exec(const struct crates *crates, const char *id);
// Those of one crate, oldest first: start with NULL.
struct crate_exec *crate_exec_next(const struct crate *crate, const struct crate_exec *after);
// Output goes to `events` (NULL: nowhere) until it ends or crate_exec_leave.
int crate_exec_start(struct crate_exec *exec, bool tty, const struct crate_attach_events *events,
                     void *owner, struct err *err);
// Whether its program runs, or has run.
bool crate_exec_began(const struct crate_exec *exec);
void crate_exec_leave(struct crate_exec *exec); // the process goes on, its output is dropped
int crate_exec_write(struct crate_exec *exec, const void *bytes, size_t size); // as above
void crate_exec_end(struct crate_exec *exec);                                  // of input
void crate_exec_pause(struct crate_exec *exec, bool pause);
int crate_exec_resize(struct crate_exec *exec, uint16_t rows, uint16_t columns, struct err *err);

#endif
