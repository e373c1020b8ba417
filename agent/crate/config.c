#include "agent/crate/config.h"

#include <string.h>
#include <strings.h>

#include "agent/crate/host_check.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

enum kind {
    TEXT,
    FLAG,
    FLAG_OR_NULL,
    NUMBER,
    NUMBER_OR_NULL,
    TEXTS,   // null when absent
    WORDS,   // the same, and one text alone is a list of one
    MAP,     // of texts
    SET,     // of names, each with an empty object
    OBJECT,  // of `rows`
    OBJECTS, // a list of such
    NUMBERS, // two of them: lines and columns
    LISTS,   // a map of names to such lists
};

enum {
    OMIT = 1,  // left out when empty
    EMPTY = 2, // lists and maps are [] and {} when absent
};

struct row {
    const char *name;
    enum kind kind;
    int flags;
    const struct row *rows;
    size_t count;
};

struct table {
    const char *go_type;
    const struct row *rows;
    size_t count;
};

#define SUB(rows_) rows_, sizeof(rows_) / sizeof((rows_)[0])

// ---- the tables --------------------------------------------------------------------------------

static const struct row health_rows[] = {
    {"Test", TEXTS, OMIT},         {"Interval", NUMBER, OMIT},      {"Timeout", NUMBER, OMIT},
    {"StartPeriod", NUMBER, OMIT}, {"StartInterval", NUMBER, OMIT}, {"Retries", NUMBER, OMIT},
};

static const struct row config_rows[] = {
    {"Hostname", TEXT},
    {"Domainname", TEXT},
    {"User", TEXT},
    {"AttachStdin", FLAG},
    {"AttachStdout", FLAG},
    {"AttachStderr", FLAG},
    {"ExposedPorts", SET, OMIT},
    {"Tty", FLAG},
    {"OpenStdin", FLAG},
    {"StdinOnce", FLAG},
    {"Env", TEXTS},
    {"Cmd", WORDS},
    {"Healthcheck", OBJECT, OMIT, SUB(health_rows)},
    {"ArgsEscaped", FLAG, OMIT},
    {"Image", TEXT},
    {"Volumes", SET},
    {"WorkingDir", TEXT},
    {"Entrypoint", WORDS},
    {"NetworkDisabled", FLAG, OMIT},
    {"MacAddress", TEXT, OMIT},
    {"OnBuild", TEXTS},
    {"Labels", MAP, EMPTY},
    {"StopSignal", TEXT, OMIT},
    {"StopTimeout", NUMBER_OR_NULL, OMIT},
    {"Shell", WORDS, OMIT},
};

static const struct row log_rows[] = {{"Type", TEXT}, {"Config", MAP, EMPTY}};
static const struct row port_rows[] = {{"HostIp", TEXT}, {"HostPort", TEXT}};
static const struct row restart_rows[] = {{"Name", TEXT}, {"MaximumRetryCount", NUMBER}};
static const struct row device_rows[] = {
    {"PathOnHost", TEXT}, {"PathInContainer", TEXT}, {"CgroupPermissions", TEXT}};
static const struct row request_rows[] = {
    {"Driver", TEXT}, {"Count", NUMBER}, {"DeviceIDs", TEXTS}, {"Options", MAP}};
static const struct row ulimit_rows[] = {{"Name", TEXT}, {"Hard", NUMBER}, {"Soft", NUMBER}};
static const struct row weight_rows[] = {{"Path", TEXT}, {"Weight", NUMBER}};
static const struct row rate_rows[] = {{"Path", TEXT}, {"Rate", NUMBER}};

static const struct row bind_rows[] = {
    {"Propagation", TEXT, OMIT},
    {"NonRecursive", FLAG, OMIT},
    {"CreateMountpoint", FLAG, OMIT},
    {"ReadOnlyNonRecursive", FLAG, OMIT},
    {"ReadOnlyForceRecursive", FLAG, OMIT},
};
static const struct row driver_rows[] = {{"Name", TEXT, OMIT}, {"Options", MAP, OMIT}};
static const struct row volume_rows[] = {{"NoCopy", FLAG, OMIT},
                                         {"Labels", MAP, OMIT},
                                         {"DriverConfig", OBJECT, OMIT, SUB(driver_rows)},
                                         {"Subpath", TEXT, OMIT}};
static const struct row tmpfs_rows[] = {{"SizeBytes", NUMBER, OMIT}, {"Mode", NUMBER, OMIT}};
static const struct row mount_rows[] = {
    {"Type", TEXT, OMIT},
    {"Source", TEXT, OMIT},
    {"Target", TEXT, OMIT},
    {"ReadOnly", FLAG, OMIT},
    {"Consistency", TEXT, OMIT},
    {"BindOptions", OBJECT, OMIT, SUB(bind_rows)},
    {"VolumeOptions", OBJECT, OMIT, SUB(volume_rows)},
    {"TmpfsOptions", OBJECT, OMIT, SUB(tmpfs_rows)},
};

static const struct row host_rows[] = {
    {"Binds", TEXTS},
    {"ContainerIDFile", TEXT},
    {"LogConfig", OBJECT, EMPTY, SUB(log_rows)},
    {"NetworkMode", TEXT},
    {"PortBindings", LISTS, 0, SUB(port_rows)},
    {"RestartPolicy", OBJECT, EMPTY, SUB(restart_rows)},
    {"AutoRemove", FLAG},
    {"VolumeDriver", TEXT},
    {"VolumesFrom", TEXTS},
    {"Mounts", OBJECTS, OMIT, SUB(mount_rows)},
    {"CapAdd", TEXTS},
    {"CapDrop", TEXTS},
    {"CgroupnsMode", TEXT},
    {"Dns", TEXTS},
    {"DnsOptions", TEXTS},
    {"DnsSearch", TEXTS},
    {"ExtraHosts", TEXTS},
    {"GroupAdd", TEXTS},
    {"IpcMode", TEXT},
    {"Cgroup", TEXT},
    {"Links", TEXTS},
    {"OomScoreAdj", NUMBER},
    {"PidMode", TEXT},
    {"Privileged", FLAG},
    {"PublishAllPorts", FLAG},
    {"ReadonlyRootfs", FLAG},
    {"SecurityOpt", TEXTS},
    {"StorageOpt", MAP, OMIT},
    {"Tmpfs", MAP, OMIT},
    {"UTSMode", TEXT},
    {"UsernsMode", TEXT},
    {"ShmSize", NUMBER},
    {"Sysctls", MAP, OMIT},
    {"Runtime", TEXT},
    {"ConsoleSize", NUMBERS},
    {"Isolation", TEXT},
    {"Annotations", MAP, OMIT},
    {"CpuShares", NUMBER},
    {"Memory", NUMBER},
    {"NanoCpus", NUMBER},
    {"CgroupParent", TEXT},
    {"BlkioWeight", NUMBER},
    {"BlkioWeightDevice", OBJECTS, 0, SUB(weight_rows)},
    {"BlkioDeviceReadBps", OBJECTS, 0, SUB(rate_rows)},
    {"BlkioDeviceWriteBps", OBJECTS, 0, SUB(rate_rows)},
    {"BlkioDeviceReadIOps", OBJECTS, 0, SUB(rate_rows)},
    {"BlkioDeviceWriteIOps", OBJECTS, 0, SUB(rate_rows)},
    {"CpuPeriod", NUMBER},
    {"CpuQuota", NUMBER},
    {"CpuRealtimePeriod", NUMBER},
    {"CpuRealtimeRuntime", NUMBER},
    {"CpusetCpus", TEXT},
    {"CpusetMems", TEXT},
    {"Devices", OBJECTS, 0, SUB(device_rows)},
    {"DeviceCgroupRules", TEXTS},
    {"DeviceRequests", OBJECTS, 0, SUB(request_rows)},
    {"KernelMemory", NUMBER, OMIT},
    {"MemoryReservation", NUMBER},
    {"MemorySwap", NUMBER},
    {"MemorySwappiness", NUMBER_OR_NULL},
    {"OomKillDisable", FLAG_OR_NULL},
    {"PidsLimit", NUMBER_OR_NULL},
    {"Ulimits", OBJECTS, 0, SUB(ulimit_rows)},
    {"CpuCount", NUMBER},
    {"CpuPercent", NUMBER},
    {"IOMaximumIOps", NUMBER},
    {"IOMaximumBandwidth", NUMBER},
    {"Init", FLAG_OR_NULL, OMIT},
    {"MaskedPaths", TEXTS},
    {"ReadonlyPaths", TEXTS},
};

static const struct row exec_rows[] = {
    {"User", TEXT},         {"Privileged", FLAG},   {"Tty", FLAG},    {"AttachStdin", FLAG},
    {"AttachStderr", FLAG}, {"AttachStdout", FLAG}, {"Detach", FLAG}, {"DetachKeys", TEXT},
    {"Env", TEXTS},         {"WorkingDir", TEXT},   {"Cmd", TEXTS},
};

static const struct table config_table = {"ContainerConfigWrapper", SUB(config_rows)};
static const struct table host_table = {"HostConfig", SUB(host_rows)};
static const struct table exec_table = {"ExecConfig", SUB(exec_rows)};

// ---- reading -----------------------------------------------------------------------------------

const json_t *config_member(const json_t *object, const char *name)
{
    const char *key;
    json_t *value, *exact = json_object_get(object, name);
    if (exact)
        return json_is_null(exact) ? NULL : exact;
    // jansson's walk takes no const; nothing is changed by it.
    json_object_foreach((json_t *)(uintptr_t)object, key,
                        value) if (strcasecmp(key, name) == 0) return json_is_null(value)
        ? NULL
        : value;
    return NULL;
}

const char *config_go_kind(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "bool";
    case JSON_NULL:
        break;
    }
    return "null";
}

static const char *const go_types[] = {
    [TEXT] = "string",
    [FLAG] = "bool",
    [FLAG_OR_NULL] = "bool",
    [NUMBER] = "int64",
    [NUMBER_OR_NULL] = "int64",
    [TEXTS] = "[]string",
    [WORDS] = "strslice.StrSlice",
    [MAP] = "map[string]string",
    [SET] = "map[string]struct {}",
    [OBJECT] = "object",
    [OBJECTS] = "[]object",
    [LISTS] = "map[string][]object",
};

static json_t *wrong(const json_t *value, const char *go, const struct row *row, const char *type,
                     struct err *err)
{
    err_set(err, ERR_INVALID_ARGUMENT,
            "json: cannot unmarshal %s into Go struct field %s.%s of type %s",
            config_go_kind(value), go, row->name, type);
    return NULL;
}

static json_t *read_object(const json_t *object, const char *go, const struct row *rows,
                           size_t count, struct err *err);

static json_t *read_texts(const json_t *value, const char *go, const struct row *row,
                          struct err *err)
{
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        if (!json_is_string(item) && !json_is_null(item)) {
            json_decref(list);
            return wrong(item, go, row, "string", err);
        }
        json_array_append_new(list, json_string(str_or(json_string_value(item), "")));
    }
    return list;
}

static json_t *read_objects(const json_t *value, const char *go, const struct row *row,
                            struct err *err)
{
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        json_t *made = json_is_object(item)
                           ? read_object(item, row->name, row->rows, row->count, err)
                           : wrong(item, go, row, "object", err);
        if (!made) {
            json_decref(list);
            return NULL;
        }
        json_array_append_new(list, made);
    }
    return list;
}

static json_t *read_map(const json_t *value, const char *go, const struct row *row, struct err *err)
{
    json_t *map = json_object();
    const char *key;
    json_t *item;
    json_object_foreach((json_t *)(uintptr_t)value, key, item)
    {
        json_t *made = NULL;
        if (row->kind == SET)
            made = json_is_object(item) || json_is_null(item)
                       ? json_object()
                       : wrong(item, go, row, "struct {}", err);
        else if (row->kind == LISTS)
            made = json_is_array(item)  ? read_objects(item, go, row, err)
                   : json_is_null(item) ? json_array()
                                        : wrong(item, go, row, "array", err);
        else
            made = json_is_string(item) ? json_string(json_string_value(item))
                                        : wrong(item, go, row, "string", err);
        if (!made) {
            json_decref(map);
            return NULL;
        }
        json_object_set_new(map, key, made);
    }
    return map;
}

static json_t *read_value(const json_t *value, const char *go, const struct row *row,
                          struct err *err)
{
    switch (row->kind) {
    case TEXT:
        return json_is_string(value) ? json_string(json_string_value(value))
                                     : wrong(value, go, row, go_types[row->kind], err);
    case FLAG:
    case FLAG_OR_NULL:
        return json_is_boolean(value) ? json_boolean(json_is_true(value))
                                      : wrong(value, go, row, go_types[row->kind], err);
    case NUMBER:
    case NUMBER_OR_NULL:
        return json_is_integer(value) ? json_integer(json_integer_value(value))
                                      : wrong(value, go, row, go_types[row->kind], err);
    case WORDS:
        if (json_is_string(value))
            return json_pack("[s]", json_string_value(value));
        return json_is_array(value) ? read_texts(value, go, row, err)
                                    : wrong(value, go, row, go_types[row->kind], err);
    case TEXTS:
        return json_is_array(value) ? read_texts(value, go, row, err)
                                    : wrong(value, go, row, go_types[row->kind], err);
    case MAP:
    case SET:
    case LISTS:
        return json_is_object(value) ? read_map(value, go, row, err)
                                     : wrong(value, go, row, go_types[row->kind], err);
    case OBJECT:
        return json_is_object(value) ? read_object(value, row->name, row->rows, row->count, err)
                                     : wrong(value, go, row, go_types[row->kind], err);
    case NUMBERS:
        return json_array_size(value) == 2
                   ? json_pack("[II]", json_integer_value(json_array_get(value, 0)),
                               json_integer_value(json_array_get(value, 1)))
                   : json_pack("[ii]", 0, 0);
    case OBJECTS:
        return json_is_array(value) ? read_objects(value, go, row, err)
                                    : wrong(value, go, row, go_types[row->kind], err);
    }
    UNREACHABLE("a kind of row");
}

static json_t *absent(const struct row *row)
{
    switch (row->kind) {
    case TEXT:
        return json_string("");
    case FLAG:
        return json_false();
    case NUMBER:
        return json_integer(0);
    case TEXTS:
    case OBJECTS:
        return row->flags & EMPTY ? json_array() : json_null();
    case MAP:
    case SET:
    case LISTS:
        return row->flags & EMPTY ? json_object() : json_null();
    case OBJECT:
        return row->flags & EMPTY ? read_object(NULL, "", row->rows, row->count, NULL)
                                  : json_null();
    case NUMBERS:
        return json_pack("[ii]", 0, 0);
    case WORDS:
    case FLAG_OR_NULL:
    case NUMBER_OR_NULL:
        break;
    }
    return json_null();
}

static bool is_empty(const json_t *value)
{
    return json_is_null(value) || json_is_false(value) ||
           (json_is_string(value) && !json_string_length(value)) ||
           (json_is_integer(value) && !json_integer_value(value)) ||
           (json_is_array(value) && !json_array_size(value)) ||
           (json_is_object(value) && !json_object_size(value));
}

static json_t *read_object(const json_t *object, const char *go, const struct row *rows,
                           size_t count, struct err *err)
{
    json_t *made = json_object();
    for (size_t i = 0; i < count; i++) {
        const json_t *value = object ? config_member(object, rows[i].name) : NULL;
        json_t *read = value ? read_value(value, go, &rows[i], err) : absent(&rows[i]);
        if (!read) {
            json_decref(made);
            return NULL;
        }
        // What may be null says something with its zero.
        bool pointer = rows[i].kind == FLAG_OR_NULL || rows[i].kind == NUMBER_OR_NULL ||
                       rows[i].kind == OBJECT;
        if ((rows[i].flags & OMIT) && (pointer ? json_is_null(read) : is_empty(read)))
            json_decref(read);
        else
            json_object_set_new(made, rows[i].name, read);
    }
    return made;
}

static json_t *read_table(const json_t *object, const struct table *table, struct err *err)
{
    if (object && !json_is_object(object)) {
        err_set(err, ERR_INVALID_ARGUMENT, "json: cannot unmarshal %s into Go value of type %s",
                config_go_kind(object), table->go_type);
        return NULL;
    }
    return read_object(object, table->go_type, table->rows, table->count, err);
}

const char *config_name(bool host, size_t index)
{
    const struct table *table = host ? &host_table : &config_table;
    return index < table->count ? table->rows[index].name : NULL;
}

bool config_given(const json_t *body)
{
    for (size_t i = 0; i < COUNT_OF(config_rows); i++)
        if (config_member(body, config_rows[i].name))
            return true;
    return false;
}

json_t *config_read(const json_t *object, struct err *err)
{
    return read_table(object, &config_table, err);
}

json_t *host_config_read(const json_t *object, struct err *err)
{
    return read_table(object, &host_table, err);
}

json_t *exec_config_read(const json_t *object, struct err *err)
{
    return read_table(object, &exec_table, err);
}

// ---- merging -----------------------------------------------------------------------------------

static void merge_words(json_t *config, const char *key, const char **words, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(words[i]));
    json_object_set_new(config, key, list);
}

static bool has_variable(const json_t *env, const char *entry)
{
    size_t length = strcspn(entry, "=");
    for (size_t i = 0; i < json_array_size(env); i++) {
        const char *have = json_string_value(json_array_get(env, i));
        if (strncmp(have, entry, length) == 0 && (have[length] == '=' || !have[length]))
            return true;
    }
    return false;
}

static void merge_set(json_t *config, const char *key, const char **names, size_t count)
{
    if (!count)
        return;
    if (!json_is_object(json_object_get(config, key)))
        json_object_set_new(config, key, json_object());
    json_t *set = json_object_get(config, key);
    for (size_t i = 0; i < count; i++)
        if (!json_object_get(set, names[i]))
            json_object_set_new(set, names[i], json_object());
}

static void merge_health(json_t *config, const struct image_health *health)
{
    json_t *own = json_object_get(config, "Healthcheck");
    if (!health->test_count)
        return;
    if (!own) {
        json_object_set_new(config, "Healthcheck", json_object());
        own = json_object_get(config, "Healthcheck");
    }
    const struct {
        const char *key;
        int64_t value;
    } numbers[] = {
        {"Interval", health->interval_ns},
        {"Timeout", health->timeout_ns},
        {"StartPeriod", health->start_period_ns},
        {"StartInterval", health->start_interval_ns},
        {"Retries", health->retries},
    };
    if (!json_array_size(json_object_get(own, "Test")))
        merge_words(own, "Test", health->test, health->test_count);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        if (!json_integer_value(json_object_get(own, numbers[i].key)) && numbers[i].value)
            json_object_set_new(own, numbers[i].key, json_integer(numbers[i].value));
}

void config_merge_image(json_t *config, const struct image_config *image)
{
    json_t *env = json_object_get(config, "Env");
    bool own_entrypoint = config_of(config, "Entrypoint") != NULL;
    bool own_cmd = json_array_size(config_of(config, "Cmd")) > 0;
    if (!json_is_array(env) && image->env_count) {
        json_object_set_new(config, "Env", json_array());
        env = json_object_get(config, "Env");
    }
    for (size_t i = 0; i < image->env_count; i++)
        if (!has_variable(env, image->env[i]))
            json_array_append_new(env, json_string(image->env[i]));
    // An entrypoint of one's own makes the image's command meaningless.
    if (!own_cmd && !own_entrypoint && image->cmd_count)
        merge_words(config, "Cmd", image->cmd, image->cmd_count);
    if (!own_entrypoint && image->entrypoint_count)
        merge_words(config, "Entrypoint", image->entrypoint, image->entrypoint_count);
    if (str_empty(config_str(config, "User")) && !str_empty(image->user))
        json_object_set_new(config, "User", json_string(image->user));
    if (str_empty(config_str(config, "WorkingDir")) && !str_empty(image->working_dir))
        json_object_set_new(config, "WorkingDir", json_string(image->working_dir));
    if (str_empty(config_str(config, "StopSignal")) && !str_empty(image->stop_signal))
        json_object_set_new(config, "StopSignal", json_string(image->stop_signal));
    json_t *labels = json_object_get(config, "Labels");
    for (size_t i = 0; i < image->labels_count; i++)
        if (!json_object_get(labels, image->labels[i].key))
            json_object_set_new(labels, image->labels[i].key, json_string(image->labels[i].value));
    merge_set(config, "Volumes", image->volumes, image->volumes_count);
    merge_set(config, "ExposedPorts", image->ports, image->ports_count);
    merge_health(config, &image->health);
    // `--entrypoint ""`: the image's is taken away, and there is none.
    const json_t *words = config_of(config, "Entrypoint");
    if (json_array_size(words) == 1 && str_empty(json_string_value(json_array_get(words, 0))))
        json_object_set_new(config, "Entrypoint", json_null());
    if (image->shell_count && !config_of(config, "Shell"))
        merge_words(config, "Shell", image->shell, image->shell_count);
}

// ---- settling ----------------------------------------------------------------------------------

#define MEMORY_BYTES_MIN INT64_C(6291456)

static bool one_of(const char *text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(text, words[i]))
            return true;
    return false;
}

// Modes are one of some words, or "container:<name>" where that is allowed.
static int check_mode(json_t *host, const char *key, const char *what, const char *const *words,
                      size_t count, bool container, struct err *err)
{
    const char *mode = config_str(host, key);
    if (one_of(mode, words, count) ||
        (container && str_starts(mode, "container:") && mode[strlen("container:")]))
        return 0;
    return err_set(err, ERR_INVALID_ARGUMENT, "invalid %s mode: %.100s", what, mode);
}

static int check_restart(const json_t *host, struct err *err)
{
    static const char *const names[] = {"", "no", "always", "unless-stopped", "on-failure"};
    const json_t *policy = config_of(host, "RestartPolicy");
    const char *name = config_str(policy, "Name");
    int64_t tries = config_int(policy, "MaximumRetryCount");
    if (!one_of(name, names, COUNT_OF(names)))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid restart policy '%.100s'", name);
    if (tries < 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "maximum retry count cannot be negative");
    if (tries && !str_equal(name, "on-failure"))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "maximum retry count cannot be used with restart policy '%s'", name);
    if (config_bool(host, "AutoRemove") && !str_empty(name) && !str_equal(name, "no"))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "can't create 'AutoRemove' container with restart policy");
    return 0;
}

const char *const host_config_runtimes[] = {"crun", "runc", "io.containerd.runc.v2",
                                            "io.containerd.runtime.v1.linux", NULL};

static int check_runtime(const char *name, struct err *err)
{
    for (const char *const *known = host_config_runtimes; *known; known++)
        if (str_empty(name) || str_equal(name, *known))
            return 0;
    return err_set(err, ERR_INVALID_ARGUMENT, "Unknown runtime specified %.100s", name);
}

// What this engine does not have is refused by name, where it was asked for.
static int check_unsupported(const json_t *host, struct err *err)
{
    static const char *const lists[] = {
        "Links",
        "BlkioWeightDevice",
        "BlkioDeviceReadBps",
        "BlkioDeviceWriteBps",
        "BlkioDeviceReadIOps",
        "BlkioDeviceWriteIOps",
        "DeviceRequests",
    };
    static const char *const numbers[] = {
        "CpuRealtimePeriod", "CpuRealtimeRuntime", "CpuCount",    "CpuPercent",
        "IOMaximumIOps",     "IOMaximumBandwidth", "KernelMemory"};
    static const char *const texts[] = {"Cgroup", "CgroupParent"};
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        if (json_array_size(config_of(host, lists[i])) > 0)
            return err_set(err, ERR_UNIMPLEMENTED, "the option %s is not supported by Skep",
                           lists[i]);
    for (size_t i = 0; i < COUNT_OF(numbers); i++)
        if (config_int(host, numbers[i]))
            return err_set(err, ERR_UNIMPLEMENTED, "the option %s is not supported by Skep",
                           numbers[i]);
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        if (!str_empty(config_str(host, texts[i])))
            return err_set(err, ERR_UNIMPLEMENTED, "the option %s is not supported by Skep",
                           texts[i]);
    const char *isolation = config_str(host, "Isolation");
    if (!str_empty(isolation) && !str_equal_case(isolation, "default"))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid isolation '%.50s' on linux", isolation);
    if (!str_empty(config_str(host, "VolumeDriver")) &&
        !str_equal(config_str(host, "VolumeDriver"), "local"))
        return err_set(err, ERR_NOT_FOUND,
                       "error looking up volume plugin %.100s: plugin \"%.100s\" "
                       "not found",
                       config_str(host, "VolumeDriver"), config_str(host, "VolumeDriver"));
    if (!str_empty(config_str(host, "UsernsMode")) &&
        !str_equal(config_str(host, "UsernsMode"), "host"))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid userns mode: %.100s",
                       config_str(host, "UsernsMode"));
    if (json_object_size(config_of(host, "StorageOpt")) > 0)
        return err_set(err, ERR_UNIMPLEMENTED, "the option StorageOpt is not supported by Skep");
    return 0;
}

// What can be changed while a container runs, and its restart policy.
static const char *const changeable[] = {
    "CpuShares",  "Memory",     "NanoCpus",   "BlkioWeight",       "CpuPeriod", "CpuQuota",
    "CpusetCpus", "CpusetMems", "MemorySwap", "MemoryReservation", "PidsLimit",
};

int host_config_change(json_t *host, const json_t *object, struct err *err)
{
    json_t *wanted = host_config_read(object, err);
    int rc = wanted ? check_unsupported(wanted, err) : -ERR_INVALID_ARGUMENT;
    if (rc) {
        json_decref(wanted);
        return rc;
    }
    for (size_t i = 0; i < COUNT_OF(changeable); i++) {
        json_t *value = json_object_get(wanted, changeable[i]);
        if (value && !is_empty(value))
            json_object_set(host, changeable[i], value);
    }
    const json_t *restart = json_object_get(wanted, "RestartPolicy");
    if (!str_empty(config_str(restart, "Name")))
        json_object_set(host, "RestartPolicy", json_object_get(wanted, "RestartPolicy"));
    json_decref(wanted);
    return 0;
}

static int settle_memory(json_t *host, struct err *err)
{
    int64_t memory = config_int(host, "Memory"), swap = config_int(host, "MemorySwap");
    int64_t reservation = config_int(host, "MemoryReservation");
    int64_t swappiness = config_int(host, "MemorySwappiness");
    if (memory && memory < MEMORY_BYTES_MIN)
        return err_set(err, ERR_INVALID_ARGUMENT, "Minimum memory limit allowed is 6MB");
    if (memory && swap > 0 && swap < memory)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "Minimum memoryswap limit should be larger than memory limit, see usage");
    if (!memory && swap > 0)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "You should always set the Memory limit when using Memoryswap limit, see "
                       "usage");
    if (reservation && reservation < MEMORY_BYTES_MIN)
        return err_set(err, ERR_INVALID_ARGUMENT, "Minimum memory reservation allowed is 6MB");
    if (memory && reservation > memory)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "Minimum memory limit can not be less than memory reservation limit, see "
                       "usage");
    if (swappiness < -1 || swappiness > 100)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "Invalid value: %lld, valid memory swappiness range is 0-100",
                       (long long)swappiness);
    if (swappiness == -1)
        json_object_set_new(host, "MemorySwappiness", json_null());
    if (memory && !swap)
        json_object_set_new(host, "MemorySwap",
                            json_integer(memory > INT64_MAX / 2 ? -1 : memory * 2));
    return 0;
}

static void default_text(json_t *host, const char *key, const char *text)
{
    if (str_empty(config_str(host, key)))
        json_object_set_new(host, key, json_string(text));
}

// What the node's operator says of logs goes in where the container says nothing.
static int settle_log(json_t *host, const struct container_defaults *defaults, struct err *err)
{
    json_t *log = json_object_get(host, "LogConfig");
    bool with;
    const char *type = container_defaults_log(defaults, config_str(log, "Type"), &with);
    default_text(log, "Type", type);
    int rc = container_log_driver_check(type, err);
    if (!json_is_object(json_object_get(log, "Config")))
        json_object_set_new(log, "Config", json_object());
    json_t *options = json_object_get(log, "Config");
    for (size_t i = 0; with && i < defaults->log_options_count; i++)
        if (!json_object_get(options, defaults->log_options[i].key))
            json_object_set_new(options, defaults->log_options[i].key,
                                json_string(defaults->log_options[i].value));
    const char *key;
    json_t *value;
    json_object_foreach(options, key, value)
    {
        if (!rc)
            rc = container_log_option_check(type, key, err);
    }
    return rc;
}

static int check_hostname(const char *name, struct err *err)
{
    if (strlen(name) > 64)
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid hostname: %.100s", name);
    return 0;
}

int host_config_settle(json_t *config, json_t *host, const struct container_defaults *defaults,
                       struct err *err)
{
    static const char *const ipc[] = {"", "none", "private", "shareable", "host"};
    static const char *const simple[] = {"", "host"};
    static const char *const cgroup[] = {"", "private", "host"};
    int rc = check_hostname(config_str(config, "Hostname"), err);
    if (!rc)
        rc = check_restart(host, err);
    if (!rc)
        rc = check_unsupported(host, err);
    if (!rc)
        rc = check_runtime(config_str(host, "Runtime"), err);
    if (!rc)
        rc = check_mode(host, "IpcMode", "IPC", ipc, COUNT_OF(ipc), true, err);
    if (!rc)
        rc = check_mode(host, "PidMode", "PID", simple, COUNT_OF(simple), true, err);
    if (!rc)
        rc = check_mode(host, "UTSMode", "UTS", simple, COUNT_OF(simple), false, err);
    if (!rc)
        rc = check_mode(host, "CgroupnsMode", "cgroup namespace", cgroup, COUNT_OF(cgroup), false,
                        err);
    if (!rc)
        rc = host_check(config, host, defaults->cpus, err);
    if (!rc)
        rc = settle_memory(host, err);
    if (!rc)
        rc = settle_log(host, defaults, err);
    if (rc)
        return rc;
    if (config_int(host, "NanoCpus") &&
        (config_int(host, "CpuQuota") || config_int(host, "CpuPeriod")))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "Conflicting options: Nano CPUs and CPU %s cannot both be set",
                       config_int(host, "CpuPeriod") ? "Period" : "Quota");
    if (config_int(host, "ShmSize") < 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "SHM size can not be less than 0");
    if (!config_int(host, "ShmSize"))
        json_object_set_new(
            host, "ShmSize",
            json_integer(defaults->shm_bytes ? (json_int_t)defaults->shm_bytes : OCI_SHM_BYTES));
    default_text(host, "NetworkMode", config_bool(config, "NetworkDisabled") ? "none" : "default");
    default_text(host, "IpcMode", defaults->ipc_shareable ? "shareable" : "private");
    default_text(host, "CgroupnsMode", defaults->cgroup_ns_host ? "host" : "private");
    if (json_is_null(json_object_get(host, "OomKillDisable")))
        json_object_set_new(host, "OomKillDisable", json_false());
    // `docker run` without a limit sends zero; no limit is null.
    if (config_int(host, "PidsLimit") <= 0)
        json_object_set_new(host, "PidsLimit", json_null());
    return 0;
}

// ---- reading what is settled --------------------------------------------------------------------

const char *config_str(const json_t *object, const char *name)
{
    return str_or(json_string_value(json_object_get(object, name)), "");
}

bool config_bool(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

int64_t config_int(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

const json_t *config_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_object(value) || json_is_array(value) ? value : NULL;
}
