// --mount: a volume, a folder or memory, in fields.
#include <stdlib.h>
#include <string.h>

#include "cmd/skep/common.h"
#include "cmd/skep/parse.h"
#include "cmd/skep/text.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

static bool truth(const struct field *field, bool *out)
{
    static const char *const yes[] = {"", "1", "t", "true", "T", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "false", "F", "FALSE", "False"};
    for (size_t i = 0; i < COUNT_OF(yes); i++)
        if (strcmp(field->value, yes[i]) == 0 && (*field->value || !field->has_value))
            return *out = true;
    for (size_t i = 0; i < COUNT_OF(no); i++)
        if (strcmp(field->value, no[i]) == 0) {
            *out = false;
            return true;
        }
    return false;
}

// What of the mounts below a bind mount comes with it; false for a word that is not known.
static bool recursive(json_t *mount, const char *word)
{
    static const struct {
        const char *word, *path;
    } words[] = {{"enabled", NULL},
                 {"disabled", "BindOptions.NonRecursive"},
                 {"writable", "BindOptions.ReadOnlyNonRecursive"},
                 {"readonly", "BindOptions.ReadOnlyForceRecursive"}};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (!str_equal(words[i].word, word))
            continue;
        if (words[i].path)
            set_true(mount, words[i].path, true);
        return true;
    }
    return false;
}

// One field of --mount; false with *err.
static bool mount_field(json_t *mount, const struct field *field, struct arena *arena,
                        struct err *err)
{
    static const struct {
        const char *key, *path;
    } texts[] = {{"type", "Type"},
                 {"source", "Source"},
                 {"src", "Source"},
                 {"target", "Target"},
                 {"dst", "Target"},
                 {"destination", "Target"},
                 {"consistency", "Consistency"},
                 {"bind-propagation", "BindOptions.Propagation"},
                 {"volume-driver", "VolumeOptions.DriverConfig.Name"},
                 {"volume-subpath", "VolumeOptions.Subpath"},
                 {"image-subpath", "ImageOptions.Subpath"},
                 {0}};
    static const struct {
        const char *key, *path;
    } truths[] = {{"readonly", "ReadOnly"},
                  {"ro", "ReadOnly"},
                  {"bind-nonrecursive", "BindOptions.NonRecursive"},
                  {"bind-create-src", "BindOptions.CreateMountpoint"},
                  {"volume-nocopy", "VolumeOptions.NoCopy"},
                  {0}};
    const char *key = field->key, *value = field->value;
    for (size_t i = 0; truths[i].key; i++) {
        bool on;
        if (!str_equal(truths[i].key, key))
            continue;
        if (!truth(field, &on)) {
            err_set(err, ERR_INVALID_ARGUMENT, "invalid value for %s: %s", key, value);
            return false;
        }
        set_true(mount, truths[i].path, on);
        return true;
    }
    if (!field->has_value) {
        err_set(err, ERR_INVALID_ARGUMENT, "invalid field '%s' must be a key=value pair", key);
        return false;
    }
    for (size_t i = 0; texts[i].key; i++) {
        if (!str_equal(texts[i].key, key))
            continue;
        set_text(mount, texts[i].path, value);
        return true;
    }
    int64_t number;
    int mode;
    if (str_equal(key, "volume-label")) {
        set_pair(object_at(mount, "VolumeOptions.Labels"), value, arena);
    } else if (str_equal(key, "volume-opt")) {
        set_pair(object_at(mount, "VolumeOptions.DriverConfig.Options"), value, arena);
    } else if (str_equal(key, "tmpfs-size") && text_parse_bytes(value, &number, NULL) == 0) {
        set_number(mount, "TmpfsOptions.SizeBytes", number);
    } else if (str_equal(key, "tmpfs-mode") && parse_file_mode(value, &mode)) {
        set_number(mount, "TmpfsOptions.Mode", mode);
    } else if (str_equal(key, "bind-recursive") && recursive(mount, value)) {
        return true;
    } else if (str_starts(key, "tmpfs-") || str_equal(key, "bind-recursive")) {
        err_set(err, ERR_INVALID_ARGUMENT, "invalid value for %s: %s", key, value);
        return false;
    } else {
        err_set(err, ERR_INVALID_ARGUMENT, "unexpected key '%s' in '%s=%s'", key, key, value);
        return false;
    }
    return true;
}

json_t *parse_mount(const char *text, struct arena *arena, struct err *err)
{
    struct field fields[FIELDS_MAX];
    int count = fields_parse(text, arena, fields, err);
    if (count < 0)
        return NULL;
    json_t *mount = json_object();
    set_text(mount, "Type", "volume");
    for (int i = 0; i < count; i++) {
        if (!mount_field(mount, &fields[i], arena, err)) {
            json_decref(mount);
            return NULL;
        }
    }
    const char *type = text_at(mount, "Type");
    const char *wrong = NULL;
    if (at(mount, "VolumeOptions"))
        object_at(mount, "VolumeOptions.DriverConfig"); // as docker sends it
    if (!*text_at(mount, "Target"))
        wrong = "target is required";
    else if (at(mount, "VolumeOptions") && !str_equal(type, "volume"))
        wrong = "cannot mix 'volume-*' options with this type of mount";
    else if (at(mount, "BindOptions") && !str_equal(type, "bind"))
        wrong = "cannot mix 'bind-*' options with this type of mount";
    else if (at(mount, "TmpfsOptions") && !str_equal(type, "tmpfs"))
        wrong = "cannot mix 'tmpfs-*' options with this type of mount";
    if (wrong) {
        err_set(err, ERR_INVALID_ARGUMENT, "%s", wrong);
        json_decref(mount);
        return NULL;
    }
    return mount;
}
