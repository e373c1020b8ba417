#include "agent/crate/config_settle.h"

#include <string.h>

#include "agent/crate/config.h"
#include "agent/crate/host_check.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

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
        if (value && !config_is_empty(value))
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
