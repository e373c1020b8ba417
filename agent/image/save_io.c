// Images into one archive in docker's format: each one's configuration and layers as they are
// stored, and manifest.json, which says what belongs together. A layer that several images have is
// there once.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/image/blobs_io.h"
#include "agent/image/images_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/json.h"
#include "proto/base/str.h"
#include "proto/base/tar.h"

#define ARENA_BYTES    (16u << 20)
#define MANIFEST_BYTES (16u << 20) // of manifest.json
#define HEAD_BYTES     (64u << 10)
#define COPY_BYTES     (1u << 20)

struct saved_image {
    char id[72];
    char manifest_digest[72];
    json_t *tags; // familiar names
};

struct save {
    struct images *images;
    char root[IMAGES_PATH_BYTES];
    char *path;
    struct saved_image *items;
    size_t items_count;
    int out;            // these three are the worker's
    struct map written; // names in the archive
    struct buf manifest;
    struct step step;
    struct loop_later later;
    struct err err;
    images_simple_done *done;
    void *owner;
};

static void save_end(struct save *save)
{
    struct err err = save->err;
    struct images *images = save->images;
    images_simple_done *done = save->done;
    void *owner = save->owner;
    images->ops--;
    images->writers--;
    for (size_t i = 0; i < save->items_count; i++)
        json_decref(save->items[i].tags);
    map_fini(&save->written);
    buf_fini(&save->manifest);
    free(save->items);
    free(save->path);
    free(save);
    images_sweep(images); // what went meanwhile
    done(owner, err.code ? &err : NULL);
}

// ---- on the worker ------------------------------------------------------------------------------

static int put_bytes(const struct save *save, const void *bytes, size_t size, struct err *err)
{
    const uint8_t *at = bytes;
    while (size > 0) {
        ssize_t wrote = write(save->out, at, size);
        if (wrote < 0 && errno != EINTR)
            return err_set_errno(err, errno, "write %s", save->path);
        at += wrote > 0 ? wrote : 0;
        size -= wrote > 0 ? (size_t)wrote : 0;
    }
    return 0;
}

static int put_head(const struct save *save, const char *name, uint64_t size, struct err *err)
{
    struct tar_entry *entry = MEM_NEW(struct tar_entry);
    struct buf head;
    buf_init(&head, HEAD_BYTES);
    entry->mode = 0644;
    entry->size = size;
    str_copy(entry->name, sizeof entry->name, name);
    tar_put(&head, entry);
    int rc = put_bytes(save, head.data, head.len, err);
    buf_fini(&head);
    free(entry);
    return rc;
}

static int put_tail(const struct save *save, uint64_t size, struct err *err)
{
    static const uint8_t zeros[TAR_BLOCK];
    return put_bytes(save, zeros, tar_padding(size), err);
}

// A blob of the store, unless it is in the archive already.
static int put_blob(struct save *save, const char *digest, const char *ending, uint64_t size,
                    char name[96], struct err *err)
{
    char path[BLOB_PATH_BYTES];
    str_format(name, 96, "%s%s", digest + 7, ending);
    if (map_has_str(&save->written, name))
        return 0;
    map_put_str(&save->written, name, save);
    int rc = blobs_path(save->root, digest, path, err);
    int fd = rc ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (!rc && fd < 0)
        rc = err_set_errno(err, errno, "open %s", path);
    if (!rc)
        rc = put_head(save, name, size, err);
    uint8_t *piece = mem_alloc(COPY_BYTES);
    for (uint64_t left = size; left > 0 && !rc;) {
        ssize_t got = read(fd, piece, left < COPY_BYTES ? (size_t)left : COPY_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            rc = err_set(err, ERR_DATA_LOSS, "blob %s is damaged", digest);
        else
            rc = put_bytes(save, piece, (size_t)got, err);
        left -= got > 0 ? (uint64_t)got : 0;
    }
    if (!rc)
        rc = put_tail(save, size, err);
    free(piece);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int put_image(struct save *save, const struct saved_image *item, struct json_out *list,
                     struct err *err)
{
    const struct platform none = {"", "", ""};
    struct manifest manifest;
    struct arena arena;
    struct buf text;
    char name[96];
    arena_init(&arena, ARENA_BYTES);
    buf_init(&text, MANIFEST_BYTES_MAX);
    int rc = blobs_read(save->root, item->manifest_digest, &text, err);
    if (!rc)
        rc = manifest_parse(text.data, text.len, &none, &arena, &manifest, err);
    if (!rc)
        rc = put_blob(save, manifest.config.digest, ".json", manifest.config.size, name, err);
    if (!rc) {
        json_out_object(list, NULL);
        json_out_str(list, "Config", name);
        if (json_array_size(item->tags))
            json_out_value(list, "RepoTags", item->tags);
        else
            json_out_null(list, "RepoTags");
        json_out_array(list, "Layers");
        for (size_t i = 0; i < manifest.layers_count && !rc; i++) {
            const struct descriptor *layer = &manifest.layers[i];
            rc = put_blob(save, layer->digest, ".tar", layer->size, name, err);
            json_out_str(list, NULL, name);
        }
        json_out_end(list);
        json_out_end(list);
    }
    buf_fini(&text);
    arena_fini(&arena);
    return rc;
}

static void save_run(void *ctx, struct err *err)
{
    struct save *save = ctx;
    struct json_out list;
    struct buf end;
    save->out = open(save->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int rc = save->out < 0 ? err_set_errno(err, errno, "make %s", save->path) : 0;
    json_out_init(&list, &save->manifest);
    json_out_array(&list, NULL);
    for (size_t i = 0; i < save->items_count && !rc; i++)
        rc = put_image(save, &save->items[i], &list, err);
    json_out_end(&list);
    if (!rc && !buf_ok(&save->manifest))
        rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "the archive's list of images is too large");
    if (!rc)
        rc = put_head(save, "manifest.json", save->manifest.len, err);
    if (!rc)
        rc = put_bytes(save, save->manifest.data, save->manifest.len, err);
    if (!rc)
        rc = put_tail(save, save->manifest.len, err);
    buf_init(&end, 4 * TAR_BLOCK);
    tar_put_end(&end);
    if (!rc)
        rc = put_bytes(save, end.data, end.len, err);
    buf_fini(&end);
    if (save->out >= 0)
        close(save->out);
}

static void save_ran(void *ctx, const struct err *err)
{
    struct save *save = ctx;
    if (err)
        err_copy(&save->err, err);
    save_end(save);
}

// ---- what is asked for --------------------------------------------------------------------------

static void add(struct save *save, const struct image *image, const char *tag)
{
    struct saved_image *item = save->items;
    struct reference reference;
    char text[REFERENCE_TEXT_BYTES];
    while (item < save->items + save->items_count && !str_equal(item->id, image->id))
        item++;
    if (item == save->items + save->items_count) {
        save->items_count++;
        str_copy(item->id, sizeof item->id, image->id);
        str_copy(item->manifest_digest, sizeof item->manifest_digest, image->manifest_digest);
        item->tags = json_array();
    }
    if (!tag || reference_parse(tag, &reference, NULL))
        return;
    json_t *name = json_string(reference_familiar(&reference, text));
    bool there = false;
    for (size_t i = 0; i < json_array_size(item->tags); i++)
        there = there || json_equal(json_array_get(item->tags, i), name);
    if (!there)
        json_array_append(item->tags, name);
    json_decref(name);
}

// A bare name means all its tags, in docker's eyes; true when there was one.
static bool add_tags_of(struct save *save, const struct reference *wanted)
{
    const struct library *library = save->images->library;
    const struct image *image;
    char name[REFERENCE_TEXT_BYTES], other[REFERENCE_TEXT_BYTES];
    size_t position = 0;
    bool found = false;
    reference_name(wanted, name);
    while ((image = library_next(library, &position)))
        for (size_t i = 0; i < image->tags_count; i++) {
            struct reference reference;
            if (reference_parse(image->tags[i], &reference, NULL) == 0 &&
                str_equal(reference_name(&reference, other), name)) {
                add(save, image, image->tags[i]);
                found = true;
            }
        }
    return found;
}

static int add_name(struct save *save, const char *name, struct err *err)
{
    const struct library *library = save->images->library;
    const struct image *image, *by_name;
    struct reference reference;
    char full[REFERENCE_TEXT_BYTES];
    bool named = reference_parse(name, &reference, NULL) == 0 && !*reference.digest;
    if (named && !*reference.tag && add_tags_of(save, &reference))
        return 0;
    int rc = library_find(library, name, &image, err);
    if (rc)
        return rc;
    // A name, and no id that merely looks like one.
    if (named) {
        reference_default_tag(&reference);
        reference_full(&reference, full);
        named = library_find(library, full, &by_name, NULL) == 0 && by_name == image;
    }
    add(save, image, named ? full : NULL);
    return 0;
}

static void save_answer(struct loop_later *later)
{
    save_end(CONTAINER_OF(later, struct save, later));
}

void images_save(struct images *images, const char *const *names, size_t count,
                 const char *archive_path, images_simple_done *done, void *owner)
{
    MAGIC_CHECK(images, IMAGES_MAGIC);
    struct save *save = MEM_NEW(struct save);
    images->ops++;
    images->writers++; // no blob goes while it is read
    save->images = images;
    save->done = done;
    save->owner = owner;
    save->path = str_dup(archive_path);
    // No image is in it twice.
    save->items = mem_alloc_array(library_count(images->library) + 1, sizeof *save->items);
    str_copy(save->root, sizeof save->root, images->root);
    map_init(&save->written);
    buf_init(&save->manifest, MANIFEST_BYTES);
    loop_later_init(&save->later, images->loop, save_answer);
    if (file_exists(archive_path))
        err_set(&save->err, ERR_ALREADY_EXISTS, "archive %.200s exists", archive_path);
    for (size_t i = 0; i < count && !save->err.code; i++)
        add_name(save, names[i], &save->err);
    if (save->err.code)
        loop_later_ask(&save->later);
    else
        step_start(images->loop, &save->step, save_run, save_ran, save);
}
