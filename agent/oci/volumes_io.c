#include "agent/oci/volumes_io.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/oci/copy_io.h"
#include "agent/oci/volume_mounts_io.h"
#include "agent/oci/volume_options.h"
#include "proto/base/buf.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/codec.h"
#include "proto/base/entropy_io.h"
#include "proto/base/file_io.h"
#include "proto/base/json.h"
#include "proto/base/log.h"
#include "proto/base/map.h"
#include "proto/base/str.h"

#define RECORD_BYTES (1u << 20)

struct volumes {
    char *root;
    struct map list;    // by name
    struct map holders; // container -> struct holding: what lies in the folders of users
};

// What one container holds.
struct holding {
    size_t count;
    char **names;
};

static int path_in(char out[VOLUME_PATH_MAX], const struct volumes *volumes, const char *name,
                   const char *tail, struct err *err)
{
    if (!str_format(out, VOLUME_PATH_MAX, "%s/%s%s", volumes->root, name, tail))
        return err_set(err, ERR_INVALID_ARGUMENT, "path of volume is too long");
    return 0;
}

static void pairs_free(struct oci_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free((char *)pairs[i].key);
        free((char *)pairs[i].value);
    }
    free(pairs);
}

static struct oci_pair *pairs_copy(const struct oci_pair *pairs, size_t count)
{
    struct oci_pair *copy = mem_alloc_array(count + 1, sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = (struct oci_pair){str_dup(pairs[i].key), str_dup(str_or(pairs[i].value, ""))};
    return copy;
}

static void volume_free(struct volume *volume)
{
    pairs_free(volume->labels, volume->labels_count);
    pairs_free(volume->options, volume->options_count);
    free(volume->path);
    free(volume);
}

static struct volume *volume_new(const struct volumes *volumes, const char *name)
{
    struct volume *volume = MEM_NEW(struct volume);
    str_copy(volume->name, sizeof volume->name, name);
    volume->path = str_printf("%s/%s/_data", volumes->root, name);
    return volume;
}

// ---- records ------------------------------------------------------------------------------------

static void pairs_write(struct json_out *out, const char *key, const struct oci_pair *pairs,
                        size_t count)
{
    json_out_object(out, key);
    for (size_t i = 0; i < count; i++)
        json_out_str(out, pairs[i].key, pairs[i].value);
    json_out_end(out);
}

static int record_write(const struct volumes *volumes, const struct volume *volume, struct err *err)
{
    char path[VOLUME_PATH_MAX];
    struct buf text;
    struct json_out out;
    buf_init(&text, RECORD_BYTES);
    json_out_init(&out, &text);
    json_out_object(&out, NULL);
    json_out_int(&out, "created", volume->created.ns);
    json_out_bool(&out, "anonymous", volume->anonymous);
    pairs_write(&out, "labels", volume->labels, volume->labels_count);
    pairs_write(&out, "options", volume->options, volume->options_count);
    json_out_end(&out);
    int rc = path_in(path, volumes, volume->name, "/volume.json", err);
    if (!rc && !json_out_done(&out))
        rc = err_set(err, ERR_INVALID_ARGUMENT, "labels of volume are too long");
    if (!rc)
        rc = file_write_atomic(path, text.data, text.len, 0600, err);
    buf_fini(&text);
    return rc;
}

static struct oci_pair *pairs_read(const json_t *json, size_t *count)
{
    struct oci_pair *pairs = mem_alloc_array(json_object_size(json) + 1, sizeof *pairs);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        pairs[(*count)++] =
            (struct oci_pair){str_dup(key), str_dup(str_or(json_string_value(value), ""))};
    }
    return pairs;
}

static int record_read(struct volumes *volumes, const char *name, struct err *err)
{
    char path[VOLUME_PATH_MAX];
    struct buf text;
    buf_init(&text, RECORD_BYTES);
    int rc = path_in(path, volumes, name, "/volume.json", err);
    if (!rc)
        rc = file_read(path, &text, err);
    json_t *json = rc ? NULL : json_parse(text.data, text.len, err);
    buf_fini(&text);
    if (!json_is_object(json)) {
        json_decref(json);
        return rc ? rc : -(int)ERR_DATA_LOSS;
    }
    struct volume *volume = volume_new(volumes, name);
    volume->created.ns = json_integer_value(json_object_get(json, "created"));
    volume->anonymous = json_is_true(json_object_get(json, "anonymous"));
    volume->labels = pairs_read(json_object_get(json, "labels"), &volume->labels_count);
    volume->options = pairs_read(json_object_get(json, "options"), &volume->options_count);
    map_put_str(&volumes->list, name, volume);
    json_decref(json);
    return 0;
}

// ---- who holds which ---------------------------------------------------------------------------

static void holding_free(struct holding *holding)
{
    for (size_t i = 0; holding && i < holding->count; i++)
        free(holding->names[i]);
    if (holding)
        free(holding->names);
    free(holding);
}

static void note_holder(struct volumes *volumes, const char *container, const char *name)
{
    struct holding *holding = map_get_str(&volumes->holders, container);
    if (!holding) {
        holding = MEM_NEW(struct holding);
        map_put_str(&volumes->holders, container, holding);
    }
    for (size_t i = 0; i < holding->count; i++)
        if (str_equal(holding->names[i], name))
            return;
    holding->names = mem_realloc(holding->names, (holding->count + 1) * sizeof *holding->names);
    holding->names[holding->count++] = str_dup(name);
}

static void forget_holder(struct volumes *volumes, const char *container, const char *name)
{
    struct holding *holding = map_get_str(&volumes->holders, container);
    size_t at = 0;
    while (holding && at < holding->count && !str_equal(holding->names[at], name))
        at++;
    if (!holding || at == holding->count)
        return;
    free(holding->names[at]);
    holding->names[at] = holding->names[--holding->count];
    if (!holding->count)
        holding_free(map_remove_str(&volumes->holders, container));
}

static void note_holders(struct volumes *volumes, const char *name)
{
    char path[VOLUME_PATH_MAX];
    DIR *dir = path_in(path, volumes, name, "/users", NULL) == 0 ? opendir(path) : NULL;
    struct dirent *entry;
    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            note_holder(volumes, entry->d_name, name);
    if (dir)
        closedir(dir);
}

// ---- opening ------------------------------------------------------------------------------------

int volumes_open(const char *root, struct volumes **out, struct err *err)
{
    CHECK(root[0] == '/');
    int rc = dir_make(root, 0701, err);
    if (!rc && chmod(root, 0701) < 0)
        rc = err_set_errno(err, errno, "chmod %s", root);
    DIR *dir = rc ? NULL : opendir(root);
    if (!rc && !dir)
        rc = err_set_errno(err, errno, "open %s", root);
    if (rc)
        return rc;
    struct volumes *volumes = MEM_NEW(struct volumes);
    volumes->root = str_dup(root);
    map_init(&volumes->list);
    map_init(&volumes->holders);
    struct dirent *entry;
    while ((entry = readdir(dir)) && map_count(&volumes->list) < VOLUMES_MAX) {
        struct err why = ERR_INIT;
        if (entry->d_name[0] == '.')
            continue;
        if (record_read(volumes, entry->d_name, &why) != 0)
            log_warn("volume left out", "volume=%s err=\"%s\"", entry->d_name, why.message);
        else
            note_holders(volumes, entry->d_name);
    }
    closedir(dir);
    *out = volumes;
    return 0;
}

void volumes_close(struct volumes *volumes)
{
    MAP_EACH (entry, &volumes->list)
        volume_free(entry->value);
    map_fini(&volumes->list);
    MAP_EACH (entry, &volumes->holders)
        holding_free(entry->value);
    map_fini(&volumes->holders);
    free(volumes->root);
    free(volumes);
}

// ---- making and finding -------------------------------------------------------------------------

// [a-zA-Z0-9][a-zA-Z0-9_.-]+, as docker has it.
static int check_name(const char *name, struct err *err)
{
    size_t size = strlen(name);
    if (size < 2)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "create %s: volume name is too short, names should be at least two "
                       "alphanumeric characters",
                       name);
    bool ok = size <= VOLUME_NAME_MAX && isalnum((unsigned char)name[0]);
    for (const char *at = name; *at && ok; at++)
        ok = isalnum((unsigned char)*at) || strchr("_.-", *at);
    if (ok)
        return 0;
    return err_set(err, ERR_INVALID_ARGUMENT,
                   "create %.100s: \"%.100s\" includes invalid characters for a local volume name, "
                   "only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host "
                   "directory, use absolute path",
                   name, name);
}

static int make_folders(const struct volumes *volumes, const char *name, struct err *err)
{
    static const struct {
        const char *tail;
        mode_t mode;
    } folders[] = {{"", 0701}, {"/_data", 0755}, {"/users", 0700}};
    int rc = 0;
    for (size_t i = 0; i < COUNT_OF(folders) && !rc; i++) {
        char path[VOLUME_PATH_MAX];
        rc = path_in(path, volumes, name, folders[i].tail, err);
        if (!rc && mkdir(path, folders[i].mode) < 0 && errno != EEXIST)
            rc = err_set_errno(err, errno, "make %s", path);
    }
    return rc;
}

static int check_options(const char *name, const struct volume_wish *wish, struct err *err)
{
    struct err why = ERR_INIT;
    if (volume_options_check(wish->options, wish->options_count, &why) == 0)
        return 0;
    return err_set(err, why.code, "create %.255s: %s", name, why.message);
}

int volumes_create(struct volumes *volumes, const struct volume_wish *wish,
                   const struct volume **out, struct err *err)
{
    char fresh[65];
    const char *name = wish->name;
    bool anonymous = str_empty(name);
    if (anonymous) {
        unsigned char random[32];
        entropy_bytes(random, sizeof random);
        name = hex_encode(random, sizeof random, fresh);
    }
    int rc = check_name(name, err);
    if (rc)
        return rc;
    struct volume *volume = map_get_str(&volumes->list, name);
    if (volume) {
        *out = volume;
        return 0;
    }
    rc = check_options(name, wish, err);
    if (rc)
        return rc;
    if (map_count(&volumes->list) >= VOLUMES_MAX || wish->labels_count > OCI_LIST_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "too many volumes or labels");
    volume = volume_new(volumes, name);
    volume->created = wall_now();
    volume->anonymous = anonymous;
    volume->labels = pairs_copy(wish->labels, wish->labels_count);
    volume->labels_count = wish->labels_count;
    volume->options = pairs_copy(wish->options, wish->options_count);
    volume->options_count = wish->options_count;
    rc = make_folders(volumes, name, err);
    // The record comes last: a folder without one is no volume.
    if (!rc)
        rc = record_write(volumes, volume, err);
    if (rc) {
        char path[VOLUME_PATH_MAX];
        if (path_in(path, volumes, name, "", NULL) == 0)
            dir_remove(path, NULL);
        volume_free(volume);
        return rc;
    }
    map_put_str(&volumes->list, name, volume);
    *out = volume;
    return 0;
}

int volumes_find(const struct volumes *volumes, const char *name, const struct volume **out,
                 struct err *err)
{
    *out = map_get_str(&volumes->list, str_or(name, ""));
    return *out ? 0 : err_set(err, ERR_NOT_FOUND, "no such volume: %.255s", str_or(name, ""));
}

const struct volume *volumes_next(const struct volumes *volumes, size_t *position)
{
    const struct map_entry *entry = map_next(&volumes->list, position);
    return entry ? entry->value : NULL;
}

// ---- holding ------------------------------------------------------------------------------------

static int user_path(const struct volumes *volumes, const char *name, const char *container,
                     char out[VOLUME_PATH_MAX], struct err *err)
{
    if (str_empty(container) || container[0] == '.' || strchr(container, '/'))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid container id");
    char tail[VOLUME_NAME_MAX + 32];
    if (!str_format(tail, sizeof tail, "/users/%s", container))
        return err_set(err, ERR_INVALID_ARGUMENT, "container id is too long");
    return path_in(out, volumes, name, tail, err);
}

int volumes_hold(struct volumes *volumes, const char *name, const char *container, struct err *err)
{
    const struct volume *volume;
    char path[VOLUME_PATH_MAX];
    int rc = volumes_find(volumes, name, &volume, err);
    if (!rc)
        rc = user_path(volumes, name, container, path, err);
    if (rc)
        return rc;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, errno, "hold volume %s", name);
    close(fd);
    note_holder(volumes, container, name);
    return 0;
}

void volumes_release(struct volumes *volumes, const char *name, const char *container)
{
    char path[VOLUME_PATH_MAX];
    if (map_has_str(&volumes->list, name) && user_path(volumes, name, container, path, NULL) == 0)
        unlink(path);
    forget_holder(volumes, container, name);
}

size_t volumes_users(const struct volumes *volumes, const char *name)
{
    char path[VOLUME_PATH_MAX];
    size_t count = 0;
    DIR *dir = path_in(path, volumes, name, "/users", NULL) == 0 ? opendir(path) : NULL;
    struct dirent *entry;
    while (dir && (entry = readdir(dir)))
        count += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count;
}

void volumes_release_all(struct volumes *volumes, const char *container, bool remove_anonymous)
{
    struct holding *holding = map_remove_str(&volumes->holders, container);
    for (size_t i = 0; holding && i < holding->count; i++) {
        const struct volume *volume = map_get_str(&volumes->list, holding->names[i]);
        char path[VOLUME_PATH_MAX];
        if (!volume || user_path(volumes, volume->name, container, path, NULL) != 0)
            continue;
        struct err err = ERR_INIT;
        unlink(path);
        if (remove_anonymous && volume->anonymous && !volumes_users(volumes, volume->name) &&
            volumes_remove(volumes, volume->name, &err) != 0)
            log_warn("volume stays", "err=\"%s\"", err.message);
    }
    holding_free(holding);
}

// ---- removing -----------------------------------------------------------------------------------

int volumes_remove(struct volumes *volumes, const char *name, struct err *err)
{
    const struct volume *found;
    char path[VOLUME_PATH_MAX];
    int rc = volumes_find(volumes, name, &found, err);
    if (rc)
        return rc;
    if (volumes_users(volumes, name))
        return err_set(err, ERR_FAILED_PRECONDITION, "remove %s: volume is in use", name);
    // What is mounted is not the volume's own, and stays.
    if (found->options_count)
        rc = volume_unmount(found->path, err);
    // The record first: what is left of a removal cut short is no volume any more.
    if (!rc)
        rc = path_in(path, volumes, name, "/volume.json", err);
    if (!rc)
        rc = file_remove(path, err);
    if (!rc)
        rc = path_in(path, volumes, name, "", err);
    if (!rc)
        rc = dir_remove(path, err);
    if (rc)
        return rc;
    struct volume *volume = map_remove_str(&volumes->list, name);
    volume_free(volume);
    return 0;
}

int volumes_prune(struct volumes *volumes, bool all, void (*removed)(void *owner, const char *name),
                  void *owner, struct err *err)
{
    int rc = 0;
    MAP_EACH (entry, &volumes->list) {
        struct volume *volume = entry->value;
        char name[VOLUME_NAME_MAX + 1];
        if (rc || (!all && !volume->anonymous) || volume->options_count ||
            volumes_users(volumes, volume->name))
            continue;
        str_copy(name, sizeof name, volume->name);
        rc = volumes_remove(volumes, name, err);
        if (!rc && removed)
            removed(owner, name);
    }
    return rc;
}

// ---- first use ----------------------------------------------------------------------------------

static bool is_empty(const char *path)
{
    DIR *dir = opendir(path);
    bool empty = dir != NULL;
    struct dirent *entry;
    while (dir && empty && (entry = readdir(dir)))
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    if (dir)
        closedir(dir);
    return empty;
}

int volumes_fill(const char *volume_path, const char *root, const char *target, struct err *err)
{
    if (!is_empty(volume_path))
        return 0;
    struct err why = ERR_INIT;
    int rc = copy_out_of_root(root, target, volume_path, &why);
    if (rc == -ERR_NOT_FOUND || why.code == ERR_NOT_FOUND || rc == -ERR_FAILED_PRECONDITION)
        return 0;
    return rc ? err_copy(err, &why) : 0;
}
