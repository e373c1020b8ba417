#include "agent/crate/crates_io.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/crate/config_image.h"
#include "agent/crate/config_settle.h"
#include "agent/crate/crates_priv_io.h"
#include "agent/crate/sandbox_link_io.h"
#include "agent/crate/task_looks.h"
#include "agent/image/rootfs_io.h"
#include "agent/oci/logs_io.h"
#include "agent/oci/monitor_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define RECORD_BYTES_MAX (8u << 20)
#define ROTATE_MS        10000

// ---- records -----------------------------------------------------------------------------------

static void record_path(const struct crates *crates, const char *id, char out[CRATE_PATH_BYTES])
{
    CHECK(str_format(out, CRATE_PATH_BYTES, "%s/%s.json", crates->dir, id));
}

// Those that it had when it was written last, while it was not taken over again yet.
static void write_chosen(const struct crate *crate, struct json_out *out)
{
    size_t count;
    const struct ports_row *rows = crate_ports(crate, &count);
    if (!count && crate->chosen) {
        json_out_value(out, "Ports", crate->chosen);
        return;
    }
    json_out_array(out, "Ports");
    for (size_t i = 0; i < count; i++)
        json_out_uint(out, NULL, rows[i].published);
    json_out_end(out);
}

int crate_save(const struct crate *crate, struct err *err)
{
    if (crate->task)
        return 0;
    struct buf text;
    struct json_out out;
    char path[CRATE_PATH_BYTES];
    record_path(crate->crates, crate->id, path);
    buf_init(&text, RECORD_BYTES_MAX);
    json_out_init(&out, &text);
    json_out_object(&out, NULL);
    json_out_str(&out, "Id", crate->id);
    json_out_str(&out, "Name", crate->name);
    json_out_str(&out, "Image", crate->image_id);
    json_out_int(&out, "Created", crate->created.ns);
    json_out_int(&out, "Started", crate->started.ns);
    json_out_int(&out, "Finished", crate->finished.ns);
    json_out_bool(&out, "Running", crate_running(crate) || crate->state == CRATE_RESTARTING);
    json_out_int(&out, "ExitCode", crate->exit_code);
    json_out_bool(&out, "OOMKilled", crate->oom_killed);
    json_out_str(&out, "Error", crate->error);
    json_out_uint(&out, "RestartCount", crate->restart_count);
    json_out_bool(&out, "StoppedByUser", crate->stopped_by_user);
    json_out_value(&out, "Config", crate->config);
    json_out_value(&out, "HostConfig", crate->host);
    json_out_value(&out, "Points", crate->points);
    json_out_value(&out, "Endpoints", crate->endpoints);
    write_chosen(crate, &out);
    crate_health_write(crate, &out);
    json_out_end(&out);
    int rc = json_out_done(&out) ? file_write_atomic(path, text.data, text.len, 0600, err)
                                 : err_set(err, ERR_RESOURCE_EXHAUSTED,
                                           "the container's configuration is too large");
    buf_fini(&text);
    return rc;
}

static struct wall wall_of(const json_t *record, const char *key)
{
    return (struct wall){config_int(record, key)};
}

// True when a record made a crate of it.
static bool record_take(struct crates *crates, const json_t *record, struct err *err)
{
    const char *id = config_str(record, "Id");
    const json_t *config = config_of(record, "Config"), *host = config_of(record, "HostConfig");
    const json_t *points = config_of(record, "Points");
    if (strlen(id) != CONTAINER_ID_BYTES - 1 || !config || !host || !points ||
        str_empty(config_str(record, "Name")) || map_has_str(&crates->by_id, id)) {
        err_set(err, ERR_DATA_LOSS, "the record is not whole");
        return false;
    }
    struct crate *crate = crate_new(crates, id);
    str_copy(crate->name, sizeof crate->name, config_str(record, "Name"));
    str_copy(crate->image_id, sizeof crate->image_id, config_str(record, "Image"));
    str_copy(crate->error, sizeof crate->error, config_str(record, "Error"));
    crate->created = wall_of(record, "Created");
    crate->started = wall_of(record, "Started");
    crate->finished = wall_of(record, "Finished");
    crate->exit_code = (int)config_int(record, "ExitCode");
    crate->oom_killed = config_bool(record, "OOMKilled");
    crate->restart_count = (unsigned)config_int(record, "RestartCount");
    crate->stopped_by_user = config_bool(record, "StoppedByUser");
    crate->config = json_deep_copy(config);
    crate->host = json_deep_copy(host);
    crate->points = json_deep_copy(points);
    const json_t *endpoints = config_of(record, "Endpoints");
    crate->endpoints = endpoints ? json_deep_copy(endpoints) : json_object();
    const json_t *chosen = config_of(record, "Ports");
    crate->chosen =
        json_is_array(chosen) && json_array_size(chosen) ? json_deep_copy(chosen) : NULL;
    crate_health_take(crate, record);
    // What really is, crate_adopt looks up; this says what should be.
    crate->state = config_bool(record, "Running") ? CRATE_RESTARTING
                   : crate->started.ns            ? CRATE_EXITED
                                                  : CRATE_CREATED;
    map_put_str(&crates->by_name, crate->name, crate);
    return true;
}

static int compare_created(const void *a, const void *b)
{
    const struct crate *left = *(struct crate *const *)a, *right = *(struct crate *const *)b;
    return left->created.ns < right->created.ns ? -1 : left->created.ns > right->created.ns;
}

// Folders give their entries in no order; lists want the time of making.
static void sort_by_age(struct crates *crates)
{
    size_t count = 0, at = 0;
    LIST_EACH (it, &crates->all)
        count++;
    struct crate **sorted = mem_alloc_array(count + 1, sizeof *sorted);
    LIST_EACH (it, &crates->all)
        sorted[at++] = LIST_ENTRY(it, struct crate, link);
    qsort(sorted, count, sizeof *sorted, compare_created);
    for (size_t i = 0; i < count; i++) {
        list_remove(&sorted[i]->link);
        list_push_back(&crates->all, &sorted[i]->link);
    }
    free(sorted);
}

static int read_records(struct crates *crates, struct err *err)
{
    DIR *folder = opendir(crates->dir);
    if (!folder)
        return err_set_errno(err, ENOENT, "open %s", crates->dir);
    struct dirent *entry;
    while ((entry = readdir(folder))) {
        char path[CRATE_PATH_BYTES];
        struct err bad = ERR_INIT;
        struct buf text;
        if (entry->d_name[0] == '.' || !str_ends(entry->d_name, ".json") ||
            !str_format(path, sizeof path, "%s/%s", crates->dir, entry->d_name))
            continue;
        buf_init(&text, RECORD_BYTES_MAX);
        json_t *record =
            file_read(path, &text, &bad) ? NULL : json_parse(text.data, text.len, &bad);
        if (!record || !record_take(crates, record, &bad))
            log_error("record of a container cannot be read", "path=%s err=\"%s\"", path,
                      bad.message);
        json_decref(record);
        buf_fini(&text);
    }
    closedir(folder);
    sort_by_age(crates);
    return 0;
}

// ---- life of a crate ---------------------------------------------------------------------------

struct crate *crate_new(struct crates *crates, const char *id)
{
    struct crate *crate = MEM_NEW(struct crate);
    MAGIC_SET(crate, CRATE_MAGIC);
    crate->crates = crates;
    str_copy(crate->id, sizeof crate->id, id);
    crate->log_path = str_printf("%s/%s.log", crates->log_dir, id);
    crate_life_init(crate);
    list_push_back(&crates->all, &crate->link);
    map_put_str(&crates->by_id, crate->id, crate);
    return crate;
}

static void crate_free(struct crate *crate)
{
    crate_life_fini(crate);
    json_decref(crate->config);
    json_decref(crate->host);
    json_decref(crate->points);
    json_decref(crate->endpoints);
    json_decref(crate->chosen);
    json_decref(crate->health_log);
    free(crate->log_path);
    MAGIC_CLEAR(crate);
    free(crate);
}

static void free_run(struct loop_later *later)
{
    struct crate_life *life = CONTAINER_OF(later, struct crate_life, free_later);
    struct crate *crate = life->crate;
    // One of a task can go while an operation runs, which asks again at its end.
    life->forgotten = true;
    if (life->running_op)
        return;
    crate->crates->pending--;
    crate_free(crate);
}

void crate_forget(struct crate *crate)
{
    MAGIC_CHECK(crate, CRATE_MAGIC);
    struct crates *crates = crate->crates;
    crate->state = CRATE_REMOVING;
    crate_link_sandbox(crate);
    crate_waits_tell(crate, true);
    crate_attaches_end(crate);
    crate_execs_forget(crate);
    list_remove(&crate->link);
    if (map_get_str(&crates->by_id, crate->id) == crate)
        map_remove_str(&crates->by_id, crate->id);
    if (map_get_str(&crates->by_name, crate->name) == crate)
        map_remove_str(&crates->by_name, crate->name);
    if (!crate->task) {
        char path[CRATE_PATH_BYTES];
        struct err err = ERR_INIT;
        record_path(crates, crate->id, path);
        if (file_remove(path, &err))
            log_error("record of a container cannot be removed", "path=%s err=\"%s\"", path,
                      err.message);
    }
    crates->pending++;
    loop_later_init(&crate->life->free_later, crates->loop, free_run);
    loop_later_ask(&crate->life->free_later);
}

void crate_tell(const struct crate *crate, const char *action, const char *const *extra)
{
    const struct crates *crates = crate->crates;
    struct crate_event event = {
        .action = action, .type = "container", .crate = crate, .extra = extra};
    if (crates->event)
        crates->event(crates->owner, &event);
}

// ---- the swarm's -------------------------------------------------------------------------------

static json_t *settle_json(json_t *(*read)(const json_t *, struct err *), json_t *raw)
{
    json_t *settled = read(raw, NULL);
    json_decref(raw);
    return settled ? settled : read(NULL, NULL);
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
    if (!running && crate->state == CRATE_CREATED)
        crate_tell(crate, "create", NULL);
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

static void on_checked(void *owner, const char *id, const struct check_result *result)
{
    struct crates *crates = owner;
    struct crate *crate = map_get_str(&crates->by_id, id);
    if (crate && crate->task)
        crate_health_checked(crate, result);
}

static const struct containers_watcher watcher = {
    .appeared = on_appeared,
    .started = on_started,
    .stopping = on_stopping,
    .vanished = on_vanished,
    .checked = on_checked,
    .exited = on_exited,
};

// ---- opening and closing -----------------------------------------------------------------------

// Looks what became of it while we were away.
static void adopt(struct crate *crate)
{
    struct runtime_status status;
    bool wanted = crate->state == CRATE_RESTARTING;
    int rc = runtime_inspect(crate->crates->runtime, crate->id, &status, NULL);
    if (rc == 0 && status.state != RUNTIME_CREATED && status.state != RUNTIME_EXITED) {
        crate->state = status.state == RUNTIME_PAUSED ? CRATE_PAUSED : CRATE_RUNNING;
        crate->pid = (int32_t)status.pid;
        crate_link_sandbox(crate);
        crate_health_resume(crate);
        return;
    }
    if (rc == 0) { // ended, or never started
        struct runtime_exit end = status.exit;
        if (status.state == RUNTIME_CREATED)
            end = (struct runtime_exit){.code = 128, .at = wall_now()};
        crate->state = wanted ? CRATE_RUNNING : CRATE_EXITED;
        crate_exited(crate, &end);
        return;
    }
    rootfs_unmount(images_root(crate->crates->images), crate->id, NULL);
    if (!wanted) {
        // One that its user wants always runs after a start of the machine too.
        if (str_equal(config_str(config_of(crate->host, "RestartPolicy"), "Name"), "always") &&
            crate->state == CRATE_EXITED) {
            crate->stopped_by_user = false;
            crate_restart_later(crate);
        }
        return;
    }
    // The machine was started anew under it.
    crate->state = CRATE_EXITED;
    crate->exit_code = 255;
    crate->finished = wall_now();
    crate_restart_later(crate);
    crate_save(crate, NULL);
}

static void on_rotate(struct loop_timer *timer)
{
    struct crates *crates = CONTAINER_OF(timer, struct crates, rotate);
    LIST_EACH (it, &crates->all) {
        struct crate *crate = LIST_ENTRY(it, struct crate, link);
        if (!crate->task && crate_running(crate) && crate->log_bytes_max && *crate->log_path &&
            logs_rotate(crate->log_path, crate->log_bytes_max, crate->log_files_max, NULL))
            runtime_reopen_log(crates->runtime, crate->id, NULL);
    }
    loop_timer_start(timer, ROTATE_MS);
}

static void crates_free(struct crates *crates)
{
    LIST_EACH_SAFE (it, &crates->all)
        crate_free(LIST_ENTRY(it, struct crate, link));
    map_fini(&crates->by_id);
    map_fini(&crates->by_name);
    free(crates->dir);
    free(crates->log_dir);
    free(crates->hostname);
    free(crates->sandbox_dir);
    MAGIC_CLEAR(crates);
    free(crates);
}

int crates_open(const struct crates_config *config, struct crates **out, struct err *err)
{
    struct crates *crates = MEM_NEW(struct crates);
    MAGIC_SET(crates, CRATES_MAGIC);
    crates->loop = config->loop;
    crates->images = config->images;
    crates->volumes = config->volumes;
    crates->containers = config->containers;
    crates->locals = config->locals;
    crates->attachments = config->attachments;
    crates->runtime = containers_runtime(config->containers);
    crates->dir = str_dup(config->dir);
    crates->log_dir = str_dup(config->log_dir);
    crates->hostname = str_dup(config->hostname);
    crates->defaults = containers_defaults(config->containers);
    crates->sandbox_dir = config->sandbox_dir ? str_dup(config->sandbox_dir) : NULL;
    if (crates->sandbox_dir)
        sandbox_links_sweep(crates->sandbox_dir);
    crates->init = config->init;
    list_init(&crates->all);
    list_init(&crates->execs);
    list_init(&crates->drains);
    list_init(&crates->checks);
    map_init(&crates->by_id);
    map_init(&crates->by_name);
    loop_timer_init(&crates->rotate, crates->loop, on_rotate);
    int rc = dir_make(crates->dir, 0700, err);
    if (!rc)
        rc = dir_make(crates->log_dir, 0700, err);
    if (!rc)
        rc = read_records(crates, err);
    if (rc) {
        crates_free(crates);
        return rc;
    }
    containers_watch(crates->containers, &watcher, crates);
    LIST_EACH_SAFE (it, &crates->all)
        adopt(LIST_ENTRY(it, struct crate, link));
    if (crates->attachments)
        attachments_listen(crates->attachments, crate_net_describe, crates);
    loop_timer_start(&crates->rotate, ROTATE_MS);
    *out = crates;
    return 0;
}

bool crates_busy(const struct crates *crates)
{
    if (crates->pending || !list_empty(&crates->checks))
        return true;
    LIST_EACH (it, &crates->all)
        if (!list_empty(&LIST_ENTRY(it, struct crate, link)->life->ops))
            return true;
    LIST_EACH (it, &crates->execs)
        if (LIST_ENTRY(it, struct crate_exec, link)->exec)
            return true;
    return false;
}

void crates_quiesce(struct crates *crates)
{
    crates->quiet = true;
    if (crates->attachments)
        attachments_quiesce(crates->attachments);
    LIST_EACH (it, &crates->all) {
        struct crate *crate = LIST_ENTRY(it, struct crate, link);
        loop_timer_stop(&crate->life->restart);
        if (crate->health && crate_running(crate))
            crate_save(crate, NULL); // before its end looks like that of its health
        crate_health_end(crate);
    }
    crates_attaches_end(crates);
    LIST_EACH (it, &crates->execs) {
        struct crate_exec *exec = LIST_ENTRY(it, struct crate_exec, link);
        if (exec->exec)
            runtime_exec_kill(exec->exec, 9); // a child of ours: it ends with us
    }
}

void crates_close(struct crates *crates)
{
    MAGIC_CHECK(crates, CRATES_MAGIC);
    CHECK(!crates_busy(crates));
    loop_timer_stop(&crates->rotate);
    containers_watch(crates->containers, NULL, NULL);
    if (crates->attachments)
        attachments_listen(crates->attachments, NULL, NULL);
    LIST_EACH_SAFE (it, &crates->all)
        crate_execs_forget(LIST_ENTRY(it, struct crate, link));
    crates_free(crates);
}

void crates_listen(struct crates *crates,
                   void (*event)(void *owner, const struct crate_event *event), void *owner)
{
    crates->event = event;
    crates->owner = owner;
}

void crates_hold(struct crates *crates)
{
    crates->pending++;
}

void crates_release(struct crates *crates)
{
    CHECK(crates->pending);
    crates->pending--;
}

struct images *crates_images(const struct crates *crates)
{
    return crates->images;
}

struct volumes *crates_volumes(const struct crates *crates)
{
    return crates->volumes;
}

struct runtime *crates_runtime(const struct crates *crates)
{
    return crates->runtime;
}

const struct nets *crates_nets(const struct crates *crates)
{
    return crates->containers ? containers_nets(crates->containers) : NULL;
}

struct loop *crates_loop(const struct crates *crates)
{
    return crates->loop;
}

// ---- finding -----------------------------------------------------------------------------------

struct crate *crates_next(const struct crates *crates, const struct crate *after)
{
    const struct list *at = after ? after->link.prev : crates->all.prev;
    return at == &crates->all ? NULL : LIST_ENTRY((struct list *)(uintptr_t)at, struct crate, link);
}

struct crate *crates_find(const struct crates *crates, const char *name, struct err *err)
{
    const char *bare = name[0] == '/' ? name + 1 : name;
    struct crate *found = map_get_str(&crates->by_id, name);
    if (!found)
        found = map_get_str(&crates->by_name, bare);
    if (found)
        return found;
    size_t length = strlen(name);
    LIST_EACH (it, &crates->all) {
        struct crate *crate = LIST_ENTRY(it, struct crate, link);
        if (length == 0 || strncmp(crate->id, name, length) != 0)
            continue;
        if (found) {
            err_set(err, ERR_INVALID_ARGUMENT, "multiple IDs found with provided prefix: %.100s",
                    name);
            return NULL;
        }
        found = crate;
    }
    if (!found)
        err_set(err, ERR_NOT_FOUND, "No such container: %.200s", name);
    return found;
}

bool crate_running(const struct crate *crate)
{
    return crate->state == CRATE_RUNNING || crate->state == CRATE_PAUSED;
}

const char *crate_state_name(const struct crate *crate)
{
    static const char *const names[] = {
        [CRATE_CREATED] = "created", [CRATE_RUNNING] = "running",
        [CRATE_PAUSED] = "paused",   [CRATE_RESTARTING] = "restarting",
        [CRATE_EXITED] = "exited",   [CRATE_REMOVING] = "removing",
    };
    return names[crate->state];
}

int crate_root_open(struct crate *crate, char out[4096], struct err *err)
{
    if (crate_running(crate) && crate->pid > 0) {
        CHECK(str_format(out, 4096, "/proc/%d/root", (int)crate->pid));
        return 0;
    }
    int rc = rootfs_mount(images_root(crate->crates->images), crate->id, out, err);
    if (!rc)
        crate->life->root_users++;
    return rc;
}

void crate_root_close(struct crate *crate)
{
    struct crate_life *life = crate->life;
    if (life->root_users == 0 || --life->root_users > 0)
        return;
    // One that runs by now needs it, and a task that is about to.
    if (!crate_running(crate) && !life->running_op &&
        (!crate->task || crate->state == CRATE_EXITED))
        rootfs_unmount(images_root(crate->crates->images), crate->id, NULL);
}
