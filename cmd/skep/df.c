// skep system df: how much disk the daemon uses.
#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/format.h"
#include "cmd/skep/parse.h"
#include "cmd/skep/text.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

static const struct df_kind {
    const char *list, *title, *size, *uses;
} kinds[] = {{"Images", "Images", "Size", "Containers"},
             {"Containers", "Containers", "SizeRw", NULL},
             {"Volumes", "Local Volumes", "UsageData.Size", "UsageData.RefCount"},
             {"BuildCache", "Build Cache", "Size", "UsageCount"}};

static bool is_used(const struct df_kind *kind, json_t *item)
{
    return kind->uses ? number_at(item, kind->uses) > 0
                      : str_equal(text_at(item, "State"), "running");
}

static json_t *kind_row(struct cli *cli, json_t *df, const struct df_kind *kind)
{
    double size = 0, unused = 0;
    size_t active = 0, i;
    json_t *item, *row = row_new(cli, NULL);
    json_array_foreach(at(df, kind->list), i, item)
    {
        double bytes = (double)number_at(item, kind->size);
        bool used = is_used(kind, item);
        size += bytes > 0 ? bytes : 0;
        unused += used || bytes < 0 ? 0 : bytes;
        active += used;
    }
    if (kind == kinds && number_at(df, "LayersSize") > 0)
        size = (double)number_at(df, "LayersSize");
    unused = unused < size ? unused : size;
    row_set(row, "Type", kind->title);
    row_set(row, "TotalCount", textf(cli, "%zu", json_array_size(at(df, kind->list))));
    row_set(row, "Active", textf(cli, "%zu", active));
    row_set(row, "Size", text_size(size, &cli->arena));
    row_set(row, "Reclaimable",
            size > 0
                ? textf(cli, "%s (%.0f%%)", text_size(unused, &cli->arena), 100 * unused / size)
                : text_size(unused, &cli->arena));
    return row;
}

// ---- all of it ----------------------------------------------------------------------------------

static json_t *image_rows(struct cli *cli, json_t *df)
{
    json_t *rows = keep(cli, json_array()), *image;
    size_t i;
    json_array_foreach(at(df, "Images"), i, image)
    {
        json_t *row = row_new(cli, NULL);
        const char *name = json_string_value(json_array_get(at(image, "RepoTags"), 0));
        const char *repository = "<none>", *tag = "", *digest = "";
        double size = (double)number_at(image, "Size"),
               shared = (double)number_at(image, "SharedSize");
        if (name && !str_starts(name, "<none>"))
            parse_image_parts(name, &cli->arena, &repository, &tag, &digest);
        struct wall made = {.ns = number_at(image, "Created") * NS_PER_S};
        row_set(row, "REPOSITORY", repository);
        row_set(row, "TAG", *tag ? tag : "<none>");
        row_set(row, "IMAGE ID", text_short_id(text_at(image, "Id"), &cli->arena));
        row_set(row, "CREATED",
                textf(cli, "%s ago", text_span(wall_since(cli_now(), made), &cli->arena)));
        row_set(row, "SIZE", text_size_short(size, &cli->arena));
        row_set(row, "SHARED SIZE", text_size_short(shared > 0 ? shared : 0, &cli->arena));
        row_set(row, "UNIQUE SIZE", text_size_short(size - (shared > 0 ? shared : 0), &cli->arena));
        row_set(row, "CONTAINERS", textf(cli, "%lld", (long long)number_at(image, "Containers")));
        json_array_append(rows, row);
    }
    return rows;
}

static json_t *container_rows(struct cli *cli, json_t *df)
{
    json_t *rows = keep(cli, json_array()), *container, *mount;
    size_t i, j;
    json_array_foreach(at(df, "Containers"), i, container)
    {
        json_t *row = row_new(cli, NULL);
        const char *name = json_string_value(json_array_get(at(container, "Names"), 0));
        const char *command = textf(cli, "\"%s\"", text_at(container, "Command"));
        struct wall made = {.ns = number_at(container, "Created") * NS_PER_S};
        size_t volumes = 0;
        json_array_foreach(at(container, "Mounts"), j, mount) volumes +=
            str_equal(text_at(mount, "Type"), "volume");
        row_set(row, "CONTAINER ID", text_short_id(text_at(container, "Id"), &cli->arena));
        row_set(row, "IMAGE", text_at(container, "Image"));
        row_set(row, "COMMAND", text_cut(text_printable(command, &cli->arena), 20, &cli->arena));
        row_set(row, "LOCAL VOLUMES", textf(cli, "%zu", volumes));
        row_set(row, "SIZE", text_size_short((double)number_at(container, "SizeRw"), &cli->arena));
        row_set(row, "CREATED",
                textf(cli, "%s ago", text_span(wall_since(cli_now(), made), &cli->arena)));
        row_set(row, "STATUS", text_at(container, "Status"));
        row_set(row, "NAMES", name ? name + (*name == '/') : "");
        json_array_append(rows, row);
    }
    return rows;
}

static json_t *volume_rows(struct cli *cli, json_t *df)
{
    json_t *rows = keep(cli, json_array()), *volume;
    size_t i;
    json_array_foreach(at(df, "Volumes"), i, volume)
    {
        json_t *row = row_new(cli, NULL);
        double size = (double)number_at(volume, "UsageData.Size");
        row_set(row, "VOLUME NAME", text_at(volume, "Name"));
        row_set(row, "LINKS",
                textf(cli, "%lld", (long long)number_at(volume, "UsageData.RefCount")));
        row_set(row, "SIZE", size < 0 ? "N/A" : text_size(size, &cli->arena));
        json_array_append(rows, row);
    }
    return rows;
}

static json_t *cache_rows(struct cli *cli, json_t *df)
{
    json_t *rows = keep(cli, json_array()), *item;
    size_t i;
    json_array_foreach(at(df, "BuildCache"), i, item)
    {
        json_t *row = row_new(cli, NULL);
        row_set(row, "CACHE ID", text_short_id(text_at(item, "ID"), &cli->arena));
        row_set(row, "CACHE TYPE", text_at(item, "Type"));
        row_set(row, "SIZE", text_size((double)number_at(item, "Size"), &cli->arena));
        row_set(
            row, "CREATED",
            textf(cli, "%s ago", text_since(text_at(item, "CreatedAt"), cli_now(), &cli->arena)));
        row_set(
            row, "LAST USED",
            textf(cli, "%s ago", text_since(text_at(item, "LastUsedAt"), cli_now(), &cli->arena)));
        row_set(row, "USAGE", textf(cli, "%lld", (long long)number_at(item, "UsageCount")));
        row_set(row, "SHARED", true_at(item, "Shared") ? "true" : "false");
        json_array_append(rows, row);
    }
    return rows;
}

// A title, and the rows as a table under their own keys.
static void say_rows(struct cli *cli, const char *title, const char *headers, json_t *rows)
{
    struct buf lines;
    struct str_part header;
    size_t i;
    json_t *row;
    buf_init(&lines, 1u << 24);
    say(cli, "%s\n\n", title);
    for (const char *rest = headers; str_split(&rest, '\t', &header);)
        buf_printf(&lines, "%s%.*s", header.at == headers ? "" : "\t", (int)header.len, header.at);
    buf_put_u8(&lines, '\n');
    json_array_foreach(rows, i, row)
    {
        for (const char *rest = headers; str_split(&rest, '\t', &header);) {
            const char *key = arena_strndup(&cli->arena, header.at, header.len);
            buf_printf(&lines, "%s%s", header.at == headers ? "" : "\t",
                       str_or(json_string_value(json_object_get(row, key)), ""));
        }
        buf_put_u8(&lines, '\n');
    }
    format_table(cli, &lines);
    buf_fini(&lines);
}

static int show_all(struct cli *cli, json_t *df)
{
    double cache = 0;
    size_t i;
    json_t *item;
    json_array_foreach(at(df, "BuildCache"), i, item) cache += (double)number_at(item, "Size");
    say_rows(cli, "Images space usage:",
             "REPOSITORY\tTAG\tIMAGE ID\tCREATED\tSIZE\tSHARED SIZE\tUNIQUE SIZE\tCONTAINERS",
             image_rows(cli, df));
    say_rows(cli, "\nContainers space usage:",
             "CONTAINER ID\tIMAGE\tCOMMAND\tLOCAL VOLUMES\tSIZE\tCREATED\tSTATUS\tNAMES",
             container_rows(cli, df));
    say_rows(cli, "\nLocal Volumes space usage:", "VOLUME NAME\tLINKS\tSIZE", volume_rows(cli, df));
    say_rows(cli, textf(cli, "\nBuild cache usage: %s", text_size(cache, &cli->arena)),
             "CACHE ID\tCACHE TYPE\tSIZE\tCREATED\tLAST USED\tUSAGE\tSHARED", cache_rows(cli, df));
    return 0;
}

static int run_df(struct cli *cli)
{
    static const struct column columns[] = {
        {"Type", "TYPE"}, {"TotalCount", "TOTAL"},        {"Active", "ACTIVE"},
        {"Size", "SIZE"}, {"Reclaimable", "RECLAIMABLE"}, {0}};
    static const struct listing listing = {
        columns, "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}", NULL,
        NULL};
    bool all = args_on(&cli->args, "verbose");
    if (all && args_set(&cli->args, "format"))
        return complain(cli, "the verbose and the format options conflict");
    json_t *df = api_get(cli, "/system/df"), *rows = keep(cli, json_array());
    if (!df)
        return failed(cli);
    if (all)
        return show_all(cli, df);
    for (size_t k = 0; k < COUNT_OF(kinds); k++)
        json_array_append(rows, kind_row(cli, df, &kinds[k]));
    return show_list(cli, &listing, rows);
}

static const struct flag df_flags[] = {
    {"format", 'f', FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"verbose", 'v', FLAG_BOOL, NULL, "Show each image, container and volume"},
    {0},
};

const struct command df_commands[] = {
    {"system df", "[OPTIONS]", "Show how much disk the daemon uses", df_flags, run_df, 0, 0, 0,
     NULL},
    {0},
};
