#include "agent/oci/runtime_io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/oci/apparmor.h"
#include "agent/oci/monitor_io.h"
#include "agent/oci/runtime_priv_io.h"
#include "agent/oci/seccomp.h"
#include "agent/oci/secret_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/file_io.h"
#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define SECCOMP_FILE   "/usr/share/containers/seccomp.json"
#define CGROUP_PARENT  "/skep"
#define CAP_RESOURCE   24
#define CONTAINERS_MAX 100000

static int make_folders(struct runtime *runtime, struct err *err)
{
    int rc = dir_make(runtime->state_dir, 0700, err);
    if (!rc && chmod(runtime->state_dir, 0700) < 0)
        rc = err_set_errno(err, errno, "chmod %s", runtime->state_dir);
    return rc ? rc : dir_make(runtime->program_root, 0700, err);
}

int runtime_open(const struct runtime_config *config, struct runtime **out, struct err *err)
{
    CHECK(config->loop && config->exited);
    CHECK(config->state_dir && config->state_dir[0] == '/');
    struct runtime *runtime = MEM_NEW(struct runtime);
    MAGIC_SET(runtime, RUNTIME_MAGIC);
    runtime->loop = config->loop;
    runtime->exited = config->exited;
    runtime->owner = config->owner;
    runtime->state_dir = str_printf("%s/containers", config->state_dir);
    runtime->program_root = str_printf("%s/runtime", config->state_dir);
    runtime->cgroup_parent = str_dup(str_or(config->cgroup_parent, CGROUP_PARENT));
    list_init(&runtime->waiting);
    map_init(&runtime->containers);
    map_init(&runtime->compiled);
    buf_init(&runtime->seccomp, SECCOMP_PROFILE_BYTES);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    runtime->slots =
        config->parallel_max ? config->parallel_max : 2 * (unsigned)(cores < 1 ? 1 : cores);

    int rc = cgroup_detect(&runtime->cgroup, err);
    runtime->programs.layout = runtime->cgroup.layout;
    if (!rc)
        rc = runtime_reload(runtime, config->program, config->more, config->more_count, err);
    if (!rc &&
        !process_find(str_or(config->conmon, "conmon"), runtime->conmon, sizeof runtime->conmon))
        rc = err_set(err, ERR_FAILED_PRECONDITION, "%s is not installed or cannot be executed",
                     str_or(config->conmon, "conmon"));
    if (!rc)
        rc = make_folders(runtime, err);
    if (rc) {
        runtime_close(runtime);
        return rc;
    }
    runtime_look(runtime, config->init_program);
    programs_seal(&runtime->programs, config->state_dir);
    runtime_look_at_conmon(runtime);
    const char *profile = str_or(config->seccomp_file, SECCOMP_FILE);
    if (file_read(profile, &runtime->seccomp, NULL) != 0)
        log_warn("default seccomp profile missing", "file=%s", profile);
    *out = runtime;
    return 0;
}

int runtime_reload(struct runtime *runtime, const char *program, const struct program_name *more,
                   size_t more_count, struct err *err)
{
    if (runtime->cgroup.layout == CGROUP_NONE)
        return err_set(err, ERR_FAILED_PRECONDITION, "no cgroup tree is mounted at /sys/fs/cgroup");
    return programs_set(&runtime->programs, program, more, more_count, err);
}

bool runtime_busy(const struct runtime *runtime)
{
    MAGIC_CHECK(runtime, RUNTIME_MAGIC);
    return runtime->ops > 0;
}

void runtime_close(struct runtime *runtime)
{
    MAGIC_CHECK(runtime, RUNTIME_MAGIC);
    CHECK(!runtime->ops);
    MAP_EACH (entry, &runtime->containers)
        container_free(entry->value);
    map_fini(&runtime->containers);
    MAP_EACH (program, &runtime->compiled)
        free(program->value);
    map_fini(&runtime->compiled);
    buf_fini(&runtime->seccomp);
    programs_fini(&runtime->programs);
    free(runtime->state_dir);
    free(runtime->program_root);
    free(runtime->cgroup_parent);
    MAGIC_CLEAR(runtime);
    free(runtime);
}

// ---- containers
// ----------------------------------------------------------------------------------

struct container *runtime_container(const struct runtime *runtime, const char *id)
{
    MAGIC_CHECK(runtime, RUNTIME_MAGIC);
    struct container *container = map_get_str(&runtime->containers, id);
    if (container)
        MAGIC_CHECK(container, CONTAINER_MAGIC);
    return container;
}

struct container *container_new(struct runtime *runtime, const char *id, struct program *program)
{
    struct container *container = MEM_NEW(struct container);
    MAGIC_SET(container, CONTAINER_MAGIC);
    container->runtime = runtime;
    container->program = program;
    program->users++;
    container->id = str_dup(id);
    container->dir = str_printf("%s/%s", runtime->state_dir, id);
    container->cgroup_path = str_printf("%s/%s", runtime->cgroup_parent, id);
    container->pidfd = -1;
    container->monitor_pidfd = -1;
    list_init(&container->stops);
    CHECK(!map_put_str(&runtime->containers, id, container));
    return container;
}

static void container_release(struct container *container)
{
    free(container->id);
    free(container->dir);
    free(container->cgroup_path);
    MAGIC_CLEAR(container);
    free(container);
}

static void monitor_poll_closed(uv_handle_t *handle)
{
    struct container *container = handle->data;
    MAGIC_CHECK(container, CONTAINER_MAGIC);
    container->poll_open = false;
    if (container->doomed)
        container_release(container);
}

// Stops watching conmon.
static void unwatch(struct container *container)
{
    if (container->monitor_pidfd < 0)
        return;
    uv_poll_stop(&container->monitor_poll);
    uv_close((uv_handle_t *)&container->monitor_poll, monitor_poll_closed);
    close(container->monitor_pidfd);
    container->monitor_pidfd = -1;
}

void container_free(struct container *container)
{
    MAGIC_CHECK(container, CONTAINER_MAGIC);
    CHECK(list_empty(&container->stops));
    map_remove_str(&container->runtime->containers, container->id);
    container->program->users--;
    unwatch(container);
    if (container->pidfd >= 0)
        close(container->pidfd);
    if (container->grace.fire)
        loop_timer_stop(&container->grace);
    container->pidfd = -1;
    container->doomed = true;
    if (!container->poll_open)
        container_release(container);
}

static bool pid_is_in_cgroup(pid_t pid, const char *cgroup_path)
{
    char path[64];
    struct buf text;
    str_format(path, sizeof path, "/proc/%d/cgroup", pid);
    buf_init(&text, 65536);
    bool found = file_read(path, &text, NULL) == 0 && strstr(buf_cstr(&text), cgroup_path);
    buf_fini(&text);
    return found;
}

bool container_has_pid(const struct container *container, pid_t pid)
{
    return pid > 1 && pid_is_in_cgroup(pid, container->cgroup_path);
}

static int pidfd_of(pid_t pid)
{
    int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (fd >= 0)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}

static void container_lost(struct container *container)
{
    // conmon is gone without a word: nobody reads the container's output any more and nobody will
    // know its exit status, so it must not run on.
    if (container->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, container->pidfd, SIGKILL, NULL, 0);
    cgroup_freeze(&container->runtime->cgroup, container->cgroup_path, false, NULL);
    cgroup_kill(&container->runtime->cgroup, container->cgroup_path);
    container->exit.code = -1;
    container->exit.at = wall_now();
    str_copy(container->exit.message, sizeof container->exit.message,
             "the container's monitor (conmon) ended without leaving an exit status; the container "
             "was killed");
}

// Takes the exit status that conmon left, or notes that there is none.
static void take_exit(struct container *container)
{
    bool oom = false;
    if (!monitor_exit(container->dir, &container->exit.code, &oom, &container->exit.at)) {
        container_lost(container);
    } else {
        const struct cgroup *cgroup = &container->runtime->cgroup;
        struct cgroup_stats stats;
        int rc = 0;
        // conmon may miss the event of a group that dies with it; the group's own count stays.
        if (!oom && cgroup_read_stats(cgroup, container->cgroup_path, &stats, NULL) == 0) {
            oom = stats.oom_kills > 0 && container->exit.code == 137;
            rc = oom ? monitor_note_oom(container->dir, NULL) : 0;
        }
        // A container that is kept for its history keeps no groups of the kernel's memory. One that
        // shared the host's processes may have left some in there: they go with the container.
        if (!rc)
            cgroup_remove(cgroup, container->cgroup_path, NULL);
    }
    // Nor does it keep secrets in memory.
    char files[RUNTIME_PATH_BYTES];
    if (str_format(files, sizeof files, "%s/" FILES_DIR, container->dir))
        secret_unmount(files, NULL);
    container->exit.oom_killed = oom;
    container->state = RUNTIME_EXITED;
    container->pid = 0;
    container->monitor_pid = 0;
    if (container->pidfd >= 0)
        close(container->pidfd);
    container->pidfd = -1;
}

void container_tell_exit(struct container *container)
{
    struct runtime *runtime = container->runtime;
    // The waiters are taken out first: their answers and `exited` may delete the container.
    struct list waiters;
    list_init(&waiters);
    struct list *link;
    while ((link = list_pop_front(&container->stops)))
        list_push_back(&waiters, link);
    struct runtime_exit exit = container->exit;
    char id[OCI_ID_CHARS_MAX + 1];
    str_copy(id, sizeof id, container->id);
    container->exit_untold = false;
    runtime->exited(runtime->owner, id, &exit);
    while ((link = list_pop_front(&waiters))) {
        struct stop_wait *wait = LIST_ENTRY(link, struct stop_wait, link);
        runtime->ops--;
        wait->done(wait->owner, NULL);
        free(wait);
    }
}

static void monitor_ended(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct container *container = poll->data;
    MAGIC_CHECK(container, CONTAINER_MAGIC);
    unwatch(container);
    take_exit(container);
    if (container->grace.fire)
        loop_timer_stop(&container->grace);
    log_debug("container ended", "container=%s code=%d oom=%d", container->id, container->exit.code,
              container->exit.oom_killed);
    // A short life may end before its start is answered: its answer still comes first.
    container->exit_untold = true;
    if (!container->starting)
        container_tell_exit(container);
}

int container_watch(struct container *container, pid_t pid, pid_t monitor, struct err *err)
{
    container->monitor_pidfd = pidfd_of(monitor);
    if (container->monitor_pidfd < 0)
        return err_set_errno(err, errno, "watch conmon of container %s", container->id);
    container->monitor_pid = monitor;
    container->pidfd = pidfd_of(pid);
    // Between reading the pid and opening it, the process may have gone and the number be
    // another's.
    if (container->pidfd >= 0 && !pid_is_in_cgroup(pid, container->cgroup_path)) {
        close(container->pidfd);
        container->pidfd = -1;
    }
    container->pid = container->pidfd >= 0 ? pid : 0;
    CHECK(uv_poll_init(&container->runtime->loop->uv, &container->monitor_poll,
                       container->monitor_pidfd) == 0);
    container->monitor_poll.data = container;
    container->poll_open = true;
    CHECK(uv_poll_start(&container->monitor_poll, UV_READABLE, monitor_ended) == 0);
    return 0;
}

int container_clean(struct container *container, struct err *err)
{
    char path[RUNTIME_PATH_BYTES];
    int rc = 0;
    if (str_format(path, sizeof path, "%s/" FILES_DIR, container->dir))
        rc = secret_unmount(path, err);
    if (!rc)
        rc = cgroup_remove(&container->runtime->cgroup, container->cgroup_path, err);
    if (!rc)
        rc = dir_remove(container->dir, err);
    return rc ? err_wrap(err, "clean up container %s", container->id) : 0;
}

// ---- adoption
// ------------------------------------------------------------------------------------

static struct wall file_time(const char *dir, const char *name)
{
    char path[RUNTIME_PATH_BYTES];
    struct stat st;
    if (!str_format(path, sizeof path, "%s/%s", dir, name) || stat(path, &st) < 0)
        return (struct wall){0};
    return (struct wall){st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec};
}

static pid_t read_pid(const char *dir)
{
    char path[RUNTIME_PATH_BYTES];
    struct buf text;
    pid_t pid = 0;
    buf_init(&text, 64);
    if (str_format(path, sizeof path, "%s/" MONITOR_PID_FILE, dir) &&
        file_read(path, &text, NULL) == 0 && buf_cstr(&text))
        pid = (pid_t)strtol(buf_cstr(&text), NULL, 10);
    buf_fini(&text);
    return pid;
}

static bool config_has_tty(const char *dir)
{
    char path[RUNTIME_PATH_BYTES];
    struct buf text;
    bool tty = false;
    buf_init(&text, OCI_CONFIG_BYTES);
    if (str_format(path, sizeof path, "%s/" CONFIG_FILE, dir) &&
        file_read(path, &text, NULL) == 0) {
        json_t *config = json_parse(text.data, text.len, NULL);
        tty = json_is_true(json_object_get(json_object_get(config, "process"), "terminal"));
        json_decref(config);
    }
    buf_fini(&text);
    return tty;
}

// The program that the container was made by. A life of before there were several wrote none down.
static struct program *program_of(struct runtime *runtime, const char *id)
{
    char path[RUNTIME_PATH_BYTES];
    struct buf text;
    struct program *program = NULL;
    buf_init(&text, 2 * RUNTIME_PATH_BYTES);
    if (str_format(path, sizeof path, "%s/%s/" PROGRAM_FILE, runtime->state_dir, id) &&
        file_read(path, &text, NULL) == 0 && buf_cstr(&text)) {
        char *name = (char *)text.data, *line = strchr(name, '\n');
        if (line && line[1]) {
            *line = '\0';
            line[1 + strcspn(line + 1, "\n")] = '\0';
            program = programs_recall(&runtime->programs, name, line + 1);
        }
    }
    buf_fini(&text);
    return program ? program : runtime->programs.chosen;
}

static void fill_status(const struct container *container, struct runtime_status *out)
{
    *out = (struct runtime_status){
        .id = container->id,
        .state = container->state,
        .pid = container->pid,
        .monitor_pid = container->monitor_pid,
        .created = container->created,
        .started = container->started,
        .exit = container->exit,
        .tty = container->tty,
    };
}

static void swept(void *owner, const struct err *err)
{
    (void)owner;
    if (err)
        log_warn("container leavings stay", "err=\"%s\"", err->message);
}

static int adopt_one(struct runtime *runtime, const char *id, runtime_found *found, void *owner,
                     struct err *err)
{
    struct container *container = container_new(runtime, id, program_of(runtime, id));
    pid_t monitor = monitor_find(container->dir, id);
    pid_t pid = read_pid(container->dir);
    container->created = file_time(container->dir, MONITOR_PID_FILE);
    container->started = file_time(container->dir, STARTED_FILE);
    container->tty = config_has_tty(container->dir);
    if (!pid) {
        // Never got as far as a container: our end came while it was being made.
        if (monitor)
            kill(monitor, SIGKILL);
        container->state = RUNTIME_EXITED;
        container->exit.code = -1;
        runtime_delete(runtime, id, true, swept, NULL);
        return 0;
    }
    if (monitor) {
        int rc = container_watch(container, pid, monitor, err);
        if (rc)
            return rc;
        container->state = container->started.ns ? RUNTIME_RUNNING : RUNTIME_CREATED;
        if (cgroup_frozen(&runtime->cgroup, container->cgroup_path))
            container->state = RUNTIME_PAUSED;
    } else {
        container->pidfd = pid_is_in_cgroup(pid, container->cgroup_path) ? pidfd_of(pid) : -1;
        take_exit(container);
    }
    struct runtime_status status;
    fill_status(container, &status);
    found(owner, &status);
    return 0;
}

static bool is_known(void *owner, const char *id)
{
    return runtime_container(owner, id) != NULL;
}

int runtime_adopt(struct runtime *runtime, runtime_found *found, void *owner, struct err *err)
{
    MAGIC_CHECK(runtime, RUNTIME_MAGIC);
    CHECK(map_count(&runtime->containers) == 0);
    DIR *dir = opendir(runtime->state_dir);
    if (!dir)
        return err_set_errno(err, errno, "open %s", runtime->state_dir);
    int rc = 0;
    struct dirent *entry;
    size_t count = 0;
    while (!rc && (entry = readdir(dir)) && count < CONTAINERS_MAX) {
        if (entry->d_name[0] == '.' || strlen(entry->d_name) > OCI_ID_CHARS_MAX)
            continue;
        rc = adopt_one(runtime, entry->d_name, found, owner, err);
        count++;
    }
    bool all = !rc && !entry;
    closedir(dir);
    if (all)
        cgroup_sweep(&runtime->cgroup, runtime->cgroup_parent, is_known, runtime);
    return rc;
}

// ---- looking at containers
// -----------------------------------------------------------------------

static int find(const struct runtime *runtime, const char *id, struct container **out,
                struct err *err)
{
    *out = runtime_container(runtime, id);
    if (!*out || (*out)->creating)
        return err_set(err, ERR_NOT_FOUND, "no container %s", id);
    return 0;
}

bool runtime_next(const struct runtime *runtime, size_t *position, struct runtime_status *out)
{
    const struct map_entry *entry = map_next(&runtime->containers, position);
    if (entry)
        fill_status(entry->value, out);
    return entry != NULL;
}

int runtime_inspect(const struct runtime *runtime, const char *id, struct runtime_status *out,
                    struct err *err)
{
    struct container *container;
    int rc = find(runtime, id, &container, err);
    if (!rc)
        fill_status(container, out);
    return rc;
}

const char *runtime_dir(const struct runtime *runtime, const char *id)
{
    struct container *container = runtime_container(runtime, id);
    return container && !container->creating ? container->dir : NULL;
}

static int find_live(const struct runtime *runtime, const char *id, struct container **out,
                     struct err *err)
{
    int rc = find(runtime, id, out, err);
    if (!rc && (*out)->pidfd < 0)
        rc = err_set(err, ERR_FAILED_PRECONDITION, "container %s is not running", id);
    return rc;
}

int runtime_ns_path(const struct runtime *runtime, const char *id, const char *kind, char *out,
                    size_t size, struct err *err)
{
    struct container *container;
    int rc = find_live(runtime, id, &container, err);
    if (!rc && !str_format(out, size, "/proc/%d/ns/%s", container->pid, kind))
        rc = err_set(err, ERR_INVALID_ARGUMENT, "namespace path is too long");
    return rc;
}

int runtime_stats(const struct runtime *runtime, const char *id, struct cgroup_stats *out,
                  struct err *err)
{
    struct container *container;
    int rc = find_live(runtime, id, &container, err);
    return rc ? rc : cgroup_read_stats(&runtime->cgroup, container->cgroup_path, out, err);
}

int runtime_pids(const struct runtime *runtime, const char *id, pid_t *out, size_t max,
                 struct err *err)
{
    struct container *container;
    int rc = find_live(runtime, id, &container, err);
    return rc ? rc : cgroup_pids(&runtime->cgroup, container->cgroup_path, out, max, err);
}

int runtime_reopen_log(struct runtime *runtime, const char *id, struct err *err)
{
    struct container *container;
    int rc = find_live(runtime, id, &container, err);
    return rc ? rc : monitor_reopen_log(container->dir, err);
}

int runtime_signal(struct runtime *runtime, const char *id, int signal, struct err *err)
{
    struct container *container;
    int rc = find_live(runtime, id, &container, err);
    if (!rc && syscall(SYS_pidfd_send_signal, container->pidfd, signal, NULL, 0) < 0)
        rc = errno == ESRCH
                 ? err_set(err, ERR_FAILED_PRECONDITION, "container %s is not running", id)
                 : err_set_errno(err, errno, "signal container %s", id);
    return rc;
}

const char *runtime_cgroup_path(const struct runtime *runtime, const char *id)
{
    const struct container *container = runtime_container(runtime, id);
    return container && !container->creating ? container->cgroup_path : NULL;
}

const struct cgroup *runtime_cgroup(const struct runtime *runtime)
{
    return &runtime->cgroup;
}

const char *runtime_program(const struct runtime *runtime)
{
    return runtime->programs.chosen->name;
}

bool runtime_has_program(const struct runtime *runtime, const char *name)
{
    return programs_find(&runtime->programs, name) != NULL;
}

bool runtime_next_program(const struct runtime *runtime, size_t *position, struct program_name *out)
{
    return programs_next(&runtime->programs, position, out);
}

const char *runtime_apparmor(const struct runtime *runtime)
{
    return runtime->confines ? APPARMOR_DEFAULT : NULL;
}

void runtime_host(const struct runtime *runtime, const struct container *container,
                  struct oci_host *host)
{
    *host = (struct oci_host){
        .cgroup_path = container->cgroup_path,
        .cgroup_v2 = runtime->cgroup.layout == CGROUP_V2,
        .has_swap_accounting = runtime->cgroup.swap_accounting,
        .has_cgroup_ns = runtime->has_cgroup_ns,
        .has_apparmor = runtime->has_apparmor,
        .apparmor_default = runtime_apparmor(runtime),
        .has_selinux = runtime->has_selinux,
        .may_lower_oom_score = runtime->caps >> CAP_RESOURCE & 1,
        .nofile_hard_max = runtime->nofile_hard_max,
        .init_path = *runtime->init ? runtime->init : NULL,
        .seccomp_json = runtime->seccomp.len ? (const char *)runtime->seccomp.data : NULL,
        .seccomp_json_bytes = runtime->seccomp.len,
        .seccomp_bpf = container_is_crun(container) ? runtime_seccomp_bpf : NULL,
        .seccomp_ctx = (void *)runtime,
        .kernel_release = runtime->kernel,
        .caps = runtime->caps,
    };
}
