// Images out of the store again, to a registry; and archives read in.
//
// skopeo's "dir" form is what goes out: the original manifest and hard links to the blobs, so that
// a push sends the very bytes that were pulled.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/image/blobs_io.h"
#include "agent/image/fetch_io.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define ARENA_BYTES        (16u << 20)
#define OUTPUT_BYTES       (1u << 20)
#define SEND_MS_MAX        (60 * 60 * 1000)
#define LIST_MS_MAX        (5 * 60 * 1000)
#define ARCHIVE_IMAGES_MAX 256
#define DIGEST_BYTES_MAX   256

// ---- sending ------------------------------------------------------------------------------------

struct send {
    struct images *images;
    char root[IMAGES_PATH_BYTES];
    char stage[IMAGES_PATH_BYTES];
    char id[72];
    char manifest_digest[72];
    uint64_t manifest_bytes;
    struct reference reference; // that it is pushed as; with the registry's digest afterwards
    char *target;               // skopeo's name of where it goes
    bool insecure;
    int auth_fd;
    struct step step;
    struct loop_later later;
    struct err err;
    images_pushed *done;
    void *owner;
};

static void send_end(struct send *send)
{
    send->images->ops--;
    if (send->auth_fd >= 0)
        close(send->auth_fd);
    send->done(send->owner, send->reference.digest, send->manifest_bytes,
               send->err.code ? &send->err : NULL);
    free(send->target);
    free(send);
}

static int digest_path(const struct send *send, char out[IMAGES_PATH_BYTES], struct err *err)
{
    return images_path(out, err, "%s/digest", send->stage);
}

// The digest that skopeo wrote down for what it sent.
static void read_digest(struct send *send)
{
    char path[IMAGES_PATH_BYTES];
    struct buf text;
    buf_init(&text, DIGEST_BYTES_MAX);
    if (!send->err.code && digest_path(send, path, NULL) == 0 &&
        file_read(path, &text, NULL) == 0 && digest_valid(buf_cstr(&text)))
        str_copy(send->reference.digest, sizeof send->reference.digest, buf_cstr(&text));
    buf_fini(&text);
}

static void send_clean_run(void *ctx, struct err *err)
{
    struct send *send = ctx;
    read_digest(send);
    dir_remove(send->stage, err);
}

// A service that is pinned to the digest is to find here what was pushed from here.
static void note_digest(struct send *send)
{
    struct err err = ERR_INIT;
    if (!*send->reference.digest)
        return;
    send->reference.tag[0] = '\0';
    if (library_name(send->images->library, send->id, &send->reference, &err))
        log_warn("digest of a pushed image not noted", "image=%s err=\"%s\"", send->target,
                 err.message);
}

static void send_clean_done(void *ctx, const struct err *err)
{
    struct send *send = ctx;
    if (err)
        log_warn("image transfer leaves a folder", "err=\"%s\"", err->message);
    note_digest(send);
    send_end(send);
}

static void send_clean(struct send *send)
{
    step_start(send->images->loop, &send->step, send_clean_run, send_clean_done, send);
}

static void send_done(void *owner, const struct process_result *result)
{
    struct send *send = owner;
    fetch_check(result, "push image", &send->err);
    send_clean(send);
}

static int link_to_stage(const struct send *send, const char *digest, struct err *err)
{
    char path[IMAGES_PATH_BYTES];
    int rc = images_path(path, err, "%s/%s", send->stage, digest + 7);
    return rc ? rc : images_link_blob(send->root, digest, path, err);
}

static void send_stage_run(void *ctx, struct err *err)
{
    static const char version[] = "Directory Transport Version: 1.1\n";
    struct send *send = ctx;
    struct arena arena;
    struct buf text;
    struct manifest manifest;
    const struct platform none = {"", "", ""};
    char path[IMAGES_PATH_BYTES];
    arena_init(&arena, ARENA_BYTES);
    buf_init(&text, MANIFEST_BYTES_MAX);
    int rc = dir_make(send->stage, 0700, err);
    if (!rc)
        rc = blobs_read(send->root, send->manifest_digest, &text, err);
    send->manifest_bytes = text.len;
    if (!rc)
        rc = manifest_parse(text.data, text.len, &none, &arena, &manifest, err);
    if (!rc)
        rc = images_path(path, err, "%s/manifest.json", send->stage);
    if (!rc)
        rc = file_write_atomic(path, text.data, text.len, 0600, err);
    if (!rc)
        rc = images_path(path, err, "%s/version", send->stage);
    if (!rc)
        rc = file_write_atomic(path, version, sizeof version - 1, 0600, err);
    if (!rc)
        rc = link_to_stage(send, manifest.config.digest, err);
    for (size_t i = 0; !rc && i < manifest.layers_count; i++)
        rc = link_to_stage(send, manifest.layers[i].digest, err);
    buf_fini(&text);
    arena_fini(&arena);
}

static void send_stage_done(void *ctx, const struct err *err)
{
    struct send *send = ctx;
    char source[IMAGES_PATH_BYTES + 8], digest[IMAGES_PATH_BYTES];
    if (err)
        err_copy(&send->err, err);
    if (err || digest_path(send, digest, &send->err)) {
        send_clean(send);
        return;
    }
    str_format(source, sizeof source, "dir:%s", send->stage);
    const char *argv[18] = {send->images->skopeo,
                            "--insecure-policy",
                            "--tmpdir",
                            send->stage,
                            "copy",
                            "--quiet",
                            "--digestfile",
                            digest};
    size_t count = 8;
    argv[count++] = "--dest-authfile";
    argv[count++] = FETCH_AUTH_PATH;
    argv[count++] = send->insecure ? "--dest-tls-verify=false" : "--dest-tls-verify=true";
    if (send->images->certs_dir) {
        argv[count++] = "--dest-cert-dir";
        argv[count++] = send->images->certs_dir;
    }
    argv[count++] = source;
    argv[count++] = send->target;
    struct process_spec spec = {
        .argv = argv,
        .fds = &send->auth_fd,
        .fds_count = send->auth_fd >= 0 ? 1 : 0,
        .output_bytes_max = OUTPUT_BYTES,
        .timeout_ms = SEND_MS_MAX,
    };
    if (process_start(send->images->loop, &spec, send_done, send, NULL, &send->err) != 0)
        send_clean(send);
}

static void send_answer(struct loop_later *later)
{
    send_end(CONTAINER_OF(later, struct send, later));
}

static struct send *send_new(struct images *images, images_pushed *done, void *owner)
{
    struct send *send = MEM_NEW(struct send);
    images->ops++;
    send->images = images;
    send->done = done;
    send->owner = owner;
    send->auth_fd = -1;
    str_copy(send->root, sizeof send->root, images->root);
    images_stage(images, send->stage);
    loop_later_init(&send->later, images->loop, send_answer);
    return send;
}

static void send_start(struct send *send, const struct image *image)
{
    if (send->err.code) {
        loop_later_ask(&send->later);
        return;
    }
    str_copy(send->id, sizeof send->id, image->id);
    str_copy(send->manifest_digest, sizeof send->manifest_digest, image->manifest_digest);
    step_start(send->images->loop, &send->step, send_stage_run, send_stage_done, send);
}

void images_push(struct images *images, const char *name, const struct registry_auth *auth,
                 images_pushed *done, void *owner)
{
    MAGIC_CHECK(images, IMAGES_MAGIC);
    struct send *send = send_new(images, done, owner);
    const struct image *image = NULL;
    struct reference reference;
    char full[REFERENCE_TEXT_BYTES];
    int rc = reference_parse(name, &reference, &send->err);
    if (!rc && *reference.digest)
        rc = err_set(&send->err, ERR_INVALID_ARGUMENT, "cannot push a digest reference");
    if (!rc) {
        reference_default_tag(&reference);
        rc = library_find(images->library, reference_full(&reference, full), &image, &send->err);
    }
    if (!rc) {
        send->insecure = fetch_insecure(images, reference.domain);
        send->reference = reference;
        send->target = str_printf("docker://%s", full);
        send->auth_fd = fetch_auth_fd(reference.domain, auth, &send->err);
    }
    send_start(send, image);
}

// ---- loading ------------------------------------------------------------------------------------

struct load {
    struct images *images;
    char *path;
    char *tags[ARCHIVE_IMAGES_MAX];
    size_t tags_count;
    size_t next;
    bool is_oci;
    size_t loaded_count;
    struct loop_later later;
    struct err err;
    images_loaded *loaded;
    images_simple_done *done;
    void *owner;
};

static void load_end(struct load *load)
{
    struct err err = load->err;
    images_simple_done *done = load->done;
    void *owner = load->owner;
    load->images->ops--;
    for (size_t i = 0; i < load->tags_count; i++)
        free(load->tags[i]);
    free(load->path);
    free(load);
    done(owner, err.code ? &err : NULL);
}

static void load_next(struct load *load);

static void load_fetched(void *owner, const struct image *image, const struct err *err)
{
    struct load *load = owner;
    if (err) {
        err_copy(&load->err, err);
        load_end(load);
        return;
    }
    if (load->loaded)
        load->loaded(load->owner, image, load->tags_count ? load->tags[load->next] : NULL);
    load->next++;
    load_next(load);
}

static void load_next(struct load *load)
{
    // Without any tag there is still one image.
    if (load->next > 0 && load->next >= load->tags_count) {
        load_end(load);
        return;
    }
    struct reference reference;
    const char *tag = load->tags_count ? load->tags[load->next] : NULL;
    if (tag && reference_parse(tag, &reference, &load->err) != 0) {
        load_end(load);
        return;
    }
    char *source =
        tag ? str_printf("docker-archive:%s:%s", load->path, tag)
            : str_printf("%s:%s", load->is_oci ? "oci-archive" : "docker-archive", load->path);
    struct fetch_spec spec = {
        .source = {.name = source, .reference = tag ? &reference : NULL},
        .done = load_fetched,
        .owner = load,
    };
    fetch_start(load->images, &spec);
    free(source);
}

static void load_listed(void *owner, const struct process_result *result)
{
    struct load *load = owner;
    struct err err = ERR_INIT;
    json_t *json = NULL;
    if (fetch_check(result, "read archive", &err) == 0)
        json = json_parse(result->out, result->out_bytes, &err);
    else
        load->is_oci =
            true; // it is no archive of docker's; the next step tells whether it is OCI's
    const json_t *tags = json_object_get(json, "Tags");
    for (size_t i = 0; i < json_array_size(tags); i++) {
        const char *tag = json_string_value(json_array_get(tags, i));
        if (!tag || load->tags_count == ARCHIVE_IMAGES_MAX) {
            err_set(&load->err, ERR_RESOURCE_EXHAUSTED, "archive holds more than %d images",
                    ARCHIVE_IMAGES_MAX);
            break;
        }
        load->tags[load->tags_count++] = str_dup(tag);
    }
    json_decref(json);
    if (load->err.code)
        load_end(load);
    else
        load_next(load);
}

static void load_answer(struct loop_later *later)
{
    load_end(CONTAINER_OF(later, struct load, later));
}

static int check_archive_path(const char *path, struct err *err)
{
    if (path[0] != '/' || strchr(path, ':'))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "archive path %.200s must be absolute and without ':'", path);
    return 0;
}

void images_load(struct images *images, const char *archive_path, images_loaded *loaded,
                 images_simple_done *done, void *owner)
{
    MAGIC_CHECK(images, IMAGES_MAGIC);
    struct load *load = MEM_NEW(struct load);
    images->ops++;
    load->images = images;
    load->path = str_dup(archive_path);
    load->loaded = loaded;
    load->done = done;
    load->owner = owner;
    loop_later_init(&load->later, images->loop, load_answer);
    char source[IMAGES_PATH_BYTES];
    int rc = check_archive_path(archive_path, &load->err);
    if (!rc && access(archive_path, R_OK) < 0)
        rc = err_set_errno(&load->err, errno, "archive %.200s", archive_path);
    if (!rc)
        rc = images_path(source, &load->err, "docker-archive:%s", archive_path);
    const char *argv[] = {images->skopeo, "list-tags", source, NULL};
    struct process_spec spec = {
        .argv = argv, .output_bytes_max = OUTPUT_BYTES, .timeout_ms = LIST_MS_MAX};
    if (!rc)
        rc = process_start(images->loop, &spec, load_listed, load, NULL, &load->err);
    if (rc)
        loop_later_ask(&load->later);
}
