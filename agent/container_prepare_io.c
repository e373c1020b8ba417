// What comes before a task's start: pull -> unpack -> sandbox -> layer, volumes and user
// (prepare_root) -> volumes mounted and filled in a worker job -> runtime_create. What a prepare
// made before it failed is taken away again before its answer.
#include "agent/container_priv_io.h"
#include "agent/container_settle_io.h"
#include "agent/image/rootfs_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// Takes away what the prepare made, then answers with task->err.
static void prepare_fail(struct executor_task *task)
{
    CHECK(task->err.code);
    container_unmake(task);
}

// True when the prepare goes on; else it is on its way to its answer.
static bool prepare_goes(struct executor_task *task, const struct err *err)
{
    if (task->aborted)
        err_set(&task->err, ERR_CANCELLED, "the preparation was given up");
    else if (err)
        task->err = *err;
    else
        return true;
    prepare_fail(task);
    return false;
}

static void prepare_created(void *owner, const struct err *err)
{
    struct executor_task *task = owner;
    if (!container_back(task))
        return;
    if (!err) {
        container_appeared(task);
        container_answer(task); // an abort came too late
        return;
    }
    prepare_goes(task, err);
}

static void prepare_fill(struct loop_work *work)
{
    struct executor_task *task = CONTAINER_OF(work, struct executor_task, work);
    const struct container_spec *spec = &task->spec;
    volume_uses_begin(task->uses, &task->err);
    for (size_t i = 0; i < spec->volumes_count && !task->err.code; i++)
        if (task->fills[i])
            volumes_fill(task->fills[i], spec->container.rootfs,
                         spec->mounts[spec->volumes[i].mount].target, &task->err);
}

static void prepare_filled(struct loop_work *work)
{
    struct executor_task *task = CONTAINER_OF(work, struct executor_task, work);
    volume_uses_free(task->uses);
    task->uses = NULL;
    if (!container_back(task))
        return;
    struct err failed = task->err;
    if (!prepare_goes(task, failed.code ? &failed : NULL))
        return;
    task->pending++;
    runtime_create(task->containers->runtime, &task->spec.container,
                   task->log.none ? "" : task->log_path, prepare_created, task);
}

static int prepare_volumes(struct executor_task *task)
{
    struct container_spec *spec = &task->spec;
    struct volumes *volumes = task->containers->volumes;
    task->fills = arena_alloc_array(&task->made, spec->volumes_count + 1, sizeof *task->fills);
    CHECK(task->fills); // bounded by OCI_MOUNTS_MAX
    CHECK(!task->uses);
    for (size_t i = 0; i < spec->volumes_count; i++) {
        const struct container_volume *wanted = &spec->volumes[i];
        const struct volume *volume;
        const struct volume_wish wish = {
            .name = wanted->name,
            .labels = wanted->labels,
            .labels_count = wanted->labels_count,
            .options = wanted->options,
            .options_count = wanted->options_count,
        };
        int rc = volumes_create(volumes, &wish, &volume, &task->err);
        if (!rc)
            rc = volumes_hold(volumes, volume->name, task->id, &task->err);
        if (rc)
            return rc;
        task->uses = task->uses ? task->uses : volume_uses_new(task->id);
        volume_uses_add(task->uses, volume);
        const char *path = arena_strdup(&task->made, volume->path);
        CHECK(path);
        spec->mounts[wanted->mount].source = path;
        task->fills[i] = wanted->nocopy ? NULL : path;
    }
    return 0;
}

static int prepare_spec(struct executor_task *task, const struct image *image)
{
    struct containers *containers = task->containers;
    struct buf resolv;
    containers_resolv(containers, &resolv);
    struct container_node node = {
        .hostname = containers->hostname,
        .resolv_conf = buf_cstr(&resolv),
        .init = containers->init,
        .defaults = containers->defaults,
        .overlays = containers->nets != NULL,
        .netns = container_net_wanted(task) ? nets_sandbox_path(containers->nets, task->id) : NULL,
    };
    // Parsed anew into our own memory: the library's image may go with its next change.
    struct image_config config;
    int rc = image_config_parse(image->config_json, image->config_json_bytes, &task->made, &config,
                                &task->err);
    if (!rc)
        rc =
            container_spec_make(&task->order, &config, &node, &task->made, &task->spec, &task->err);
    buf_fini(&resolv);
    return rc;
}

static int prepare_root(struct executor_task *task, const struct image *image)
{
    const char *root = images_root(task->containers->images);
    char mounted[ROOTFS_PATH_BYTES];
    // A layer without a container is what a crash or a reboot left.
    int rc = rootfs_remove(root, task->id, &task->err);
    if (!rc)
        rc = rootfs_create(root, task->id, image->id, &task->err);
    if (!rc)
        rc = rootfs_mount(root, task->id, mounted, &task->err);
    if (!rc)
        rc = prepare_spec(task, image);
    if (!rc) {
        task->spec.container.rootfs = arena_strdup(&task->made, mounted);
        rc = container_settle_user(&task->spec, &task->made, &task->err);
    }
    if (!rc)
        rc = prepare_volumes(task);
    return rc ? rc : container_settle_sources(&task->spec, &task->err);
}

static void prepare_rooted(struct executor_task *task)
{
    const struct image *image =
        library_by_id(images_library(task->containers->images), task->image_id);
    if (!image)
        err_set(&task->err, ERR_NOT_FOUND, "No such image: %s", task->image_id);
    if (!image || prepare_root(task, image)) {
        prepare_fail(task);
        return;
    }
    task->pending++;
    loop_work_start(task->containers->loop, &task->work, prepare_fill, prepare_filled);
}

static void prepare_attached(void *owner, const char *path, const struct err *err)
{
    struct executor_task *task = owner;
    (void)path; // asked for when it is needed
    task->attaching = false;
    if (container_back(task) && prepare_goes(task, err))
        prepare_rooted(task);
}

static void prepare_unpacked(void *owner, const struct err *err)
{
    struct executor_task *task = owner;
    if (!container_back(task) || !prepare_goes(task, err))
        return;
    if (!container_net_wanted(task)) {
        prepare_rooted(task);
        return;
    }
    struct buf resolv;
    containers_resolv(task->containers, &resolv);
    int rc = container_net_make(task, buf_cstr(&resolv), false, prepare_attached, &task->err);
    buf_fini(&resolv);
    if (rc) {
        prepare_fail(task);
        return;
    }
    task->attaching = true;
    task->pending++;
}

static void prepare_pulled(void *owner, const struct image *image, const struct err *err)
{
    struct executor_task *task = owner;
    if (!container_back(task))
        return;
    task->pull = NULL;
    if (!prepare_goes(task, err))
        return;
    str_copy(task->image_id, sizeof task->image_id, image->id);
    task->pending++;
    images_unpack(task->containers->images, task->image_id, prepare_unpacked, task);
}

void container_prepare(struct executor_task *task)
{
    struct containers *containers = task->containers;
    struct runtime_status status;
    container_begin(task, CONTAINER_PREPARE);
    if (runtime_inspect(containers->runtime, task->id, &status, NULL) == 0) {
        container_answer_later(task); // prepared before
        return;
    }
    task->aborted = false;
    arena_reset(&task->made);
    const Swarm__ContainerSpec *spec = task->order.task->spec->container;
    struct registry_auth auth = {0};
    if (registry_auth_parse(spec->pull_options ? spec->pull_options->registry_auth : "",
                            &task->made, &auth, &task->err)) {
        container_answer_later(task);
        return;
    }
    struct pull_request request = {.reference = spec->image, .auth = &auth};
    task->pending++;
    images_pull(containers->images, &request, prepare_pulled, task, &task->pull);
}

// Has what a prepare waits for end soon.
void container_give_up(struct executor_task *task)
{
    if (task->pull)
        images_pull_cancel(task->pull);
    if (task->attaching)
        nets_sandbox_remove(task->containers->nets, task->id, NULL, NULL);
}

void container_abort(struct executor_task *task)
{
    MAGIC_CHECK(task, EXECUTOR_TASK_MAGIC);
    if (task->op != CONTAINER_PREPARE)
        return;
    task->aborted = true;
    container_give_up(task);
}
