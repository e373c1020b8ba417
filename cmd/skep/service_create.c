// skep service create.
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

const struct flag service_create_flags[] = {
    SERVICE_SPEC_FLAGS,
    {"cap-add", 0, FLAG_LIST, "capability", "Add a Linux capability"},
    {"cap-drop", 0, FLAG_LIST, "capability", "Take a Linux capability away"},
    {"config", 0, FLAG_LIST, "config", "Give the containers a configuration"},
    {"constraint", 0, FLAG_LIST, "constraint", "Only nodes that fit: node.role==worker"},
    {"container-label", 0, FLAG_LABELS, "key=value", "Label of the containers"},
    {"dns", 0, FLAG_IPS, "address", "Name server of the containers"},
    {"dns-option", 0, FLAG_LIST, "option", "Option of their resolver"},
    {"dns-search", 0, FLAG_DOMAINS, "domain", "Domain they search names in"},
    {"env", 'e', FLAG_LIST, "KEY=value", "Set a variable of the environment"},
    {"env-file", 0, FLAG_LIST, "file", "Set the variables of a file"},
    {"generic-resource", 0, FLAG_LIST, "kind=n", "Resources of a kind of your own"},
    {"group", 0, FLAG_LIST, "group", "Further group of the process"},
    {"host", 0, FLAG_HOSTS, "name:ip", "Line of the containers' /etc/hosts"},
    {"label", 'l', FLAG_LABELS, "key=value", "Label of the service"},
    {"mode", 0, FLAG_TEXT, "mode", "replicated, global, replicated-job or global-job"},
    {"mount", 0, FLAG_LIST, "mount", "Mount a volume or a folder"},
    {"name", 0, FLAG_TEXT, "name", "Name of the service"},
    {"network", 0, FLAG_LIST, "network", "Network the tasks are on"},
    {"placement-pref", 0, FLAG_LIST, "spread=label", "What tasks are spread over"},
    {"publish", 'p', FLAG_LIST, "port", "Publish a port on every node"},
    {"secret", 0, FLAG_LIST, "secret", "Give the containers a secret"},
    {"sysctl", 0, FLAG_LIST, "key=value", "Kernel setting of the containers"},
    {"ulimit", 0, FLAG_LIST, "name=n:m", "Limit of the processes"},
    {0},
};

static int put_mode(struct cli *cli, json_t *spec)
{
    static const struct {
        const char *name, *path;
    } modes[] = {{"replicated", "Mode.Replicated"},
                 {"global", "Mode.Global"},
                 {"replicated-job", "Mode.ReplicatedJob"},
                 {"global-job", "Mode.GlobalJob"}};
    const char *mode = str_or(args_text(&cli->args, "mode"), "replicated");
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        if (!str_equal(modes[i].name, mode))
            continue;
        set_at(spec, modes[i].path, json_object());
        if (i == 0 && !args_set(&cli->args, "replicas"))
            set_number(spec, "Mode.Replicated.Replicas", 1);
        if (i >= 2 &&
            (args_set(&cli->args, "update-order") || args_set(&cli->args, "update-parallelism") ||
             args_set(&cli->args, "rollback-parallelism")))
            return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                           "update and rollback configuration is not supported for jobs");
        return 0;
    }
    return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                   "Unknown mode: %s, only replicated, global, replicated-job and global-job are "
                   "supported",
                   mode);
}

// Options that are lists of texts in the specification, and those that are maps.
static void put_texts(struct cli *cli, json_t *spec)
{
    static const struct {
        const char *flag, *path;
        bool is_map;
    } rows[] = {{"constraint", "TaskTemplate.Placement.Constraints", false},
                {"dns", CONTAINER "DNSConfig.Nameservers", false},
                {"dns-option", CONTAINER "DNSConfig.Options", false},
                {"dns-search", CONTAINER "DNSConfig.Search", false},
                {"group", CONTAINER "Groups", false},
                {"label", "Labels", true},
                {"container-label", CONTAINER "Labels", true},
                {"sysctl", CONTAINER "Sysctls", true}};
    const char *const *list;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t count = args_list(&cli->args, rows[i].flag, &list);
        if (count && rows[i].is_map)
            set_at(spec, rows[i].path, json_incref(pairs_object(cli, rows[i].flag)));
        for (size_t j = 0; j < count && !rows[i].is_map; j++)
            json_array_append_new(array_at(spec, rows[i].path), json_string(list[j]));
    }
}

// Each value of an option, parsed by `one` into the list at the path.
static int put_each(struct cli *cli, json_t *spec, const char *flag, const char *path,
                    int (*one)(struct cli *cli, const char *text, json_t *list))
{
    const char *const *list;
    size_t count = args_list(&cli->args, flag, &list);
    for (size_t i = 0; i < count; i++)
        if (one(cli, list[i], array_at(spec, path)) < 0)
            return bad_flag(cli, flag, list[i]);
    return 0;
}

static int append(struct cli *cli, json_t *made, json_t *list)
{
    if (!made)
        return -(int)cli->error.code;
    json_array_append_new(list, made);
    return 0;
}

static int one_port(struct cli *cli, const char *text, json_t *list)
{
    return parse_service_port(text, list, &cli->arena, &cli->error);
}

static int one_mount(struct cli *cli, const char *text, json_t *list)
{
    return append(cli, parse_mount(text, &cli->arena, &cli->error), list);
}

static int one_secret(struct cli *cli, const char *text, json_t *list)
{
    return append(cli, parse_file_reference(text, "Secret", &cli->arena, &cli->error), list);
}

static int one_config(struct cli *cli, const char *text, json_t *list)
{
    return append(cli, parse_file_reference(text, "Config", &cli->arena, &cli->error), list);
}

static int one_network(struct cli *cli, const char *text, json_t *list)
{
    return append(cli, parse_network(text, &cli->arena, &cli->error), list);
}

static int one_ulimit(struct cli *cli, const char *text, json_t *list)
{
    return append(cli, parse_ulimit(text, &cli->error), list);
}

static int one_host(struct cli *cli, const char *text, json_t *list)
{
    const char *line = parse_host(text, &cli->arena, &cli->error);
    return line ? append(cli, json_string(line), list) : -(int)cli->error.code;
}

static int one_generic(struct cli *cli, const char *text, json_t *list)
{
    return parse_generic(text, list, &cli->arena, &cli->error);
}

static int one_preference(struct cli *cli, const char *text, json_t *list)
{
    return parse_preference(text, list, &cli->error);
}

static int put_lists(struct cli *cli, json_t *spec)
{
    static const struct {
        const char *flag, *path;
        int (*one)(struct cli *cli, const char *text, json_t *list);
    } rows[] = {
        {"publish", "EndpointSpec.Ports", one_port},
        {"mount", CONTAINER "Mounts", one_mount},
        {"secret", CONTAINER "Secrets", one_secret},
        {"config", CONTAINER "Configs", one_config},
        {"network", "TaskTemplate.Networks", one_network},
        {"ulimit", CONTAINER "Ulimits", one_ulimit},
        {"host", CONTAINER "Hosts", one_host},
        {"generic-resource", "TaskTemplate.Resources.Reservations.GenericResources", one_generic},
        {"placement-pref", "TaskTemplate.Placement.Preferences", one_preference},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (put_each(cli, spec, rows[i].flag, rows[i].path, rows[i].one) < 0)
            return -(int)cli->error.code;
    return 0;
}

static int resolve_names(struct cli *cli, json_t *spec)
{
    size_t i;
    json_t *network;
    json_array_foreach(at(spec, "TaskTemplate.Networks"), i,
                       network) if (service_resolve_network(cli, network) <
                                    0) return -(int)cli->error.code;
    if (service_resolve_files(cli, at(spec, CONTAINER "Secrets"), "Secret") < 0)
        return -(int)cli->error.code;
    return service_resolve_files(cli, at(spec, CONTAINER "Configs"), "Config");
}

// A restart policy starts from the defaults, because no delay means none.
static void settle_restart(struct cli *cli, json_t *spec)
{
    static const char *const flags[] = {"restart-condition", "restart-delay",
                                        "restart-max-attempts", "restart-window"};
    bool any = false;
    for (size_t i = 0; i < COUNT_OF(flags); i++)
        any = any || args_set(&cli->args, flags[i]);
    if (any)
        set_at(spec, "TaskTemplate.RestartPolicy",
               json_pack("{s:s, s:I}", "Condition", "any", "Delay", (json_int_t)(5 * NS_PER_S)));
}

static json_t *make_spec(struct cli *cli)
{
    struct args *args = &cli->args;
    json_t *spec = keep(cli, json_object());
    const char *image = parse_image(args->argv[0], &cli->arena, &cli->error);
    if (!image)
        return NULL;
    set_text(spec, "Name", str_or(args_text(args, "name"), ""));
    set_at(spec, "Labels", json_object());
    set_text(spec, CONTAINER "Image", image);
    for (int i = 1; i < args->argc; i++)
        json_array_append_new(array_at(spec, CONTAINER "Args"), json_string(args->argv[i]));
    set_text(spec, "EndpointSpec.Mode", "vip");
    set_number(spec, "TaskTemplate.ForceUpdate", 0);
    object_at(spec, "TaskTemplate.Resources.Limits");
    settle_restart(cli, spec);
    if (put_mode(cli, spec) < 0 || service_spec_options(cli, spec) < 0 ||
        put_env_options(cli, spec, CONTAINER "Env") < 0)
        return NULL;
    put_texts(cli, spec);
    capabilities_put(cli, spec, CONTAINER "CapabilityAdd", CONTAINER "CapabilityDrop");
    return put_lists(cli, spec) < 0 || resolve_names(cli, spec) < 0 ? NULL : spec;
}

int service_run_create(struct cli *cli)
{
    json_t *spec = make_spec(cli);
    if (!spec)
        return failed(cli);
    const char *auth = args_on(&cli->args, "with-registry-auth")
                           ? credentials_header(cli, text_at(spec, CONTAINER "Image"))
                           : NULL;
    const char *unpinned = "";
    if (!args_on(&cli->args, "no-resolve-image"))
        unpinned = service_resolve_image(cli, spec, auth);
    json_t *made = api_auth(cli, "POST", "/services/create", spec, auth);
    if (!made)
        return failed(cli);
    size_t i;
    json_t *warning;
    json_array_foreach(at(made, "Warnings"), i, warning)
        warn(cli, "%s\n", str_or(json_string_value(warning), ""));
    warn(cli, "%s", unpinned);
    const char *id = text_at(made, "ID");
    say(cli, "%s\n", id);
    if (args_on(&cli->args, "detach"))
        return 0;
    return converge_wait(cli, id, args_on(&cli->args, "quiet"));
}
