// skep top: the swarm as it changes, on the whole screen. With a container it is `container top`.
#include "cmd/skep/top.h"

#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/common.h"
#include "cmd/skep/interrupt_io.h"
#include "cmd/skep/overview.h"
#include "cmd/skep/progress.h"
#include "cmd/skep/service.h"
#include "cmd/skep/table.h"
#include "cmd/skep/text.h"
#include "proto/base/str.h"

#define TURN_MS      1000
#define BAR_COLUMNS  20
#define SCREEN_BYTES (1u << 20)

static void put_nodes(struct cli *cli, const struct overview *overview, struct buf *out)
{
    struct buf lines;
    size_t i;
    json_t *node;
    buf_init(&lines, SCREEN_BYTES);
    buf_put_str(&lines, "NODE\tROLE\tSTATUS\tAVAILABILITY\tTASKS\n");
    json_array_foreach(overview->nodes, i, node)
        buf_printf(&lines, "%s\t%s\t%s\t%s\t%zu\n",
                   text_printable(text_at(node, "Description.Hostname"), &cli->arena),
                   true_at(node, "ManagerStatus.Leader") ? "leader"
                   : at(node, "ManagerStatus")           ? "manager"
                                                         : "worker",
                   text_at(node, "Status.State"), text_at(node, "Spec.Availability"),
                   overview_tasks(overview, "NodeID", text_at(node, "ID"), "running"));
    table_align(str_or(buf_cstr(&lines), ""), cli->terminal.columns, &cli->arena, out);
    buf_fini(&lines);
}

static void put_services(struct cli *cli, const struct overview *overview, struct buf *out)
{
    struct buf lines;
    size_t i;
    json_t *service;
    buf_init(&lines, SCREEN_BYTES);
    buf_put_str(&lines, "SERVICE\tMODE\tREPLICAS\tRUNNING\tUPDATE\n");
    json_array_foreach(overview->services, i, service)
    {
        size_t running = (size_t)number_at(service, "ServiceStatus.RunningTasks");
        size_t wanted = (size_t)number_at(service, "ServiceStatus.DesiredTasks");
        buf_printf(&lines, "%s\t%s\t%s\t%s\t%s\n", text_at(service, "Spec.Name"),
                   service_mode(service), service_replicas(cli, service),
                   progress_bar(running, wanted, BAR_COLUMNS, &cli->arena),
                   text_at(service, "UpdateStatus.State"));
    }
    table_align(str_or(buf_cstr(&lines), ""), cli->terminal.columns, &cli->arena, out);
    buf_fini(&lines);
}

// One screen: as many lines as there are rows, each erased to its end.
static void draw(struct cli *cli, const char *text)
{
    struct buf out;
    struct str_part line;
    size_t rows = 0;
    buf_init(&out, 2 * SCREEN_BYTES);
    if (cli->terminal.out)
        buf_put_str(&out, "\033[H");
    for (const char *rest = text; str_split(&rest, '\n', &line);) {
        if ((!rest && !line.len) || (cli->terminal.out && ++rows >= cli->terminal.rows))
            break;
        buf_put(&out, line.at, line.len);
        buf_put_str(&out, cli->terminal.out ? "\033[K\n" : "\n");
    }
    if (cli->terminal.out)
        buf_put_str(&out, "\033[J");
    say_bytes(cli, out.data, out.len);
    say_flush(cli);
    buf_fini(&out);
}

static bool one_screen(struct cli *cli)
{
    struct overview overview;
    struct problems problems;
    if (!overview_fetch(cli, &overview))
        return false;
    overview_judge(&overview, &cli->arena, &problems);
    size_t reachable, all;
    char now[WALL_TEXT_BYTES];
    struct buf text;
    buf_init(&text, SCREEN_BYTES);
    overview_managers(&overview, &reachable, &all);
    struct wall moment = cli_now();
    moment.ns -= moment.ns % NS_PER_S;
    // How much is wrong stands first: what it is may not fit on the screen.
    const char *head =
        textf(cli, "%s  %s  %sswarm %s, %zu of %zu managers reachable  (Ctrl-C ends)",
              strchr(wall_format(moment, now), 'T') + 1, text_at(overview.info, "Name"),
              problems.count ? textf(cli, "%zu wrong  ", problems.count) : "",
              str_or(text_at(overview.info, "Swarm.LocalNodeState"), "inactive"), reachable, all);
    if (cli->terminal.out && cli->terminal.columns)
        head = text_cut(head, cli->terminal.columns, &cli->arena);
    buf_printf(&text, "%s\n\n", head);
    if (overview.nodes) {
        put_nodes(cli, &overview, &text);
        buf_put_u8(&text, '\n');
        put_services(cli, &overview, &text);
    }
    for (size_t i = 0; i < problems.count; i++)
        buf_printf(&text, "%s%s %s\n", i ? "" : "\n", problems.list[i].grave ? "!!" : " !",
                   text_cut(text_printable(problems.list[i].what, &cli->arena),
                            cli->terminal.columns > 8 ? cli->terminal.columns - 4 : 76,
                            &cli->arena));
    draw(cli, str_or(buf_cstr(&text), ""));
    buf_fini(&text);
    return true;
}

int top_run(struct cli *cli)
{
    struct interrupt interrupt;
    bool fine = true;
    if (!cli->terminal.out)
        return one_screen(cli) ? 0 : failed(cli);
    // What the connection keeps (the address, the version) outlives the turns.
    if (!client_version(cli))
        return failed(cli);
    interrupt_open(&interrupt, cli);
    say(cli, "\033[?1049h\033[?25l");
    do {
        // What a turn needs is given back after it: this may run for days.
        struct arena saved = cli->arena;
        json_t *kept = cli->kept;
        arena_init(&cli->arena, CLI_ARENA_BYTES_MAX);
        cli->kept = json_array();
        interrupt.resized = false;
        fine = one_screen(cli);
        json_decref(cli->kept);
        arena_fini(&cli->arena);
        cli->arena = saved;
        cli->kept = kept;
    } while (fine && !interrupt_wait(&interrupt, TURN_MS));
    say(cli, "\033[?25h\033[?1049l");
    interrupt_close(&interrupt);
    return fine ? 0 : failed(cli);
}
