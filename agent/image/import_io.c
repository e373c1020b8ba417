// A tar made into an image: of one layer, as `docker import` does, or into a layer on top of those
// of another image, as `docker commit` does.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/image/blobs_io.h"
#include "agent/image/images_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/file_io.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define COPY_BYTES   (1u << 20)
#define PARENT_BYTES (16u << 20)

struct import {
    struct images *images;
    char root[IMAGES_PATH_BYTES];
    char stage[IMAGES_PATH_BYTES];
    char *tar;
    bool named;
    struct reference reference;
    char parent_manifest[72]; // digest; "": none
    json_t *config_part;      // the "config" object
    char *comment, *author, *created_by;
    size_t parent_layers;
    uint64_t *contents; // of the parent's layers and of the new one
    struct buf config;  // results of the worker
    struct buf manifest;
    char manifest_digest[72];
    struct step step;
    struct err err;
    struct loop_later later;
    images_done *done;
    void *owner;
};

static void import_end(struct import *import, const struct image *image)
{
    struct images *images = import->images;
    images->ops--;
    images->writers--;
    images_done *done = import->done;
    void *owner = import->owner;
    struct err err = import->err;
    free(import->tar);
    free(import->contents);
    free(import->comment);
    free(import->created_by);
    free(import->author);
    json_decref(import->config_part);
    buf_fini(&import->config);
    buf_fini(&import->manifest);
    free(import);
    if (err.code)
        images_sweep(images);
    done(owner, err.code ? NULL : image, err.code ? &err : NULL);
}

// ---- on the worker ------------------------------------------------------------------------------

static int copy_file(const char *from, const char *to, struct err *err)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return err_set_errno(err, errno, "open %s", from);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int rc = out < 0 ? err_set_errno(err, errno, "make %s", to) : 0;
    char *chunk = mem_alloc(COPY_BYTES);
    while (!rc) {
        ssize_t got = read(in, chunk, COPY_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            rc = err_set_errno(err, errno, "read %s", from);
        if (got <= 0)
            break;
        for (ssize_t sent = 0; sent < got && !rc;) {
            ssize_t put = write(out, chunk + sent, (size_t)(got - sent));
            if (put < 0 && errno != EINTR)
                rc = err_set_errno(err, errno, "write %s", to);
            else if (put > 0)
                sent += put;
        }
    }
    free(chunk);
    close(in);
    if (out >= 0)
        close(out);
    return rc;
}

// The image it stands on; its manifest lands in the arena, its configuration is the caller's.
static int read_parent(const struct import *import, struct arena *arena, struct manifest *manifest,
                       json_t **config, struct err *err)
{
    const struct platform none = {"", "", ""};
    struct buf text;
    buf_init(&text, MANIFEST_BYTES_MAX);
    int rc = blobs_read(import->root, import->parent_manifest, &text, err);
    if (!rc)
        rc = manifest_parse(text.data, text.len, &none, arena, manifest, err);
    buf_fini(&text);
    buf_init(&text, IMAGE_CONFIG_BYTES_MAX);
    if (!rc)
        rc = blobs_read(import->root, manifest->config.digest, &text, err);
    if (!rc) {
        *config = json_parse(text.data, text.len, err);
        rc = *config ? 0 : -ERR_DATA_LOSS;
    }
    buf_fini(&text);
    return rc;
}

static json_t *list_of(json_t *object, const char *name)
{
    if (!json_is_array(json_object_get(object, name)))
        json_object_set_new(object, name, json_array());
    return json_object_get(object, name);
}

// The configuration: the parent's, if any, with what is new.
static int write_config(struct import *import, json_t *base, const char *diff_id, struct err *err)
{
    char now[WALL_TEXT_BYTES];
    wall_format(wall_now(), now);
    if (!base) {
        base = json_pack("{s:s,s:s,s:{s:s}}", "architecture", PLATFORM_NATIVE_ARCH, "os", "linux",
                         "rootfs", "type", "layers");
        CHECK(base);
    } else {
        json_incref(base);
    }
    json_object_del(base, "container_config"); // the parent's story
    json_object_del(base, "id");
    json_object_set_new(base, "created", json_string(now));
    json_object_set_new(base, "comment", json_string(import->comment));
    if (*import->author)
        json_object_set_new(base, "author", json_string(import->author));
    json_object_set(base, "config", import->config_part);
    json_array_append_new(list_of(json_object_get(base, "rootfs"), "diff_ids"),
                          json_string(diff_id));
    json_t *step = json_pack("{s:s,s:s}", "created", now, "comment", import->comment);
    CHECK(step);
    if (*import->created_by)
        json_object_set_new(step, "created_by", json_string(import->created_by));
    if (*import->author)
        json_object_set_new(step, "author", json_string(import->author));
    json_array_append_new(list_of(base, "history"), step);
    char *text = json_dumps(base, JSON_COMPACT);
    buf_put_str(&import->config, str_or(text, ""));
    free(text);
    json_decref(base);
    return buf_ok(&import->config)
               ? 0
               : err_set(err, ERR_RESOURCE_EXHAUSTED, "image configuration is too large");
}

static int write_manifest(struct import *import, const struct manifest *parent,
                          const struct descriptor *layer, const char *config_digest,
                          struct err *err)
{
    struct descriptor *layers = mem_alloc_array(parent->layers_count + 1, sizeof *layers);
    struct manifest manifest = {.config = {"", config_digest, import->config.len},
                                .layers = layers,
                                .layers_count = parent->layers_count + 1};
    for (size_t i = 0; i < parent->layers_count; i++)
        layers[i] = parent->layers[i];
    layers[parent->layers_count] = *layer;
    int rc = manifest.layers_count > MANIFEST_LAYERS_MAX
                 ? err_set(err, ERR_RESOURCE_EXHAUSTED, "the image would have too many layers")
                 : 0;
    if (!rc) {
        manifest_write_docker(&manifest, &import->manifest);
        rc = blobs_put(import->root, import->manifest.data, import->manifest.len,
                       import->manifest_digest, err);
    }
    free(layers);
    return rc;
}

static void import_run(void *ctx, struct err *err)
{
    struct import *import = ctx;
    char layer[IMAGES_PATH_BYTES], diff_id[72], digest[72], config_digest[72];
    struct manifest parent = {0};
    struct arena arena;
    json_t *base = NULL;
    uint64_t size = 0;
    arena_init(&arena, PARENT_BYTES);
    int rc = *import->parent_manifest ? read_parent(import, &arena, &parent, &base, err) : 0;
    if (!rc && parent.layers_count != import->parent_layers)
        rc = err_set(err, ERR_DATA_LOSS, "an image's manifest has changed");
    if (!rc)
        rc = dir_make(import->stage, 0700, err);
    if (!rc)
        rc = images_path(layer, err, "%s/layer", import->stage);
    if (!rc)
        rc = copy_file(import->tar, layer, err);
    if (!rc)
        rc = blobs_diff_id(layer, diff_id, &import->contents[parent.layers_count], err);
    if (!rc)
        rc = blobs_digest_file(layer, digest, &size, err);
    if (!rc)
        rc = blobs_adopt(import->root, layer, digest, size, err);
    if (!rc)
        rc = write_config(import, base, diff_id, err);
    if (!rc)
        rc = blobs_put(import->root, import->config.data, import->config.len, config_digest, err);
    struct descriptor descriptor = {"tar+gzip", digest, size};
    if (!rc)
        rc = write_manifest(import, &parent, &descriptor, config_digest, err);
    json_decref(base);
    arena_fini(&arena);
    dir_remove(import->stage, rc ? NULL : err);
}

static void import_done(void *ctx, const struct err *err)
{
    struct import *import = ctx;
    const struct image *image = NULL;
    if (err)
        err_copy(&import->err, err);
    else
        library_add(import->images->library, import->manifest_digest, import->manifest.data,
                    import->manifest.len, import->config.data, import->config.len, import->contents,
                    import->named ? &import->reference : NULL, &image, &import->err);
    import_end(import, image);
}

// ---- the call -----------------------------------------------------------------------------------

static void answer_error(struct loop_later *later)
{
    import_end(CONTAINER_OF(later, struct import, later), NULL);
}

static void start(struct images *images, const char *parent_id, const char *tar_path,
                  const struct import_config *config, const char *reference, images_done *done,
                  void *owner)
{
    MAGIC_CHECK(images, IMAGES_MAGIC);
    struct import *import = MEM_NEW(struct import);
    images->ops++;
    images->writers++;
    import->images = images;
    import->done = done;
    import->owner = owner;
    import->tar = str_dup(tar_path);
    import->comment = str_dup(config ? str_or(config->comment, "") : "");
    import->created_by = str_dup(config ? str_or(config->created_by, "") : "");
    import->author = str_dup(config ? str_or(config->author, "") : "");
    import->config_part = config && config->config ? json_deep_copy(config->config) : json_object();
    str_copy(import->root, sizeof import->root, images->root);
    images_stage(images, import->stage);
    buf_init(&import->config, IMAGE_CONFIG_BYTES_MAX);
    buf_init(&import->manifest, MANIFEST_BYTES_MAX);
    loop_later_init(&import->later, images->loop, answer_error);
    const struct image *parent = parent_id ? library_by_id(images->library, parent_id) : NULL;
    import->parent_layers = parent ? parent->manifest.layers_count : 0;
    import->contents = mem_alloc_array(import->parent_layers + 1, sizeof(uint64_t));
    for (size_t i = 0; i < import->parent_layers; i++)
        import->contents[i] = parent->layer_bytes[i];
    if (parent)
        str_copy(import->parent_manifest, sizeof import->parent_manifest, parent->manifest_digest);
    else if (parent_id)
        err_set(&import->err, ERR_NOT_FOUND, "No such image: %s", parent_id);
    if (!str_empty(reference) && !import->err.code &&
        reference_parse(reference, &import->reference, &import->err) == 0) {
        import->named = true;
        reference_default_tag(&import->reference);
        if (*import->reference.digest)
            err_set(&import->err, ERR_INVALID_ARGUMENT, "cannot import digest reference");
    }
    if (import->err.code)
        loop_later_ask(&import->later);
    else
        step_start(images->loop, &import->step, import_run, import_done, import);
}

void images_import(struct images *images, const char *tar_path, const struct import_config *config,
                   const char *reference, images_done *done, void *owner)
{
    start(images, NULL, tar_path, config, reference, done, owner);
}

void images_commit(struct images *images, const char *parent_id, const char *tar_path,
                   const struct import_config *config, const char *reference, images_done *done,
                   void *owner)
{
    start(images, parent_id, tar_path, config, reference, done, owner);
}
