#include "agent/crate/spec.h"

#include <string.h>

#include "agent/crate/config.h"
#include "agent/crate/points.h"
#include "agent/oci/etc_files.h"
#include "agent/oci/signals.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

struct making {
    const struct crate_plan *plan;
    struct arena *arena;
    struct container_spec *out;
    struct err *err;
};

static struct oci_strings strings_of(struct making *making, const json_t *list)
{
    size_t count = json_array_size(list);
    const char **items = arena_alloc_array(making->arena, count + 1, sizeof *items);
    if (!items)
        return (struct oci_strings){0}; // told by the arena
    for (size_t i = 0; i < count; i++)
        items[i] = json_string_value(json_array_get(list, i));
    return (struct oci_strings){items, count};
}

static int make_process(struct making *making)
{
    const json_t *config = making->plan->config, *host = making->plan->host;
    struct oci_container *container = &making->out->container;
    struct oci_strings first = strings_of(making, config_of(config, "Entrypoint"));
    struct oci_strings rest = strings_of(making, config_of(config, "Cmd"));
    // An entrypoint of one empty text takes the image's away.
    if (first.count == 1 && str_empty(first.items[0]))
        first.count = 0;
    const char **args =
        arena_alloc_array(making->arena, first.count + rest.count + 1, sizeof *args);
    if (!args)
        return 0;
    memcpy(args, first.items, first.count * sizeof *args);
    memcpy(args + first.count, rest.items, rest.count * sizeof *args);
    container->args = (struct oci_strings){args, first.count + rest.count};
    if (!container->args.count)
        return err_set(making->err, ERR_INVALID_ARGUMENT, "No command specified");
    container->env = strings_of(making, config_of(config, "Env"));
    container->cwd = str_or(config_str(config, "WorkingDir"), NULL);
    container->tty = config_bool(config, "Tty");
    container->open_stdin = config_bool(config, "OpenStdin");
    container->stdin_once = config_bool(config, "StdinOnce");
    container->readonly_rootfs = config_bool(host, "ReadonlyRootfs");
    container->init = config_bool(host, "Init");
    making->out->user = config_str(config, "User");
    making->out->groups = strings_of(making, config_of(host, "GroupAdd"));
    const char *signal = config_str(config, "StopSignal");
    making->out->stop_signal = signal_of_name(str_or(signal, "SIGTERM"));
    if (!making->out->stop_signal)
        return err_set(making->err, ERR_INVALID_ARGUMENT, "Invalid signal: %.50s", signal);
    return 0;
}

static int bad_security(struct making *making, const char *text)
{
    return err_set(making->err, ERR_INVALID_ARGUMENT, "invalid --security-opt 2: \"%.100s\"", text);
}

// "seccomp=unconfined", "no-new-privileges:true", "apparmor=..." and their kin.
static int make_security(struct making *making)
{
    struct oci_container *container = &making->out->container;
    const json_t *options = config_of(making->plan->host, "SecurityOpt");
    for (size_t i = 0; i < json_array_size(options); i++) {
        const char *text = json_string_value(json_array_get(options, i));
        size_t length = strcspn(text, "=:");
        const char *value = text[length] ? text + length + 1 : "";
        char key[32];
        if (length >= sizeof key)
            length = sizeof key - 1;
        str_format(key, sizeof key, "%.*s", (int)length, text);
        if (str_equal(key, "no-new-privileges")) {
            if (!str_empty(value) && !str_equal(value, "true") && !str_equal(value, "false"))
                return bad_security(making, text);
            container->no_new_privileges = str_empty(value) || str_equal(value, "true");
        } else if (str_equal(key, "seccomp")) {
            container->seccomp = str_equal(value, "unconfined") ? OCI_SECCOMP_UNCONFINED
                                 : str_equal(value, "builtin")  ? OCI_SECCOMP_DEFAULT
                                                                : OCI_SECCOMP_CUSTOM;
            if (container->seccomp == OCI_SECCOMP_CUSTOM) {
                container->seccomp_profile = value;
                container->seccomp_profile_bytes = strlen(value);
            }
        } else if (str_equal(key, "apparmor")) {
            container->apparmor_profile = value;
        } else if (str_equal(key, "label")) {
            if (!str_equal(value, "disable"))
                return err_set(making->err, ERR_UNIMPLEMENTED,
                               "the security option label=%.50s is not supported by Skep", value);
        } else if (str_equal(key, "systempaths")) {
            container->paths_given = str_equal(value, "unconfined");
        } else {
            return bad_security(making, text);
        }
    }
    return 0;
}

static int make_devices(struct making *making)
{
    const json_t *list = config_of(making->plan->host, "Devices");
    size_t count = json_array_size(list);
    struct oci_device *devices = arena_alloc_array(making->arena, count + 1, sizeof *devices);
    for (size_t i = 0; devices && i < count; i++) {
        const json_t *item = json_array_get(list, i);
        devices[i] = (struct oci_device){
            .host_path = config_str(item, "PathOnHost"),
            .path = str_or(config_str(item, "PathInContainer"), NULL),
            .access = str_or(config_str(item, "CgroupPermissions"), NULL),
        };
    }
    making->out->container.devices = devices;
    making->out->container.devices_count = count;
    making->out->container.device_rules =
        strings_of(making, config_of(making->plan->host, "DeviceCgroupRules"));
    return 0;
}

static struct oci_pair *pairs_of(struct making *making, const json_t *map, const char *prefix,
                                 size_t *count)
{
    struct oci_pair *pairs =
        arena_alloc_array(making->arena, json_object_size(map) + 2, sizeof *pairs);
    const char *key;
    json_t *value;
    *count = 0;
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        const char *full = *prefix ? arena_printf(making->arena, "%s%s", prefix, key) : key;
        if (pairs)
            pairs[(*count)++] = (struct oci_pair){full, json_string_value(value)};
    }
    return pairs;
}

static int make_rights(struct making *making)
{
    const json_t *host = making->plan->host;
    struct oci_container *container = &making->out->container;
    container->runtime = config_str(host, "Runtime");
    container->privileged = config_bool(host, "Privileged");
    container->cap_add = strings_of(making, config_of(host, "CapAdd"));
    container->cap_drop = strings_of(making, config_of(host, "CapDrop"));
    container->oom_score_adj_set = config_int(host, "OomScoreAdj") != 0;
    container->oom_score_adj = (int)config_int(host, "OomScoreAdj");
    container->shm_bytes = (uint64_t)config_int(host, "ShmSize");
    container->cgroup_ns_host = str_equal(config_str(host, "CgroupnsMode"), "host");
    container->sysctls =
        pairs_of(making, config_of(host, "Sysctls"), "", &container->sysctls_count);
    const json_t *masked = config_of(host, "MaskedPaths"),
                 *readonly = config_of(host, "ReadonlyPaths");
    if (masked || readonly) {
        container->paths_given = true;
        container->masked_paths = strings_of(making, masked);
        container->readonly_paths = strings_of(making, readonly);
    }
    const json_t *limits = config_of(host, "Ulimits");
    size_t count = json_array_size(limits);
    struct oci_ulimit *ulimits = arena_alloc_array(making->arena, count + 1, sizeof *ulimits);
    for (size_t i = 0; ulimits && i < count; i++) {
        const json_t *item = json_array_get(limits, i);
        ulimits[i] = (struct oci_ulimit){config_str(item, "Name"), config_int(item, "Soft"),
                                         config_int(item, "Hard")};
    }
    container->ulimits = ulimits;
    container->ulimits_count = count;
    container_defaults_ulimits(making->plan->defaults, making->arena, container);
    container->no_new_privileges = making->plan->defaults->no_new_privileges;
    int rc = make_security(making);
    return rc ? rc : make_devices(making);
}

void crate_limits(const json_t *host, struct oci_limits *out)
{
    *out = (struct oci_limits){
        .nano_cpus = config_int(host, "NanoCpus"),
        .cpu_shares = (uint64_t)config_int(host, "CpuShares"),
        .cpu_quota_us = config_int(host, "CpuQuota"),
        .cpu_period_us = (uint64_t)config_int(host, "CpuPeriod"),
        .cpuset_cpus = str_or(config_str(host, "CpusetCpus"), NULL),
        .cpuset_mems = str_or(config_str(host, "CpusetMems"), NULL),
        .memory_bytes = config_int(host, "Memory"),
        .memory_reservation_bytes = config_int(host, "MemoryReservation"),
        .memory_swap_bytes = config_int(host, "MemorySwap"),
        .memory_swappiness = config_int(host, "MemorySwappiness"),
        .oom_kill_disable = config_bool(host, "OomKillDisable"),
        .pids_max = config_int(host, "PidsLimit"),
        .blkio_weight = (uint32_t)config_int(host, "BlkioWeight"),
    };
}

// ---- names -------------------------------------------------------------------------------------

static int keep_text(struct making *making, struct buf *text, const char **out)
{
    const char *made = buf_cstr(text);
    if (!made)
        return err_set(making->err, ERR_INVALID_ARGUMENT, "too many hosts or DNS options");
    *out = arena_strdup(making->arena, made);
    return 0;
}

static int make_resolv(struct making *making, struct buf *text)
{
    const struct crate_plan *plan = making->plan;
    struct oci_strings servers = strings_of(making, config_of(plan->host, "Dns"));
    struct oci_strings search = strings_of(making, config_of(plan->host, "DnsSearch"));
    struct oci_strings options = strings_of(making, config_of(plan->host, "DnsOptions"));
    const char *base = plan->resolv_conf;
    struct buf host;
    buf_init(&host, ETC_FILE_BYTES);
    if (plan->dns_server) {
        const char **own = arena_alloc_array(making->arena, 1, sizeof *own);
        if (own)
            *own = plan->dns_server;
        servers = (struct oci_strings){own, own ? 1 : 0};
    } else if (making->out->container.net.mode != OCI_NS_HOST && plan->resolv_conf) {
        etc_resolv_filter(plan->resolv_conf, &host, NULL);
        base = buf_cstr(&host);
    }
    int rc = etc_resolv_over(base, &servers, &search, &options, text, making->err);
    buf_fini(&host);
    // Names without a dot are asked as they are first: containers go by such.
    const char *made = buf_cstr(text);
    if (!rc && plan->dns_server && made && !strstr(made, "ndots:"))
        buf_put_str(text, "options ndots:0\n");
    return rc ? rc : keep_text(making, text, &making->out->container.resolv_text);
}

int crate_resolv_make(const struct crate_plan *plan, struct arena *arena, const char **out,
                      struct err *err)
{
    struct container_spec spec = {0};
    struct making making = {plan, arena, &spec, err};
    struct buf text;
    buf_init(&text, ETC_FILE_BYTES);
    int rc = make_resolv(&making, &text);
    buf_fini(&text);
    *out = spec.container.resolv_text;
    if (rc == 0 && arena_overflowed(arena))
        rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "too many DNS options");
    return rc;
}

static int make_names(struct making *making)
{
    const struct crate_plan *plan = making->plan;
    struct oci_container *container = &making->out->container;
    const char *mode = config_str(plan->host, "NetworkMode");
    if (str_equal(mode, "host"))
        container->net.mode = OCI_NS_HOST;
    if (str_equal(config_str(plan->host, "PidMode"), "host"))
        container->pid.mode = OCI_NS_HOST;
    if (str_equal(config_str(plan->host, "IpcMode"), "host"))
        container->ipc.mode = OCI_NS_HOST;
    if (str_equal(config_str(plan->host, "UTSMode"), "host"))
        container->uts.mode = OCI_NS_HOST;
    container->hostname =
        str_or(config_str(plan->config, "Hostname"), arena_strndup(making->arena, plan->id, 12));
    container->domainname = str_or(config_str(plan->config, "Domainname"), NULL);
    struct buf text;
    struct oci_strings hosts = strings_of(making, config_of(plan->host, "ExtraHosts"));
    buf_init(&text, ETC_FILE_BYTES);
    int rc = etc_hosts(container->hostname, container->domainname, plan->addresses,
                       plan->addresses_count, &hosts, &text, making->err);
    if (!rc)
        rc = keep_text(making, &text, &container->hosts_text);
    buf_clear(&text);
    if (!rc)
        rc = make_resolv(making, &text);
    buf_fini(&text);
    return rc;
}

static int make_notes(struct making *making)
{
    size_t count = 0;
    const json_t *labels = config_of(making->plan->config, "Labels");
    size_t labels_count, own_count;
    const struct oci_pair *named = pairs_of(making, labels, CONTAINER_LABEL_PREFIX, &labels_count);
    const struct oci_pair *own =
        pairs_of(making, config_of(making->plan->host, "Annotations"), "", &own_count);
    struct oci_pair *notes =
        arena_alloc_array(making->arena, labels_count + own_count + 2, sizeof *notes);
    for (size_t i = 0; notes && named && i < labels_count; i++)
        notes[count++] = named[i];
    for (size_t i = 0; notes && own && i < own_count; i++)
        notes[count++] = own[i];
    if (notes)
        notes[count++] = (struct oci_pair){CONTAINER_NOTE_NAME, making->plan->name};
    if (notes)
        notes[count++] =
            (struct oci_pair){CONTAINER_NOTE_IMAGE, config_str(making->plan->config, "Image")};
    making->out->container.annotations = notes;
    making->out->container.annotations_count = count;
    return 0;
}

// ---- mounts ------------------------------------------------------------------------------------

static const struct {
    const char *text;
    enum oci_propagation value;
} propagations[] = {
    {"rprivate", OCI_PROPAGATION_RPRIVATE}, {"private", OCI_PROPAGATION_PRIVATE},
    {"rshared", OCI_PROPAGATION_RSHARED},   {"shared", OCI_PROPAGATION_SHARED},
    {"rslave", OCI_PROPAGATION_RSLAVE},     {"slave", OCI_PROPAGATION_SLAVE},
};

static enum oci_propagation propagation_of(const char *text)
{
    for (size_t i = 0; i < COUNT_OF(propagations); i++)
        if (str_equal(text, propagations[i].text))
            return propagations[i].value;
    return OCI_PROPAGATION_DEFAULT;
}

static int make_mounts(struct making *making)
{
    const json_t *points = making->plan->points;
    size_t count = json_array_size(points);
    struct oci_mount *mounts = arena_alloc_array(making->arena, count + 1, sizeof *mounts);
    const char **make = arena_alloc_array(making->arena, count + 1, sizeof *make);
    if (!mounts || !make)
        return 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *point = json_array_get(points, i);
        bool tmpfs = str_equal(config_str(point, "Type"), "tmpfs");
        mounts[i] = (struct oci_mount){
            .kind = tmpfs ? OCI_MOUNT_TMPFS : OCI_MOUNT_BIND,
            .source = tmpfs ? NULL : config_str(point, "Source"),
            .target = config_str(point, "Destination"),
            .readonly = !config_bool(point, "RW"),
            .nonrecursive = config_bool(point, "nonrecursive"),
            .propagation = propagation_of(config_str(point, "Propagation")),
            .tmpfs_size_bytes = (uint64_t)config_int(point, "size"),
            .tmpfs_mode = (uint32_t)config_int(point, "tmpfsmode"),
            .tmpfs_options = str_or(config_str(point, "options"), NULL),
        };
        if (config_bool(point, "make"))
            make[making->out->make_sources_count++] = config_str(point, "Source");
    }
    making->out->mounts = mounts;
    making->out->container.mounts = mounts;
    making->out->container.mounts_count = count;
    making->out->make_sources = make;
    return 0;
}

int crate_log_make(const json_t *host, struct container_log *out, struct err *err)
{
    const json_t *log = config_of(host, "LogConfig");
    const char *driver = config_str(log, "Type");
    *out = (struct container_log){.files_max = 1};
    container_log_begin(out, driver);
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(log, "Config"), key, value)
    {
        int rc = out->none ? 0 : container_log_option(out, key, json_string_value(value), err);
        if (rc)
            return rc;
    }
    return container_log_check(out, driver, err);
}

static int make_log(struct making *making)
{
    return crate_log_make(making->plan->host, &making->out->log, making->err);
}

int crate_spec_make(const struct crate_plan *plan, struct arena *arena, struct container_spec *out,
                    struct err *err)
{
    static int (*const steps[])(struct making *) = {
        make_process, make_rights, make_names, make_notes, make_mounts, make_log,
    };
    struct making making = {plan, arena, out, err};
    *out = (struct container_spec){.image = config_str(plan->config, "Image")};
    str_copy(out->name, sizeof out->name, plan->name);
    out->container.id = plan->id;
    crate_limits(plan->host, &out->container.limits);
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        int rc = steps[i](&making);
        if (rc)
            return rc;
    }
    if (arena_overflowed(arena))
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "the container's configuration is too large");
    return 0;
}
