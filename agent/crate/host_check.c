#include "agent/crate/host_check.h"

#include <stdlib.h>
#include <string.h>

#include "agent/crate/config.h"
#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/base/str.h"

#define CPU_PERIOD_MIN_US  1000
#define CPU_PERIOD_MAX_US  1000000
#define NANO_PER_CPU       INT64_C(1000000000)
#define OOM_SCORE_MAX      1000
#define HEALTH_INTERVAL_NS INT64_C(1000000) // the least
#define CPUSET_NUMBER_MAX  8191

// ---- processors --------------------------------------------------------------------------------

// "0-2,7": false when it cannot be read; the greatest number of it goes to *last.
static bool read_set(const char *text, uint64_t *last)
{
    struct str_part part;
    char range[32];
    uint64_t from, to;
    *last = 0;
    while (str_split(&text, ',', &part)) {
        if (!part.len || part.len >= sizeof range)
            return false;
        str_format(range, sizeof range, "%.*s", (int)part.len, part.at);
        char *dash = strchr(range, '-');
        if (dash)
            *dash = '\0';
        if (!str_to_u64(range, CPUSET_NUMBER_MAX, &from) ||
            !str_to_u64(dash ? dash + 1 : range, CPUSET_NUMBER_MAX, &to) || from > to)
            return false;
        *last = to > *last ? to : *last;
    }
    return true;
}

static int check_sets(const json_t *host, unsigned cpus, struct err *err)
{
    const char *processors = config_str(host, "CpusetCpus"),
               *memory = config_str(host, "CpusetMems");
    uint64_t last;
    if (!str_empty(processors) && !read_set(processors, &last))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "Invalid value %.100s for cpuset cpus: invalid format: %.100s", processors,
                       processors);
    if (!str_empty(processors) && cpus && last >= cpus)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "Requested CPUs are not available - requested %.100s, available: 0-%u",
                       processors, cpus - 1);
    if (!str_empty(memory) && !read_set(memory, &last))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "Invalid value %.100s for cpuset mems: invalid format: %.100s", memory,
                       memory);
    return 0;
}

int host_check_cpu(const json_t *host, unsigned cpus, struct err *err)
{
    int64_t nano = config_int(host, "NanoCpus"), period = config_int(host, "CpuPeriod");
    int64_t quota = config_int(host, "CpuQuota");
    if (nano < 0 || (cpus && nano > cpus * NANO_PER_CPU))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "Range of CPUs is from 0.01 to %u.00, as there are only %u CPUs available",
                       cpus, cpus);
    if (period && (period < CPU_PERIOD_MIN_US || period > CPU_PERIOD_MAX_US))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s "
                       "(i.e. 1000000)");
    if (quota > 0 && quota < CPU_PERIOD_MIN_US)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "CPU cfs quota can not be less than 1ms (i.e. 1000)");
    return check_sets(host, cpus, err);
}

// ---- ports -------------------------------------------------------------------------------------

// "80" or "80-90".
static bool is_port(const char *text)
{
    char first[8];
    const char *dash = strchr(text, '-');
    uint64_t from, to;
    if (!dash)
        return str_to_u64(text, UINT16_MAX, &from);
    return str_format(first, sizeof first, "%.*s", (int)(dash - text), text) &&
           str_to_u64(first, UINT16_MAX, &from) && str_to_u64(dash + 1, UINT16_MAX, &to) &&
           from <= to;
}

static int check_port(const char *text, bool needed, struct err *err)
{
    char port[16];
    // What stands behind the slash is the protocol.
    bool whole = str_format(port, sizeof port, "%.*s", (int)strcspn(text, "/"), text);
    if (whole && (is_port(port) || (!needed && !*port)))
        return 0;
    return err_set(err, ERR_INVALID_ARGUMENT, "invalid port specification: \"%.50s\"",
                   whole ? port : text);
}

static int check_ports(const json_t *host, struct err *err)
{
    const char *key;
    json_t *places;
    json_object_foreach((json_t *)(uintptr_t)config_of(host, "PortBindings"), key, places)
    {
        int rc = check_port(key, true, err);
        for (size_t i = 0; i < json_array_size(places) && !rc; i++)
            rc = check_port(config_str(json_array_get(places, i), "HostPort"), false, err);
        if (rc)
            return rc;
    }
    return 0;
}

// ---- the rest ----------------------------------------------------------------------------------

static int check_health(const json_t *config, struct err *err)
{
    static const char *const times[] = {"Interval", "Timeout", "StartPeriod", "StartInterval"};
    const json_t *health = config_of(config, "Healthcheck");
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        int64_t ns = config_int(health, times[i]);
        if (ns && ns < HEALTH_INTERVAL_NS)
            return err_set(err, ERR_INVALID_ARGUMENT, "%s in Healthcheck cannot be less than 1ms",
                           times[i]);
    }
    if (config_int(health, "Retries") < 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "Retries in Healthcheck cannot be negative");
    return 0;
}

// What belongs to another kind of mount.
static int check_mount(const json_t *mount, struct err *err)
{
    static const struct {
        const char *type, *member;
    } foreign[] = {
        {"bind", "VolumeOptions"},  {"bind", "TmpfsOptions"}, {"volume", "BindOptions"},
        {"volume", "TmpfsOptions"}, {"tmpfs", "BindOptions"}, {"tmpfs", "VolumeOptions"},
    };
    const char *type = config_str(mount, "Type"), *extra = NULL;
    for (size_t i = 0; i < COUNT_OF(foreign) && !extra; i++)
        if (str_equal(type, foreign[i].type) && config_of(mount, foreign[i].member))
            extra = foreign[i].member;
    if (!extra && str_equal(type, "tmpfs") && !str_empty(config_str(mount, "Source")))
        extra = "Source";
    if (!extra)
        return 0;
    return err_set(err, ERR_INVALID_ARGUMENT,
                   "invalid mount config for type \"%s\": field %s must not be specified", type,
                   extra);
}

int host_check(const json_t *config, const json_t *host, unsigned cpus, struct err *err)
{
    const json_t *mounts = config_of(host, "Mounts");
    int64_t score = config_int(host, "OomScoreAdj");
    int rc = host_check_cpu(host, cpus, err);
    if (!rc)
        rc = check_ports(host, err);
    if (!rc)
        rc = check_health(config, err);
    for (size_t i = 0; i < json_array_size(mounts) && !rc; i++)
        rc = check_mount(json_array_get(mounts, i), err);
    if (!rc && (score < -OOM_SCORE_MAX || score > OOM_SCORE_MAX))
        rc = err_set(err, ERR_INVALID_ARGUMENT,
                     "Invalid value %lld, range for oom score adj is [-1000, 1000]",
                     (long long)score);
    if (!rc && str_equal(config_str(host, "NetworkMode"), "container:"))
        rc = err_set(err, ERR_INVALID_ARGUMENT,
                     "Invalid network mode: invalid container format container:<name|id>");
    return rc;
}

int host_check_sharing(const json_t *config, const json_t *host, struct err *err)
{
    const char *mode = config_str(host, "NetworkMode");
    bool shares = str_starts(mode, "container:"), hosts = str_equal(mode, "host");
    bool publishes = json_object_size(config_of(host, "PortBindings")) > 0 ||
                     config_bool(host, "PublishAllPorts");
    const struct {
        bool clash;
        const char *what;
    } rows[] = {
        {shares && *config_str(config, "Hostname"), "hostname and the network mode"},
        {shares && json_array_size(config_of(host, "Dns")) > 0, "dns and the network mode"},
        {shares && json_array_size(config_of(host, "ExtraHosts")) > 0,
         "custom host-to-IP mapping and the network mode"},
        {(shares || hosts) && *config_str(config, "MacAddress"),
         "mac-address and the network mode"},
        {shares && publishes, "port publishing and the container type network mode"},
        {shares && json_object_size(config_of(config, "ExposedPorts")) > 0,
         "port exposing and the container type network mode"},
        {str_equal(config_str(host, "UTSMode"), "host") && *config_str(config, "Hostname"),
         "hostname and the UTS mode"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (rows[i].clash)
            return err_set(err, ERR_INVALID_ARGUMENT, "conflicting options: %s", rows[i].what);
    return 0;
}
