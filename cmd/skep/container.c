// skep container: list, look at, stop and remove containers. What joins them to a terminal is in
// run.c.
#include "cmd/skep/container.h"

#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/demux.h"
#include "cmd/skep/format.h"
#include "cmd/skep/interrupt_io.h"
#include "cmd/skep/logs.h"
#include "cmd/skep/prune.h"
#include "cmd/skep/template.h"
#include "cmd/skep/text.h"
#include "proto/base/str.h"

#define COMMAND_COLUMNS 20

// ---- ls -----------------------------------------------------------------------------------------

static const char *names_of(struct cli *cli, json_t *container, bool full)
{
    const char *text = "";
    size_t i;
    json_t *name;
    json_array_foreach(at(container, "Names"), i, name)
    {
        const char *one = str_or(json_string_value(name), "/") + 1;
        if (full || !strchr(one, '/')) // a name with a slash is a link
            text = textf(cli, "%s%s%s", text, *text ? "," : "", one);
    }
    return text;
}

static const char *ports_of(struct cli *cli, json_t *container)
{
    const char *text = "";
    size_t i;
    json_t *port;
    json_array_foreach(at(container, "Ports"), i, port)
    {
        long long inside = number_at(port, "PrivatePort"), outside = number_at(port, "PublicPort");
        const char *ip = text_at(port, "IP"), *kind = text_at(port, "Type");
        bool six = strchr(ip, ':') != NULL;
        text = outside ? textf(cli, "%s%s%s%s%s:%lld->%lld/%s", text, *text ? ", " : "",
                               six ? "[" : "", ip, six ? "]" : "", outside, inside, kind)
                       : textf(cli, "%s%s%lld/%s", text, *text ? ", " : "", inside, kind);
    }
    return text;
}

static const char *joined(struct cli *cli, json_t *object, const char *list, const char *key)
{
    const char *text = "", *name;
    size_t i;
    json_t *item;
    json_array_foreach(at(object, list), i, item) text =
        textf(cli, "%s%s%s", text, *text ? "," : "", text_at(item, key));
    if (json_is_object(at(object, list)))
        json_object_foreach(at(object, list), name, item) text =
            textf(cli, "%s%s%s", text, *text ? "," : "", name);
    return text;
}

static size_t local_volumes(const json_t *container)
{
    size_t i, count = 0;
    json_t *mount;
    json_array_foreach(at(container, "Mounts"), i, mount) count +=
        str_equal(text_at(mount, "Driver"), "local");
    return count;
}

static json_t *ls_row(struct cli *cli, json_t *container)
{
    bool full = args_on(&cli->args, "no-trunc");
    json_t *row = row_new(cli, at(container, "Labels"));
    const char *id = text_at(container, "Id"), *command = text_at(container, "Command");
    struct wall made = {.ns = number_at(container, "Created") * NS_PER_S};
    char moment[WALL_TEXT_BYTES];
    double written = (double)number_at(container, "SizeRw");
    double whole = (double)number_at(container, "SizeRootFs");
    row_set(row, "ID", full ? id : text_short_id(id, &cli->arena));
    row_set(row, "Image", text_at(container, "Image"));
    row_set(row, "Command",
            textf(cli, "\"%s\"", full ? command : text_cut(command, COMMAND_COLUMNS, &cli->arena)));
    row_set(row, "CreatedAt", text_moment(wall_format(made, moment), &cli->arena));
    row_set(row, "RunningFor",
            textf(cli, "%s ago", text_span(wall_since(cli_now(), made), &cli->arena)));
    row_set(row, "Status", text_at(container, "Status"));
    row_set(row, "State", text_at(container, "State"));
    row_set(row, "Ports", ports_of(cli, container));
    row_set(row, "Names", names_of(cli, container, full));
    row_set(row, "Labels", labels_text(cli, at(container, "Labels")));
    row_set(row, "Mounts", joined(cli, container, "Mounts", "Name"));
    row_set(row, "LocalVolumes", textf(cli, "%zu", local_volumes(container)));
    row_set(row, "Networks", joined(cli, container, "NetworkSettings.Networks", ""));
    row_set(row, "Size",
            whole > 0 ? textf(cli, "%s (virtual %s)", text_size_short(written, &cli->arena),
                              text_size_short(whole, &cli->arena))
                      : text_size_short(written, &cli->arena));
    return row;
}

static int run_ls(struct cli *cli)
{
    static const struct column columns[] = {{"ID", "CONTAINER ID"},
                                            {"Image", "IMAGE"},
                                            {"Command", "COMMAND"},
                                            {"RunningFor", "CREATED"},
                                            {"CreatedAt", "CREATED AT"},
                                            {"Status", "STATUS"},
                                            {"State", "STATE"},
                                            {"Ports", "PORTS"},
                                            {"Names", "NAMES"},
                                            {"Labels", "LABELS"},
                                            {"Mounts", "MOUNTS"},
                                            {"LocalVolumes", "LOCAL VOLUMES"},
                                            {"Networks", "NETWORKS"},
                                            {"Size", "SIZE"},
                                            {0}};
#define LS_TABLE                                                                                   \
    "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
    static const struct listing plain = {columns, LS_TABLE, "{{.ID}}", "psFormat"};
    static const struct listing sized = {columns, LS_TABLE "\t{{.Size}}", "{{.ID}}", "psFormat"};
    struct args *args = &cli->args;
    const char *filters = filters_part(cli);
    int64_t last = args_on(args, "latest") ? 1 : args_number(args, "last", -1);
    bool all = args_on(args, "all") || last > 0;
    json_t *containers = filters
                             ? api_get(cli, "/containers/json?all=%d%s%s%s", all,
                                       last > 0 ? textf(cli, "&limit=%lld", (long long)last) : "",
                                       args_on(args, "size") ? "&size=1" : "", filters)
                             : NULL;
    if (!containers)
        return failed(cli);
    json_t *rows = keep(cli, json_array()), *container;
    size_t i;
    json_array_foreach(containers, i, container) json_array_append(rows, ls_row(cli, container));
    return show_list(cli, args_on(args, "size") ? &sized : &plain, rows);
}

static int run_inspect(struct cli *cli)
{
    return show_inspected(cli, "/containers/",
                          args_on(&cli->args, "size") ? "/json?size=1" : "/json",
                          "?container.InspectResponse");
}

// `skep inspect` takes whatever has the name.
static int run_inspect_any(struct cli *cli)
{
    static const struct {
        const char *kind, *prefix, *suffix, *type;
    } kinds[] = {{"container", "/containers/", "/json", "?container.InspectResponse"},
                 {"image", "/images/", "/json", "?image.InspectResponse"},
                 {"network", "/networks/", "", "?network.Inspect"},
                 {"volume", "/volumes/", "", "~volume.Volume"},
                 {"node", "/nodes/", "", "swarm.Node"},
                 {"service", "/services/", "?insertDefaults=true", "swarm.Service"},
                 {"task", "/tasks/", "", NULL},
                 {"secret", "/secrets/", "", "?swarm.Secret"},
                 {"config", "/configs/", "", "?swarm.Secret"}};
    json_t *values = keep(cli, json_array()), *texts = keep(cli, json_array());
    const char *wanted = args_text(&cli->args, "type"), *missing = NULL;
    size_t known = 0;
    while (wanted && known < COUNT_OF(kinds) && !str_equal(wanted, kinds[known].kind))
        known++;
    if (known == COUNT_OF(kinds))
        return complain(cli,
                        "unknown type: \"%s\": must be one of \"config\", \"container\", "
                        "\"image\", \"network\", \"node\", \"secret\", \"service\", "
                        "\"task\", \"volume\"",
                        wanted);
    for (int i = 0; i < cli->args.argc; i++) {
        json_t *value = NULL;
        const char *type = NULL;
        for (size_t k = 0; k < COUNT_OF(kinds) && !value; k++) {
            if (wanted && !str_equal(wanted, kinds[k].kind))
                continue;
            type = kinds[k].type;
            value =
                api_get(cli, "%s%s%s", kinds[k].prefix, escape(cli, cli->args.argv[i]),
                        k == 0 && args_on(&cli->args, "size") ? "/json?size=1" : kinds[k].suffix);
            if (!value && cli->status == 0)
                return failed(cli);
        }
        if (!value) {
            missing = cli->args.argv[i];
            continue;
        }
        size_t size;
        const char *text = api_text(cli, &size);
        template_set_type(value, type);
        json_array_append(values, value);
        json_array_append_new(texts, json_stringn(text, size));
    }
    int status = show_objects(cli, values, texts);
    if (missing)
        return complain(cli, "Error: No such %s: %s", wanted ? wanted : "object", missing);
    return status;
}

// ---- one call for each argument -----------------------------------------------------------------

static int call_and_name(struct cli *cli, const char *method, const char *target, const char *name)
{
    if (!api(cli, method, target, NULL))
        return failed(cli);
    say(cli, "%s\n", name);
    return 0;
}

static const char *stop_query(struct cli *cli)
{
    struct args *args = &cli->args;
    const char *time = str_or(args_text(args, "time"), args_text(args, "timeout"));
    return textf(cli, "?%s%s", parameter(cli, "signal", args_text(args, "signal")),
                 parameter(cli, "t", time));
}

static int stop_one(struct cli *cli, const char *name)
{
    return call_and_name(
        cli, "POST", textf(cli, "/containers/%s/stop%s", escape(cli, name), stop_query(cli)), name);
}

static int restart_one(struct cli *cli, const char *name)
{
    return call_and_name(cli, "POST",
                         textf(cli, "/containers/%s/restart%s", escape(cli, name), stop_query(cli)),
                         name);
}

static int kill_one(struct cli *cli, const char *name)
{
    const char *signal = str_or(args_text(&cli->args, "signal"), "KILL");
    return call_and_name(
        cli, "POST",
        textf(cli, "/containers/%s/kill?signal=%s", escape(cli, name), escape(cli, signal)), name);
}

static int pause_one(struct cli *cli, const char *name)
{
    const char *verb = str_ends(cli->command->path, " unpause") ? "unpause" : "pause";
    return call_and_name(cli, "POST", textf(cli, "/containers/%s/%s", escape(cli, name), verb),
                         name);
}

static int remove_one(struct cli *cli, const char *name)
{
    struct args *args = &cli->args;
    const char *query =
        textf(cli, "?%s%s%s", args_on(args, "force") ? "force=1&" : "",
              args_on(args, "volumes") ? "v=1&" : "", args_on(args, "link") ? "link=1" : "");
    return call_and_name(cli, "DELETE", textf(cli, "/containers/%s%s", escape(cli, name), query),
                         name);
}

static int wait_one(struct cli *cli, const char *name)
{
    json_t *answer = api(cli, "POST", textf(cli, "/containers/%s/wait", escape(cli, name)), NULL);
    if (!answer)
        return failed(cli);
    say(cli, "%lld\n", (long long)number_at(answer, "StatusCode"));
    return 0;
}

static int run_stop(struct cli *cli)
{
    return each_argument(cli, stop_one);
}

static int run_restart(struct cli *cli)
{
    return each_argument(cli, restart_one);
}

static int run_kill(struct cli *cli)
{
    return each_argument(cli, kill_one);
}

static int run_pause(struct cli *cli)
{
    return each_argument(cli, pause_one);
}

static int run_rm(struct cli *cli)
{
    return each_argument(cli, remove_one);
}

static int run_wait(struct cli *cli)
{
    return each_argument(cli, wait_one);
}

static int run_rename(struct cli *cli)
{
    const char *target = textf(cli, "/containers/%s/rename?name=%s", escape(cli, cli->args.argv[0]),
                               escape(cli, cli->args.argv[1]));
    if (api(cli, "POST", target, NULL))
        return 0;
    failed(cli);
    return complain(cli, "Error: failed to rename container named %s", cli->args.argv[0]);
}

// ---- looking inside -----------------------------------------------------------------------------

static int run_port(struct cli *cli)
{
    json_t *container = api_get(cli, "/containers/%s/json", escape(cli, cli->args.argv[0])), *list;
    const char *wanted = cli->args.argc > 1 ? cli->args.argv[1] : NULL, *port;
    bool any = false;
    if (!container)
        return failed(cli);
    if (wanted && !strchr(wanted, '/'))
        wanted = textf(cli, "%s/tcp", wanted);
    json_object_foreach(at(container, "NetworkSettings.Ports"), port, list)
    {
        size_t i;
        json_t *binding;
        if (wanted && !str_equal(wanted, port))
            continue;
        json_array_foreach(list, i, binding)
        {
            const char *ip = text_at(binding, "HostIp");
            bool six = strchr(ip, ':') != NULL;
            any = true;
            say(cli, "%s%s%s%s%s:%s\n", wanted ? "" : textf(cli, "%s -> ", port), six ? "[" : "",
                ip, six ? "]" : "", "", text_at(binding, "HostPort"));
        }
    }
    return wanted && !any ? complain(cli, "Error: No public port '%s' published for %s", wanted,
                                     cli->args.argv[0])
                          : 0;
}

int container_top(struct cli *cli)
{
    const char *options = "";
    for (int i = 1; i < cli->args.argc; i++)
        options = textf(cli, "%s%s%s", options, *options ? " " : "", cli->args.argv[i]);
    json_t *top = api_get(cli, "/containers/%s/top?%s", escape(cli, cli->args.argv[0]),
                          parameter(cli, "ps_args", options));
    if (!top)
        return failed(cli);
    struct buf lines;
    buf_init(&lines, 1 << 24);
    json_t *rows = json_array(), *row, *cell;
    size_t i, j;
    json_array_append(rows, at(top, "Titles"));
    json_array_extend(rows, at(top, "Processes"));
    json_array_foreach(rows, i, row)
    {
        json_array_foreach(row, j, cell)
            buf_printf(&lines, "%s%s", j ? "\t" : "",
                       text_printable(str_or(json_string_value(cell), ""), &cli->arena));
        buf_put_u8(&lines, '\n');
    }
    format_table(cli, &lines);
    json_decref(rows);
    buf_fini(&lines);
    return 0;
}

static int run_diff(struct cli *cli)
{
    json_t *changes = api_get(cli, "/containers/%s/changes", escape(cli, cli->args.argv[0]));
    json_t *change;
    size_t i;
    if (!changes)
        return failed(cli);
    json_array_foreach(changes, i, change)
        say(cli, "%c %s\n", "CAD"[number_at(change, "Kind") % 3], text_at(change, "Path"));
    return 0;
}

// ---- logs ---------------------------------------------------------------------------------------

struct log_stream {
    struct cli *cli;
    struct demux demux;
    bool tty, broken;
};

static void log_piece(void *owner, int stream, const uint8_t *bytes, size_t size)
{
    struct log_stream *logs = owner;
    (stream == 2 ? warn_bytes : say_bytes)(logs->cli, bytes, size);
}

static bool log_bytes(void *owner, const uint8_t *bytes, size_t size)
{
    struct log_stream *logs = owner;
    if (logs->tty)
        say_bytes(logs->cli, bytes, size);
    else if (demux_feed(&logs->demux, bytes, size, log_piece, logs, &logs->cli->error) < 0)
        logs->broken = true;
    say_flush(logs->cli);
    return !logs->broken;
}

static int run_logs(struct cli *cli)
{
    const char *name = cli->args.argv[0], *query = logs_query(cli);
    const char *until = args_text(&cli->args, "until");
    const char *moment = until ? logs_moment(cli, until) : "";
    json_t *container =
        query && moment ? api_get(cli, "/containers/%s/json", escape(cli, name)) : NULL;
    if (!container)
        return failed(cli);
    struct log_stream logs = {.cli = cli, .tty = true_at(container, "Config.Tty")};
    struct stream_request request = {.method = "GET",
                                     .target = textf(cli, "/containers/%s/logs?%s%s",
                                                     text_at(container, "Id"), query,
                                                     parameter(cli, "until", moment)),
                                     .upload_fd = -1,
                                     .on_data = log_bytes,
                                     .owner = &logs};
    return stream_run(cli, &request) < 0 || logs.broken ? failed(cli) : 0;
}

// ---- prune --------------------------------------------------------------------------------------

static int run_prune(struct cli *cli)
{
    static const struct prune containers = {
        .target = "/containers/prune",
        .list = "ContainersDeleted",
        .title = "Deleted Containers:",
        .question = "all stopped containers",
        .frees = true,
    };
    return prune_run(cli, &containers, filters_part(cli));
}

// ---- the table ----------------------------------------------------------------------------------

static const struct flag ls_flags[] = {
    {"all", 'a', FLAG_BOOL, NULL, "Also those that do not run"},
    {"filter", 'f', FLAG_FILTERS, "filter", "Only containers that fit, such as status=exited"},
    {"format", 0, FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"last", 'n', FLAG_INT, "int", "The newest ones only"},
    {"latest", 'l', FLAG_BOOL, NULL, "The newest one only"},
    {"no-trunc", 0, FLAG_BOOL, NULL, "Do not shorten anything"},
    {"quiet", 'q', FLAG_BOOL, NULL, "Print ids alone"},
    {"size", 's', FLAG_BOOL, NULL, "Show how much they wrote"},
    {0},
};
static const struct flag inspect_flags[] = {
    {"format", 'f', FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"size", 's', FLAG_BOOL, NULL, "Also how much it wrote"},
    {0},
};
static const struct flag any_flags[] = {
    {"format", 'f', FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"size", 's', FLAG_BOOL, NULL, "With the sizes of containers"},
    {"type", 0, FLAG_TEXT, "kind", "Only look for this kind of object"},
    {0},
};
static const struct flag stop_flags[] = {
    {"signal", 's', FLAG_TEXT, "signal", "What asks them to end"},
    {"time", 't', FLAG_INT, "seconds", "Then they are killed"},
    {"timeout", 0, FLAG_INT, "seconds", "The same as --time"},
    {0},
};
static const struct flag kill_flags[] = {
    {"signal", 's', FLAG_TEXT, "signal", "The signal (default KILL)"},
    {0},
};
static const struct flag rm_flags[] = {
    {"force", 'f', FLAG_BOOL, NULL, "Also those that run"},
    {"link", 'l', FLAG_BOOL, NULL, "Remove the link of that name"},
    {"volumes", 'v', FLAG_BOOL, NULL, "With their volumes that have no name"},
    {0},
};
static const struct flag logs_flags[] = {
    LOGS_FLAGS,
    {"until", 0, FLAG_TEXT, "time", "Up to this moment only"},
    {0},
};

#define MANY COMMAND_MANY
const struct command container_commands[] = {
    {"container diff", "CONTAINER", "Show which files a container changed", NULL, run_diff, 1, 1, 0,
     "container"},
    {"container inspect", "[OPTIONS] CONTAINER [CONTAINER...]",
     "Show all there is to know of containers", inspect_flags, run_inspect, 1, MANY, 0,
     "container"},
    {"container kill", "[OPTIONS] CONTAINER [CONTAINER...]", "Kill containers", kill_flags,
     run_kill, 1, MANY, 0, "container"},
    {"container logs", "[OPTIONS] CONTAINER", "Show what a container wrote", logs_flags, run_logs,
     1, 1, 0, "container"},
    {"container ls", "[OPTIONS]", "List the containers", ls_flags, run_ls, 0, 0, 0, NULL},
    {"container pause", "CONTAINER [CONTAINER...]", "Have containers stand still", NULL, run_pause,
     1, MANY, 0, "container"},
    {"container port", "CONTAINER [PORT[/PROTOCOL]]", "Show where ports are published", NULL,
     run_port, 1, 2, 0, "container"},
    {"container prune", "[OPTIONS]", "Remove all containers that do not run", prune_flags,
     run_prune, 0, 0, 0, NULL},
    {"container rename", "CONTAINER NAME", "Give a container another name", NULL, run_rename, 2, 2,
     0, "container"},
    {"container restart", "[OPTIONS] CONTAINER [CONTAINER...]",
     "Stop containers and start them again", stop_flags, run_restart, 1, MANY, 0, "container"},
    {"container rm", "[OPTIONS] CONTAINER [CONTAINER...]", "Remove containers", rm_flags, run_rm, 1,
     MANY, 0, "container"},
    {"container stop", "[OPTIONS] CONTAINER [CONTAINER...]", "Stop containers", stop_flags,
     run_stop, 1, MANY, 0, "container"},
    {"container top", "CONTAINER [PS OPTIONS]", "Show the processes of a container", NULL,
     container_top, 1, MANY, COMMAND_STOPS, "container"},
    {"container unpause", "CONTAINER [CONTAINER...]", "Let containers go on", NULL, run_pause, 1,
     MANY, 0, "container"},
    {"container wait", "CONTAINER [CONTAINER...]",
     "Wait for containers to end, and print their status", NULL, run_wait, 1, MANY, 0, "container"},
    {"inspect", "[OPTIONS] NAME|ID [NAME|ID...]", "Show all there is to know of any object",
     any_flags, run_inspect_any, 1, MANY, 0, "container"},
    {0},
};
