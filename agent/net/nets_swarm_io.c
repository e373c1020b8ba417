// The swarm's side of the networks: what gossip says becomes peers and records, what is here
// becomes rows, and the resolver is told of both.
#include <stdlib.h>
#include <string.h>

#include "agent/net/nets_priv_io.h"
#include "proto/base/check.h"
#include "proto/base/clock_io.h"
#include "proto/base/log.h"
#include "proto/base/str.h"

#define RECORDS_MAX  (1u << 17) // of one network
#define LOCAL_LIFE   "local"    // stands for the gossip name while there is none
#define PORTS_IN_ROW 512
#define SETTLE_MS    2000  // after another node of the network was seen
#define ALONE_MS     30000 // after a manager was heard

// ---- rows to peers and records -----------------------------------------------------------------

struct walk {
    struct nets *nets;
    struct net *net;
    size_t cap;
    struct map live; // addresses that rows have named
};

// Rows about addresses of this node's own endpoints come from its earlier lives, or are lies.
static bool is_local(const struct nets *nets, const struct net *net, const struct ipnet *ip)
{
    if (ipnet_is_set(&net->lb) && ipnet_same_ip(&net->lb, ip))
        return true;
    MAP_EACH (entry, &nets->boxes) {
        const struct box *box = entry->value;
        for (size_t i = 0; i < box->ends_count && nets_box_live(box); i++)
            if (box->ends[i].overlay && strcmp(box->ends[i].overlay->id, net->overlay.id) == 0 &&
                ipnet_same_ip(&box->ends[i].ip, ip))
                return true;
    }
    return false;
}

// Only for what lingers: an address that a live row names is that one's.
static bool is_taken(const struct walk *walk, const struct rows_row *row, const struct ipnet *ip)
{
    return row->lingers && map_has(&walk->live, ip->bytes, sizeof ip->bytes);
}

static void on_peer(void *ctx, const struct rows_row *row)
{
    struct walk *walk = ctx;
    struct overlay_peer peer;
    if (records_parse_peer(row->value, row->value_size, &peer, NULL) ||
        ipnet_same_ip(&peer.tunnel, &walk->nets->tunnel) ||
        is_local(walk->nets, walk->net, &peer.ip) || is_taken(walk, row, &peer.ip))
        return;
    map_put(&walk->live, peer.ip.bytes, sizeof peer.ip.bytes, walk);
    tunnels_row(walk->net->peers, &walk->net->overlay, row->key, &peer);
}

static struct net_record *record_add(struct walk *walk)
{
    struct net *net = walk->net;
    if (net->records_count == RECORDS_MAX)
        return NULL;
    if (net->records_count == walk->cap) {
        walk->cap = walk->cap ? walk->cap * 2 : 16;
        net->records = mem_realloc(net->records, walk->cap * sizeof *net->records);
    }
    return &net->records[net->records_count++];
}

static void on_endpoint(void *ctx, const struct rows_row *row)
{
    struct walk *walk = ctx;
    struct net *net = walk->net;
    struct records_endpoint endpoint;
    if (records_parse_endpoint(row->value, row->value_size, &net->made_of, &endpoint, NULL) ||
        !overlay_subnet_of(&net->overlay, &endpoint.ip) || is_local(walk->nets, net, &endpoint.ip))
        return;
    struct net_record *record = record_add(walk);
    if (record)
        *record = (struct net_record){
            .key = arena_strdup(&net->made_of, row->key),
            .node = arena_strdup(&net->made_of, row->node),
            .endpoint = endpoint,
        };
}

static const char *life_of(const struct nets *nets)
{
    return nets->gossip ? gossip_name(nets->gossip) : LOCAL_LIFE;
}

// A row's key is this life's own: rows of the life before, which others may still hold, are other
// rows.
static void row_key(const struct nets *nets, const char *id, const struct net *net,
                    char out[SANDBOX_ENDPOINT_BYTES])
{
    sandbox_endpoint_id(id, net->overlay.id, life_of(nets), out);
}

static const struct order_network *network_in(const struct box *box, const struct net *net)
{
    for (size_t i = 0; i < box->order->networks_count; i++)
        if (strcmp(box->order->networks[i].overlay.id, net->overlay.id) == 0)
            return &box->order->networks[i];
    return NULL;
}

static bool is_named(const struct box *box)
{
    return box->state == BOX_MADE && box->serve != NETS_SERVE_NOT &&
           strcmp(box->id, NETS_INGRESS_BOX) != 0;
}

// Others hear of it.
static bool is_served(const struct box *box)
{
    return is_named(box) && box->serve != NETS_SERVE_SELF;
}

static void endpoint_of(const struct box *box, const struct order_network *network,
                        struct records_endpoint *out)
{
    const struct order *order = box->order;
    *out = (struct records_endpoint){
        .name = order->name,
        .service_name = order->service_name,
        .service_id = order->service_id,
        .vip = network->vip,
        .ip = ipnet_host(&network->ip),
        .aliases = network->aliases,
        .aliases_count = network->aliases_count,
        .task_aliases = network->names_count ? network->names : order->names,
        .task_aliases_count = network->names_count ? network->names_count : order->names_count,
        .disabled = box->serve == NETS_SERVE_DRAIN,
    };
    if (network->overlay.ingress) {
        out->ports = order->ports;
        out->ports_count = order->ports_count < PORTS_IN_ROW ? order->ports_count : PORTS_IN_ROW;
    }
}

// Texts of local records are those of the sandbox's order, which may go before the record does.
static void local_records(struct walk *walk)
{
    struct net *net = walk->net;
    MAP_EACH (entry, &walk->nets->boxes) {
        const struct box *box = entry->value;
        const struct order_network *network = network_in(box, net);
        if (!network || !is_named(box))
            continue;
        char key[SANDBOX_ENDPOINT_BYTES];
        struct records_endpoint endpoint;
        struct buf bytes;
        endpoint_of(box, network, &endpoint);
        buf_init(&bytes, RECORDS_BYTES_MAX);
        records_pack_endpoint(&endpoint, &bytes);
        row_key(walk->nets, box->id, net, key);
        struct net_record *record = record_add(walk);
        if (record) {
            record->node = NULL;
            record->early = !is_served(box);
            record->key = arena_strdup(&net->made_of, key);
            if (!buf_ok(&bytes) || records_parse_endpoint(bytes.data, bytes.len, &net->made_of,
                                                          &record->endpoint, NULL))
                net->records_count--;
        }
        buf_fini(&bytes);
    }
}

static int compare_u32(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static void cut_add(struct box *box, uint32_t address)
{
    box->cut = mem_realloc(box->cut, (box->cut_count + 1) * sizeof *box->cut);
    box->cut[box->cut_count++] = address;
    box->dirty = box->asked = true;
}

// Connections to endpoints that are gone are cut where they begin: in every sandbox on the network.
static void find_gone(struct nets *nets, struct net *net)
{
    uint32_t *now = mem_alloc_array(net->records_count + 1, sizeof *now);
    for (size_t i = 0; i < net->records_count; i++)
        now[i] = ipnet_u32(&net->records[i].endpoint.ip);
    if (net->records_count)
        qsort(now, net->records_count, sizeof *now, compare_u32);
    for (size_t i = 0; i < net->addresses_count; i++) {
        uint32_t address = net->addresses[i];
        if (net->records_count &&
            bsearch(&address, now, net->records_count, sizeof *now, compare_u32))
            continue;
        MAP_EACH (entry, &nets->boxes) {
            struct box *box = entry->value;
            if (box->state == BOX_MADE && network_in(box, net))
                cut_add(box, address);
        }
    }
    free(net->addresses);
    net->addresses = now;
    net->addresses_count = net->records_count;
}

// Addresses of endpoints: those of records, of peers, and of sandboxes that have no record yet.
static uint32_t *endpoints_of(const struct nets *nets, const struct net *net, size_t *count)
{
    size_t peers_count, n = 0;
    const struct overlay_peer *peers = tunnels_list(net->peers, &peers_count);
    uint32_t *all = mem_alloc_array(net->records_count + peers_count + map_count(&nets->boxes) + 1,
                                    sizeof *all);
    for (size_t i = 0; i < net->records_count; i++)
        all[n++] = ipnet_u32(&net->records[i].endpoint.ip);
    for (size_t i = 0; i < peers_count; i++)
        all[n++] = ipnet_u32(&peers[i].ip);
    MAP_EACH (entry, &nets->boxes) {
        const struct order_network *network = network_in(entry->value, net);
        if (network)
            all[n++] = ipnet_u32(&network->ip);
    }
    all[n++] = ipnet_u32(&net->lb);
    *count = mesh_sort(all, n);
    return all;
}

// Notes which services have no task any more. True when that changed. Who has just come back knows
// too little to say it.
static bool find_lost(const struct nets *nets, const struct net *net)
{
    size_t endpoints_count, count = 0;
    if (nets->adopting || nets_holds(nets, net))
        return false;
    uint32_t *endpoints = endpoints_of(nets, net, &endpoints_count);
    uint32_t *vips = mem_alloc_array(net->records_count + 1, sizeof *vips);
    for (size_t i = 0; i < net->records_count; i++)
        if (nets_is_balanced(net, &net->records[i]))
            vips[count++] = ipnet_u32(&net->records[i].endpoint.vip);
    count = mesh_sort(vips, count);
    bool changed = lost_update(net->lost, vips, count, endpoints, endpoints_count);
    free(endpoints);
    free(vips);
    return changed;
}

// FNV-1a over what the records say, so that walking them again is told from a change.
static uint64_t records_digest(const struct net *net)
{
    uint64_t digest = UINT64_C(14695981039346656037);
    struct buf bytes;
    buf_init(&bytes, RECORDS_BYTES_MAX);
    for (size_t i = 0; i < net->records_count; i++) {
        buf_clear(&bytes);
        buf_put_str(&bytes, net->records[i].key);
        buf_put_u8(&bytes, net->records[i].early);
        records_pack_endpoint(&net->records[i].endpoint, &bytes);
        for (size_t k = 0; k < bytes.len; k++)
            digest = (digest ^ bytes.data[k]) * UINT64_C(1099511628211);
    }
    buf_fini(&bytes);
    return digest;
}

static void on_row(void *ctx, const struct gossip_row *row)
{
    struct net *net = ctx;
    struct rows_row copy = {
        .key = row->key,
        .node = row->node,
        .value = row->value,
        .value_size = row->value_size,
    };
    if (row->own)
        return;
    if (strcmp(row->table, GOSSIP_TABLE_PEERS) == 0)
        copy.table = ROWS_PEERS;
    else if (strcmp(row->table, GOSSIP_TABLE_ENDPOINTS) == 0)
        copy.table = ROWS_ENDPOINTS;
    else
        return;
    rows_add(net->rows, &copy);
}

static void on_member(void *ctx, const struct gossip_member *member)
{
    struct net *net = ctx;
    if (!member->self)
        rows_node(net->rows, member->node);
}

static void walk_again_at(struct nets *nets, struct mono due)
{
    if (!mono_before(due, nets->walk_due))
        return;
    nets->walk_due = due;
    loop_timer_start_at(&nets->walk, due);
}

bool nets_holds(const struct nets *nets, const struct net *net)
{
    return nets->gossip && net->joined && net->peopled && !net->settled;
}

// Once another node was seen, its rows follow soon. Where there is none, the managers have said
// that this is so when they were heard and none came.
static void settle(struct nets *nets, struct net *net, struct mono now)
{
    if (!nets_holds(nets, net))
        return;
    struct mono due = net->settle_due;
    if (rows_has_nodes(net->rows) && (!due.ns || !net->seen)) {
        due = mono_add(now, SETTLE_MS * NS_PER_MS);
        net->seen = true;
    } else if (!due.ns && nets->session_seen) {
        due = mono_add(now, ALONE_MS * NS_PER_MS);
    }
    net->settle_due = due;
    if (due.ns && mono_before(now, due)) {
        walk_again_at(nets, due);
    } else if (due.ns) {
        net->settled = true;
        net->peopled = false;
        net->dirty = net->asked = true;
        MAP_EACH (entry, &nets->boxes) {
            struct box *box = entry->value;
            if (network_in(box, net) && nets_box_live(box))
                box->dirty = box->asked = true;
        }
    }
}

static void refresh_net(struct nets *nets, struct net *net)
{
    struct walk walk = {.nets = nets, .net = net};
    struct mono now = loop_now(nets->loop), due;
    free(net->records);
    net->records = NULL;
    net->records_count = 0;
    arena_reset(&net->made_of);
    tunnels_begin(net->peers);
    rows_begin(net->rows);
    if (net->joined) {
        gossip_rows(nets->gossip, net->overlay.id, NULL, on_row, net);
        gossip_members(nets->gossip, net->overlay.id, on_member, net);
    }
    rows_end(net->rows, now, &due);
    walk_again_at(nets, due);
    settle(nets, net, now);
    map_init(&walk.live);
    rows_walk(net->rows, ROWS_PEERS, on_peer, &walk);
    map_clear(&walk.live);
    rows_walk(net->rows, ROWS_ENDPOINTS, on_endpoint, &walk);
    map_fini(&walk.live);
    local_records(&walk);
    if (tunnels_end(net->peers))
        net->dirty = net->asked = true;
    uint64_t digest = records_digest(net);
    bool changed = digest != net->digest;
    net->digest = digest;
    if (changed)
        find_gone(nets, net);
    if (!find_lost(nets, net) && !changed)
        return;
    MAP_EACH (entry, &nets->boxes) {
        struct box *box = entry->value;
        if (network_in(box, net) && nets_box_live(box))
            box->dirty = box->asked = true;
    }
    if (changed)
        nets_feed_net(nets, net);
}

// ---- to the resolver ---------------------------------------------------------------------------

static void names_ip_of(const struct ipnet *ip, struct names_ip *out)
{
    out->size = ip->size;
    memcpy(out->bytes, ip->bytes, ip->size);
}

static bool feed_record(struct nets *nets, const struct net *net, const struct net_record *from)
{
    const struct records_endpoint *endpoint = &from->endpoint;
    struct names_record record = {
        .endpoint = from->key,
        .name = endpoint->name,
        .service = endpoint->service_name,
        .aliases = endpoint->task_aliases,
        .aliases_count = endpoint->task_aliases_count,
        .service_aliases = endpoint->aliases,
        .service_aliases_count = endpoint->aliases_count,
        .draining = endpoint->disabled,
    };
    names_ip_of(&endpoint->ip, &record.ips[0]);
    names_ip_of(&endpoint->vip, &record.vips[0]);
    return dns_feed_record_put(nets->feed, net->overlay.id, &record, NULL) == 0;
}

static int compare_keys(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

void nets_feed_net(struct nets *nets, struct net *net)
{
    // The mesh's own network has no names.
    if (!nets->feed || net->overlay.ingress)
        return;
    if (dns_feed_network_put(nets->feed, net->overlay.id, net->overlay.name, net->overlay.internal,
                             NULL))
        return;
    const char **keys = mem_alloc_array(net->records_count + 1, sizeof *keys);
    size_t count = 0, at = 0;
    for (size_t i = 0; i < net->records_count; i++)
        if (feed_record(nets, net, &net->records[i]))
            keys[count++] = net->records[i].key;
    if (count)
        qsort(keys, count, sizeof *keys, compare_keys);
    const char *known;
    while ((known = dns_feed_record_next(nets->feed, net->overlay.id, &at)))
        if (!count || !bsearch(&known, keys, count, sizeof *keys, compare_keys))
            dns_feed_record_remove(nets->feed, net->overlay.id, known);
    free(keys);
}

void nets_feed_box(struct nets *nets, struct box *box)
{
    const char *networks[ORDER_NETWORKS_MAX + NAMES_SANDBOX_NETWORKS_MAX];
    const struct order *order = box->order;
    struct err err = ERR_INIT;
    struct feed_sandbox sandbox = {
        .id = box->id,
        .networks = networks,
        .search = order->search,
        .search_count =
            order->search_count < RESOLVER_SEARCH_MAX ? order->search_count : RESOLVER_SEARCH_MAX,
        .servers_count = order->servers_count,
        .ndots_set = order->ndots_set,
    };
    memcpy(sandbox.servers, order->servers, sizeof sandbox.servers);
    for (size_t i = 0; i < order->networks_count; i++) {
        struct net *net = nets_net(nets, order->networks[i].overlay.id);
        if (net->overlay.ingress)
            continue;
        nets_feed_net(nets, net);
        networks[sandbox.networks_count++] = net->overlay.id;
    }
    for (size_t i = 0; i < order->also_count; i++)
        if (sandbox.networks_count < NAMES_SANDBOX_NETWORKS_MAX)
            networks[sandbox.networks_count++] = order->also[i];
    if (dns_feed_sandbox_put(nets->feed, &sandbox, &err))
        log_warn("names are not answered", "container=%s err=\"%s\"", box->id, err.message);
}

// ---- what is here to rows ----------------------------------------------------------------------

struct own_rows {
    const struct nets *nets;
    const struct net *net;
    char (*gone)[SANDBOX_ENDPOINT_BYTES];
    size_t count;
    bool endpoints;
};

static bool has_row(const struct nets *nets, const struct net *net, const char *key, bool endpoint)
{
    char own[SANDBOX_ENDPOINT_BYTES];
    row_key(nets, nets->node_id, net, own);
    if (!endpoint && ipnet_is_set(&net->lb) && strcmp(own, key) == 0)
        return true;
    MAP_EACH (entry, &nets->boxes) {
        const struct box *box = entry->value;
        if (!network_in(box, net) || box->state != BOX_MADE ||
            strcmp(box->id, NETS_INGRESS_BOX) == 0 || (endpoint && !is_served(box)))
            continue;
        row_key(nets, box->id, net, own);
        if (strcmp(own, key) == 0)
            return true;
    }
    return false;
}

static void on_own(void *ctx, const struct gossip_row *row)
{
    struct own_rows *rows = ctx;
    if (!row->own || has_row(rows->nets, rows->net, row->key, rows->endpoints) ||
        strlen(row->key) >= sizeof *rows->gone)
        return;
    rows->gone = mem_realloc(rows->gone, (rows->count + 1) * sizeof *rows->gone);
    str_copy(rows->gone[rows->count++], sizeof *rows->gone, row->key);
}

static void remove_rows(struct nets *nets, struct net *net, const char *table)
{
    struct own_rows rows = {
        .nets = nets, .net = net, .endpoints = strcmp(table, GOSSIP_TABLE_ENDPOINTS) == 0};
    gossip_rows(nets->gossip, net->overlay.id, table, on_own, &rows);
    for (size_t i = 0; i < rows.count; i++)
        gossip_row_remove(nets->gossip, net->overlay.id, table, rows.gone[i]);
    free(rows.gone);
}

static void put_row(struct nets *nets, struct net *net, const char *table, const char *key,
                    struct buf *bytes)
{
    struct err err = ERR_INIT;
    int rc = buf_ok(bytes) ? gossip_row_put(nets->gossip, net->overlay.id, table, key, bytes->data,
                                            bytes->len, &err)
                           : err_set(&err, ERR_RESOURCE_EXHAUSTED, "the row is too large");
    if (rc)
        log_warn("others are not told of an endpoint", "network=%s err=\"%s\"", net->overlay.name,
                 err.message);
    buf_clear(bytes);
}

static void put_peer(struct nets *nets, struct net *net, const char *id, const struct ipnet *ip,
                     const uint8_t mac[MAC_BYTES], struct buf *bytes)
{
    char key[SANDBOX_ENDPOINT_BYTES];
    struct overlay_peer peer = {.ip = *ip, .tunnel = nets->tunnel};
    memcpy(peer.mac, mac, MAC_BYTES);
    records_pack_peer(&peer, bytes);
    row_key(nets, id, net, key);
    put_row(nets, net, GOSSIP_TABLE_PEERS, key, bytes);
}

static void put_rows(struct nets *nets, struct net *net)
{
    struct buf bytes;
    buf_init(&bytes, GOSSIP_VALUE_BYTES);
    if (ipnet_is_set(&net->lb)) {
        uint8_t mac[MAC_BYTES];
        mac_of_ip(&net->lb, mac);
        put_peer(nets, net, nets->node_id, &net->lb, mac, &bytes);
    }
    MAP_EACH (entry, &nets->boxes) {
        const struct box *box = entry->value;
        const struct order_network *network = network_in(box, net);
        if (!network || box->state != BOX_MADE || strcmp(box->id, NETS_INGRESS_BOX) == 0)
            continue;
        put_peer(nets, net, box->id, &network->ip, network->mac, &bytes);
        if (!is_served(box))
            continue;
        char key[SANDBOX_ENDPOINT_BYTES];
        struct records_endpoint endpoint;
        endpoint_of(box, network, &endpoint);
        records_pack_endpoint(&endpoint, &bytes);
        row_key(nets, box->id, net, key);
        put_row(nets, net, GOSSIP_TABLE_ENDPOINTS, key, &bytes);
    }
    buf_fini(&bytes);
}

void nets_publish(struct nets *nets)
{
    if (!nets->gossip)
        return;
    MAP_EACH (entry, &nets->nets) {
        struct net *net = entry->value;
        struct err err = ERR_INIT;
        if (net->boxes && !net->joined) {
            net->joined = gossip_network_join(nets->gossip, net->overlay.id, &err) == 0;
            net->stale = net->joined;
            net->settled = net->seen = false;
            net->settle_due = (struct mono){0};
            if (!net->joined)
                log_warn("cannot join a network's gossip", "network=%s err=\"%s\"",
                         net->overlay.name, err.message);
        } else if (!net->boxes && net->joined) {
            gossip_network_leave(nets->gossip, net->overlay.id);
            net->joined = false;
        }
        if (!net->joined)
            continue;
        remove_rows(nets, net, GOSSIP_TABLE_ENDPOINTS);
        remove_rows(nets, net, GOSSIP_TABLE_PEERS);
        put_rows(nets, net);
    }
}

void nets_refresh(struct nets *nets)
{
    MAP_EACH (entry, &nets->nets) {
        struct net *net = entry->value;
        if (!net->stale)
            continue;
        net->stale = false;
        refresh_net(nets, net);
    }
}
