// The operations of runtime_io.h that start programs: create, start, stop, delete, pause, update.
//
// The happy path of a container: create makes its state folder (runtime_folder_io.h), then conmon,
// which runs "crun create"; start does what "crun start" does; its end comes through conmon's pidfd
// (runtime_io.c); delete runs "crun delete" and takes everything away. Whatever fails on the way of
// create is undone by the same steps as delete.
#include "agent/oci/runtime_io.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/oci/bundle_parts.h"
#include "agent/oci/monitor_io.h"
#include "agent/oci/runtime_folder_io.h"
#include "agent/oci/runtime_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define PROGRAM_MS_MAX 120000
#define ARGS_MAX       16
#define GRACE_MS_MAX   (INT64_C(365) * 24 * 3600 * 1000)

// ---- operations --------------------------------------------------------------------------------

static void op_end(struct op *op, const struct err *err)
{
    struct runtime *runtime = op->runtime;
    runtime->ops--;
    if (op->container)
        op->container->busy = false;
    if (op->has_slot)
        runtime_slot_free(runtime);
    runtime_done *done = op->done;
    void *owner = op->owner;
    struct err copy = ERR_INIT;
    if (err)
        err_copy(&copy, err);
    free(op->log_path);
    free(op);
    done(owner, err ? &copy : NULL);
}

static void op_answer(struct loop_later *later)
{
    struct op *op = CONTAINER_OF(later, struct op, later);
    op_end(op, op->err.code ? &op->err : NULL);
}

static struct op *op_new(struct runtime *runtime, runtime_done *done, void *owner)
{
    MAGIC_CHECK(runtime, RUNTIME_MAGIC);
    CHECK(done);
    struct op *op = MEM_NEW(struct op);
    op->runtime = runtime;
    op->done = done;
    op->owner = owner;
    list_init(&op->link);
    loop_later_init(&op->later, runtime->loop, op_answer);
    runtime->ops++;
    return op;
}

// Answers with what is in op->err, from the loop.
static void op_answer_later(struct op *op)
{
    loop_later_ask(&op->later);
}

// The container of an operation that needs it for itself. False: the answer is on its way.
static bool op_take(struct op *op, const char *id)
{
    struct container *container = runtime_container(op->runtime, id);
    if (!container || container->creating)
        err_set(&op->err, ERR_NOT_FOUND, "no container %s", id);
    else if (container->busy)
        err_set(&op->err, ERR_FAILED_PRECONDITION, "another operation on container %s is under way",
                id);
    if (op->err.code) {
        op_answer_later(op);
        return false;
    }
    op->container = container;
    container->busy = true;
    return true;
}

static void op_granted(struct loop_later *later)
{
    struct op *op = CONTAINER_OF(later, struct op, later);
    loop_later_init(&op->later, op->runtime->loop, op_answer);
    op->run(op);
}

static void grant(struct op *op)
{
    op->runtime->slots--;
    op->has_slot = true;
    loop_later_init(&op->later, op->runtime->loop, op_granted);
    loop_later_ask(&op->later);
}

// Runs op->run from the loop once there is a slot.
static void op_start(struct op *op, void (*run)(struct op *op))
{
    op->run = run;
    if (op->runtime->slots)
        grant(op);
    else
        list_push_back(&op->runtime->waiting, &op->link);
}

void runtime_slot_free(struct runtime *runtime)
{
    runtime->slots++;
    struct list *link = list_pop_front(&runtime->waiting);
    if (link)
        grant(LIST_ENTRY(link, struct op, link));
}

bool container_is_crun(const struct container *container)
{
    return str_equal(container->program->kind, "crun");
}

int container_run(struct container *container, const char *const *args, process_done *done,
                  void *owner, struct err *err)
{
    struct runtime *runtime = container->runtime;
    char root[RUNTIME_PATH_BYTES + 16];
    const char *argv[ARGS_MAX] = {program_path(container->program), root};
    CHECK(str_format(root, sizeof root, "--root=%s", runtime->program_root));
    for (size_t i = 0; args[i]; i++) {
        CHECK(i + 3 < ARGS_MAX);
        argv[i + 2] = args[i];
    }
    struct process_spec spec = {
        .argv = argv, .output_bytes_max = RUNTIME_OUTPUT, .timeout_ms = PROGRAM_MS_MAX};
    return process_start(runtime->loop, &spec, done, owner, NULL, err);
}

// Messages look like "2026-11-20T14:00:00.000Z: error opening ...", or "time=... level=error
// msg=...".
int runtime_check(const struct process_result *result, const char *what, struct err *err)
{
    struct err said = ERR_INIT;
    int rc = process_check(result, what, &said);
    if (!rc)
        return 0;
    return err_copy(err, &said);
}

// ---- create ------------------------------------------------------------------------------------

// The last step of a create that failed: nothing may be left.
static void create_undone(void *owner, const struct process_result *result)
{
    (void)result; // "no such container" is what is hoped for
    struct op *op = owner;
    struct err err = ERR_INIT;
    if (container_clean(op->container, &err) != 0)
        log_warn("container leavings stay", "container=%s err=\"%s\"", op->container->id,
                 err.message);
    container_free(op->container);
    op->container = NULL;
    op_end(op, &op->err);
}

static void create_failed(struct op *op)
{
    CHECK(op->err.code);
    struct container *container = op->container;
    pid_t monitor = monitor_find(container->dir, container->id);
    if (monitor)
        kill(monitor, SIGKILL);
    const char *args[] = {"delete", "--force", container->id, NULL};
    if (container_run(op->container, args, create_undone, op, NULL) == 0)
        return;
    struct process_result none = {0};
    create_undone(op, &none);
}

static void create_done(void *owner, pid_t pid, const struct err *err)
{
    struct op *op = owner;
    struct container *container = op->container;
    MAGIC_CHECK(container, CONTAINER_MAGIC);
    pid_t monitor = err ? 0 : monitor_find(container->dir, container->id);
    if (err)
        err_copy(&op->err, err);
    else if (!monitor)
        err_set(&op->err, ERR_INTERNAL, "conmon of container %s ended at once", container->id);
    else
        container_watch(container, pid, monitor, &op->err);
    if (op->err.code) {
        create_failed(op);
        return;
    }
    container->creating = false;
    container->state = RUNTIME_CREATED;
    container->created = wall_now();
    op_end(op, NULL);
}

static void create_run(struct op *op)
{
    struct container *container = op->container;
    struct runtime *runtime = op->runtime;
    struct monitor_spec spec = {
        .conmon = runtime->conmon,
        .preload = runtime->preload,
        .runtime = program_path(container->program),
        .runtime_root = runtime->program_root,
        .id = container->id,
        .dir = container->dir,
        .log_path = op->log_path,
        .tty = container->tty,
        .open_stdin = op->open_stdin,
        .stdin_once = op->stdin_once,
    };
    if (monitor_start(runtime->loop, &spec, create_done, op, &op->err) != 0)
        create_failed(op);
}

static void create_unprepared(struct op *op)
{
    struct process_result none = {0};
    create_undone(op, &none);
}

void runtime_create(struct runtime *runtime, const struct oci_container *spec, const char *log_path,
                    runtime_done *done, void *owner)
{
    struct op *op = op_new(runtime, done, owner);
    if (bundle_check(spec, &op->err) != 0) {
        op_answer_later(op);
        return;
    }
    if (runtime_container(runtime, spec->id)) {
        err_set(&op->err, ERR_ALREADY_EXISTS, "container %s exists already", spec->id);
        op_answer_later(op);
        return;
    }
    struct program *program = programs_find(&runtime->programs, spec->runtime);
    if (!program)
        err_set(&op->err, ERR_INVALID_ARGUMENT, "Unknown runtime specified %.100s", spec->runtime);
    if (!program || programs_ready(&runtime->programs, program, &op->err) != 0) {
        op_answer_later(op);
        return;
    }
    struct container *container = container_new(runtime, spec->id, program);
    container->creating = true;
    container->busy = true;
    container->tty = spec->tty;
    op->container = container;
    op->open_stdin = spec->open_stdin;
    op->stdin_once = spec->stdin_once;
    op->log_path = str_dup(str_or(log_path, ""));
    // A failure here needs no runtime program, but still answers from the loop.
    op_start(op, container_folder_make(container, spec, &op->err) == 0 ? create_run
                                                                       : create_unprepared);
}

// ---- start -------------------------------------------------------------------------------------

// The answer to runtime_start, and after it the end of a container that did not wait for it.
static void start_end(struct op *op)
{
    struct container *container = op->container;
    container->starting = false;
    op_end(op, op->err.code ? &op->err : NULL);
    // Nothing frees a container inside a call, so this one is still there.
    if (container->exit_untold)
        container_tell_exit(container);
}

static void start_went(struct op *op)
{
    struct container *container = op->container;
    container->started = wall_now();
    // It may have ended already: short-lived commands do.
    if (container->state == RUNTIME_CREATED)
        container->state = RUNTIME_RUNNING;
    container_folder_write(container, STARTED_FILE, "", &op->err);
    start_end(op);
}

static void start_done(void *owner, const struct process_result *result)
{
    struct op *op = owner;
    struct container *container = op->container;
    if (runtime_check(result, "start container", &op->err) == 0) {
        start_went(op);
        return;
    }
    // What cannot start must not wait for ever; conmon then reports its end.
    if (container->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, container->pidfd, SIGKILL, NULL, 0);
    start_end(op);
}

// "crun start" without crun: the first process waits for a byte from a FIFO of the runtime's state
// folder, whose name goes first, for it says that the container is not yet started. (All it does
// besides is to run hooks, of which bundles of ours have none.) False, and nothing was done, where
// that FIFO is not as it should be or nobody waits at it: the program then finds the words.
static bool start_by_fifo(const struct op *op)
{
    char path[RUNTIME_PATH_BYTES];
    struct stat st;
    if (!container_is_crun(op->container) ||
        !str_format(path, sizeof path, "%s/%s/exec.fifo", op->runtime->program_root,
                    op->container->id))
        return false;
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    bool went = fd >= 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && unlink(path) == 0 &&
                write(fd, "", 1) == 1;
    if (fd >= 0)
        close(fd);
    return went;
}

static void start_run(struct op *op)
{
    const char *args[] = {"start", op->container->id, NULL};
    if (op->container->state != RUNTIME_CREATED) {
        err_set(&op->err, ERR_FAILED_PRECONDITION, "container %s was started before",
                op->container->id);
        start_end(op);
    } else if (start_by_fifo(op)) {
        start_went(op);
    } else if (container_run(op->container, args, start_done, op, &op->err) != 0) {
        start_end(op);
    }
}

void runtime_start(struct runtime *runtime, const char *id, runtime_done *done, void *owner)
{
    struct op *op = op_new(runtime, done, owner);
    if (!op_take(op, id))
        return;
    op->container->starting = true;
    op_start(op, start_run);
}

// ---- stop --------------------------------------------------------------------------------------

static void kill_all(struct container *container)
{
    // A frozen process takes its signals once it is thawed.
    if (container->state == RUNTIME_PAUSED) {
        cgroup_freeze(&container->runtime->cgroup, container->cgroup_path, false, NULL);
        container->state = RUNTIME_RUNNING;
    }
    container->exit.killed = container->stop_asked;
    if (container->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, container->pidfd, SIGKILL, NULL, 0);
    cgroup_kill(&container->runtime->cgroup, container->cgroup_path);
}

static void grace_over(struct loop_timer *timer)
{
    struct container *container = CONTAINER_OF(timer, struct container, grace);
    MAGIC_CHECK(container, CONTAINER_MAGIC);
    kill_all(container);
    // Until conmon reports the end: what forks while it is being killed is caught the next time.
    loop_timer_start(timer, 1000);
}

void runtime_stop(struct runtime *runtime, const char *id, int signal, int64_t grace_ms,
                  runtime_done *done, void *owner)
{
    struct container *container = runtime_container(runtime, id);
    if (!container || container->creating || container->state == RUNTIME_EXITED) {
        struct op *op = op_new(runtime, done, owner);
        if (!container || container->creating)
            err_set(&op->err, ERR_NOT_FOUND, "no container %s", id);
        op_answer_later(op);
        return;
    }
    struct stop_wait *wait = MEM_NEW(struct stop_wait);
    wait->done = done;
    wait->owner = owner;
    container->stop_asked = signal != SIGKILL;
    bool first = list_empty(&container->stops);
    list_push_back(&container->stops, &wait->link);
    runtime->ops++;
    grace_ms = grace_ms < 0 ? 0 : grace_ms > GRACE_MS_MAX ? GRACE_MS_MAX : grace_ms;
    struct mono due = mono_add(loop_now(runtime->loop), grace_ms * NS_PER_MS);
    if (!container->grace.fire)
        loop_timer_init(&container->grace, runtime->loop, grace_over);
    if (first || mono_before(due, container->grace_due)) {
        container->grace_due = due;
        loop_timer_start_at(&container->grace, due);
    }
    // A container that was never started has no program to hear a signal.
    if (grace_ms == 0 || container->state == RUNTIME_CREATED)
        kill_all(container);
    else if (container->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, container->pidfd, signal, NULL, 0);
}

bool runtime_stop_forget(struct runtime *runtime, const char *id, runtime_done *done, void *owner)
{
    struct container *container = runtime_container(runtime, id);
    if (!container)
        return false;
    LIST_EACH_SAFE (link, &container->stops) {
        struct stop_wait *wait = LIST_ENTRY(link, struct stop_wait, link);
        if (wait->done != done || wait->owner != owner)
            continue;
        list_remove(link);
        free(wait);
        runtime->ops--;
        return true;
    }
    return false;
}

// ---- delete ------------------------------------------------------------------------------------

static void delete_done(void *owner, const struct process_result *result)
{
    struct op *op = owner;
    struct container *container = op->container;
    if (runtime_check(result, "delete container", &op->err) != 0 &&
        (strstr(op->err.message, "does not exist") || strstr(op->err.message, "No such file")))
        err_clear(&op->err);
    // Also after a failure: what can go goes, and calling again finishes the rest.
    struct err clean = ERR_INIT;
    if (container_clean(container, &clean) != 0 && !op->err.code)
        err_copy(&op->err, &clean);
    if (op->err.code) {
        op_end(op, &op->err);
        return;
    }
    container_free(container);
    op->container = NULL;
    op_end(op, NULL);
}

static void delete_run(struct op *op)
{
    const char *args[] = {"delete", "--force", op->container->id, NULL};
    if (container_run(op->container, args, delete_done, op, &op->err) != 0)
        op_end(op, &op->err);
}

static void delete_stopped(void *owner, const struct err *err)
{
    struct op *op = owner;
    CHECK(!err);
    op_start(op, delete_run);
}

void runtime_delete(struct runtime *runtime, const char *id, bool force, runtime_done *done,
                    void *owner)
{
    struct op *op = op_new(runtime, done, owner);
    struct container *container = runtime_container(runtime, id);
    if (!container) {
        op_answer_later(op);
        return;
    }
    if (!force && (container->state == RUNTIME_RUNNING || container->state == RUNTIME_PAUSED)) {
        err_set(&op->err, ERR_FAILED_PRECONDITION, "container %s is running", id);
        op_answer_later(op);
        return;
    }
    if (!op_take(op, id))
        return;
    if (container->state == RUNTIME_EXITED)
        op_start(op, delete_run);
    else
        runtime_stop(runtime, id, SIGKILL, 0, delete_stopped, op);
}

// ---- pause, resume, update ---------------------------------------------------------------------

static void freeze(struct runtime *runtime, const char *id, bool paused, runtime_done *done,
                   void *owner)
{
    struct op *op = op_new(runtime, done, owner);
    struct container *container = runtime_container(runtime, id);
    enum runtime_state from = paused ? RUNTIME_RUNNING : RUNTIME_PAUSED;
    if (!container || container->creating)
        err_set(&op->err, ERR_NOT_FOUND, "no container %s", id);
    else if (container->state != from)
        err_set(&op->err, ERR_FAILED_PRECONDITION, "container %s is %s", id,
                paused ? "not running" : "not paused");
    else if (cgroup_freeze(&runtime->cgroup, container->cgroup_path, paused, &op->err) == 0)
        container->state = paused ? RUNTIME_PAUSED : RUNTIME_RUNNING;
    op_answer_later(op);
}

void runtime_pause(struct runtime *runtime, const char *id, runtime_done *done, void *owner)
{
    freeze(runtime, id, true, done, owner);
}

void runtime_resume(struct runtime *runtime, const char *id, runtime_done *done, void *owner)
{
    freeze(runtime, id, false, done, owner);
}

static void update_done(void *owner, const struct process_result *result)
{
    struct op *op = owner;
    int rc = runtime_check(result, "update container", &op->err);
    op_end(op, rc ? &op->err : NULL);
}

static void update_run(struct op *op)
{
    char file[RUNTIME_PATH_BYTES];
    CHECK(str_format(file, sizeof file, "--resources=%s/update.json", op->container->dir));
    const char *args[] = {"update", file, op->container->id, NULL};
    if (container_run(op->container, args, update_done, op, &op->err) != 0)
        op_end(op, &op->err);
}

void runtime_update(struct runtime *runtime, const char *id, const struct oci_limits *limits,
                    runtime_done *done, void *owner)
{
    struct op *op = op_new(runtime, done, owner);
    if (!op_take(op, id))
        return;
    struct container *container = op->container;
    struct oci_host host;
    struct buf text;
    struct json_out out;
    runtime_host(runtime, container, &host);
    buf_init(&text, 65536);
    json_out_init(&out, &text);
    bundle_put_limits(&out, limits, &host);
    if (container->pidfd < 0)
        err_set(&op->err, ERR_FAILED_PRECONDITION, "container %s is not running", id);
    else
        container_folder_write(container, "update.json", buf_cstr(&text), &op->err);
    buf_fini(&text);
    if (op->err.code)
        op_answer_later(op);
    else
        op_start(op, update_run);
}
