// skep system: the daemon's events, facts and disk; versions; contexts.
#include <stdlib.h>
#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/endpoint.h"
#include "cmd/skep/format.h"
#include "cmd/skep/logs.h"
#include "cmd/skep/prune.h"
#include "cmd/skep/template.h"
#include "cmd/skep/text.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define EVENT_BYTES_MAX (1u << 20)

// ---- events -------------------------------------------------------------------------------------

struct events {
    struct cli *cli;
    struct buf line;
    struct template *template;
    bool json, failed;
};

// "2026-11-20T12:00:00.000000001Z container start 0123 (image=web, name=w)"
static void say_event(struct events *events, json_t *event)
{
    struct cli *cli = events->cli;
    struct wall moment = {.ns = number_at(event, "timeNano")};
    char text[WALL_TEXT_BYTES];
    wall_format(moment, text);
    const char *key, *pairs = "";
    json_t *value;
    json_object_foreach(at(event, "Actor.Attributes"), key, value) pairs = textf(
        cli, "%s%s%s=%s", pairs, *pairs ? ", " : "", key, str_or(json_string_value(value), ""));
    // All nine digits of the second's part, so that columns stay.
    say(cli, "%.19s.%09lldZ %s %s %s%s%s%s\n", text, (long long)(moment.ns % NS_PER_S),
        text_at(event, "Type"), text_at(event, "Action"), text_at(event, "Actor.ID"),
        *pairs ? " (" : "", text_printable(pairs, &cli->arena), *pairs ? ")" : "");
}

static void take_event(struct events *events)
{
    struct cli *cli = events->cli;
    json_t *event = json_parse(events->line.data, events->line.len, NULL);
    if (event && (events->template || events->json)) {
        struct buf out;
        buf_init(&out, EVENT_BYTES_MAX);
        if (events->json)
            template_put_json(event, &out);
        else if (template_run(events->template, event, &out, &cli->error) < 0)
            events->failed = true;
        buf_put_u8(&out, '\n');
        if (!events->failed)
            say_bytes(cli, out.data, out.len);
        buf_fini(&out);
    } else if (event) {
        say_event(events, event);
    }
    json_decref(event);
    say_flush(cli);
}

static bool event_bytes(void *owner, const uint8_t *bytes, size_t size)
{
    struct events *events = owner;
    for (size_t i = 0; i < size && !events->failed; i++) {
        if (bytes[i] != '\n') {
            buf_put_u8(&events->line, bytes[i]);
            continue;
        }
        if (events->line.len && buf_ok(&events->line))
            take_event(events);
        buf_clear(&events->line);
    }
    return !events->failed;
}

static int run_events(struct cli *cli)
{
    struct args *args = &cli->args;
    const char *since = args_text(args, "since"), *until = args_text(args, "until");
    const char *format = args_text(args, "format"), *filters = filters_part(cli);
    since = since ? logs_moment(cli, since) : "";
    until = since && until ? logs_moment(cli, until) : until ? NULL : "";
    if (!since || !until || !filters)
        return failed(cli);
    struct events events = {.cli = cli, .json = str_equal(format, "json")};
    if (format && !events.json) {
        events.template =
            template_parse(format_unescape(format, &cli->arena), &cli->arena, &cli->error);
        if (!events.template)
            return failed(cli);
    }
    buf_init(&events.line, EVENT_BYTES_MAX);
    struct stream_request request = {.method = "GET",
                                     .target = textf(cli, "/events?%s%s%s",
                                                     parameter(cli, "since", since),
                                                     parameter(cli, "until", until), filters),
                                     .upload_fd = -1,
                                     .on_data = event_bytes,
                                     .owner = &events};
    int result = stream_run(cli, &request);
    template_free(events.template);
    buf_fini(&events.line);
    return result < 0 || events.failed ? failed(cli) : 0;
}

// ---- info, version ------------------------------------------------------------------------------

static void say_words(struct cli *cli, const char *title, json_t *words)
{
    size_t i;
    json_t *word;
    say(cli, "%s", title);
    json_array_foreach(words, i, word) say(cli, " %s", str_or(json_string_value(word), ""));
    say(cli, "\n");
}

static void say_swarm(struct cli *cli, json_t *swarm)
{
    const char *state = text_at(swarm, "LocalNodeState");
    size_t i;
    json_t *manager;
    say(cli, " Swarm: %s\n", *state ? state : "inactive");
    if (*text_at(swarm, "Error"))
        say(cli, "  Error: %s\n", text_at(swarm, "Error"));
    if (str_equal(state, "inactive") || str_equal(state, "locked") || !*state)
        return;
    say(cli, "  NodeID: %s\n  Is Manager: %s\n", text_at(swarm, "NodeID"),
        true_at(swarm, "ControlAvailable") ? "true" : "false");
    if (true_at(swarm, "ControlAvailable"))
        say(cli, "  ClusterID: %s\n  Managers: %lld\n  Nodes: %lld\n  Data Path Port: %lld\n",
            text_at(swarm, "Cluster.ID"), (long long)number_at(swarm, "Managers"),
            (long long)number_at(swarm, "Nodes"),
            (long long)number_at(swarm, "Cluster.DataPathPort"));
    say(cli, "  Node Address: %s\n  Manager Addresses:\n", text_at(swarm, "NodeAddr"));
    json_array_foreach(at(swarm, "RemoteManagers"), i, manager)
        say(cli, "   %s\n", text_at(manager, "Addr"));
}

static int run_info(struct cli *cli)
{
    json_t *info = api_get(cli, "/info");
    if (!info)
        return failed(cli);
    int status = show_by_format(cli, info);
    if (status >= 0)
        return status;
    say(cli, "Client:\n Version:    %s\n Host:       %s\n\nServer:\n", SKEP_VERSION,
        client_host(cli));
    say(cli, " Containers: %lld\n  Running: %lld\n  Paused: %lld\n  Stopped: %lld\n Images: %lld\n",
        (long long)number_at(info, "Containers"), (long long)number_at(info, "ContainersRunning"),
        (long long)number_at(info, "ContainersPaused"),
        (long long)number_at(info, "ContainersStopped"), (long long)number_at(info, "Images"));
    say(cli, " Server Version: %s\n Storage Driver: %s\n Logging Driver: %s\n Cgroup Driver: %s\n",
        text_at(info, "ServerVersion"), text_at(info, "Driver"), text_at(info, "LoggingDriver"),
        text_at(info, "CgroupDriver"));
    say_words(cli, " Volume drivers:", at(info, "Plugins.Volume"));
    say_words(cli, " Network drivers:", at(info, "Plugins.Network"));
    say_words(cli, " Log drivers:", at(info, "Plugins.Log"));
    say_swarm(cli, at(info, "Swarm"));
    say(cli,
        " Kernel Version: %s\n Operating System: %s\n OSType: %s\n Architecture: %s\n CPUs: %lld\n",
        text_at(info, "KernelVersion"), text_at(info, "OperatingSystem"), text_at(info, "OSType"),
        text_at(info, "Architecture"), (long long)number_at(info, "NCPU"));
    say(cli, " Total Memory: %s\n Name: %s\n ID: %s\n Root Dir: %s\n",
        text_size_binary((double)number_at(info, "MemTotal"), &cli->arena), text_at(info, "Name"),
        text_at(info, "ID"), text_at(info, "DockerRootDir"));
    size_t i;
    json_t *warning;
    json_array_foreach(at(info, "Warnings"), i, warning)
        warn(cli, "%s\n", str_or(json_string_value(warning), ""));
    return 0;
}

static int run_version(struct cli *cli)
{
    json_t *server = api_get(cli, "/version"), *all = keep(cli, json_object());
    const char *version = server ? client_version(cli) : textf(cli, "1.%d", CLIENT_API_MAX);
    set_text(all, "Client.Version", SKEP_VERSION);
    set_text(all, "Client.ApiVersion", version);
    set_text(all, "Client.DefaultAPIVersion", textf(cli, "1.%d", CLIENT_API_MAX));
    set_text(all, "Client.Os", "linux");
    set_text(all, "Client.Context", str_or(args_text(&cli->globals, "context"), "default"));
    if (server)
        set_at(all, "Server", json_incref(server));
    if (args_text(&cli->args, "format"))
        return server ? show_by_format(cli, all) : failed(cli);
    say(cli, "Client: skep\n Version:           %s\n API version:       %s\n", SKEP_VERSION,
        version);
    if (!server)
        return failed(cli);
    say(cli,
        "\nServer:\n Version:          %s\n API version:      %s (minimum version %s)\n"
        " OS/Arch:          %s/%s\n Kernel:           %s\n",
        text_at(server, "Version"), text_at(server, "ApiVersion"), text_at(server, "MinAPIVersion"),
        text_at(server, "Os"), text_at(server, "Arch"), text_at(server, "KernelVersion"));
    return 0;
}

// ---- prune --------------------------------------------------------------------------------------

static int run_prune(struct cli *cli)
{
    static const struct {
        const char *target, *list, *title;
    } steps[] = {{"/containers/prune", "ContainersDeleted", "Deleted Containers:"},
                 {"/networks/prune", "NetworksDeleted", "Deleted Networks:"},
                 {"/volumes/prune", "VolumesDeleted", "Deleted Volumes:"},
                 {"/images/prune", "ImagesDeleted", "Deleted Images:"},
                 {"/build/prune", "CachesDeleted", "Deleted build cache objects:"}};
    struct args *args = &cli->args;
    double freed = 0;
    const char *filters = filters_part(cli);
    if (!filters)
        return failed(cli);
    if (!args_on(args, "force") &&
        !cli_confirm(cli, textf(cli,
                                "WARNING! This will remove: all stopped containers, all "
                                "networks and %s images nobody uses%s.\nAre you sure you want "
                                "to continue?",
                                args_on(args, "all") ? "all" : "all dangling",
                                args_on(args, "volumes") ? ", and all such volumes" : "")))
        return 0;
    for (size_t k = 0; k < COUNT_OF(steps); k++) {
        if (k == 2 && !args_on(args, "volumes"))
            continue;
        const char *part =
            k == 3 ? filters_with(cli, "dangling", args_on(args, "all") ? "false" : "true")
                   : filters;
        const char *all = k == 4 && args_on(args, "all") ? "&all=1" : "";
        json_t *gone = api(cli, "POST", textf(cli, "%s?%s%s", steps[k].target, part, all), NULL);
        if (!gone)
            return failed(cli);
        freed += (double)number_at(gone, "SpaceReclaimed");
        if (prune_say(cli, gone, steps[k].list, steps[k].title))
            say(cli, "\n");
    }
    say(cli, "Total reclaimed space: %s\n", text_size(freed, &cli->arena));
    return 0;
}

// skepd builds nothing and keeps nothing of it; a Docker engine does.
static int run_builder_prune(struct cli *cli)
{
    bool all = args_on(&cli->args, "all");
    int64_t keep_bytes = args_number(&cli->args, "keep-storage", 0);
    const struct prune cache = {
        .target = textf(cli, "/build/prune?all=%d%s", all,
                        keep_bytes ? textf(cli, "&keep-storage=%lld", (long long)keep_bytes) : ""),
        .list = "CachesDeleted",
        .title = "Deleted build cache objects:",
        .question = all ? "all build cache" : "all dangling build cache",
        .frees = true,
    };
    return prune_run(cli, &cache, filters_part(cli));
}

// ---- the table ----------------------------------------------------------------------------------

static const struct flag events_flags[] = {
    {"filter", 'f', FLAG_FILTERS, "filter", "Only events that fit, such as type=service"},
    {"format", 0, FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"since", 0, FLAG_TEXT, "time", "From this moment on"},
    {"until", 0, FLAG_TEXT, "time", "Up to this moment, and then end"},
    {0},
};
static const struct flag format_flags[] = {
    {"format", 'f', FLAG_TEXT, "template", "Print by a Go template, or json"},
    {0},
};
static const struct flag everything_flags[] = {
    {"all", 'a', FLAG_BOOL, NULL, "All images nobody uses, not only those without a name"},
    {"filter", 0, FLAG_FILTERS, "filter", "Only what fits, such as label=x"},
    {"force", 'f', FLAG_BOOL, NULL, "Do not ask"},
    {"volumes", 0, FLAG_BOOL, NULL, "Volumes, too"},
    {0},
};

static const struct flag builder_flags[] = {
    {"all", 'a', FLAG_BOOL, NULL, "All of it, not only what is in no image"},
    {"filter", 0, FLAG_FILTERS, "filter", "Only what fits, such as until=24h"},
    {"force", 'f', FLAG_BOOL, NULL, "Do not ask"},
    {"keep-storage", 0, FLAG_BYTES, "bytes", "Leave that much"},
    {0},
};

const struct command system_commands[] = {
    {"builder prune", "[OPTIONS]", "Remove what an engine keeps of its builds", builder_flags,
     run_builder_prune, 0, 0, 0, NULL},
    {"system events", "[OPTIONS]", "Show what happens, as it happens", events_flags, run_events, 0,
     0, 0, NULL},
    {"system info", "[OPTIONS]", "Show facts of the daemon and its host", format_flags, run_info, 0,
     0, 0, NULL},
    {"system prune", "[OPTIONS]", "Remove all that nobody uses", everything_flags, run_prune, 0, 0,
     0, NULL},
    {"version", "[OPTIONS]", "Show the versions of this command and of the daemon", format_flags,
     run_version, 0, 0, 0, NULL},
    {0},
};
