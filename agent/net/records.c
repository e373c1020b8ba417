#include "agent/net/records.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/endpoint.pb-c.h"
#include "proto/wire/overlay.pb-c.h"
#include "proto/wire/wire.h"

#define NO_VIP     "<nil>" // what stock nodes write for none
#define FIELDS_MAX 4096
#define DEPTH_MAX  4

void records_pack_endpoint(const struct records_endpoint *endpoint, struct buf *out)
{
    char vip[IPNET_TEXT_BYTES], ip[IPNET_TEXT_BYTES];
    Libnetwork__PortConfig ports[RECORDS_PORTS_MAX];
    Libnetwork__PortConfig *listed[RECORDS_PORTS_MAX];
    Libnetwork__EndpointRecord record = LIBNETWORK__ENDPOINT_RECORD__INIT;
    CHECK(endpoint->ports_count <= RECORDS_PORTS_MAX);
    record.name = str_or(endpoint->name, "");
    record.service_name = str_or(endpoint->service_name, "");
    record.service_id = str_or(endpoint->service_id, "");
    record.virtual_ip =
        ipnet_is_set(&endpoint->vip) ? ipnet_format_ip(&endpoint->vip, vip) : NO_VIP;
    record.endpoint_ip = ipnet_format_ip(&endpoint->ip, ip);
    for (size_t i = 0; i < endpoint->ports_count; i++) {
        const struct records_port *port = &endpoint->ports[i];
        libnetwork__port_config__init(&ports[i]);
        ports[i].name = str_or(port->name, "");
        ports[i].protocol = (Libnetwork__PortConfig__Protocol)port->protocol;
        ports[i].target_port = port->target;
        ports[i].published_port = port->published;
        listed[i] = &ports[i];
    }
    record.n_ingress_ports = endpoint->ports_count;
    record.ingress_ports = listed;
    record.n_aliases = endpoint->aliases_count;
    record.aliases = (const char **)(uintptr_t)endpoint->aliases;
    record.n_task_aliases = endpoint->task_aliases_count;
    record.task_aliases = (const char **)(uintptr_t)endpoint->task_aliases;
    record.service_disabled = endpoint->disabled;
    wire_pack(&record, out, NULL); // the buf remembers an overflow
}

void records_pack_peer(const struct overlay_peer *peer, struct buf *out)
{
    char ip[IPNET_TEXT_BYTES], mac[MAC_TEXT_BYTES], tunnel[IPNET_TEXT_BYTES];
    Overlay__PeerRecord record = OVERLAY__PEER_RECORD__INIT;
    record.endpoint_ip = ipnet_format(&peer->ip, ip);
    record.endpoint_mac = mac_format(peer->mac, mac);
    record.tunnel_endpoint_ip = ipnet_format_ip(&peer->tunnel, tunnel);
    wire_pack(&record, out, NULL);
}

static const struct wire_limits limits = {
    .bytes = RECORDS_BYTES_MAX, .fields = FIELDS_MAX, .depth = DEPTH_MAX};

static int parse_ports(const Libnetwork__EndpointRecord *record, struct arena *arena,
                       struct records_endpoint *out, struct err *err)
{
    struct records_port *ports =
        arena_alloc_array(arena, record->n_ingress_ports + 1, sizeof *ports);
    for (size_t i = 0; ports && i < record->n_ingress_ports; i++) {
        const Libnetwork__PortConfig *port = record->ingress_ports[i];
        if (port->protocol > 2 || port->target_port > UINT16_MAX ||
            port->published_port > UINT16_MAX)
            return err_set(err, ERR_INVALID_ARGUMENT, "endpoint record with a port that is none");
        ports[i] = (struct records_port){
            .name = port->name,
            .protocol = (uint8_t)port->protocol,
            .target = (uint16_t)port->target_port,
            .published = (uint16_t)port->published_port,
        };
    }
    out->ports = ports;
    out->ports_count = ports ? record->n_ingress_ports : 0;
    return 0;
}

int records_parse_endpoint(const void *bytes, size_t size, struct arena *arena,
                           struct records_endpoint *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    Libnetwork__EndpointRecord *record =
        wire_unpack(&libnetwork__endpoint_record__descriptor, bytes, size, &limits, arena, err);
    if (!record)
        return -ERR_INVALID_ARGUMENT;
    if (str_empty(record->name))
        return err_set(err, ERR_INVALID_ARGUMENT, "endpoint record without a name");
    if (!ipnet_parse(record->endpoint_ip, &out->ip) || !ipnet_is_unicast(&out->ip) ||
        strchr(record->endpoint_ip, '/'))
        return err_set(err, ERR_INVALID_ARGUMENT, "endpoint record without an address");
    if (record->n_aliases > RECORDS_NAMES_MAX || record->n_task_aliases > RECORDS_NAMES_MAX ||
        record->n_ingress_ports > RECORDS_PORTS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "endpoint record with too many names or ports");
    // Anything that is no address means that there is none.
    if (!ipnet_parse(record->virtual_ip, &out->vip) || !ipnet_is_unicast(&out->vip))
        out->vip = (struct ipnet){0};
    out->name = record->name;
    out->service_name = record->service_name;
    out->service_id = record->service_id;
    out->aliases = record->aliases;
    out->aliases_count = record->n_aliases;
    out->task_aliases = record->task_aliases;
    out->task_aliases_count = record->n_task_aliases;
    out->disabled = record->service_disabled;
    return parse_ports(record, arena, out, err);
}

int records_parse_peer(const void *bytes, size_t size, struct overlay_peer *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    Overlay__PeerRecord *record =
        wire_unpack(&overlay__peer_record__descriptor, bytes, size, &limits, NULL, err);
    if (!record)
        return -ERR_INVALID_ARGUMENT;
    bool good = ipnet_parse(record->endpoint_ip, &out->ip) && ipnet_is_unicast(&out->ip) &&
                strchr(record->endpoint_ip, '/') && mac_parse(record->endpoint_mac, out->mac) &&
                mac_is_unicast(out->mac) && ipnet_parse(record->tunnel_endpoint_ip, &out->tunnel) &&
                ipnet_is_unicast(&out->tunnel) && !strchr(record->tunnel_endpoint_ip, '/');
    wire_free(record);
    if (!good)
        return err_set(err, ERR_INVALID_ARGUMENT, "peer record with addresses that are none");
    return 0;
}
