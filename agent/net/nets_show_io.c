// The swarm's networks as this node sees them, for people: who is on them here, which nodes, and
// which services they lead to.
#include <stdlib.h>
#include <string.h>

#include "agent/net/nets_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

#define FIRST_INDEX     256 // of services, as stock engines count them
#define NAME_BYTES      (OVERLAY_NAME_BYTES + 16)
#define NODE_BYTES_MAX  (8u << 20)
#define NODE_FIELDS_MAX (1u << 18)
#define NODE_DEPTH_MAX  16

// ---- what happens -------------------------------------------------------------------------------

void nets_listen(struct nets *nets, net_told *told, void *owner)
{
    nets->told = told;
    nets->told_owner = owner;
}

void nets_tell(const struct nets *nets, const char *action, const struct overlay *overlay,
               const char *container)
{
    const struct net_event event = {action, overlay->id, overlay->name, "overlay", container};
    if (nets->told)
        nets->told(nets->told_owner, &event);
}

void nets_tell_box(const struct box *box, const char *action)
{
    for (size_t i = 0; i < box->order->networks_count; i++)
        if (strcmp(box->id, NETS_INGRESS_BOX) != 0)
            nets_tell(box->nets, action, &box->order->networks[i].overlay, box->id);
}

// ---- what the manager said of this node ---------------------------------------------------------

void nets_keep_node(struct nets *nets, const Swarm__Node *node)
{
    struct err err = ERR_INIT;
    struct buf packed;
    buf_init(&packed, NODE_BYTES_MAX);
    if (node)
        (void)wire_pack(node, &packed, &err);
    bool good = buf_ok(&packed) && !err.code;
    free(nets->node);
    nets->node = good && packed.len ? mem_dup(packed.data, packed.len) : NULL;
    nets->node_bytes = nets->node ? packed.len : 0;
    buf_fini(&packed);
}

void nets_networks(const struct nets *nets, void (*visit)(void *owner, const Swarm__Network *it),
                   void *owner)
{
    static const struct wire_limits limits = {
        .bytes = NODE_BYTES_MAX, .fields = NODE_FIELDS_MAX, .depth = NODE_DEPTH_MAX};
    struct arena arena;
    if (!nets->node_bytes)
        return;
    arena_init(&arena, 4 * NODE_BYTES_MAX);
    const Swarm__Node *node =
        wire_unpack(&swarm__node__descriptor, nets->node, nets->node_bytes, &limits, &arena, NULL);
    for (size_t i = 0; node && i < node->n_attachments; i++)
        if (node->attachments[i]->network && node->attachments[i]->network->spec)
            visit(owner, node->attachments[i]->network);
    if (node && !node->n_attachments && node->attachment && node->attachment->network &&
        node->attachment->network->spec)
        visit(owner, node->attachment->network);
    arena_fini(&arena);
}

// ---- containers ---------------------------------------------------------------------------------

static void write_endpoint(struct json_out *out, const char *key, const char *name,
                           const char *endpoint, const uint8_t *mac, const struct ipnet *ip)
{
    char text[IPNET_TEXT_BYTES], mac_text[MAC_TEXT_BYTES];
    json_out_object(out, key);
    json_out_str(out, "Name", name);
    json_out_str(out, "EndpointID", endpoint);
    json_out_str(out, "MacAddress", mac_format(mac, mac_text));
    json_out_str(out, "IPv4Address", ip->size == 4 ? ipnet_format(ip, text) : "");
    json_out_str(out, "IPv6Address", ip->size == 16 ? ipnet_format(ip, text) : "");
    json_out_end(out);
}

static bool is_ingress_box(const struct box *box)
{
    return strcmp(box->id, NETS_INGRESS_BOX) == 0;
}

static void write_containers(const struct nets *nets, const struct net *net, struct json_out *out)
{
    char key[NAME_BYTES], name[NAME_BYTES], endpoint[SANDBOX_ENDPOINT_BYTES];
    uint8_t mac[MAC_BYTES];
    json_out_object(out, "Containers");
    MAP_EACH (entry, &nets->boxes) {
        const struct box *box = entry->value;
        for (size_t i = 0; i < box->ends_count && nets_box_live(box); i++) {
            const struct sandbox_end *end = &box->ends[i];
            if (end->overlay && !is_ingress_box(box) &&
                strcmp(end->overlay->id, net->overlay.id) == 0)
                write_endpoint(out, box->id, box->order->name, end->endpoint, end->mac, &end->ip);
        }
    }
    // This node's own address, which stock engines balance from.
    if (ipnet_is_set(&net->lb)) {
        (void)str_format(key, sizeof key, "lb-%s", net->overlay.name);
        (void)str_format(name, sizeof name, "%s-endpoint", net->overlay.name);
        sandbox_endpoint_id(key, net->overlay.id, "", endpoint);
        mac_of_ip(&net->lb, mac);
        write_endpoint(out, net->overlay.ingress ? "ingress-sbox" : key, name, endpoint, mac,
                       &net->lb);
    }
    json_out_end(out);
}

void nets_sandbox_ends(const struct nets *nets, const char *container_id,
                       void (*visit)(void *owner, const struct nets_end *end), void *owner)
{
    const struct box *box = map_get_str(&nets->boxes, container_id);
    for (size_t i = 0; box && i < box->ends_count && nets_box_live(box); i++) {
        const struct sandbox_end *end = &box->ends[i];
        const struct nets_end shown = {
            .network_id = end->overlay ? end->overlay->id : NULL,
            .network_name = end->overlay ? end->overlay->name : NULL,
            .endpoint_id = end->endpoint,
            .ip = &end->ip,
            .gateway = &end->gateway,
            .mac = end->mac,
        };
        visit(owner, &shown);
    }
}

// ---- nodes --------------------------------------------------------------------------------------

static const char *ip_of_site(const struct site *site, char out[IPNET_TEXT_BYTES])
{
    struct ipnet ip = {.size = site->ip_size, .prefix = (uint8_t)(site->ip_size * 8)};
    memcpy(ip.bytes, site->ip, site->ip_size);
    return ipnet_format_ip(&ip, out);
}

static void write_peer(void *ctx, const struct gossip_member *member)
{
    char text[IPNET_TEXT_BYTES];
    struct json_out *out = ctx;
    json_out_object(out, NULL);
    json_out_str(out, "Name", member->node);
    json_out_str(out, "IP", ip_of_site(member->site, text));
    json_out_end(out);
}

static void write_peers(const struct nets *nets, const struct net *net, struct json_out *out)
{
    json_out_array(out, "Peers");
    gossip_members(nets->gossip, net->overlay.id, write_peer, out);
    json_out_end(out);
}

// ---- services -----------------------------------------------------------------------------------

struct host_of {
    const char *node;
    char ip[IPNET_TEXT_BYTES];
};

static void find_host(void *ctx, const struct gossip_member *member)
{
    struct host_of *host = ctx;
    if (host->node ? strcmp(host->node, member->node) == 0 : member->self)
        (void)ip_of_site(member->site, host->ip);
}

static int by_service(const void *a, const void *b)
{
    const struct net_record *left = *(struct net_record *const *)a;
    const struct net_record *right = *(struct net_record *const *)b;
    int order = strcmp(left->endpoint.service_name, right->endpoint.service_name);
    return order ? order : strcmp(left->endpoint.name, right->endpoint.name);
}

static void write_task(const struct nets *nets, const struct net_record *record,
                       struct json_out *out)
{
    char text[IPNET_TEXT_BYTES];
    struct host_of host = {.node = record->node};
    gossip_members(nets->gossip, NULL, find_host, &host);
    json_out_object(out, NULL);
    json_out_str(out, "Name", record->endpoint.name);
    json_out_str(out, "EndpointID", record->key);
    json_out_str(out, "EndpointIP", ipnet_format_ip(&record->endpoint.ip, text));
    json_out_object(out, "Info");
    json_out_str(out, "Host IP", host.ip);
    json_out_end(out);
    json_out_end(out);
}

static void write_ports(const struct records_endpoint *endpoint, struct json_out *out)
{
    char text[64];
    json_out_array(out, "Ports");
    for (size_t i = 0; i < endpoint->ports_count; i++) {
        (void)str_format(text, sizeof text, "Target: %u, Publish: %u", endpoint->ports[i].target,
                         endpoint->ports[i].published);
        json_out_str(out, NULL, text);
    }
    json_out_end(out);
}

static void write_services(const struct nets *nets, const struct net *net, struct json_out *out)
{
    char text[IPNET_TEXT_BYTES];
    struct net_record **sorted =
        (struct net_record **)mem_alloc_array(net->records_count + 1, sizeof(struct net_record *));
    for (size_t i = 0; i < net->records_count; i++)
        sorted[i] = &net->records[i];
    qsort((void *)sorted, net->records_count, sizeof(struct net_record *), by_service);
    json_out_object(out, "Services");
    uint64_t index = FIRST_INDEX;
    for (size_t i = 0; i < net->records_count;) {
        const struct records_endpoint *first = &sorted[i]->endpoint;
        json_out_object(out, first->service_name);
        // Stock engines write this for services and containers without a virtual address.
        json_out_str(out, "VIP",
                     ipnet_is_set(&first->vip) ? ipnet_format_ip(&first->vip, text) : "<nil>");
        write_ports(first, out);
        json_out_uint(out, "LocalLBIndex", str_empty(first->service_name) ? 0 : index++);
        json_out_array(out, "Tasks");
        for (; i < net->records_count &&
               strcmp(sorted[i]->endpoint.service_name, first->service_name) == 0;
             i++)
            write_task(nets, sorted[i], out);
        json_out_end(out);
        json_out_end(out);
    }
    json_out_end(out);
    free((void *)sorted);
}

bool nets_write_use(const struct nets *nets, const char *network_id, bool verbose,
                    struct json_out *out)
{
    const struct net *net = map_get_str(&nets->nets, network_id);
    if (!net || !nets->gossip)
        return false;
    write_containers(nets, net, out);
    write_peers(nets, net, out);
    if (verbose && net->records_count > 0)
        write_services(nets, net, out);
    return true;
}

// ---- the gateway bridge -------------------------------------------------------------------------

static void gateway_id(char out[SANDBOX_ENDPOINT_BYTES])
{
    sandbox_endpoint_id(GATEWAY_BRIDGE, "network", "", out);
}

bool nets_has_gateway(const struct nets *nets)
{
    return nets->gateway_needed && ipnet_is_set(&nets->gateway.ip);
}

bool nets_is_gateway(const struct nets *nets, const char *name)
{
    char id[SANDBOX_ENDPOINT_BYTES];
    gateway_id(id);
    return nets_has_gateway(nets) &&
           (str_equal(name, NETS_GATEWAY) || (strlen(name) >= 3 && str_starts(id, name)));
}

static void write_gateway_pool(const struct nets *nets, struct json_out *out)
{
    char text[IPNET_TEXT_BYTES];
    json_out_object(out, "IPAM");
    json_out_str(out, "Driver", "default");
    json_out_null(out, "Options");
    json_out_array(out, "Config");
    struct ipnet subnet = ipnet_base(&nets->gateway.ip);
    json_out_object(out, NULL);
    json_out_str(out, "Subnet", ipnet_format(&subnet, text));
    json_out_str(out, "Gateway", ipnet_format_ip(&nets->gateway.ip, text));
    json_out_end(out);
    json_out_end(out);
    json_out_end(out);
}

static void write_gateway_containers(const struct nets *nets, struct json_out *out)
{
    char name[NAME_BYTES];
    MAP_EACH (entry, &nets->boxes) {
        const struct box *box = entry->value;
        const char *id = is_ingress_box(box) ? "ingress-sbox" : box->id;
        (void)str_format(name, sizeof name, "gateway_%.12s", id);
        for (size_t i = 0; i < box->ends_count && nets_box_live(box); i++)
            if (!box->ends[i].overlay)
                write_endpoint(out, id, name, box->ends[i].endpoint, box->ends[i].mac,
                               &box->ends[i].ip);
    }
}

void nets_write_gateway(const struct nets *nets, bool inside, struct json_out *out)
{
    char id[SANDBOX_ENDPOINT_BYTES], text[WALL_TEXT_BYTES];
    gateway_id(id);
    json_out_object(out, NULL);
    json_out_str(out, "Name", NETS_GATEWAY);
    json_out_str(out, "Id", id);
    json_out_str(out, "Created", wall_format(nets->began, text));
    json_out_str(out, "Scope", "local");
    json_out_str(out, "Driver", "bridge");
    json_out_bool(out, "EnableIPv6", false);
    write_gateway_pool(nets, out);
    json_out_bool(out, "Internal", false);
    json_out_bool(out, "Attachable", false);
    json_out_bool(out, "Ingress", false);
    json_out_object(out, "ConfigFrom");
    json_out_str(out, "Network", "");
    json_out_end(out);
    json_out_bool(out, "ConfigOnly", false);
    json_out_object(out, "Containers");
    if (inside)
        write_gateway_containers(nets, out);
    json_out_end(out);
    json_out_object(out, "Options");
    json_out_str(out, "com.docker.network.bridge.enable_icc", "false");
    json_out_str(out, "com.docker.network.bridge.enable_ip_masquerade", "true");
    json_out_str(out, "com.docker.network.bridge.name", GATEWAY_BRIDGE);
    json_out_end(out);
    json_out_object(out, "Labels");
    json_out_end(out);
    json_out_end(out);
}
