#include "agent/oci/bundle.h"

#include <ctype.h>
#include <string.h>

#include "agent/oci/apparmor.h"
#include "agent/oci/caps.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define PATH_CHARS_MAX 4095
// crun and the kernel want at least this much memory to start anything.
#define MEMORY_BYTES_MIN (6 << 20)

static int bad(struct err *err, const char *format, const char *text)
{
    char shown[128];
    str_copy(shown, sizeof shown, str_or(text, ""));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    return err_set(err, ERR_INVALID_ARGUMENT, format, shown);
#pragma GCC diagnostic pop
}

static bool id_ok(const char *id)
{
    if (str_empty(id) || strlen(id) > OCI_ID_CHARS_MAX || !isalnum((unsigned char)*id))
        return false;
    for (; *id; id++)
        if (!isalnum((unsigned char)*id) && !strchr("_.-", *id))
            return false;
    return true;
}

static bool absolute(const char *path)
{
    return path && path[0] == '/' && strlen(path) <= PATH_CHARS_MAX;
}

// Whether the path stays what it says: no ".." in it.
static bool plain(const char *path)
{
    struct str_part part;
    while (str_split(&path, '/', &part))
        if (str_part_is(part, ".."))
            return false;
    return true;
}

static bool hostname_ok(const char *name)
{
    if (strlen(name) > OCI_HOSTNAME_MAX)
        return false;
    for (const char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr("-._", *at))
            return false;
    return true;
}

static int check_identity(const struct oci_container *c, struct err *err)
{
    if (!id_ok(c->id))
        return bad(err, "invalid container id \"%s\"", c->id);
    if (!absolute(c->rootfs))
        return bad(err, "root file system \"%s\" is not an absolute path", c->rootfs);
    if (c->hostname && !hostname_ok(c->hostname))
        return bad(err, "invalid hostname \"%s\"", c->hostname);
    if (c->domainname && !hostname_ok(c->domainname))
        return bad(err, "invalid domain name \"%s\"", c->domainname);
    return 0;
}

static int check_process(const struct oci_container *c, struct err *err)
{
    if (!c->args.count || str_empty(c->args.items[0]))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "no command specified, by the service or by its image");
    if (c->args.count > OCI_ARGS_MAX || c->env.count > OCI_ARGS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "more than %d arguments or variables",
                       OCI_ARGS_MAX);
    for (size_t i = 0; i < c->env.count; i++)
        if (str_empty(c->env.items[i]) || c->env.items[i][0] == '=')
            return bad(err, "invalid environment variable \"%s\"", c->env.items[i]);
    if (c->cwd && !absolute(c->cwd))
        return bad(err, "the working directory \"%s\" is invalid, it needs to be an absolute path",
                   c->cwd);
    if (c->groups_count > OCI_GROUPS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "more than %d groups", OCI_GROUPS_MAX);
    if (!str_empty(c->apparmor_profile) && apparmor_check_name(c->apparmor_profile, err) != 0)
        return -ERR_INVALID_ARGUMENT;
    if (c->oom_score_adj_set && (c->oom_score_adj < -1000 || c->oom_score_adj > 1000))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "invalid OOM score %d: the range is -1000 to 1000", c->oom_score_adj);
    return 0;
}

static int check_target(const char *target, const char *what, struct err *err)
{
    if (!absolute(target) || !plain(target))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "invalid %s target \"%.100s\": it must be an "
                       "absolute path without \"..\"",
                       what, str_or(target, ""));
    if (target[strspn(target, "/")] == '\0')
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid %s target: it must not be \"/\"", what);
    return 0;
}

static int check_mounts(const struct oci_container *c, struct err *err)
{
    if (c->mounts_count > OCI_MOUNTS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "more than %d mounts", OCI_MOUNTS_MAX);
    if (c->files_count > OCI_FILES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "more than %d secrets and configs",
                       OCI_FILES_MAX);
    for (size_t i = 0; i < c->mounts_count; i++) {
        const struct oci_mount *mount = &c->mounts[i];
        int rc = check_target(mount->target, "mount", err);
        if (rc)
            return rc;
        if (mount->kind == OCI_MOUNT_BIND && !absolute(mount->source))
            return bad(err, "mount source \"%s\" is not an absolute path", mount->source);
        for (size_t k = 0; k < i; k++)
            if (str_equal(c->mounts[k].target, mount->target))
                return bad(err, "duplicate mount point: %s", mount->target);
    }
    for (size_t i = 0; i < c->files_count; i++) {
        int rc = check_target(c->files[i].target, "secret or config", err);
        if (rc)
            return rc;
        if (c->files[i].mode & ~07777u)
            return bad(err, "invalid file mode for \"%s\"", c->files[i].target);
    }
    return 0;
}

static int check_limits(const struct oci_limits *limits, struct err *err)
{
    if (limits->nano_cpus < 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid CPU limit: it must not be negative");
    if (limits->memory_bytes < 0 || limits->memory_reservation_bytes < 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid memory limit: it must not be negative");
    if (limits->memory_bytes && limits->memory_bytes < MEMORY_BYTES_MIN)
        return err_set(err, ERR_INVALID_ARGUMENT, "minimum memory limit allowed is 6MB");
    if (limits->memory_swap_bytes > 0 && limits->memory_swap_bytes < limits->memory_bytes)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "minimum memoryswap limit should be larger than memory limit");
    if (limits->memory_swap_bytes > 0 && !limits->memory_bytes)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "you should always set the memory limit when using a swap limit");
    if (limits->memory_swappiness > 100)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "invalid value %lld for memory swappiness: the range is 0 to 100",
                       (long long)limits->memory_swappiness);
    if (limits->blkio_weight && (limits->blkio_weight < 10 || limits->blkio_weight > 1000))
        return err_set(err, ERR_INVALID_ARGUMENT, "range of blkio weight is from 10 to 1000");
    if (limits->cpu_period_us && (limits->cpu_period_us < 1000 || limits->cpu_period_us > 1000000))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "CPU period cannot be less than 1ms or more than 1s");
    return 0;
}

static int check_counts(const struct oci_container *c, struct err *err)
{
    const size_t counts[] = {c->ulimits_count,     c->devices_count,      c->device_rules.count,
                             c->cap_add.count,     c->cap_drop.count,     c->sysctls_count,
                             c->annotations_count, c->masked_paths.count, c->readonly_paths.count};
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        if (counts[i] > OCI_LIST_MAX)
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "more than %d entries in a list of the container", OCI_LIST_MAX);
    uint64_t caps;
    int rc = caps_combine(&c->cap_add, &c->cap_drop, &caps, err);
    for (size_t i = 0; i < c->sysctls_count && !rc; i++)
        if (str_empty(c->sysctls[i].key) || strchr(c->sysctls[i].key, '/'))
            rc = bad(err, "invalid sysctl \"%s\"", c->sysctls[i].key);
    // crun takes orders in annotations of that name, one of which replaces the seccomp profile.
    for (size_t i = 0; i < c->annotations_count && !rc; i++)
        if (str_empty(c->annotations[i].key) || str_starts(c->annotations[i].key, "run.oci."))
            rc = bad(err, "annotation \"%s\" is not allowed", c->annotations[i].key);
    return rc;
}

static int check_namespaces(const struct oci_container *c, struct err *err)
{
    const struct oci_namespace *spaces[] = {&c->net, &c->pid, &c->ipc, &c->uts};
    for (size_t i = 0; i < COUNT_OF(spaces); i++)
        if (spaces[i]->mode == OCI_NS_PATH && !absolute(spaces[i]->path))
            return bad(err, "namespace \"%s\" is not an absolute path", spaces[i]->path);
    // These belong to the namespace: a container in the host's would change the host.
    for (size_t i = 0; i < c->sysctls_count; i++) {
        const char *key = c->sysctls[i].key;
        if (c->net.mode == OCI_NS_HOST && str_starts(key, "net."))
            return bad(err, "sysctl \"%s\" not allowed in host network namespace", key);
        bool ipc = str_starts(key, "kernel.shm") || str_starts(key, "kernel.msg") ||
                   str_starts(key, "kernel.sem") || str_starts(key, "fs.mqueue.");
        if (c->ipc.mode == OCI_NS_HOST && ipc)
            return bad(err, "sysctl \"%s\" not allowed in host ipc namespace", key);
        if (!ipc && !str_starts(key, "net."))
            return bad(err, "sysctl \"%s\" is not in a separate kernel namespace", key);
    }
    return 0;
}

int bundle_check(const struct oci_container *container, struct err *err)
{
    int rc = check_identity(container, err);
    if (!rc)
        rc = check_process(container, err);
    if (!rc)
        rc = check_mounts(container, err);
    if (!rc)
        rc = check_limits(&container->limits, err);
    if (!rc)
        rc = check_counts(container, err);
    return rc ? rc : check_namespaces(container, err);
}
