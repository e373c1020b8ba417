// skep network: networks of the swarm and of one host.
#include <string.h>

#include "cmd/skep/client_io.h"
#include "cmd/skep/command.h"
#include "cmd/skep/common.h"
#include "cmd/skep/format.h"
#include "cmd/skep/prune.h"
#include "cmd/skep/text.h"
#include "proto/base/str.h"

// ---- create -------------------------------------------------------------------------------------

// An address as text: four or sixteen bytes and the length of its prefix. False for anything else.
struct prefix {
    unsigned char bytes[16];
    size_t size;
    unsigned bits;
};

static bool parse_ip4(const char *text, unsigned char out[16])
{
    struct str_part part;
    size_t count = 0;
    uint64_t number;
    for (const char *rest = text; str_split(&rest, '.', &part); count++) {
        char digits[4] = {0};
        if (count == 4 || part.len == 0 || part.len > 3)
            return false;
        memcpy(digits, part.at, part.len);
        if (!str_to_u64(digits, 255, &number))
            return false;
        out[count] = (unsigned char)number;
    }
    return count == 4;
}

// IPv6 is compared by the daemon; here only IPv4 ranges are sorted to their subnets by value.
static bool parse_prefix(struct cli *cli, const char *text, struct prefix *out)
{
    const char *bits, *address = split_once(text, '/', &bits, &cli->arena);
    uint64_t number = 32;
    *out = (struct prefix){.size = 4, .bits = 32};
    if (!parse_ip4(address, out->bytes) || (bits && !str_to_u64(bits, 32, &number)))
        return false;
    out->bits = (unsigned)number;
    return true;
}

static bool contains(const struct prefix *subnet, const struct prefix *inside)
{
    if (inside->bits < subnet->bits)
        return false;
    for (unsigned bit = 0; bit < subnet->bits; bit++) {
        unsigned char differ = (unsigned char)(subnet->bytes[bit / 8] ^ inside->bytes[bit / 8]);
        if (differ & (0x80u >> (bit % 8)))
            return false;
    }
    return true;
}

// The configuration (of `configs`) whose subnet holds the address; without IPv4 to compare, the
// one at the same place, or the only one.
static json_t *config_of(struct cli *cli, json_t *configs, const char *address, size_t place)
{
    struct prefix subnet, inside;
    size_t i;
    json_t *config;
    bool comparable = parse_prefix(cli, address, &inside);
    json_array_foreach(configs, i,
                       config) if (comparable &&
                                   parse_prefix(cli, text_at(config, "Subnet"), &subnet) &&
                                   contains(&subnet, &inside)) return config;
    if (comparable)
        return NULL;
    config = json_array_get(configs, place);
    return config ? config : json_array_get(configs, 0);
}

static int put_addresses(struct cli *cli, json_t *configs, const char *flag, const char *key,
                         const char *what)
{
    const char *const *list;
    size_t count = args_list(&cli->args, flag, &list);
    for (size_t i = 0; i < count; i++) {
        json_t *config = config_of(cli, configs, list[i], i);
        if (!config)
            return err_set(&cli->error, ERR_INVALID_ARGUMENT, "no matching subnet for %s %s", what,
                           list[i]);
        if (*text_at(config, key))
            return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                           "cannot configure multiple %ss (%s, %s) on the same subnet (%s)", what,
                           list[i], text_at(config, key), text_at(config, "Subnet"));
        set_text(config, key, list[i]);
    }
    return 0;
}

static int put_ipam(struct cli *cli, json_t *body)
{
    const char *const *list, *value;
    json_t *configs = array_at(body, "IPAM.Config");
    size_t count = args_list(&cli->args, "subnet", &list);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(configs, json_pack("{s:s}", "Subnet", list[i]));
    if (!count && (args_set(&cli->args, "ip-range") || args_set(&cli->args, "gateway")))
        return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                       "every ip-range or gateway must have a corresponding subnet");
    if (put_addresses(cli, configs, "ip-range", "IPRange", "range") < 0 ||
        put_addresses(cli, configs, "gateway", "Gateway", "gateway") < 0)
        return -(int)cli->error.code;
    count = args_list(&cli->args, "aux-address", &list);
    for (size_t i = 0; i < count; i++) {
        const char *name = split_once(list[i], '=', &value, &cli->arena);
        json_t *config = value ? config_of(cli, configs, value, 0) : NULL;
        if (!config)
            return err_set(&cli->error, ERR_INVALID_ARGUMENT,
                           "no matching subnet for aux-address %s", value ? value : list[i]);
        json_object_set_new(object_at(config, "AuxiliaryAddresses"), name, json_string(value));
    }
    set_text(body, "IPAM.Driver", str_or(args_text(&cli->args, "ipam-driver"), "default"));
    set_at(body, "IPAM.Options", json_incref(pairs_object(cli, "ipam-opt")));
    return 0;
}

static int run_create(struct cli *cli)
{
    static const struct {
        const char *flag, *key;
    } truths[] = {{"attachable", "Attachable"},
                  {"ingress", "Ingress"},
                  {"internal", "Internal"},
                  {"ipv6", "EnableIPv6"},
                  {"config-only", "ConfigOnly"}};
    struct args *args = &cli->args;
    json_t *body = keep(cli, json_object());
    set_text(body, "Name", args->argv[0]);
    set_true(body, "CheckDuplicate", true);
    set_text(body, "Driver", str_or(args_text(args, "driver"), "bridge"));
    set_text(body, "Scope", str_or(args_text(args, "scope"), ""));
    for (size_t i = 0; i < COUNT_OF(truths); i++)
        set_true(body, truths[i].key, args_on(args, truths[i].flag));
    if (args_set(args, "ipv4"))
        set_true(body, "EnableIPv4", args_on(args, "ipv4"));
    if (put_ipam(cli, body) < 0)
        return failed(cli);
    if (args_set(args, "config-from"))
        set_text(body, "ConfigFrom.Network", args_text(args, "config-from"));
    set_at(body, "Options", json_incref(pairs_object(cli, "opt")));
    set_at(body, "Labels", json_incref(pairs_object(cli, "label")));
    json_t *made = api(cli, "POST", "/networks/create", body);
    if (!made)
        return failed(cli);
    if (*text_at(made, "Warning"))
        warn(cli, "WARNING: %s\n", text_at(made, "Warning"));
    say(cli, "%s\n", text_at(made, "Id"));
    return 0;
}

// ---- ls, inspect --------------------------------------------------------------------------------

static int run_ls(struct cli *cli)
{
    static const struct column columns[] = {{"ID", "NETWORK ID"},
                                            {"Name", "NAME"},
                                            {"Driver", "DRIVER"},
                                            {"Scope", "SCOPE"},
                                            {"IPv6", "IPV6"},
                                            {"Internal", "INTERNAL"},
                                            {"Labels", "LABELS"},
                                            {"CreatedAt", "CREATED AT"},
                                            {0}};
    static const struct listing listing = {
        columns, "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}", "{{.ID}}", "networksFormat"};
    const char *filters = filters_part(cli);
    json_t *networks = filters ? api_get(cli, "/networks?%s", filters) : NULL;
    if (!networks)
        return failed(cli);
    json_t *rows = keep(cli, json_array()), *network;
    size_t i;
    json_array_foreach(networks, i, network)
    {
        json_t *row = row_new(cli, at(network, "Labels"));
        const char *id = text_at(network, "Id");
        row_set(row, "ID", args_on(&cli->args, "no-trunc") ? id : text_short_id(id, &cli->arena));
        row_set(row, "Name", text_at(network, "Name"));
        row_set(row, "Driver", text_at(network, "Driver"));
        row_set(row, "Scope", text_at(network, "Scope"));
        row_set(row, "IPv6", true_at(network, "EnableIPv6") ? "true" : "false");
        row_set(row, "Internal", true_at(network, "Internal") ? "true" : "false");
        row_set(row, "Labels", labels_text(cli, at(network, "Labels")));
        row_set(row, "CreatedAt", text_moment(text_at(network, "Created"), &cli->arena));
        rows_put(rows, row);
    }
    return show_list(cli, &listing, rows);
}

static int run_inspect(struct cli *cli)
{
    return show_inspected(cli, "/networks/", args_on(&cli->args, "verbose") ? "?verbose=true" : "",
                          "?network.Inspect");
}

// ---- connect, disconnect, rm, prune -------------------------------------------------------------

static void put_list(struct cli *cli, json_t *object, const char *flag, const char *path)
{
    const char *const *list;
    size_t count = args_list(&cli->args, flag, &list);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array_at(object, path), json_string(list[i]));
}

static int run_connect(struct cli *cli)
{
    struct args *args = &cli->args;
    json_t *body =
        keep(cli, json_pack("{s:s, s:{}}", "Container", args->argv[1], "EndpointConfig"));
    json_t *endpoint = at(body, "EndpointConfig");
    if (args_set(args, "gw-priority"))
        set_number(endpoint, "GwPriority", args_number(args, "gw-priority", 0));
    if (args_set(args, "ip"))
        set_text(endpoint, "IPAMConfig.IPv4Address", args_text(args, "ip"));
    if (args_set(args, "ip6"))
        set_text(endpoint, "IPAMConfig.IPv6Address", args_text(args, "ip6"));
    put_list(cli, endpoint, "link-local-ip", "IPAMConfig.LinkLocalIPs");
    put_list(cli, endpoint, "link", "Links");
    put_list(cli, endpoint, "alias", "Aliases");
    if (args_set(args, "driver-opt"))
        set_at(endpoint, "DriverOpts", json_incref(pairs_object(cli, "driver-opt")));
    return api(cli, "POST", textf(cli, "/networks/%s/connect", escape(cli, args->argv[0])), body)
               ? 0
               : failed(cli);
}

static int run_disconnect(struct cli *cli)
{
    struct args *args = &cli->args;
    json_t *body = keep(
        cli, json_pack("{s:s, s:b}", "Container", args->argv[1], "Force", args_on(args, "force")));
    return api(cli, "POST", textf(cli, "/networks/%s/disconnect", escape(cli, args->argv[0])), body)
               ? 0
               : failed(cli);
}

static int remove_one(struct cli *cli, const char *name)
{
    if (!api(cli, "DELETE", textf(cli, "/networks/%s", escape(cli, name)), NULL)) {
        if (cli->status == 404 && args_on(&cli->args, "force"))
            return 0;
        return failed(cli);
    }
    say(cli, "%s\n", name);
    return 0;
}

static int run_rm(struct cli *cli)
{
    return each_argument(cli, remove_one);
}

static int run_prune(struct cli *cli)
{
    static const struct prune networks = {
        .target = "/networks/prune",
        .list = "NetworksDeleted",
        .title = "Deleted Networks:",
        .question = "all custom networks not used by at least one container",
    };
    return prune_run(cli, &networks, filters_part(cli));
}

// ---- the table ----------------------------------------------------------------------------------

static const struct flag create_flags[] = {
    {"attachable", 0, FLAG_BOOL, NULL, "Containers started by hand may join"},
    {"aux-address", 0, FLAG_LIST, "name=ip", "Addresses that are taken already"},
    {"config-from", 0, FLAG_TEXT, "network", "Take the configuration of this network"},
    {"config-only", 0, FLAG_BOOL, NULL, "Make a configuration, and no network"},
    {"driver", 'd', FLAG_TEXT, "driver", "overlay, bridge, macvlan, ipvlan ... (default bridge)"},
    {"gateway", 0, FLAG_COMMAS, "ip", "Gateway of a subnet"},
    {"ingress", 0, FLAG_BOOL, NULL, "It is the network of published ports"},
    {"internal", 0, FLAG_BOOL, NULL, "Nothing outside can be reached"},
    {"ip-range", 0, FLAG_COMMAS, "subnet", "Give out addresses of this part alone"},
    {"ipam-driver", 0, FLAG_TEXT, "driver", "Who gives out addresses (default default)"},
    {"ipam-opt", 0, FLAG_LIST, "key=value", "An option of that driver"},
    {"ipv4", 0, FLAG_BOOL, NULL, "Give out IPv4 addresses (default true)"},
    {"ipv6", 0, FLAG_BOOL, NULL, "Give out IPv6 addresses, too"},
    {"label", 0, FLAG_LABELS, "key=value", "Label of the network"},
    {"opt", 'o', FLAG_LIST, "key=value", "An option of the driver"},
    {"scope", 0, FLAG_TEXT, "scope", "swarm or local"},
    {"subnet", 0, FLAG_COMMAS, "subnet", "Addresses of the network, as 10.1.0.0/24"},
    {0},
};
static const struct flag ls_flags[] = {
    {"filter", 'f', FLAG_FILTERS, "filter", "Only networks that fit, such as driver=overlay"},
    {"format", 0, FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"no-trunc", 0, FLAG_BOOL, NULL, "Do not shorten ids"},
    {"quiet", 'q', FLAG_BOOL, NULL, "Print ids alone"},
    {0},
};
static const struct flag inspect_flags[] = {
    {"format", 'f', FLAG_TEXT, "template", "Print by a Go template, or json"},
    {"verbose", 'v', FLAG_BOOL, NULL, "With its services, tasks and peers"},
    {0},
};
static const struct flag connect_flags[] = {
    {"alias", 0, FLAG_COMMAS, "name", "Another name of the container on this network"},
    {"driver-opt", 0, FLAG_LIST, "key=value", "An option of the driver"},
    {"gw-priority", 0, FLAG_INT, "number", "The highest is the default route's network"},
    {"ip", 0, FLAG_TEXT, "ip", "Its IPv4 address"},
    {"ip6", 0, FLAG_TEXT, "ip", "Its IPv6 address"},
    {"link", 0, FLAG_LIST, "container:name", "Name for another container"},
    {"link-local-ip", 0, FLAG_COMMAS, "ip", "A link-local address"},
    {0},
};
static const struct flag force_flags[] = {
    {"force", 'f', FLAG_BOOL, NULL, "Do it whatever stands against it"},
    {0},
};
const struct command network_commands[] = {
    {"network connect", "[OPTIONS] NETWORK CONTAINER", "Put a container on a network",
     connect_flags, run_connect, 2, 2, 0, "network"},
    {"network create", "[OPTIONS] NETWORK", "Create a network", create_flags, run_create, 1, 1, 0,
     NULL},
    {"network disconnect", "[OPTIONS] NETWORK CONTAINER", "Take a container off a network",
     force_flags, run_disconnect, 2, 2, 0, "network"},
    {"network inspect", "[OPTIONS] NETWORK [NETWORK...]", "Show all there is to know of networks",
     inspect_flags, run_inspect, 1, COMMAND_MANY, 0, "network"},
    {"network ls", "[OPTIONS]", "List the networks", ls_flags, run_ls, 0, 0, 0, NULL},
    {"network prune", "[OPTIONS]", "Remove all networks nobody uses", prune_flags, run_prune, 0, 0,
     0, NULL},
    {"network rm", "NETWORK [NETWORK...]", "Remove networks", force_flags, run_rm, 1, COMMAND_MANY,
     0, "network"},
    {0},
};
