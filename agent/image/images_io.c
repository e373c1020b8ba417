#include "agent/image/images_io.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/image/blobs_io.h"
#include "agent/image/fetch_io.h"
#include "agent/image/images_priv_io.h"
#include "agent/image/rootfs_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/file_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define PULLS_AT_ONCE          3
#define MIRRORS_TEXT_BYTES_MAX (1u << 20)
#define STALL_MS               (10 * 60 * 1000)

// ---- shared helpers -----------------------------------------------------------------------------

static void step_run(struct loop_work *work)
{
    struct step *step = CONTAINER_OF(work, struct step, work);
    step->run(step->ctx, &step->err);
}

static void step_done(struct loop_work *work)
{
    struct step *step = CONTAINER_OF(work, struct step, work);
    step->done(step->ctx, step->err.code ? &step->err : NULL);
}

void step_start(struct loop *loop, struct step *step, void (*run)(void *ctx, struct err *err),
                void (*done)(void *ctx, const struct err *err), void *ctx)
{
    step->run = run;
    step->done = done;
    step->ctx = ctx;
    err_clear(&step->err);
    loop_work_start(loop, &step->work, step_run, step_done);
}

int images_path(char out[IMAGES_PATH_BYTES], struct err *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(out, IMAGES_PATH_BYTES, format, args);
    va_end(args);
    if (size < 0 || size >= IMAGES_PATH_BYTES)
        return err_set(err, ERR_INVALID_ARGUMENT, "path of image store is too long");
    return 0;
}

void images_stage(struct images *images, char out[IMAGES_PATH_BYTES])
{
    CHECK(images_path(out, NULL, "%s/tmp/%llu", images->root,
                      (unsigned long long)++images->stage_number) == 0);
}

int images_link_blob(const char *root, const char *digest, const char *target, struct err *err)
{
    char blob[BLOB_PATH_BYTES];
    int rc = blobs_path(root, digest, blob, err);
    if (!rc && link(blob, target) < 0 && errno != EEXIST)
        rc = err_set_errno(err, errno, "link blob %s", digest);
    return rc;
}

// ---- opening ------------------------------------------------------------------------------------

static int make_folders(const struct images *images, struct err *err)
{
    // What an earlier life left half-done lies in tmp.
    static const char *const folders[] = {"tmp", "blobs/sha256", "trees", "layers", "library"};
    char path[IMAGES_PATH_BYTES];
    int rc = dir_make(images->root, 0700, err);
    if (!rc && chmod(images->root, 0700) < 0)
        rc = err_set_errno(err, errno, "chmod %s", images->root);
    if (!rc)
        rc = images_path(path, err, "%s/tmp", images->root);
    if (!rc)
        rc = dir_remove(path, err);
    for (size_t i = 0; i < COUNT_OF(folders) && !rc; i++) {
        rc = images_path(path, err, "%s/%s", images->root, folders[i]);
        if (!rc)
            rc = dir_make(path, 0700, err);
    }
    return rc;
}

static const char *const *copy_texts(struct arena *arena, const char *const *texts, size_t count)
{
    const char **copy = arena_alloc_array(arena, count, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++)
        copy[i] = arena_strdup(arena, texts[i]);
    return copy;
}

static int set_mirrors(struct images *images, const struct mirrors *mirrors, struct err *err)
{
    struct arena arena;
    arena_init(&arena, MIRRORS_TEXT_BYTES_MAX);
    struct mirrors copy = {
        .urls = copy_texts(&arena, mirrors->urls, mirrors->urls_count),
        .urls_count = mirrors->urls_count,
        .insecure = copy_texts(&arena, mirrors->insecure, mirrors->insecure_count),
        .insecure_count = mirrors->insecure_count,
    };
    int rc = arena_overflowed(&arena)
                 ? err_set(err, ERR_RESOURCE_EXHAUSTED, "names of registries are too long")
                 : 0;
    if (!rc && copy.urls_count) {
        struct buf conf;
        buf_init(&conf, MIRRORS_CONF_BYTES);
        mirrors_conf(&copy, &conf);
        CHECK(buf_ok(&conf));
        rc = file_write_atomic(images->mirrors_conf, conf.data, conf.len, 0600, err);
        buf_fini(&conf);
    }
    if (rc) {
        arena_fini(&arena);
        return rc;
    }
    arena_fini(&images->mirrors_text);
    images->mirrors_text = arena;
    images->mirrors = copy;
    return 0;
}

int images_reload(struct images *images, const struct mirrors *mirrors, unsigned pulls_max,
                  struct err *err)
{
    MAGIC_CHECK(images, IMAGES_MAGIC);
    images->pulls_max = pulls_max ? pulls_max : PULLS_AT_ONCE;
    int rc = set_mirrors(images, mirrors, err);
    fetch_next(images);
    return rc;
}

int images_open(const struct images_config *config, struct images **out, struct err *err)
{
    CHECK(config->loop);
    CHECK(config->root && config->root[0] == '/');
    if (strpbrk(config->root, ":,\\") || strlen(config->root) > 1024)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "image folder %.200s: overlayfs takes no ':', ',' or '\\' in it",
                       config->root);
    struct images *images = MEM_NEW(struct images);
    MAGIC_SET(images, IMAGES_MAGIC);
    images->loop = config->loop;
    images->root = str_dup(config->root);
    images->skopeo = str_dup(str_or(config->skopeo, "skopeo"));
    images->umoci = str_dup(str_or(config->umoci, "umoci"));
    images->certs_dir = str_dup(config->certs_dir);
    images->stall_ms = config->pull_timeout_ms ? config->pull_timeout_ms : STALL_MS;
    images->mirrors_conf = str_printf("%s/registries.conf", config->root);
    images->pulls_max = config->pulls_max ? config->pulls_max : PULLS_AT_ONCE;
    arena_init(&images->mirrors_text, MIRRORS_TEXT_BYTES_MAX);
    map_init(&images->unpacks);
    map_init(&images->fetches);
    list_init(&images->fetch_queue);
    list_init(&images->asks);
    int rc = make_folders(images, err);
    if (!rc)
        rc = set_mirrors(images, &config->mirrors, err);
    char path[IMAGES_PATH_BYTES];
    if (!rc)
        rc = images_path(path, err, "%s/library", images->root);
    if (!rc)
        rc = library_open(path, &images->library, err);
    if (rc) {
        images_close(images);
        return rc;
    }
    images_sweep(images);
    *out = images;
    return 0;
}

void images_close(struct images *images)
{
    MAGIC_CHECK(images, IMAGES_MAGIC);
    CHECK(!images->ops);
    if (images->library)
        library_close(images->library);
    arena_fini(&images->mirrors_text);
    map_fini(&images->unpacks);
    map_fini(&images->fetches);
    free(images->root);
    free(images->skopeo);
    free(images->umoci);
    free(images->certs_dir);
    free(images->mirrors_conf);
    MAGIC_CLEAR(images);
    free(images);
}

bool images_busy(const struct images *images)
{
    MAGIC_CHECK(images, IMAGES_MAGIC);
    return images->ops > 0;
}

const struct library *images_library(const struct images *images)
{
    return images->library;
}

const char *images_root(const struct images *images)
{
    return images->root;
}

// ---- names --------------------------------------------------------------------------------------

int images_tag(struct images *images, const char *source, const char *target, struct err *err)
{
    const struct image *image;
    struct reference reference;
    int rc = library_find(images->library, source, &image, err);
    if (!rc)
        rc = reference_parse(target, &reference, err);
    if (!rc && *reference.digest)
        rc = err_set(err, ERR_INVALID_ARGUMENT, "refusing to create a tag with a digest reference");
    if (rc)
        return rc;
    reference_default_tag(&reference);
    return library_name(images->library, image->id, &reference, err);
}

// ---- removal ------------------------------------------------------------------------------------

static int remove_tree(const struct images *images, const char *id, struct err *err)
{
    char path[IMAGES_PATH_BYTES];
    int rc = images_path(path, err, "%s/trees/%s", images->root, id + 7);
    return rc ? rc : dir_remove(path, err);
}

static void keep_image(struct map *keep, const struct image *image)
{
    map_put_str(keep, image->manifest_digest, (void *)image);
    map_put_str(keep, image->manifest.config.digest, (void *)image);
    for (size_t i = 0; i < image->manifest.layers_count; i++)
        map_put_str(keep, image->manifest.layers[i].digest, (void *)image);
}

static uint64_t sweep(struct images *images)
{
    // Blobs of a fetch under way belong to no image yet.
    if (images->writers)
        return 0;
    struct map keep;
    map_init(&keep);
    size_t position = 0;
    const struct image *image;
    while ((image = library_next(images->library, &position)))
        keep_image(&keep, image);
    uint64_t freed = 0;
    struct err err = ERR_INIT;
    if (blobs_sweep(images->root, &keep, &freed, &err) != 0)
        log_warn("image store not swept", "err=\"%s\"", err.message);
    map_fini(&keep);
    return freed;
}

void images_sweep(struct images *images)
{
    sweep(images);
}

// The chains of an image's layers: that of the first is its digest, each other is made of the one
// below and its own. For the caller to free.
typedef char chain_id[72];

static chain_id *chains_of(const struct image_config *config)
{
    chain_id *chains = mem_alloc_array(config->diff_ids_count + 1, sizeof *chains);
    for (size_t i = 0; i < config->diff_ids_count; i++) {
        char both[2 * sizeof(chain_id)];
        if (i == 0) {
            str_copy(chains[0], sizeof chains[0], config->diff_ids[0]);
            continue;
        }
        CHECK(str_format(both, sizeof both, "%s %s", chains[i - 1], config->diff_ids[i]));
        blobs_digest(both, strlen(both), chains[i]);
    }
    return chains;
}

// How many layers, from the bottom, some other image of the library has too.
static size_t shared_layers(const struct images *images, const struct image *image)
{
    size_t most = 0, position = 0;
    const struct image *other;
    while ((other = library_next(images->library, &position))) {
        size_t same = 0;
        while (other != image && same < image->config.diff_ids_count &&
               same < other->config.diff_ids_count &&
               str_equal(image->config.diff_ids[same], other->config.diff_ids[same]))
            same++;
        most = same > most ? same : most;
    }
    return most;
}

// Forgets the image with its tree. The record goes first: a tree or blob without a record is swept.
static int forget(struct images *images, const char *id, images_removed *removed, void *owner,
                  struct err *err)
{
    char copy[72];
    str_copy(copy, sizeof copy, id);
    const struct image *image = library_by_id(images->library, copy);
    for (size_t i = 0; removed && i < image->tags_count; i++)
        removed(owner, IMAGES_UNTAGGED, image->tags[i]);
    for (size_t i = 0; removed && i < image->digests_count; i++)
        removed(owner, IMAGES_UNTAGGED, image->digests[i]);
    size_t count = image->config.diff_ids_count;
    size_t shared = removed ? shared_layers(images, image) : count;
    chain_id *chains = shared < count ? chains_of(&image->config) : NULL;
    int rc = library_remove(images->library, copy, err);
    if (!rc && removed)
        removed(owner, IMAGES_DELETED, copy);
    for (size_t i = count; !rc && i > shared; i--)
        removed(owner, IMAGES_LAYER, chains[i - 1]);
    free(chains);
    if (!rc)
        rc = remove_tree(images, copy, err);
    return rc;
}

static int refuse_used(const struct images *images, const struct image *image, struct err *err)
{
    char user[160];
    if (map_has_str(&images->unpacks, image->id))
        return err_set(err, ERR_FAILED_PRECONDITION, "image %.19s is being unpacked", image->id);
    if (rootfs_users(images->root, image->id, user, sizeof user))
        return err_set(
            err, ERR_FAILED_PRECONDITION,
            "conflict: unable to delete %.12s (cannot be forced) - image is being used by "
            "container %.12s",
            image->id + 7, user);
    return 0;
}

// Digests of a repository whose last tag goes have nobody left who asked for them.
static void drop_digests_of(struct images *images, const struct image *image,
                            const struct reference *gone, images_removed *removed, void *owner)
{
    struct reference other;
    for (size_t i = 0; i < image->tags_count; i++)
        if (reference_parse(image->tags[i], &other, NULL) == 0 &&
            str_equal(other.domain, gone->domain) && str_equal(other.path, gone->path))
            return;
    for (size_t i = image->digests_count; i-- > 0;) {
        char name[REFERENCE_TEXT_BYTES];
        str_copy(name, sizeof name, image->digests[i]);
        if (reference_parse(name, &other, NULL) != 0 || !str_equal(other.domain, gone->domain) ||
            !str_equal(other.path, gone->path))
            continue;
        if (library_unname(images->library, &other, NULL) == 0 && removed)
            removed(owner, IMAGES_UNTAGGED, name);
    }
}

// The last name of an image that a container stands on goes only by force; the image stays then.
static int remove_name(struct images *images, const struct image *image,
                       const struct reference *reference, bool force, images_removed *removed,
                       void *owner, struct err *err)
{
    char name[REFERENCE_TEXT_BYTES], user[160];
    bool last = *reference->tag ? image->tags_count == 1 : image->tags_count == 0;
    bool used = last && rootfs_users(images->root, image->id, user, sizeof user) > 0;
    int rc = 0;
    if (used && !force)
        rc = err_set(err, ERR_FAILED_PRECONDITION,
                     "conflict: unable to remove repository reference \"%s\" (must force) - "
                     "container %.12s is using its referenced image %.12s",
                     reference_familiar(reference, name), user, image->id + 7);
    else if (last && !used)
        rc = refuse_used(images, image, err);
    if (!rc && last && *reference->tag == '\0' && image->digests_count > 1)
        last = false;
    if (!rc)
        rc = library_unname(images->library, reference, err);
    if (rc)
        return rc;
    if (removed)
        removed(owner, IMAGES_UNTAGGED, reference_full(reference, name));
    if (*reference->tag)
        drop_digests_of(images, image, reference, removed, owner);
    if (!last || image->tags_count || used)
        return 0;
    return forget(images, image->id, removed, owner, err);
}

int images_remove(struct images *images, const char *text, bool force, images_removed *removed,
                  void *owner, struct err *err)
{
    MAGIC_CHECK(images, IMAGES_MAGIC);
    const struct image *image;
    struct reference reference;
    int rc = library_find(images->library, text, &image, err);
    if (rc)
        return rc;
    bool named = reference_parse(text, &reference, NULL) == 0;
    if (named) {
        if (*reference.digest)
            reference.tag[0] = '\0';
        reference_default_tag(&reference);
        const struct image *by_name = NULL;
        char full[REFERENCE_TEXT_BYTES];
        named =
            library_find(images->library, reference_full(&reference, full), &by_name, NULL) == 0 &&
            by_name == image;
    }
    if (named) {
        rc = remove_name(images, image, &reference, force, removed, owner, err);
    } else {
        if (image->tags_count > 1 && !force)
            return err_set(err, ERR_FAILED_PRECONDITION,
                           "conflict: unable to delete %.12s (must be forced) - image is "
                           "referenced in multiple repositories",
                           image->id + 7);
        rc = refuse_used(images, image, err);
        if (!rc)
            rc = forget(images, image->id, removed, owner, err);
    }
    sweep(images);
    return rc;
}

int images_prune(struct images *images, bool all, images_removed *removed, void *owner,
                 uint64_t *freed, struct err *err)
{
    MAGIC_CHECK(images, IMAGES_MAGIC);
    size_t position = 0;
    const struct image *image;
    int rc = 0;
    // The ids first: forgetting one changes what is being walked.
    char(*ids)[72] = mem_alloc_array(library_count(images->library) + 1, sizeof *ids);
    size_t count = 0;
    while ((image = library_next(images->library, &position)))
        if ((all || !image->tags_count) && refuse_used(images, image, NULL) == 0)
            str_copy(ids[count++], sizeof ids[0], image->id);
    for (size_t i = 0; i < count && !rc; i++)
        rc = forget(images, ids[i], removed, owner, err);
    free(ids);
    uint64_t bytes = sweep(images);
    if (freed)
        *freed = bytes;
    return rc;
}
