#include "agent/engine/container_net_json.h"

#include <string.h>

#include "agent/crate/config.h"
#include "agent/net/local.h"
#include "agent/net/nets_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// ---- networks ----------------------------------------------------------------------------------

// What there is to say of a container on one network, wherever it comes from.
struct shown {
    const json_t *asked; // its EndpointSettings; may be NULL
    const char *network_id, *endpoint_id;
    const uint8_t *mac;             // NULL: it is not on it now, and has no addresses
    struct ipnet ip, ip6;           // with the prefix; none
    struct ipnet gateway, gateway6; // none: no way out by this network
    const char *fixed_ip;           // the address that the swarm gave it; NULL: asked for or not
    bool named;                     // its names are answered on this network
};

// Short enough to type, and a name on networks that users make.
#define SHORT_ID_CHARS 12

static void write_aliases(const struct crate *crate, const struct shown *shown, unsigned minor,
                          struct json_out *out)
{
    const json_t *aliases = config_of(shown->asked, "Aliases");
    // Since 1.45 the short id is among the DNS names alone.
    bool with_id = shown->named && minor < 45 && crate->started.ns;
    if (!minor || (!aliases && !with_id)) {
        json_out_null(out, "Aliases"); // lists do not show them
        return;
    }
    char id[SHORT_ID_CHARS + 1];
    str_format(id, sizeof id, "%.12s", crate->id);
    json_out_array(out, "Aliases");
    for (size_t i = 0; i < json_array_size(aliases); i++)
        json_out_str(out, NULL, str_or(json_string_value(json_array_get(aliases, i)), ""));
    if (with_id)
        json_out_str(out, NULL, id);
    json_out_end(out);
}

static void write_dns_names(const struct crate *crate, const struct shown *shown,
                            struct json_out *out)
{
    const json_t *aliases = config_of(shown->asked, "Aliases");
    const char *hostname = config_str(crate->config, "Hostname");
    char id[SHORT_ID_CHARS + 1];
    if (!shown->named) {
        json_out_null(out, "DNSNames");
        return;
    }
    str_format(id, sizeof id, "%.12s", crate->id);
    json_out_array(out, "DNSNames");
    json_out_str(out, NULL, crate->name);
    for (size_t i = 0; i < json_array_size(aliases); i++)
        json_out_str(out, NULL, str_or(json_string_value(json_array_get(aliases, i)), ""));
    json_out_str(out, NULL, id);
    if (!crate->task && !str_empty(hostname) && !str_equal(hostname, id))
        json_out_str(out, NULL, hostname);
    json_out_end(out);
}

// `minor` 0: in a list, which says less.
static void write_shown(const struct crate *crate, const char *name, const struct shown *shown,
                        unsigned minor, struct json_out *out)
{
    const json_t *ipam = config_of(shown->asked, "IPAMConfig");
    const json_t *options = config_of(shown->asked, "DriverOpts");
    char text[IPNET_TEXT_BYTES];
    json_out_object(out, name);
    if (shown->fixed_ip && !json_object_size(ipam)) {
        json_out_object(out, "IPAMConfig");
        json_out_str(out, "IPv4Address", shown->fixed_ip);
        json_out_end(out);
    } else if (ipam) {
        json_out_value(out, "IPAMConfig", ipam);
    } else {
        json_out_null(out, "IPAMConfig");
    }
    json_out_null(out, "Links");
    write_aliases(crate, shown, minor, out);
    json_out_str(out, "MacAddress", shown->mac ? mac_format(shown->mac, text) : "");
    if (options && minor)
        json_out_value(out, "DriverOpts", options);
    else
        json_out_null(out, "DriverOpts");
    if (minor >= 48)
        json_out_int(out, "GwPriority", 0);
    json_out_str(out, "NetworkID", str_or(shown->network_id, ""));
    json_out_str(out, "EndpointID", str_or(shown->endpoint_id, ""));
    json_out_str(out, "Gateway", ipnet_format_ip(&shown->gateway, text));
    json_out_str(out, "IPAddress", ipnet_format_ip(&shown->ip, text));
    json_out_int(out, "IPPrefixLen", shown->ip.prefix);
    json_out_str(out, "IPv6Gateway", ipnet_format_ip(&shown->gateway6, text));
    json_out_str(out, "GlobalIPv6Address", ipnet_format_ip(&shown->ip6, text));
    json_out_int(out, "GlobalIPv6PrefixLen", shown->ip6.prefix);
    if (minor >= 44)
        write_dns_names(crate, shown, out);
    json_out_end(out);
}

static void write_endpoint(const struct crate *crate, const char *name, unsigned minor,
                           struct json_out *out)
{
    const struct local_endpoint *endpoint;
    const struct local *local = crate_local(crate, name, &endpoint);
    struct shown shown = {.asked = config_of(crate->endpoints, name)};
    struct attachment_view shared;
    char fixed[IPNET_TEXT_BYTES], id[LOCAL_ID_BYTES];
    if (!local && crate_attachment(crate, name, &shared)) {
        shown.network_id = shared.network_id;
        shown.endpoint_id = shared.endpoint_id;
        shown.mac = shared.mac;
        shown.ip = shared.ip; // the way out is the gateway bridge's
        shown.fixed_ip = ipnet_format_ip(&shared.ip, fixed);
        shown.named = true;
    } else if (local) {
        // It is on no network yet before its first start.
        shown.network_id = crate->started.ns ? local->id : "";
        shown.named = !str_equal(local->name, LOCAL_DEFAULT);
        shown.endpoint_id = endpoint ? endpoint->id : "";
        if (endpoint) {
            shown.mac = endpoint->mac;
            shown.ip = endpoint->ip;
            shown.ip6 = endpoint->ip6;
            shown.gateway = local_gateway(local, &endpoint->ip);
            if (ipnet_is_set(&endpoint->ip6))
                shown.gateway6 = local_gateway(local, &endpoint->ip6);
        }
    } else if (str_equal(name, "host") || str_equal(name, "none")) {
        local_fixed_id(name, id);
        shown.network_id = crate->started.ns ? id : "";
        shown.endpoint_id = crate_running(crate) ? crate->id : "";
    }
    write_shown(crate, name, &shown, minor, out);
}

// ---- of tasks ----

struct task_network {
    const struct crate *crate;
    const char *id; // of the network looked for; NULL: the gateway bridge
    struct shown *shown;
};

static void find_end(void *owner, const struct nets_end *end)
{
    struct task_network *at = owner;
    if (at->id ? !str_equal(at->id, end->network_id) : end->network_id != NULL)
        return;
    at->shown->endpoint_id = end->endpoint_id;
    at->shown->mac = end->mac;
    at->shown->ip = *end->ip;
    at->shown->gateway = *end->gateway;
}

// What a task's container has on a network; on none of the swarm (`asked` NULL), what leads out is
// shown as what it is in stock engines: the default network.
static struct shown task_shown(const struct crate *crate, const char *name, const json_t *asked)
{
    const struct nets *nets = crates_nets(crate->crates);
    const struct local_endpoint *none;
    struct shown shown = {.asked = asked, .named = asked != NULL};
    struct task_network at = {crate, config_str(asked, "NetworkID"), &shown};
    shown.network_id = at.id;
    if (!asked) {
        const struct local *local = crate_local(crate, name, &none);
        shown.network_id = local ? local->id : "";
    }
    if (nets)
        nets_sandbox_ends(nets, crate->id, find_end, &at);
    return shown;
}

static void write_task_network(const struct crate *crate, const char *name, const json_t *asked,
                               unsigned minor, struct json_out *out)
{
    char id[LOCAL_ID_BYTES];
    struct shown shown = {.asked = asked, .named = asked != NULL};
    if (str_equal(name, "host")) {
        local_fixed_id(name, id);
        shown.network_id = id;
        shown.endpoint_id = crate_running(crate) ? crate->id : "";
    } else {
        shown = task_shown(crate, name, asked);
    }
    write_shown(crate, name, &shown, minor, out);
}

void container_write_networks(const struct crate *crate, unsigned minor, struct json_out *out)
{
    const char *first = crate_network(crate), *other;
    json_t *settings;
    json_out_object(out, "Networks");
    if (crate->task && json_object_size(crate->endpoints) == 0)
        write_task_network(crate, first, NULL, minor, out);
    else if (!crate->task && !str_starts(first, "container:"))
        write_endpoint(crate, first, minor, out);
    json_object_foreach(crate->endpoints, other, settings)
    {
        if (crate->task)
            write_task_network(crate, other, settings, minor, out);
        else if (crate_is_networked(crate) && !str_equal(other, first) &&
                 !str_equal(other, "default"))
            write_endpoint(crate, other, minor, out);
    }
    json_out_end(out);
}

static const struct {
    uint8_t number;
    const char *name;
} protocols[] = {{6, "tcp"}, {17, "udp"}, {132, "sctp"}};

static const char *protocol_name(uint8_t protocol)
{
    for (size_t i = 0; i < COUNT_OF(protocols); i++)
        if (protocols[i].number == protocol)
            return protocols[i].name;
    return "";
}

uint8_t container_protocol(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(protocols); i++)
        if (str_equal(protocols[i].name, name))
            return protocols[i].number;
    return 0;
}

// "80/tcp" of the Config, as a port of a running container that nobody published.
static bool read_exposed(const struct crate *crate, const char *key, struct ports_row *out)
{
    size_t count;
    const struct ports_row *ports = crate_ports(crate, &count);
    const char *slash = strchr(key, '/'), *mode = crate_network(crate);
    char port[8];
    uint64_t number;
    if (!crate_running(crate) || str_equal(mode, "host") || str_equal(mode, "none") ||
        str_starts(mode, "container:") || !slash ||
        !str_format(port, sizeof port, "%.*s", (int)(slash - key), key) ||
        !str_to_u64(port, UINT16_MAX, &number))
        return false;
    *out =
        (struct ports_row){.protocol = container_protocol(slash + 1), .target = (uint16_t)number};
    for (size_t i = 0; i < count; i++)
        if (ports[i].protocol == out->protocol && ports[i].target == out->target)
            return false;
    return out->protocol != 0;
}

// The addresses of the host at which a port answers, as people know them. How many.
static size_t hosts_of(const struct ports_row *row, struct ipnet out[2])
{
    struct ipnet six = {.size = 16, .prefix = 128};
    memcpy(six.bytes, row->host6, sizeof six.bytes);
    out[0] = row->only6 ? six : ipnet_of_u32(row->host, 32);
    out[1] = six;
    return row->answers6 ? 2 : 1;
}

// The published ports, a list of where for each: {"80/tcp": [{"HostIp", "HostPort"}]}; null for
// what is only exposed.
static void write_ports(const struct crate *crate, struct json_out *out)
{
    size_t count;
    const char *exposed;
    json_t *value;
    struct ports_row shown;
    const struct ports_row *ports = crate_ports(crate, &count);
    json_out_object(out, "Ports");
    for (size_t i = 0; i < count; i++) {
        const struct ports_row *row = &ports[i];
        char key[24], text[IPNET_TEXT_BYTES];
        bool before = false;
        for (size_t k = 0; k < i; k++)
            before |= ports[k].protocol == row->protocol && ports[k].target == row->target;
        if (before)
            continue;
        str_format(key, sizeof key, "%u/%s", row->target, protocol_name(row->protocol));
        json_out_array(out, key);
        for (size_t k = i; k < count; k++) {
            const struct ports_row *it = &ports[k];
            if (it->protocol != row->protocol || it->target != row->target)
                continue;
            struct ipnet hosts[2];
            size_t hosts_count = hosts_of(it, hosts);
            str_format(key, sizeof key, "%u", it->published);
            for (size_t h = 0; h < hosts_count; h++) {
                json_out_object(out, NULL);
                json_out_str(out, "HostIp", ipnet_format_ip(&hosts[h], text));
                json_out_str(out, "HostPort", key);
                json_out_end(out);
            }
        }
        json_out_end(out);
    }
    json_object_foreach(json_object_get(crate->config, "ExposedPorts"), exposed, value)
    {
        if (read_exposed(crate, exposed, &shown))
            json_out_null(out, exposed);
    }
    json_out_end(out);
}

// The same as `docker ps` wants it.
void container_write_port_list(const struct crate *crate, struct json_out *out)
{
    size_t count;
    const char *exposed;
    json_t *value;
    struct ports_row shown;
    const struct ports_row *ports = crate_ports(crate, &count);
    json_out_array(out, "Ports");
    for (size_t i = 0; i < count; i++) {
        const struct ports_row *row = &ports[i];
        struct ipnet hosts[2];
        size_t hosts_count = hosts_of(row, hosts);
        char text[IPNET_TEXT_BYTES];
        for (size_t h = 0; h < hosts_count; h++) {
            json_out_object(out, NULL);
            json_out_str(out, "IP", ipnet_format_ip(&hosts[h], text));
            json_out_uint(out, "PrivatePort", row->target);
            json_out_uint(out, "PublicPort", row->published);
            json_out_str(out, "Type", protocol_name(row->protocol));
            json_out_end(out);
        }
    }
    json_object_foreach(json_object_get(crate->config, "ExposedPorts"), exposed, value)
    {
        if (!read_exposed(crate, exposed, &shown))
            continue;
        json_out_object(out, NULL);
        json_out_uint(out, "PrivatePort", shown.target);
        json_out_str(out, "Type", protocol_name(shown.protocol));
        json_out_end(out);
    }
    json_out_end(out);
}

// What it has on the default network.
static struct shown default_shown(const struct crate *crate)
{
    struct shown shown = {0};
    const struct local_endpoint *endpoint;
    const struct local *local = crate_local(crate, LOCAL_DEFAULT, &endpoint);
    if (crate->task)
        return json_object_size(crate->endpoints) ? shown : task_shown(crate, LOCAL_DEFAULT, NULL);
    if (endpoint) {
        shown.endpoint_id = endpoint->id;
        shown.mac = endpoint->mac;
        shown.ip = endpoint->ip;
        shown.gateway = local->gateway;
    }
    return shown;
}

void container_write_network_settings(const struct crate *crate, unsigned minor,
                                      struct json_out *out)
{
    // The first members repeat what the default network says, as ever.
    const struct shown shown = default_shown(crate);
    char text[IPNET_TEXT_BYTES], sandbox[CRATE_SANDBOX_BYTES];
    crate_sandbox_key(crate, sandbox);
    json_out_object(out, "NetworkSettings");
    json_out_str(out, "Bridge", "");
    // A sandbox is one container's here, and has its id.
    json_out_str(out, "SandboxID", *sandbox ? crate->id : "");
    json_out_str(out, "SandboxKey", sandbox);
    write_ports(crate, out);
    json_out_bool(out, "HairpinMode", false);
    json_out_str(out, "LinkLocalIPv6Address", "");
    json_out_int(out, "LinkLocalIPv6PrefixLen", 0);
    json_out_null(out, "SecondaryIPAddresses");
    json_out_null(out, "SecondaryIPv6Addresses");
    json_out_str(out, "EndpointID", str_or(shown.endpoint_id, ""));
    json_out_str(out, "Gateway", ipnet_format_ip(&shown.gateway, text));
    json_out_str(out, "GlobalIPv6Address", "");
    json_out_int(out, "GlobalIPv6PrefixLen", 0);
    json_out_str(out, "IPAddress", ipnet_format_ip(&shown.ip, text));
    json_out_int(out, "IPPrefixLen", shown.ip.prefix);
    json_out_str(out, "IPv6Gateway", "");
    json_out_str(out, "MacAddress", shown.mac ? mac_format(shown.mac, text) : "");
    container_write_networks(crate, minor, out);
    json_out_end(out);
}
