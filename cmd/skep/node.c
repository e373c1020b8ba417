// skep node: the nodes of the swarm.
#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/format.h"
#include "cmd/skep/task.h"
#include "cmd/skep/text.h"
#include "proto/base/str.h"

static const char *capital(struct cli *cli, const char *word)
{
    char *copy = arena_strdup(&cli->arena, word);
    if (*copy >= 'a' && *copy <= 'z')
        *copy = (char)(*copy - 32);
    return copy;
}

// "self" is this node.
static const char *node_id(struct cli *cli, const char *name)
{
    return str_equal(name, "self") ? str_or(id_of_info(cli), "self") : name;
}

static json_t *fetch(struct cli *cli, const char *name)
{
    return api_get(cli, "/nodes/%s", escape(cli, node_id(cli, name)));
}

// ---- ls -----------------------------------------------------------------------------------------

static const char *manager_status(struct cli *cli, json_t *node)
{
    json_t *manager = at(node, "ManagerStatus");
    if (!manager)
        return "";
    return true_at(manager, "Leader") ? "Leader" : capital(cli, text_at(manager, "Reachability"));
}

static int run_ls(struct cli *cli)
{
    static const struct column columns[] = {{"ID", "ID"},
                                            {"Self", ""},
                                            {"Hostname", "HOSTNAME"},
                                            {"Status", "STATUS"},
                                            {"Availability", "AVAILABILITY"},
                                            {"ManagerStatus", "MANAGER STATUS"},
                                            {"EngineVersion", "ENGINE VERSION"},
                                            {"TLSStatus", "TLS STATUS"},
                                            {0}};
    static const struct listing listing = {
        columns,
        "table {{.ID}}{{if .Self}} *{{else}}{{if ne .ID \"ID\"}}  {{end}}{{end}}\t"
        "{{.Hostname}}\t{{.Status}}\t{{.Availability}}\t{{.ManagerStatus}}\t{{.EngineVersion}}",
        "{{.ID}}", "nodesFormat"};
    const char *filters = filters_part(cli);
    json_t *nodes = filters ? api_get(cli, "/nodes?%s", filters) : NULL;
    json_t *info = nodes ? api_get(cli, "/info") : NULL;
    if (!info)
        return failed(cli);
    json_t *rows = keep(cli, json_array());
    const char *root = text_at(info, "Swarm.Cluster.TLSInfo.CertIssuerPublicKey");
    size_t i;
    json_t *node;
    json_array_foreach(nodes, i, node)
    {
        json_t *row = row_new(cli, at(node, "Spec.Labels"));
        bool self = str_equal(text_at(node, "ID"), text_at(info, "Swarm.NodeID"));
        const char *issuer = text_at(node, "Description.TLSInfo.CertIssuerPublicKey");
        row_set(row, "ID", text_at(node, "ID"));
        json_object_set_new(row, "Self", json_boolean(self));
        row_set(row, "Hostname", text_at(node, "Description.Hostname"));
        row_set(row, "Status", capital(cli, text_at(node, "Status.State")));
        row_set(row, "Availability", capital(cli, text_at(node, "Spec.Availability")));
        row_set(row, "ManagerStatus", manager_status(cli, node));
        row_set(row, "EngineVersion", text_at(node, "Description.Engine.EngineVersion"));
        row_set(row, "TLSStatus",
                str_empty(issuer) || str_empty(root) ? "Unknown"
                : str_equal(issuer, root)            ? "Ready"
                                                     : "Needs Rotation");
        rows_put_by(rows, row, "Hostname");
    }
    return show_list(cli, &listing, rows);
}

// ---- inspect ------------------------------------------------------------------------------------

static void say_sorted_names(struct cli *cli, json_t *node, const char *type)
{
    json_t *list = at(node, "Description.Engine.Plugins");
    size_t i;
    json_t *plugin;
    bool any = false;
    json_array_foreach(list, i, plugin)
    {
        if (!str_equal(text_at(plugin, "Type"), type))
            continue;
        say(cli, "%s%s", any ? ", " : textf(cli, " %s:\t\t", type), text_at(plugin, "Name"));
        any = true;
    }
    if (any)
        say(cli, "\n");
}

static void say_pairs(struct cli *cli, const char *title, const json_t *pairs)
{
    if (json_object_size(pairs) == 0)
        return;
    say(cli, "%s\n", title);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)pairs, key, value)
        say(cli, " - %s=%s\n", key, str_or(json_string_value(value), ""));
}

static void say_node(struct cli *cli, json_t *node)
{
    say(cli, "ID:\t\t\t%s\n", text_at(node, "ID"));
    if (*text_at(node, "Spec.Name"))
        say(cli, "Name:\t\t\t%s\n", text_at(node, "Spec.Name"));
    say_pairs(cli, "Labels:", at(node, "Spec.Labels"));
    say(cli, "Hostname:              \t%s\n", text_at(node, "Description.Hostname"));
    say(cli, "Joined at:             \t%s\n",
        text_moment_small(text_at(node, "CreatedAt"), &cli->arena));
    say(cli, "Status:\n State:\t\t\t%s\n", capital(cli, text_at(node, "Status.State")));
    if (*text_at(node, "Status.Message"))
        say(cli, " Message:\t\t%s\n", text_at(node, "Status.Message"));
    say(cli, " Availability:         \t%s\n", capital(cli, text_at(node, "Spec.Availability")));
    if (*text_at(node, "Status.Addr"))
        say(cli, " Address:\t\t%s\n", text_at(node, "Status.Addr"));
    if (at(node, "ManagerStatus")) {
        say(cli, "Manager Status:\n Address:\t\t%s\n Raft Status:\t\t%s\n Leader:\t\t%s\n",
            text_at(node, "ManagerStatus.Addr"),
            capital(cli, text_at(node, "ManagerStatus.Reachability")),
            true_at(node, "ManagerStatus.Leader") ? "Yes" : "No");
    }
    say(cli, "Platform:\n Operating System:\t%s\n Architecture:\t\t%s\n",
        text_at(node, "Description.Platform.OS"),
        text_at(node, "Description.Platform.Architecture"));
    say(cli, "Resources:\n CPUs:\t\t\t%lld\n Memory:\t\t%s\n",
        (long long)number_at(node, "Description.Resources.NanoCPUs") / 1000000000,
        text_size_binary((double)number_at(node, "Description.Resources.MemoryBytes"),
                         &cli->arena));
    say(cli, "Plugins:\n");
    say_sorted_names(cli, node, "Log");
    say_sorted_names(cli, node, "Network");
    say_sorted_names(cli, node, "Volume");
    say(cli, "Engine Version:\t\t%s\n", text_at(node, "Description.Engine.EngineVersion"));
    say_pairs(cli, "Engine Labels:", at(node, "Description.Engine.Labels"));
    const char *root = text_at(node, "Description.TLSInfo.TrustRoot");
    if (*root)
        say(cli, "TLS Info:\n TrustRoot:\n%s\n Issuer Subject:\t%s\n Issuer Public Key:\t%s\n",
            root, text_at(node, "Description.TLSInfo.CertIssuerSubject"),
            text_at(node, "Description.TLSInfo.CertIssuerPublicKey"));
}

static int run_inspect(struct cli *cli)
{
    for (int i = 0; i < cli->args.argc; i++)
        cli->args.argv[i] = node_id(cli, cli->args.argv[i]);
    if (!wants_pretty(cli))
        return show_inspected(cli, "/nodes/", "", "swarm.Node");
    if (args_on(&cli->args, "pretty") && args_set(&cli->args, "format"))
        return complain(cli, "--format is incompatible with human friendly format");
    for (int i = 0; i < cli->args.argc; i++) {
        json_t *node = fetch(cli, cli->args.argv[i]);
        if (!node)
            return failed(cli);
        if (i)
            say(cli, "\n");
        say_node(cli, node);
    }
    return 0;
}

// ---- ps -----------------------------------------------------------------------------------------

static int run_ps(struct cli *cli)
{
    static const char *const self[] = {"self"};
    const char *const *names = cli->args.argc ? cli->args.argv : self;
    int count = cli->args.argc ? cli->args.argc : 1, status = 0;
    json_t *all = keep(cli, json_array());
    for (int i = 0; i < count; i++) {
        json_t *node = fetch(cli, names[i]);
        const char *filters = node ? filters_with(cli, "node", text_at(node, "ID")) : NULL;
        json_t *tasks = filters ? api_get(cli, "/tasks?%s", filters) : NULL;
        if (tasks)
            json_array_extend(all, tasks);
        else
            status = failed(cli);
    }
    int shown = json_array_size(all) || !status ? task_show(cli, all) : 0;
    return status ? status : shown;
}

// ---- changes ------------------------------------------------------------------------------------

static bool write_back(struct cli *cli, json_t *node)
{
    return api(cli, "POST",
               textf(cli, "/nodes/%s/update?version=%lld", text_at(node, "ID"),
                     (long long)number_at(node, "Version.Index")),
               at(node, "Spec")) != NULL;
}

static int run_update(struct cli *cli)
{
    struct args *args = &cli->args;
    json_t *node = fetch(cli, args->argv[0]);
    if (!node)
        return failed(cli);
    const char *role = args_text(args, "role"), *availability = args_text(args, "availability");
    if (role)
        set_text(node, "Spec.Role", role);
    if (availability)
        set_text(node, "Spec.Availability", availability);
    json_t *labels = object_at(node, "Spec.Labels");
    const char *const *gone;
    size_t count = args_list(args, "label-rm", &gone);
    json_object_update(labels, pairs_object(cli, "label-add"));
    for (size_t i = 0; i < count; i++) {
        if (json_object_del(labels, gone[i]) != 0)
            return complain(cli, "key %s doesn't exist in node's labels", gone[i]);
    }
    if (!write_back(cli, node))
        return failed(cli);
    say(cli, "%s\n", args->argv[0]);
    return 0;
}

static int change_role(struct cli *cli, const char *role, const char *done)
{
    for (int i = 0; i < cli->args.argc; i++) {
        const char *name = cli->args.argv[i];
        json_t *node = fetch(cli, name);
        if (!node)
            return failed(cli);
        if (str_equal(text_at(node, "Spec.Role"), role)) {
            say(cli, "Node %s is already a %s.\n", name, role);
            continue;
        }
        set_text(node, "Spec.Role", role);
        if (!write_back(cli, node))
            return failed(cli);
        say(cli, "%s %s.\n", name, done);
    }
    return 0;
}

static int run_promote(struct cli *cli)
{
    return change_role(cli, "manager", "promoted to a manager in the swarm");
}

static int run_demote(struct cli *cli)
{
    return change_role(cli, "worker", "demoted in the swarm");
}

static int remove_one(struct cli *cli, const char *name)
{
    return remove_named(cli, "/nodes/", name, args_on(&cli->args, "force"));
}

static int run_rm(struct cli *cli)
{
    return each_argument(cli, remove_one);
}

// ---- the table ----------------------------------------------------------------------------------

static const struct flag ls_flags[] = {
    {"filter", 'f', FLAG_FILTERS, "filter", "Only nodes that fit, such as role=manager"},
    {"format", 0, FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"quiet", 'q', FLAG_BOOL, NULL, "Print ids alone"},
    {0},
};
static const struct flag inspect_flags[] = {
    {"format", 'f', FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"pretty", 0, FLAG_BOOL, NULL, "Print what matters, for people"},
    {0},
};
static const struct flag ps_flags[] = {TASK_LIST_FLAGS, {0}};
static const struct flag update_flags[] = {
    {"availability", 0, FLAG_TEXT, "state", "active, pause or drain"},
    {"label-add", 0, FLAG_LABELS, "key=value", "Set a label"},
    {"label-rm", 0, FLAG_LIST, "key", "Take a label away"},
    {"role", 0, FLAG_TEXT, "role", "worker or manager"},
    {0},
};
static const struct flag rm_flags[] = {
    {"force", 'f', FLAG_BOOL, NULL, "Remove it even when it is not down"},
    {0},
};

const struct command node_commands[] = {
    {"node demote", "NODE [NODE...]", "Make workers of managers", NULL, run_demote, 1, COMMAND_MANY,
     0, "node"},
    {"node inspect", "[OPTIONS] self|NODE [NODE...]", "Show all there is to know about nodes",
     inspect_flags, run_inspect, 1, COMMAND_MANY, 0, "node"},
    {"node ls", "[OPTIONS]", "List the nodes", ls_flags, run_ls, 0, 0, 0, NULL},
    {"node promote", "NODE [NODE...]", "Make managers of workers", NULL, run_promote, 1,
     COMMAND_MANY, 0, "node"},
    {"node ps", "[OPTIONS] [NODE...]", "List the tasks of nodes, this one by default", ps_flags,
     run_ps, 0, COMMAND_MANY, 0, "node"},
    {"node rm", "[OPTIONS] NODE [NODE...]", "Remove nodes from the swarm", rm_flags, run_rm, 1,
     COMMAND_MANY, 0, "node"},
    {"node update", "[OPTIONS] NODE", "Change a node's role, availability or labels", update_flags,
     run_update, 1, 1, 0, "node"},
    {0},
};
