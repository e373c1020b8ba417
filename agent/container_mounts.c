#include "agent/container_mounts.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

static int make_bind(const Swarm__Mount *mount, struct oci_mount *out, struct container_spec *spec,
                     struct err *err)
{
    static const enum oci_propagation propagations[] = {
        [SWARM__MOUNT__BIND_OPTIONS__PROPAGATION__RPRIVATE] = OCI_PROPAGATION_RPRIVATE,
        [SWARM__MOUNT__BIND_OPTIONS__PROPAGATION__PRIVATE] = OCI_PROPAGATION_PRIVATE,
        [SWARM__MOUNT__BIND_OPTIONS__PROPAGATION__RSHARED] = OCI_PROPAGATION_RSHARED,
        [SWARM__MOUNT__BIND_OPTIONS__PROPAGATION__SHARED] = OCI_PROPAGATION_SHARED,
        [SWARM__MOUNT__BIND_OPTIONS__PROPAGATION__RSLAVE] = OCI_PROPAGATION_RSLAVE,
        [SWARM__MOUNT__BIND_OPTIONS__PROPAGATION__SLAVE] = OCI_PROPAGATION_SLAVE,
    };
    if (str_empty(mount->source) || mount->source[0] != '/')
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "invalid mount source \"%.200s\": must be an absolute path", mount->source);
    out->kind = OCI_MOUNT_BIND;
    out->source = mount->source;
    const Swarm__Mount__BindOptions *options = mount->bind_options;
    if (!options)
        return 0;
    if ((size_t)options->propagation >= COUNT_OF(propagations))
        return err_set(err, ERR_INVALID_ARGUMENT, "unknown propagation of mount %s", mount->target);
    // A read-only bind is read-only in its topmost mount: that is readonlynonrecursive.
    if (options->readonlyforcerecursive)
        return err_set(err, ERR_UNIMPLEMENTED,
                       "mount %.200s: bind option ReadOnlyForceRecursive is not supported by this "
                       "node",
                       mount->target);
    out->propagation = propagations[options->propagation];
    out->nonrecursive = options->nonrecursive;
    if (options->createmountpoint)
        spec->make_sources[spec->make_sources_count++] = mount->source;
    return 0;
}

// Looked at when the volume is made: one that is there already keeps its own.
static void take_options(const Swarm__Driver *driver, struct arena *arena,
                         struct container_volume *volume)
{
    size_t count = driver ? driver->n_options : 0;
    struct oci_pair *options = arena_alloc_array(arena, count + 1, sizeof *options);
    for (size_t i = 0; options && i < count; i++)
        options[i] = (struct oci_pair){driver->options[i]->key, driver->options[i]->value};
    volume->options = options;
    volume->options_count = options ? count : 0;
}

static int make_volume(const Swarm__Mount *mount, struct oci_mount *out, struct arena *arena,
                       struct container_spec *spec, struct err *err)
{
    struct container_volume *volume = &spec->volumes[spec->volumes_count++];
    const Swarm__Mount__VolumeOptions *options = mount->volume_options;
    out->kind = OCI_MOUNT_BIND;
    *volume = (struct container_volume){
        .mount = (size_t)(out - spec->mounts),
        .name = str_empty(mount->source) ? NULL : mount->source,
    };
    if (!options)
        return 0;
    const Swarm__Driver *driver = options->driver_config;
    if (driver && !str_empty(driver->name) && !str_equal(driver->name, "local"))
        return err_set(err, ERR_UNIMPLEMENTED,
                       "mount %.200s: volume driver \"%.64s\" is not supported by this node",
                       mount->target, driver->name);
    if (!str_empty(options->subpath))
        return err_set(err, ERR_UNIMPLEMENTED,
                       "mount %.200s: volume option Subpath is not supported by this node",
                       mount->target);
    struct oci_pair *labels = arena_alloc_array(arena, options->n_labels + 1, sizeof *labels);
    for (size_t i = 0; labels && i < options->n_labels; i++)
        labels[i] = (struct oci_pair){options->labels[i]->key, options->labels[i]->value};
    volume->nocopy = options->nocopy;
    volume->labels = labels;
    volume->labels_count = labels ? options->n_labels : 0;
    take_options(driver, arena, volume);
    return 0;
}

static int make_tmpfs(const Swarm__Mount *mount, struct oci_mount *out, struct err *err)
{
    const Swarm__Mount__TmpfsOptions *options = mount->tmpfs_options;
    out->kind = OCI_MOUNT_TMPFS;
    if (!str_empty(mount->source))
        return err_set(err, ERR_INVALID_ARGUMENT, "mount %.200s: a tmpfs takes no source",
                       mount->target);
    if (!options)
        return 0;
    if (options->size_bytes < 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "mount %.200s: invalid tmpfs size",
                       mount->target);
    out->tmpfs_size_bytes = (uint64_t)options->size_bytes;
    out->tmpfs_mode = options->mode;
    out->tmpfs_options = str_empty(options->options) ? NULL : options->options;
    return 0;
}

static int make_mount(const Swarm__Mount *mount, struct oci_mount *out, struct arena *arena,
                      struct container_spec *spec, struct err *err)
{
    out->target = mount->target;
    out->readonly = mount->readonly;
    switch (mount->type) {
    case SWARM__MOUNT__TYPE__BIND:
        return make_bind(mount, out, spec, err);
    case SWARM__MOUNT__TYPE__VOLUME:
        return make_volume(mount, out, arena, spec, err);
    case SWARM__MOUNT__TYPE__TMPFS:
        return make_tmpfs(mount, out, err);
    case SWARM__MOUNT__TYPE__CLUSTER:
        return err_set(err, ERR_UNIMPLEMENTED,
                       "mount %.200s: cluster volumes are not supported by this node",
                       mount->target);
    default:
        return err_set(err, ERR_UNIMPLEMENTED,
                       "mount %.200s: this type of mount is not supported by this node",
                       mount->target);
    }
}

static bool has_target(const struct container_spec *spec, size_t count, const char *target)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(spec->mounts[i].target, target))
            return true;
    return false;
}

int container_mounts_make(const Swarm__Task *task, const Swarm__ContainerSpec *spec,
                          const struct image_config *image, struct arena *arena,
                          struct container_spec *out, struct err *err)
{
    size_t most = spec->n_mounts + image->volumes_count;
    if (task->n_volumes)
        return err_set(err, ERR_UNIMPLEMENTED, "cluster volumes are not supported by this node");
    if (most > OCI_MOUNTS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "more than %d mounts", OCI_MOUNTS_MAX);
    out->mounts = arena_alloc_array(arena, most + 1, sizeof *out->mounts);
    out->volumes = arena_alloc_array(arena, most + 1, sizeof *out->volumes);
    out->make_sources = arena_alloc_array(arena, most + 1, sizeof *out->make_sources);
    if (!out->mounts || !out->volumes || !out->make_sources)
        return 0; // told by the arena
    size_t count = 0;
    for (; count < spec->n_mounts; count++) {
        int rc = make_mount(spec->mounts[count], &out->mounts[count], arena, out, err);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < image->volumes_count; i++) {
        if (has_target(out, count, image->volumes[i]))
            continue;
        out->mounts[count] =
            (struct oci_mount){.kind = OCI_MOUNT_BIND, .target = image->volumes[i]};
        out->volumes[out->volumes_count++] = (struct container_volume){.mount = count};
        count++;
    }
    out->container.mounts = out->mounts;
    out->container.mounts_count = count;
    return 0;
}

static int make_file(const struct executor_file *file, struct arena *arena, struct oci_file *out,
                     struct err *err)
{
    const Swarm__FileTarget *target = file->secret ? file->secret->file : file->config->file;
    const char *what = file->secret ? file->secret->secret_name : file->config->config_name;
    const char *folder = file->secret ? "/run/secrets/" : "/";
    const char *name = str_or(target->name, what);
    uint64_t uid = 0;
    uint64_t gid = 0;
    if (!str_to_u64(str_or(target->uid, "0"), UINT32_MAX, &uid) ||
        !str_to_u64(str_or(target->gid, "0"), UINT32_MAX, &gid))
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: owner and group must be numbers", what);
    *out = (struct oci_file){
        .target = name[0] == '/' ? name : arena_printf(arena, "%s%s", folder, name),
        .data = file->data,
        .size = file->size,
        .mode = target->mode,
        .uid = (uint32_t)uid,
        .gid = (uint32_t)gid,
    };
    return 0;
}

int container_files_make(const struct executor_order *order, struct arena *arena,
                         struct container_spec *out, struct err *err)
{
    struct oci_file *files = arena_alloc_array(arena, order->files_count + 1, sizeof *files);
    size_t count = 0;
    for (size_t i = 0; files && i < order->files_count; i++) {
        const struct executor_file *file = &order->files[i];
        // A config with a runtime target is for the runtime alone and appears nowhere.
        if (file->config && file->config->target_case == SWARM__CONFIG_REFERENCE__TARGET_RUNTIME)
            continue;
        if (file->secret ? file->secret->target_case != SWARM__SECRET_REFERENCE__TARGET_FILE
                         : file->config->target_case != SWARM__CONFIG_REFERENCE__TARGET_FILE)
            return err_set(err, ERR_INVALID_ARGUMENT, "secret or config %s has no file target",
                           file->secret ? file->secret->secret_name : file->config->config_name);
        int rc = make_file(file, arena, &files[count++], err);
        if (rc)
            return rc;
    }
    out->container.files = files;
    out->container.files_count = count;
    return 0;
}

const char *container_resource_kind(const Swarm__GenericResource *resource)
{
    if (resource->resource_case == SWARM__GENERIC_RESOURCE__RESOURCE_NAMED_RESOURCE_SPEC)
        return resource->named_resource_spec->kind;
    if (resource->resource_case == SWARM__GENERIC_RESOURCE__RESOURCE_DISCRETE_RESOURCE_SPEC)
        return resource->discrete_resource_spec->kind;
    return NULL;
}
