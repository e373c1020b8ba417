// The options of `skep run` and `skep create`, and the container they describe.
#include <string.h>

#include "cmd/skep/common.h"
#include "cmd/skep/container.h"
#include "cmd/skep/parse.h"
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
    {"mac-address", "MacAddress"},
    {"health-interval", "Healthcheck.Interval"},
    {"health-timeout", "Healthcheck.Timeout"},
    {"health-start-period", "Healthcheck.StartPeriod"},
    {"health-retries", "Healthcheck.Retries"},
    {"cgroup-parent", "HostConfig.CgroupParent"},
    {"cgroupns", "HostConfig.CgroupnsMode"},
    {"cpu-period", "HostConfig.CpuPeriod"},
    {"cpu-quota", "HostConfig.CpuQuota"},
    {"cpu-shares", "HostConfig.CpuShares"},
    {"cpus", "HostConfig.NanoCpus"},
    {"cpuset-cpus", "HostConfig.CpusetCpus"},
    {"cpuset-mems", "HostConfig.CpusetMems"},
    {"init", "HostConfig.Init"},
    {"ipc", "HostConfig.IpcMode"},
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
    {"cap-add", "HostConfig.CapAdd"},
    {"cap-drop", "HostConfig.CapDrop"},
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

static int put_env(struct cli *cli, json_t *body)
{
    const char *const *items, *value;
    size_t files = args_list(&cli->args, "env-file", &items);
    for (size_t i = 0; i < files; i++) {
        const char *text = cli_read(cli, items[i], NULL);
        if (!text ||
            parse_env_file(text, cli_env, array_at(body, "Env"), &cli->arena, &cli->error) < 0)
            return err_wrap(&cli->error, "--env-file %s", items[i]);
    }
    size_t count = args_list(&cli->args, "env", &items);
    for (size_t i = 0; i < count; i++) {
        const char *name = split_once(items[i], '=', &value, &cli->arena);
        const char *found = value ? value : cli_env(name);
        if (found)
            json_array_append_new(array_at(body, "Env"),
                                  json_string(textf(cli, "%s=%s", name, found)));
    }
    return 0;
}

static int put_restart(struct cli *cli, json_t *body)
{
    const char *text = args_text(&cli->args, "restart"), *count;
    int64_t number = 0;
    if (!text)
        return 0;
    const char *name = split_once(text, ':', &count, &cli->arena);
    bool known = strstr(" no always on-failure unless-stopped ", textf(cli, " %s ", name)) != NULL;
    if (!known ||
        (count && (!str_equal(name, "on-failure") || !str_to_i64(count, 0, 1000000, &number))))
        return err_set(&cli->error, ERR_INVALID_ARGUMENT, "invalid restart policy: %s", text);
    if (args_on(&cli->args, "rm") && !str_equal(name, "no"))
        return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                       "Conflicting options: --restart and --rm");
    set_text(body, "HostConfig.RestartPolicy.Name", name);
    set_number(body, "HostConfig.RestartPolicy.MaximumRetryCount", number);
    return 0;
}

static int put_network(struct cli *cli, json_t *body)
{
    const char *const *items, *first = NULL;
    size_t count = args_list(&cli->args, "network", &items);
    for (size_t i = 0; i < count; i++) {
        json_t *network = keep(cli, parse_network(items[i], &cli->arena, &cli->error));
        if (!network)
            return err_wrap(&cli->error, "invalid argument \"%s\" for \"--network\" flag",
                            items[i]);
        const char *name = text_at(network, "Target");
        first = first ? first : name;
        // Dots in a network's name are no path.
        json_t *endpoints = object_at(body, "NetworkingConfig.EndpointsConfig");
        json_t *endpoint = json_object();
        json_object_set_new(endpoints, name, endpoint);
        if (at(network, "Aliases"))
            set_at(endpoint, "Aliases", json_incref(at(network, "Aliases")));
        if (at(network, "DriverOpts"))
            set_at(endpoint, "DriverOpts", json_incref(at(network, "DriverOpts")));
        if (at(network, "ip"))
            set_text(endpoint, "IPAMConfig.IPv4Address", text_at(network, "ip"));
        if (at(network, "ip6"))
            set_text(endpoint, "IPAMConfig.IPv6Address", text_at(network, "ip6"));
    }
    set_text(body, "HostConfig.NetworkMode", first ? first : "default");
    if (!first)
        return 0;
    json_t *endpoint = json_object_get(object_at(body, "NetworkingConfig.EndpointsConfig"), first);
    if (args_set(&cli->args, "ip"))
        set_text(endpoint, "IPAMConfig.IPv4Address", args_text(&cli->args, "ip"));
    if (args_set(&cli->args, "ip6"))
        set_text(endpoint, "IPAMConfig.IPv6Address", args_text(&cli->args, "ip6"));
    count = args_list(&cli->args, "network-alias", &items);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array_at(endpoint, "Aliases"), json_string(items[i]));
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
            return err_wrap(&cli->error, "invalid argument \"%s\" for \"--mount\" flag", items[i]);
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
        json_object_set_new(object_at(body, "ExposedPorts"),
                            strchr(items[i], '/') ? items[i] : textf(cli, "%s/tcp", items[i]),
                            json_object());
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
                {"log-opt", "HostConfig.LogConfig.Config"},
                {"sysctl", "HostConfig.Sysctls"},
                {"storage-opt", "HostConfig.StorageOpt"}};
    for (size_t i = 0; i < COUNT_OF(maps); i++)
        if (args_set(&cli->args, maps[i].flag))
            set_at(body, maps[i].path, json_incref(pairs_object(cli, maps[i].flag)));
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
    const char *entrypoint = args_text(args, "entrypoint");
    if (entrypoint)
        json_array_append_new(array_at(body, "Entrypoint"), json_string(entrypoint));
    if (args_on(args, "no-healthcheck"))
        set_at(body, "Healthcheck.Test", json_pack("[s]", "NONE"));
    else if (args_set(args, "health-cmd"))
        set_at(body, "Healthcheck.Test",
               json_pack("[ss]", "CMD-SHELL", args_text(args, "health-cmd")));
    if (put_env(cli, body) < 0 || put_restart(cli, body) < 0 || put_network(cli, body) < 0 ||
        put_mounts(cli, body) < 0 || put_ports(cli, body) < 0)
        return NULL;
    bool input = args_on(args, "interactive");
    set_true(body, "AttachStdin", input);
    set_true(body, "StdinOnce", input);
    set_true(body, "AttachStdout", true);
    set_true(body, "AttachStderr", true);
    return body;
}
