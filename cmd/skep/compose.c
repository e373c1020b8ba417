// Reading compose files. What they become is in compose_convert.c.
#include "cmd/skep/compose.h"

#include <string.h>

#include "cmd/skep/common.h"
#include "cmd/skep/compose_rules.h"
#include "cmd/skep/interpolate.h"
#include "cmd/skep/parse.h"
#include "cmd/skep/yaml.h"
#include "proto/base/str.h"

struct reading {
    const char *file;
    const json_t *lines, *variables;
    json_t *warnings;
    struct arena *arena;
    struct err *err;
};

// "web.yml:12: services.web.ports: what". Returns NULL.
static json_t *refuse(struct reading *r, const char *path, const char *what)
{
    char *dotted = arena_strdup(r->arena, path);
    for (char *c = dotted; c && *c; c++)
        if (*c == '/')
            *c = '.';
    int line = yaml_line(r->lines, path);
    err_set(r->err, ERR_INVALID_ARGUMENT, "%s:%d: %s%s%s", r->file, line ? line : 1,
            dotted ? dotted : "", dotted && *dotted ? ": " : "", what);
    return NULL;
}

static const char *below_path(struct reading *r, const char *path, const char *key)
{
    return arena_printf(r->arena, "%s%s%s", path, *path ? "/" : "", key);
}

// ---- scalars ------------------------------------------------------------------------------------

// The scalar as text, with its variables replaced; NULL with the error.
static const char *scalar_text(struct reading *r, const json_t *value, const char *path)
{
    if (json_is_boolean(value))
        return json_is_true(value) ? "true" : "false";
    if (json_is_integer(value))
        return arena_printf(r->arena, "%lld", (long long)json_integer_value(value));
    if (json_is_real(value))
        return arena_printf(r->arena, "%.10g", json_real_value(value));
    if (!json_is_string(value)) {
        refuse(r, path, "a single value is wanted here");
        return NULL;
    }
    if (!r->variables)
        return json_string_value(value);
    struct err why = ERR_INIT;
    const char *text = interpolate(json_string_value(value), r->variables, r->arena, &why);
    if (!text)
        refuse(r, path, why.message);
    return text;
}

static json_t *read_text(struct reading *r, const json_t *value, const char *path)
{
    const char *text = scalar_text(r, value, path);
    return text ? json_string(text) : NULL;
}

static json_t *read_typed(struct reading *r, const json_t *value, const char *path,
                          enum shape shape)
{
    const char *text = scalar_text(r, value, path);
    if (!text)
        return NULL;
    json_t *typed = json_is_string(value) ? yaml_scalar(text) : json_incref((json_t *)value);
    if (shape == NUMBER ? json_is_number(typed) : json_is_boolean(typed))
        return typed;
    json_decref(typed);
    return refuse(r, path,
                  shape == NUMBER ? arena_printf(r->arena, "\"%s\" is no number", text)
                                  : arena_printf(r->arena,
                                                 "\"%s\" is neither true nor "
                                                 "false",
                                                 text));
}

// ---- lists and maps -----------------------------------------------------------------------------

static json_t *read_list(struct reading *r, const json_t *value, const char *path)
{
    json_t *list = json_array(), *item, *made;
    size_t i;
    if (!json_is_array(value)) {
        made = read_text(r, value, path);
        if (made)
            json_array_append_new(list, made);
    } else {
        made = list;
        json_array_foreach(value, i, item)
        {
            made = read_text(r, item, arena_printf(r->arena, "%s/%zu", path, i));
            if (!made)
                break;
            json_array_append_new(list, made);
        }
    }
    if (made)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *read_command(struct reading *r, const json_t *value, const char *path)
{
    if (json_is_array(value) || json_is_null(value))
        return json_is_null(value) ? json_null() : read_list(r, value, path);
    const char *text = scalar_text(r, value, path);
    json_t *words = json_array();
    struct err why = ERR_INIT;
    if (text && parse_words(text, words, r->arena, &why) == 0)
        return words;
    json_decref(words);
    return text ? refuse(r, path, why.message) : NULL;
}

static json_t *read_pairs(struct reading *r, const json_t *value, const char *path)
{
    json_t *pairs = json_object(), *item;
    const char *key, *text = "";
    size_t i;
    json_array_foreach(value, i, item)
    {
        const char *rest;
        text = scalar_text(r, item, arena_printf(r->arena, "%s/%zu", path, i));
        if (!text)
            break;
        key = split_once(text, '=', &rest, r->arena);
        json_object_set_new(pairs, key, rest ? json_string(rest) : json_null());
    }
    json_object_foreach((json_t *)value, key, item)
    {
        text = json_is_null(item) ? "" : scalar_text(r, item, below_path(r, path, key));
        if (!text)
            break;
        json_object_set_new(pairs, key, json_is_null(item) ? json_null() : json_string(text));
    }
    if (text && (json_is_object(value) || json_is_array(value) || json_is_null(value)))
        return pairs;
    json_decref(pairs);
    return text ? refuse(r, path, "a map, or a list of KEY=value, is wanted here") : NULL;
}

// As a list of "name:address" in any case.
static json_t *read_hosts(struct reading *r, const json_t *value, const char *path)
{
    json_t *hosts = json_array(), *item;
    const char *key, *text = "";
    struct err why = ERR_INIT;
    size_t i;
    json_array_foreach(value, i, item)
    {
        const char *below = arena_printf(r->arena, "%s/%zu", path, i);
        text = scalar_text(r, item, below);
        if (text && !parse_host(text, r->arena, &why)) {
            refuse(r, below, why.message);
            text = NULL;
        }
        if (!text)
            break;
        json_array_append_new(hosts, json_string(text));
    }
    json_object_foreach((json_t *)value, key, item)
    {
        text = scalar_text(r, item, below_path(r, path, key));
        if (!text)
            break;
        json_array_append_new(hosts, json_string(arena_printf(r->arena, "%s:%s", key, text)));
    }
    if (text && (json_is_object(value) || json_is_array(value)))
        return hosts;
    json_decref(hosts);
    return text ? refuse(r, path, "a map, or a list of name:address, is wanted here") : NULL;
}

static json_t *read_any(struct reading *r, const json_t *value, const char *path)
{
    json_t *made = NULL, *item, *below;
    const char *key;
    size_t i;
    if (json_is_string(value))
        return read_text(r, value, path);
    if (json_is_array(value)) {
        made = json_array();
        json_array_foreach(value, i, item)
        {
            below = read_any(r, item, arena_printf(r->arena, "%s/%zu", path, i));
            if (!below) {
                json_decref(made);
                return NULL;
            }
            json_array_append_new(made, below);
        }
        return made;
    }
    if (!json_is_object(value))
        return json_incref((json_t *)value);
    made = json_object();
    json_object_foreach((json_t *)value, key, item)
    {
        below = read_any(r, item, below_path(r, path, key));
        if (!below) {
            json_decref(made);
            return NULL;
        }
        json_object_set_new(made, key, below);
    }
    return made;
}

// ---- short forms --------------------------------------------------------------------------------

static json_t *short_port(struct reading *r, const char *text, const char *path, json_t *list)
{
    struct err why = ERR_INIT;
    json_t *ports = json_array(), *port;
    size_t i;
    if (parse_service_port(text, ports, r->arena, &why) < 0) {
        json_decref(ports);
        return refuse(r, path, why.message);
    }
    json_array_foreach(ports, i, port)
    {
        json_t *made =
            json_pack("{s:s, s:I, s:s}", "mode", text_at(port, "PublishMode"), "target",
                      number_at(port, "TargetPort"), "protocol", text_at(port, "Protocol"));
        if (number_at(port, "PublishedPort"))
            set_number(made, "published", number_at(port, "PublishedPort"));
        json_array_append_new(list, made);
    }
    json_decref(ports);
    return list;
}

// "source:target:ro,nocopy", "target".
static json_t *short_volume(struct reading *r, const char *text, const char *path, json_t *list)
{
    json_t *mount = json_object();
    const char *target, *options = NULL, *source = split_once(text, ':', &target, r->arena);
    if (target)
        target = split_once(target, ':', &options, r->arena);
    if (!target) {
        target = source;
        source = "";
    }
    bool bind = *source == '/' || *source == '.' || *source == '~';
    set_text(mount, "type", bind ? "bind" : "volume");
    if (*source)
        set_text(mount, "source", source);
    set_text(mount, "target", target);
    json_array_append_new(list, mount);
    struct str_part part;
    for (const char *rest = options; str_split(&rest, ',', &part);) {
        const char *option = arena_strndup(r->arena, part.at, part.len);
        if (str_equal(option, "ro"))
            set_true(mount, "read_only", true);
        else if (str_equal(option, "nocopy"))
            set_true(mount, "volume.nocopy", true);
        else if (strstr(" rprivate private rshared shared rslave slave ",
                        arena_printf(r->arena, " %s ", option)))
            set_text(mount, "bind.propagation", option);
        else if (!str_equal(option, "rw"))
            return refuse(r, path, arena_printf(r->arena, "invalid volume option \"%s\"", option));
    }
    return *target == '/' ? list : refuse(r, path, "the target of a volume is an absolute path");
}

static json_t *read_object(struct reading *r, const json_t *value, const char *path,
                           const struct rule *rules);

// Appends what the short form stands for; NULL with the error.
static json_t *read_short(struct reading *r, const json_t *value, const char *path,
                          enum shape shape, json_t *list)
{
    if (shape == OBJECTS)
        return refuse(r, path, "a map is wanted here");
    const char *text = scalar_text(r, value, path);
    if (!text)
        return NULL;
    if (shape == PORTS)
        return short_port(r, text, path, list);
    if (shape == MOUNTS)
        return short_volume(r, text, path, list);
    json_array_append_new(list, json_pack("{s:s}", "source", text));
    return list;
}

static json_t *read_objects(struct reading *r, const json_t *value, const char *path,
                            const struct rule *rule)
{
    json_t *list = json_array(), *item;
    size_t i;
    if (!json_is_array(value)) {
        json_decref(list);
        return json_is_null(value) ? json_array() : refuse(r, path, "a list is wanted here");
    }
    json_array_foreach(value, i, item)
    {
        const char *below = arena_printf(r->arena, "%s/%zu", path, i);
        json_t *made = json_is_object(item) ? read_object(r, item, below, rule->below)
                                            : read_short(r, item, below, rule->shape, list);
        if (!made) {
            json_decref(list);
            return NULL;
        }
        if (made != list)
            json_array_append_new(list, made);
    }
    return list;
}

// The names a service's networks may be given as.
static json_t *read_names(struct reading *r, const json_t *value, const char *path)
{
    json_t *map = json_object(), *item;
    size_t i;
    json_array_foreach(value, i, item)
    {
        const char *name = scalar_text(r, item, arena_printf(r->arena, "%s/%zu", path, i));
        if (!name) {
            json_decref(map);
            return NULL;
        }
        json_object_set_new(map, name, json_object());
    }
    return map;
}

static json_t *read_map(struct reading *r, const json_t *value, const char *path,
                        const struct rule *rule)
{
    if (json_is_array(value) && rule->shape == JOINED)
        return read_names(r, value, path);
    if (!json_is_object(value) && !json_is_null(value))
        return refuse(r, path, "a map is wanted here");
    json_t *map = json_object(), *item;
    const char *key;
    json_object_foreach((json_t *)value, key, item)
    {
        if (str_starts(key, "x-") && rule->shape == MAP)
            continue;
        const char *below = below_path(r, path, key);
        json_t *made = rule->shape == LIMITS && !json_is_object(item)
                           ? read_typed(r, item, below, NUMBER)
                       : json_is_null(item) ? json_object()
                                            : read_object(r, item, below, rule->below);
        if (!made) {
            json_decref(map);
            return NULL;
        }
        json_object_set_new(map, key, made);
    }
    return map;
}

// ---- objects ------------------------------------------------------------------------------------

static json_t *not_supported(struct reading *r, const char *path, const char *key)
{
    const char *instead = rule_instead(key);
    return refuse(r, path,
                  arena_printf(r->arena, "this is not supported in a swarm%s%s",
                               instead ? "; " : "", instead ? instead : ""));
}

static json_t *unknown_key(struct reading *r, const char *path, const struct rule *rules,
                           const char *key)
{
    const char *near = rule_nearest(rules, key);
    return refuse(r, path,
                  arena_printf(r->arena, "unsupported key%s%s%s", near ? "; did you mean \"" : "",
                               near ? near : "", near ? "\"?" : ""));
}

static json_t *read_value(struct reading *r, const json_t *value, const char *path,
                          const struct rule *rule)
{
    switch (rule->shape) {
    case TEXT:
        return read_text(r, value, path);
    case NUMBER:
    case TRUTH:
        return read_typed(r, value, path, rule->shape);
    case LIST:
        return read_list(r, value, path);
    case COMMAND:
        return read_command(r, value, path);
    case PAIRS:
        return read_pairs(r, value, path);
    case TEST:
        return json_is_array(value) ? read_list(r, value, path) : read_text(r, value, path);
    case HOSTS:
        return read_hosts(r, value, path);
    case EXTERNAL:
        return json_is_object(value) ? read_object(r, value, path, rule->below)
                                     : read_typed(r, value, path, TRUTH);
    case MAP:
    case JOINED:
    case LIMITS:
        return read_map(r, value, path, rule);
    case OBJECT:
        return read_object(r, value, path, rule->below);
    case OBJECTS:
    case PORTS:
    case MOUNTS:
    case FILES:
        return read_objects(r, value, path, rule);
    case REFUSED:
        return not_supported(r, path, rule->key);
    default:
        return read_any(r, value, path);
    }
}

static json_t *read_object(struct reading *r, const json_t *value, const char *path,
                           const struct rule *rules)
{
    const char *key;
    json_t *item;
    if (!json_is_object(value))
        return json_is_null(value) ? json_object() : refuse(r, path, "a map is wanted here");
    json_t *made = json_object();
    json_object_foreach((json_t *)value, key, item)
    {
        const char *below = below_path(r, path, key);
        const struct rule *rule = rule_for(rules, key);
        if (!rule && str_starts(key, "x-"))
            continue;
        if (rule && rule->shape == IGNORED) {
            json_array_append_new(r->warnings,
                                  json_string(arena_printf(r->arena, "%s:%d: ignored: %s", r->file,
                                                           yaml_line(r->lines, below), below)));
            continue;
        }
        bool empty = json_is_null(item) && rule && rule->shape != COMMAND && rule->shape != MAP &&
                     rule->shape != JOINED && rule->shape != REFUSED;
        json_t *kept = !rule   ? unknown_key(r, below, rules, key)
                       : empty ? json_null()
                               : read_value(r, item, below, rule);
        if (!kept) {
            json_decref(made);
            return NULL;
        }
        if (!empty)
            json_object_set_new(made, key, kept);
    }
    return made;
}

// "3" and what docker has had of it, "3.0" to "3.13".
static bool known_version(const char *number)
{
    int64_t minor;
    return *number == '3' &&
           (!number[1] || (number[1] == '.' && str_to_i64(number + 2, 0, 13, &minor)));
}

json_t *compose_read(const char *file, const char *text, size_t size, const json_t *variables,
                     json_t *warnings, struct arena *arena, struct err *err)
{
    struct err own = ERR_INIT;
    json_t *lines = NULL;
    json_t *document = yaml_read(text, size, arena, &lines, err ? err : &own);
    if (!document) {
        err_wrap(err, "%s", file);
        return NULL;
    }
    struct reading r = {file, lines, variables, warnings, arena, err ? err : &own};
    json_t *project = NULL;
    const json_t *version = json_object_get(document, "version");
    const char *number = version ? scalar_text(&r, version, "version") : "3";
    if (!json_is_object(document))
        refuse(&r, "", "a compose file is a map");
    else if (number && !known_version(number))
        refuse(&r, "version", arena_printf(arena, "unsupported Compose file version: %s", number));
    else if (number)
        project = read_object(&r, document, "", compose_rules);
    json_decref(document);
    json_decref(lines);
    return project;
}
