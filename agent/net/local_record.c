// A local network as JSON: the Docker network object, and its record on disk.
#include <stdlib.h>
#include <string.h>

#include "agent/net/local.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

static const char *text_of(const json_t *object, const char *key)
{
    return str_or(json_string_value(json_object_get(object, key)), "");
}

// As they were asked for, with their names.
static void write_aux(const struct local *local, const struct ipnet *subnet, struct json_out *out)
{
    const json_t *asked = json_object_get(local->asked, "Pools");
    for (size_t i = 0; i < json_array_size(asked); i++) {
        const json_t *pool = json_array_get(asked, i);
        const json_t *aux = json_object_get(pool, "AuxiliaryAddresses");
        struct ipnet ip;
        if (json_object_size(aux) && ipnet_parse(text_of(pool, "Subnet"), &ip) &&
            ipnet_contains(subnet, &ip))
            json_out_value(out, "AuxiliaryAddresses", aux);
    }
}

static void write_pool(const struct local *local, struct json_out *out)
{
    char text[IPNET_TEXT_BYTES];
    json_out_object(out, "IPAM");
    json_out_str(out, "Driver", "default");
    json_out_value(out, "Options", json_object_get(local->asked, "IPAMOptions"));
    json_out_array(out, "Config");
    if (ipnet_is_set(&local->subnet)) {
        json_out_object(out, NULL);
        json_out_str(out, "Subnet", ipnet_format(&local->subnet, text));
        if (ipnet_is_set(&local->range))
            json_out_str(out, "IPRange", ipnet_format(&local->range, text));
        if (ipnet_is_set(&local->gateway))
            json_out_str(out, "Gateway", ipnet_format_ip(&local->gateway, text));
        write_aux(local, &local->subnet, out);
        json_out_end(out);
    }
    for (size_t i = 0; i < local->more_count; i++) {
        const struct local_pool *pool = &local->more[i];
        json_out_object(out, NULL);
        json_out_str(out, "Subnet", ipnet_format(&pool->subnet, text));
        if (ipnet_is_set(&pool->range))
            json_out_str(out, "IPRange", ipnet_format(&pool->range, text));
        json_out_str(out, "Gateway", ipnet_format_ip(&pool->gateway, text));
        write_aux(local, &pool->subnet, out);
        json_out_end(out);
    }
    json_out_end(out);
    json_out_end(out);
}

static void write_endpoints(const struct local *local, struct json_out *out)
{
    char text[IPNET_TEXT_BYTES];
    json_out_object(out, "Containers");
    for (size_t i = 0; i < local->endpoints_count; i++) {
        const struct local_endpoint *endpoint = &local->endpoints[i];
        json_out_object(out, endpoint->container);
        json_out_str(out, "Name", endpoint->name);
        json_out_str(out, "EndpointID", endpoint->id);
        json_out_str(out, "MacAddress", mac_format(endpoint->mac, text));
        json_out_str(out, "IPv4Address", ipnet_format(&endpoint->ip, text));
        json_out_str(out, "IPv6Address", ipnet_format(&endpoint->ip6, text));
        json_out_end(out);
    }
    json_out_end(out);
}

static void write_members(const struct local *local, bool inside, struct json_out *out)
{
    char text[WALL_TEXT_BYTES];
    json_out_str(out, "Name", local->name);
    json_out_str(out, "Id", local->id);
    json_out_str(out, "Created", wall_format(local->created, text));
    json_out_str(out, "Scope", "local");
    json_out_str(out, "Driver", local_driver_name(local->driver));
    json_out_bool(out, "EnableIPv6", local->six);
    write_pool(local, out);
    json_out_bool(out, "Internal", local->internal);
    json_out_bool(out, "Attachable", false);
    json_out_bool(out, "Ingress", false);
    json_out_object(out, "ConfigFrom");
    json_out_str(out, "Network", local->from);
    json_out_end(out);
    json_out_bool(out, "ConfigOnly", local->driver == LOCAL_CONFIG);
    if (inside) {
        write_endpoints(local, out);
    } else {
        json_out_object(out, "Containers");
        json_out_end(out);
    }
    json_out_value(out, "Options", json_object_get(local->asked, "Options"));
    json_out_value(out, "Labels", json_object_get(local->asked, "Labels"));
}

void local_write(const struct local *local, bool inside, struct json_out *out)
{
    json_out_object(out, NULL);
    write_members(local, inside, out);
    json_out_end(out);
}

void local_record(const struct local *local, struct json_out *out)
{
    json_out_object(out, NULL);
    write_members(local, true, out);
    json_out_object(out, "Skep");
    json_out_array(out, "Endpoints");
    for (size_t i = 0; i < local->endpoints_count; i++) {
        const struct local_endpoint *endpoint = &local->endpoints[i];
        json_out_object(out, NULL);
        json_out_str(out, "Container", endpoint->container);
        json_out_str(out, "Interface", endpoint->eth);
        if (endpoint->names)
            json_out_value(out, "Names", endpoint->names);
        json_out_array(out, "Ports");
        for (size_t k = 0; k < endpoint->ports_count; k++) {
            const struct ports_row *row = &endpoint->ports[k];
            json_out_array(out, NULL);
            json_out_uint(out, NULL, row->protocol);
            json_out_uint(out, NULL, row->host);
            json_out_uint(out, NULL, row->published);
            json_out_uint(out, NULL, row->target);
            json_out_uint(out, NULL, row->ip6);
            if (row->only6) {
                struct ipnet host = {.size = 16, .prefix = 128};
                char at[IPNET_TEXT_BYTES];
                memcpy(host.bytes, row->host6, sizeof host.bytes);
                json_out_str(out, NULL, ipnet_format_ip(&host, at));
            }
            json_out_end(out);
        }
        json_out_end(out);
        json_out_end(out);
    }
    json_out_end(out);
    json_out_end(out);
    json_out_end(out);
}

static bool read_ports(struct local_endpoint *endpoint, const json_t *ports)
{
    size_t count = json_array_size(ports);
    endpoint->ports = mem_alloc_array(count, sizeof *endpoint->ports);
    for (size_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(ports, i);
        json_int_t values[5]; // the last may be missing: 0 then
        for (size_t k = 0; k < COUNT_OF(values); k++)
            values[k] = json_integer_value(json_array_get(row, k));
        if ((values[0] != 6 && values[0] != 17 && values[0] != 132) || values[1] < 0 ||
            values[1] > UINT32_MAX || values[2] < 1 || values[2] > 65535 || values[3] < 1 ||
            values[3] > 65535)
            return false;
        endpoint->ports[endpoint->ports_count++] =
            (struct ports_row){.protocol = (uint8_t)values[0],
                               .host = (uint32_t)values[1],
                               .published = (uint16_t)values[2],
                               .address = ipnet_u32(&endpoint->ip),
                               .target = (uint16_t)values[3],
                               .ip6 = values[4] != 0};
        const char *at = json_string_value(json_array_get(row, 5)); // of one IPv6 address
        struct ipnet host;
        struct ports_row *made = &endpoint->ports[endpoint->ports_count - 1];
        if (at && (!ipnet_parse(at, &host) || host.size != 16))
            return false;
        made->only6 = at != NULL;
        if (at)
            memcpy(made->host6, host.bytes, sizeof made->host6);
    }
    return true;
}

static bool read_endpoint(struct local *local, const json_t *containers, const json_t *extra)
{
    const char *container = text_of(extra, "Container");
    const json_t *shown = json_object_get(containers, container);
    struct ipnet ip;
    uint8_t mac[MAC_BYTES];
    if (str_empty(container) || strlen(container) >= LOCAL_ID_BYTES ||
        !ipnet_parse(text_of(shown, "IPv4Address"), &ip) ||
        !mac_parse(text_of(shown, "MacAddress"), mac))
        return false;
    struct local_endpoint *endpoint =
        local_attach(local, container, text_of(shown, "Name"), &ip, mac, NULL);
    if (endpoint && ipnet_parse(text_of(shown, "IPv6Address"), &ip) &&
        local_attach6(local, endpoint, &ip, NULL))
        return false;
    json_t *names = json_object_get(extra, "Names");
    if (endpoint && json_is_object(names))
        endpoint->names = json_deep_copy(names);
    return endpoint && str_copy(endpoint->id, sizeof endpoint->id, text_of(shown, "EndpointID")) &&
           str_copy(endpoint->eth, sizeof endpoint->eth, text_of(extra, "Interface")) &&
           read_ports(endpoint, json_object_get(extra, "Ports"));
}

struct local *local_of_record(const json_t *record, struct err *err)
{
    const char *id = text_of(record, "Id");
    struct wall created;
    if (strlen(id) != LOCAL_ID_BYTES - 1 ||
        wall_parse(text_of(record, "Created"), &created, NULL) != 0) {
        err_set(err, ERR_DATA_LOSS, "not the record of a network");
        return NULL;
    }
    struct local *local = local_of_body(record, id, created, err);
    if (!local)
        return NULL;
    const json_t *extra = json_object_get(json_object_get(record, "Skep"), "Endpoints");
    const json_t *containers = json_object_get(record, "Containers");
    bool good = local->driver == LOCAL_CONFIG ||
                (ipnet_is_set(&local->subnet) && ipnet_is_set(&local->gateway));
    for (size_t i = 0; i < json_array_size(extra) && good; i++)
        good = read_endpoint(local, containers, json_array_get(extra, i));
    if (good)
        return local;
    local_free(local);
    err_set(err, ERR_DATA_LOSS, "the record of network %.12s makes no sense", id);
    return NULL;
}
