// What users do with a crate, one operation at a time: each waits in the crate's queue, begins when
// those before it ended, and answers once.
//
//   start: crate_start_io.c
//   end of the process: its code is noted, then OP_CLEAN deletes what the runtime keeps, unmounts,
//   tells those who wait, and does what the restart policy says
//   remove: (kill -> OP_CLEAN ->) layer, volumes, log and record
//
// An operation that makes the process end goes on after the OP_CLEAN that this brought about.
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/crate/config_settle.h"
#include "agent/crate/crates_priv_io.h"
#include "agent/crate/sandbox_link_io.h"
#include "agent/image/rootfs_io.h"
#include "agent/oci/logs_io.h"
#include "agent/oci/monitor_io.h"
#include "agent/oci/signals.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define MADE_BYTES_MAX       (64u << 20)
#define OPS_MAX              64
#define RESTART_DELAY_MS     100
#define RESTART_DELAY_MS_MAX 60000
#define RESTART_CALM_NS      (10 * NS_PER_S) // a life this long starts the delays anew

static void op_begin(struct crate *crate);
static void op_begin_later(struct loop_later *later);

// ---- the queue ---------------------------------------------------------------------------------

struct crate_op *crate_op_new(enum op_kind kind, crate_done *done, void *owner)
{
    struct crate_op *op = MEM_NEW(struct crate_op);
    list_init(&op->link);
    op->kind = kind;
    op->done = done;
    op->owner = owner;
    return op;
}

void crate_op_queue(struct crate *crate, struct crate_op *op)
{
    struct crate_life *life = crate->life;
    size_t count = 0;
    LIST_EACH (it, &life->ops)
        count++;
    if (count >= OPS_MAX)
        err_set(&op->err, ERR_RESOURCE_EXHAUSTED, "too many operations wait for container %s",
                crate->name);
    list_push_back(&life->ops, &op->link);
    loop_later_ask(&life->step);
}

// Behind the operation that runs, before all others.
static void op_queue_next(struct crate *crate, struct crate_op *op)
{
    struct crate_life *life = crate->life;
    if (life->running_op)
        list_insert_after(life->ops.next, &op->link);
    else
        list_push_front(&life->ops, &op->link);
    loop_later_ask(&life->step);
}

struct crate_op *crate_op_now(struct crate *crate)
{
    CHECK(crate->life->running_op);
    return LIST_ENTRY(crate->life->ops.next, struct crate_op, link);
}

// Ends the operation that runs, with its err. The next begins later in this turn.
void crate_op_end(struct crate *crate)
{
    struct crate_op *op = crate_op_now(crate);
    crate->life->running_op = false;
    list_remove(&op->link);
    loop_later_ask(&crate->life->step);
    if (op->done)
        op->done(op->owner, op->err.code ? &op->err : NULL);
    else if (op->err.code)
        log_warn("container", "name=%s err=\"%s\"", crate->name, op->err.message);
    json_decref(op->body);
    free(op);
    if (crate->life->forgotten)
        loop_later_ask(&crate->life->free_later);
}

// The same operation once more, after what is next.
static void op_again_after_next(struct crate *crate)
{
    struct crate_life *life = crate->life;
    struct crate_op *op = crate_op_now(crate);
    life->running_op = false;
    struct list *next = op->link.next;
    list_remove(&op->link);
    if (next == &life->ops)
        list_push_front(&life->ops, &op->link);
    else
        list_insert_after(next, &op->link);
    loop_later_ask(&life->step);
}

void crate_op_back(struct crate *crate)
{
    MAGIC_CHECK(crate, CRATE_MAGIC);
    CHECK(crate->crates->pending);
    crate->crates->pending--;
}

// ---- the end of the process --------------------------------------------------------------------

void crate_waits_tell(struct crate *crate, bool removed)
{
    LIST_EACH_SAFE (it, &crate->life->waits) {
        struct crate_wait *wait = LIST_ENTRY(it, struct crate_wait, link);
        if (wait->condition == CRATE_REMOVED && !removed)
            continue;
        list_remove(&wait->link);
        wait->code = crate->exit_code;
        str_copy(wait->error, sizeof wait->error, crate->error);
        loop_later_ask(&wait->later);
    }
}

static bool policy_restarts(const struct crate *crate)
{
    const json_t *policy = config_of(crate->host, "RestartPolicy");
    const char *name = config_str(policy, "Name");
    int64_t most = config_int(policy, "MaximumRetryCount");
    if (crate->crates->quiet || crate->task || crate->stopped_by_user)
        return false;
    if (str_equal(name, "on-failure"))
        return crate->exit_code != 0 && (!most || crate->restart_count < most);
    return str_equal(name, "always") || str_equal(name, "unless-stopped");
}

void crate_restart_later(struct crate *crate)
{
    struct crate_life *life = crate->life;
    if (!policy_restarts(crate))
        return;
    if (wall_since(crate->finished, crate->started) >= RESTART_CALM_NS || !life->restart_delay_ms)
        life->restart_delay_ms = RESTART_DELAY_MS;
    crate->state = CRATE_RESTARTING;
    loop_timer_start(&life->restart, life->restart_delay_ms);
    life->restart_delay_ms *= 2;
    if (life->restart_delay_ms > RESTART_DELAY_MS_MAX)
        life->restart_delay_ms = RESTART_DELAY_MS_MAX;
}

static void restart_fire(struct loop_timer *timer)
{
    struct crate_life *life = CONTAINER_OF(timer, struct crate_life, restart);
    struct crate *crate = life->crate;
    MAGIC_CHECK(crate, CRATE_MAGIC);
    if (crate->state != CRATE_RESTARTING)
        return;
    crate->restart_count++;
    crate_op_queue(crate, crate_op_new(OP_START, NULL, NULL));
}

void crate_exited(struct crate *crate, const struct runtime_exit *end)
{
    MAGIC_CHECK(crate, CRATE_MAGIC);
    char code[16];
    if (!crate_running(crate))
        return; // its start failed and says so
    crate->state = CRATE_EXITED;
    crate->pid = 0;
    crate_link_sandbox(crate);
    crate->exit_code = end->code < 0 ? 255 : end->code;
    crate->oom_killed = end->oom_killed;
    str_copy(crate->error, sizeof crate->error, end->message);
    crate->finished = end->at.ns ? end->at : wall_now();
    crate_health_end(crate);
    if (end->oom_killed)
        crate_tell(crate, "oom", NULL);
    str_format(code, sizeof code, "%d", crate->exit_code);
    crate_tell(crate, "die", (const char *const[]){"exitCode", code, NULL});
    if (crate->task) {
        if (crate->stopped_by_user)
            crate_tell(crate, "stop", NULL);
        // It is kept for its history, and need not be mounted for that.
        if (!crate->life->root_users)
            rootfs_unmount(images_root(crate->crates->images), crate->id, NULL);
        crate_waits_tell(crate, false);
        return;
    }
    crate_save(crate, NULL);
    op_queue_next(crate, crate_op_new(OP_CLEAN, NULL, NULL));
}

static void clean_unmounted(struct crate *crate)
{
    crate_net_leave(crate);
    if (!crate->life->root_users)
        rootfs_unmount(images_root(crate->crates->images), crate->id, NULL);
    crate_attaches_drain(crate);
    // Whatever waits to be done is its user's wish, which goes before the policy.
    bool more = crate->life->ops.next->next != &crate->life->ops;
    if (!more)
        crate_restart_later(crate);
    if (crate->state != CRATE_RESTARTING && config_bool(crate->host, "AutoRemove") &&
        !crate->crates->quiet) {
        struct crate_op *removal = crate_op_new(OP_REMOVE, NULL, NULL);
        removal->volumes = true;
        crate_op_queue(crate, removal);
    }
    crate_save(crate, NULL);
    crate_waits_tell(crate, false);
    crate_op_end(crate);
}

static void clean_deleted(void *owner, const struct err *err)
{
    struct crate *crate = owner;
    crate_op_back(crate);
    if (err)
        crate_op_now(crate)->err = *err;
    crate_volumes_end(crate, clean_unmounted);
}

static void clean_begin(struct crate *crate)
{
    crate->crates->pending++;
    runtime_delete(crate->crates->runtime, crate->id, true, clean_deleted, crate);
}

// ---- stopping ----------------------------------------------------------------------------------

static int signal_to_stop(const struct crate *crate, int wanted)
{
    int own = signal_of_name(str_or(config_str(crate->config, "StopSignal"), "SIGTERM"));
    return wanted ? wanted : own ? own : SIGTERM;
}

int64_t crate_stop_seconds(const struct crate *crate)
{
    const json_t *own = json_object_get(crate->config, "StopTimeout");
    return json_is_integer(own) ? json_integer_value(own) : CRATE_STOP_S;
}

static void stop_ended(void *owner, const struct err *err)
{
    struct crate *crate = owner;
    crate_op_back(crate);
    struct crate_op *op = crate_op_now(crate);
    if (err)
        op->err = *err;
    else if (op->kind == OP_STOP)
        crate_tell(crate, "stop", NULL);
    // Its exit was told before, so the cleaning is next.
    if (!err && !crate->task && (op->kind == OP_RESTART || op->kind == OP_REMOVE) &&
        !crate_running(crate))
        op_again_after_next(crate);
    else
        crate_op_end(crate);
}

static void stop_running(struct crate *crate, int signal, int64_t seconds)
{
    char text[16];
    crate->stopped_by_user = true;
    crate->crates->pending++;
    str_format(text, sizeof text, "%d", signal);
    crate_tell(crate, "kill", (const char *const[]){"signal", text, NULL});
    int64_t grace_ms = seconds < 0 || seconds > INT32_MAX / 1000 ? INT32_MAX : seconds * 1000;
    runtime_stop(crate->crates->runtime, crate->id, signal, grace_ms, stop_ended, crate);
}

static void stop_begin(struct crate *crate)
{
    struct crate_op *op = crate_op_now(crate);
    if (crate->state == CRATE_RESTARTING) {
        loop_timer_stop(&crate->life->restart);
        crate->stopped_by_user = true;
        crate->state = CRATE_EXITED;
        crate_save(crate, NULL);
    }
    if (crate_running(crate))
        stop_running(crate, signal_to_stop(crate, op->signal), op->seconds);
    else
        crate_op_end(crate);
}

static void restart_begin(struct crate *crate)
{
    struct crate_op *op = crate_op_now(crate);
    if (crate->task && crate_running(crate)) {
        stop_running(crate, signal_to_stop(crate, op->signal), op->seconds);
        return; // the swarm replaces it
    }
    if (crate_running(crate)) {
        stop_running(crate, signal_to_stop(crate, op->signal), op->seconds);
        return;
    }
    op->kind = OP_START;
    crate_start_begin(crate);
}

int crate_kill(struct crate *crate, int signal, struct err *err)
{
    char text[16];
    int rc = runtime_signal(crate->crates->runtime, crate->id, signal, err);
    if (rc)
        return rc;
    if (signal == SIGKILL || signal == signal_to_stop(crate, 0))
        crate->stopped_by_user = true;
    // A frozen process would never see it.
    if (signal == SIGKILL && crate->state == CRATE_PAUSED)
        crate_op_queue(crate, crate_op_new(OP_UNPAUSE, NULL, NULL));
    str_format(text, sizeof text, "%d", signal);
    crate_tell(crate, "kill", (const char *const[]){"signal", text, NULL});
    return 0;
}

// ---- pausing, limits ---------------------------------------------------------------------------

static void pause_ended(void *owner, const struct err *err)
{
    struct crate *crate = owner;
    crate_op_back(crate);
    struct crate_op *op = crate_op_now(crate);
    if (err)
        op->err = *err;
    else if (crate_running(crate)) {
        crate->state = op->kind == OP_PAUSE ? CRATE_PAUSED : CRATE_RUNNING;
        crate_tell(crate, op->kind == OP_PAUSE ? "pause" : "unpause", NULL);
    }
    crate_op_end(crate);
}

static void pause_begin(struct crate *crate)
{
    struct crate_op *op = crate_op_now(crate);
    struct runtime *runtime = crate->crates->runtime;
    bool pause = op->kind == OP_PAUSE;
    if (!crate_running(crate) && pause)
        err_set(&op->err, ERR_ABORTED, "Container %s is not running", crate->id);
    else if (pause && crate->state == CRATE_PAUSED)
        err_set(&op->err, ERR_ABORTED, "Container %s is already paused", crate->id);
    else if (!pause && crate->state != CRATE_PAUSED)
        err_set(&op->err, ERR_INTERNAL, "Container %s is not paused", crate->id);
    if (op->err.code) {
        crate_op_end(crate);
        return;
    }
    crate->crates->pending++;
    if (pause)
        runtime_pause(runtime, crate->id, pause_ended, crate);
    else
        runtime_resume(runtime, crate->id, pause_ended, crate);
}

static void update_ended(void *owner, const struct err *err)
{
    struct crate *crate = owner;
    struct crate_op *op = crate_op_now(crate);
    crate_op_back(crate);
    if (err) {
        // Nothing has changed, and nothing is shown as if it had.
        json_t *refused = crate->host;
        crate->host = op->body;
        op->body = refused;
        op->err = *err;
    } else {
        crate_tell(crate, "update", NULL);
        crate_save(crate, NULL);
    }
    crate_op_end(crate);
}

static void update_begin(struct crate *crate)
{
    struct crate_op *op = crate_op_now(crate);
    json_t *host = json_deep_copy(crate->host);
    struct oci_limits limits;
    if (crate->task)
        err_set(&op->err, ERR_FAILED_PRECONDITION,
                "container %s belongs to a task: update its service", crate->name);
    else if (host_config_change(host, op->body, &op->err) == 0)
        host_config_settle(crate->config, host, crate->crates->defaults, &op->err);
    if (op->err.code) {
        json_decref(host);
        crate_op_end(crate);
        return;
    }
    json_decref(op->body);
    op->body = crate->host; // what it was, until it is known that the new one can be
    crate->host = host;
    crate->crates->pending++;
    if (crate_running(crate)) {
        crate_limits(host, &limits);
        runtime_update(crate->crates->runtime, crate->id, &limits, update_ended, crate);
        return;
    }
    update_ended(crate, NULL);
}

// ---- removing ----------------------------------------------------------------------------------

static void remove_work(struct loop_work *work)
{
    struct crate_life *life = CONTAINER_OF(work, struct crate_life, work);
    rootfs_remove(images_root(life->crate->crates->images), life->crate->id,
                  &LIST_ENTRY(life->ops.next, struct crate_op, link)->err);
}

static void remove_worked(struct loop_work *work)
{
    struct crate_life *life = CONTAINER_OF(work, struct crate_life, work);
    struct crate *crate = life->crate;
    crate_op_back(crate);
    struct crate_op *op = crate_op_now(crate);
    if (op->err.code) {
        crate->state = CRATE_EXITED;
        str_copy(crate->error, sizeof crate->error, op->err.message);
        crate_op_end(crate);
        return;
    }
    volumes_release_all(crate->crates->volumes, crate->id, op->volumes);
    logs_remove(crate->log_path);
    crate_tell(crate, "destroy", NULL);
    crate_forget(crate);
    crate_op_end(crate);
}

static void remove_layer(struct crate *crate)
{
    crate->crates->pending++;
    loop_work_start(crate->crates->loop, &crate->life->work, remove_work, remove_worked);
}

static void remove_begin(struct crate *crate)
{
    struct crate_op *op = crate_op_now(crate);
    if (crate->state == CRATE_RESTARTING && op->force) {
        loop_timer_stop(&crate->life->restart);
        crate->state = CRATE_EXITED;
    }
    if ((crate_running(crate) || crate->state == CRATE_RESTARTING) && !op->force) {
        err_set(&op->err, ERR_ABORTED,
                "You cannot remove a %s container %s. Stop the container before attempting removal "
                "or force remove",
                crate_state_name(crate), crate->id);
        crate_op_end(crate);
        return;
    }
    if (crate_running(crate)) {
        stop_running(crate, SIGKILL, 0);
        return;
    }
    if (crate->task) { // the agent takes it away when its task ends
        crate_op_end(crate);
        return;
    }
    crate->state = CRATE_REMOVING;
    crate_volumes_end(crate, remove_layer); // of a start that a crash cut short
}

// ---- the steps ---------------------------------------------------------------------------------

static void op_begin(struct crate *crate)
{
    static void (*const begin[])(struct crate *) = {
        [OP_START] = crate_start_begin,   [OP_STOP] = stop_begin,
        [OP_RESTART] = restart_begin,     [OP_PAUSE] = pause_begin,
        [OP_UNPAUSE] = pause_begin,       [OP_REMOVE] = remove_begin,
        [OP_UPDATE] = update_begin,       [OP_CLEAN] = clean_begin,
        [OP_COMMIT] = crate_commit_begin,
    };
    struct crate_life *life = crate->life;
    struct crate_op *op = LIST_ENTRY(life->ops.next, struct crate_op, link);
    life->running_op = true;
    bool gone = list_empty(&crate->link);
    if (gone && !op->err.code && op->kind != OP_REMOVE)
        err_set(&op->err, ERR_NOT_FOUND, "No such container: %s", crate->id);
    if (gone || op->err.code)
        crate_op_end(crate);
    else
        begin[op->kind](crate);
}

static void op_begin_later(struct loop_later *later)
{
    struct crate_life *life = CONTAINER_OF(later, struct crate_life, step);
    if (!life->running_op && !list_empty(&life->ops))
        op_begin(life->crate);
}

void crate_life_init(struct crate *crate)
{
    struct crate_life *life = MEM_NEW(struct crate_life);
    crate->life = life;
    life->crate = crate;
    list_init(&life->ops);
    list_init(&life->waits);
    list_init(&life->attaches);
    arena_init(&life->made, MADE_BYTES_MAX);
    loop_later_init(&life->step, crate->crates->loop, op_begin_later);
    loop_timer_init(&life->restart, crate->crates->loop, restart_fire);
    loop_timer_init(&life->health_timer, crate->crates->loop, restart_fire);
}

void crate_life_fini(struct crate *crate)
{
    struct crate_life *life = crate->life;
    life->forgotten = false;
    // Those who came too late.
    while (!list_empty(&life->ops))
        op_begin(crate);
    loop_later_cancel(&life->step);
    loop_timer_stop(&life->restart);
    crate_health_end(crate);
    arena_fini(&life->made);
    free(life);
}

void crate_start(struct crate *crate, crate_done *done, void *owner)
{
    struct crate_op *op = crate_op_new(OP_START, done, owner);
    if (crate->task)
        err_set(&op->err, ERR_FAILED_PRECONDITION,
                "container %s belongs to a task of the swarm, which starts it", crate->name);
    crate_op_queue(crate, op);
}

void crate_stop(struct crate *crate, int signal, int64_t seconds, crate_done *done, void *owner)
{
    struct crate_op *op = crate_op_new(OP_STOP, done, owner);
    op->signal = signal;
    op->seconds = seconds;
    crate_op_queue(crate, op);
}

void crate_restart(struct crate *crate, int signal, int64_t seconds, crate_done *done, void *owner)
{
    struct crate_op *op = crate_op_new(OP_RESTART, done, owner);
    op->signal = signal;
    op->seconds = seconds;
    crate_op_queue(crate, op);
}

void crate_pause(struct crate *crate, crate_done *done, void *owner)
{
    crate_op_queue(crate, crate_op_new(OP_PAUSE, done, owner));
}

void crate_unpause(struct crate *crate, crate_done *done, void *owner)
{
    crate_op_queue(crate, crate_op_new(OP_UNPAUSE, done, owner));
}

void crate_remove(struct crate *crate, bool force, bool volumes, crate_done *done, void *owner)
{
    struct crate_op *op = crate_op_new(OP_REMOVE, done, owner);
    op->force = force;
    op->volumes = volumes;
    crate_op_queue(crate, op);
}

void crate_update(struct crate *crate, const json_t *body, crate_done *done, void *owner)
{
    struct crate_op *op = crate_op_new(OP_UPDATE, done, owner);
    op->body = json_deep_copy(body);
    crate_op_queue(crate, op);
}

int crate_rename(struct crate *crate, const char *name, struct err *err)
{
    struct crates *crates = crate->crates;
    const char *bare = name[0] == '/' ? name + 1 : name;
    struct crate *other = map_get_str(&crates->by_name, bare);
    char old[CRATE_NAME_BYTES + 1];
    if (crate->task)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "container %s belongs to a task of the swarm, which named it", crate->name);
    if (other == crate)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "Renaming a container with the same name as its current name");
    if (other || map_has_str(&crates->by_name, bare))
        return err_set(err, ERR_ALREADY_EXISTS,
                       "Conflict. The container name \"/%s\" is already in use by container "
                       "\"%s\". You have to remove (or rename) that container to be able to reuse "
                       "that name.",
                       bare, other ? other->id : "");
    str_format(old, sizeof old, "/%s", crate->name);
    map_remove_str(&crates->by_name, crate->name);
    str_copy(crate->name, sizeof crate->name, bare);
    map_put_str(&crates->by_name, crate->name, crate);
    int rc = crate_save(crate, err);
    crate_tell(crate, "rename", (const char *const[]){"oldName", old, NULL});
    return rc;
}

int crate_resize(struct crate *crate, unsigned rows, unsigned columns, struct err *err)
{
    const char *dir = runtime_dir(crate->crates->runtime, crate->id);
    if (!crate_running(crate) || !dir)
        return err_set(err, ERR_ABORTED, "Container %s is not running", crate->id);
    return monitor_resize(dir, rows, columns, err);
}

// ---- waiting -----------------------------------------------------------------------------------

static void wait_run(struct loop_later *later)
{
    struct crate_wait *wait = CONTAINER_OF(later, struct crate_wait, later);
    wait->done(wait);
}

void crate_wait(struct crate *crate, enum crate_condition condition, struct crate_wait *wait)
{
    wait->condition = condition;
    list_init(&wait->link);
    loop_later_init(&wait->later, crate->crates->loop, wait_run);
    bool over = condition == CRATE_NOT_RUNNING && !crate_running(crate) &&
                crate->state != CRATE_RESTARTING && !crate->life->running_op;
    if (over) {
        wait->code = crate->exit_code;
        str_copy(wait->error, sizeof wait->error, crate->error);
        loop_later_ask(&wait->later);
    } else {
        list_push_back(&crate->life->waits, &wait->link);
    }
}

void crate_wait_cancel(struct crate_wait *wait)
{
    list_remove(&wait->link);
    loop_later_cancel(&wait->later);
}
