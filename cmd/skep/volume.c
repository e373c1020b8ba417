// skep volume: the volumes of one host.
#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/format.h"
#include "cmd/skep/prune.h"
#include "proto/base/str.h"

static int run_create(struct cli *cli)
{
    struct args *args = &cli->args;
    json_t *body = keep(cli, json_object());
    set_text(body, "Name", args->argc ? args->argv[0] : str_or(args_text(args, "name"), ""));
    set_text(body, "Driver", str_or(args_text(args, "driver"), "local"));
    set_at(body, "DriverOpts", json_incref(pairs_object(cli, "opt")));
    set_at(body, "Labels", json_incref(pairs_object(cli, "label")));
    json_t *made = api(cli, "POST", "/volumes/create", body);
    if (!made)
        return failed(cli);
    say(cli, "%s\n", text_at(made, "Name"));
    return 0;
}

static int run_ls(struct cli *cli)
{
    static const struct column columns[] = {{"Driver", "DRIVER"},
                                            {"Name", "VOLUME NAME"},
                                            {"Scope", "SCOPE"},
                                            {"Mountpoint", "MOUNTPOINT"},
                                            {"Labels", "LABELS"},
                                            {"Availability", "AVAILABILITY"},
                                            {"Group", "GROUP"},
                                            {"Links", "LINKS"},
                                            {"Size", "SIZE"},
                                            {"Status", "STATUS"},
                                            {0}};
    // What a list does not ask for, or only a cluster's volume has.
    static const char *const unknown[] = {"Availability", "Group", "Links", "Size", "Status"};
    static const struct listing listing = {columns, "table {{.Driver}}\t{{.Name}}", "{{.Name}}",
                                           "volumesFormat"};
    const char *filters = filters_part(cli);
    json_t *answer = filters ? api_get(cli, "/volumes?%s", filters) : NULL, *volume;
    if (!answer)
        return failed(cli);
    json_t *rows = keep(cli, json_array());
    size_t i;
    json_array_foreach(at(answer, "Volumes"), i, volume)
    {
        json_t *row = row_new(cli, at(volume, "Labels"));
        row_set(row, "Driver", text_at(volume, "Driver"));
        row_set(row, "Name", text_at(volume, "Name"));
        row_set(row, "Scope", text_at(volume, "Scope"));
        row_set(row, "Mountpoint", text_at(volume, "Mountpoint"));
        row_set(row, "Labels", labels_text(cli, at(volume, "Labels")));
        for (size_t k = 0; k < COUNT_OF(unknown); k++)
            row_set(row, unknown[k], "N/A");
        rows_put(rows, row);
    }
    return show_list(cli, &listing, rows);
}

static int run_inspect(struct cli *cli)
{
    return show_inspected(cli, "/volumes/", "", "~volume.Volume");
}

static int remove_one(struct cli *cli, const char *name)
{
    return remove_named(cli, "/volumes/", name, args_on(&cli->args, "force"));
}

static int run_rm(struct cli *cli)
{
    return each_argument(cli, remove_one);
}

static int run_prune(struct cli *cli)
{
    static const struct prune volumes = {
        .target = "/volumes/prune",
        .list = "VolumesDeleted",
        .title = "Deleted Volumes:",
        .question = "all local volumes not used by at least one container",
        .frees = true,
    };
    return prune_run(cli, &volumes,
                     args_on(&cli->args, "all") ? filters_with(cli, "all", "true")
                                                : filters_part(cli));
}

// ---- the table ----------------------------------------------------------------------------------

static const struct flag create_flags[] = {
    {"driver", 'd', FLAG_TEXT, "driver", "Who keeps it (default local)"},
    {"label", 0, FLAG_LABELS, "key=value", "Label of the volume"},
    {"name", 0, FLAG_TEXT, "name", "Its name"},
    {"opt", 'o', FLAG_LIST, "key=value", "Option of the driver"},
    {0},
};
static const struct flag ls_flags[] = {
    {"filter", 'f', FLAG_FILTERS, "filter", "Only volumes that fit, such as dangling=true"},
    {"format", 0, FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"quiet", 'q', FLAG_BOOL, NULL, "Print names alone"},
    {0},
};
static const struct flag rm_flags[] = {
    {"force", 'f', FLAG_BOOL, NULL, "Also what is not there"},
    {0},
};
static const struct flag inspect_flags[] = {
    {"format", 'f', FLAG_TEXT, "template", "Print by a Go template, or json"},
    {0},
};
const struct command volume_commands[] = {
    {"volume create", "[OPTIONS] [VOLUME]", "Create a volume", create_flags, run_create, 0, 1, 0,
     NULL},
    {"volume inspect", "[OPTIONS] VOLUME [VOLUME...]", "Show all there is to know of volumes",
     inspect_flags, run_inspect, 1, COMMAND_MANY, 0, "volume"},
    {"volume ls", "[OPTIONS]", "List the volumes", ls_flags, run_ls, 0, 0, 0, NULL},
    {"volume prune", "[OPTIONS]", "Remove volumes nobody uses", prune_all_flags, run_prune, 0, 0, 0,
     NULL},
    {"volume rm", "[OPTIONS] VOLUME [VOLUME...]", "Remove volumes", rm_flags, run_rm, 1,
     COMMAND_MANY, 0, "volume"},
    {0},
};
