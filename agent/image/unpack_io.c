// Unpacking an image by umoci, once, into <root>/trees/<hex>.
//
// umoci reads OCI layouts only, so one is put together of hard links to the store's blobs and of a
// manifest with OCI's names for the same layers. The tree is unpacked aside, synced and renamed: a
// tree that is there is whole.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/image/blobs_io.h"
#include "agent/image/furnish_io.h"
#include "agent/image/images_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define UNPACK_MS_MAX (30 * 60 * 1000)
#define OUTPUT_BYTES  65536
#define ARENA_BYTES   (16u << 20)
#define LAYOUT_TAG    "image"

struct waiter {
    struct list link;
    images_simple_done *done;
    void *owner;
    struct loop_later later; // for the one who asks for a tree that is there
    struct images *images;
};

struct unpack {
    struct images *images;
    char id[72];
    char root[IMAGES_PATH_BYTES];
    char stage[IMAGES_PATH_BYTES];
    struct buf manifest; // JSON, for the worker
    struct step step;
    struct err err;
    struct list waiters;
};

// ---- the layout ---------------------------------------------------------------------------------

// A layer's real kind by its first bytes: archives of `docker save` call plain tars gzip.
static const char *layer_type(const char *root, const char *digest)
{
    char path[BLOB_PATH_BYTES];
    unsigned char magic[4] = {0};
    int fd = blobs_path(root, digest, path, NULL) == 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t got = fd >= 0 ? read(fd, magic, sizeof magic) : 0;
    if (fd >= 0)
        close(fd);
    if (got >= 2 && magic[0] == 0x1f && magic[1] == 0x8b)
        return "tar+gzip";
    return got == 4 && memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0 ? "tar+zstd" : "tar";
}

static int write_index(const char *layout, const char *digest, size_t size, struct err *err)
{
    static const char version[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
    char path[IMAGES_PATH_BYTES];
    struct buf text;
    buf_init(&text, 4096);
    buf_printf(&text,
               "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":"
               "\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"%s\",\"size\":%zu,"
               "\"annotations\":{\"org.opencontainers.image.ref.name\":\"" LAYOUT_TAG "\"}}]}",
               digest, size);
    int rc = images_path(path, err, "%s/index.json", layout);
    if (!rc)
        rc = file_write_atomic(path, text.data, text.len, 0600, err);
    if (!rc)
        rc = images_path(path, err, "%s/oci-layout", layout);
    if (!rc)
        rc = file_write_atomic(path, version, sizeof version - 1, 0600, err);
    buf_fini(&text);
    return rc;
}

int images_write_layout(const char *root, const char *layout, const struct manifest *from,
                        struct err *err)
{
    char path[IMAGES_PATH_BYTES], digest[72];
    struct manifest manifest = *from;
    manifest.layers = mem_alloc_array(from->layers_count + 1, sizeof *manifest.layers);
    int rc = images_path(path, err, "%s/blobs/sha256", layout);
    if (!rc)
        rc = dir_make(path, 0700, err);
    for (size_t i = 0; i < from->layers_count && !rc; i++) {
        manifest.layers[i] = from->layers[i];
        manifest.layers[i].media_type = layer_type(root, from->layers[i].digest);
        rc = images_path(path, err, "%s/blobs/sha256/%s", layout, from->layers[i].digest + 7);
        if (!rc)
            rc = images_link_blob(root, from->layers[i].digest, path, err);
    }
    if (!rc)
        rc = images_path(path, err, "%s/blobs/sha256/%s", layout, from->config.digest + 7);
    if (!rc)
        rc = images_link_blob(root, from->config.digest, path, err);
    struct buf text;
    buf_init(&text, MANIFEST_BYTES_MAX);
    if (!rc)
        manifest_write_oci(&manifest, &text);
    if (!rc && !buf_ok(&text))
        rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "image manifest is too large");
    if (!rc)
        rc = blobs_put(layout, text.data, text.len, digest, err);
    if (!rc)
        rc = write_index(layout, digest, text.len, err);
    buf_fini(&text);
    free(manifest.layers);
    return rc;
}

// ---- steps --------------------------------------------------------------------------------------

static void unpack_end(struct unpack *unpack)
{
    struct images *images = unpack->images;
    map_remove_str(&images->unpacks, unpack->id);
    struct list waiters;
    list_init(&waiters);
    struct list *link;
    while ((link = list_pop_front(&unpack->waiters)))
        list_push_back(&waiters, link);
    struct err err = unpack->err;
    buf_fini(&unpack->manifest);
    free(unpack);
    while ((link = list_pop_front(&waiters))) {
        struct waiter *waiter = LIST_ENTRY(link, struct waiter, link);
        images->ops--;
        waiter->done(waiter->owner, err.code ? &err : NULL);
        free(waiter);
    }
}

static void clean_run(void *ctx, struct err *err)
{
    struct unpack *unpack = ctx;
    dir_remove(unpack->stage, err);
}

static void clean_done(void *ctx, const struct err *err)
{
    struct unpack *unpack = ctx;
    if (err)
        log_warn("unpacking leaves a folder", "err=\"%s\"", err->message);
    unpack_end(unpack);
}

static void clean(struct unpack *unpack)
{
    step_start(unpack->images->loop, &unpack->step, clean_run, clean_done, unpack);
}

// The tree in its place, durable.
static void place_run(void *ctx, struct err *err)
{
    struct unpack *unpack = ctx;
    char from[IMAGES_PATH_BYTES], to[IMAGES_PATH_BYTES];
    if (images_path(from, err, "%s/rootfs", unpack->stage) != 0 ||
        images_path(to, err, "%s/trees/%s", unpack->root, unpack->id + 7) != 0 ||
        furnish_tree(from, err) != 0)
        return;
    int fd = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        err_set_errno(err, errno, "open %s", from);
        return;
    }
    if (syncfs(fd) < 0)
        err_set_errno(err, errno, "sync %s", from);
    close(fd);
    if (!err->code && rename(from, to) < 0)
        err_set_errno(err, errno, "move %s to %s", from, to);
    if (!err->code && images_path(to, err, "%s/trees", unpack->root) == 0)
        dir_sync(to, err);
}

static void place_done(void *ctx, const struct err *err)
{
    struct unpack *unpack = ctx;
    if (err)
        err_copy(&unpack->err, err);
    clean(unpack);
}

static void umoci_done(void *owner, const struct process_result *result)
{
    struct unpack *unpack = owner;
    if (process_check(result, "unpack image", &unpack->err) != 0) {
        if (strstr(result->err, "no space left"))
            unpack->err.code = ERR_RESOURCE_EXHAUSTED;
        clean(unpack);
        return;
    }
    step_start(unpack->images->loop, &unpack->step, place_run, place_done, unpack);
}

static void layout_run(void *ctx, struct err *err)
{
    struct unpack *unpack = ctx;
    struct arena arena;
    struct manifest manifest;
    const struct platform none = {"", "", ""};
    char layout[IMAGES_PATH_BYTES];
    arena_init(&arena, ARENA_BYTES);
    int rc = images_path(layout, err, "%s/layout", unpack->stage);
    if (!rc)
        rc = manifest_parse(unpack->manifest.data, unpack->manifest.len, &none, &arena, &manifest,
                            err);
    if (!rc)
        images_write_layout(unpack->root, layout, &manifest, err);
    arena_fini(&arena);
}

static void layout_done(void *ctx, const struct err *err)
{
    struct unpack *unpack = ctx;
    char image[IMAGES_PATH_BYTES], rootfs[IMAGES_PATH_BYTES];
    if (err)
        err_copy(&unpack->err, err);
    else if (images_path(image, &unpack->err, "%s/layout:" LAYOUT_TAG, unpack->stage) == 0 &&
             images_path(rootfs, &unpack->err, "%s/rootfs", unpack->stage) == 0) {
        const char *argv[] = {
            unpack->images->umoci, "raw", "unpack", "--image", image, rootfs, NULL};
        struct process_spec spec = {
            .argv = argv, .output_bytes_max = OUTPUT_BYTES, .timeout_ms = UNPACK_MS_MAX};
        if (process_start(unpack->images->loop, &spec, umoci_done, unpack, NULL, &unpack->err) == 0)
            return;
    }
    clean(unpack);
}

// ---- the call -----------------------------------------------------------------------------------

bool images_is_unpacked(const struct images *images, const char *id)
{
    char path[IMAGES_PATH_BYTES];
    return images_path(path, NULL, "%s/trees/%s", images->root, id + 7) == 0 && file_exists(path);
}

static void answer_now(struct loop_later *later)
{
    struct waiter *waiter = CONTAINER_OF(later, struct waiter, later);
    waiter->images->ops--;
    waiter->done(waiter->owner, NULL);
    free(waiter);
}

static void answer_missing(struct loop_later *later)
{
    struct waiter *waiter = CONTAINER_OF(later, struct waiter, later);
    struct err err = ERR_INIT;
    err_set(&err, ERR_NOT_FOUND, "No such image");
    waiter->images->ops--;
    waiter->done(waiter->owner, &err);
    free(waiter);
}

void images_unpack(struct images *images, const char *id, images_simple_done *done, void *owner)
{
    MAGIC_CHECK(images, IMAGES_MAGIC);
    struct waiter *waiter = MEM_NEW(struct waiter);
    waiter->done = done;
    waiter->owner = owner;
    waiter->images = images;
    list_init(&waiter->link);
    images->ops++;
    const struct image *image = library_by_id(images->library, id);
    if (!image || images_is_unpacked(images, id)) {
        loop_later_init(&waiter->later, images->loop, image ? answer_now : answer_missing);
        loop_later_ask(&waiter->later);
        return;
    }
    struct unpack *unpack = map_get_str(&images->unpacks, id);
    if (unpack) {
        list_push_back(&unpack->waiters, &waiter->link);
        return;
    }
    unpack = MEM_NEW(struct unpack);
    unpack->images = images;
    str_copy(unpack->id, sizeof unpack->id, id);
    str_copy(unpack->root, sizeof unpack->root, images->root);
    images_stage(images, unpack->stage);
    list_init(&unpack->waiters);
    list_push_back(&unpack->waiters, &waiter->link);
    buf_init(&unpack->manifest, MANIFEST_BYTES_MAX);
    manifest_write_docker(&image->manifest, &unpack->manifest);
    map_put_str(&images->unpacks, id, unpack);
    step_start(images->loop, &unpack->step, layout_run, layout_done, unpack);
}
