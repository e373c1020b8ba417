// How a crate's life ends: its process by itself or stopped, what it leaves behind, the crate.
//
//   end of the process: its code is noted, then OP_CLEAN deletes what the runtime keeps, unmounts,
//   tells those who wait, and does what the restart policy says
//   remove: (kill -> OP_CLEAN ->) layer, volumes, log and record
//
// An operation that makes the process end goes on after the OP_CLEAN that this brought about.
#include <signal.h>

#include "agent/crate/config.h"
#include "agent/crate/crates_priv_io.h"
#include "agent/crate/sandbox_link_io.h"
#include "agent/image/rootfs_io.h"
#include "agent/oci/log_files_io.h"
#include "agent/oci/signals.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"

#define RESTART_DELAY_MS     100
#define RESTART_DELAY_MS_MAX 60000
#define RESTART_CALM_NS      (10 * NS_PER_S) // a life this long starts the delays anew

// ---- the end of the process --------------------------------------------------------------------

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

void crate_restart_fire(struct loop_timer *timer)
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
    if (end->killed) // the signal that was asked for was told when it was sent
        crate_tell(crate, "kill", (const char *const[]){"signal", "9", NULL});
    if (end->oom_killed)
        crate_tell(crate, "oom", NULL);
    str_format(code, sizeof code, "%d", crate->exit_code);
    crate_tell(crate, "die", (const char *const[]){"exitCode", code, NULL});
    crate_volumes_tell(crate, "unmount");
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
    crate_op_queue_next(crate, crate_op_new(OP_CLEAN, NULL, NULL));
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

void crate_clean_begin(struct crate *crate)
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

int64_t crate_stop_seconds_or(const struct crate *crate, int64_t seconds)
{
    const json_t *own = json_object_get(crate->config, "StopTimeout");
    return json_is_integer(own) ? json_integer_value(own) : seconds;
}

int64_t crate_stop_seconds(const struct crate *crate)
{
    return crate_stop_seconds_or(crate, CRATE_STOP_S);
}

int crate_stop_signal(const struct crate *crate)
{
    return signal_to_stop(crate, 0);
}

int64_t crate_grace_ms(int64_t seconds)
{
    return seconds < 0 || seconds > INT32_MAX / 1000 ? INT32_MAX : seconds * 1000;
}

static void stop_ended(void *owner, const struct err *err)
{
    struct crate *crate = owner;
    crate_op_back(crate);
    struct crate_op *op = crate_op_now(crate);
    if (err)
        op->err = *err;
    else if (!crate->task && (op->kind == OP_STOP || op->kind == OP_RESTART))
        crate_tell(crate, "stop", NULL); // a task's is told with its end
    // Its exit was told before, so the cleaning is next.
    if (!err && !crate->task && (op->kind == OP_RESTART || op->kind == OP_REMOVE) &&
        !crate_running(crate))
        crate_op_again_after_next(crate);
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
    runtime_stop(crate->crates->runtime, crate->id, signal, crate_grace_ms(seconds), stop_ended,
                 crate);
}

void crate_stop_begin(struct crate *crate)
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

void crate_restart_begin(struct crate *crate)
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
    op->restarts = true;
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
    crate_volumes_tell(crate, "destroy");
    crate_tell(crate, "destroy", NULL);
    crate_forget(crate);
    crate_op_end(crate);
}

static void remove_layer(struct crate *crate)
{
    crate->crates->pending++;
    loop_work_start(crate->crates->loop, &crate->life->work, remove_work, remove_worked);
}

void crate_remove_begin(struct crate *crate)
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
