// Containers of the swarm's tasks as crates: the agent makes and ends them, here they are shown.
#include <stdlib.h>

#include "agent/crate/config.h"
#include "agent/crate/config_image.h"
#include "agent/crate/config_settle.h"
#include "agent/crate/crates_priv_io.h"
#include "agent/crate/sandbox_link_io.h"
#include "agent/crate/task_looks.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"

static json_t *settle_json(json_t *(*read)(const json_t *, struct err *), json_t *raw)
{
    json_t *settled = read(raw, NULL);
    json_decref(raw);
    return settled ? settled : read(NULL, NULL);
}

// Replicas of one service have the same HostConfig, a hundred pieces of memory for each of them:
// they share one. Nobody changes it in place.
static void share_host(struct crates *crates, struct crate *crate)
{
    bool alike = crates->task_host && json_equal(crates->task_host, crate->host);
    json_t **drop = alike ? &crate->host : &crates->task_host;
    json_decref(*drop);
    *drop = json_incref(alike ? crates->task_host : crate->host);
}

static void on_appeared(void *owner, const struct containers_view *view)
{
    struct crates *crates = owner;
    MAGIC_CHECK(crates, CRATES_MAGIC);
    if (map_has_str(&crates->by_id, view->id))
        return;
    struct runtime_status status = {0};
    struct crate *crate = crate_new(crates, view->id);
    crate->task = true;
    free(crate->log_path);
    crate->log_path = str_dup(view->log_path);
    str_copy(crate->name, sizeof crate->name, view->spec->name);
    str_copy(crate->image_id, sizeof crate->image_id, view->image_id);
    crate->config = settle_json(config_read, task_looks_config(view));
    crate->host = settle_json(host_config_read, task_looks_host(view));
    crate->points = task_looks_points(view);
    crate->endpoints = task_looks_endpoints(view);
    host_config_settle(crate->config, crate->host, crates->defaults, NULL);
    share_host(crates, crate);
    const struct image *image = library_by_id(images_library(crates->images), view->image_id);
    if (image)
        config_merge_image(crate->config, &image->config);
    crate->created = wall_now();
    bool running = false;
    if (runtime_inspect(crates->runtime, crate->id, &status, NULL) == 0) {
        running = status.state == RUNTIME_RUNNING || status.state == RUNTIME_PAUSED;
        crate->created = status.created.ns ? status.created : crate->created;
        crate->started = status.started;
        crate->pid = running ? (int32_t)status.pid : 0;
        crate->state = status.state == RUNTIME_EXITED   ? CRATE_EXITED
                       : status.state == RUNTIME_PAUSED ? CRATE_PAUSED
                       : running                        ? CRATE_RUNNING
                                                        : CRATE_CREATED;
        crate->exit_code = status.exit.code;
        crate->finished = status.exit.at;
    }
    crate_link_sandbox(crate);
    if (running) {
        json_t *record = containers_health(crates->containers, crate->id);
        crate_health_take(crate, record);
        json_decref(record);
        crate_health_resume(crate);
    }
    if (!map_has_str(&crates->by_name, crate->name))
        map_put_str(&crates->by_name, crate->name, crate);
    if (!running && crate->state == CRATE_CREATED) {
        crate_volumes_tell(crate, "create");
        crate_tell(crate, "create", NULL);
    }
}

static void on_started(void *owner, const char *id)
{
    struct crates *crates = owner;
    struct crate *crate = map_get_str(&crates->by_id, id);
    struct runtime_status status;
    if (!crate || !crate->task)
        return;
    crate->state = CRATE_RUNNING;
    crate->started = wall_now();
    if (runtime_inspect(crates->runtime, id, &status, NULL) == 0)
        crate->pid = (int32_t)status.pid;
    crate_link_sandbox(crate);
    crate_attaches_begin(crate);
    crate_volumes_tell(crate, "mount");
    crate_tell(crate, "start", NULL);
    crate_health_begin(crate);
}

static void on_stopping(void *owner, const char *id, int signal)
{
    struct crates *crates = owner;
    struct crate *crate = map_get_str(&crates->by_id, id);
    char text[16];
    if (!crate || !crate->task || !crate_running(crate))
        return;
    crate->stopped_by_user = true;
    str_format(text, sizeof text, "%d", signal);
    crate_tell(crate, "kill", (const char *const[]){"signal", text, NULL});
}

static void on_vanished(void *owner, const char *id)
{
    struct crates *crates = owner;
    struct crate *crate = map_get_str(&crates->by_id, id);
    if (!crate || !crate->task)
        return;
    crate_volumes_tell(crate, "destroy");
    crate_tell(crate, "destroy", NULL);
    crate_forget(crate);
}

static void on_exited(void *owner, const char *id, const struct runtime_exit *end)
{
    struct crates *crates = owner;
    struct crate *crate = map_get_str(&crates->by_id, id);
    if (crate)
        crate_exited(crate, end);
}

static void on_checking(void *owner, const char *id)
{
    struct crates *crates = owner;
    struct crate *crate = map_get_str(&crates->by_id, id);
    if (crate && crate->task)
        crate_health_asks(crate);
}

static void on_checked(void *owner, const char *id, const struct check_result *result)
{
    struct crates *crates = owner;
    struct crate *crate = map_get_str(&crates->by_id, id);
    if (crate && crate->task)
        crate_health_checked(crate, result);
}

const struct containers_watcher crate_task_watcher = {
    .appeared = on_appeared,
    .started = on_started,
    .stopping = on_stopping,
    .vanished = on_vanished,
    .checking = on_checking,
    .checked = on_checked,
    .exited = on_exited,
};
