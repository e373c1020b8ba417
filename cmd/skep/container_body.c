// The options of `skep run` and `skep create`, and the container they describe.
#include <ctype.h>
#include <string.h>

#include "cmd/skep/capabilities.h"
#include "cmd/skep/common.h"
#include "cmd/skep/container.h"
#include "cmd/skep/parse.h"
#include "cmd/skep/restart.h"
#include "proto/base/str.h"

// Options that are one value of the body. The kind of the option tells its type.
static const struct {
    const char *flag, *path;
} rows[] = {
    {"hostname", "Hostname"},
    {"domainname", "Domainname"},
    {"user", "User"},
    {"tty", "Tty"},
    {"interactive", "OpenStdin"},
    {"workdir", "WorkingDir"},
    {"stop-signal", "StopSignal"},
    {"stop-timeout", "StopTimeout"},
    {"health-interval", "Healthcheck.Interval"},
    {"health-timeout", "Healthcheck.Timeout"},
    {"health-start-period", "Healthcheck.StartPeriod"},
    {"health-start-interval", "Healthcheck.StartInterval"},
    {"health-retries", "Healthcheck.Retries"},
    {"cgroup-parent", "HostConfig.CgroupParent"},
    {"cgroupns", "HostConfig.CgroupnsMode"},
    {"cpu-period", "HostConfig.CpuPeriod"},
    {"cpu-quota", "HostConfig.CpuQuota"},
    {"blkio-weight", "HostConfig.BlkioWeight"},
    {"cidfile", "HostConfig.ContainerIDFile"},
    {"cpu-rt-period", "HostConfig.CpuRealtimePeriod"},
    {"cpu-rt-runtime", "HostConfig.CpuRealtimeRuntime"},
    {"cpu-shares", "HostConfig.CpuShares"},
    {"cpus", "HostConfig.NanoCpus"},
    {"cpuset-cpus", "HostConfig.CpusetCpus"},
    {"cpuset-mems", "HostConfig.CpusetMems"},
    {"init", "HostConfig.Init"},
    {"ipc", "HostConfig.IpcMode"},
    {"isolation", "HostConfig.Isolation"},
    {"kernel-memory", "HostConfig.KernelMemory"},
    {"log-driver", "HostConfig.LogConfig.Type"},
    {"memory", "HostConfig.Memory"},
    {"memory-reservation", "HostConfig.MemoryReservation"},
    {"memory-swap", "HostConfig.MemorySwap"},
    {"memory-swappiness", "HostConfig.MemorySwappiness"},
    {"oom-kill-disable", "HostConfig.OomKillDisable"},
    {"oom-score-adj", "HostConfig.OomScoreAdj"},
    {"pid", "HostConfig.PidMode"},
    {"pids-limit", "HostConfig.PidsLimit"},
    {"privileged", "HostConfig.Privileged"},
    {"publish-all", "HostConfig.PublishAllPorts"},
    {"read-only", "HostConfig.ReadonlyRootfs"},
    {"rm", "HostConfig.AutoRemove"},
    {"runtime", "HostConfig.Runtime"},
    {"shm-size", "HostConfig.ShmSize"},
    {"userns", "HostConfig.UsernsMode"},
    {"uts", "HostConfig.UTSMode"},
    {"volume-driver", "HostConfig.VolumeDriver"},
};

static const struct {
    const char *flag, *path;
} lists[] = {
    {"dns", "HostConfig.Dns"},
    {"dns-option", "HostConfig.DnsOptions"},
    {"dns-search", "HostConfig.DnsSearch"},
    {"add-host", "HostConfig.ExtraHosts"},
    {"group-add", "HostConfig.GroupAdd"},
    {"link", "HostConfig.Links"},
    {"security-opt", "HostConfig.SecurityOpt"},
    {"volumes-from", "HostConfig.VolumesFrom"},
    {"device-cgroup-rule", "HostConfig.DeviceCgroupRules"},
};

static enum flag_kind kind_of(const struct args *args, const char *name)
{
    const struct flag *flag = args->flags;
    while (strcmp(flag->name, name) != 0)
        flag++;
    return flag->kind;
}

static void put_rows(struct cli *cli, json_t *body)
{
    const struct args *args = &cli->args;
    const char *const *items;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (!args_set(args, rows[i].flag))
            continue;
        enum flag_kind kind = kind_of(args, rows[i].flag);
        if (kind == FLAG_BOOL)
            set_true(body, rows[i].path, args_on(args, rows[i].flag));
        else if (kind == FLAG_TEXT)
            set_text(body, rows[i].path, args_text(args, rows[i].flag));
        else
            set_number(body, rows[i].path, args_number(args, rows[i].flag, 0));
    }
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        size_t count = args_list(args, lists[i].flag, &items);
        for (size_t j = 0; j < count; j++)
            json_array_append_new(array_at(body, lists[i].path), json_string(items[j]));
    }
}

static int put_restart(struct cli *cli, json_t *body)
{
    const char *text = args_text(&cli->args, "restart");
    struct restart restart;
    if (!text)
        return 0;
    if (restart_parse(text, &restart, &cli->arena, &cli->error) < 0)
        return -(int)cli->error.code;
    if (args_on(&cli->args, "rm") && !str_equal(restart.name, "no"))
        return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                       "Conflicting options: --restart and --rm");
    set_text(body, "HostConfig.RestartPolicy.Name", restart.name);
    set_number(body, "HostConfig.RestartPolicy.MaximumRetryCount", restart.retries);
    return 0;
}

// The options of an endpoint that --network has as fields, and that stand alone for the first one.
static const struct {
    const char *field, *flag, *path;
    bool is_list;
} endpoint_rows[] = {{"Aliases", "network-alias", "Aliases", true},
                     {"DriverOpts", NULL, "DriverOpts", false},
                     {"ip", "ip", "IPAMConfig.IPv4Address", false},
                     {"ip6", "ip6", "IPAMConfig.IPv6Address", false},
                     {"link-local-ip", "link-local-ip", "IPAMConfig.LinkLocalIPs", true},
                     {"mac-address", "mac-address", "MacAddress", false},
                     {NULL, "link", "Links", true}};

// One endpoint from the fields of its --network, and if it is the first from the options beside.
static void put_endpoint(struct cli *cli, json_t *endpoint, json_t *network, bool first)
{
    const char *const *items;
    for (size_t i = 0; i < COUNT_OF(endpoint_rows); i++) {
        const char *path = endpoint_rows[i].path, *flag = endpoint_rows[i].flag;
        json_t *field = endpoint_rows[i].field ? at(network, endpoint_rows[i].field) : NULL;
        if (field)
            set_at(endpoint, path, json_incref(field));
        if (!first || !flag || !args_set(&cli->args, flag))
            continue;
        if (!endpoint_rows[i].is_list) {
            set_text(endpoint, path, args_text(&cli->args, flag));
            continue;
        }
        size_t count = args_list(&cli->args, flag, &items);
        for (size_t j = 0; j < count; j++)
            json_array_append_new(array_at(endpoint, path), json_string(items[j]));
    }
}

// A network that somebody made, not one that each host has.
static bool is_users(const char *network)
{
    static const char *const hosts[] = {"default", "bridge", "host", "none"};
    for (size_t i = 0; i < COUNT_OF(hosts); i++)
        if (str_equal(network, hosts[i]))
            return false;
    return !str_starts(network, "container:");
}

static int put_network(struct cli *cli, json_t *body)
{
    static const char *const none[] = {"default"};
    const char *const *items;
    size_t count = args_list(&cli->args, "network", &items);
    if (!count) {
        items = none;
        count = 1;
    }
    for (size_t i = 0; i < count; i++) {
        json_t *network = keep(cli, parse_network(items[i], &cli->arena, &cli->error));
        if (!network)
            return bad_flag(cli, "network", items[i]);
        const char *name = text_at(network, "Target");
        if (!*name)
            return err_set(&cli->error, ERR_INVALID_ARGUMENT, "no name set for network");
        if ((at(network, "Aliases") || (i == 0 && args_set(&cli->args, "network-alias"))) &&
            !is_users(name))
            return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                           "network-scoped aliases are only supported for user-defined networks");
        if (i == 0)
            set_text(body, "HostConfig.NetworkMode", name);
        // Dots in a network's name are no path.
        json_t *endpoint = json_object();
        json_object_set_new(object_at(body, "NetworkingConfig.EndpointsConfig"), name, endpoint);
        put_endpoint(cli, endpoint, network, i == 0);
    }
    // Daemons before 1.44 look for it here.
    if (args_set(&cli->args, "mac-address"))
        set_text(body, "MacAddress", args_text(&cli->args, "mac-address"));
    return 0;
}

// A relative source is a folder of ours.
static const char *bind_text(struct cli *cli, const char *text)
{
    const char *pwd = cli_env("PWD");
    if (*text != '.' || !pwd)
        return text;
    return textf(cli, "%s/%s", pwd, str_starts(text, "./") ? text + 2 : text);
}

static int put_mounts(struct cli *cli, json_t *body)
{
    const char *const *items, *rest;
    size_t count = args_list(&cli->args, "volume", &items);
    for (size_t i = 0; i < count; i++) {
        if (strchr(items[i], ':'))
            json_array_append_new(array_at(body, "HostConfig.Binds"),
                                  json_string(bind_text(cli, items[i])));
        else
            json_object_set_new(object_at(body, "Volumes"), items[i], json_object());
    }
    count = args_list(&cli->args, "mount", &items);
    for (size_t i = 0; i < count; i++) {
        json_t *mount = parse_mount(items[i], &cli->arena, &cli->error);
        if (!mount)
            return bad_flag(cli, "mount", items[i]);
        json_array_append_new(array_at(body, "HostConfig.Mounts"), mount);
    }
    count = args_list(&cli->args, "tmpfs", &items);
    for (size_t i = 0; i < count; i++) {
        const char *target = split_once(items[i], ':', &rest, &cli->arena);
        json_object_set_new(object_at(body, "HostConfig.Tmpfs"), target,
                            json_string(rest ? rest : ""));
    }
    count = args_list(&cli->args, "device", &items);
    for (size_t i = 0; i < count; i++) {
        const char *inside, *mode = NULL, *host = split_once(items[i], ':', &inside, &cli->arena);
        if (inside)
            inside = split_once(inside, ':', &mode, &cli->arena);
        json_array_append_new(array_at(body, "HostConfig.Devices"),
                              json_pack("{s:s, s:s, s:s}", "PathOnHost", host, "PathInContainer",
                                        inside ? inside : host, "CgroupPermissions",
                                        mode ? mode : "rwm"));
    }
    return 0;
}

// --expose 80, 53/udp or 90-99.
static int put_exposed(struct cli *cli, json_t *exposed, const char *text)
{
    const char *protocol, *end, *ports = split_once(text, '/', &protocol, &cli->arena);
    const char *begin = split_once(ports, '-', &end, &cli->arena);
    int64_t first, last;
    if (!str_to_i64(begin, 1, 65535, &first) || !str_to_i64(end ? end : begin, first, 65535, &last))
        return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                       "invalid range format for --expose: %s, it is PORT[-PORT][/PROTOCOL]", text);
    for (; first <= last; first++)
        json_object_set_new(exposed,
                            textf(cli, "%lld/%s", (long long)first, protocol ? protocol : "tcp"),
                            json_object());
    return 0;
}

static int put_ports(struct cli *cli, json_t *body)
{
    const char *const *items;
    size_t count = args_list(&cli->args, "publish", &items);
    for (size_t i = 0; i < count; i++)
        if (parse_container_port(items[i], object_at(body, "HostConfig.PortBindings"),
                                 object_at(body, "ExposedPorts"), &cli->arena, &cli->error) < 0)
            return -(int)cli->error.code;
    count = args_list(&cli->args, "expose", &items);
    for (size_t i = 0; i < count; i++)
        if (put_exposed(cli, object_at(body, "ExposedPorts"), items[i]) < 0)
            return -(int)cli->error.code;
    count = args_list(&cli->args, "ulimit", &items);
    for (size_t i = 0; i < count; i++) {
        json_t *limit = parse_ulimit(items[i], &cli->error);
        if (!limit)
            return -(int)cli->error.code;
        json_array_append_new(array_at(body, "HostConfig.Ulimits"), limit);
    }
    return 0;
}

static void put_maps(struct cli *cli, json_t *body)
{
    static const struct {
        const char *flag, *path;
    } maps[] = {{"label", "Labels"},
                {"annotation", "HostConfig.Annotations"},
                {"log-opt", "HostConfig.LogConfig.Config"},
                {"sysctl", "HostConfig.Sysctls"},
                {"storage-opt", "HostConfig.StorageOpt"}};
    for (size_t i = 0; i < COUNT_OF(maps); i++)
        if (args_set(&cli->args, maps[i].flag))
            set_at(body, maps[i].path, json_incref(pairs_object(cli, maps[i].flag)));
}

static const char *no_value(const char *name)
{
    (void)name;
    return NULL;
}

static int put_label_files(struct cli *cli, json_t *body)
{
    const char *const *items, *rest;
    size_t count = args_list(&cli->args, "label-file", &items), j;
    json_t *lines = keep(cli, json_array()), *line, *labels = json_object();
    for (size_t i = 0; i < count; i++) {
        const char *text = cli_read(cli, items[i], NULL);
        if (!text || parse_env_file(text, no_value, lines, &cli->arena, &cli->error) < 0) {
            json_decref(labels);
            return err_wrap(&cli->error, "--label-file %s", items[i]);
        }
    }
    json_array_foreach(lines, j, line)
    {
        const char *key = split_once(json_string_value(line), '=', &rest, &cli->arena);
        json_object_set_new(labels, key, json_string(str_or(rest, "")));
    }
    // Those of the command line count more.
    json_object_update(labels, pairs_object(cli, "label"));
    set_at(body, "Labels", labels);
    return 0;
}

// Limits of single disks: "/dev/sda:1mb".
static int put_disks(struct cli *cli, json_t *body)
{
    static const struct {
        const char *flag, *path, *value;
        enum flag_kind kind;
    } disks[] = {
        {"blkio-weight-device", "HostConfig.BlkioWeightDevice", "Weight", FLAG_UINT},
        {"device-read-bps", "HostConfig.BlkioDeviceReadBps", "Rate", FLAG_BYTES},
        {"device-read-iops", "HostConfig.BlkioDeviceReadIOps", "Rate", FLAG_UINT},
        {"device-write-bps", "HostConfig.BlkioDeviceWriteBps", "Rate", FLAG_BYTES},
        {"device-write-iops", "HostConfig.BlkioDeviceWriteIOps", "Rate", FLAG_UINT},
    };
    const char *const *items, *limit;
    for (size_t i = 0; i < COUNT_OF(disks); i++) {
        size_t count = args_list(&cli->args, disks[i].flag, &items);
        for (size_t j = 0; j < count; j++) {
            const char *path = split_once(items[j], ':', &limit, &cli->arena);
            int64_t number = 0;
            if (!str_starts(path, "/dev/") || !limit ||
                flag_number(disks[i].kind, limit, &number, NULL) < 0) {
                err_set(&cli->error, ERR_INVALID_ARGUMENT, "it is /dev/NAME:NUMBER");
                return bad_flag(cli, disks[i].flag, items[j]);
            }
            json_array_append_new(
                array_at(body, disks[i].path),
                json_pack("{s:s, s:I}", "Path", path, disks[i].value, (json_int_t)number));
        }
    }
    return 0;
}

static int put_gpus(struct cli *cli, json_t *body)
{
    const char *const *items;
    size_t count = args_list(&cli->args, "gpus", &items);
    for (size_t i = 0; i < count; i++) {
        json_t *request = parse_gpus(items[i], &cli->arena, &cli->error);
        if (!request)
            return bad_flag(cli, "gpus", items[i]);
        json_array_append_new(array_at(body, "HostConfig.DeviceRequests"), request);
    }
    return 0;
}

// What is joined to the terminal, or would be by a start: --attach, or all outputs.
static int put_streams(struct cli *cli, json_t *body)
{
    static const struct {
        const char *name, *member;
    } streams[] = {
        {"stdin", "AttachStdin"}, {"stdout", "AttachStdout"}, {"stderr", "AttachStderr"}};
    const char *const *items;
    size_t count = args_list(&cli->args, "attach", &items), k;
    bool input = args_on(&cli->args, "interactive");
    set_true(body, "AttachStdin", input);
    set_true(body, "AttachStdout", !count);
    set_true(body, "AttachStderr", !count);
    for (size_t i = 0; i < count; i++) {
        for (k = 0; k < COUNT_OF(streams) && strcasecmp(streams[k].name, items[i]) != 0; k++)
            ;
        if (k == COUNT_OF(streams)) {
            err_set(&cli->error, ERR_INVALID_ARGUMENT,
                    "valid streams are STDIN, STDOUT and STDERR");
            return bad_flag(cli, "attach", items[i]);
        }
        set_true(body, streams[k].member, true);
    }
    set_true(body, "StdinOnce", input);
    return 0;
}

// Six octets, with colons or dashes between them.
static bool is_mac(const char *text)
{
    for (int i = 0; i < 6; i++, text += 3)
        if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
            !(i == 5 ? text[2] == 0 : text[2] == ':' || text[2] == '-'))
            return false;
    return true;
}

// What the docker command looks at before it asks a daemon.
static int check_values(struct cli *cli)
{
    static const struct {
        const char *flag, *one, *other, *kind;
        bool joins;
    } modes[] = {{"cgroupns", "host", "private", "CGROUP", false},
                 {"pid", "host", "", "PID", true},
                 {"userns", "host", "", "USER", false},
                 {"uts", "host", "", "UTS", false}};
    static const char *const counts[] = {"health-interval", "health-timeout", "health-retries",
                                         "health-start-period", "health-start-interval"};
    const struct args *args = &cli->args;
    const char *const *items;
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        const char *mode = str_or(args_text(args, modes[i].flag), "");
        if (*mode && !str_equal(mode, modes[i].one) && !str_equal(mode, modes[i].other) &&
            !(modes[i].joins && str_starts(mode, "container:") && mode[10]))
            return err_set(&cli->error, ERR_INVALID_ARGUMENT, "--%s: invalid %s mode: %s",
                           modes[i].flag, modes[i].kind, mode);
    }
    for (size_t i = 0; i < COUNT_OF(counts); i++)
        if (args_number(args, counts[i], 0) < 0)
            return err_set(&cli->error, ERR_INVALID_ARGUMENT, "--%s cannot be negative", counts[i]);
    const char *pull = str_or(args_text(args, "pull"), "missing");
    if (!str_equal(pull, "always") && !str_equal(pull, "missing") && !str_equal(pull, "never"))
        return err_set(
            &cli->error, ERR_INVALID_ARGUMENT,
            "invalid pull option: '%s': must be one of \"always\", \"missing\" or \"never\"", pull);
    const char *address = str_or(args_text(args, "mac-address"), "");
    if (*address && !is_mac(address))
        return err_set(&cli->error, ERR_INVALID_ARGUMENT, "%s is not a valid mac address", address);
    size_t count = args_list(args, "device", &items);
    for (size_t i = 0; i < count; i++)
        // (With "=" it is the name of a device that a file describes.)
        if (items[i][0] != '/' && !strchr(items[i], '='))
            return err_set(&cli->error, ERR_INVALID_ARGUMENT, "%s is not an absolute path",
                           items[i]);
    count = args_list(args, "volume", &items);
    for (size_t i = 0; i < count; i++)
        if (!items[i][0])
            return err_set(&cli->error, ERR_INVALID_ARGUMENT, "invalid empty volume spec");
    return 0;
}

json_t *container_body(struct cli *cli)
{
    struct args *args = &cli->args;
    json_t *body = keep(cli, json_object());

    set_text(body, "Image", args->argv[0]);
    for (int i = 1; i < args->argc; i++)
        json_array_append_new(array_at(body, "Cmd"), json_string(args->argv[i]));
    object_at(body, "HostConfig");
    put_rows(cli, body);
    put_maps(cli, body);
    capabilities_put(cli, body, "HostConfig.CapAdd", "HostConfig.CapDrop");
    const char *entrypoint = args_text(args, "entrypoint");
    if (entrypoint)
        json_array_append_new(array_at(body, "Entrypoint"), json_string(entrypoint));
    if (args_on(args, "no-healthcheck"))
        set_at(body, "Healthcheck.Test", json_pack("[s]", "NONE"));
    else if (args_set(args, "health-cmd"))
        set_at(body, "Healthcheck.Test",
               json_pack("[ss]", "CMD-SHELL", args_text(args, "health-cmd")));
    if (check_values(cli) < 0 || put_env_options(cli, body, "Env") < 0 ||
        put_restart(cli, body) < 0 || put_network(cli, body) < 0 || put_mounts(cli, body) < 0 ||
        put_ports(cli, body) < 0 || put_label_files(cli, body) < 0 || put_disks(cli, body) < 0 ||
        put_gpus(cli, body) < 0 || put_streams(cli, body) < 0)
        return NULL;
    return body;
}
