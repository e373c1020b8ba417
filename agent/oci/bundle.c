#include "agent/oci/bundle.h"

#include <stdlib.h>
#include <string.h>

#include "agent/oci/apparmor.h"
#include "agent/oci/bundle_parts.h"
#include "agent/oci/caps.h"
#include "agent/oci/seccomp.h"
#include "proto/base/check.h"
#include "proto/base/json.h"
#include "proto/base/map.h"
#include "proto/base/str.h"

#define DOMAINNAME   "kernel.domainname" // of the container's own UTS namespace
#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// ---- process ---------------------------------------------------------------------------------

static void put_strings(struct json_out *out, const char *key, const struct oci_strings *list)
{
    json_out_array(out, key);
    for (size_t i = 0; i < list->count; i++)
        json_out_str(out, NULL, list->items[i]);
    json_out_end(out);
}

static void hostname_of(const struct oci_container *c, char out[OCI_HOSTNAME_MAX + 1])
{
    if (str_empty(c->hostname))
        str_format(out, OCI_HOSTNAME_MAX + 1, "%.12s", c->id);
    else
        str_copy(out, OCI_HOSTNAME_MAX + 1, c->hostname);
}

static size_t key_size(const char *item)
{
    const char *equals = strchr(item, '=');
    return equals ? (size_t)(equals - item) : strlen(item);
}

// Variables in order, the last of each name; then what every container has, where it is missing.
static void put_env(struct json_out *out, const struct oci_container *c)
{
    struct map last;
    map_init(&last);
    for (size_t i = 0; i < c->env.count; i++)
        map_put(&last, c->env.items[i], key_size(c->env.items[i]), (void *)c->env.items[i]);
    char hostname[OCI_HOSTNAME_MAX + 1];
    char text[OCI_HOSTNAME_MAX + 16];
    hostname_of(c, hostname);
    json_out_array(out, "env");
    if (!map_has_str(&last, "PATH"))
        json_out_str(out, NULL, DEFAULT_PATH);
    if (!map_has_str(&last, "HOSTNAME")) {
        str_format(text, sizeof text, "HOSTNAME=%s", hostname);
        json_out_str(out, NULL, text);
    }
    if (c->tty && !map_has_str(&last, "TERM"))
        json_out_str(out, NULL, "TERM=xterm");
    for (size_t i = 0; i < c->env.count; i++) {
        const char *item = c->env.items[i];
        // A name without "=" removes the variable, as docker has it.
        if (map_get(&last, item, key_size(item)) == item && strchr(item, '='))
            json_out_str(out, NULL, item);
    }
    if (!map_has_str(&last, "HOME")) {
        char *home = str_printf("HOME=%s", str_or(c->home, "/"));
        json_out_str(out, NULL, home);
        free(home);
    }
    json_out_end(out);
    map_fini(&last);
}

static void put_user(struct json_out *out, uint32_t uid, uint32_t gid, const uint32_t *groups,
                     size_t groups_count)
{
    json_out_object(out, "user");
    json_out_uint(out, "uid", uid);
    json_out_uint(out, "gid", gid);
    json_out_array(out, "additionalGids");
    for (size_t i = 0; i < groups_count; i++)
        json_out_uint(out, NULL, groups[i]);
    json_out_end(out);
    json_out_end(out);
}

void bundle_put_caps(struct json_out *out, uint64_t caps)
{
    // No inheritable and no ambient ones (CVE-2022-24769): a program in the container gets them
    // only by being root or by file capabilities.
    static const char *const sets[] = {"bounding", "effective", "permitted"};
    json_out_object(out, "capabilities");
    for (size_t set = 0; set < COUNT_OF(sets); set++) {
        json_out_array(out, sets[set]);
        for (unsigned i = 0; i < CAPS_COUNT; i++)
            if (caps >> i & 1)
                json_out_str(out, NULL, caps_name(i));
        json_out_end(out);
    }
    json_out_end(out);
}

static int effective_caps(const struct oci_container *c, const struct oci_host *host, uint64_t *out,
                          struct err *err)
{
    if (c->privileged) {
        *out = host->caps;
        return 0;
    }
    int rc = caps_combine(&c->cap_add, &c->cap_drop, out, err);
    if (rc)
        return rc;
    uint64_t wanted;
    static const struct oci_strings none = {0};
    rc = caps_combine(&none, &c->cap_drop, &wanted, err);
    uint64_t missing = *out & ~host->caps & ~wanted;
    for (size_t i = 0; i < c->cap_add.count && missing; i++) {
        int number = caps_number(c->cap_add.items[i]);
        if (number >= 0 && (missing >> number & 1))
            return err_set(err, ERR_FAILED_PRECONDITION,
                           "capability %s cannot be given: this node's daemon has it not itself",
                           caps_name((unsigned)number));
    }
    *out &= host->caps;
    return rc;
}

static const char *const rlimit_names[] = {
    "as",   "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue",
    "nice", "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack",
};

// Unlimited, which is -1, is the largest.
static uint64_t rlimit_value(int64_t value)
{
    return value < 0 ? UINT64_MAX : (uint64_t)value;
}

int bundle_ulimit_check(const struct oci_ulimit *limit, struct err *err)
{
    size_t at = 0;
    while (at < COUNT_OF(rlimit_names) && !str_equal(rlimit_names[at], limit->name))
        at++;
    if (at == COUNT_OF(rlimit_names))
        return err_set(err, ERR_INVALID_ARGUMENT, "invalid ulimit type: %.40s",
                       str_or(limit->name, ""));
    if (rlimit_value(limit->soft) > rlimit_value(limit->hard))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "ulimit soft limit must be less than or equal to hard limit: %s",
                       limit->name);
    return 0;
}

static int put_rlimits(struct json_out *out, const struct oci_container *c,
                       const struct oci_host *host, struct err *err)
{
    json_out_array(out, "rlimits");
    for (size_t i = 0; i < c->ulimits_count; i++) {
        const struct oci_ulimit *limit = &c->ulimits[i];
        int rc = bundle_ulimit_check(limit, err);
        if (rc)
            return rc;
        uint64_t hard = rlimit_value(limit->hard);
        bool may_raise = host->caps >> 24 & 1; // CAP_SYS_RESOURCE
        if (str_equal(limit->name, "nofile") && hard > host->nofile_hard_max && !may_raise)
            return err_set(err, ERR_FAILED_PRECONDITION,
                           "ulimit nofile: hard limit above this node's %llu needs "
                           "CAP_SYS_RESOURCE, which the daemon has not",
                           (unsigned long long)host->nofile_hard_max);
        char type[32] = "RLIMIT_";
        for (size_t k = 0; limit->name[k]; k++) {
            type[7 + k] = (char)(limit->name[k] - 'a' + 'A');
            type[8 + k] = '\0';
        }
        json_out_object(out, NULL);
        json_out_str(out, "type", type);
        json_out_uint(out, "hard", hard);
        json_out_uint(out, "soft", rlimit_value(limit->soft));
        json_out_end(out);
    }
    json_out_end(out);
    return 0;
}

const char *bundle_apparmor(const char *named, bool privileged, const char *unasked)
{
    if (str_empty(named))
        return privileged ? NULL : unasked;
    return str_equal(named, APPARMOR_UNCONFINED) ? NULL : named;
}

static int put_confinement(struct json_out *out, const struct oci_container *c,
                           const struct oci_host *host, struct err *err)
{
    json_out_bool(out, "noNewPrivileges", c->no_new_privileges);
    const char *profile =
        bundle_apparmor(c->apparmor_profile, c->privileged, host->apparmor_default);
    if (profile && !host->has_apparmor)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "AppArmor profile %.100s asked for, but this node's kernel has no AppArmor",
                       profile);
    if (profile)
        json_out_str(out, "apparmorProfile", profile);
    if (!str_empty(c->selinux_label)) {
        if (!host->has_selinux)
            return err_set(err, ERR_FAILED_PRECONDITION,
                           "SELinux label asked for, but this node's kernel has no SELinux");
        json_out_str(out, "selinuxLabel", c->selinux_label);
    }
    if (c->oom_score_adj_set) {
        if (c->oom_score_adj < 0 && !host->may_lower_oom_score)
            return err_set(err, ERR_FAILED_PRECONDITION,
                           "an OOM score below 0 needs CAP_SYS_RESOURCE, which this node's daemon "
                           "has not");
        json_out_int(out, "oomScoreAdj", c->oom_score_adj);
    }
    return 0;
}

static int put_process(struct json_out *out, const struct oci_container *c,
                       const struct oci_host *host, uint64_t caps, struct err *err)
{
    json_out_object(out, "process");
    json_out_bool(out, "terminal", c->tty);
    put_user(out, c->uid, c->gid, c->groups, c->groups_count);
    json_out_array(out, "args");
    if (c->init) {
        json_out_str(out, NULL, BUNDLE_INIT_TARGET);
        json_out_str(out, NULL, "--");
    }
    for (size_t i = 0; i < c->args.count; i++)
        json_out_str(out, NULL, c->args.items[i]);
    json_out_end(out);
    put_env(out, c);
    json_out_str(out, "cwd", str_or(c->cwd, "/"));
    bundle_put_caps(out, caps);
    int rc = put_rlimits(out, c, host, err);
    if (!rc)
        rc = put_confinement(out, c, host, err);
    json_out_end(out);
    return rc;
}

// ---- linux -----------------------------------------------------------------------------------

static void put_namespace(struct json_out *out, const char *type, const struct oci_namespace *ns)
{
    if (ns->mode == OCI_NS_HOST)
        return;
    json_out_object(out, NULL);
    json_out_str(out, "type", type);
    if (ns->mode == OCI_NS_PATH)
        json_out_str(out, "path", ns->path);
    json_out_end(out);
}

static void put_namespaces(struct json_out *out, const struct oci_container *c,
                           const struct oci_host *host)
{
    static const struct oci_namespace fresh = {.mode = OCI_NS_PRIVATE};
    json_out_array(out, "namespaces");
    put_namespace(out, "mount", &fresh);
    put_namespace(out, "pid", &c->pid);
    put_namespace(out, "ipc", &c->ipc);
    put_namespace(out, "uts", &c->uts);
    put_namespace(out, "network", &c->net);
    if (host->has_cgroup_ns && !c->cgroup_ns_host && !c->privileged)
        put_namespace(out, "cgroup", &fresh);
    json_out_end(out);
}

static bool says_sysctl(const struct oci_container *c, const char *key)
{
    for (size_t i = 0; i < c->sysctls_count; i++)
        if (str_equal(c->sysctls[i].key, key))
            return true;
    return false;
}

static void put_sysctls(struct json_out *out, const struct oci_container *c)
{
    // What Docker sets in a network namespace of the container's own: ports below 1024 and ping for
    // everybody in it. It would change the host in the host's.
    static const struct oci_pair defaults[] = {
        {"net.ipv4.ip_unprivileged_port_start", "0"},
        {"net.ipv4.ping_group_range", "0 2147483647"},
    };
    json_out_object(out, "sysctl");
    for (size_t i = 0; i < COUNT_OF(defaults) && c->net.mode != OCI_NS_HOST; i++)
        if (!says_sysctl(c, defaults[i].key))
            json_out_str(out, defaults[i].key, defaults[i].value);
    if (c->domainname && c->uts.mode != OCI_NS_HOST && !says_sysctl(c, DOMAINNAME))
        json_out_str(out, DOMAINNAME, c->domainname);
    for (size_t i = 0; i < c->sysctls_count; i++)
        json_out_str(out, c->sysctls[i].key, c->sysctls[i].value);
    json_out_end(out);
}

static void put_paths(struct json_out *out, const struct oci_container *c)
{
    static const char *const masked[] = {
        "/proc/asound",
        "/proc/acpi",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
    };
    static const char *const readonly[] = {
        "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
    };
    if (c->privileged && !c->paths_given)
        return;
    struct oci_strings usual_masked = {masked, COUNT_OF(masked)};
    struct oci_strings usual_readonly = {readonly, COUNT_OF(readonly)};
    put_strings(out, "maskedPaths", c->paths_given ? &c->masked_paths : &usual_masked);
    put_strings(out, "readonlyPaths", c->paths_given ? &c->readonly_paths : &usual_readonly);
}

static int put_seccomp(struct json_out *out, const struct oci_container *c,
                       const struct oci_host *host, uint64_t caps, struct err *err)
{
    if (c->privileged || c->seccomp == OCI_SECCOMP_UNCONFINED)
        return 0;
    if (c->seccomp == OCI_SECCOMP_CUSTOM)
        return seccomp_write(c->seccomp_profile, c->seccomp_profile_bytes, SECCOMP_AS_IS, caps,
                             host->kernel_release, out, "seccomp", err);
    if (!host->seccomp_json)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "the default seccomp profile is not on this node (Debian package "
                       "golang-github-containers-common)");
    return seccomp_write(host->seccomp_json, host->seccomp_json_bytes, SECCOMP_NARROWED, caps,
                         host->kernel_release, out, "seccomp", err);
}

// The root's own propagation must be as wide as the widest mount's, or the kernel refuses that one.
static const char *root_propagation(const struct oci_container *c)
{
    bool slave = false;
    for (size_t i = 0; i < c->mounts_count; i++) {
        enum oci_propagation p = c->mounts[i].propagation;
        if (p == OCI_PROPAGATION_RSHARED || p == OCI_PROPAGATION_SHARED)
            return "rshared";
        slave |= p == OCI_PROPAGATION_RSLAVE || p == OCI_PROPAGATION_SLAVE;
    }
    return slave ? "rslave" : "rprivate";
}

static int put_linux(struct json_out *out, const struct oci_container *c,
                     const struct oci_host *host, uint64_t caps, struct err *err)
{
    json_out_object(out, "linux");
    json_out_str(out, "cgroupsPath", host->cgroup_path);
    put_namespaces(out, c, host);
    put_sysctls(out, c);
    bundle_put_devices(out, c, host);
    int rc = bundle_put_resources(out, c, host, err);
    put_paths(out, c);
    json_out_str(out, "rootfsPropagation", root_propagation(c));
    if (!str_empty(c->selinux_label) && host->has_selinux)
        json_out_str(out, "mountLabel", c->selinux_label);
    if (!rc)
        rc = put_seccomp(out, c, host, caps, err);
    json_out_end(out);
    return rc;
}

int bundle_write(const struct oci_container *container, const struct oci_host *host,
                 struct buf *buf, struct err *err)
{
    CHECK(container->args.count > 0);
    CHECK(host->cgroup_path);
    if (container->init && !host->init_path)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "an init process is asked for, but this node has none (docker-init, "
                       "tini-static or catatonit)");
    uint64_t caps;
    int rc = effective_caps(container, host, &caps, err);
    if (rc)
        return rc;
    struct json_out out;
    json_out_init(&out, buf);
    json_out_object(&out, NULL);
    json_out_str(&out, "ociVersion", "1.0.0");
    rc = put_process(&out, container, host, caps, err);
    if (rc)
        return rc;
    json_out_object(&out, "root");
    json_out_str(&out, "path", container->rootfs);
    json_out_bool(&out, "readonly", container->readonly_rootfs);
    json_out_end(&out);
    if (container->uts.mode == OCI_NS_PRIVATE) {
        char hostname[OCI_HOSTNAME_MAX + 1];
        hostname_of(container, hostname);
        json_out_str(&out, "hostname", hostname);
    }
    bundle_put_mounts(&out, container, host);
    json_out_object(&out, "annotations");
    for (size_t i = 0; i < container->annotations_count; i++)
        json_out_str(&out, container->annotations[i].key, container->annotations[i].value);
    bool standard = !container->privileged && container->seccomp == OCI_SECCOMP_DEFAULT;
    const char *program =
        standard && host->seccomp_bpf ? host->seccomp_bpf(host->seccomp_ctx, caps) : NULL;
    if (program)
        json_out_str(&out, SECCOMP_BPF_ANNOTATION, program);
    json_out_end(&out);
    rc = put_linux(&out, container, host, caps, err);
    if (rc)
        return rc;
    json_out_end(&out);
    if (!json_out_done(&out))
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "container configuration passes %zu bytes",
                       buf->limit);
    return 0;
}

// ---- exec ------------------------------------------------------------------------------------

static void replace_strings(json_t *process, const char *key, const struct oci_strings *list)
{
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, json_string(list->items[i]));
    json_object_set_new(process, key, array);
}

static void drop_variable(json_t *env, const char *item)
{
    size_t size = key_size(item);
    for (size_t i = json_array_size(env); i-- > 0;) {
        const char *old = json_string_value(json_array_get(env, i));
        if (old && key_size(old) == size && memcmp(old, item, size) == 0)
            json_array_remove(env, i);
    }
}

static void set_variable(json_t *env, const char *item)
{
    drop_variable(env, item);
    if (strchr(item, '='))
        json_array_append_new(env, json_string(item));
}

static void set_user(json_t *process, const struct oci_exec *exec)
{
    json_t *groups = json_array();
    for (size_t i = 0; i < exec->groups_count; i++)
        json_array_append_new(groups, json_integer(exec->groups[i]));
    json_object_set_new(process, "user",
                        json_pack("{s:I,s:I,s:o}", "uid", (json_int_t)exec->uid, "gid",
                                  (json_int_t)exec->gid, "additionalGids", groups));
    char *home = str_printf("HOME=%s", str_or(exec->home, "/"));
    set_variable(json_object_get(process, "env"), home);
    free(home);
}

static void set_caps(json_t *process, uint64_t caps)
{
    static const char *const sets[] = {"bounding", "effective", "permitted"};
    json_t *object = json_object();
    for (size_t set = 0; set < COUNT_OF(sets); set++) {
        json_t *list = json_array();
        for (unsigned i = 0; i < CAPS_COUNT; i++)
            if (caps >> i & 1)
                json_array_append_new(list, json_string(caps_name(i)));
        json_object_set_new(object, sets[set], list);
    }
    json_object_set_new(process, "capabilities", object);
}

static int append(const char *bytes, size_t size, void *buf)
{
    buf_put(buf, bytes, size);
    return 0;
}

int bundle_write_exec(const struct oci_exec *exec, const void *config_json, size_t config_bytes,
                      uint64_t host_caps, struct buf *out, struct err *err)
{
    if (!exec->args.count || str_empty(exec->args.items[0]))
        return err_set(err, ERR_INVALID_ARGUMENT, "no exec command specified");
    if (exec->args.count > OCI_ARGS_MAX || exec->env.count > OCI_ARGS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "more than %d arguments or variables",
                       OCI_ARGS_MAX);
    json_t *config = json_parse(config_json, config_bytes, err);
    if (!config)
        return err_wrap(err, "container configuration");
    json_t *process = json_object_get(config, "process");
    int rc = 0;
    if (!json_is_object(process) || !json_is_array(json_object_get(process, "env"))) {
        rc = err_set(err, ERR_DATA_LOSS, "container configuration has no process");
    } else if (exec->cwd && exec->cwd[0] != '/') {
        rc = err_set(err, ERR_INVALID_ARGUMENT,
                     "the working directory \"%.100s\" is not an "
                     "absolute path",
                     exec->cwd);
    } else {
        replace_strings(process, "args", &exec->args);
        json_object_set_new(process, "terminal", json_boolean(exec->tty));
        if (exec->user_set)
            set_user(process, exec);
        json_t *env = json_object_get(process, "env");
        if (exec->tty)
            set_variable(env, "TERM=xterm");
        for (size_t i = 0; i < exec->env.count; i++)
            set_variable(env, exec->env.items[i]);
        if (exec->cwd)
            json_object_set_new(process, "cwd", json_string(exec->cwd));
        if (exec->privileged)
            set_caps(process, host_caps);
        if (json_dump_callback(process, append, out, JSON_COMPACT) != 0 || !buf_ok(out))
            rc = err_set(err, ERR_INVALID_ARGUMENT, "exec arguments are not UTF-8 or too long");
    }
    json_decref(config);
    return rc;
}
