#include "cmd/skep/capabilities.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/skep/common.h"
#include "cmd/skep/parse.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define ALL   "ALL"
#define RESET "CAP_RESET" // as parse_capability writes it

// Sets of names are objects.
static json_t *set_of_option(struct cli *cli, const char *flag)
{
    const char *const *texts;
    size_t count = args_list(&cli->args, flag, &texts);
    json_t *set = keep(cli, json_object());
    for (size_t i = 0; i < count; i++)
        json_object_set_new(set, parse_capability(texts[i], &cli->arena), json_true());
    return set;
}

static json_t *set_of_list(struct cli *cli, const json_t *list)
{
    json_t *set = keep(cli, json_object()), *item;
    size_t i;
    json_array_foreach(list, i, item) json_object_set_new(
        set, parse_capability(str_or(json_string_value(item), ""), &cli->arena), json_true());
    return set;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void put_set(struct cli *cli, json_t *value, const char *path, json_t *set)
{
    unset(value, path);
    size_t count = 0;
    const char **names = arena_alloc_array(&cli->arena, json_object_size(set) + 1, sizeof *names);
    CHECK(names);
    const char *name;
    json_t *on;
    json_object_foreach(set, name, on) names[count++] = name;
    qsort(names, count, sizeof *names, by_name);
    if (json_object_get(set, ALL)) {
        names[0] = ALL;
        count = 1;
    }
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array_at(value, path), json_string(names[i]));
}

static void remove_all(json_t *set, json_t *gone)
{
    const char *name;
    json_t *on;
    json_object_foreach(gone, name, on) json_object_del(set, name);
}

void capabilities_put(struct cli *cli, json_t *value, const char *add_path, const char *drop_path)
{
    json_t *add = set_of_option(cli, "cap-add"), *drop = set_of_option(cli, "cap-drop");
    remove_all(drop, add);
    if (json_object_size(add))
        put_set(cli, value, add_path, add);
    if (json_object_size(drop))
        put_set(cli, value, drop_path, drop);
}

// Puts what is wanted into `list`, but what `other` has is only taken out there.
static void move(json_t *wanted, json_t *list, json_t *other)
{
    const char *name;
    json_t *on;
    json_object_foreach(wanted, name, on)
    {
        if (json_object_get(other, name))
            json_object_del(other, name);
        else
            json_object_set_new(list, name, json_true());
    }
}

void capabilities_change(struct cli *cli, json_t *value, const char *add_path,
                         const char *drop_path)
{
    if (!args_set(&cli->args, "cap-add") && !args_set(&cli->args, "cap-drop"))
        return;
    json_t *to_add = set_of_option(cli, "cap-add"), *to_drop = set_of_option(cli, "cap-drop");
    json_t *add = set_of_list(cli, at(value, add_path));
    json_t *drop = set_of_list(cli, at(value, drop_path));
    if (json_object_del(to_add, RESET) == 0)
        json_object_clear(add);
    if (json_object_del(to_drop, RESET) == 0)
        json_object_clear(drop);
    remove_all(to_drop, to_add);
    move(to_drop, drop, add);
    move(to_add, add, drop);
    put_set(cli, value, add_path, add);
    put_set(cli, value, drop_path, drop);
}
