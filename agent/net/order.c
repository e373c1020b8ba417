#include "agent/net/order.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define DNS_PORT       53
#define SHORT_ID_CHARS 12
#define OPTION_MAC     "com.docker.network.endpoint.macaddress"
#define NAMESERVER     "nameserver"
#define LINE_BYTES     256

static bool is_of_host(const Swarm__PortConfig *port)
{
    return port->publish_mode == SWARM__PORT_CONFIG__PUBLISH_MODE__HOST;
}

bool order_wants_sandbox(const Swarm__Task *task)
{
    if (task->n_networks == 0)
        return true;
    for (size_t i = 0; i < task->n_networks; i++)
        if (task->networks[i]->network && overlay_is(task->networks[i]->network))
            return true;
    return false;
}

bool order_server(const char *text, bool inside, struct feed_server *out)
{
    struct ipnet ip;
    if (!ipnet_parse(text, &ip) || strchr(text, '/'))
        return false;
    memset(out, 0, sizeof *out);
    out->ip.size = ip.size;
    memcpy(out->ip.bytes, ip.bytes, ip.size);
    out->port = DNS_PORT;
    out->inside = inside;
    return true;
}

// The host's name servers, asked from the host: also one on its loopback address answers there.
static void host_servers(const char *text, struct order *out)
{
    struct str_part line;
    while (text && out->servers_count < RESOLVER_UPSTREAMS_MAX && str_split(&text, '\n', &line)) {
        char copy[LINE_BYTES];
        line = str_trim(line);
        if (line.len >= sizeof copy || line.len <= strlen(NAMESERVER) ||
            memcmp(line.at, NAMESERVER, strlen(NAMESERVER)) != 0)
            continue;
        struct str_part word = {line.at + strlen(NAMESERVER), line.len - strlen(NAMESERVER)};
        word = str_trim(word);
        str_format(copy, sizeof copy, "%.*s", (int)word.len, word.at);
        copy[strcspn(copy, " \t#")] = '\0';
        if (order_server(copy, false, &out->servers[out->servers_count]))
            out->servers_count++;
    }
}

static void dns_of(const Swarm__ContainerSpec__DNSConfig *dns, const char *host_resolv,
                   struct order *out)
{
    for (size_t i = 0; dns && i < dns->n_nameservers; i++)
        if (out->servers_count < RESOLVER_UPSTREAMS_MAX &&
            order_server(dns->nameservers[i], true, &out->servers[out->servers_count]))
            out->servers_count++;
    if (!dns || !dns->n_nameservers)
        host_servers(host_resolv, out);
    if (!dns)
        return;
    out->search = dns->search;
    out->search_count = dns->n_search;
    for (size_t i = 0; i < dns->n_options; i++)
        out->ndots_set |= str_starts(dns->options[i], "ndots:");
}

static int address_of(const Swarm__NetworkAttachment *attachment, struct order_network *out,
                      struct err *err)
{
    const struct overlay_subnet *subnet = NULL;
    for (size_t i = 0; i < attachment->n_addresses && !subnet; i++)
        if (ipnet_parse(attachment->addresses[i], &out->ip) && out->ip.size == 4)
            subnet = overlay_subnet_of(&out->overlay, &out->ip);
    if (!subnet)
        return err_set(err, ERR_INVALID_ARGUMENT, "network %s: no address of it was assigned",
                       out->overlay.name);
    out->ip.prefix = subnet->subnet.prefix;
    mac_of_ip(&out->ip, out->mac);
    for (size_t i = 0; i < attachment->n_driver_attachment_opts; i++)
        if (str_equal(attachment->driver_attachment_opts[i]->key, OPTION_MAC) &&
            (!mac_parse(attachment->driver_attachment_opts[i]->value, out->mac) ||
             !mac_is_unicast(out->mac)))
            return err_set(err, ERR_INVALID_ARGUMENT, "network %s: the MAC address is none",
                           out->overlay.name);
    return 0;
}

static int network_of(const Swarm__Task *task, const Swarm__NetworkAttachment *attachment,
                      struct order_network *out, struct err *err)
{
    int rc = overlay_parse(attachment->network, &out->overlay, err);
    if (!rc)
        rc = address_of(attachment, out, err);
    if (rc)
        return rc;
    out->aliases = attachment->aliases;
    out->aliases_count = attachment->n_aliases;
    if (out->aliases_count > RECORDS_NAMES_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "network %s: too many aliases",
                       out->overlay.name);
    const Swarm__Endpoint *endpoint = task->endpoint;
    for (size_t i = 0; endpoint && i < endpoint->n_virtual_ips; i++) {
        struct ipnet vip;
        if (str_equal(endpoint->virtual_ips[i]->network_id, out->overlay.id) &&
            ipnet_parse(endpoint->virtual_ips[i]->addr, &vip) &&
            overlay_subnet_of(&out->overlay, &vip))
            out->vip = ipnet_host(&vip);
    }
    return 0;
}

static int ports_of(const Swarm__Task *task, struct arena *arena, struct order *out,
                    struct err *err)
{
    const Swarm__Endpoint *endpoint = task->endpoint;
    size_t most = endpoint ? endpoint->n_ports : 0;
    if (most > RECORDS_PORTS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "more than %d published ports",
                       RECORDS_PORTS_MAX);
    struct records_port *ports = arena_alloc_array(arena, most + 1, sizeof *ports);
    for (size_t i = 0; ports && i < most; i++) {
        const Swarm__PortConfig *port = endpoint->ports[i];
        if (port->publish_mode != SWARM__PORT_CONFIG__PUBLISH_MODE__INGRESS ||
            !port->published_port || port->published_port > UINT16_MAX ||
            port->target_port > UINT16_MAX || (unsigned)port->protocol > 2)
            continue;
        ports[out->ports_count++] = (struct records_port){
            .name = port->name,
            .protocol = (uint8_t)port->protocol,
            .target = (uint16_t)port->target_port,
            .published = (uint16_t)port->published_port,
        };
    }
    out->ports = ports;
    return 0;
}

// TCP, UDP and SCTP have other numbers in packets than in the API.
static int host_ports_of(const Swarm__Task *task, struct arena *arena, struct order *out,
                         struct err *err)
{
    static const uint8_t protocols[] = {6, 17, 132};
    const Swarm__Endpoint *endpoint = task->endpoint;
    size_t most = endpoint ? endpoint->n_ports : 0;
    bool leads = out->networks_count == 0;
    struct ports_row *rows = arena_alloc_array(arena, most + 1, sizeof *rows);
    for (size_t i = 0; i < out->networks_count; i++)
        leads |= !out->networks[i].overlay.internal;
    for (size_t i = 0; rows && i < most; i++) {
        const Swarm__PortConfig *port = endpoint->ports[i];
        if (!is_of_host(port))
            continue;
        if (!port->target_port || port->target_port > UINT16_MAX ||
            port->published_port > UINT16_MAX || (unsigned)port->protocol >= COUNT_OF(protocols))
            return err_set(err, ERR_INVALID_ARGUMENT, "port %u of the host to port %u is none",
                           port->published_port, port->target_port);
        if (!leads)
            return err_set(err, ERR_FAILED_PRECONDITION,
                           "port %u: ports in host mode need a network that is not internal",
                           port->published_port);
        rows[out->host_ports_count++] =
            (struct ports_row){.protocol = protocols[port->protocol],
                               .published = (uint16_t)port->published_port,
                               .target = (uint16_t)port->target_port,
                               .ip6 = true};
    }
    out->host_ports = rows;
    return 0;
}

int order_of_task(const Swarm__Task *task, const char *container_id, const char *name,
                  const char *host_resolv, struct arena *arena, struct order *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    if (task->n_networks > ORDER_NETWORKS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "more than %d networks", ORDER_NETWORKS_MAX);
    struct order_network *networks =
        arena_alloc_array(arena, task->n_networks + 1, sizeof *networks);
    const char **names = arena_alloc_array(arena, 2, sizeof *names);
    if (!networks || !names)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "the task's networks are too large");
    for (size_t i = 0; i < task->n_networks; i++) {
        const Swarm__NetworkAttachment *attachment = task->networks[i];
        if (!attachment->network || !overlay_is(attachment->network))
            return err_set(err, ERR_UNIMPLEMENTED,
                           "overlay networks together with others are not supported by this node");
        int rc = network_of(task, attachment, &networks[i], err);
        if (rc)
            return rc;
    }
    const Swarm__ContainerSpec *spec =
        task->spec->runtime_case == SWARM__TASK_SPEC__RUNTIME_CONTAINER ? task->spec->container
                                                                        : NULL;
    out->id = container_id;
    out->name = name;
    out->service_id = task->service_id;
    out->service_name = task->service_annotations ? task->service_annotations->name : NULL;
    names[out->names_count++] = arena_strndup(arena, container_id, SHORT_ID_CHARS);
    if (spec && !str_empty(spec->hostname))
        names[out->names_count++] = spec->hostname;
    out->names = names;
    out->networks = networks;
    out->networks_count = task->n_networks;
    out->swarm = true;
    dns_of(spec ? spec->dns_config : NULL, host_resolv, out);
    int rc = ports_of(task, arena, out, err);
    if (!rc)
        rc = host_ports_of(task, arena, out, err);
    if (!rc && arena_overflowed(arena))
        rc = err_set(err, ERR_RESOURCE_EXHAUSTED, "the task's networks are too large");
    return rc;
}

static const char *const *copy_texts(const char *const *texts, size_t count, struct arena *arena)
{
    const char **copy = arena_alloc_array(arena, count + 1, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++)
        copy[i] = arena_strdup(arena, str_or(texts[i], ""));
    return copy;
}

struct order *order_copy(const struct order *order, struct arena *arena)
{
    struct order *copy = arena_memdup(arena, order, sizeof *order);
    if (!copy)
        return NULL;
    copy->id = arena_strdup(arena, order->id);
    copy->name = arena_strdup(arena, str_or(order->name, ""));
    copy->service_id = arena_strdup(arena, str_or(order->service_id, ""));
    copy->service_name = arena_strdup(arena, str_or(order->service_name, ""));
    copy->names = copy_texts(order->names, order->names_count, arena);
    copy->search = copy_texts(order->search, order->search_count, arena);
    copy->share = order->share ? arena_strdup(arena, order->share) : NULL;
    copy->taken = copy_texts(order->taken, order->taken_count, arena);
    copy->also = copy_texts(order->also, order->also_count, arena);
    struct order_network *networks =
        arena_alloc_array(arena, order->networks_count + 1, sizeof *networks);
    for (size_t i = 0; networks && i < order->networks_count; i++) {
        networks[i] = order->networks[i];
        networks[i].aliases =
            copy_texts(order->networks[i].aliases, order->networks[i].aliases_count, arena);
        networks[i].names =
            copy_texts(order->networks[i].names, order->networks[i].names_count, arena);
    }
    copy->networks = networks;
    struct records_port *ports = arena_alloc_array(arena, order->ports_count + 1, sizeof *ports);
    for (size_t i = 0; ports && i < order->ports_count; i++) {
        ports[i] = order->ports[i];
        ports[i].name = arena_strdup(arena, str_or(order->ports[i].name, ""));
    }
    copy->ports = ports;
    copy->host_ports = order->host_ports_count
                           ? arena_memdup(arena, order->host_ports,
                                          order->host_ports_count * sizeof *order->host_ports)
                           : NULL;
    return arena_overflowed(arena) ? NULL : copy;
}
