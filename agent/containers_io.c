// The node's containers of tasks, all together: opened with what ran before, watched, closed.
#include <stdlib.h>

#include "agent/container_priv_io.h"
#include "agent/container_settle_io.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"

#define RESOLV_CONF "/etc/resolv.conf"

static void on_exited(void *owner, const char *id, const struct runtime_exit *end)
{
    struct containers *containers = owner;
    MAGIC_CHECK(containers, CONTAINERS_MAGIC);
    struct executor_task *task = map_get_str(&containers->by_id, id);
    if (containers->watcher)
        containers->watcher->exited(containers->watcher_owner, id, end);
    if (task)
        container_exited(task, end);
}

void containers_keep_log(struct containers *containers, const char *id, const char *path,
                         const struct container_log *log)
{
    if (log->none)
        return;
    if (logs_rotate(path, log->bytes_max, log->files_max, NULL))
        runtime_reopen_log(containers->runtime, id, NULL);
    if (log->compress)
        log_packer_look(containers->packer, path, log->files_max);
}

static void on_rotate(struct loop_timer *timer)
{
    struct containers *containers = CONTAINER_OF(timer, struct containers, rotate);
    LIST_EACH (it, &containers->tasks) {
        struct executor_task *task = LIST_ENTRY(it, struct executor_task, link);
        if (task->running)
            containers_keep_log(containers, task->id, task->log_path, &task->log);
    }
    loop_timer_start(timer, containers->rotate_ms);
}

static void containers_free(struct containers *containers)
{
    map_fini(&containers->by_id);
    map_fini(&containers->leavings);
    log_packer_free(containers->packer);
    free(containers->log_dir);
    free(containers->hostname);
    free(containers->resolv_conf);
    MAGIC_CLEAR(containers);
    free(containers);
}

static void on_adopted(void *owner, const struct runtime_status *status)
{
    // Each task asks for its own with find; until then its sandbox stays.
    const struct containers *containers = owner;
    if (containers->nets)
        nets_keep(containers->nets, status->id);
}

int containers_open(const struct containers_config *config, struct containers **out,
                    struct err *err)
{
    struct containers *containers = MEM_NEW(struct containers);
    MAGIC_SET(containers, CONTAINERS_MAGIC);
    containers->executor.class = &container_class;
    containers->loop = config->loop;
    containers->images = config->images;
    containers->volumes = config->volumes;
    containers->nets = config->nets;
    containers->log_dir = str_dup(config->log_dir);
    containers->hostname = str_dup(config->hostname);
    containers->resolv_conf = str_dup(str_or(config->resolv_conf, RESOLV_CONF));
    containers->init = config->init;
    containers->defaults = config->defaults ? config->defaults : &container_defaults_none;
    containers->rotate_ms = config->rotate_ms ? config->rotate_ms : CONTAINERS_ROTATE_MS;
    containers->packer = log_packer_new(config->loop);
    map_init(&containers->by_id);
    map_init(&containers->leavings);
    list_init(&containers->tasks);
    list_init(&containers->checks);
    struct runtime_config runtime = config->runtime;
    runtime.loop = config->loop;
    runtime.exited = on_exited;
    runtime.owner = containers;
    int rc = dir_make(config->log_dir, 0700, err);
    if (!rc)
        rc = runtime_open(&runtime, &containers->runtime, err);
    if (!rc) {
        rc = runtime_adopt(containers->runtime, on_adopted, containers, err);
        if (rc)
            runtime_close(containers->runtime);
        else if (containers->nets)
            nets_sweep(containers->nets);
    }
    if (rc) {
        containers_free(containers);
        return rc;
    }
    container_sweep_note(containers);
    loop_timer_init(&containers->rotate, config->loop, on_rotate);
    loop_timer_start(&containers->rotate, containers->rotate_ms);
    *out = containers;
    return 0;
}

void containers_quiesce(struct containers *containers)
{
    MAGIC_CHECK(containers, CONTAINERS_MAGIC);
    loop_timer_stop(&containers->rotate);
    log_packer_drop(containers->packer);
}

bool containers_busy(const struct containers *containers)
{
    return containers->sweeping || log_packer_busy(containers->packer) ||
           !list_empty(&containers->checks) || !list_empty(&containers->tasks) ||
           runtime_busy(containers->runtime);
}

void containers_close(struct containers *containers)
{
    MAGIC_CHECK(containers, CONTAINERS_MAGIC);
    CHECK(!containers_busy(containers));
    loop_timer_stop(&containers->rotate);
    runtime_close(containers->runtime);
    containers_free(containers);
}

struct executor *containers_executor(struct containers *containers)
{
    MAGIC_CHECK(containers, CONTAINERS_MAGIC);
    return &containers->executor;
}

void containers_watch(struct containers *containers, const struct containers_watcher *watcher,
                      void *owner)
{
    MAGIC_CHECK(containers, CONTAINERS_MAGIC);
    containers->watcher = watcher;
    containers->watcher_owner = owner;
}

const struct nets *containers_nets(const struct containers *containers)
{
    return containers->nets;
}

struct runtime *containers_runtime(struct containers *containers)
{
    MAGIC_CHECK(containers, CONTAINERS_MAGIC);
    return containers->runtime;
}

void containers_resolv(const struct containers *containers, struct buf *out)
{
    container_settle_resolv(containers->resolv_conf, containers->defaults, out);
}

const struct container_defaults *containers_defaults(const struct containers *containers)
{
    return containers->defaults;
}
