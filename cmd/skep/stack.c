// skep stack: what a compose file describes, as one thing.
#include <stdlib.h>
#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/credentials.h"
#include "cmd/skep/compose.h"
#include "cmd/skep/converge.h"
#include "cmd/skep/format.h"
#include "cmd/skep/parse.h"
#include "cmd/skep/service.h"
#include "cmd/skep/service_spec.h"
#include "cmd/skep/task.h"
#include "cmd/skep/yaml.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"

#define NAMESPACE "com.docker.stack.namespace"
#define CONTAINER "TaskTemplate.ContainerSpec."

extern char **environ;

// ---- reading ------------------------------------------------------------------------------------

static const char *folder_of(struct cli *cli, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (str_equal(path, "-") || !slash)
        return ".";
    return slash == path ? "/" : textf(cli, "%.*s", (int)(slash - path), path);
}

// What the file's variables are: the environment, and under it the .env beside the file.
static json_t *variables_of(struct cli *cli, const char *folder)
{
    json_t *variables = keep(cli, json_object()), *lines = keep(cli, json_array()), *line;
    const char *path = textf(cli, "%s/.env", folder), *rest;
    size_t i;
    if (file_exists(path)) {
        const char *text = cli_read(cli, path, NULL);
        if (!text || parse_env_file(text, cli_env, lines, &cli->arena, &cli->error) < 0) {
            err_wrap(&cli->error, "%s", path);
            return NULL;
        }
    }
    json_array_foreach(lines, i, line)
    {
        const char *name = split_once(json_string_value(line), '=', &rest, &cli->arena);
        size_t size = rest ? strlen(rest) : 0;
        bool quoted = size >= 2 && (*rest == '"' || *rest == '\'') && rest[size - 1] == *rest;
        json_object_set_new(variables, name,
                            quoted ? json_stringn(rest + 1, size - 2) : json_string(rest));
    }
    for (char **entry = environ; *entry; entry++) {
        const char *name = split_once(*entry, '=', &rest, &cli->arena);
        if (rest)
            json_object_set_new(variables, name, json_string(rest));
    }
    return variables;
}

// The files of --compose-file laid on top of each other, with or without their variables replaced;
// NULL with cli->error.
static json_t *read_project(struct cli *cli, const char **folder, bool replaces)
{
    const char *const *files;
    size_t count = args_list(&cli->args, "compose-file", &files), i;
    json_t *project = NULL, *warnings = keep(cli, json_array()), *warning;
    if (!count) {
        err_set(&cli->error, ERR_INVALID_ARGUMENT,
                "name a compose file with --compose-file (or - for standard input)");
        return NULL;
    }
    *folder = folder_of(cli, files[0]);
    json_t *variables = replaces ? variables_of(cli, *folder) : NULL;
    if (replaces && !variables)
        return NULL;
    for (i = 0; i < count; i++) {
        size_t size = 0;
        const char *text = cli_read(cli, files[i], &size);
        const char *name = str_equal(files[i], "-") ? "standard input" : files[i];
        json_t *read = text ? keep(cli, compose_read(name, text, size, variables, warnings,
                                                     &cli->arena, &cli->error))
                            : NULL;
        if (!read)
            return NULL;
        if (project)
            compose_merge(project, read);
        else
            project = read;
    }
    json_array_foreach(warnings, i, warning) warn(cli, "%s\n", json_string_value(warning));
    return project;
}

struct beside {
    struct cli *cli;
    const char *folder;
};

static const char *read_beside(void *owner, const char *path, size_t *size, struct err *err)
{
    struct beside *beside = owner;
    const char *full = *path == '/' ? path : textf(beside->cli, "%s/%s", beside->folder, path);
    const char *text = cli_read(beside->cli, full, size);
    if (!text)
        err_copy(err, &beside->cli->error);
    return text;
}

static bool name_fits(struct cli *cli, const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    if (*name && !strchr("-_.", *name) && name[strspn(name, allowed)] == 0)
        return true;
    err_set(&cli->error, ERR_INVALID_ARGUMENT,
            "invalid stack name: \"%s\": letters, digits, '-', '_' and '.' are allowed", name);
    return false;
}

// ---- deploy -------------------------------------------------------------------------------------

static const char *stack_filter(struct cli *cli, const char *stack)
{
    return escape(cli, textf(cli, "{\"label\":{\"" NAMESPACE "=%s\":true}}", stack));
}

static json_t *named(json_t *list, const char *path, const char *name)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) if (str_equal(text_at(item, path), name)) return item;
    return NULL;
}

static int check_external(struct cli *cli, json_t *objects)
{
    static const struct {
        const char *list, *target, *path, *what;
    } kinds[] = {{"ExternalNetworks", "/networks", "Name", "network"},
                 {"ExternalSecrets", "/secrets", "Spec.Name", "secret"},
                 {"ExternalConfigs", "/configs", "Spec.Name", "config"}};
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        json_t *wanted = at(objects, kinds[k].list), *name, *there;
        size_t i;
        json_t *all = json_array_size(wanted) ? api_get(cli, "%s", kinds[k].target) : NULL;
        if (json_array_size(wanted) && !all)
            return failed(cli);
        json_array_foreach(wanted, i, name)
        {
            const char *text = json_string_value(name);
            there = named(all, kinds[k].path, text);
            if (!there && k == 0 && (str_equal(text, "host") || str_equal(text, "bridge")))
                continue;
            if (!there)
                return complain(cli,
                                "%s \"%s\" is declared as external, but could not be found; it "
                                "must be created first",
                                kinds[k].what, text);
            if (k == 0 && !str_equal(text_at(there, "Scope"), "swarm") &&
                !str_equal(text, "host") && !str_equal(text, "bridge"))
                return complain(cli,
                                "network \"%s\" is declared as external, but it is not in the "
                                "right scope: \"%s\" instead of \"swarm\"",
                                text, text_at(there, "Scope"));
        }
    }
    return 0;
}

// A network that no service of the stack is on is not made.
static bool is_used(const char *network, json_t *specs)
{
    size_t i;
    json_t *spec;
    json_array_foreach(specs, i, spec) if (named(at(spec, "TaskTemplate.Networks"), "Target",
                                                 network)) return true;
    return false;
}

static int deploy_networks(struct cli *cli, json_t *networks, json_t *specs)
{
    json_t *there = api_get(cli, "/networks"), *network;
    size_t i;
    if (!there)
        return failed(cli);
    json_array_foreach(networks, i, network)
    {
        const char *name = text_at(network, "Name");
        if (named(there, "Name", name) || !is_used(name, specs))
            continue;
        say(cli, "Creating network %s\n", text_at(network, "Name"));
        if (!api(cli, "POST", "/networks/create", network))
            return complain(cli, "failed to create network %s: %s", text_at(network, "Name"),
                            cli->error.message);
    }
    return 0;
}

// What is there already takes new labels alone; new data is an error of the API's, which says so.
static int deploy_data(struct cli *cli, json_t *objects, const char *root, const char *what)
{
    json_t *there = json_array_size(objects) ? api_get(cli, "%s", root) : NULL, *object;
    size_t i;
    if (json_array_size(objects) && !there)
        return failed(cli);
    json_array_foreach(objects, i, object)
    {
        const char *name = text_at(object, "Name");
        json_t *old = named(there, "Spec.Name", name);
        if (!old)
            say(cli, "Creating %s %s\n", what, name);
        const char *target = old ? textf(cli, "%s/%s/update?version=%lld", root, text_at(old, "ID"),
                                         (long long)number_at(old, "Version.Index"))
                                 : textf(cli, "%s/create", root);
        if (!api(cli, "POST", target, object))
            return complain(cli, "failed to %s %s %s: %s", old ? "update" : "create", what, name,
                            cli->error.message);
    }
    return 0;
}

static int resolve_references(struct cli *cli, json_t *spec)
{
    size_t i;
    json_t *network;
    json_array_foreach(at(spec, "TaskTemplate.Networks"), i,
                       network) if (service_resolve_network(cli, network) < 0) return failed(cli);
    if (service_resolve_files(cli, at(spec, CONTAINER "Secrets"), "Secret") < 0 ||
        service_resolve_files(cli, at(spec, CONTAINER "Configs"), "Config") < 0)
        return failed(cli);
    return 0;
}

static int deploy_service(struct cli *cli, json_t *spec, json_t *old)
{
    const char *name = text_at(spec, "Name"), *image = text_at(spec, CONTAINER "Image");
    const char *resolve = str_or(args_text(&cli->args, "resolve-image"), "always");
    bool with_auth = args_on(&cli->args, "with-registry-auth");
    const char *auth = with_auth ? credentials_header(cli, image) : NULL, *unpinned = "";
    if (resolve_references(cli, spec) != 0)
        return 1;
    const char *label =
        json_string_value(json_object_get(at(old, "Spec.Labels"), "com.docker.stack.image"));
    bool same_image = old && str_equal(label, json_string_value(json_object_get(
                                                  at(spec, "Labels"), "com.docker.stack.image")));
    if (old && same_image && !str_equal(resolve, "always"))
        set_text(spec, CONTAINER "Image", text_at(old, "Spec." CONTAINER "Image"));
    else if (!str_equal(resolve, "never"))
        unpinned = service_resolve_image(cli, spec, auth);
    if (!old) {
        say(cli, "Creating service %s\n", name);
        if (!api_auth(cli, "POST", "/services/create", spec, auth))
            return complain(cli, "failed to create service %s: %s", name, cli->error.message);
        warn(cli, "%s", unpinned);
        return 0;
    }
    say(cli, "Updating service %s (id: %s)\n", name, text_at(old, "ID"));
    // Tasks are not to start anew because of a --force long ago.
    set_number(spec, "TaskTemplate.ForceUpdate", number_at(old, "Spec.TaskTemplate.ForceUpdate"));
    json_t *service = keep(cli, json_deep_copy(old));
    set_at(service, "Spec", json_incref(spec));
    if (!service_write(cli, service, with_auth ? "" : "&registryAuthFrom=spec", auth))
        return complain(cli, "failed to update service %s: %s", name, cli->error.message);
    warn(cli, "%s", unpinned);
    return 0;
}

// What is gone already (a network goes with its last service) is as good as removed.
static int remove_object(struct cli *cli, const char *root, const char *id, const char *what,
                         const char *name)
{
    say(cli, "Removing %s %s\n", what, name);
    if (api(cli, "DELETE", textf(cli, "%s/%s", root, id), NULL) || cli->status == 404)
        return 0;
    return complain(cli, "Failed to remove %s %s: %s", what, id, cli->error.message);
}

static int prune_services(struct cli *cli, json_t *specs, json_t *there)
{
    size_t i;
    json_t *service;
    int status = 0;
    json_array_foreach(there, i, service)
    {
        const char *name = text_at(service, "Spec.Name");
        if (!named(specs, "Name", name) &&
            remove_object(cli, "/services", text_at(service, "ID"), "service", name) != 0)
            status = 1;
    }
    return status;
}

static int deploy_services(struct cli *cli, const char *stack, json_t *specs)
{
    json_t *there = api_get(cli, "/services?filters=%s", stack_filter(cli, stack)), *spec;
    size_t i;
    if (!there)
        return failed(cli);
    if (args_on(&cli->args, "prune") && prune_services(cli, specs, there) != 0)
        return 1;
    json_array_foreach(
        specs, i,
        spec) if (deploy_service(cli, spec, named(there, "Spec.Name", text_at(spec, "Name"))) !=
                  0) return 1;
    bool waits = args_set(&cli->args, "detach") && !args_on(&cli->args, "detach");
    int status = 0;
    json_array_foreach(specs, i, spec) if (waits && converge_wait(cli, text_at(spec, "Name"),
                                                                  args_on(&cli->args, "quiet")) !=
                                                        0) status = 1;
    return status;
}

static int run_deploy(struct cli *cli)
{
    const char *stack = cli->args.argv[0], *folder = ".";
    const char *resolve = str_or(args_text(&cli->args, "resolve-image"), "always");
    if (!name_fits(cli, stack))
        return failed(cli);
    if (!str_equal(resolve, "always") && !str_equal(resolve, "changed") &&
        !str_equal(resolve, "never"))
        return complain(cli, "Invalid option %s for flag --resolve-image", resolve);
    json_t *project = read_project(cli, &folder, true);
    if (!project)
        return failed(cli);
    struct beside beside = {cli, folder};
    char *real = realpath(folder, NULL);
    struct compose_files files = {read_beside, &beside, real ? textf(cli, "%s", real) : folder,
                                  variables_of(cli, folder)};
    free(real);
    json_t *objects = keep(cli, compose_convert(project, stack, &files, &cli->arena, &cli->error));
    if (!objects)
        return failed(cli);
    json_t *info = api_get(cli, "/info");
    if (!info)
        return failed(cli);
    if (!true_at(info, "Swarm.ControlAvailable"))
        return complain(cli, "this node is not a swarm manager. Use \"skep swarm init\" or \"skep "
                             "swarm join\" to connect this node to swarm and try again");
    int status = check_external(cli, objects);
    if (status == 0)
        status = deploy_networks(cli, at(objects, "Networks"), at(objects, "Services"));
    if (status == 0)
        status = deploy_data(cli, at(objects, "Secrets"), "/secrets", "secret");
    if (status == 0)
        status = deploy_data(cli, at(objects, "Configs"), "/configs", "config");
    return status ? status : deploy_services(cli, stack, at(objects, "Services"));
}

static int run_config(struct cli *cli)
{
    const char *folder;
    json_t *project = read_project(cli, &folder, !args_on(&cli->args, "skip-interpolation"));
    if (!project)
        return failed(cli);
    struct buf out;
    buf_init(&out, CLI_FILE_BYTES_MAX);
    yaml_write(project, &out);
    say_bytes(cli, out.data, out.len);
    buf_fini(&out);
    return 0;
}

// ---- ls, ps, services ---------------------------------------------------------------------------

static int run_ls(struct cli *cli)
{
    static const struct column columns[] = {
        {"Name", "NAME"}, {"Services", "SERVICES"}, {"Orchestrator", "ORCHESTRATOR"}, {0}};
    static const struct listing listing = {columns, "table {{.Name}}\t{{.Services}}", "{{.Name}}",
                                           NULL};
    json_t *services =
        api_get(cli, "/services?filters=%s", escape(cli, "{\"label\":{\"" NAMESPACE "\":true}}"));
    if (!services)
        return failed(cli);
    json_t *rows = keep(cli, json_array()), *service;
    size_t i;
    json_array_foreach(services, i, service)
    {
        const char *stack =
            json_string_value(json_object_get(at(service, "Spec.Labels"), NAMESPACE));
        json_t *row = named(rows, "Name", stack);
        if (!row) {
            row = row_new(cli, NULL);
            row_set(row, "Name", stack);
            row_set(row, "Services", "0");
            row_set(row, "Orchestrator", "Swarm");
            rows_put(rows, row);
        }
        row_set(row, "Services", textf(cli, "%d", atoi(text_at(row, "Services")) + 1));
    }
    return show_list(cli, &listing, rows);
}

static const char *filters_of(struct cli *cli, const char *stack)
{
    return filters_with(cli, "label", textf(cli, NAMESPACE "=%s", stack));
}

static int run_ps(struct cli *cli)
{
    const char *stack = cli->args.argv[0], *filters = filters_of(cli, stack);
    json_t *tasks = filters ? api_get(cli, "/tasks?%s", filters) : NULL;
    if (!tasks)
        return failed(cli);
    if (json_array_size(tasks) == 0)
        return complain(cli, "nothing found in stack: %s", stack);
    return task_show(cli, tasks);
}

static int run_services(struct cli *cli)
{
    const char *stack = cli->args.argv[0], *filters = filters_of(cli, stack);
    json_t *services = filters ? api_get(cli, "/services?status=true%s", filters) : NULL;
    if (!services)
        return failed(cli);
    if (json_array_size(services) == 0) {
        warn(cli, "Nothing found in stack: %s\n", stack);
        return 0;
    }
    return show_list(cli, &service_listing, service_rows(cli, services));
}

// ---- rm -----------------------------------------------------------------------------------------

static int remove_stack(struct cli *cli, const char *stack)
{
    static const struct {
        const char *root, *id, *name, *what;
    } kinds[] = {{"/services", "ID", "Spec.Name", "service"},
                 {"/secrets", "ID", "Spec.Name", "secret"},
                 {"/configs", "ID", "Spec.Name", "config"},
                 {"/networks", "Id", "Name", "network"}};
    size_t found = 0, i;
    int status = 0;
    if (!name_fits(cli, stack))
        return failed(cli);
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        json_t *list = api_get(cli, "%s?filters=%s", kinds[k].root, stack_filter(cli, stack)),
               *item;
        if (!list)
            return failed(cli);
        json_array_foreach(list, i, item)
        {
            found++;
            if (remove_object(cli, kinds[k].root, text_at(item, kinds[k].id), kinds[k].what,
                              text_at(item, kinds[k].name)) != 0)
                status = 1;
        }
    }
    if (!found)
        warn(cli, "Nothing found in stack: %s\n", stack);
    return status;
}

#define GONE_POLL_MS 200

// Waits until no task of the stack is left that has not ended.
static int wait_gone(struct cli *cli, const char *stack)
{
    for (;;) {
        json_t *tasks = api_get(cli, "/tasks?%s",
                                filters_with(cli, "label", textf(cli, NAMESPACE "=%s", stack))),
               *task;
        size_t left = 0, i;
        if (!tasks)
            return failed(cli);
        json_array_foreach(tasks, i, task) left += !task_ended(text_at(task, "Status.State"));
        if (!left)
            return 0;
        cli_sleep(cli, GONE_POLL_MS);
    }
}

static int run_rm(struct cli *cli)
{
    int status = each_argument(cli, remove_stack);
    bool waits = args_set(&cli->args, "detach") && !args_on(&cli->args, "detach");
    return status == 0 && waits ? each_argument(cli, wait_gone) : status;
}

// ---- the table ----------------------------------------------------------------------------------

// Older docker commands have it everywhere.
#define ORCHESTRATOR_FLAG                                                                          \
    {                                                                                              \
        "orchestrator", 0, FLAG_SWARM, "name", "Accepted for the sake of scripts: swarm, or all"   \
    }
static const struct flag deploy_flags[] = {
    {"compose-file", 'c', FLAG_COMMAS, "file", "The compose file, - for standard input"},
    {"detach", 'd', FLAG_BOOL, NULL, "Do not wait until the services run (default true)"},
    {"prune", 0, FLAG_BOOL, NULL, "Remove services that the file no longer has"},
    {"quiet", 'q', FLAG_BOOL, NULL, "Show no progress"},
    {"resolve-image", 0, FLAG_TEXT, "when", "Ask for digests always, when changed, or never"},
    {"with-registry-auth", 0, FLAG_BOOL, NULL, "Give the nodes our registry's password"},
    ORCHESTRATOR_FLAG,
    {0},
};
static const struct flag config_flags[] = {
    {"compose-file", 'c', FLAG_COMMAS, "file", "The compose file, - for standard input"},
    {"skip-interpolation", 0, FLAG_BOOL, NULL, "Leave variables as they are written"},
    {0},
};
static const struct flag ls_flags[] = {
    {"format", 0, FLAG_TEXT, "template", "Print by a Go template, or json"},
    ORCHESTRATOR_FLAG,
    {0},
};
static const struct flag ps_flags[] = {TASK_LIST_FLAGS, ORCHESTRATOR_FLAG, {0}};
static const struct flag rm_flags[] = {
    {"detach", 'd', FLAG_BOOL, NULL, "Do not wait until the tasks are gone (default true)"},
    ORCHESTRATOR_FLAG,
    {0},
};
static const struct flag services_flags[] = {
    {"filter", 'f', FLAG_FILTERS, "filter", "Only services that fit, such as name=web"},
    {"format", 0, FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"quiet", 'q', FLAG_BOOL, NULL, "Print ids alone"},
    ORCHESTRATOR_FLAG,
    {0},
};

const struct command stack_commands[] = {
    {"stack config", "[OPTIONS]", "Print the compose file as it is understood", config_flags,
     run_config, 0, 0, 0, NULL},
    {"stack deploy", "[OPTIONS] STACK", "Make the swarm be what a compose file says", deploy_flags,
     run_deploy, 1, 1, 0, "stack"},
    {"stack ls", "[OPTIONS]", "List the stacks", ls_flags, run_ls, 0, 0, 0, NULL},
    {"stack ps", "[OPTIONS] STACK", "List the tasks of a stack", ps_flags, run_ps, 1, 1, 0,
     "stack"},
    {"stack rm", "[OPTIONS] STACK [STACK...]", "Remove stacks", rm_flags, run_rm, 1, COMMAND_MANY,
     0, "stack"},
    {"stack services", "[OPTIONS] STACK", "List the services of a stack", services_flags,
     run_services, 1, 1, 0, "stack"},
    {0},
};
