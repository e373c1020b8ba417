// A crate's start: attached to networks of the swarm -> volumes mounted -> mount -> specification
// -> runtime_create -> those who attached -> runtime_start.
#include <string.h>

#include "agent/container_settle_io.h"
#include "agent/crate/config.h"
#include "agent/crate/crates_priv_io.h"
#include "agent/crate/sandbox_link_io.h"
#include "agent/image/rootfs_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"

static int other_namespace(struct crate *crate, const char *mode, const char *kind,
                           struct oci_namespace *out, struct err *err)
{
    if (!str_starts(mode, "container:"))
        return 0;
    struct crate *other = crates_find(crate->crates, mode + strlen("container:"), err);
    char path[64];
    if (!other)
        return -(int)err->code;
    if (!crate_running(other))
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "cannot join the namespace of container %s: it is not running", other->id);
    int rc = runtime_ns_path(crate->crates->runtime, other->id, kind, path, sizeof path, err);
    if (rc)
        return rc;
    *out = (struct oci_namespace){OCI_NS_PATH, arena_strdup(&crate->life->made, path)};
    return 0;
}

// /dev/shm: the container's own, which others may share where it says so, another's, or none.
static int start_shm(struct crate *crate, struct err *err)
{
    struct oci_container *container = &crate->life->spec.container;
    const char *root = images_root(crate->crates->images);
    const char *mode = config_str(crate->host, "IpcMode");
    char path[ROOTFS_PATH_BYTES] = "";
    int rc = 0;
    container->no_shm = str_equal(mode, "none");
    if (str_equal(mode, "shareable")) {
        rc = rootfs_shm_mount(root, crate->id, container->shm_bytes, path, err);
    } else if (str_starts(mode, "container:")) {
        const struct crate *other = crates_find(crate->crates, mode + strlen("container:"), err);
        if (!other)
            return -(int)err->code;
        if (rootfs_shm(root, other->id, path, NULL))
            rc = err_set(err, ERR_INTERNAL,
                         "can't join IPC of container %s: non-shareable IPC (hint: use "
                         "IpcMode:shareable for the donor container)",
                         other->id);
    }
    if (!rc && *path)
        container->shm = arena_strdup(&crate->life->made, path);
    return rc;
}

static int start_namespaces(struct crate *crate, struct err *err)
{
    struct oci_container *container = &crate->life->spec.container;
    int rc =
        other_namespace(crate, config_str(crate->host, "NetworkMode"), "net", &container->net, err);
    if (crate->life->netns)
        container->net = (struct oci_namespace){OCI_NS_PATH, crate->life->netns};
    if (!rc)
        rc =
            other_namespace(crate, config_str(crate->host, "PidMode"), "pid", &container->pid, err);
    if (!rc)
        rc =
            other_namespace(crate, config_str(crate->host, "IpcMode"), "ipc", &container->ipc, err);
    return rc ? rc : start_shm(crate, err);
}

static int start_spec(struct crate *crate, const char *root, struct err *err)
{
    struct crate_life *life = crate->life;
    struct crates *crates = crate->crates;
    struct buf resolv;
    containers_resolv(crates->containers, &resolv);
    struct crate_plan plan = {
        .id = crate->id,
        .name = crate->name,
        .config = crate->config,
        .host = crate->host,
        .points = crate->points,
        .node_hostname = crates->hostname,
        .resolv_conf = buf_cstr(&resolv),
        .defaults = crates->defaults,
        .addresses = life->addresses,
        .addresses_count = life->addresses_count,
        .dns_server = life->answers ? CRATE_RESOLVER : NULL,
    };
    int rc = crate_spec_make(&plan, &life->made, &life->spec, err);
    buf_fini(&resolv);
    if (rc)
        return rc;
    life->spec.container.rootfs = arena_strdup(&life->made, root);
    if (crates->init && !json_is_false(json_object_get(crate->host, "Init")))
        life->spec.container.init = true;
    return 0;
}

static int start_prepare(struct crate *crate, struct err *err)
{
    struct crate_life *life = crate->life;
    char root[ROOTFS_PATH_BYTES];
    arena_reset(&life->made);
    life->asked = false;
    life->addresses_count = 0;
    life->answers = false;
    int rc = rootfs_mount(images_root(crate->crates->images), crate->id, root, err);
    if (!rc)
        rc = crate_net_join(crate, err);
    if (!rc)
        rc = start_spec(crate, root, err);
    if (!rc)
        rc = start_namespaces(crate, err);
    if (!rc)
        rc = container_settle_user(&life->spec, &life->made, err);
    return rc ? rc : container_settle_sources(&life->spec, err);
}

// Whether crun or runc speaks of the program itself: a device, a cgroup's file or a sysctl may be
// missing too.
static bool start_blames_program(const char *message)
{
    static const char *const words[] = {"xecutable", "exec container process", "exec: \""};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (strstr(message, words[i]))
            return true;
    return false;
}

// dockerd's words for what the runtime says of the program, which clients look for. Anything else
// stays in the runtime's own.
static void start_translate(struct crate *crate, struct err *err)
{
    static const struct {
        const char *ours;
        const char *theirs;
        int code;
    } rows[] = {
        {"$PATH", "executable file not found in $PATH", 127},
        {"No such file or directory", "no such file or directory", 127},
        {"no such file or directory", "no such file or directory", 127},
        {"ermission denied", "permission denied", 126},
        {"peration not permitted", "permission denied", 126}, // crun, of a folder
        {"xec format error", "exec format error", 126},
    };
    crate->exit_code = 128;
    if (!crate->life->asked)
        return;
    const struct oci_strings *args = &crate->life->spec.container.args;
    bool program = args->count && start_blames_program(err->message);
    for (size_t i = 0; program && i < COUNT_OF(rows); i++)
        if (strstr(err->message, rows[i].ours)) {
            crate->exit_code = rows[i].code;
            err_set(err, ERR_INVALID_ARGUMENT,
                    "failed to create task for container: failed to create shim task: OCI runtime "
                    "create failed: %s create failed: unable to start container process: exec: "
                    "\"%.200s\": %s: unknown",
                    str_or(crate->life->spec.container.runtime,
                           runtime_program(crate->crates->runtime)),
                    args->items[0], rows[i].theirs);
            return;
        }
    // What the runtime misses is no container of the request's.
    if (err->code == ERR_NOT_FOUND || err->code == ERR_PERMISSION_DENIED)
        err->code = ERR_INTERNAL;
}

static void start_failed_end(struct crate *crate)
{
    struct crate_op *op = crate_op_now(crate);
    crate_net_leave(crate);
    if (!crate->life->root_users)
        rootfs_unmount(images_root(crate->crates->images), crate->id, NULL);
    str_copy(crate->error, sizeof crate->error, op->err.message);
    crate->state = crate->started.ns ? CRATE_EXITED : CRATE_CREATED;
    crate_save(crate, NULL);
    crate_attaches_end(crate);
    if (config_bool(crate->host, "AutoRemove")) {
        // Its caller is told when it is gone: docker waits for both, and takes the answer for the
        // last.
        op->why = op->err;
        err_clear(&op->err);
        op->kind = OP_REMOVE;
        op->volumes = true;
        crate_remove_begin(crate);
        return;
    }
    crate_op_end(crate);
}

static void start_failed_deleted(void *owner, const struct err *ignored)
{
    (void)ignored;
    crate_op_back(owner);
    crate_volumes_end(owner, start_failed_end);
}

static void start_failed(struct crate *crate)
{
    CHECK(crate_op_now(crate)->err.code);
    start_translate(crate, &crate_op_now(crate)->err);
    crate->crates->pending++;
    runtime_delete(crate->crates->runtime, crate->id, true, start_failed_deleted, crate);
}

// True when the start goes on.
static bool start_back(struct crate *crate, const struct err *err)
{
    crate_op_back(crate);
    if (!err)
        return true;
    crate_op_now(crate)->err = *err;
    start_failed(crate);
    return false;
}

static void start_started(void *owner, const struct err *err)
{
    struct crate *crate = owner;
    struct runtime_status status;
    if (!start_back(crate, err))
        return;
    crate->state = CRATE_RUNNING;
    crate->started = wall_now();
    crate->exit_code = 0;
    crate->oom_killed = false;
    crate->error[0] = '\0';
    crate->pid = 0;
    if (runtime_inspect(crate->crates->runtime, crate->id, &status, NULL) == 0)
        crate->pid = (int32_t)status.pid;
    crate_link_sandbox(crate);
    crate_volumes_tell(crate, "mount");
    crate_tell(crate, "start", NULL);
    if (crate_op_now(crate)->restarts)
        crate_tell(crate, "restart", NULL);
    crate_health_begin(crate);
    crate_save(crate, NULL);
    crate_op_end(crate);
}

static void start_created(void *owner, const struct err *err)
{
    struct crate *crate = owner;
    if (!start_back(crate, err))
        return;
    crate_attaches_begin(crate);
    crate->crates->pending++;
    runtime_start(crate->crates->runtime, crate->id, start_started, crate);
}

static void start_make(struct crate *crate)
{
    struct crate_life *life = crate->life;
    if (crate_op_now(crate)->err.code || start_prepare(crate, &crate_op_now(crate)->err)) {
        start_failed(crate);
        return;
    }
    life->asked = true;
    crate->crates->pending++;
    runtime_create(crate->crates->runtime, &life->spec.container,
                   life->spec.log.none ? "" : crate->log_path, start_created, crate);
}

static void start_attached(void *owner, const struct err *err)
{
    struct crate *crate = owner;
    if (start_back(crate, err))
        crate_volumes_begin(crate, start_make);
}

void crate_start_begin(struct crate *crate)
{
    struct crate_life *life = crate->life;
    struct crate_op *op = crate_op_now(crate);
    loop_timer_stop(&life->restart);
    if (crate_running(crate)) {
        crate_op_end(crate);
        return;
    }
    if (op->done) { // a user's start: the policy counts anew
        crate->stopped_by_user = false;
        crate->restart_count = 0;
    }
    life->asked = false;
    if (crate_net_shared(crate)) {
        crate->crates->pending++;
        crate_net_attach(crate, start_attached, crate);
        return;
    }
    crate_volumes_begin(crate, start_make);
}
