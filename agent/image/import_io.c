// A tar of a root file system made into an image of one layer, as `docker import` does.
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

#define COPY_BYTES (1u << 20)

#if defined(__x86_64__)
#define NATIVE_ARCH "amd64"
#elif defined(__aarch64__)
#define NATIVE_ARCH "arm64"
#elif defined(__arm__)
#define NATIVE_ARCH "arm"
#else
#define NATIVE_ARCH "unknown"
#endif

struct import {
    struct images *images;
    char root[IMAGES_PATH_BYTES];
    char stage[IMAGES_PATH_BYTES];
    char *tar;
    bool named;
    struct reference reference;
    struct buf config_part; // the "config" object, made from what the caller gave
    char *comment;
    struct buf config; // results of the worker
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
    free(import->comment);
    buf_fini(&import->config_part);
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

static void write_config(struct import *import, const char *diff_id)
{
    char now[WALL_TEXT_BYTES];
    wall_format(wall_now(), now);
    struct json_out out;
    json_out_init(&out, &import->config);
    json_out_object(&out, NULL);
    json_out_str(&out, "architecture", NATIVE_ARCH);
    json_out_str(&out, "os", "linux");
    json_out_str(&out, "created", now);
    json_out_str(&out, "comment", import->comment);
    json_out_raw(&out, "config", (const char *)import->config_part.data, import->config_part.len);
    json_out_object(&out, "rootfs");
    json_out_str(&out, "type", "layers");
    json_out_array(&out, "diff_ids");
    json_out_str(&out, NULL, diff_id);
    json_out_end(&out);
    json_out_end(&out);
    json_out_array(&out, "history");
    json_out_object(&out, NULL);
    json_out_str(&out, "created", now);
    json_out_str(&out, "comment", import->comment);
    json_out_end(&out);
    json_out_end(&out);
    json_out_end(&out);
}

static void import_run(void *ctx, struct err *err)
{
    struct import *import = ctx;
    char layer[IMAGES_PATH_BYTES], diff_id[72], digest[72], config_digest[72];
    uint64_t size = 0;
    int rc = dir_make(import->stage, 0700, err);
    if (!rc)
        rc = images_path(layer, err, "%s/layer", import->stage);
    if (!rc)
        rc = copy_file(import->tar, layer, err);
    if (!rc)
        rc = blobs_diff_id(layer, diff_id, err);
    if (!rc)
        rc = blobs_digest_file(layer, digest, &size, err);
    if (!rc && size == 0)
        rc = err_set(err, ERR_INVALID_ARGUMENT, "the archive to import is empty");
    if (!rc)
        rc = blobs_adopt(import->root, layer, digest, size, err);
    if (!rc)
        write_config(import, diff_id);
    if (!rc && !buf_ok(&import->config))
        rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "image configuration is too large");
    if (!rc)
        rc = blobs_put(import->root, import->config.data, import->config.len, config_digest, err);
    if (!rc) {
        struct descriptor descriptor = {"tar+gzip", digest, size};
        struct manifest manifest = {.config = {"", config_digest, import->config.len},
                                    .layers = &descriptor,
                                    .layers_count = 1};
        manifest_write_docker(&manifest, &import->manifest);
        rc = blobs_put(import->root, import->manifest.data, import->manifest.len,
                       import->manifest_digest, err);
    }
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
                    import->manifest.len, import->config.data, import->config.len,
                    import->named ? &import->reference : NULL, &image, &import->err);
    import_end(import, image);
}

// ---- the call -----------------------------------------------------------------------------------

static void put_list(struct json_out *out, const char *key, const char *const *list, size_t count)
{
    if (!count)
        return;
    json_out_array(out, key);
    for (size_t i = 0; i < count; i++)
        json_out_str(out, NULL, list[i]);
    json_out_end(out);
}

static void write_config_part(const struct import_config *config, struct buf *text)
{
    struct json_out out;
    json_out_init(&out, text);
    json_out_object(&out, NULL);
    if (config) {
        put_list(&out, "Cmd", config->cmd, config->cmd_count);
        put_list(&out, "Entrypoint", config->entrypoint, config->entrypoint_count);
        put_list(&out, "Env", config->env, config->env_count);
        if (!str_empty(config->working_dir))
            json_out_str(&out, "WorkingDir", config->working_dir);
        if (!str_empty(config->user))
            json_out_str(&out, "User", config->user);
    }
    json_out_end(&out);
}

static void answer_error(struct loop_later *later)
{
    import_end(CONTAINER_OF(later, struct import, later), NULL);
}

void images_import(struct images *images, const char *tar_path, const struct import_config *config,
                   const char *reference, images_done *done, void *owner)
{
    MAGIC_CHECK(images, IMAGES_MAGIC);
    struct import *import = MEM_NEW(struct import);
    images->ops++;
    images->writers++;
    import->images = images;
    import->done = done;
    import->owner = owner;
    import->tar = str_dup(tar_path);
    import->comment = str_dup(config && config->comment ? config->comment : "");
    str_copy(import->root, sizeof import->root, images->root);
    images_stage(images, import->stage);
    buf_init(&import->config_part, IMAGE_CONFIG_BYTES_MAX);
    buf_init(&import->config, IMAGE_CONFIG_BYTES_MAX);
    buf_init(&import->manifest, MANIFEST_BYTES_MAX);
    write_config_part(config, &import->config_part);
    loop_later_init(&import->later, images->loop, answer_error);
    if (!buf_ok(&import->config_part))
        err_set(&import->err, ERR_RESOURCE_EXHAUSTED, "image configuration is too large");
    if (!str_empty(reference) &&
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
