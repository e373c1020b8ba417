// /system/df: what images, containers and volumes take of the disk.
#include <stdlib.h>

#include "agent/crate/config.h"
#include "agent/engine/bus.h"
#include "agent/engine/container_json.h"
#include "agent/engine/engine.h"
#include "agent/engine/errand.h"
#include "agent/engine/rows.h"
#include "agent/image/rootfs_io.h"
#include "agent/oci/volumes_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/map.h"
#include "proto/base/str.h"

// The layers of containers and the volumes are counted in a worker job.
struct counting {
    struct errand errand;
    struct loop_work work;
    const struct backend_local *local; // in the request's arena
    char *root;
    size_t count;
    char (*ids)[CONTAINER_ID_BYTES];
    int64_t *bytes;
    size_t volumes_count;
    struct counted_volume {
        char *name, *path;
        uint64_t bytes;
    } * volumes;
};

void tell_pruned(struct request *request, const char *type, uint64_t freed)
{
    char number[24];
    str_format(number, sizeof number, "%llu", (unsigned long long)freed);
    struct bus_attribute attribute = {"reclaimed", number};
    struct bus_event event = {.type = type,
                              .action = "prune",
                              .at = wall_now(),
                              .attributes = &attribute,
                              .attributes_count = 1};
    bus_publish(request_bus(request), &event);
}

static void counting_fini(struct errand *errand)
{
    struct counting *counting = CONTAINER_OF(errand, struct counting, errand);
    free(counting->root);
    free(counting->ids);
    free(counting->bytes);
    for (size_t i = 0; i < counting->volumes_count; i++) {
        free(counting->volumes[i].name);
        free(counting->volumes[i].path);
    }
    free(counting->volumes);
}

static void count_layers(struct loop_work *work)
{
    struct counting *counting = CONTAINER_OF(work, struct counting, work);
    for (size_t i = 0; i < counting->count; i++)
        counting->bytes[i] = (int64_t)rootfs_upper_bytes(counting->root, counting->ids[i]);
    for (size_t i = 0; i < counting->volumes_count; i++)
        counting->volumes[i].bytes = rootfs_folder_bytes(counting->volumes[i].path);
}

static bool wanted(const struct request *request, const char *type)
{
    const char *text = NULL;
    bool any = false;
    if (request_minor(request) < 42)
        return true; // there was no such choice
    for (size_t i = 0; (text = request_query_at(request, "type", i)); i++) {
        any = true;
        if (str_equal(text, type))
            return true;
    }
    return !any;
}

// The layers of all images by their digests: that some image has, and that several have.
struct layers {
    struct map there;
    struct map shared;
};

// The bytes of its layers that no image before it has.
static uint64_t layers_add(struct layers *layers, const struct image *image)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < image->manifest.layers_count; i++) {
        const char *digest = image->manifest.layers[i].digest;
        if (map_has_str(&layers->there, digest)) {
            map_put_str(&layers->shared, digest, layers);
        } else {
            map_put_str(&layers->there, digest, layers);
            bytes += image->layer_bytes[i];
        }
    }
    return bytes;
}

static int64_t shared_bytes(const struct layers *layers, const struct image *image)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < image->manifest.layers_count; i++)
        if (map_has_str(&layers->shared, image->manifest.layers[i].digest))
            bytes += image->layer_bytes[i];
    return (int64_t)bytes;
}

static void write_images(const struct counting *counting, unsigned minor, struct json_out *out)
{
    const struct library *library = images_library(counting->local->images);
    const struct image *image;
    struct layers layers;
    uint64_t bytes = 0;
    size_t position = 0;
    map_init(&layers.there);
    map_init(&layers.shared);
    while ((image = library_next(library, &position)))
        bytes += layers_add(&layers, image);
    json_out_uint(out, "LayersSize", bytes);
    json_out_array(out, "Images");
    position = 0;
    while ((image = library_next(library, &position)))
        image_write_row(
            image, (int64_t)rootfs_users(images_root(counting->local->images), image->id, NULL, 0),
            shared_bytes(&layers, image), minor, out);
    json_out_end(out);
    map_fini(&layers.there);
    map_fini(&layers.shared);
}

static void write_containers(const struct counting *counting, struct json_out *out)
{
    const struct library *library = images_library(counting->local->images);
    json_out_array(out, "Containers");
    for (size_t i = 0; i < counting->count; i++) {
        const struct crate *crate = crates_find(counting->local->crates, counting->ids[i], NULL);
        const struct image *image = crate ? library_by_id(library, crate->image_id) : NULL;
        struct container_size size = {.rw = counting->bytes[i],
                                      .root = counting->bytes[i] +
                                              (image ? (int64_t)image->size_bytes : 0)};
        if (crate)
            container_write_row(crate, &size, out);
    }
    json_out_end(out);
}

static void write_volumes(const struct counting *counting, struct json_out *out)
{
    struct volumes *volumes = counting->local->volumes;
    const struct volume *volume;
    json_out_array(out, "Volumes");
    for (size_t i = 0; i < counting->volumes_count; i++) {
        const struct counted_volume *counted = &counting->volumes[i];
        if (volumes_find(volumes, counted->name, &volume, NULL))
            continue; // removed meanwhile
        volume_write_open(volume, out);
        json_out_object(out, "UsageData");
        json_out_uint(out, "RefCount", volumes_users(volumes, volume->name));
        json_out_uint(out, "Size", counted->bytes);
        json_out_end(out);
        json_out_end(out);
    }
    json_out_end(out);
}

static void counted(struct loop_work *work)
{
    struct counting *counting = CONTAINER_OF(work, struct counting, work);
    if (!errand_back(&counting->errand))
        return;
    struct request *request = counting->errand.request;
    struct json_out *out = request_write(request);
    json_out_object(out, NULL);
    if (wanted(request, "image"))
        write_images(counting, request_minor(request), out);
    if (wanted(request, "container"))
        write_containers(counting, out);
    if (wanted(request, "volume"))
        write_volumes(counting, out);
    if (wanted(request, "build-cache")) {
        if (request_minor(request) < 42) {
            json_out_null(out, "BuildCache");
            json_out_uint(out, "BuilderSize", 0);
        } else {
            json_out_array(out, "BuildCache");
            json_out_end(out);
        }
    }
    json_out_end(out);
    request_send(request, 200);
}

static void disk_usage(struct request *request)
{
    const struct backend_local *local = errand_local(request);
    if (!local)
        return;
    struct counting *counting = errand_new(request, sizeof *counting);
    counting->errand.fini = counting_fini;
    counting->local = local;
    counting->root = str_dup(images_root(local->images));
    counting->ids = mem_alloc_array(CRATES_MAX, sizeof *counting->ids);
    counting->bytes = mem_alloc_array(CRATES_MAX, sizeof *counting->bytes);
    for (const struct crate *crate = NULL; (crate = crates_next(local->crates, crate));)
        if (counting->count < CRATES_MAX)
            str_copy(counting->ids[counting->count++], CONTAINER_ID_BYTES, crate->id);
    const struct volume *volume;
    for (size_t at = 0;
         wanted(request, "volume") && (volume = volumes_next(local->volumes, &at));) {
        if (volume->options_count)
            continue; // what is mounted there is not this node's
        counting->volumes = mem_realloc(counting->volumes,
                                        (counting->volumes_count + 1) * sizeof *counting->volumes);
        counting->volumes[counting->volumes_count++] =
            (struct counted_volume){str_dup(volume->name), str_dup(volume->path), 0};
    }
    errand_await(&counting->errand);
    loop_work_start(request_loop(request), &counting->work, count_layers, counted);
}

static const struct endpoint rows[] = {{"GET", "/system/df", disk_usage}};
ENDPOINTS(disk_usage_endpoints, rows);
