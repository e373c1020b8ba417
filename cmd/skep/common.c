#include "cmd/skep/common.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/parse.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define PATH_PART_MAX 128

// The next part of a path, cut at '.'; NULL at its end.
static const char *next_part(const char *path, char part[PATH_PART_MAX])
{
    size_t length = strcspn(path, ".");
    CHECK(length < PATH_PART_MAX);
    memcpy(part, path, length);
    part[length] = 0;
    return path[length] ? path + length + 1 : NULL;
}

json_t *at(const json_t *value, const char *path)
{
    char part[PATH_PART_MAX];
    const json_t *found = value;
    while (path && found) {
        path = next_part(path, part);
        found = json_object_get(found, part);
    }
    return json_is_null(found) ? NULL : (json_t *)found;
}

const char *text_at(const json_t *value, const char *path)
{
    return str_or(json_string_value(at(value, path)), "");
}

json_int_t number_at(const json_t *value, const char *path)
{
    const json_t *found = at(value, path);
    return json_is_real(found) ? (json_int_t)json_real_value(found) : json_integer_value(found);
}

bool true_at(const json_t *value, const char *path)
{
    return json_is_true(at(value, path));
}

// The object that holds the path's last part, which is left in `part`.
static json_t *parent_of(json_t *value, const char *path, char part[PATH_PART_MAX])
{
    while ((path = next_part(path, part))) {
        json_t *below = json_object_get(value, part);
        if (!json_is_object(below)) {
            below = json_object();
            json_object_set_new(value, part, below);
        }
        value = below;
    }
    return value;
}

json_t *object_at(json_t *value, const char *path)
{
    char part[PATH_PART_MAX];
    json_t *parent = parent_of(value, path, part), *found = json_object_get(parent, part);
    if (!json_is_object(found)) {
        found = json_object();
        json_object_set_new(parent, part, found);
    }
    return found;
}

json_t *array_at(json_t *value, const char *path)
{
    char part[PATH_PART_MAX];
    json_t *parent = parent_of(value, path, part), *found = json_object_get(parent, part);
    if (!json_is_array(found)) {
        found = json_array();
        json_object_set_new(parent, part, found);
    }
    return found;
}

void set_at(json_t *value, const char *path, json_t *made)
{
    char part[PATH_PART_MAX];
    json_t *parent = parent_of(value, path, part);
    json_object_set_new(parent, part, made);
}

void set_text(json_t *value, const char *path, const char *text)
{
    set_at(value, path, json_string(text));
}

void set_number(json_t *value, const char *path, json_int_t number)
{
    set_at(value, path, json_integer(number));
}

void set_real(json_t *value, const char *path, double number)
{
    set_at(value, path, json_real(number));
}

void set_true(json_t *value, const char *path, bool is_true)
{
    set_at(value, path, json_boolean(is_true));
}

void unset(json_t *value, const char *path)
{
    char part[PATH_PART_MAX];
    json_t *parent = parent_of(value, path, part);
    json_object_del(parent, part);
}

// ---- fields -------------------------------------------------------------------------------------

// One field with its quotes taken off; *at stands behind its comma afterwards, or is NULL.
static char *take_field(const char **at, struct arena *arena, struct err *err)
{
    const char *from = *at;
    char *field = arena_alloc(arena, strlen(from) + 1), *to = field;
    CHECK(field);
    bool quoted = *from == '"';
    from += quoted;
    while (*from) {
        if (quoted && from[0] == '"' && from[1] == '"') {
            *to++ = '"';
            from += 2;
        } else if (quoted && *from == '"') {
            quoted = false;
            from++;
            if (*from && *from != ',') {
                err_set(err, ERR_INVALID_ARGUMENT, "extraneous or missing \" in quoted-field");
                return NULL;
            }
        } else if (!quoted && *from == ',') {
            break;
        } else {
            *to++ = *from++;
        }
    }
    if (quoted) {
        err_set(err, ERR_INVALID_ARGUMENT, "extraneous or missing \" in quoted-field");
        return NULL;
    }
    *at = *from == ',' ? from + 1 : NULL;
    return field;
}

int fields_parse(const char *text, struct arena *arena, struct field fields[FIELDS_MAX],
                 struct err *err)
{
    int count = 0;
    for (const char *at = text; at;) {
        char *field = take_field(&at, arena, err);
        if (!field)
            return -ERR_INVALID_ARGUMENT;
        if (count == FIELDS_MAX)
            return err_set(err, ERR_INVALID_ARGUMENT, "more than %d fields", FIELDS_MAX);
        char *equals = strchr(field, '=');
        if (equals)
            *equals = 0;
        for (char *c = field; *c; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c = (char)(*c + 32);
        fields[count++] = (struct field){field, equals ? equals + 1 : "", equals != NULL};
    }
    return count;
}

const char *split_once(const char *text, char separator, const char **rest, struct arena *arena)
{
    const char *cut = strchr(text, separator);
    *rest = cut ? cut + 1 : NULL;
    return cut ? arena_strndup(arena, text, (size_t)(cut - text)) : text;
}

void set_pair(json_t *object, const char *pair, struct arena *arena)
{
    const char *value, *key = split_once(pair, '=', &value, arena);
    json_object_set_new(object, key, json_string(value ? value : ""));
}

json_t *pairs_object(struct cli *cli, const char *flag)
{
    const char *const *list;
    size_t count = args_list(&cli->args, flag, &list);
    json_t *object = keep(cli, json_object());
    for (size_t i = 0; i < count; i++)
        set_pair(object, list[i], &cli->arena);
    return object;
}

// ---- filters ------------------------------------------------------------------------------------

int put_env_options(struct cli *cli, json_t *value, const char *path)
{
    const char *const *items, *rest;
    size_t count = args_list(&cli->args, "env-file", &items);
    for (size_t i = 0; i < count; i++) {
        const char *text = cli_read(cli, items[i], NULL);
        if (!text ||
            parse_env_file(text, cli_env, array_at(value, path), &cli->arena, &cli->error) < 0)
            return err_wrap(&cli->error, "--env-file %s", items[i]);
    }
    count = args_list(&cli->args, "env", &items);
    for (size_t i = 0; i < count; i++) {
        const char *name = split_once(items[i], '=', &rest, &cli->arena);
        const char *ours = rest ? NULL : cli_env(name);
        if (!*name) {
            err_set(&cli->error, ERR_INVALID_ARGUMENT, "invalid environment variable: %s",
                    items[i]);
            return bad_flag(cli, "env", items[i]);
        }
        const char *pair = ours ? textf(cli, "%s=%s", name, ours) : items[i];
        json_array_append_new(array_at(value, path), json_string(pair));
    }
    return 0;
}

bool filter_has(struct cli *cli, const char *key)
{
    const char *const *list;
    size_t count = args_list(&cli->args, "filter", &list), length = strlen(key);
    for (size_t i = 0; i < count; i++)
        if (strncmp(list[i], key, length) == 0 && list[i][length] == '=')
            return true;
    return false;
}

const char *filters_with(struct cli *cli, const char *key, const char *value)
{
    const char *const *list, *wanted;
    size_t count = args_list(&cli->args, "filter", &list);
    json_t *filters = keep(cli, json_object());
    for (size_t i = 0; i < count; i++) {
        const char *name = split_once(list[i], '=', &wanted, &cli->arena);
        struct str_part trimmed = str_trim((struct str_part){name, strlen(name)});
        const char *lower = arena_strndup(&cli->arena, trimmed.at, trimmed.len);
        json_object_set_new(object_at(filters, lower), wanted, json_true());
    }
    if (key)
        json_object_set_new(object_at(filters, key), value, json_true());
    if (json_object_size(filters) == 0)
        return "";
    char *text = json_dumps(filters, JSON_COMPACT);
    const char *part = parameter(cli, "filters", text ? text : "");
    free(text);
    return part;
}

const char *filters_part(struct cli *cli)
{
    return filters_with(cli, NULL, NULL);
}

const char *id_of_info(struct cli *cli)
{
    json_t *info = api_get(cli, "/info");
    return info ? text_at(info, "Swarm.NodeID") : "";
}

int each_argument(struct cli *cli, int (*one)(struct cli *cli, const char *argument))
{
    int status = 0;
    for (int i = 0; i < cli->args.argc; i++)
        if (one(cli, cli->args.argv[i]) != 0)
            status = 1;
    return status;
}

int remove_named(struct cli *cli, const char *path, const char *name, bool by_force)
{
    const char *force = by_force ? "?force=1" : "";
    if (!api(cli, "DELETE", textf(cli, "%s%s%s", path, escape(cli, name), force), NULL))
        return failed(cli);
    say(cli, "%s\n", name);
    return 0;
}
