// What users do with a crate, one operation at a time: each waits in the crate's queue, begins when
// those before it ended, and answers once.
//
// How it starts is crate_start_io.c's, how it ends crate_end_io.c's.
#include <stdlib.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/crate/config_settle.h"
#include "agent/crate/crates_priv_io.h"
#include "agent/oci/monitor_io.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define MADE_BYTES_MAX (64u << 20)
#define OPS_MAX        64

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

void crate_op_queue_next(struct crate *crate, struct crate_op *op)
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
    const struct err *told = op->why.code ? &op->why : &op->err;
    if (op->done)
        op->done(op->owner, told->code ? told : NULL);
    else if (op->err.code)
        log_warn("container", "name=%s err=\"%s\"", crate->name, op->err.message);
    json_decref(op->body);
    free(op);
    if (crate->life->forgotten)
        loop_later_ask(&crate->life->free_later);
}

void crate_op_again_after_next(struct crate *crate)
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

// ---- the steps ---------------------------------------------------------------------------------

static void op_begin(struct crate *crate)
{
    static void (*const begin[])(struct crate *) = {
        [OP_START] = crate_start_begin,     [OP_STOP] = crate_stop_begin,
        [OP_RESTART] = crate_restart_begin, [OP_PAUSE] = pause_begin,
        [OP_UNPAUSE] = pause_begin,         [OP_REMOVE] = crate_remove_begin,
        [OP_UPDATE] = update_begin,         [OP_CLEAN] = crate_clean_begin,
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
    loop_timer_init(&life->restart, crate->crates->loop, crate_restart_fire);
    loop_timer_init(&life->health_timer, crate->crates->loop, crate_restart_fire);
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
