// skep service update: fetches the specification, changes what the options say, sends it back.
#include <string.h>

#include "cmd/skep/capabilities.h"
#include "cmd/skep/client_io.h"
#include "cmd/skep/common.h"
#include "cmd/skep/credentials.h"
#include "cmd/skep/converge.h"
#include "cmd/skep/flags.h"
#include "cmd/skep/parse.h"
#include "cmd/skep/service.h"
#include "cmd/skep/service_spec.h"
#include "proto/base/str.h"

#define CONTAINER "TaskTemplate.ContainerSpec."

const struct flag service_update_flags[] = {
    SERVICE_SPEC_FLAGS,
    {"args", 0, FLAG_TEXT, "command", "Arguments of the containers' command"},
    {"cap-add", 0, FLAG_LIST, "capability", "Add a Linux capability"},
    {"cap-drop", 0, FLAG_LIST, "capability", "Take a Linux capability away"},
    {"config-add", 0, FLAG_LIST, "config", "Give the containers a configuration"},
    {"config-rm", 0, FLAG_LIST, "name", "Take a configuration away"},
    {"constraint-add", 0, FLAG_LIST, "constraint", "Only nodes that fit"},
    {"constraint-rm", 0, FLAG_LIST, "constraint", "Drop a constraint"},
    {"container-label-add", 0, FLAG_LABELS, "key=value", "Set a label of the containers"},
    {"container-label-rm", 0, FLAG_LIST, "key", "Take one away"},
    {"dns-add", 0, FLAG_IPS, "address", "Add a name server"},
    {"dns-option-add", 0, FLAG_LIST, "option", "Add an option of the resolver"},
    {"dns-option-rm", 0, FLAG_LIST, "option", "Take one away"},
    {"dns-rm", 0, FLAG_LIST, "address", "Take a name server away"},
    {"dns-search-add", 0, FLAG_DOMAINS, "domain", "Add a search domain"},
    {"dns-search-rm", 0, FLAG_LIST, "domain", "Take one away"},
    {"env-add", 0, FLAG_LIST, "KEY=value", "Set a variable of the environment"},
    {"env-rm", 0, FLAG_LIST, "KEY", "Take one away"},
    {"force", 0, FLAG_BOOL, NULL, "Start all tasks anew even if nothing changes"},
    {"generic-resource-add", 0, FLAG_LIST, "kind=n", "Set a resource of your own"},
    {"generic-resource-rm", 0, FLAG_LIST, "kind", "Take one away"},
    {"group-add", 0, FLAG_LIST, "group", "Add a group of the process"},
    {"group-rm", 0, FLAG_LIST, "group", "Take one away"},
    {"host-add", 0, FLAG_HOSTS, "name:ip", "Add a line of /etc/hosts"},
    {"host-rm", 0, FLAG_LIST, "name:ip", "Take one away"},
    {"image", 0, FLAG_TEXT, "image", "Run this image"},
    {"label-add", 0, FLAG_LABELS, "key=value", "Set a label of the service"},
    {"label-rm", 0, FLAG_LIST, "key", "Take one away"},
    {"mount-add", 0, FLAG_LIST, "mount", "Add or replace a mount"},
    {"mount-rm", 0, FLAG_LIST, "target", "Take one away by its target"},
    {"network-add", 0, FLAG_LIST, "network", "Join a network"},
    {"network-rm", 0, FLAG_LIST, "network", "Leave one"},
    {"placement-pref-add", 0, FLAG_LIST, "spread=label", "Add what tasks are spread over"},
    {"placement-pref-rm", 0, FLAG_LIST, "spread=label", "Take one away"},
    {"publish-add", 0, FLAG_LIST, "port", "Publish a port"},
    {"publish-rm", 0, FLAG_LIST, "port", "Stop publishing a target port"},
    {"rollback", 0, FLAG_BOOL, NULL, "Go back to what was before the last update"},
    {"secret-add", 0, FLAG_LIST, "secret", "Give the containers a secret"},
    {"secret-rm", 0, FLAG_LIST, "name", "Take one away"},
    {"sysctl-add", 0, FLAG_LIST, "key=value", "Set a kernel setting"},
    {"sysctl-rm", 0, FLAG_LIST, "key", "Take one away"},
    {"ulimit-add", 0, FLAG_LIST, "name=n:m", "Set a limit"},
    {"ulimit-rm", 0, FLAG_LIST, "name", "Take one away"},
    {0},
};

// How a list of the specification is changed. `key` tells which of its items are the same thing:
// the object's member; "" is a text itself, "=" its part before '='.
struct list_row {
    const char *add, *rm; // options
    const char *path;
    const char *key;
    json_t *(*parse)(struct cli *cli, const char *text);
    const char *added_key; // the same for what is added, where it differs
};

static json_t *parse_text(struct cli *cli, const char *text)
{
    (void)cli;
    return json_string(text);
}

static json_t *parse_env(struct cli *cli, const char *text)
{
    const char *value, *name = split_once(text, '=', &value, &cli->arena);
    const char *found = value ? value : cli_env(name);
    return json_string(found ? textf(cli, "%s=%s", name, found) : name);
}

static json_t *parse_one_mount(struct cli *cli, const char *text)
{
    return parse_mount(text, &cli->arena, &cli->error);
}

static json_t *parse_secret(struct cli *cli, const char *text)
{
    return parse_file_reference(text, "Secret", &cli->arena, &cli->error);
}

static json_t *parse_config(struct cli *cli, const char *text)
{
    return parse_file_reference(text, "Config", &cli->arena, &cli->error);
}

static json_t *parse_limit(struct cli *cli, const char *text)
{
    return parse_ulimit(text, &cli->error);
}

static json_t *parse_host_line(struct cli *cli, const char *text)
{
    const char *line = parse_host(text, &cli->arena, &cli->error);
    return line ? json_string(line) : NULL;
}

static json_t *parse_joined(struct cli *cli, const char *text)
{
    json_t *network = parse_network(text, &cli->arena, &cli->error);
    if (network && service_resolve_network(cli, network) < 0) {
        json_decref(network);
        return NULL;
    }
    return network;
}

static json_t *parse_spread(struct cli *cli, const char *text)
{
    json_t *list = keep(cli, json_array());
    return parse_preference(text, list, &cli->error) < 0 ? NULL
                                                         : json_incref(json_array_get(list, 0));
}

static json_t *parse_resource(struct cli *cli, const char *text)
{
    json_t *list = keep(cli, json_array());
    return parse_generic(text, list, &cli->arena, &cli->error) < 0
               ? NULL
               : json_incref(json_array_get(list, 0));
}

static const struct list_row lists[] = {
    {"env-add", "env-rm", CONTAINER "Env", "=", parse_env},
    {"constraint-add", "constraint-rm", "TaskTemplate.Placement.Constraints", "", parse_text},
    {"dns-add", "dns-rm", CONTAINER "DNSConfig.Nameservers", "", parse_text},
    {"dns-option-add", "dns-option-rm", CONTAINER "DNSConfig.Options", "", parse_text},
    {"dns-search-add", "dns-search-rm", CONTAINER "DNSConfig.Search", "", parse_text},
    {"group-add", "group-rm", CONTAINER "Groups", "", parse_text},
    {"host-add", "host-rm", CONTAINER "Hosts", "", parse_host_line},
    {"mount-add", "mount-rm", CONTAINER "Mounts", "Target", parse_one_mount},
    {"secret-add", "secret-rm", CONTAINER "Secrets", "SecretName", parse_secret, "File.Name"},
    {"config-add", "config-rm", CONTAINER "Configs", "ConfigName", parse_config, "File.Name"},
    {"ulimit-add", "ulimit-rm", CONTAINER "Ulimits", "Name", parse_limit},
    {"network-add", "network-rm", "TaskTemplate.Networks", "Target", parse_joined},
    {"placement-pref-add", "placement-pref-rm", "TaskTemplate.Placement.Preferences",
     "Spread.SpreadDescriptor", parse_spread},
    {"generic-resource-add", "generic-resource-rm",
     "TaskTemplate.Resources.Reservations.GenericResources", "DiscreteResourceSpec.Kind",
     parse_resource},
};

static const char *item_key(struct cli *cli, const json_t *item, const char *key)
{
    const char *rest;
    if (*key == '=')
        return split_once(str_or(json_string_value(item), ""), '=', &rest, &cli->arena);
    return *key ? text_at(item, key) : str_or(json_string_value(item), "");
}

static void remove_item(struct cli *cli, json_t *list, const char *key, const char *wanted)
{
    for (size_t i = json_array_size(list); i > 0; i--)
        if (str_equal(item_key(cli, json_array_get(list, i - 1), key), wanted))
            json_array_remove(list, i - 1);
}

// Takes a name, of any address or of one ("name:ip"), out of lines "ip name name".
static void remove_host(struct cli *cli, json_t *list, const char *text)
{
    const char *ip = NULL, *name = text, *line = parse_host(text, &cli->arena, NULL);
    if (line)
        ip = split_once(line, ' ', &name, &cli->arena);
    for (size_t i = json_array_size(list); i > 0; i--) {
        const char *rest, *there = str_or(json_string_value(json_array_get(list, i - 1)), "");
        const char *kept = split_once(there, ' ', &rest, &cli->arena);
        struct str_part word;
        bool found = false, left = false;
        if (ip && !str_equal(ip, kept))
            continue;
        while (rest && str_split(&rest, ' ', &word)) {
            bool same = word.len == strlen(name) && memcmp(word.at, name, word.len) == 0;
            found = found || same;
            left = left || (!same && word.len);
            if (!same && word.len)
                kept = textf(cli, "%s %.*s", kept, (int)word.len, word.at);
        }
        if (found && left)
            json_array_set_new(list, i - 1, json_string(kept));
        else if (found)
            json_array_remove(list, i - 1);
    }
}

// What an item to be removed is called in the list; NULL with cli->error for a network that is not
// there.
static const char *removed_key(struct cli *cli, const struct list_row *row, const char *text)
{
    if (row->parse == parse_spread && str_starts(text, "spread="))
        return text + strlen("spread=");
    if (row->parse == parse_joined) {
        json_t *network = keep(cli, json_pack("{s:s}", "Target", text));
        return service_resolve_network(cli, network) < 0 ? NULL : text_at(network, "Target");
    }
    return text;
}

static int change_list(struct cli *cli, json_t *spec, const struct list_row *row)
{
    const char *const *texts;
    size_t count = args_list(&cli->args, row->rm, &texts);
    json_t *list = count || args_set(&cli->args, row->add) ? array_at(spec, row->path) : NULL;
    for (size_t i = 0; i < count; i++) {
        const char *key = removed_key(cli, row, texts[i]);
        if (!key)
            return -(int)cli->error.code;
        if (row->parse == parse_host_line)
            remove_host(cli, list, texts[i]);
        else
            remove_item(cli, list, row->key, key);
    }
    count = args_list(&cli->args, row->add, &texts);
    for (size_t i = 0; i < count; i++) {
        json_t *item = row->parse(cli, texts[i]);
        if (!item && row->parse == parse_joined && cli->status >= 400)
            return -(int)cli->error.code; // of the daemon, not of the command line
        if (!item)
            return bad_flag(cli, row->add, texts[i]);
        const char *key = row->added_key ? row->added_key : row->key;
        remove_item(cli, list, key, item_key(cli, item, key));
        json_array_append_new(list, item);
    }
    return 0;
}

static void change_maps(struct cli *cli, json_t *spec)
{
    static const struct {
        const char *add, *rm, *path;
    } maps[] = {{"label-add", "label-rm", "Labels"},
                {"container-label-add", "container-label-rm", CONTAINER "Labels"},
                {"sysctl-add", "sysctl-rm", CONTAINER "Sysctls"}};
    const char *const *keys;
    for (size_t i = 0; i < COUNT_OF(maps); i++) {
        size_t count = args_list(&cli->args, maps[i].rm, &keys);
        if (!count && !args_set(&cli->args, maps[i].add))
            continue;
        json_t *map = object_at(spec, maps[i].path);
        for (size_t j = 0; j < count; j++)
            json_object_del(map, keys[j]);
        json_object_update(map, pairs_object(cli, maps[i].add));
    }
}

static bool same_port(json_t *port, json_t *other)
{
    return number_at(port, "TargetPort") == number_at(other, "TargetPort") &&
           str_equal(text_at(port, "Protocol"), text_at(other, "Protocol"));
}

static int change_ports(struct cli *cli, json_t *spec)
{
    const char *const *texts;
    size_t count = args_list(&cli->args, "publish-rm", &texts), i, j;
    if (!count && !args_set(&cli->args, "publish-add"))
        return 0;
    json_t *ports = array_at(spec, "EndpointSpec.Ports"), *port;
    json_t *gone = keep(cli, json_array()), *added = keep(cli, json_array());
    for (i = 0; i < count; i++)
        if (parse_service_port(texts[i], gone, &cli->arena, &cli->error) < 0)
            return bad_flag(cli, "publish-rm", texts[i]);
    count = args_list(&cli->args, "publish-add", &texts);
    for (i = 0; i < count; i++)
        if (parse_service_port(texts[i], added, &cli->arena, &cli->error) < 0)
            return bad_flag(cli, "publish-add", texts[i]);
    json_array_foreach(added, i, port) // an added port replaces what publishes the same one
        if (number_at(port, "PublishedPort")) for (j = json_array_size(ports); j > 0; j--)
    {
        json_t *there = json_array_get(ports, j - 1);
        if (number_at(there, "PublishedPort") == number_at(port, "PublishedPort") &&
            str_equal(text_at(there, "Protocol"), text_at(port, "Protocol")))
            json_array_remove(ports, j - 1);
    }
    json_array_foreach(gone, i, port) for (j = json_array_size(ports); j > 0;
                                           j--) if (same_port(json_array_get(ports, j - 1), port))
        json_array_remove(ports, j - 1);
    json_array_extend(ports, added);
    return 0;
}

static int change_spec(struct cli *cli, json_t *spec)
{
    struct args *args = &cli->args;
    if (args_set(args, "image")) {
        const char *image = parse_image(args_text(args, "image"), &cli->arena, &cli->error);
        if (!image)
            return -(int)cli->error.code;
        set_text(spec, CONTAINER "Image", image);
    }
    if (args_set(args, "args")) {
        json_t *words = json_array();
        set_at(spec, CONTAINER "Args", words);
        if (parse_words(args_text(args, "args"), words, &cli->arena, &cli->error) < 0)
            return err_wrap(&cli->error, "--args");
    }
    // Networks of old clients stand beside the task's; they are moved to where they belong.
    json_t *old = at(spec, "Networks");
    if (json_array_size(old) && !json_array_size(at(spec, "TaskTemplate.Networks")))
        set_at(spec, "TaskTemplate.Networks", json_incref(old));
    if (service_spec_options(cli, spec) < 0)
        return -(int)cli->error.code;
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        if (change_list(cli, spec, &lists[i]) < 0)
            return -(int)cli->error.code;
    change_maps(cli, spec);
    capabilities_change(cli, spec, CONTAINER "CapabilityAdd", CONTAINER "CapabilityDrop");
    if (change_ports(cli, spec) < 0 ||
        service_resolve_files(cli, at(spec, CONTAINER "Secrets"), "Secret") < 0 ||
        service_resolve_files(cli, at(spec, CONTAINER "Configs"), "Config") < 0)
        return -(int)cli->error.code;
    if (args_on(args, "force"))
        set_number(spec, "TaskTemplate.ForceUpdate",
                   number_at(spec, "TaskTemplate.ForceUpdate") + 1);
    return 0;
}

int service_run_update(struct cli *cli)
{
    struct args *args = &cli->args;
    const char *name = args->argv[0];
    json_t *service = service_fetch(cli, name);
    if (!service)
        return failed(cli);
    json_t *spec = object_at(service, "Spec");
    const char *query = "", *auth = NULL, *unpinned = "";
    if (args_on(args, "rollback")) {
        static const char *const beside[] = {"rollback", "detach", "quiet"};
        size_t given = 0;
        for (size_t i = 0; i < args->flags_count; i++)
            given += args->values[i].set;
        for (size_t i = 0; i < COUNT_OF(beside); i++)
            given -= args_set(args, beside[i]);
        if (given)
            return complain(cli, "other flags may not be combined with --rollback");
        query = "&registryAuthFrom=spec&rollback=previous";
    } else {
        if (change_spec(cli, spec) < 0)
            return failed(cli);
        if (args_on(args, "with-registry-auth"))
            auth = credentials_header(cli, text_at(spec, CONTAINER "Image"));
        else
            query = "&registryAuthFrom=spec";
        if (args_set(args, "image") && !args_on(args, "no-resolve-image"))
            unpinned = service_resolve_image(cli, spec, auth);
    }
    if (!service_write(cli, service, query, auth))
        return failed(cli);
    warn(cli, "%s", unpinned);
    say(cli, "%s\n", name);
    return args_on(args, "detach")
               ? 0
               : converge_wait(cli, text_at(service, "ID"), args_on(args, "quiet"));
}
