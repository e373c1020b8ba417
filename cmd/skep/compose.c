// Reading compose files. What they become is in compose_convert.c.
#include "cmd/skep/compose.h"

#include <string.h>

#include "cmd/skep/common.h"
#include "cmd/skep/interpolate.h"
#include "cmd/skep/parse.h"
#include "cmd/skep/text.h"
#include "cmd/skep/yaml.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

enum shape {
    ANY,
    TEXT,    // a scalar
    NUMBER,  // a number, or a text that is one
    TRUTH,   // a boolean, or a text that is one
    LIST,    // of scalars; one scalar stands for a list of one
    COMMAND, // a list of words, or a text to be split
    PAIRS,   // a map, or a list of "A=b"
    MAP,     // a map checked by `below` for each of its values
    OBJECT,  // a map checked by `below`
    OBJECTS, // a list of such, or of short forms
    IGNORED, // legal, but nothing in a swarm
    REFUSED, // known, and not possible in a swarm
};

// What a key may hold. A row "*" stands for any key.
struct rule {
    const char *key;
    enum shape shape;
    const struct rule *below;
};

static const struct rule update_rules[] = {{"parallelism", NUMBER, NULL},
                                           {"delay", TEXT, NULL},
                                           {"failure_action", TEXT, NULL},
                                           {"monitor", TEXT, NULL},
                                           {"max_failure_ratio", NUMBER, NULL},
                                           {"order", TEXT, NULL},
                                           {0}};
static const struct rule discrete_rules[] = {{"kind", TEXT, NULL}, {"value", NUMBER, NULL}, {0}};
static const struct rule generic_rules[] = {{"discrete_resource_spec", OBJECT, discrete_rules},
                                            {0}};
static const struct rule limits_rules[] = {
    {"cpus", TEXT, NULL}, {"memory", TEXT, NULL}, {"pids", NUMBER, NULL}, {0}};
static const struct rule reservations_rules[] = {{"cpus", TEXT, NULL},
                                                 {"memory", TEXT, NULL},
                                                 {"generic_resources", OBJECTS, generic_rules},
                                                 {0}};
static const struct rule resources_rules[] = {
    {"limits", OBJECT, limits_rules}, {"reservations", OBJECT, reservations_rules}, {0}};
static const struct rule restart_rules[] = {{"condition", TEXT, NULL},
                                            {"delay", TEXT, NULL},
                                            {"max_attempts", NUMBER, NULL},
                                            {"window", TEXT, NULL},
                                            {0}};
static const struct rule preference_rules[] = {{"spread", TEXT, NULL}, {0}};
static const struct rule placement_rules[] = {{"constraints", LIST, NULL},
                                              {"preferences", OBJECTS, preference_rules},
                                              {"max_replicas_per_node", NUMBER, NULL},
                                              {0}};
static const struct rule deploy_rules[] = {{"mode", TEXT, NULL},
                                           {"endpoint_mode", TEXT, NULL},
                                           {"replicas", NUMBER, NULL},
                                           {"labels", PAIRS, NULL},
                                           {"update_config", OBJECT, update_rules},
                                           {"rollback_config", OBJECT, update_rules},
                                           {"resources", OBJECT, resources_rules},
                                           {"restart_policy", OBJECT, restart_rules},
                                           {"placement", OBJECT, placement_rules},
                                           {0}};
static const struct rule health_rules[] = {
    {"test", ANY, NULL},          {"interval", TEXT, NULL},
    {"timeout", TEXT, NULL},      {"retries", NUMBER, NULL},
    {"start_period", TEXT, NULL}, {"start_interval", TEXT, NULL},
    {"disable", TRUTH, NULL},     {0}};
static const struct rule logging_rules[] = {{"driver", TEXT, NULL}, {"options", PAIRS, NULL}, {0}};
static const struct rule port_rules[] = {{"mode", TEXT, NULL},
                                         {"target", NUMBER, NULL},
                                         {"published", NUMBER, NULL},
                                         {"protocol", TEXT, NULL},
                                         {0}};
static const struct rule bind_rules[] = {{"propagation", TEXT, NULL}, {0}};
static const struct rule nocopy_rules[] = {{"nocopy", TRUTH, NULL}, {"subpath", TEXT, NULL}, {0}};
static const struct rule tmpfs_rules[] = {{"size", TEXT, NULL}, {"mode", NUMBER, NULL}, {0}};
static const struct rule mount_rules[] = {{"type", TEXT, NULL},
                                          {"source", TEXT, NULL},
                                          {"target", TEXT, NULL},
                                          {"read_only", TRUTH, NULL},
                                          {"consistency", TEXT, NULL},
                                          {"bind", OBJECT, bind_rules},
                                          {"volume", OBJECT, nocopy_rules},
                                          {"tmpfs", OBJECT, tmpfs_rules},
                                          {0}};
static const struct rule file_rules[] = {{"source", TEXT, NULL}, {"target", TEXT, NULL},
                                         {"uid", TEXT, NULL},    {"gid", TEXT, NULL},
                                         {"mode", NUMBER, NULL}, {0}};
static const struct rule joined_rules[] = {{"aliases", LIST, NULL},
                                           {"driver_opts", PAIRS, NULL},
                                           {"ipv4_address", IGNORED, NULL},
                                           {"ipv6_address", IGNORED, NULL},
                                           {0}};
static const struct rule credential_rules[] = {
    {"config", TEXT, NULL}, {"file", TEXT, NULL}, {"registry", TEXT, NULL}, {0}};
static const struct rule service_rules[] = {
    {"image", TEXT, NULL},
    {"command", COMMAND, NULL},
    {"entrypoint", COMMAND, NULL},
    {"environment", PAIRS, NULL},
    {"env_file", LIST, NULL},
    {"labels", PAIRS, NULL},
    {"deploy", OBJECT, deploy_rules},
    {"ports", OBJECTS, port_rules},
    {"networks", MAP, joined_rules},
    {"volumes", OBJECTS, mount_rules},
    {"secrets", OBJECTS, file_rules},
    {"configs", OBJECTS, file_rules},
    {"healthcheck", OBJECT, health_rules},
    {"logging", OBJECT, logging_rules},
    {"hostname", TEXT, NULL},
    {"user", TEXT, NULL},
    {"working_dir", TEXT, NULL},
    {"stop_signal", TEXT, NULL},
    {"stop_grace_period", TEXT, NULL},
    {"stdin_open", TRUTH, NULL},
    {"tty", TRUTH, NULL},
    {"read_only", TRUTH, NULL},
    {"init", TRUTH, NULL},
    {"extra_hosts", ANY, NULL},
    {"dns", LIST, NULL},
    {"dns_search", LIST, NULL},
    {"dns_opt", LIST, NULL},
    {"sysctls", PAIRS, NULL},
    {"ulimits", ANY, NULL},
    {"cap_add", LIST, NULL},
    {"cap_drop", LIST, NULL},
    {"group_add", LIST, NULL},
    {"isolation", TEXT, NULL},
    {"credential_spec", OBJECT, credential_rules},
    {"tmpfs", LIST, NULL},
    {"depends_on", ANY, NULL}, // a swarm starts everything and restarts what came too early
    {"build", IGNORED, NULL},
    {"cgroup_parent", IGNORED, NULL},
    {"cgroupns_mode", IGNORED, NULL},
    {"container_name", IGNORED, NULL},
    {"devices", IGNORED, NULL},
    {"domainname", IGNORED, NULL},
    {"expose", IGNORED, NULL},
    {"external_links", IGNORED, NULL},
    {"ipc", IGNORED, NULL},
    {"links", IGNORED, NULL},
    {"mac_address", IGNORED, NULL},
    {"network_mode", IGNORED, NULL},
    {"pid", IGNORED, NULL},
    {"platform", IGNORED, NULL},
    {"privileged", IGNORED, NULL},
    {"restart", TEXT, NULL},
    {"security_opt", IGNORED, NULL},
    {"shm_size", IGNORED, NULL},
    {"userns_mode", IGNORED, NULL},
    {"cpu_quota", REFUSED, NULL},
    {"cpu_shares", REFUSED, NULL},
    {"cpuset", REFUSED, NULL},
    {"extends", REFUSED, NULL},
    {"mem_limit", REFUSED, NULL},
    {"memswap_limit", REFUSED, NULL},
    {"volume_driver", REFUSED, NULL},
    {"volumes_from", REFUSED, NULL},
    {0}};
static const struct rule range_rules[] = {{"subnet", TEXT, NULL},
                                          {"gateway", TEXT, NULL},
                                          {"ip_range", TEXT, NULL},
                                          {"aux_addresses", PAIRS, NULL},
                                          {0}};
static const struct rule ipam_rules[] = {
    {"driver", TEXT, NULL}, {"config", OBJECTS, range_rules}, {"options", PAIRS, NULL}, {0}};
static const struct rule network_rules[] = {
    {"name", TEXT, NULL},         {"driver", TEXT, NULL},
    {"driver_opts", PAIRS, NULL}, {"ipam", OBJECT, ipam_rules},
    {"external", ANY, NULL},      {"internal", TRUTH, NULL},
    {"attachable", TRUTH, NULL},  {"labels", PAIRS, NULL},
    {"enable_ipv6", TRUTH, NULL}, {0}};
static const struct rule volume_rules[] = {{"name", TEXT, NULL},         {"driver", TEXT, NULL},
                                           {"driver_opts", PAIRS, NULL}, {"external", ANY, NULL},
                                           {"labels", PAIRS, NULL},      {0}};
static const struct rule data_rules[] = {{"name", TEXT, NULL},
                                         {"file", TEXT, NULL},
                                         {"external", ANY, NULL},
                                         {"labels", PAIRS, NULL},
                                         {"driver", TEXT, NULL},
                                         {"driver_opts", PAIRS, NULL},
                                         {"template_driver", TEXT, NULL},
                                         {0}};
static const struct rule root_rules[] = {
    {"version", TEXT, NULL},          {"name", IGNORED, NULL},
    {"services", MAP, service_rules}, {"networks", MAP, network_rules},
    {"volumes", MAP, volume_rules},   {"secrets", MAP, data_rules},
    {"configs", MAP, data_rules},     {0}};

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

static json_t *read_objects(struct reading *r, const json_t *value, const char *path,
                            const struct rule *rules)
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
        json_t *made = NULL;
        if (json_is_object(item)) {
            made = read_object(r, item, below, rules);
            if (made)
                json_array_append_new(list, made);
        } else {
            const char *text = scalar_text(r, item, below);
            if (text && rules == port_rules)
                made = short_port(r, text, below, list);
            else if (text && rules == mount_rules)
                made = short_volume(r, text, below, list);
            else if (text && rules == file_rules)
                made =
                    json_array_append_new(list, json_pack("{s:s}", "source", text)) ? NULL : list;
            else if (text)
                refuse(r, below, "a map is wanted here");
        }
        if (!made) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *read_map(struct reading *r, const json_t *value, const char *path,
                        const struct rule *rules)
{
    json_t *map = json_object(), *item;
    const char *key;
    size_t i;
    // A service's networks may be a list of names.
    json_array_foreach(value, i, item)
    {
        const char *name = rules == joined_rules
                               ? scalar_text(r, item, arena_printf(r->arena, "%s/%zu", path, i))
                               : NULL;
        if (!name) {
            json_decref(map);
            return rules == joined_rules ? NULL : refuse(r, path, "a map is wanted here");
        }
        json_object_set_new(map, name, json_object());
    }
    json_object_foreach((json_t *)value, key, item)
    {
        if (str_starts(key, "x-") && rules != joined_rules)
            continue;
        const char *below = below_path(r, path, key);
        json_t *made = json_is_null(item) ? json_object() : read_object(r, item, below, rules);
        if (!made) {
            json_decref(map);
            return NULL;
        }
        json_object_set_new(map, key, made);
    }
    if (json_is_object(value) || json_is_array(value) || json_is_null(value))
        return map;
    json_decref(map);
    return refuse(r, path, "a map is wanted here");
}

// ---- objects ------------------------------------------------------------------------------------

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
    case MAP:
        return read_map(r, value, path, rule->below);
    case OBJECT:
        return read_object(r, value, path, rule->below);
    case OBJECTS:
        return read_objects(r, value, path, rule->below);
    case REFUSED:
        return refuse(r, path, "this is not supported in a swarm");
    default:
        return read_any(r, value, path);
    }
}

static const struct rule *rule_for(const struct rule *rules, const char *key)
{
    while (rules->key && strcmp(rules->key, key) != 0 && strcmp(rules->key, "*") != 0)
        rules++;
    return rules->key ? rules : NULL;
}

static const char *nearest(const struct rule *rules, const char *key)
{
    const char *best = NULL;
    unsigned distance = 3;
    for (; rules->key; rules++) {
        if (text_distance(rules->key, key) < distance) {
            distance = text_distance(rules->key, key);
            best = rules->key;
        }
    }
    return best;
}

static json_t *unknown_key(struct reading *r, const char *path, const struct rule *rules,
                           const char *key)
{
    const char *near = nearest(rules, key);
    return refuse(r, path,
                  arena_printf(r->arena, "unsupported key%s%s%s", near ? "; did you mean \"" : "",
                               near ? near : "", near ? "\"?" : ""));
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
        if (str_starts(key, "x-"))
            continue;
        const char *below = below_path(r, path, key);
        const struct rule *rule = rule_for(rules, key);
        if (rule && rule->shape == IGNORED) {
            json_array_append_new(r->warnings,
                                  json_string(arena_printf(r->arena, "%s:%d: ignored: %s", r->file,
                                                           yaml_line(r->lines, below), below)));
            continue;
        }
        bool empty = json_is_null(item) && rule && rule->shape != COMMAND && rule->shape != MAP;
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
    else if (number && *number != '3')
        refuse(&r, "version", arena_printf(arena, "unsupported Compose file version: %s", number));
    else if (number)
        project = read_object(&r, document, "", root_rules);
    json_decref(document);
    json_decref(lines);
    return project;
}

// ---- merging ------------------------------------------------------------------------------------

// Lists that grow when files are laid on top of each other.
static bool grows(const char *key)
{
    static const char *const lists[] = {
        "ports",   "volumes",  "secrets",     "configs",     "dns",   "dns_search", "env_file",
        "cap_add", "cap_drop", "constraints", "extra_hosts", "tmpfs", "group_add"};
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        if (strcmp(lists[i], key) == 0)
            return true;
    return false;
}

// Items with the same target (or text) are the same thing.
static void merge_list(json_t *base, const json_t *over)
{
    size_t i, j;
    json_t *item, *there;
    json_array_foreach(over, i, item)
    {
        bool replaced = false;
        json_array_foreach(base, j, there)
        {
            const json_t *a = json_object_get(item, "target"),
                         *b = json_object_get(there, "target");
            if (json_equal(item, there) || (json_is_string(a) && json_equal(a, b))) {
                json_array_set(base, j, item);
                replaced = true;
                break;
            }
        }
        if (!replaced)
            json_array_append(base, item);
    }
}

void compose_merge(json_t *base, const json_t *over)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)over, key, value)
    {
        json_t *there = json_object_get(base, key);
        if (json_is_object(there) && json_is_object(value))
            compose_merge(there, value);
        else if (json_is_array(there) && json_is_array(value) && grows(key))
            merge_list(there, value);
        else
            json_object_set(base, key, value);
    }
}
