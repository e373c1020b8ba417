#include "cmd/skep/overview.h"

#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/container.h"
#include "cmd/skep/doctor.h"
#include "cmd/skep/format.h"
#include "cmd/skep/service.h"
#include "cmd/skep/table.h"
#include "cmd/skep/task.h"
#include "cmd/skep/template.h"
#include "cmd/skep/text.h"
#include "cmd/skep/top.h"
#include "proto/base/check.h"
#include "proto/base/map.h"
#include "proto/base/str.h"

#define LIST_MAX 20 // rows of a table; the rest is counted

bool overview_fetch(struct cli *cli, struct overview *out)
{
    *out = (struct overview){.info = api_get(cli, "/info")};
    if (!out->info)
        return false;
    out->networks = api_get(cli, "/networks");
    if (!true_at(out->info, "Swarm.ControlAvailable"))
        return out->networks != NULL;
    if (out->networks && (out->swarm = api_get(cli, "/swarm")) &&
        (out->nodes = api_get(cli, "/nodes")) &&
        (out->services = api_get(cli, "/services?status=true")) &&
        (out->tasks = api_get(cli, "/tasks")))
        return true;
    if (cli->status < 500) // not even the daemon answered, or it did not understand
        return false;
    *out = (struct overview){.info = out->info, .silence = textf(cli, "%s", cli->error.message)};
    err_clear(&cli->error);
    return true;
}

// ---- judging ------------------------------------------------------------------------------------

static void add(struct problems *problems, bool grave, const char *what, const char *cure)
{
    if (problems->count == PROBLEMS_MAX)
        problems->beyond++;
    else
        problems->list[problems->count++] = (struct problem){what, cure, grave};
}

void overview_managers(const struct overview *overview, size_t *reachable, size_t *all)
{
    *reachable = *all = 0;
    size_t i;
    json_t *node;
    json_array_foreach(overview->nodes, i, node)
    {
        if (!at(node, "ManagerStatus"))
            continue;
        ++*all;
        *reachable += str_equal(text_at(node, "ManagerStatus.Reachability"), "reachable");
    }
}

size_t overview_tasks(const struct overview *overview, const char *key, const char *id,
                      const char *state)
{
    size_t count = 0, i;
    json_t *task;
    json_array_foreach(overview->tasks, i, task) count +=
        str_equal(text_at(task, key), id) && str_equal(text_at(task, "Status.State"), state) &&
        str_equal(text_at(task, "DesiredState"), "running");
    return count;
}

static void judge_managers(const struct overview *overview, struct arena *arena,
                           struct problems *out)
{
    size_t reachable, all;
    overview_managers(overview, &reachable, &all);
    size_t needed = all / 2 + 1;
    if (reachable < needed)
        add(out, true,
            arena_printf(arena, "%zu of %zu managers can be reached, %zu are needed", reachable,
                         all, needed),
            "start managers again; if they are lost, `skep swarm init --force-new-cluster` on one");
    else if (reachable == needed && all > 1)
        add(out, true,
            arena_printf(arena, "no manager may fail any more: %zu of %zu can be reached",
                         reachable, all),
            "start the missing managers again, or `skep node demote` and `skep node promote`");
    if (all > 0 && all % 2 == 0)
        add(out, false,
            arena_printf(arena, "%zu managers survive no more failures than %zu", all, all - 1),
            "have an odd number of managers: `skep node promote` or `skep node demote` one");
}

static void judge_nodes(const struct overview *overview, struct arena *arena, struct problems *out)
{
    size_t i;
    json_t *node;
    json_array_foreach(overview->nodes, i, node)
    {
        const char *name = text_at(node, "Description.Hostname");
        const char *state = text_at(node, "Status.State");
        if (!*name)
            name = text_at(node, "ID");
        if (!str_equal(state, "ready"))
            add(out, true,
                arena_printf(arena, "node %s is %s%s%s", name, state,
                             *text_at(node, "Status.Message") ? ": " : "",
                             text_at(node, "Status.Message")),
                at(node, "ManagerStatus")
                    ? arena_printf(arena,
                                   "look at the daemon there; if it is gone: `skep node demote "
                                   "%s`, and then `skep node rm %s`",
                                   name, name)
                    : arena_printf(arena,
                                   "look at the daemon there; if it is gone: `skep node rm %s`",
                                   name));
        else if (!str_equal(text_at(node, "Spec.Availability"), "active"))
            add(out, false,
                arena_printf(arena, "node %s takes no tasks: it is set to %s", name,
                             text_at(node, "Spec.Availability")),
                arena_printf(arena, "`skep node update --availability active %s`", name));
    }
}

// Why the newest of the service's tasks does not run; "" when nobody says.
static const char *reason_of(const struct overview *overview, json_t *service)
{
    const char *newest = "", *reason = "";
    size_t i;
    json_t *task;
    json_array_foreach(overview->tasks, i, task)
    {
        if (!str_equal(text_at(task, "ServiceID"), text_at(service, "ID")) ||
            strcmp(text_at(task, "Status.Timestamp"), newest) < 0)
            continue;
        const char *error = text_at(task, "Status.Err");
        if (*error) {
            newest = text_at(task, "Status.Timestamp");
            reason = error;
        }
    }
    return reason;
}

static void judge_services(const struct overview *overview, struct arena *arena,
                           struct problems *out)
{
    size_t i;
    json_t *service;
    json_array_foreach(overview->services, i, service)
    {
        const char *name = text_at(service, "Spec.Name");
        long long running = number_at(service, "ServiceStatus.RunningTasks");
        long long wanted = number_at(service, "ServiceStatus.DesiredTasks");
        const char *update = text_at(service, "UpdateStatus.State");
        const char *reason = reason_of(overview, service);
        if (running < wanted && !at(service, "Spec.Mode.ReplicatedJob") &&
            !at(service, "Spec.Mode.GlobalJob"))
            add(out, running == 0,
                arena_printf(arena, "service %s: %lld of %lld tasks run%s%s", name, running, wanted,
                             *reason ? ": " : "", reason),
                arena_printf(arena, "`skep service ps --no-trunc %s`, `skep service logs %s`", name,
                             name));
        if (str_equal(update, "paused") || str_equal(update, "rollback_paused"))
            add(out, true,
                arena_printf(arena, "service %s: its %s is paused: %s", name,
                             *update == 'p' ? "update" : "rollback",
                             text_at(service, "UpdateStatus.Message")),
                arena_printf(arena, "`skep service rollback %s`, or update it again", name));
    }
}

// ---- networks -----------------------------------------------------------------------------------

// How many addresses tasks and services can have in a network; 0 when that is not known.
static size_t room_of(json_t *network)
{
    size_t room = 0, i;
    json_t *config;
    json_array_foreach(at(network, "IPAM.Config"), i, config)
    {
        const char *range = text_at(config, "IPRange"), *subnet = text_at(config, "Subnet");
        const char *slash = strchr(*range ? range : subnet, '/');
        int64_t bits;
        if (!slash || strchr(subnet, ':') || !str_to_i64(slash + 1, 0, 32, &bits))
            return 0;
        // Neither the first nor the last one, and the gateway has one.
        size_t all = (size_t)1 << (32 - bits);
        room += *range ? all : all > 3 ? all - 3 : 0;
    }
    return room;
}

static bool is_on(json_t *task, const char *network)
{
    size_t i;
    json_t *wish;
    json_array_foreach(at(task, "Spec.Networks"), i,
                       wish) if (str_equal(text_at(wish, "Target"), network)) return true;
    return false;
}

// Addresses in use: of services, of tasks, and one of each node that has a task there. *waiting
// counts the tasks that have none yet.
static size_t used_of(const struct overview *overview, const char *network, size_t *waiting,
                      struct arena *arena)
{
    struct map nodes;
    size_t used = 0, i, j;
    json_t *item, *part;
    map_init(&nodes);
    json_array_foreach(overview->services, i, item)
        json_array_foreach(at(item, "Endpoint.VirtualIPs"), j, part) used +=
        str_equal(text_at(part, "NetworkID"), network);
    json_array_foreach(overview->tasks, i, item)
    {
        if (task_ended(text_at(item, "Status.State")))
            continue;
        *waiting += str_equal(text_at(item, "Status.State"), "new") && is_on(item, network);
        json_array_foreach(at(item, "NetworksAttachments"), j, part)
        {
            if (!str_equal(text_at(part, "Network.ID"), network))
                continue;
            used++;
            if (*text_at(item, "NodeID"))
                map_put_str(&nodes, arena_printf(arena, "%s", text_at(item, "NodeID")), item);
        }
    }
    used += map_count(&nodes);
    map_fini(&nodes);
    return used;
}

static void judge_networks(const struct overview *overview, struct arena *arena,
                           struct problems *out)
{
    size_t i;
    json_t *network;
    json_array_foreach(overview->networks, i, network)
    {
        const char *name = text_at(network, "Name");
        size_t waiting = 0, room = room_of(network);
        size_t used = str_equal(text_at(network, "Scope"), "swarm")
                          ? used_of(overview, text_at(network, "Id"), &waiting, arena)
                          : 0;
        // From nine tenths on; the addresses of containers that joined by hand are not seen here.
        if (!room || used * 10 < room * 9)
            continue;
        bool full = used >= room || waiting;
        // Those of ended tasks, which are free in a moment, can make it more than there are.
        used = used < room ? used : room;
        add(out, full,
            full ? arena_printf(arena,
                                "network %s has no addresses left: %zu of %zu are used, %zu tasks "
                                "wait for one",
                                name, used, room, waiting)
                 : arena_printf(arena, "network %s is almost full: %zu of %zu addresses are used",
                                name, used, room),
            "make a network with a larger --subnet, and move services there: `skep service update "
            "--network-add NEW --network-rm OLD SERVICE`");
    }
}

// What skepd says of its own node. (Other engines warn of what they were configured with.)
static void judge_daemon(const struct overview *overview, struct arena *arena, struct problems *out)
{
    static const struct {
        const char *begins, *cure;
    } known[] = {
        {"WARNING: this node cannot run containers", "see there: `skep info`, the daemon's log"},
        {"WARNING: the disk of this node", "make room there, by `skep system prune` for example"},
    };
    size_t i;
    json_t *warning;
    json_array_foreach(at(overview->info, "Warnings"), i, warning)
    {
        const char *text = str_or(json_string_value(warning), "");
        for (size_t j = 0; j < COUNT_OF(known); j++)
            if (str_starts(text, known[j].begins))
                add(out, true,
                    arena_printf(arena, "%s: %s", text_at(overview->info, "Name"),
                                 text + strlen("WARNING: ")),
                    known[j].cure);
    }
}

void overview_judge(const struct overview *overview, struct arena *arena, struct problems *out)
{
    *out = (struct problems){0};
    const char *state = text_at(overview->info, "Swarm.LocalNodeState");
    const char *error = text_at(overview->info, "Swarm.Error");
    if (str_equal(state, "locked"))
        add(out, true, "this manager is locked", "`skep swarm unlock`");
    else if (str_equal(state, "inactive") || !*state)
        add(out, false, "this node is in no swarm", "`skep swarm init`, or `skep swarm join`");
    else if (!str_equal(state, "active"))
        add(out, true, arena_printf(arena, "this node's swarm state is %s", state),
            "look at the daemon's log");
    if (*error)
        add(out, true, error, "look at the daemon's log");
    judge_daemon(overview, arena, out);
    if (true_at(overview->swarm, "RootRotationInProgress"))
        add(out, false, "the root certificate is being changed",
            "nodes that are down keep it from ending: see `skep node ls`");
    if (overview->silence)
        add(out, true, arena_printf(arena, "the cluster does not answer: %s", overview->silence),
            "start managers until more than half of them run; if they are lost, `skep swarm init "
            "--force-new-cluster` on one that is left");
    if (!overview->nodes)
        return;
    judge_managers(overview, arena, out);
    judge_nodes(overview, arena, out);
    judge_services(overview, arena, out);
    judge_networks(overview, arena, out);
}

// ---- showing ------------------------------------------------------------------------------------

static void say_table(struct cli *cli, struct buf *lines)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    table_align(str_or(buf_cstr(lines), ""), cli->terminal.columns, &cli->arena, &out);
    say_bytes(cli, out.data, out.len);
    buf_fini(&out);
    buf_fini(lines);
}

static void say_title(struct cli *cli, const char *title)
{
    say(cli, "\n%s%s%s\n", cli_colour(cli, "bold"), title, cli_colour(cli, "off"));
}

static void say_nodes(struct cli *cli, const struct overview *overview)
{
    struct buf lines;
    buf_init(&lines, 1 << 20);
    say_title(cli, textf(cli, "Nodes (%zu)", json_array_size(overview->nodes)));
    size_t i;
    json_t *node;
    buf_put_str(&lines, "NAME\tROLE\tSTATUS\tAVAILABILITY\tADDRESS\tTASKS\tENGINE\n");
    json_array_foreach(overview->nodes, i, node)
    {
        if (i >= LIST_MAX)
            break;
        const char *role = true_at(node, "ManagerStatus.Leader") ? "leader"
                           : at(node, "ManagerStatus")           ? "manager"
                                                                 : "worker";
        buf_printf(&lines, "%s\t%s\t%s\t%s\t%s\t%zu\t%s\n",
                   text_printable(text_at(node, "Description.Hostname"), &cli->arena), role,
                   text_at(node, "Status.State"), text_at(node, "Spec.Availability"),
                   text_at(node, "Status.Addr"),
                   overview_tasks(overview, "NodeID", text_at(node, "ID"), "running"),
                   text_printable(text_at(node, "Description.Engine.EngineVersion"), &cli->arena));
    }
    say_table(cli, &lines);
    if (json_array_size(overview->nodes) > LIST_MAX)
        say(cli, "and %zu more: skep node ls\n", json_array_size(overview->nodes) - LIST_MAX);
}

static void say_services(struct cli *cli, const struct overview *overview)
{
    struct buf lines;
    buf_init(&lines, 1 << 20);
    say_title(cli, textf(cli, "Services (%zu)", json_array_size(overview->services)));
    json_t *rows = service_rows(cli, overview->services), *row;
    size_t i;
    if (json_array_size(rows) == 0)
        say(cli, "none yet: skep service create\n");
    else
        buf_put_str(&lines, "NAME\tMODE\tREPLICAS\tIMAGE\tPORTS\n");
    json_array_foreach(rows, i, row)
    {
        if (i < LIST_MAX)
            buf_printf(&lines, "%s\t%s\t%s\t%s\t%s\n", text_at(row, "Name"), text_at(row, "Mode"),
                       text_at(row, "Replicas"), text_printable(text_at(row, "Image"), &cli->arena),
                       text_at(row, "Ports"));
    }
    say_table(cli, &lines);
    if (json_array_size(rows) > LIST_MAX)
        say(cli, "and %zu more: skep service ls\n", json_array_size(rows) - LIST_MAX);
}

static void say_networks(struct cli *cli, const struct overview *overview)
{
    struct buf lines;
    buf_init(&lines, 1 << 20);
    size_t i, count = 0;
    json_t *network;
    buf_put_str(&lines, "NAME\tDRIVER\tSUBNET\n");
    json_array_foreach(overview->networks, i, network)
    {
        if (!str_equal(text_at(network, "Scope"), "swarm") || ++count > LIST_MAX)
            continue;
        json_t *first = json_array_get(at(network, "IPAM.Config"), 0);
        buf_printf(&lines, "%s\t%s\t%s\n", text_at(network, "Name"), text_at(network, "Driver"),
                   text_at(first, "Subnet"));
    }
    say_title(cli, textf(cli, "Networks of the swarm (%zu)", count));
    say_table(cli, &lines);
    if (count > LIST_MAX)
        say(cli, "and %zu more: skep network ls\n", count - LIST_MAX);
}

static void say_problems(struct cli *cli, const struct problems *problems)
{
    if (problems->count == 0) {
        say(cli, "\n%sNothing is wrong.%s\n", cli_colour(cli, "green"), cli_colour(cli, "off"));
        return;
    }
    say_title(cli, "What is wrong");
    for (size_t i = 0; i < problems->count; i++) {
        const struct problem *problem = &problems->list[i];
        say(cli, "%s%s%s %s\n    %s\n", cli_colour(cli, problem->grave ? "red" : "yellow"),
            problem->grave ? "!!" : " !", cli_colour(cli, "off"),
            text_printable(problem->what, &cli->arena), problem->cure);
    }
    if (problems->beyond)
        say(cli, "and %zu more\n", problems->beyond);
}

static json_t *as_object(struct cli *cli, const struct overview *overview,
                         const struct problems *problems)
{
    size_t reachable, all;
    overview_managers(overview, &reachable, &all);
    json_t *object = keep(cli, json_object()), *list = array_at(object, "Problems");
    set_text(object, "State", text_at(overview->info, "Swarm.LocalNodeState"));
    set_text(object, "NodeID", text_at(overview->info, "Swarm.NodeID"));
    set_number(object, "Managers.Reachable", (json_int_t)reachable);
    set_number(object, "Managers.Total", (json_int_t)all);
    set_number(object, "Nodes", (json_int_t)json_array_size(overview->nodes));
    set_number(object, "Services", (json_int_t)json_array_size(overview->services));
    for (size_t i = 0; i < problems->count; i++) {
        const struct problem *problem = &problems->list[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:b}", "What", problem->what, "Cure",
                                              problem->cure, "Grave", problem->grave));
    }
    return object;
}

const struct flag overview_status_flags[] = {
    {"format", 0, FLAG_TEXT, "template", "Print by a Go template, or json"},
    {0},
};

int overview_status(struct cli *cli)
{
    struct overview overview;
    struct problems problems;
    if (!overview_fetch(cli, &overview))
        return failed(cli);
    overview_judge(&overview, &cli->arena, &problems);
    bool grave = false;
    for (size_t i = 0; i < problems.count; i++)
        grave = grave || problems.list[i].grave;
    int status = show_by_format(cli, as_object(cli, &overview, &problems));
    if (status >= 0)
        return status ? status : grave;
    const char *state = text_at(overview.info, "Swarm.LocalNodeState");
    say(cli, "%s%s%s at %s, engine %s\n", cli_colour(cli, "bold"), text_at(overview.info, "Name"),
        cli_colour(cli, "off"), client_host(cli), text_at(overview.info, "ServerVersion"));
    say(cli, "Swarm: %s", *state ? state : "inactive");
    if (overview.nodes) {
        size_t reachable, all;
        overview_managers(&overview, &reachable, &all);
        say(cli, ", %zu of %zu managers reachable, quorum needs %zu", reachable, all, all / 2 + 1);
    } else if (overview.silence) {
        say(cli, ", a manager without a leader");
    } else if (str_equal(state, "active")) {
        say(cli, ", a worker of it: ask one of the managers for more");
    }
    say(cli, "\n");
    if (overview.nodes) {
        say_nodes(cli, &overview);
        say_services(cli, &overview);
        say_networks(cli, &overview);
    }
    say_problems(cli, &problems);
    return grave;
}

static int run_top(struct cli *cli)
{
    return cli->args.argc ? container_top(cli) : top_run(cli);
}

const struct command overview_commands[] = {
    {"doctor", "[OPTIONS]", "Look for what is wrong, and say what to do", doctor_flags, doctor_run,
     0, 0, 0, NULL},
    {"status", "[OPTIONS]", "Show the swarm on one screen, and what is wrong with it",
     overview_status_flags, overview_status, 0, 0, 0, NULL},
    {"top", "[CONTAINER [PS OPTIONS]]",
     "Watch the swarm; with a container, show its processes as container top does", NULL, run_top,
     0, COMMAND_MANY, COMMAND_STOPS, "container"},
    {0},
};
