#include "agent/oci/bundle_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define PERIOD_US 100000

static void put_device_rule(struct json_out *out, bool allow, const char *type, int64_t major,
                            int64_t minor, const char *access)
{
    json_out_object(out, NULL);
    json_out_bool(out, "allow", allow);
    if (type)
        json_out_str(out, "type", type);
    if (major >= 0)
        json_out_int(out, "major", major);
    if (minor >= 0)
        json_out_int(out, "minor", minor);
    json_out_str(out, "access", access);
    json_out_end(out);
}

// "c 1:3 rwm", "a *:* m"; numbers may be "*".
static int put_user_rule(struct json_out *out, const char *rule, struct err *err)
{
    char type = 0;
    char major[16], minor[16], access[4];
    int end = 0;
    int got = sscanf(rule, "%c %15[0-9*]:%15[0-9*] %3[rwm]%n", &type, major, minor, access, &end);
    if (got != 4 || rule[end] || !strchr("abc", type))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid device cgroup rule: '%.100s'", rule);
    uint64_t numbers[2] = {UINT64_MAX, UINT64_MAX};
    const char *texts[2] = {major, minor};
    for (int i = 0; i < 2; i++)
        if (!str_equal(texts[i], "*") && !str_to_u64(texts[i], UINT32_MAX, &numbers[i]))
            return err_set(err, ERR_INVALID_ARGUMENT, "invalid device cgroup rule: '%.100s'", rule);
    char type_text[2] = {type, '\0'};
    put_device_rule(out, true, type_text, (int64_t)numbers[0], (int64_t)numbers[1], access);
    return 0;
}

static int put_device_rules(struct json_out *out, const struct oci_container *c,
                            const struct oci_host *host, struct err *err)
{
    // Making any node is allowed, using one is not, but for those that every container has.
    static const struct {
        int major;
        int minor;
    } usual[] = {{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 1}, {5, 2}, {136, -1}};
    json_out_array(out, "devices");
    if (c->privileged) {
        put_device_rule(out, true, NULL, -1, -1, "rwm");
        json_out_end(out);
        return 0;
    }
    put_device_rule(out, false, NULL, -1, -1, "rwm");
    put_device_rule(out, true, "c", -1, -1, "m");
    put_device_rule(out, true, "b", -1, -1, "m");
    for (size_t i = 0; i < COUNT_OF(usual); i++)
        put_device_rule(out, true, "c", usual[i].major, usual[i].minor, "rwm");
    for (size_t i = 0; i < c->devices_count; i++) {
        const struct oci_device_node *node = &host->device_nodes[i];
        char type[2] = {node->type, '\0'};
        put_device_rule(out, true, type, node->major, node->minor,
                        str_or(c->devices[i].access, "rwm"));
    }
    int rc = 0;
    for (size_t i = 0; i < c->device_rules.count && !rc; i++)
        rc = put_user_rule(out, c->device_rules.items[i], err);
    json_out_end(out);
    return rc;
}

void bundle_put_devices(struct json_out *out, const struct oci_container *c,
                        const struct oci_host *host)
{
    json_out_array(out, "devices");
    for (size_t i = 0; i < c->devices_count; i++) {
        const struct oci_device_node *node = &host->device_nodes[i];
        char type[2] = {node->type, '\0'};
        json_out_object(out, NULL);
        json_out_str(out, "path", str_or(c->devices[i].path, c->devices[i].host_path));
        json_out_str(out, "type", type);
        json_out_uint(out, "major", node->major);
        json_out_uint(out, "minor", node->minor);
        json_out_uint(out, "fileMode", node->mode & 0777);
        json_out_uint(out, "uid", node->uid);
        json_out_uint(out, "gid", node->gid);
        json_out_end(out);
    }
    json_out_end(out);
}

static void put_cpu(struct json_out *out, const struct oci_limits *limits)
{
    int64_t quota = limits->cpu_quota_us;
    uint64_t period = limits->cpu_period_us;
    if (limits->nano_cpus) {
        period = PERIOD_US;
        quota = limits->nano_cpus / (1000000000 / PERIOD_US);
        // The kernel takes no quota below a millisecond.
        quota = quota < 1000 ? 1000 : quota;
    }
    json_out_object(out, "cpu");
    if (limits->cpu_shares)
        json_out_uint(out, "shares", limits->cpu_shares);
    if (quota)
        json_out_int(out, "quota", quota);
    if (period)
        json_out_uint(out, "period", period);
    if (!str_empty(limits->cpuset_cpus))
        json_out_str(out, "cpus", limits->cpuset_cpus);
    if (!str_empty(limits->cpuset_mems))
        json_out_str(out, "mems", limits->cpuset_mems);
    json_out_end(out);
}

static void put_memory(struct json_out *out, const struct oci_limits *limits,
                       const struct oci_host *host)
{
    json_out_object(out, "memory");
    if (limits->memory_bytes)
        json_out_int(out, "limit", limits->memory_bytes);
    if (limits->memory_reservation_bytes)
        json_out_int(out, "reservation", limits->memory_reservation_bytes);
    int64_t swap = limits->memory_swap_bytes;
    if (!swap && limits->memory_bytes && limits->memory_bytes <= INT64_MAX / 2)
        swap = 2 * limits->memory_bytes;
    if (swap && host->has_swap_accounting)
        json_out_int(out, "swap", swap);
    if (limits->memory_swappiness > 0 && !host->cgroup_v2)
        json_out_int(out, "swappiness", limits->memory_swappiness);
    if (limits->oom_kill_disable && !host->cgroup_v2)
        json_out_bool(out, "disableOOMKiller", true);
    json_out_end(out);
}

static void put_limits(struct json_out *out, const struct oci_limits *limits,
                       const struct oci_host *host)
{
    put_cpu(out, limits);
    put_memory(out, limits, host);
    if (limits->pids_max > 0) {
        json_out_object(out, "pids");
        json_out_int(out, "limit", limits->pids_max);
        json_out_end(out);
    }
    if (limits->blkio_weight) {
        json_out_object(out, "blockIO");
        json_out_uint(out, "weight", limits->blkio_weight);
        json_out_end(out);
    }
}

void bundle_put_limits(struct json_out *out, const struct oci_limits *limits,
                       const struct oci_host *host)
{
    json_out_object(out, NULL);
    put_limits(out, limits, host);
    json_out_end(out);
}

int bundle_put_resources(struct json_out *out, const struct oci_container *c,
                         const struct oci_host *host, struct err *err)
{
    if (c->limits.oom_kill_disable && host->cgroup_v2)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "the OOM killer cannot be disabled with cgroup v2");
    json_out_object(out, "resources");
    int rc = put_device_rules(out, c, host, err);
    put_limits(out, &c->limits, host);
    json_out_end(out);
    return rc;
}
