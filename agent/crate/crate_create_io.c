// Making a crate: check -> image -> volumes -> layer (a worker job, which fills new volumes too) ->
// record. What was made before a failure is taken away again.
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/crate/config.h"
#include "agent/crate/config_image.h"
#include "agent/crate/config_settle.h"
#include "agent/crate/crates_priv_io.h"
#include "agent/crate/host_check.h"
#include "agent/crate/names.h"
#include "agent/crate/points.h"
#include "agent/image/rootfs_io.h"
#include "agent/oci/root_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/str.h"

#define CHECK_BYTES_MAX (64u << 20)
#define NAMES_TRIED     100

struct creation {
    struct crates *crates;
    struct crate *crate; // in no list until it is made
    crate_created *done;
    void *owner;
    struct loop_work work;
    struct loop_later later; // answers what failed at once
    struct err err;
    json_t *warnings;
    struct fill {
        char *path;
        char *target;
        struct volume_uses *uses; // mounted while it is filled; may be none
    } * fills;
    size_t fills_count;
};

static void creation_end(struct creation *creation)
{
    struct crates *crates = creation->crates;
    struct crate *crate = creation->crate;
    bool failed = creation->err.code != ERR_OK;
    crates->pending--;
    if (!failed) {
        list_push_back(&crates->all, &crate->link);
        map_put_str(&crates->by_id, crate->id, crate);
        map_put_str(&crates->by_name, crate->name, crate);
        crate_volumes_tell(crate, "create");
        crate_tell(crate, "create", NULL);
    }
    creation->done(creation->owner, failed ? NULL : crate->id, creation->warnings,
                   failed ? &creation->err : NULL);
    if (failed && crate) {
        volumes_release_all(crates->volumes, crate->id, true);
        if (*crate->name && map_get_str(&crates->by_name, crate->name) == crate)
            map_remove_str(&crates->by_name, crate->name);
        list_push_back(&crates->all, &crate->link); // crate_forget takes it out again
        crate_forget(crate);
    }
    for (size_t i = 0; i < creation->fills_count; i++) {
        free(creation->fills[i].path);
        free(creation->fills[i].target);
        volume_uses_free(creation->fills[i].uses);
    }
    free(creation->fills);
    json_decref(creation->warnings);
    free(creation);
}

static void creation_later(struct loop_later *later)
{
    creation_end(CONTAINER_OF(later, struct creation, later));
}

// ---- the layer ---------------------------------------------------------------------------------

// What is only mounted to be filled, is so only when there is something to fill it with.
static int fill_one(const struct fill *fill, const char *root, struct err *err)
{
    int fd = root_open(root, fill->target, O_PATH | O_CLOEXEC, 0, NULL);
    if (fd < 0)
        return 0;
    close(fd);
    int rc = volume_uses_begin(fill->uses, err);
    if (!rc)
        rc = volumes_fill(fill->path, root, fill->target, err);
    volume_uses_end(fill->uses);
    return rc;
}

static void layer_work(struct loop_work *work)
{
    struct creation *creation = CONTAINER_OF(work, struct creation, work);
    const char *images = images_root(creation->crates->images);
    const char *id = creation->crate->id;
    char root[ROOTFS_PATH_BYTES];
    int rc = rootfs_create(images, id, creation->crate->image_id, &creation->err);
    if (!rc && creation->fills_count)
        rc = rootfs_mount(images, id, root, &creation->err);
    for (size_t i = 0; i < creation->fills_count && !rc; i++)
        rc = fill_one(&creation->fills[i], root, &creation->err);
    if (creation->fills_count)
        rootfs_unmount(images, id, NULL);
    if (rc)
        rootfs_remove(images, id, NULL);
}

static void layer_worked(struct loop_work *work)
{
    struct creation *creation = CONTAINER_OF(work, struct creation, work);
    if (!creation->err.code && crate_save(creation->crate, &creation->err))
        rootfs_remove(images_root(creation->crates->images), creation->crate->id, NULL);
    creation_end(creation);
}

static void image_unpacked(void *owner, const struct err *err)
{
    struct creation *creation = owner;
    if (err) {
        creation->err = *err;
        creation_end(creation);
        return;
    }
    loop_work_start(creation->crates->loop, &creation->work, layer_work, layer_worked);
}

// ---- checks ------------------------------------------------------------------------------------

static int choose_name(struct creation *creation, const char *wanted)
{
    struct crates *crates = creation->crates;
    struct crate *crate = creation->crate;
    const char *bare = wanted && wanted[0] == '/' ? wanted + 1 : str_or(wanted, "");
    if (!str_empty(wanted)) {
        if (!crate_name_valid(bare))
            return err_set(&creation->err, ERR_INVALID_ARGUMENT,
                           "Invalid container name (%.100s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are "
                           "allowed",
                           wanted);
        const struct crate *other = map_get_str(&crates->by_name, bare);
        if (other)
            return err_set(&creation->err, ERR_ALREADY_EXISTS,
                           "Conflict. The container name \"/%s\" is already in use by container "
                           "\"%s\". You have to remove (or rename) that container to be able to "
                           "reuse that name.",
                           bare, other->id);
        str_copy(crate->name, sizeof crate->name, bare);
    } else {
        struct rand rand;
        entropy_seed(&rand);
        for (unsigned i = 0; i < NAMES_TRIED; i++) {
            crate_name_make(&rand, i, crate->name, sizeof crate->name);
            if (!map_has_str(&crates->by_name, crate->name))
                break;
        }
    }
    if (map_has_str(&crates->by_name, crate->name))
        return err_set(&creation->err, ERR_RESOURCE_EXHAUSTED, "no name is free");
    map_put_str(&crates->by_name, crate->name, crate);
    return 0;
}

static int choose_image(struct creation *creation)
{
    struct crate *crate = creation->crate;
    const struct library *library = images_library(creation->crates->images);
    const struct image *image;
    const char *text = config_str(crate->config, "Image");
    struct reference reference;
    char name[REFERENCE_TEXT_BYTES];
    struct err ignored = ERR_INIT;
    if (str_empty(text))
        return err_set(&creation->err, ERR_INVALID_ARGUMENT, "No command specified");
    if (library_find(library, text, &image, &ignored) ==
        -ERR_INVALID_ARGUMENT) { // no name, or that of two
        creation->err = ignored;
        return -ERR_INVALID_ARGUMENT;
    }
    if (!image) {
        // The words that make the client pull name the tag too.
        if (reference_parse(text, &reference, NULL) == 0) {
            reference_default_tag(&reference);
            text = reference_familiar(&reference, name);
        }
        return err_set(&creation->err, ERR_NOT_FOUND, "No such image: %.500s", text);
    }
    str_copy(crate->image_id, sizeof crate->image_id, image->id);
    config_merge_image(crate->config, &image->config);
    return 0;
}

static int take_volumes_from(struct creation *creation)
{
    struct crate *crate = creation->crate;
    const json_t *list = config_of(crate->host, "VolumesFrom");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        const char *colon = strrchr(text, ':');
        char name[CRATE_NAME_BYTES];
        str_format(name, sizeof name, "%.*s", colon ? (int)(colon - text) : (int)strlen(text),
                   text);
        const struct crate *other = crates_find(creation->crates, name, &creation->err);
        if (!other) { // which is no missing image: docker would go and fetch that
            creation->err.code = ERR_INVALID_ARGUMENT;
            return -ERR_INVALID_ARGUMENT;
        }
        points_add(crate->points, other->points, colon && str_equal(colon, ":ro"));
    }
    return 0;
}

static struct oci_pair *pairs_of(const json_t *map, size_t *count)
{
    struct oci_pair *pairs = mem_alloc_array(json_object_size(map) + 1, sizeof *pairs);
    const char *key;
    json_t *value;
    *count = 0;
    json_object_foreach((json_t *)(uintptr_t)map, key, value) pairs[(*count)++] =
        (struct oci_pair){key, str_or(json_string_value(value), "")};
    return pairs;
}

static int make_volume(struct creation *creation, const json_t *point, const struct volume **volume)
{
    struct volume_wish wish = {.name = config_str(point, "Name")};
    struct oci_pair *labels = pairs_of(config_of(point, "labels"), &wish.labels_count);
    struct oci_pair *options = pairs_of(config_of(point, "options"), &wish.options_count);
    wish.labels = labels;
    wish.options = options;
    int rc = volumes_create(creation->crates->volumes, &wish, volume, &creation->err);
    free(labels);
    free(options);
    return rc;
}

static int make_volumes(struct creation *creation)
{
    struct crate *crate = creation->crate;
    struct volumes *volumes = creation->crates->volumes;
    size_t most = json_array_size(crate->points);
    creation->fills = mem_alloc_array(most + 1, sizeof *creation->fills);
    for (size_t i = 0; i < most; i++) {
        json_t *point = json_array_get(crate->points, i);
        const struct volume *volume;
        if (!str_equal(config_str(point, "Type"), "volume"))
            continue;
        int rc = make_volume(creation, point, &volume);
        if (rc)
            return rc;
        rc = volumes_hold(volumes, volume->name, crate->id, &creation->err);
        if (rc)
            return rc;
        json_object_set_new(point, "Name", json_string(volume->name));
        json_object_set_new(point, "Source", json_string(volume->path));
        if (!config_bool(point, "nocopy"))
            creation->fills[creation->fills_count++] =
                (struct fill){str_dup(volume->path), str_dup(config_str(point, "Destination")),
                              volume_uses_new(crate->id)};
        if (!config_bool(point, "nocopy"))
            volume_uses_add(creation->fills[creation->fills_count - 1].uses, volume);
    }
    return 0;
}

// All that can be refused without a container is refused now.
static int try_spec(struct creation *creation)
{
    struct crate *crate = creation->crate;
    struct arena arena;
    struct container_spec spec;
    struct crate_plan plan = {
        .id = crate->id,
        .name = crate->name,
        .config = crate->config,
        .host = crate->host,
        .points = crate->points,
        .defaults = creation->crates->defaults,
    };
    arena_init(&arena, CHECK_BYTES_MAX);
    int rc = crate_spec_make(&plan, &arena, &spec, &creation->err);
    if (!rc) {
        spec.container.rootfs = "/";
        rc = bundle_check(&spec.container, &creation->err);
    }
    arena_fini(&arena);
    return rc;
}

// A kernel whose block devices have no weights: a v1 tree without the file.
static bool lacks_weights(void)
{
    return access("/sys/fs/cgroup/blkio", F_OK) == 0 &&
           access("/sys/fs/cgroup/blkio/blkio.weight", F_OK) != 0;
}

// What is done, but not as the user may think.
static void warn(struct creation *creation)
{
    json_t *host = creation->crate->host;
    if (config_int(host, "BlkioWeight") && lacks_weights()) {
        json_object_set_new(host, "BlkioWeight", json_integer(0));
        json_array_append_new(
            creation->warnings,
            json_string("Your kernel does not support Block I/O weight or the cgroup is not "
                        "mounted. Weight discarded."));
    }
    if (str_equal(config_str(host, "NetworkMode"), "host") &&
        json_object_size(config_of(host, "PortBindings")) > 0)
        json_array_append_new(
            creation->warnings,
            json_string("Published ports are discarded when using host network mode"));
    if (config_bool(host, "OomKillDisable") && !config_int(host, "Memory"))
        json_array_append_new(
            creation->warnings,
            json_string("OOM killer is disabled for the container, but no memory limit is set, "
                        "this can result in the system running out of resources."));
}

// Namespaces of other containers: these must be there.
static int check_others(struct creation *creation)
{
    static const char *const modes[] = {"PidMode", "IpcMode"};
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        const char *mode = config_str(creation->crate->host, modes[i]);
        struct err ignored = ERR_INIT;
        if (str_starts(mode, "container:") &&
            !crates_find(creation->crates, mode + strlen("container:"), &ignored))
            return err_set(&creation->err, ERR_INVALID_ARGUMENT, "%s", ignored.message);
    }
    return 0;
}

// The default of today stays the container's own.
static int choose_runtime(struct creation *creation)
{
    const struct runtime *runtime = creation->crates->runtime;
    const char *name = config_str(creation->crate->host, "Runtime");
    if (!runtime_has_program(runtime, name))
        return err_set(&creation->err, ERR_INVALID_ARGUMENT, "Unknown runtime specified %.100s",
                       name);
    if (str_empty(name))
        json_object_set_new(creation->crate->host, "Runtime",
                            json_string(runtime_program(runtime)));
    return 0;
}

// A bind of Mounts makes no folder that is missing, as one of Binds does.
static int check_sources(struct creation *creation)
{
    const json_t *points = creation->crate->points;
    for (size_t i = 0; i < json_array_size(points); i++) {
        const json_t *point = json_array_get(points, i);
        const char *source = config_str(point, "Source");
        if (str_equal(config_str(point, "Type"), "bind") && !config_bool(point, "make") &&
            access(source, F_OK) != 0)
            return err_set(&creation->err, ERR_INVALID_ARGUMENT,
                           "invalid mount config for type \"bind\": bind source path does not "
                           "exist: %.500s",
                           source);
    }
    return 0;
}

static int creation_check(struct creation *creation, const char *name, const json_t *body)
{
    struct err *err = &creation->err;
    struct crate *crate = creation->crate;
    const json_t *networking = config_member(body, "NetworkingConfig");
    const json_t *endpoints = networking ? config_member(networking, "EndpointsConfig") : NULL;
    crate->config = config_read(body, err);
    crate->host = crate->config ? host_config_read(config_member(body, "HostConfig"), err) : NULL;
    crate->endpoints = json_is_object(endpoints) ? json_deep_copy(endpoints) : json_object();
    if (!crate->host)
        return -(int)err->code;
    if (map_count(&creation->crates->by_id) >= CRATES_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %d containers", CRATES_MAX);
    int rc = host_check_sharing(crate->config, crate->host, err);
    if (!rc)
        rc = host_config_settle(crate->config, crate->host, creation->crates->defaults, err);
    if (!rc)
        rc = choose_runtime(creation);
    if (!rc)
        rc = choose_name(creation, name);
    if (!rc)
        rc = choose_image(creation);
    if (!rc)
        rc = check_others(creation);
    if (rc)
        return rc;
    warn(creation);
    if (str_empty(config_str(crate->config, "Hostname")) &&
        !str_equal(config_str(crate->host, "NetworkMode"), "host")) {
        char host[13];
        str_format(host, sizeof host, "%.12s", crate->id);
        json_object_set_new(crate->config, "Hostname", json_string(host));
    } else if (str_empty(config_str(crate->config, "Hostname")) && creation->crates->hostname) {
        json_object_set_new(crate->config, "Hostname", json_string(creation->crates->hostname));
    }
    crate->points = points_make(crate->config, crate->host, err);
    if (!crate->points)
        return -(int)err->code;
    rc = check_sources(creation);
    if (!rc)
        rc = take_volumes_from(creation);
    if (!rc)
        rc = make_volumes(creation);
    return rc ? rc : try_spec(creation);
}

void crates_create(struct crates *crates, const char *name, const json_t *body, crate_created *done,
                   void *owner)
{
    char id[CONTAINER_ID_BYTES];
    crate_id_make(id);
    struct creation *creation = MEM_NEW(struct creation);
    creation->crates = crates;
    creation->done = done;
    creation->owner = owner;
    creation->warnings = json_array();
    loop_later_init(&creation->later, crates->loop, creation_later);
    creation->crate = crate_new(crates, id);
    creation->crate->created = wall_now();
    // Nobody sees it until it is whole.
    list_remove(&creation->crate->link);
    map_remove_str(&crates->by_id, id);
    crates->pending++;
    if (creation_check(creation, name, body))
        loop_later_ask(&creation->later);
    else
        images_unpack(crates->images, creation->crate->image_id, image_unpacked, creation);
}
