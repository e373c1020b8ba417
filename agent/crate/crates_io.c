#include "agent/crate/crates_io.h"

#include <stdlib.h>
#include <string.h>

#include "agent/crate/config.h"
#include "agent/crate/crates_priv_io.h"
#include "agent/crate/sandbox_link_io.h"
#include "agent/image/rootfs_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/codec.h"
#include "proto/base/entropy_io.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define ROTATE_MS 10000

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
        struct err err = ERR_INIT;
        if (crate_record_remove(crate, &err))
            log_error("record of a container cannot be removed", "container=%s err=\"%s\"",
                      crate->id, err.message);
    }
    crates->pending++;
    loop_later_init(&crate->life->free_later, crates->loop, free_run);
    loop_later_ask(&crate->life->free_later);
}

void crate_id_make(char out[CONTAINER_ID_BYTES])
{
    unsigned char random[(CONTAINER_ID_BYTES - 1) / 2];
    entropy_bytes(random, sizeof random);
    hex_encode(random, sizeof random, out);
}

void crate_tell(const struct crate *crate, const char *action, const char *const *extra)
{
    const struct crates *crates = crate->crates;
    struct crate_event event = {.action = action, .crate = crate, .extra = extra};
    if (crates->event)
        crates->event(crates->owner, &event);
}

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
        struct container_log log;
        if (crate->task || !crate_running(crate) || !*crate->log_path)
            continue;
        // What was taken when it was made is kept as far as it goes, whatever the rules are now.
        crate_log_make(crate->host, &log, NULL);
        containers_keep_log(crates->containers, crate->id, crate->log_path, &log);
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
    json_decref(crates->task_host);
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
        rc = crates_records_read(crates, err);
    if (rc) {
        crates_free(crates);
        return rc;
    }
    containers_watch(crates->containers, &crate_task_watcher, crates);
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
    loop_timer_stop(&crates->rotate);
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
