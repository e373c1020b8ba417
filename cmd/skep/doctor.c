#include "cmd/skep/doctor.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/common.h"
#include "cmd/skep/format.h"
#include "cmd/skep/overview.h"
#include "cmd/skep/reach_io.h"
#include "cmd/skep/text.h"
#include "proto/base/json.h"
#include "proto/base/str.h"

#define SKEW_NS_MAX (2 * NS_PER_S)
#define REACH_MS    3000
#define GOSSIP_PORT 7946
#define NODES_TRIED 64

static void put(struct cli *cli, json_t *rows, const char *verdict, const char *what,
                const char *found, const char *cure)
{
    json_t *row = row_new(cli, NULL);
    row_set(row, "Verdict", verdict);
    row_set(row, "Check", what);
    row_set(row, "Found", found);
    row_set(row, "Cure", cure);
    json_array_append(rows, row);
}

static void check_clock(struct cli *cli, const struct overview *overview, json_t *rows)
{
    struct wall there;
    const char *said = text_at(overview->info, "SystemTime");
    if (wall_parse(said, &there, NULL) < 0)
        return;
    // The answer is a moment old; a second more or less says nothing.
    int64_t skew = wall_since(cli_now(), there);
    bool fine = skew < SKEW_NS_MAX && skew > -SKEW_NS_MAX;
    put(cli, rows, fine ? "ok" : "bad", "clock of the daemon's host",
        textf(cli, "%.3f s from ours", (double)skew / (double)NS_PER_S),
        fine ? "" : "have both hosts set their clocks (NTP): certificates depend on it");
}

static void check_engines(struct cli *cli, const struct overview *overview, json_t *rows)
{
    const char *first = NULL;
    bool differ = false;
    size_t i;
    json_t *node;
    json_array_foreach(overview->nodes, i, node)
    {
        const char *version = text_at(node, "Description.Engine.EngineVersion");
        differ = differ || (first && !str_equal(first, version));
        first = first ? first : version;
    }
    if (first)
        put(cli, rows, differ ? "note" : "ok", "engine versions",
            differ ? "nodes run different ones" : first,
            differ ? "see `skep node ls`; it works, but is harder to reason about" : "");
}

// From this host: nodes that are ready must answer on the gossip port, managers on theirs.
static void check_ports(struct cli *cli, const struct overview *overview, json_t *rows)
{
    struct reach tries[NODES_TRIED * 2];
    const char *names[NODES_TRIED * 2];
    size_t count = 0, i;
    json_t *node;
    json_array_foreach(overview->nodes, i, node)
    {
        const char *ip = text_at(node, "Status.Addr"),
                   *manager = text_at(node, "ManagerStatus.Addr");
        const char *name = text_at(node, "Description.Hostname");
        bool six = strchr(ip, ':') != NULL;
        if (!str_equal(text_at(node, "Status.State"), "ready") || !*ip ||
            str_equal(ip, "0.0.0.0") || count + 2 > COUNT_OF(tries))
            continue;
        names[count] = textf(cli, "%s: gossip (TCP %d) from here", name, GOSSIP_PORT);
        reach_prepare(&tries[count++],
                      textf(cli, "%s%s%s:%d", six ? "[" : "", ip, six ? "]" : "", GOSSIP_PORT));
        if (!*manager)
            continue;
        names[count] = textf(cli, "%s: manager (%s) from here", name, manager);
        reach_prepare(&tries[count++], manager);
    }
    reach_all(cli, tries, count, REACH_MS);
    for (i = 0; i < count; i++)
        put(cli, rows, tries[i].reached ? "ok" : "bad", names[i],
            tries[i].reached ? "answers" : textf(cli, "%s", tries[i].why.message),
            tries[i].reached ? ""
                             : "open 2377/tcp, 7946/tcp+udp and 4789/udp between the nodes "
                               "(this host may be outside of them)");
}

// A node's host name by its address; the address itself when nothing is known.
static const char *name_of(const struct overview *overview, const char *address)
{
    size_t i;
    json_t *node;
    json_array_foreach(
        overview->nodes, i,
        node) if (*address && str_equal(text_at(node, "Status.Addr"), address) &&
                  *text_at(node, "Description.Hostname")) return text_at(node,
                                                                         "Description.Hostname");
    return address;
}

// What the nodes themselves find when they look at each other; no other engine has that.
static bool check_network(struct cli *cli, const struct overview *overview, json_t *rows)
{
    json_t *found = api_get(cli, "/skep/checkup"), *it;
    size_t i;
    if (!found) {
        bool ours = cli->status != 404;
        put(cli, rows, "note", "network between the nodes", ours ? cli->error.message : "",
            ours ? "run it again" : "ask a node of Skep's (--host): this engine cannot look");
        err_clear(&cli->error);
        return false;
    }
    json_array_foreach(found, i, it)
    {
        const char *node = name_of(overview, text_at(it, "Node"));
        const char *peer = name_of(overview, text_at(it, "Peer"));
        put(cli, rows, text_at(it, "Verdict"),
            textf(cli, "%s%s%s%s%s", node, *peer ? " to " : "", peer, *node ? ": " : "",
                  text_at(it, "Check")),
            text_at(it, "Found"), text_at(it, "Cure"));
    }
    return true;
}

const struct flag doctor_flags[] = {
    {"format", 0, FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"json", 0, FLAG_BOOL, NULL, "Print one JSON array"},
    {"no-trunc", 0, FLAG_BOOL, NULL, "Do not shorten anything"},
    {0},
};

static int show(struct cli *cli, json_t *rows)
{
    static const struct column columns[] = {
        {"Verdict", "VERDICT"}, {"Check", "CHECK"}, {"Found", "FOUND"}, {"Cure", "CURE"}, {0}};
    static const struct listing listing = {
        columns, "table {{.Verdict}}\t{{.Check}}\t{{.Found}}\t{{.Cure}}", NULL, NULL};
    bool bad = false;
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row) bad = bad || str_equal(text_at(row, "Verdict"), "bad");
    if (!args_on(&cli->args, "json"))
        return show_list(cli, &listing, rows) ? 1 : bad;
    json_array_foreach(rows, i, row) json_object_del(row, "@labels");
    char *text = json_dumps(rows, JSON_INDENT(2));
    say(cli, "%s\n", text ? text : "[]");
    free(text);
    return bad;
}

int doctor_run(struct cli *cli)
{
    struct overview overview;
    struct problems problems;
    json_t *rows = keep(cli, json_array());
    if (!overview_fetch(cli, &overview)) {
        put(cli, rows, "bad", textf(cli, "daemon at %s", client_host(cli)), cli->error.message,
            "start it, or name another one with --host");
        return show(cli, rows);
    }
    put(cli, rows, "ok", textf(cli, "daemon at %s", client_host(cli)),
        textf(cli, "engine %s, API %s", text_at(overview.info, "ServerVersion"),
              client_version(cli)),
        "");
    check_clock(cli, &overview, rows);
    if (overview.nodes) {
        size_t reachable, all;
        overview_managers(&overview, &reachable, &all);
        put(cli, rows, reachable >= all / 2 + 1 ? "ok" : "bad", "quorum",
            textf(cli, "%zu of %zu managers reachable", reachable, all), "");
        check_engines(cli, &overview, rows);
    }
    bool swarm = !str_equal(text_at(overview.info, "Swarm.LocalNodeState"), "inactive");
    if (swarm && !check_network(cli, &overview, rows) && overview.nodes)
        check_ports(cli, &overview, rows); // at least from here
    overview_judge(&overview, &cli->arena, &problems);
    for (size_t i = 0; i < problems.count; i++)
        put(cli, rows, problems.list[i].grave ? "bad" : "note", "swarm", problems.list[i].what,
            problems.list[i].cure);
    return show(cli, rows);
}
