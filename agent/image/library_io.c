#include "agent/image/library_io.h"

#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>

#include "agent/image/blobs_io.h"
#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/file_io.h"
#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define MAP_BYTES    (size_t)(UINT64_C(4) << 30) // address space, not memory
#define IMAGE_BYTES  (64u << 20)                 // parsed manifest and configuration
#define RECORD_BYTES (1u << 20)
#define KEY_BYTES    80
#define HEX_CHARS    64

struct library {
    MDB_env *env;
    MDB_dbi dbi;
    struct map images; // by id
    struct map names;  // full name -> image
};

// Each image has three values, under a letter and its id.
#define KEY_RECORD   'r' // names and times, as JSON
#define KEY_MANIFEST 'm'
#define KEY_CONFIG   'c'

static int db_err(int rc, const char *what, struct err *err)
{
    enum err_code code = rc == MDB_MAP_FULL || rc == ENOSPC ? ERR_RESOURCE_EXHAUSTED
                         : rc == MDB_CORRUPTED              ? ERR_DATA_LOSS
                                                            : ERR_INTERNAL;
    return err_set(err, code, "image library: %s: %s", what, mdb_strerror(rc));
}

// ---- images in memory ---------------------------------------------------------------------------

static void image_free(struct image *image)
{
    for (size_t i = 0; i < image->tags_count; i++)
        free(image->tags[i]);
    for (size_t i = 0; i < image->digests_count; i++)
        free(image->digests[i]);
    free(image->tags);
    free(image->digests);
    free(image->layer_bytes);
    arena_fini(&image->arena);
    free(image);
}

static void count_bytes(struct image *image)
{
    image->size_bytes = 0;
    for (size_t i = 0; i < image->manifest.layers_count; i++)
        image->size_bytes += image->layer_bytes[i];
}

static struct image *image_new(const char *id, const char *manifest_digest, const void *manifest,
                               size_t manifest_bytes, const void *config, size_t config_bytes,
                               struct err *err)
{
    struct image *image = MEM_NEW(struct image);
    arena_init(&image->arena, IMAGE_BYTES);
    str_copy(image->id, sizeof image->id, id);
    str_copy(image->manifest_digest, sizeof image->manifest_digest, manifest_digest);
    image->tags = mem_alloc_array(LIBRARY_NAMES_MAX, sizeof *image->tags);
    image->digests = mem_alloc_array(LIBRARY_NAMES_MAX, sizeof *image->digests);
    image->config_json = arena_strndup(&image->arena, config, config_bytes);
    image->config_json_bytes = config_bytes;
    const struct platform none = {"", "", ""};
    int rc = manifest_parse(manifest, manifest_bytes, &none, &image->arena, &image->manifest, err);
    if (!rc)
        rc = image_config_parse(config, config_bytes, &image->arena, &image->config, err);
    if (rc) {
        image_free(image);
        return NULL;
    }
    image->layer_bytes = mem_alloc_array(image->manifest.layers_count + 1, sizeof(uint64_t));
    for (size_t i = 0; i < image->manifest.layers_count; i++)
        image->layer_bytes[i] = image->manifest.layers[i].size;
    count_bytes(image);
    return image;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_add(char **list, size_t *count, const char *name)
{
    list[(*count)++] = str_dup(name);
    qsort(list, *count, sizeof *list, compare_text);
}

static void list_drop(char **list, size_t *count, const char *name)
{
    for (size_t i = 0; i < *count; i++) {
        if (!str_equal(list[i], name))
            continue;
        free(list[i]);
        memmove(list + i, list + i + 1, (*count - i - 1) * sizeof *list);
        (*count)--;
        return;
    }
}

static bool is_digest_name(const char *name)
{
    return strchr(name, '@') != NULL;
}

static void link_name(struct library *library, struct image *image, const char *name)
{
    map_put_str(&library->names, name, image);
    if (is_digest_name(name))
        list_add(image->digests, &image->digests_count, name);
    else
        list_add(image->tags, &image->tags_count, name);
}

static void unlink_name(struct library *library, struct image *image, const char *name)
{
    map_remove_str(&library->names, name);
    if (is_digest_name(name))
        list_drop(image->digests, &image->digests_count, name);
    else
        list_drop(image->tags, &image->tags_count, name);
}

// ---- records on disk ----------------------------------------------------------------------------

static void put_list(struct json_out *out, const char *key, char *const *list, size_t count)
{
    json_out_array(out, key);
    for (size_t i = 0; i < count; i++)
        json_out_str(out, NULL, list[i]);
    json_out_end(out);
}

static int put(struct library *library, MDB_txn *txn, char kind, const char *id, const void *bytes,
               size_t size)
{
    char key[KEY_BYTES];
    CHECK(str_format(key, sizeof key, "%c%s", kind, id));
    MDB_val k = {strlen(key), key};
    MDB_val v = {size, (void *)bytes};
    return mdb_put(txn, library->dbi, &k, &v, 0);
}

static int put_record(struct library *library, MDB_txn *txn, const struct image *image)
{
    struct buf text;
    struct json_out out;
    buf_init(&text, RECORD_BYTES);
    json_out_init(&out, &text);
    json_out_object(&out, NULL);
    json_out_str(&out, "manifest", image->manifest_digest);
    json_out_int(&out, "added", image->added.ns);
    json_out_int(&out, "tagged", image->last_tagged.ns);
    put_list(&out, "tags", image->tags, image->tags_count);
    put_list(&out, "digests", image->digests, image->digests_count);
    json_out_array(&out, "layer_bytes");
    for (size_t i = 0; i < image->manifest.layers_count; i++)
        json_out_uint(&out, NULL, image->layer_bytes[i]);
    json_out_end(&out);
    json_out_end(&out);
    CHECK(json_out_done(&out));
    int rc = put(library, txn, KEY_RECORD, image->id, text.data, text.len);
    buf_fini(&text);
    return rc;
}

// Writes the records of up to two images in one transaction. NULLs are passed over.
static int save(struct library *library, const struct image *first, const struct image *second,
                struct err *err)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(library->env, NULL, 0, &txn);
    if (rc)
        return db_err(rc, "begin", err);
    if (first)
        rc = put_record(library, txn, first);
    if (!rc && second)
        rc = put_record(library, txn, second);
    if (rc) {
        mdb_txn_abort(txn);
        return db_err(rc, "write", err);
    }
    rc = mdb_txn_commit(txn);
    return rc ? db_err(rc, "commit", err) : 0;
}

static bool get(const struct library *library, MDB_txn *txn, char kind, const char *id,
                MDB_val *out)
{
    char key[KEY_BYTES];
    CHECK(str_format(key, sizeof key, "%c%s", kind, id));
    MDB_val k = {strlen(key), key};
    return mdb_get(txn, library->dbi, &k, out) == 0;
}

static void load_names(struct library *library, struct image *image, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list) && i < LIBRARY_NAMES_MAX; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name && !map_has_str(&library->names, name))
            link_name(library, image, name);
    }
}

// Records of older versions have none.
static void load_bytes(struct image *image, const json_t *list)
{
    if (json_array_size(list) != image->manifest.layers_count)
        return;
    for (size_t i = 0; i < image->manifest.layers_count; i++) {
        json_int_t bytes = json_integer_value(json_array_get(list, i));
        image->layer_bytes[i] = bytes > 0 ? (uint64_t)bytes : 0;
    }
    count_bytes(image);
}

static int load_one(struct library *library, MDB_txn *txn, const char *id, const MDB_val *record,
                    struct err *err)
{
    MDB_val manifest, config;
    if (!digest_valid(id) || !get(library, txn, KEY_MANIFEST, id, &manifest) ||
        !get(library, txn, KEY_CONFIG, id, &config))
        return err_set(err, ERR_DATA_LOSS, "parts of the record are missing");
    json_t *json = json_parse(record->mv_data, record->mv_size, err);
    if (!json)
        return -(int)ERR_DATA_LOSS;
    const char *digest = json_string_value(json_object_get(json, "manifest"));
    struct image *image = NULL;
    int rc = -(int)ERR_DATA_LOSS;
    if (digest && digest_valid(digest))
        image = image_new(id, digest, manifest.mv_data, manifest.mv_size, config.mv_data,
                          config.mv_size, err);
    else
        err_set(err, ERR_DATA_LOSS, "the record has no manifest");
    if (image) {
        image->added.ns = json_integer_value(json_object_get(json, "added"));
        image->last_tagged.ns = json_integer_value(json_object_get(json, "tagged"));
        map_put_str(&library->images, id, image);
        load_bytes(image, json_object_get(json, "layer_bytes"));
        load_names(library, image, json_object_get(json, "tags"));
        load_names(library, image, json_object_get(json, "digests"));
        rc = 0;
    }
    json_decref(json);
    return rc;
}

static int load_all(struct library *library, struct err *err)
{
    MDB_txn *txn;
    MDB_cursor *cursor = NULL;
    int rc = mdb_txn_begin(library->env, NULL, 0, &txn);
    if (rc)
        return db_err(rc, "begin", err);
    rc = mdb_dbi_open(txn, NULL, 0, &library->dbi);
    if (!rc)
        rc = mdb_cursor_open(txn, library->dbi, &cursor);
    MDB_val key = {1, (void *)"r"};
    MDB_val value;
    int step = rc ? rc : mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    while (!rc && !step && map_count(&library->images) < LIBRARY_IMAGES_MAX) {
        const char *text = key.mv_data;
        char id[KEY_BYTES] = "";
        struct err why = ERR_INIT;
        if (!key.mv_size || text[0] != KEY_RECORD || key.mv_size >= sizeof id)
            break;
        memcpy(id, text + 1, key.mv_size - 1);
        if (load_one(library, txn, id, &value, &why) != 0)
            log_error("image record left out", "image=%s err=\"%s\"", id, why.message);
        step = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    if (cursor)
        mdb_cursor_close(cursor);
    if (rc) {
        mdb_txn_abort(txn);
        return db_err(rc, "open", err);
    }
    rc = mdb_txn_commit(txn);
    return rc ? db_err(rc, "open", err) : 0;
}

int library_open(const char *dir, struct library **out, struct err *err)
{
    int rc = dir_make(dir, 0700, err);
    if (rc)
        return rc;
    struct library *library = MEM_NEW(struct library);
    map_init(&library->images);
    map_init(&library->names);
    int db = mdb_env_create(&library->env);
    CHECK(db == 0);
    mdb_env_set_mapsize(library->env, MAP_BYTES);
    // Everything runs on one thread, but reads may come from whichever one that is.
    db = mdb_env_open(library->env, dir, MDB_NOTLS, 0600);
    rc = db ? db_err(db, "open", err) : load_all(library, err);
    if (rc) {
        library_close(library);
        return rc;
    }
    *out = library;
    return 0;
}

void library_close(struct library *library)
{
    MAP_EACH (entry, &library->images)
        image_free(entry->value);
    map_fini(&library->images);
    map_fini(&library->names);
    mdb_env_close(library->env);
    free(library);
}

// ---- looking ------------------------------------------------------------------------------------

const struct image *library_by_id(const struct library *library, const char *id)
{
    return map_get_str(&library->images, id);
}

size_t library_count(const struct library *library)
{
    return map_count(&library->images);
}

const struct image *library_next(const struct library *library, size_t *position)
{
    const struct map_entry *entry = map_next(&library->images, position);
    return entry ? entry->value : NULL;
}

static int find_by_prefix(const struct library *library, const char *text, const struct image **out,
                          struct err *err)
{
    const char *hex = str_starts(text, "sha256:") ? text + 7 : text;
    MAP_EACH (entry, &library->images) {
        const struct image *image = entry->value;
        if (!str_starts(image->id + 7, hex))
            continue;
        if (*out)
            return err_set(err, ERR_INVALID_ARGUMENT, "image id prefix %s is ambiguous", text);
        *out = image;
    }
    return 0;
}

// Names before ids, as docker has it; but 64 digits are always an id.
int library_find(const struct library *library, const char *text, const struct image **out,
                 struct err *err)
{
    *out = NULL;
    struct reference reference;
    char name[REFERENCE_TEXT_BYTES];
    struct err no_name = ERR_INIT;
    if (!str_starts(str_or(text, ""), "sha256:") &&
        reference_parse(text, &reference, &no_name) == 0) {
        // With tag and digest, the digest decides; the tag is a remark.
        if (*reference.digest)
            reference.tag[0] = '\0';
        reference_default_tag(&reference);
        *out = map_get_str(&library->names, reference_full(&reference, name));
    }
    if (!*out && image_id_like(str_or(text, ""))) {
        int rc = find_by_prefix(library, text, out, err);
        if (rc)
            return rc;
    }
    if (*out)
        return 0;
    if (no_name.code && !image_id_like(str_or(text, "")))
        return err_set(err, ERR_INVALID_ARGUMENT, "%s", no_name.message);
    return err_set(err, ERR_NOT_FOUND, "No such image: %.300s", str_or(text, ""));
}

// ---- changing -----------------------------------------------------------------------------------

int library_name(struct library *library, const char *id, const struct reference *reference,
                 struct err *err)
{
    CHECK(*reference->tag || *reference->digest);
    struct image *image = map_get_str(&library->images, id);
    if (!image)
        return err_set(err, ERR_NOT_FOUND, "No such image: %s", id);
    char name[REFERENCE_TEXT_BYTES];
    reference_full(reference, name);
    struct image *before = map_get_str(&library->names, name);
    if (before == image)
        return 0;
    size_t count = is_digest_name(name) ? image->digests_count : image->tags_count;
    if (count >= LIBRARY_NAMES_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "image %.19s has %d names already", id,
                       LIBRARY_NAMES_MAX);
    if (before)
        unlink_name(library, before, name);
    link_name(library, image, name);
    struct wall tagged = image->last_tagged;
    image->last_tagged = wall_now();
    int rc = save(library, image, before, err);
    if (rc) {
        unlink_name(library, image, name);
        if (before)
            link_name(library, before, name);
        image->last_tagged = tagged;
    }
    return rc;
}

int library_unname(struct library *library, const struct reference *reference, struct err *err)
{
    char name[REFERENCE_TEXT_BYTES];
    reference_full(reference, name);
    struct image *image = map_get_str(&library->names, name);
    if (!image)
        return err_set(err, ERR_NOT_FOUND, "No such image: %s", name);
    unlink_name(library, image, name);
    int rc = save(library, image, NULL, err);
    if (rc)
        link_name(library, image, name);
    return rc;
}

static int save_new(struct library *library, const struct image *image, const void *manifest,
                    size_t manifest_bytes, const void *config, size_t config_bytes, struct err *err)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(library->env, NULL, 0, &txn);
    if (rc)
        return db_err(rc, "begin", err);
    rc = put(library, txn, KEY_MANIFEST, image->id, manifest, manifest_bytes);
    if (!rc)
        rc = put(library, txn, KEY_CONFIG, image->id, config, config_bytes);
    if (!rc)
        rc = put_record(library, txn, image);
    if (rc) {
        mdb_txn_abort(txn);
        return db_err(rc, "write", err);
    }
    rc = mdb_txn_commit(txn);
    return rc ? db_err(rc, "commit", err) : 0;
}

int library_add(struct library *library, const char *manifest_digest, const void *manifest,
                size_t manifest_bytes, const void *config, size_t config_bytes,
                const uint64_t *contents, const struct reference *reference,
                const struct image **out, struct err *err)
{
    CHECK(digest_valid(manifest_digest));
    struct image *image =
        image_new("", manifest_digest, manifest, manifest_bytes, config, config_bytes, err);
    if (!image)
        return err ? -(int)err->code : -(int)ERR_INVALID_ARGUMENT;
    str_copy(image->id, sizeof image->id, image->manifest.config.digest);
    int rc = 0;
    struct image *known = map_get_str(&library->images, image->id);
    if (known) {
        image_free(image);
        image = known;
    } else if (map_count(&library->images) >= LIBRARY_IMAGES_MAX) {
        rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "more than %d images", LIBRARY_IMAGES_MAX);
        image_free(image);
        return rc;
    } else {
        image->added = wall_now();
        for (size_t i = 0; contents && i < image->manifest.layers_count; i++)
            if (contents[i] != BLOB_CONTENT_UNKNOWN)
                image->layer_bytes[i] = contents[i];
        count_bytes(image);
        rc = save_new(library, image, manifest, manifest_bytes, config, config_bytes, err);
        if (rc) {
            image_free(image);
            return rc;
        }
        map_put_str(&library->images, image->id, image);
    }
    if (reference) {
        struct reference name = *reference;
        if (*name.digest && *name.tag) {
            // Two names: the tag and the digest.
            struct reference tag = name;
            tag.digest[0] = '\0';
            name.tag[0] = '\0';
            rc = library_name(library, image->id, &tag, err);
        }
        if (!rc)
            rc = library_name(library, image->id, &name, err);
    }
    *out = image;
    return rc;
}

int library_remove(struct library *library, const char *id, struct err *err)
{
    struct image *image = map_get_str(&library->images, id);
    if (!image)
        return err_set(err, ERR_NOT_FOUND, "No such image: %s", id);
    MDB_txn *txn;
    int rc = mdb_txn_begin(library->env, NULL, 0, &txn);
    if (rc)
        return db_err(rc, "begin", err);
    static const char kinds[] = {KEY_RECORD, KEY_MANIFEST, KEY_CONFIG};
    for (size_t i = 0; i < COUNT_OF(kinds) && !rc; i++) {
        char key[KEY_BYTES];
        str_format(key, sizeof key, "%c%s", kinds[i], id);
        MDB_val k = {strlen(key), key};
        rc = mdb_del(txn, library->dbi, &k, NULL);
        rc = rc == MDB_NOTFOUND ? 0 : rc;
    }
    if (rc) {
        mdb_txn_abort(txn);
        return db_err(rc, "remove", err);
    }
    rc = mdb_txn_commit(txn);
    if (rc)
        return db_err(rc, "commit", err);
    for (size_t i = 0; i < image->tags_count; i++)
        map_remove_str(&library->names, image->tags[i]);
    for (size_t i = 0; i < image->digests_count; i++)
        map_remove_str(&library->names, image->digests[i]);
    map_remove_str(&library->images, id);
    image_free(image);
    return 0;
}
