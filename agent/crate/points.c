#include "agent/crate/points.h"

#include <string.h>

#include "agent/crate/config.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define PATH_CHARS_MAX 4096
#define OPTIONS_MAX    16

static json_t *find(const json_t *points, const char *target)
{
    for (size_t i = 0; i < json_array_size(points); i++) {
        json_t *point = json_array_get(points, i);
        if (str_equal(config_str(point, "Destination"), target))
            return point;
    }
    return NULL;
}

// The path without doubled and trailing slashes; what has ".." in it is refused before.
static char *clean_path(const char *path)
{
    char *out = str_dup(path);
    size_t used = 0;
    for (size_t i = 0; path[i]; i++)
        if (path[i] != '/' || used == 0 || out[used - 1] != '/')
            out[used++] = path[i];
    while (used > 1 && out[used - 1] == '/')
        used--;
    out[used] = '\0';
    return out;
}

static int check_target(const char *target, struct err *err)
{
    if (target[0] != '/')
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "invalid volume specification: mount path must be absolute: '%.200s'",
                       target);
    if (target[strspn(target, "/")] == '\0')
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "invalid volume specification: destination can't be '/'");
    if (strlen(target) > PATH_CHARS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "the path of a mount is too long");
    return 0;
}

// Adds a point; a second one for the same place is an error, but for what the image asks for.
static int add(json_t *points, json_t *point, struct err *err)
{
    char *target = clean_path(config_str(point, "Destination"));
    json_object_set_new(point, "Destination", json_string(target));
    int rc = 0;
    if (find(points, target))
        rc = err_set(err, ERR_INVALID_ARGUMENT, "Duplicate mount point: %.200s", target);
    else if (json_array_size(points) >= POINTS_MAX)
        rc = err_set(err, ERR_INVALID_ARGUMENT, "more than %d mounts", POINTS_MAX);
    else
        json_array_append(points, point);
    free(target);
    json_decref(point);
    return rc;
}

static const char *const propagations[] = {"rprivate", "private", "rshared",
                                           "shared",   "rslave",  "slave"};

static bool is_propagation(const char *text)
{
    for (size_t i = 0; i < COUNT_OF(propagations); i++)
        if (str_equal(text, propagations[i]))
            return true;
    return false;
}

// "ro,z,rshared": into the point.
static int bind_options(const char *text, json_t *point, const char *whole, struct err *err)
{
    const char *rest = text;
    struct str_part part;
    unsigned count = 0;
    while (str_split(&rest, ',', &part)) {
        char word[32];
        if (part.len >= sizeof word || ++count > OPTIONS_MAX)
            return err_set(err, ERR_INVALID_ARGUMENT, "invalid mode: %.100s", text);
        str_format(word, sizeof word, "%.*s", (int)part.len, part.at);
        if (str_equal(word, "ro"))
            json_object_set_new(point, "RW", json_false());
        else if (str_equal(word, "nocopy"))
            json_object_set_new(point, "nocopy", json_true());
        else if (is_propagation(word))
            json_object_set_new(point, "Propagation", json_string(word));
        else if (!str_equal(word, "rw") && !str_equal(word, "z") && !str_equal(word, "Z") &&
                 !str_equal(word, "consistent") && !str_equal(word, "cached") &&
                 !str_equal(word, "delegated") && !str_empty(word))
            return err_set(err, ERR_INVALID_ARGUMENT, "invalid mode: %.100s", text);
    }
    (void)whole;
    return 0;
}

// "source:target[:options]": the source is a host path or a volume's name.
static int add_bind(json_t *points, const char *text, struct err *err)
{
    const char *rest = text;
    struct str_part parts[3] = {0};
    size_t count = 0;
    while (count < 3 && str_split(&rest, ':', &parts[count]))
        count++;
    if (rest || count < 2 || !parts[0].len || !parts[1].len)
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid volume specification: '%.200s'", text);
    char *source = str_ndup(parts[0].at, parts[0].len);
    char *target = str_ndup(parts[1].at, parts[1].len);
    char *options = count == 3 ? str_ndup(parts[2].at, parts[2].len) : str_dup("");
    bool bind = source[0] == '/';
    json_t *point = json_object();
    json_object_set_new(point, "Type", json_string(bind ? "bind" : "volume"));
    if (!bind) {
        json_object_set_new(point, "Name", json_string(source));
        json_object_set_new(point, "Driver", json_string("local"));
    }
    char *cleaned = clean_path(source);
    json_object_set_new(point, "Source", json_string(bind ? cleaned : ""));
    json_object_set_new(point, "Destination", json_string(target));
    json_object_set_new(point, "Mode", json_string(count == 3 ? options : bind ? "" : "z"));
    json_object_set_new(point, "RW", json_true());
    json_object_set_new(point, "Propagation", json_string(bind ? "rprivate" : ""));
    if (bind)
        json_object_set_new(point, "make", json_true());
    int rc = check_target(target, err);
    if (!rc)
        rc = bind_options(options, point, text, err);
    if (!rc)
        rc = add(points, point, err);
    else
        json_decref(point);
    free(source);
    free(target);
    free(options);
    free(cleaned);
    return rc;
}

static int add_tmpfs(json_t *points, const char *target, const char *options, bool readonly,
                     int64_t size, int64_t mode, struct err *err)
{
    int rc = check_target(target, err);
    if (rc)
        return rc;
    json_t *point = json_object();
    json_object_set_new(point, "Type", json_string("tmpfs"));
    json_object_set_new(point, "Source", json_string(""));
    json_object_set_new(point, "Destination", json_string(target));
    json_object_set_new(point, "Mode", json_string(""));
    json_object_set_new(point, "RW", json_boolean(!readonly));
    json_object_set_new(point, "Propagation", json_string(""));
    json_object_set_new(point, "options", json_string(options));
    json_object_set_new(point, "size", json_integer(size));
    json_object_set_new(point, "tmpfsmode", json_integer(mode));
    return add(points, point, err);
}

static int add_mount(json_t *points, const json_t *mount, struct err *err)
{
    const char *type = config_str(mount, "Type"), *target = config_str(mount, "Target");
    const char *source = config_str(mount, "Source");
    const json_t *bind = config_of(mount, "BindOptions"),
                 *volume = config_of(mount, "VolumeOptions");
    const json_t *tmpfs = config_of(mount, "TmpfsOptions");
    bool readonly = config_bool(mount, "ReadOnly");
    if (str_empty(target))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "invalid mount config for type \"%.50s\": field Target must not be empty",
                       type);
    int rc = check_target(target, err);
    if (rc)
        return rc;
    if (str_equal(type, "tmpfs"))
        return add_tmpfs(points, target, "", readonly, config_int(tmpfs, "SizeBytes"),
                         config_int(tmpfs, "Mode"), err);
    bool is_bind = str_equal(type, "bind");
    if (!is_bind && !str_equal(type, "volume"))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "invalid mount config for type \"%.50s\": mount type unknown", type);
    if (is_bind && source[0] != '/')
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid mount config for type \"bind\": %s",
                       str_empty(source) ? "field Source must not be empty"
                                         : "invalid mount path: mount path must be absolute");
    const char *driver = config_str(config_of(volume, "DriverConfig"), "Name");
    if (!str_empty(driver) && !str_equal(driver, "local"))
        return err_set(err, ERR_NOT_FOUND,
                       "error looking up volume plugin %.100s: plugin "
                       "\"%.100s\" not found",
                       driver, driver);
    if (!str_empty(config_str(volume, "Subpath")))
        return err_set(err, ERR_UNIMPLEMENTED, "the mount option Subpath is not supported by Skep");
    // A read-only bind is read-only in its topmost mount: that is ReadOnlyNonRecursive.
    if (config_bool(bind, "ReadOnlyForceRecursive"))
        return err_set(err, ERR_UNIMPLEMENTED,
                       "the mount option ReadOnlyForceRecursive is not supported by Skep");
    json_t *point = json_object();
    json_object_set_new(point, "Type", json_string(type));
    if (!is_bind) {
        json_object_set_new(point, "Name", json_string(source));
        json_object_set_new(point, "Driver", json_string("local"));
        if (json_object_size(config_of(volume, "Labels")) > 0)
            json_object_set(point, "labels", json_object_get(volume, "Labels"));
        const json_t *options = config_of(config_of(volume, "DriverConfig"), "Options");
        if (json_object_size(options) > 0)
            json_object_set_new(point, "options", json_deep_copy(options));
        if (config_bool(volume, "NoCopy"))
            json_object_set_new(point, "nocopy", json_true());
    }
    json_object_set_new(point, "Source", json_string(is_bind ? source : ""));
    json_object_set_new(point, "Destination", json_string(target));
    json_object_set_new(point, "Mode", json_string(is_bind ? "" : "z"));
    json_object_set_new(point, "RW", json_boolean(!readonly));
    const char *propagation = config_str(bind, "Propagation");
    if (!str_empty(propagation) && !is_propagation(propagation)) {
        json_decref(point);
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid propagation mode: %.50s", propagation);
    }
    json_object_set_new(point, "Propagation",
                        json_string(is_bind ? str_or(propagation, "rprivate") : ""));
    if (config_bool(bind, "NonRecursive"))
        json_object_set_new(point, "nonrecursive", json_true());
    if (config_bool(bind, "CreateMountpoint"))
        json_object_set_new(point, "make", json_true());
    return add(points, point, err);
}

json_t *points_make(const json_t *config, const json_t *host, struct err *err)
{
    json_t *points = json_array();
    const json_t *binds = config_of(host, "Binds"), *mounts = config_of(host, "Mounts");
    json_t *tmpfs = json_object_get(host, "Tmpfs");
    const char *key;
    json_t *value;
    int rc = 0;
    for (size_t i = 0; i < json_array_size(binds) && !rc; i++)
        rc = add_bind(points, json_string_value(json_array_get(binds, i)), err);
    for (size_t i = 0; i < json_array_size(mounts) && !rc; i++)
        rc = add_mount(points, json_array_get(mounts, i), err);
    json_object_foreach(tmpfs, key, value)
    {
        if (!rc)
            rc = add_tmpfs(points, key, str_or(json_string_value(value), ""), false, 0, 0, err);
        // HostConfig.Tmpfs shows it already.
        if (!rc)
            json_object_set_new(json_array_get(points, json_array_size(points) - 1), "unlisted",
                                json_true());
    }
    json_object_foreach(json_object_get(config, "Volumes"), key, value)
    {
        char *cleaned = clean_path(key);
        if (!rc)
            rc = check_target(key, err);
        if (!rc && !find(points, cleaned)) {
            json_t *point = json_pack("{ss ss ss ss ss ss sb ss}", "Type", "volume", "Name", "",
                                      "Source", "", "Destination", key, "Driver", "local", "Mode",
                                      "", "RW", 1, "Propagation", "");
            rc = add(points, point, err);
        }
        free(cleaned);
    }
    if (!rc)
        return points;
    json_decref(points);
    return NULL;
}

void points_add(json_t *points, const json_t *from, bool readonly)
{
    for (size_t i = 0; i < json_array_size(from); i++) {
        json_t *copy = json_copy(json_array_get(from, i));
        if (readonly)
            json_object_set_new(copy, "RW", json_false());
        if (!find(points, config_str(copy, "Destination")) && json_array_size(points) < POINTS_MAX)
            json_array_append(points, copy);
        json_decref(copy);
    }
}

void points_write(const json_t *points, struct json_out *out, const char *key)
{
    json_out_array(out, key);
    for (size_t i = 0; i < json_array_size(points); i++) {
        const json_t *point = json_array_get(points, i);
        if (config_bool(point, "unlisted"))
            continue;
        json_out_object(out, NULL);
        json_out_str(out, "Type", config_str(point, "Type"));
        if (!str_empty(config_str(point, "Name")))
            json_out_str(out, "Name", config_str(point, "Name"));
        json_out_str(out, "Source", config_str(point, "Source"));
        json_out_str(out, "Destination", config_str(point, "Destination"));
        if (!str_empty(config_str(point, "Driver")))
            json_out_str(out, "Driver", config_str(point, "Driver"));
        json_out_str(out, "Mode", config_str(point, "Mode"));
        json_out_bool(out, "RW", config_bool(point, "RW"));
        json_out_str(out, "Propagation", config_str(point, "Propagation"));
        json_out_end(out);
    }
    json_out_end(out);
}
