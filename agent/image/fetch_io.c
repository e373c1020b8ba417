#include "agent/image/fetch_io.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/image/blobs_io.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define FETCH_MAGIC 0x66657463u
#define ARENA_BYTES (16u << 20)
#define INSPECT_MS  60000
#define TICK_MS     300

struct fetch {
    unsigned magic;
    struct list link; // in the queue
    struct images *images;
    char root[IMAGES_PATH_BYTES];
    char stage[IMAGES_PATH_BYTES];
    struct source source;
    bool named;
    bool cancelled;
    bool stalled;
    bool has_slot;
    bool is_new; // layers were brought
    struct arena arena;
    struct manifest manifest;
    char top_digest[72]; // of what the name stands for: a list's or the manifest's
    char digest[72];     // of the manifest
    struct buf manifest_json;
    struct buf config_json;
    bool *had;          // per layer: it was here before
    bool *told;         // per layer: completion was reported
    uint64_t *contents; // per layer: bytes of the files in it; NULL: not counted
    struct process *process;
    struct loop_timer tick;
    struct loop_later later;
    struct mono last_change;
    uint64_t last_bytes;
    struct step step;
    struct err err;
    images_progress *progress;
    images_done *done;
    void *owner;
};

// ---- talking about it ---------------------------------------------------------------------------

static void tell(struct fetch *fetch, const char *id, const char *status, uint64_t current,
                 uint64_t total)
{
    struct pull_progress progress = {id, status, current, total};
    if (fetch->progress && !fetch->cancelled)
        fetch->progress(fetch->owner, &progress);
}

static void tell_layer(struct fetch *fetch, size_t i, const char *status, uint64_t current,
                       uint64_t total)
{
    char id[13];
    str_format(id, sizeof id, "%.12s", fetch->manifest.layers[i].digest + 7);
    tell(fetch, id, status, current, total);
}

// ---- the end ------------------------------------------------------------------------------------

static void fetch_free(struct fetch *fetch)
{
    loop_timer_stop(&fetch->tick);
    arena_fini(&fetch->arena);
    buf_fini(&fetch->manifest_json);
    buf_fini(&fetch->config_json);
    free(fetch->had);
    free(fetch->contents);
    free(fetch->told);
    source_close(&fetch->source);
    MAGIC_CLEAR(fetch);
    free(fetch);
}

static void fetch_end(struct fetch *fetch, const struct image *image)
{
    struct images *images = fetch->images;
    if (fetch->cancelled)
        err_set(&fetch->err, ERR_CANCELLED, "pull was cancelled");
    else if (fetch->stalled && fetch->err.code)
        err_set(&fetch->err, ERR_DEADLINE_EXCEEDED, "the registry sent nothing for %lld s",
                (long long)(images->stall_ms / 1000));
    if (fetch->has_slot)
        images->pulls--;
    images->ops--;
    images->writers--;
    images_done *done = fetch->done;
    void *owner = fetch->owner;
    struct err err = fetch->err;
    fetch_free(fetch);
    // The copy leaves its own rewritten manifest and configuration, a failed one perhaps layers.
    images_sweep(images);
    done(owner, err.code ? NULL : image, err.code ? &err : NULL);
    fetch_next(images);
}

static void clean_run(void *ctx, struct err *err)
{
    struct fetch *fetch = ctx;
    dir_remove(fetch->stage, err);
}

static void clean_done(void *ctx, const struct err *err)
{
    struct fetch *fetch = ctx;
    if (err)
        log_warn("pull leaves a folder", "err=\"%s\"", err->message);
    fetch_end(fetch, NULL);
}

static void fetch_fail(struct fetch *fetch)
{
    CHECK(fetch->err.code || fetch->cancelled);
    loop_timer_stop(&fetch->tick);
    step_start(fetch->images->loop, &fetch->step, clean_run, clean_done, fetch);
}

static void fetch_finish(struct fetch *fetch)
{
    const struct image *image = NULL;
    struct reference name = fetch->source.reference;
    if (fetch->named && fetch->source.registry)
        str_copy(name.digest, sizeof name.digest, fetch->top_digest);
    if (library_add(fetch->images->library, fetch->digest, fetch->manifest_json.data,
                    fetch->manifest_json.len, fetch->config_json.data, fetch->config_json.len,
                    fetch->contents, fetch->named ? &name : NULL, &image, &fetch->err) != 0) {
        fetch_fail(fetch);
        return;
    }
    char text[REFERENCE_TEXT_BYTES + 80], familiar[REFERENCE_TEXT_BYTES];
    str_format(text, sizeof text, "Digest: %s", fetch->top_digest);
    tell(fetch, "", text, 0, 0);
    str_format(text, sizeof text, "Status: %s for %s",
               fetch->is_new ? "Downloaded newer image" : "Image is up to date",
               reference_familiar(&fetch->source.reference, familiar));
    tell(fetch, "", text, 0, 0);
    fetch_end(fetch, image);
}

// ---- skopeo -------------------------------------------------------------------------------------

// Asks for a raw document: the manifest (config false) or the configuration.
static void inspect(struct fetch *fetch, const char *digest, bool config, process_done *done)
{
    if (source_inspect(&fetch->source, digest, config, INSPECT_MS, done, fetch, &fetch->process,
                       &fetch->err))
        fetch_fail(fetch);
}

// What every program's end begins with. False: it failed, and the fetch is on its way out.
static bool program_ended(struct fetch *fetch, const struct process_result *result,
                          const char *what)
{
    MAGIC_CHECK(fetch, FETCH_MAGIC);
    fetch->process = NULL;
    if (!fetch->cancelled && fetch_check(result, what, &fetch->err) == 0)
        return true;
    fetch_fail(fetch);
    return false;
}

// ---- layers -------------------------------------------------------------------------------------

static void verify_run(void *ctx, struct err *err)
{
    struct fetch *fetch = ctx;
    char path[BLOB_PATH_BYTES], digest[72];
    int rc = 0;
    for (size_t i = 0; i < fetch->manifest.layers_count && !rc; i++) {
        const struct descriptor *layer = &fetch->manifest.layers[i];
        if (fetch->had[i])
            continue;
        rc = blobs_path(fetch->root, layer->digest, path, err);
        if (!rc)
            rc = blobs_adopt(fetch->root, path, layer->digest, layer->size, err);
    }
    if (!rc)
        rc = blobs_put(fetch->root, fetch->config_json.data, fetch->config_json.len, digest, err);
    if (!rc)
        rc = blobs_put(fetch->root, fetch->manifest_json.data, fetch->manifest_json.len, digest,
                       err);
    fetch->contents = mem_alloc_array(fetch->manifest.layers_count + 1, sizeof(uint64_t));
    for (size_t i = 0; i < fetch->manifest.layers_count && !rc; i++)
        fetch->contents[i] = blobs_content(fetch->root, fetch->manifest.layers[i].digest);
    if (!rc)
        dir_remove(fetch->stage, err);
}

static void verify_done(void *ctx, const struct err *err)
{
    struct fetch *fetch = ctx;
    if (err)
        err_copy(&fetch->err, err);
    if (fetch->err.code || fetch->cancelled)
        fetch_fail(fetch);
    else
        fetch_finish(fetch);
}

static uint64_t folder_bytes(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    uint64_t bytes = 0;
    struct stat st;
    while (dir && (entry = readdir(dir)))
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode))
            bytes += (uint64_t)st.st_size;
    if (dir)
        closedir(dir);
    return bytes;
}

// Looks how far the layers are, tells it, and notices when nothing moves any more.
static void look(struct fetch *fetch)
{
    char layout[IMAGES_PATH_BYTES];
    uint64_t arriving = 0, bytes = 0, missing = 0;
    size_t first = fetch->manifest.layers_count;
    if (images_path(layout, NULL, "%s/layout", fetch->stage) == 0)
        arriving = folder_bytes(layout);
    for (size_t i = 0; i < fetch->manifest.layers_count; i++) {
        const struct descriptor *layer = &fetch->manifest.layers[i];
        if (fetch->told[i] || blobs_have(fetch->root, layer->digest, layer->size)) {
            bytes += layer->size;
            if (!fetch->told[i])
                tell_layer(fetch, i, "Download complete", 0, 0);
            fetch->told[i] = true;
        } else {
            missing += layer->size;
            first = i < first ? i : first;
        }
    }
    bytes += arriving;
    if (bytes != fetch->last_bytes) {
        fetch->last_bytes = bytes;
        fetch->last_change = loop_now(fetch->images->loop);
        // Several layers come at once; what has come is told of the first that is not whole.
        if (first < fetch->manifest.layers_count)
            tell_layer(fetch, first, "Downloading", arriving < missing ? arriving : missing,
                       missing);
    }
}

static void ticked(struct loop_timer *timer)
{
    struct fetch *fetch = CONTAINER_OF(timer, struct fetch, tick);
    MAGIC_CHECK(fetch, FETCH_MAGIC);
    look(fetch);
    int64_t quiet_ns = mono_since(loop_now(fetch->images->loop), fetch->last_change);
    if (quiet_ns > fetch->images->stall_ms * NS_PER_MS && fetch->process) {
        fetch->stalled = true;
        process_kill(fetch->process, SIGKILL);
        return;
    }
    loop_timer_start(timer, TICK_MS);
}

static void copied(void *owner, const struct process_result *result)
{
    struct fetch *fetch = owner;
    loop_timer_stop(&fetch->tick);
    if (!program_ended(fetch, result, "pull image"))
        return;
    look(fetch);
    for (size_t i = 0; i < fetch->manifest.layers_count; i++)
        if (!fetch->had[i])
            tell_layer(fetch, i, "Pull complete", 0, 0);
    step_start(fetch->images->loop, &fetch->step, verify_run, verify_done, fetch);
}

static void copy_layers(struct fetch *fetch)
{
    char blobs[IMAGES_PATH_BYTES], layout[IMAGES_PATH_BYTES + 8];
    struct buf source;
    if (images_path(blobs, &fetch->err, "%s/blobs", fetch->root) != 0 ||
        dir_make(fetch->stage, 0700, &fetch->err) != 0 ||
        !str_format(layout, sizeof layout, "oci:%s/layout:image", fetch->stage)) {
        fetch_fail(fetch);
        return;
    }
    source_text(&fetch->source, fetch->digest, &source);
    const char *args[11 + SOURCE_OPTIONS_MAX] = {"--insecure-policy",
                                                 "--tmpdir",
                                                 fetch->stage,
                                                 "copy",
                                                 "--quiet",
                                                 "--dest-oci-accept-uncompressed-layers",
                                                 "--dest-shared-blob-dir",
                                                 blobs};
    size_t count = source_options(&fetch->source, true, args, 8);
    args[count++] = buf_cstr(&source);
    args[count++] = layout;
    CHECK(count < COUNT_OF(args));
    fetch->is_new = true;
    fetch->last_change = loop_now(fetch->images->loop);
    int rc = source_run(&fetch->source, args, 0, copied, fetch, &fetch->process, &fetch->err);
    buf_fini(&source);
    if (rc)
        fetch_fail(fetch);
    else
        loop_timer_start(&fetch->tick, TICK_MS);
}

// ---- documents ----------------------------------------------------------------------------------

static void got_config(void *owner, const struct process_result *result)
{
    struct fetch *fetch = owner;
    if (!program_ended(fetch, result, "read image configuration"))
        return;
    char digest[72];
    buf_put(&fetch->config_json, result->out, result->out_bytes);
    blobs_digest(fetch->config_json.data, fetch->config_json.len, digest);
    // skopeo ends what it prints with a newline of its own in some versions.
    while (!str_equal(digest, fetch->manifest.config.digest) && fetch->config_json.len &&
           fetch->config_json.data[fetch->config_json.len - 1] == '\n') {
        fetch->config_json.len--;
        blobs_digest(fetch->config_json.data, fetch->config_json.len, digest);
    }
    if (!str_equal(digest, fetch->manifest.config.digest)) {
        err_set(&fetch->err, ERR_DATA_LOSS, "image configuration does not match its digest");
        fetch_fail(fetch);
        return;
    }
    bool missing = false;
    for (size_t i = 0; i < fetch->manifest.layers_count; i++) {
        const struct descriptor *layer = &fetch->manifest.layers[i];
        fetch->had[i] = fetch->told[i] = blobs_have(fetch->root, layer->digest, layer->size);
        missing |= !fetch->had[i];
        tell_layer(fetch, i, fetch->had[i] ? "Already exists" : "Pulling fs layer", 0, 0);
    }
    if (missing)
        copy_layers(fetch);
    else
        step_start(fetch->images->loop, &fetch->step, verify_run, verify_done, fetch);
}

static void got_manifest(void *owner, const struct process_result *result);

static void take_manifest(struct fetch *fetch)
{
    fetch->had = mem_alloc_array(fetch->manifest.layers_count + 1, sizeof(bool));
    fetch->told = mem_alloc_array(fetch->manifest.layers_count + 1, sizeof(bool));
    char text[REFERENCE_TEXT_BYTES];
    str_format(text, sizeof text, "Pulling from %s", fetch->source.reference.path);
    tell(fetch, *fetch->source.reference.tag ? fetch->source.reference.tag : fetch->top_digest,
         text, 0, 0);
    const struct image *known =
        library_by_id(fetch->images->library, fetch->manifest.config.digest);
    if (known) {
        buf_put(&fetch->config_json, known->config_json, known->config_json_bytes);
        fetch_finish(fetch);
        return;
    }
    inspect(fetch, fetch->digest, true, got_config);
}

static void got_manifest(void *owner, const struct process_result *result)
{
    struct fetch *fetch = owner;
    if (!program_ended(fetch, result, "read image manifest"))
        return;
    const struct platform wanted = {fetch->source.os, fetch->source.architecture,
                                    fetch->source.variant};
    bool nested = *fetch->top_digest;
    buf_clear(&fetch->manifest_json);
    buf_put(&fetch->manifest_json, result->out, result->out_bytes);
    blobs_digest(fetch->manifest_json.data, fetch->manifest_json.len, fetch->digest);
    const char *asked = nested ? fetch->manifest.chosen.digest : fetch->source.reference.digest;
    if (fetch->source.registry && *asked && !str_equal(asked, fetch->digest))
        err_set(&fetch->err, ERR_DATA_LOSS, "image manifest does not match its digest %s", asked);
    if (!nested)
        str_copy(fetch->top_digest, sizeof fetch->top_digest, fetch->digest);
    if (!fetch->err.code)
        manifest_parse(fetch->manifest_json.data, fetch->manifest_json.len, &wanted, &fetch->arena,
                       &fetch->manifest, &fetch->err);
    if (!fetch->err.code && fetch->manifest.is_list && nested)
        err_set(&fetch->err, ERR_INVALID_ARGUMENT, "manifest list within a manifest list");
    if (fetch->err.code)
        fetch_fail(fetch);
    else if (fetch->manifest.is_list)
        inspect(fetch, fetch->manifest.chosen.digest, false, got_manifest);
    else
        take_manifest(fetch);
}

// ---- starting -----------------------------------------------------------------------------------

static void fetch_run(struct loop_later *later)
{
    struct fetch *fetch = CONTAINER_OF(later, struct fetch, later);
    MAGIC_CHECK(fetch, FETCH_MAGIC);
    if (fetch->err.code || fetch->cancelled)
        fetch_fail(fetch);
    else
        inspect(fetch, NULL, false, got_manifest);
}

void fetch_next(struct images *images)
{
    while (images->pulls < images->pulls_max) {
        struct list *link = list_pop_front(&images->fetch_queue);
        if (!link)
            return;
        struct fetch *fetch = LIST_ENTRY(link, struct fetch, link);
        images->pulls++;
        fetch->has_slot = true;
        loop_later_ask(&fetch->later);
    }
}

struct fetch *fetch_start(struct images *images, const struct fetch_spec *spec)
{
    struct fetch *fetch = MEM_NEW(struct fetch);
    MAGIC_SET(fetch, FETCH_MAGIC);
    images->ops++;
    images->writers++;
    fetch->images = images;
    fetch->named = spec->source.reference != NULL;
    fetch->progress = spec->progress;
    fetch->done = spec->done;
    fetch->owner = spec->owner;
    str_copy(fetch->root, sizeof fetch->root, images->root);
    images_stage(images, fetch->stage);
    arena_init(&fetch->arena, ARENA_BYTES);
    buf_init(&fetch->manifest_json, MANIFEST_BYTES_MAX);
    buf_init(&fetch->config_json, IMAGE_CONFIG_BYTES_MAX);
    loop_timer_init(&fetch->tick, images->loop, ticked);
    loop_later_init(&fetch->later, images->loop, fetch_run);
    list_init(&fetch->link);
    source_open(&fetch->source, images, &spec->source, &fetch->err);
    list_push_back(&images->fetch_queue, &fetch->link);
    fetch_next(images);
    return fetch;
}

void fetch_cancel(struct fetch *fetch)
{
    MAGIC_CHECK(fetch, FETCH_MAGIC);
    fetch->cancelled = true;
    if (fetch->process)
        process_kill(fetch->process, SIGKILL);
    else if (!fetch->has_slot) {
        // It waits in the queue: it ends there.
        list_remove(&fetch->link);
        loop_later_ask(&fetch->later);
    }
}
