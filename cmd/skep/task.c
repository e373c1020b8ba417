#include "cmd/skep/task.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/common.h"
#include "cmd/skep/format.h"
#include "cmd/skep/text.h"
#include "proto/base/str.h"

#define ERROR_COLUMNS 30

bool task_ended(const char *state)
{
    static const char *const ended[] = {"complete", "shutdown", "failed",
                                        "rejected", "remove",   "orphaned"};
    for (size_t i = 0; i < COUNT_OF(ended); i++)
        if (str_equal(state, ended[i]))
            return true;
    return false;
}

const char *task_image(struct cli *cli, const char *image)
{
    const char *digest = strchr(image, '@');
    return digest ? textf(cli, "%.*s", (int)(digest - image), image) : image;
}

// One task with what it is sorted by.
struct shown {
    json_t *task;
    const char *name; // "web.1"
    const char *created;
};

// By name (numbers by value), then newest first, as docker sorts them.
static int by_slot(const void *a, const void *b)
{
    const struct shown *x = a, *y = b;
    int order = strverscmp(x->name, y->name);
    return order ? order : strcmp(y->created, x->created);
}

static const char *name_of(json_t *names, const char *id)
{
    const char *name = json_string_value(json_object_get(names, id));
    return name ? name : id;
}

// id -> name, from the list at the target; empty when names are not wanted or not to be had.
static json_t *names_of(struct cli *cli, const char *target, const char *path)
{
    json_t *names = keep(cli, json_object());
    json_t *list = args_on(&cli->args, "no-resolve") ? NULL : api_get(cli, "%s", target);
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
        json_object_set_new(names, text_at(item, "ID"), json_string(text_at(item, path)));
    return names;
}

static const char *slot_name(struct cli *cli, json_t *task, json_t *services)
{
    const char *service = name_of(services, text_at(task, "ServiceID"));
    if (str_empty(service))
        return str_or(text_at(task, "Name"), text_at(task, "ID"));
    if (number_at(task, "Slot"))
        return textf(cli, "%s.%lld", service, (long long)number_at(task, "Slot"));
    return textf(cli, "%s.%s", service, text_at(task, "NodeID"));
}

static const char *capital(struct cli *cli, const char *word)
{
    char *copy = arena_strdup(&cli->arena, word);
    if (*copy >= 'a' && *copy <= 'z')
        *copy = (char)(*copy - 32);
    return copy;
}

static const char *ports_of(struct cli *cli, json_t *task)
{
    struct buf text;
    buf_init(&text, 64 * 1024);
    size_t i;
    json_t *port;
    json_array_foreach(at(task, "Status.PortStatus.Ports"), i, port)
    {
        buf_printf(&text, "%s*:%lld->%lld/%s", i ? "," : "",
                   (long long)number_at(port, "PublishedPort"),
                   (long long)number_at(port, "TargetPort"), text_at(port, "Protocol"));
    }
    const char *copy = textf(cli, "%s", buf_cstr(&text));
    buf_fini(&text);
    return copy;
}

static json_t *task_row(struct cli *cli, const struct shown *shown, const char *shown_name,
                        json_t *nodes)
{
    bool full = args_on(&cli->args, "no-trunc");
    json_t *task = shown->task, *row = row_new(cli, NULL);
    const char *image = text_at(task, "Spec.ContainerSpec.Image");
    const char *error = text_at(task, "Status.Err");
    const char *since = text_since(text_at(task, "Status.Timestamp"), cli_now(), &cli->arena);
    char lower[64];
    str_copy(lower, sizeof lower, since);
    if (*lower >= 'A' && *lower <= 'Z')
        *lower = (char)(*lower + 32);
    row_set(row, "ID",
            full || args_on(&cli->args, "quiet") ? text_at(task, "ID")
                                                 : text_short_id(text_at(task, "ID"), &cli->arena));
    row_set(row, "Name", shown_name);
    row_set(row, "Image", full ? image : task_image(cli, image));
    row_set(row, "Node", name_of(nodes, text_at(task, "NodeID")));
    row_set(row, "DesiredState", capital(cli, text_at(task, "DesiredState")));
    row_set(row, "CurrentState",
            textf(cli, "%s %s ago", capital(cli, text_at(task, "Status.State")), lower));
    row_set(row, "Error",
            str_empty(error) ? ""
            : full           ? textf(cli, "\"%s\"", error)
                   : textf(cli, "\"%s\"", text_cut(error, ERROR_COLUMNS - 2, &cli->arena)));
    row_set(row, "Ports", ports_of(cli, task));
    return row;
}

int task_show(struct cli *cli, json_t *tasks)
{
    static const struct column columns[] = {{"ID", "ID"},
                                            {"Name", "NAME"},
                                            {"Image", "IMAGE"},
                                            {"Node", "NODE"},
                                            {"DesiredState", "DESIRED STATE"},
                                            {"CurrentState", "CURRENT STATE"},
                                            {"Error", "ERROR"},
                                            {"Ports", "PORTS"},
                                            {0}};
    static const struct listing listing = {
        columns,
        "table {{.ID}}\t{{.Name}}\t{{.Image}}\t{{.Node}}\t{{.DesiredState}}\t{{.CurrentState}}\t"
        "{{.Error}}\t{{.Ports}}",
        "{{.ID}}", "tasksFormat"};
    json_t *services = names_of(cli, "/services", "Spec.Name");
    json_t *nodes = names_of(cli, "/nodes", "Description.Hostname");
    size_t count = json_array_size(tasks);
    struct shown *all = mem_alloc_array(count + 1, sizeof *all);
    for (size_t i = 0; i < count; i++) {
        json_t *task = json_array_get(tasks, i);
        all[i] = (struct shown){task, slot_name(cli, task, services), text_at(task, "CreatedAt")};
    }
    qsort(all, count, sizeof *all, by_slot);
    json_t *rows = keep(cli, json_array());
    const char *format = args_text(&cli->args, "format");
    bool marks = !format || str_starts(format, "table");
    for (size_t i = 0; i < count; i++) {
        // Earlier tasks of a slot hang below the newest one.
        bool older = marks && i && strcmp(all[i - 1].name, all[i].name) == 0;
        json_array_append(rows, task_row(cli, &all[i],
                                         older ? textf(cli, " \\_ %s", all[i].name) : all[i].name,
                                         nodes));
    }
    free(all);
    return show_list(cli, &listing, rows);
}
