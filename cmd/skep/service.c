// skep service: list, look at, scale, roll back and remove services. Creating and updating them is
// in service_create.c and service_update.c, their logs are in logs.c.
#include "cmd/skep/service.h"

#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/converge.h"
#include "cmd/skep/format.h"
#include "cmd/skep/task.h"
#include "cmd/skep/text.h"
#include "proto/base/str.h"

// ---- lists --------------------------------------------------------------------------------------

const char *service_mode(json_t *service)
{
    static const struct {
        const char *path, *name;
    } modes[] = {{"Spec.Mode.Replicated", "replicated"},
                 {"Spec.Mode.Global", "global"},
                 {"Spec.Mode.ReplicatedJob", "replicated job"},
                 {"Spec.Mode.GlobalJob", "global job"},
                 {0}};
    for (size_t i = 0; modes[i].path; i++)
        if (at(service, modes[i].path))
            return modes[i].name;
    return "";
}

const char *service_replicas(struct cli *cli, json_t *service)
{
    long long running = number_at(service, "ServiceStatus.RunningTasks");
    long long wanted = number_at(service, "ServiceStatus.DesiredTasks");
    long long done = number_at(service, "ServiceStatus.CompletedTasks");
    long long most = number_at(service, "Spec.TaskTemplate.Placement.MaxReplicas");
    if (at(service, "Spec.Mode.ReplicatedJob"))
        return textf(cli, "%lld/%lld (%lld/%lld completed)", running, wanted, done,
                     (long long)number_at(service, "Spec.Mode.ReplicatedJob.TotalCompletions"));
    if (at(service, "Spec.Mode.GlobalJob"))
        return textf(cli, "%lld/%lld (%lld/%lld completed)", running, wanted, done, wanted + done);
    if (most)
        return textf(cli, "%lld/%lld (max %lld per node)", running, wanted, most);
    return textf(cli, "%lld/%lld", running, wanted);
}

// Runs of ports with the same distance are shown as "*:80-82->8080-8082/tcp".
const char *service_ports(struct cli *cli, json_t *ports)
{
    struct buf text;
    buf_init(&text, 256 * 1024);
    size_t count = json_array_size(ports);
    for (size_t i = 0; i < count;) {
        json_t *first = json_array_get(ports, i);
        long long published = number_at(first, "PublishedPort"),
                  target = number_at(first, "TargetPort"), run = 1;
        const char *protocol = text_at(first, "Protocol");
        if (!str_equal(text_at(first, "PublishMode"), "ingress") || !published) {
            i++;
            continue;
        }
        while (i + (size_t)run < count) {
            json_t *next = json_array_get(ports, i + (size_t)run);
            if (number_at(next, "PublishedPort") != published + run ||
                number_at(next, "TargetPort") != target + run ||
                !str_equal(text_at(next, "Protocol"), protocol) ||
                !str_equal(text_at(next, "PublishMode"), "ingress"))
                break;
            run++;
        }
        buf_put_str(&text, text.len ? ", " : "");
        if (run > 1)
            buf_printf(&text, "*:%lld-%lld->%lld-%lld/%s", published, published + run - 1, target,
                       target + run - 1, protocol);
        else
            buf_printf(&text, "*:%lld->%lld/%s", published, target, protocol);
        i += (size_t)run;
    }
    const char *copy = textf(cli, "%s", buf_cstr(&text));
    buf_fini(&text);
    return copy;
}

static const struct column ls_columns[] = {{"ID", "ID"},
                                           {"Name", "NAME"},
                                           {"Mode", "MODE"},
                                           {"Replicas", "REPLICAS"},
                                           {"Image", "IMAGE"},
                                           {"Ports", "PORTS"},
                                           {0}};

const struct listing service_listing = {
    ls_columns, "table {{.ID}}\t{{.Name}}\t{{.Mode}}\t{{.Replicas}}\t{{.Image}}\t{{.Ports}}",
    "{{.ID}}", "servicesFormat"};

json_t *service_rows(struct cli *cli, json_t *services)
{
    json_t *rows = keep(cli, json_array());
    size_t i;
    json_t *service;
    json_array_foreach(services, i, service)
    {
        json_t *row = row_new(cli, at(service, "Spec.Labels"));
        row_set(row, "ID", text_short_id(text_at(service, "ID"), &cli->arena));
        row_set(row, "Name", text_at(service, "Spec.Name"));
        row_set(row, "Mode", service_mode(service));
        row_set(row, "Replicas", service_replicas(cli, service));
        row_set(row, "Image",
                task_image(cli, text_at(service, "Spec.TaskTemplate.ContainerSpec.Image")));
        row_set(row, "Ports", service_ports(cli, at(service, "Endpoint.Ports")));
        rows_put(rows, row);
    }
    return rows;
}

static int run_ls(struct cli *cli)
{
    const char *filters = filters_part(cli);
    json_t *services = filters ? api_get(cli, "/services?status=true%s", filters) : NULL;
    return services ? show_list(cli, &service_listing, service_rows(cli, services)) : failed(cli);
}

json_t *service_fetch(struct cli *cli, const char *name)
{
    return api_get(cli, "/services/%s?insertDefaults=false", escape(cli, name));
}

static int run_inspect(struct cli *cli)
{
    if (!wants_pretty(cli))
        return show_inspected(cli, "/services/", "?insertDefaults=true", "swarm.Service");
    if (args_on(&cli->args, "pretty") && args_set(&cli->args, "format"))
        return complain(cli, "--format is incompatible with human friendly format");
    for (int i = 0; i < cli->args.argc; i++) {
        json_t *service =
            api_get(cli, "/services/%s?insertDefaults=true", escape(cli, cli->args.argv[i]));
        if (!service)
            return failed(cli);
        service_say(cli, service);
    }
    return 0;
}

static int run_ps(struct cli *cli)
{
    json_t *all = keep(cli, json_array());
    int status = 0;
    for (int i = 0; i < cli->args.argc; i++) {
        const char *name = cli->args.argv[i];
        json_t *service = service_fetch(cli, name);
        const char *filters = service ? filters_with(cli, "service", text_at(service, "ID")) : NULL;
        json_t *tasks = filters ? api_get(cli, "/tasks?%s", filters) : NULL;
        if (tasks)
            json_array_extend(all, tasks);
        else if (cli->status == 404)
            status = complain(cli, "no such service: %s", name);
        else
            status = failed(cli);
    }
    int shown = !status || json_array_size(all) ? task_show(cli, all) : 0;
    return status ? status : shown;
}

// ---- changes ------------------------------------------------------------------------------------

json_t *service_write(struct cli *cli, json_t *service, const char *query, const char *auth)
{
    json_t *answer =
        api_auth(cli, "POST",
                 textf(cli, "/services/%s/update?version=%lld%s", text_at(service, "ID"),
                       (long long)number_at(service, "Version.Index"), query),
                 at(service, "Spec"), auth);
    size_t i;
    json_t *warning;
    json_array_foreach(at(answer, "Warnings"), i, warning)
        warn(cli, "%s\n", str_or(json_string_value(warning), ""));
    return answer;
}

static int remove_one(struct cli *cli, const char *name)
{
    return remove_named(cli, "/services/", name, false);
}

static int run_rm(struct cli *cli)
{
    return each_argument(cli, remove_one);
}

static int scale_one(struct cli *cli, const char *name, int64_t replicas)
{
    json_t *service = service_fetch(cli, name);
    if (!service)
        return complain(cli, "%s: %s", name, cli->error.message);
    if (at(service, "Spec.Mode.Replicated"))
        set_number(service, "Spec.Mode.Replicated.Replicas", replicas);
    else if (at(service, "Spec.Mode.ReplicatedJob"))
        set_number(service, "Spec.Mode.ReplicatedJob.TotalCompletions", replicas);
    else
        return complain(cli, "%s: scale can only be used with replicated or replicated-job mode",
                        name);
    if (!service_write(cli, service, "", NULL))
        return complain(cli, "%s: %s", name, cli->error.message);
    say(cli, "%s scaled to %lld\n", name, (long long)replicas);
    return 0;
}

static int run_scale(struct cli *cli)
{
    int status = 0;
    const char *names[ARGS_MAX];
    int count = 0;
    for (int i = 0; i < cli->args.argc && count < ARGS_MAX; i++) {
        const char *wanted, *name = split_once(cli->args.argv[i], '=', &wanted, &cli->arena);
        int64_t replicas = 0;
        if (!wanted)
            return complain(cli, "invalid scale specifier '%s': write SERVICE=REPLICAS",
                            cli->args.argv[i]);
        if (!str_to_i64(wanted, 0, INT64_MAX, &replicas)) {
            status = complain(cli, "%s: invalid replicas value %s", name, wanted);
            continue;
        }
        if (scale_one(cli, name, replicas) == 0)
            names[count++] = name;
        else
            status = 1;
    }
    for (int i = 0; i < count && !args_on(&cli->args, "detach"); i++)
        if (converge_wait(cli, names[i], false) != 0)
            status = 1;
    return status;
}

static int run_rollback(struct cli *cli)
{
    const char *name = cli->args.argv[0];
    json_t *service = service_fetch(cli, name);
    if (!service || !service_write(cli, service, "&rollback=previous", NULL))
        return failed(cli);
    say(cli, "%s\n", name);
    bool quiet = args_on(&cli->args, "quiet");
    return args_on(&cli->args, "detach") ? 0 : converge_wait(cli, text_at(service, "ID"), quiet);
}

// ---- the table ----------------------------------------------------------------------------------

static const struct flag ls_flags[] = {
    {"filter", 'f', FLAG_FILTERS, "filter", "Only services that fit, such as name=web"},
    {"format", 0, FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"quiet", 'q', FLAG_BOOL, NULL, "Print ids alone"},
    {0},
};
static const struct flag inspect_flags[] = {
    {"format", 'f', FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"pretty", 0, FLAG_BOOL, NULL, "Print what matters, for people"},
    {0},
};
static const struct flag ps_flags[] = {TASK_LIST_FLAGS, {0}};
static const struct flag scale_flags[] = {
    {"detach", 'd', FLAG_BOOL, NULL, "Do not wait until the tasks run"},
    {0},
};
static const struct flag rollback_flags[] = {
    {"detach", 'd', FLAG_BOOL, NULL, "Do not wait until the tasks run"},
    {"quiet", 'q', FLAG_BOOL, NULL, "Show no progress"},
    {0},
};

const struct command service_commands[] = {
    {"service create", "[OPTIONS] IMAGE [COMMAND] [ARG...]", "Create a service",
     service_create_flags, service_run_create, 1, COMMAND_MANY, COMMAND_STOPS, "image"},
    {"service inspect", "[OPTIONS] SERVICE [SERVICE...]", "Show all there is to know of services",
     inspect_flags, run_inspect, 1, COMMAND_MANY, 0, "service"},
    {"service logs", "[OPTIONS] SERVICE|TASK", "Show what a service or a task wrote",
     service_logs_flags, service_run_logs, 1, 1, 0, "service"},
    {"service ls", "[OPTIONS]", "List the services", ls_flags, run_ls, 0, 0, 0, NULL},
    {"service ps", "[OPTIONS] SERVICE [SERVICE...]", "List the tasks of services", ps_flags, run_ps,
     1, COMMAND_MANY, 0, "service"},
    {"service rm", "SERVICE [SERVICE...]", "Remove services", NULL, run_rm, 1, COMMAND_MANY, 0,
     "service"},
    {"service rollback", "[OPTIONS] SERVICE", "Undo the last update of a service", rollback_flags,
     run_rollback, 1, 1, 0, "service"},
    {"service scale", "SERVICE=REPLICAS [SERVICE=REPLICAS...]", "Say how many tasks services have",
     scale_flags, run_scale, 1, COMMAND_MANY, 0, "service"},
    {"service update", "[OPTIONS] SERVICE", "Change a service", service_update_flags,
     service_run_update, 1, 1, 0, "service"},
    {0},
};
