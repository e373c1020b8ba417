// The routing mesh, the guard of the data path port and IPsec, told what the networks come to.
#include <stdlib.h>
#include <string.h>

#include "agent/net/nets_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/entropy_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define ROWS_MAX 16384 // of nodes that tell us what they keep

// ---- the mesh -----------------------------------------------------------------------------------

static const struct net *ingress_of(const struct nets *nets)
{
    MAP_EACH (entry, &nets->nets) {
        const struct net *net = entry->value;
        if (net->overlay.ingress && ipnet_is_set(&net->lb))
            return net;
    }
    return NULL;
}

static uint8_t protocol_of(uint8_t wire)
{
    static const uint8_t numbers[] = {MESH_TCP, MESH_UDP, MESH_SCTP};
    return wire < COUNT_OF(numbers) ? numbers[wire] : 0;
}

// Ports that are fit to be published; to be freed.
static struct mesh_port *ports_of_rows(const struct records_port *ports, size_t count,
                                       size_t *out_count)
{
    struct mesh_port *out = mem_alloc_array(count, sizeof *out);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        struct mesh_port port = {protocol_of(ports[i].protocol), ports[i].published,
                                 ports[i].target};
        if (port.protocol && port.published && port.target)
            out[at++] = port;
    }
    *out_count = at;
    return out;
}

// A service goes by its id and its list of ports: with its ports changed it is another one.
static char *service_key(const struct records_endpoint *endpoint)
{
    struct buf key;
    buf_init(&key, 64u << 10);
    buf_put_str(&key, str_or(endpoint->service_id, endpoint->name));
    for (size_t i = 0; i < endpoint->ports_count; i++)
        buf_printf(&key, " %u:%u/%u", endpoint->ports[i].published, endpoint->ports[i].target,
                   endpoint->ports[i].protocol);
    char *text = str_dup(str_or(buf_cstr(&key), ""));
    buf_fini(&key);
    return text;
}

static void service_add(struct mesh_state_service *service, const struct net_record *record)
{
    struct mesh_state_backend backend = {.address = ipnet_u32(&record->endpoint.ip),
                                         .draining = record->endpoint.disabled,
                                         .node = record->node};
    if (backend.address == 0 || service->backends_count == MESH_BACKENDS_MAX)
        return;
    service->backends =
        mem_realloc((void *)service->backends, (service->backends_count + 1) * sizeof backend);
    ((struct mesh_state_backend *)service->backends)[service->backends_count++] = backend;
}

// The published services, from the records of the ingress network.
static struct mesh_state_service *services_of(const struct net *net, size_t *count)
{
    struct mesh_state_service *services = mem_alloc_array(net->records_count, sizeof *services);
    struct map by_key;
    size_t ports = 0;
    *count = 0;
    map_init(&by_key);
    for (size_t i = 0; i < net->records_count; i++) {
        const struct records_endpoint *endpoint = &net->records[i].endpoint;
        if (endpoint->ports_count == 0 || net->records[i].early)
            continue;
        char *key = service_key(endpoint);
        struct mesh_state_service *service = map_get_str(&by_key, key);
        // What is past the limit of ports is not published: rows come from others, too.
        if (!service && ports + endpoint->ports_count <= MESH_PORTS_MAX) {
            service = &services[(*count)++];
            service->ports =
                ports_of_rows(endpoint->ports, endpoint->ports_count, &service->ports_count);
            ports += service->ports_count;
            map_put_str(&by_key, key, service);
        }
        free(key);
        if (service)
            service_add(service, &net->records[i]);
    }
    map_fini(&by_key);
    return services;
}

// Where a sandbox meets the network; NULL when it does not.
static const struct sandbox_end *end_on(const struct box *box, const struct net *net)
{
    for (size_t i = 0; i < box->ends_count; i++)
        if (box->ends[i].overlay && strcmp(box->ends[i].overlay->id, net->overlay.id) == 0)
            return &box->ends[i];
    return NULL;
}

static struct mesh_task_place *tasks_of(const struct nets *nets, const struct net *net,
                                        size_t *count)
{
    struct mesh_task_place *tasks = mem_alloc_array(map_count(&nets->boxes), sizeof *tasks);
    *count = 0;
    MAP_EACH (entry, &nets->boxes) {
        const struct box *box = entry->value;
        const struct sandbox_end *end = end_on(box, net);
        if (box->state != BOX_MADE || !end || strcmp(box->id, NETS_INGRESS_BOX) == 0)
            continue;
        struct mesh_task_place *task = &tasks[(*count)++];
        task->id = box->id;
        task->netns = box->path;
        task->task.ingress_if = end->eth;
        task->task.address = ipnet_u32(&end->ip);
        task->task.ports =
            ports_of_rows(box->order->ports, box->order->ports_count, &task->task.ports_count);
    }
    return tasks;
}

struct rows {
    struct mesh_row *rows;
    size_t count, cap;
};

// The row stays where it is until gossip is told something, which is after mesh_set.
static void on_mesh_row(void *ctx, const struct gossip_row *row)
{
    struct rows *rows = ctx;
    if (row->own || rows->count == ROWS_MAX)
        return;
    if (rows->count == rows->cap) {
        rows->cap = rows->cap ? 2 * rows->cap : 16;
        rows->rows = mem_realloc(rows->rows, rows->cap * sizeof *rows->rows);
    }
    rows->rows[rows->count++] = (struct mesh_row){row->node, row->value, row->value_size};
}

static void set_sandbox(const struct nets *nets, const struct net *net, const struct box *box,
                        struct mesh_state *state)
{
    const struct overlay_subnet *subnet = overlay_subnet_of(&net->overlay, &net->lb);
    const struct sandbox_end *gateway = &box->ends[box->ends_count - 1];
    state->host.gateway_if = GATEWAY_BRIDGE;
    state->host.sandbox_address = ipnet_u32(&box->gateway);
    state->sandbox_netns = box->path;
    state->sandbox.ingress_if = box->ends[0].eth;
    state->sandbox.gateway_if = gateway->eth;
    state->sandbox.address = ipnet_u32(&net->lb);
    state->sandbox.ingress_subnet = subnet ? ipnet_u32(&subnet->subnet) : ipnet_u32(&net->lb);
    state->sandbox.ingress_prefix = subnet ? subnet->subnet.prefix : 32;
    state->sandbox.gateway_subnet = ipnet_u32(&nets->gateway.ip);
    state->sandbox.gateway_prefix = nets->gateway.ip.prefix;
}

static void set_mesh(struct nets *nets)
{
    struct mesh_state state = {0};
    struct rows rows = {0};
    struct err err = ERR_INIT;
    struct mesh_state_service *services = NULL;
    struct mesh_task_place *tasks = NULL;
    const struct net *net = ingress_of(nets);
    const struct box *box = map_get_str(&nets->boxes, NETS_INGRESS_BOX);
    if (net && box && box->state == BOX_MADE && ipnet_is_set(&box->gateway) && end_on(box, net)) {
        set_sandbox(nets, net, box, &state);
        state.partial = nets_holds(nets, net);
        state.services = services = services_of(net, &state.services_count);
        state.tasks = tasks = tasks_of(nets, net, &state.tasks_count);
        if (net->joined)
            gossip_rows(nets->gossip, net->overlay.id, MESH_NODES_TABLE, on_mesh_row, &rows);
        state.rows = rows.rows;
        state.rows_count = rows.count;
    }
    if (mesh_set(nets->mesh, &state, &err))
        log_warn("ports cannot be published", "err=\"%s\"", err.message);
    for (size_t i = 0; i < state.services_count; i++) {
        free((void *)services[i].ports);
        free((void *)services[i].backends);
    }
    for (size_t i = 0; i < state.tasks_count; i++)
        free((void *)tasks[i].task.ports);
    free(services);
    free(tasks);
    free(rows.rows);
}

// Tells what this node keeps, as soon as the network's gossip is there to tell it.
static void publish_mesh(struct nets *nets)
{
    const struct net *net = ingress_of(nets);
    struct err err = ERR_INIT;
    if (!nets->gossip || !net || !net->joined)
        return;
    if (!nets->mesh_row_set)
        gossip_row_remove(nets->gossip, net->overlay.id, MESH_NODES_TABLE,
                          gossip_name(nets->gossip));
    else if (gossip_row_put(nets->gossip, net->overlay.id, MESH_NODES_TABLE,
                            gossip_name(nets->gossip), nets->mesh_row, sizeof nets->mesh_row, &err))
        log_warn("others are not told that clients' addresses are kept", "err=\"%s\"", err.message);
}

static void on_mesh_publish(void *owner, const uint8_t *record, size_t size)
{
    struct nets *nets = owner;
    CHECK(!record || size == sizeof nets->mesh_row);
    nets->mesh_row_set = record != NULL;
    if (record)
        memcpy(nets->mesh_row, record, size);
    publish_mesh(nets);
}

static void on_mesh_settled(void *owner, const struct err *err)
{
    (void)owner;
    if (err)
        log_warn("routing mesh is not as it should be", "err=\"%s\"", err->message);
}

// ---- the guard and IPsec ------------------------------------------------------------------------

struct addresses {
    uint32_t *list;
    size_t count, cap;
};

static void address_add(struct addresses *addresses, const struct ipnet *ip)
{
    uint32_t address = ipnet_u32(ip);
    if (address == 0)
        return;
    if (addresses->count == addresses->cap) {
        addresses->cap = addresses->cap ? 2 * addresses->cap : 64;
        addresses->list = mem_realloc(addresses->list, addresses->cap * sizeof *addresses->list);
    }
    addresses->list[addresses->count++] = address;
}

static void on_member(void *ctx, const struct gossip_member *member)
{
    struct ipnet ip = {.size = member->site->ip_size, .prefix = 32};
    memcpy(ip.bytes, member->site->ip, sizeof ip.bytes);
    if (ip.size == 4)
        address_add(ctx, &ip);
}

static void add_peers(struct addresses *addresses, const struct net *net)
{
    size_t count;
    const struct overlay_peer *peers = tunnels_list(net->peers, &count);
    for (size_t i = 0; i < count; i++)
        address_add(addresses, &peers[i].tunnel);
}

// After a restart the members that the life before knew stay until gossip had time to say who is
// one: a table made of what is known in the first moment would drop what they send.
static bool is_taking_over(const struct nets *nets)
{
    bool holds = false;
    MAP_EACH (entry, &nets->nets)
        holds |= nets_holds(nets, entry->value);
    return holds;
}

// Members are the live nodes, and where endpoints of theirs say that tunnels end.
static void set_guard(struct nets *nets)
{
    struct addresses members = {0}, sealed = {0}, peers = {0};
    bool needed = false;
    MAP_EACH (entry, &nets->nets) {
        const struct net *net = entry->value;
        needed |= net->boxes > 0;
        add_peers(&members, net);
        if (!net->overlay.encrypted)
            continue;
        add_peers(&peers, net);
        for (size_t i = 0; i < net->overlay.subnets_count; i++) {
            struct ipnet vni = ipnet_of_u32(net->overlay.subnets[i].vni, 32);
            address_add(&sealed, &vni);
        }
    }
    if (nets->gossip)
        gossip_members(nets->gossip, NULL, on_member, &members);
    address_add(&members, &nets->tunnel);
    members.count = mesh_sort(members.list, members.count);
    sealed.count = mesh_sort(sealed.list, sealed.count);
    peers.count = mesh_sort(peers.list, peers.count);
    if (needed) {
        const struct guard guard = {.port = nets->port,
                                    .members = members.list,
                                    .members_count = members.count,
                                    .sealed = sealed.list,
                                    .sealed_count = sealed.count};
        if (is_taking_over(nets))
            tables_want_more(nets->guard, guard_table(&guard));
        else
            tables_want(nets->guard, guard_table(&guard));
    } else if (nets->guarded) {
        tables_drop(nets->guard, "ip", GUARD_TABLE);
    }
    nets->guarded = needed;
    // Once there was an encrypted network, what is marked stays blocked or sealed.
    nets->sealed |= sealed.count > 0;
    uint32_t own = ipnet_u32(&nets->tunnel);
    const struct ipsec_local local = {own, own, nets->port};
    if (nets->sealed && own)
        ipsec_set(nets->ipsec, &local, peers.list, peers.count);
    free(members.list);
    free(sealed.list);
    free(peers.list);
}

// The rules of the gateway bridge keep containers apart, so they stand before the first of them is
// on it, and come back at once when others flush them.
static void set_gateway(struct nets *nets)
{
    bool needed = false;
    MAP_EACH (entry, &nets->boxes) {
        const struct box *box = entry->value;
        needed |= nets_box_live(box) && ipnet_is_set(&box->gateway);
    }
    if (needed)
        tables_want(nets->guard, gateway_table(&nets->gateway));
    else if (nets_is_strict(nets) && nets->gateway_rules != RULES_GONE)
        tables_drop(nets->guard, "ip", GATEWAY_TABLE);
    else
        return;
    nets->gateway_rules = needed ? RULES_WANTED : RULES_GONE;
}

static void on_guard_settled(void *owner, const struct err *err)
{
    if (err)
        log_warn("host is not guarded", "err=\"%s\"", err->message);
    nets_kick_job(owner);
}

static void on_guard_repaired(void *owner, const char *table)
{
    struct nets *nets = owner;
    nets->counts.repairs++;
    log_warn("packet filter changed by others, repaired", "table=%s", table);
}

static void on_ipsec_settled(void *owner, const struct err *err)
{
    if (err)
        log_warn("encryption is not as it should be", "err=\"%s\"", err->message);
    nets_kick_job(owner);
}

static void on_ipsec_probed(void *owner)
{
    nets_boxes_go_on(owner);
}

bool nets_mesh_unguarded(const struct nets *nets)
{
    return ((nets->sealed || nets->gateway_rules == RULES_WANTED) && tables_busy(nets->guard)) ||
           (nets->sealed && ipsec_busy(nets->ipsec));
}

int nets_mesh_can_encrypt(struct nets *nets, const char *network, bool *known, struct err *err)
{
    struct err why = ERR_INIT;
    enum ipsec_able able = ipsec_able(nets->ipsec, &why);
    *known = able != IPSEC_UNKNOWN;
    if (able == IPSEC_UNABLE)
        return err_set(err, ERR_FAILED_PRECONDITION, "network %s is encrypted, and %s", network,
                       why.message);
    if (ipnet_u32(&nets->tunnel) == 0)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "network %s is encrypted, which is done between IPv4 addresses alone",
                       network);
    if (!ipsec_has_keys(nets->ipsec))
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "network %s is encrypted, and the manager gave no keys for it", network);
    return 0;
}

// ---- life ---------------------------------------------------------------------------------------

void nets_mesh_keys(struct nets *nets, const Swarm__SessionMessage *message)
{
    struct err err = ERR_INIT;
    if (ipsec_take_keys(nets->ipsec, message->network_bootstrap_keys,
                        message->n_network_bootstrap_keys, &err) &&
        err.code != ERR_FAILED_PRECONDITION)
        log_warn("IPsec keys cannot be used", "err=\"%s\"", err.message);
}

void nets_mesh_go_on(struct nets *nets)
{
    set_gateway(nets);
    // At a restart all stays as it is: the next life takes it over.
    if (!nets->in_swarm && !nets->leaving)
        return;
    set_guard(nets);
    set_mesh(nets);
    publish_mesh(nets);
}

int nets_mesh_open(struct nets *nets, struct err *err)
{
    uint32_t life;
    entropy_bytes(&life, sizeof life);
    struct tables_config guard = {.loop = nets->loop,
                                  .netns_fd = NFT_NETNS_OWN,
                                  .watch = true,
                                  .settled = on_guard_settled,
                                  .repaired = on_guard_repaired,
                                  .owner = nets};
    struct mesh_config mesh = {.loop = nets->loop,
                               .relays = nets->relays,
                               .life = life,
                               .publish = on_mesh_publish,
                               .settled = on_mesh_settled,
                               .owner = nets};
    nets->guard = tables_open(&guard, err);
    if (!nets->guard)
        return -(int)err->code;
    nets->ipsec = ipsec_open(nets->loop, on_ipsec_settled, on_ipsec_probed, nets);
    nets->mesh = mesh_open(&mesh);
    return 0;
}

static void on_part_closed(void *owner)
{
    struct nets *nets = owner;
    CHECK(nets->mesh_parts > 0);
    if (--nets->mesh_parts == 0)
        nets->mesh_closed(nets);
}

void nets_mesh_close(struct nets *nets, void (*closed)(struct nets *nets))
{
    nets->mesh_closed = closed;
    nets->mesh_parts = 3;
    mesh_close(nets->mesh, on_part_closed, nets);
    tables_close(nets->guard, on_part_closed, nets);
    ipsec_close(nets->ipsec, !nets->leaving, on_part_closed, nets);
}
