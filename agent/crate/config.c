#include "agent/crate/config.h"

#include <string.h>
#include <strings.h>

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
    json_t *value, *found = json_object_get(object, name);
    if (!found) {
        // jansson's walk takes no const; nothing is changed by it.
        json_object_foreach((json_t *)(uintptr_t)object, key, value)
        {
            // Most members that a body may have are not in it, and most keys begin otherwise.
            if (((key[0] ^ name[0]) & ~0x20) == 0 && strcasecmp(key, name) == 0)
                found = value;
        }
    }
    return json_is_null(found) ? NULL : found;
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

bool config_is_empty(const json_t *value)
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
        if ((rows[i].flags & OMIT) && (pointer ? json_is_null(read) : config_is_empty(read)))
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
