// The way of a task: prepared (container_prepare_io.c), started, stopped; at its end
// runtime_delete -> layer removed in a worker job.
//
// Each callback first asks container_back whether its task is still wanted; a closed one is freed
// when the last callback came back.
#include "agent/container_io.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "agent/container_priv_io.h"
#include "agent/image/rootfs_io.h"
#include "agent/oci/signals.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

#define ORDER_BYTES_MAX (64u << 20) // a task with its files, decoded
#define MADE_BYTES_MAX  (64u << 20)
#define NAMES_LOOK_MS   2    // between looks whether the resolver knows the task's names
#define NAMES_WAIT_MS   1000 // it may be starting anew: then the task does not wait for it

// ---- tasks and their callbacks -----------------------------------------------------------------

static void task_free(struct executor_task *task)
{
    CHECK(task->closed);
    CHECK(!task->pending);
    for (size_t i = 0; i < task->order.files_count; i++)
        if (task->order.files[i].size)
            explicit_bzero((void *)(uintptr_t)task->order.files[i].data, task->order.files[i].size);
    list_remove(&task->link);
    volume_uses_free(task->uses);
    free(task->log_path);
    arena_fini(&task->made);
    arena_fini(&task->arena);
    MAGIC_CLEAR(task);
    free(task);
}

bool container_back(struct executor_task *task)
{
    MAGIC_CHECK(task, EXECUTOR_TASK_MAGIC);
    CHECK(task->pending);
    task->pending--;
    if (task->closed && !task->pending)
        task_free(task);
    else if (!task->closed)
        return true;
    return false;
}

void container_begin(struct executor_task *task, enum container_op op)
{
    MAGIC_CHECK(task, EXECUTOR_TASK_MAGIC);
    CHECK(task->op == CONTAINER_IDLE);
    CHECK(!task->closed);
    task->op = op;
    err_clear(&task->err);
}

static void tell_found(struct executor_task *task);
static void tell_started(struct executor_task *task);

void container_answer(struct executor_task *task)
{
    enum container_op op = task->op;
    const struct err *err = task->err.code ? &task->err : NULL;
    task->op = CONTAINER_IDLE;
    switch (op) {
    case CONTAINER_FIND:
        tell_found(task);
        return;
    case CONTAINER_PREPARE:
        task->events->prepared(task->owner, err);
        return;
    case CONTAINER_START:
        tell_started(task);
        return;
    case CONTAINER_STOP:
        task->events->stopped(task->owner, err);
        return;
    case CONTAINER_REMOVE:
        task->events->removed(task->owner, err);
        return;
    case CONTAINER_IDLE:
        break;
    }
    UNREACHABLE("an answer without an operation");
}

static void answer_run(struct loop_later *later)
{
    struct executor_task *task = CONTAINER_OF(later, struct executor_task, answer);
    container_answer(task);
}

void container_answer_later(struct executor_task *task)
{
    loop_later_ask(&task->answer);
}

static void to_executor_exit(const struct runtime_exit *from, struct executor_exit *to)
{
    *to = (struct executor_exit){.code = from->code, .oom_killed = from->oom_killed};
    str_copy(to->message, sizeof to->message, from->message);
}

void container_appeared(struct executor_task *task)
{
    const struct containers *containers = task->containers;
    if (!containers->watcher)
        return;
    struct containers_view view = {
        .id = task->id,
        .task = task->order.task,
        .spec = &task->spec,
        .image_id = task->image_id,
        .log_path = task->log.none ? "" : task->log_path,
    };
    containers->watcher->appeared(containers->watcher_owner, &view);
}

static void watch_vanished(struct executor_task *task)
{
    const struct containers *containers = task->containers;
    if (containers->watcher)
        containers->watcher->vanished(containers->watcher_owner, task->id);
}

// What is found again knows its image only through its layer.
static void learn_image(struct executor_task *task)
{
    struct container_node node = {.hostname = task->containers->hostname,
                                  .init = task->containers->init,
                                  .defaults = task->containers->defaults,
                                  .overlays = task->containers->nets != NULL};
    const struct image *image = container_image(task);
    if (!image)
        return;
    struct container_spec spec;
    str_copy(task->image_id, sizeof task->image_id, image->id);
    if (container_spec_make(&task->order, &image->config, &node, &task->made, &spec, NULL) == 0)
        task->spec = spec;
}

static void tell_found(struct executor_task *task)
{
    struct runtime_status status;
    struct executor_container container = {0};
    struct executor_exit end = {0};
    if (runtime_inspect(task->containers->runtime, task->id, &status, NULL)) {
        task->events->found(task->owner, EXECUTOR_ABSENT, NULL, NULL);
        return;
    }
    learn_image(task);
    container_appeared(task);
    str_copy(container.id, sizeof container.id, task->id);
    container.pid = (int32_t)status.pid;
    container_health_found(task, &container, status.started);
    to_executor_exit(&status.exit, &end);
    enum executor_found found = status.state == RUNTIME_EXITED    ? EXECUTOR_EXITED
                                : status.state == RUNTIME_CREATED ? EXECUTOR_CREATED
                                                                  : EXECUTOR_RUNNING;
    task->running = found == EXECUTOR_RUNNING;
    if (found != EXECUTOR_EXITED)
        container_net_adopt(task);
    else
        container_volumes_end(task->containers, task->id);
    task->events->found(task->owner, found, &container, found == EXECUTOR_EXITED ? &end : NULL);
}

static void container_find(struct executor_task *task)
{
    container_begin(task, CONTAINER_FIND);
    container_answer_later(task);
}

const struct image *container_image(const struct executor_task *task)
{
    char id[72];
    if (rootfs_image(images_root(task->containers->images), task->id, id, NULL))
        return NULL;
    return library_by_id(images_library(task->containers->images), id);
}

// ---- taking away -------------------------------------------------------------------------------

static void remove_work(struct loop_work *work)
{
    struct executor_task *task = CONTAINER_OF(work, struct executor_task, work);
    struct err err = ERR_INIT;
    volume_uses_end(task->uses);
    // The first error is the one to tell.
    if (rootfs_remove(images_root(task->containers->images), task->id, &err) && !task->err.code)
        task->err = err;
}

static void remove_worked(struct loop_work *work)
{
    struct executor_task *task = CONTAINER_OF(work, struct executor_task, work);
    volume_uses_free(task->uses);
    task->uses = NULL;
    volumes_release_all(task->containers->volumes, task->id, true);
    if (task->op == CONTAINER_REMOVE && !task->err.code)
        logs_remove(task->log_path);
    if (task->op == CONTAINER_REMOVE)
        watch_vanished(task);
    if (container_back(task))
        container_answer(task);
}

static void remove_rest(struct executor_task *task)
{
    volume_uses_free(task->uses);
    task->uses = volume_uses_of(task->containers->volumes, task->id);
    task->pending++;
    loop_work_start(task->containers->loop, &task->work, remove_work, remove_worked);
}

static void remove_detached(void *owner, const struct err *err)
{
    struct executor_task *task = owner;
    if (!container_back(task))
        return;
    if (err && !task->err.code)
        task->err = *err;
    remove_rest(task);
}

void container_unmake(struct executor_task *task)
{
    if (!container_net_wanted(task)) {
        remove_rest(task);
        return;
    }
    task->pending++;
    nets_sandbox_remove(task->containers->nets, task->id, remove_detached, task);
}

static void remove_deleted(void *owner, const struct err *err)
{
    struct executor_task *task = owner;
    if (!container_back(task))
        return;
    if (err) {
        task->err = *err;
        container_answer(task);
        return;
    }
    container_unmake(task);
}

static void container_remove(struct executor_task *task)
{
    container_begin(task, CONTAINER_REMOVE);
    container_check_drop(task);
    task->pending++;
    runtime_delete(task->containers->runtime, task->id, true, remove_deleted, task);
}

// ---- running -----------------------------------------------------------------------------------

static void tell_started(struct executor_task *task)
{
    struct runtime_status status;
    struct executor_container container = {0};
    if (task->err.code) {
        task->events->started(task->owner, NULL, NULL, 0, &task->err);
        return;
    }
    str_copy(container.id, sizeof container.id, task->id);
    if (runtime_inspect(task->containers->runtime, task->id, &status, NULL) == 0)
        container.pid = (int32_t)status.pid;
    task->running = true;
    container_net_started(task);
    if (task->containers->watcher)
        task->containers->watcher->started(task->containers->watcher_owner, task->id);
    size_t ports_count;
    struct arena arena;
    arena_init(&arena, MADE_BYTES_MAX);
    Swarm__PortConfig **ports = container_net_ports(task, &arena, &ports_count);
    task->events->started(task->owner, &container, (const Swarm__PortConfig *const *)ports,
                          ports_count, NULL);
    arena_fini(&arena);
}

static void op_done(void *owner, const struct err *err)
{
    struct executor_task *task = owner;
    if (!container_back(task))
        return;
    if (err)
        task->err = *err;
    container_answer(task);
}

static void start_now(struct executor_task *task)
{
    task->pending++;
    runtime_start(task->containers->runtime, task->id, op_done, task);
}

static void on_names(struct loop_timer *timer)
{
    struct executor_task *task = CONTAINER_OF(timer, struct executor_task, names);
    if (!container_net_named(task) && mono_before(loop_now(timer->loop), task->names_by))
        loop_timer_start(timer, NAMES_LOOK_MS);
    else
        start_now(task);
}

static void container_start(struct executor_task *task)
{
    container_begin(task, CONTAINER_START);
    if (!container_net_starting(task)) {
        start_now(task);
        return;
    }
    task->names_by = mono_add(loop_now(task->containers->loop), NAMES_WAIT_MS * NS_PER_MS);
    loop_timer_start(&task->names, NAMES_LOOK_MS);
}

static int stop_signal(const struct executor_task *task)
{
    const struct image *image = container_image(task);
    const char *name = str_or(task->order.task->spec->container->stop_signal,
                              str_or(image ? image->config.stop_signal : NULL, "SIGTERM"));
    int signal = signal_of_name(name);
    return signal ? signal : SIGTERM;
}

static void stop_now(struct executor_task *task)
{
    const struct containers *containers = task->containers;
    int signal = stop_signal(task);
    task->pending++;
    runtime_stop(containers->runtime, task->id, signal, task->grace_ns / NS_PER_MS, op_done, task);
    if (containers->watcher)
        containers->watcher->stopping(containers->watcher_owner, task->id, signal);
}

static void on_drained(struct loop_timer *timer)
{
    stop_now(CONTAINER_OF(timer, struct executor_task, drain));
}

static void container_stop(struct executor_task *task, int64_t grace_ns)
{
    struct runtime *runtime = task->containers->runtime;
    struct runtime_status status;
    container_begin(task, CONTAINER_STOP);
    if (runtime_inspect(runtime, task->id, &status, NULL) || status.state == RUNTIME_CREATED) {
        container_net_ended(task);
        container_answer_later(task); // remove takes a created one away
        return;
    }
    task->grace_ns = grace_ns;
    if (container_net_drain(task))
        loop_timer_start(&task->drain, NETS_DRAIN_MS);
    else
        stop_now(task);
}

void container_exited(struct executor_task *task, const struct runtime_exit *end)
{
    struct executor_exit told;
    container_net_ended(task);
    container_volumes_end(task->containers, task->id);
    container_logs_finish(task);
    // One that ended without having been started says so in the answer to its start.
    if (!task->running)
        return;
    task->running = false;
    to_executor_exit(end, &told);
    task->events->exited(task->owner, &told);
}

// ---- opening and closing -----------------------------------------------------------------------

static int copy_order(struct executor_task *task, const struct executor_order *order)
{
    struct executor_file *files =
        arena_alloc_array(&task->arena, order->files_count + 1, sizeof *files);
    task->order.task = wire_copy(order->task, &task->arena);
    task->order.files = files;
    for (size_t i = 0; files && i < order->files_count; i++) {
        const struct executor_file *from = &order->files[i];
        if (from->secret)
            files[i].secret = wire_copy(from->secret, &task->arena);
        else
            files[i].config = wire_copy(from->config, &task->arena);
        files[i].data = arena_memdup(&task->arena, from->data, from->size);
        files[i].size = files[i].data ? from->size : 0;
        task->order.files_count++;
    }
    return arena_overflowed(&task->arena) ? -ERR_RESOURCE_EXHAUSTED : 0;
}

static void container_close(struct executor_task *task)
{
    MAGIC_CHECK(task, EXECUTOR_TASK_MAGIC);
    CHECK(list_empty(&task->logs));
    container_check_drop(task);
    loop_later_cancel(&task->answer);
    loop_timer_stop(&task->drain);
    loop_timer_stop(&task->names);
    if (map_get_str(&task->containers->by_id, task->id) == task)
        map_remove_str(&task->containers->by_id, task->id);
    // A stop under way may take as long as the container pleases: it goes on without us, and a life
    // that comes finds it asked for again.
    if (task->op == CONTAINER_STOP &&
        runtime_stop_forget(task->containers->runtime, task->id, op_done, task))
        task->pending--;
    task->closed = true;
    container_give_up(task);
    if (!task->pending)
        task_free(task);
}

static struct executor_task *container_open(struct executor *executor,
                                            const struct executor_order *order,
                                            const struct executor_events *events, void *owner,
                                            struct err *err)
{
    struct containers *containers = CONTAINER_OF(executor, struct containers, executor);
    MAGIC_CHECK(containers, CONTAINERS_MAGIC);
    struct executor_task *task = MEM_NEW(struct executor_task);
    MAGIC_SET(task, EXECUTOR_TASK_MAGIC);
    task->containers = containers;
    task->events = events;
    task->owner = owner;
    arena_init(&task->arena, ORDER_BYTES_MAX);
    arena_init(&task->made, MADE_BYTES_MAX);
    list_init(&task->logs);
    list_push_back(&containers->tasks, &task->link);
    loop_later_init(&task->answer, containers->loop, answer_run);
    loop_timer_init(&task->drain, containers->loop, on_drained);
    loop_timer_init(&task->names, containers->loop, on_names);
    struct container_node node = {.hostname = containers->hostname,
                                  .init = containers->init,
                                  .defaults = containers->defaults,
                                  .overlays = containers->nets != NULL};
    int rc = copy_order(task, order);
    if (rc)
        err_set(err, ERR_RESOURCE_EXHAUSTED, "the task is too large");
    else
        rc = container_spec_make(&task->order, NULL, &node, &task->made, &task->spec, err);
    if (rc) {
        task->closed = true;
        task_free(task);
        return NULL;
    }
    task->log = task->spec.log;
    container_id_of_task(order->task->id, task->id);
    task->log_path = str_printf("%s/%s.log", containers->log_dir, task->id);
    map_put_str(&containers->by_id, task->id, task);
    return task;
}

// ---- as the executor sees it -------------------------------------------------------------------

const struct executor_class container_class = {
    .open = container_open,
    .find = container_find,
    .prepare = container_prepare,
    .abort = container_abort,
    .start = container_start,
    .stop = container_stop,
    .health = container_health,
    .check = container_check,
    .remove = container_remove,
    .close = container_close,
    .logs = container_logs,
    .logs_pause = container_logs_pause,
    .logs_close = container_logs_close,
};
