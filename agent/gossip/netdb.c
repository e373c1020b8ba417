#include "agent/gossip/netdb.h"

#include <stdlib.h>
#include <string.h>

#include "agent/gossip/netdb_impl.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

// What one user message may take once decoded.
#define TAKE_BYTES_MAX (64 << 20)

// ---- clocks ------------------------------------------------------------------------------------

uint64_t netdb_tick_clock(uint64_t *clock)
{
    CHECK(*clock <= NETDB_TIME_MAX + UINT32_MAX);
    return ++*clock;
}

void netdb_witness(uint64_t *clock, uint64_t ltime)
{
    if (ltime >= *clock && ltime < NETDB_TIME_MAX)
        *clock = ltime + 1;
}

// ---- nodes -------------------------------------------------------------------------------------

static struct netdb_node *node_find(const struct netdb *db, const char *name)
{
    return map_get_str(&db->nodes, name);
}

// NULL past the limit.
static struct netdb_node *node_new(struct netdb *db, const char *name, const struct site *site)
{
    if (map_count(&db->nodes) >= NETDB_NODES_MAX) {
        db->counters->drop_full++;
        return NULL;
    }
    struct netdb_node *node = MEM_NEW(struct netdb_node);
    node->name = str_dup(name);
    node->site = *site;
    node->state = NETDB_LEFT;
    map_init(&node->attachments);
    map_put_str(&db->nodes, name, node);
    return node;
}

static void node_free(struct netdb_node *node)
{
    MAP_EACH (entry, &node->attachments)
        free(entry->value);
    map_fini(&node->attachments);
    free(node->name);
    free(node);
}

void netdb_node_forget(struct netdb *db, struct netdb_node *node)
{
    CHECK(node != db->self);
    CHECK(map_count(&node->attachments) == 0); // gone with its state
    struct netdb_sync *sync = map_get_str(&db->syncs, node->name);
    CHECK(!sync); // long answered or given up
    map_remove_str(&db->nodes, node->name);
    node_free(node);
}

static struct mono some_time(struct netdb *db, struct mono now, int64_t period_ns)
{
    return mono_add(now, (int64_t)rand_below(&db->rand, (uint64_t)period_ns));
}

void netdb_node_set(struct netdb *db, struct mono now, struct netdb_node *node,
                    enum netdb_node_state state)
{
    CHECK(node != db->self);
    if (node->state == state)
        return;
    bool was_active = node->state == NETDB_ACTIVE;
    node->state = state;
    if (state == NETDB_ACTIVE) {
        node->reap_at = MONO_NEVER;
    } else if (was_active) {
        node->reap_at = mono_add(now, NETDB_NODE_NS);
        for (size_t at = 0;;) {
            const struct map_entry *entry = map_next(&node->attachments, &at);
            if (!entry)
                break;
            netdb_attachment_drop(db, node, entry->key);
        }
    }
    if (state == NETDB_FAILED && db->reconnect_at.ns == MONO_NEVER.ns)
        db->reconnect_at = some_time(db, now, NETDB_RECONNECT_NS);
    db->config.out->node_changed(db->config.out_owner, node->name, &node->site, state);
}

// ---- attachments -------------------------------------------------------------------------------

struct netdb_network *netdb_network_find(const struct netdb *db, const char *network_id)
{
    return map_get_str(&db->networks, network_id);
}

bool netdb_is_attached(const struct netdb_node *node, const char *network_id)
{
    const struct netdb_attachment *attachment = map_get_str(&node->attachments, network_id);
    return attachment && !attachment->leaving;
}

void netdb_rows_changed(struct netdb *db, const char *network_id)
{
    db->config.out->rows_changed(db->config.out_owner, network_id);
}

static void peer_add(struct netdb_network *network, struct netdb_node *node)
{
    if (network->peers_count == network->peers_cap) {
        network->peers_cap = network->peers_cap ? 2 * network->peers_cap : 4;
        network->peers =
            mem_realloc(network->peers, network->peers_cap * sizeof(struct netdb_node *));
    }
    network->peers[network->peers_count++] = node;
}

static void peer_remove(struct netdb_network *network, const struct netdb_node *node)
{
    for (size_t i = 0; i < network->peers_count; i++)
        if (network->peers[i] == node) {
            network->peers[i] = network->peers[--network->peers_count];
            return;
        }
}

// A node came onto a network: if it is one of ours, the new peer may know rows that we lack.
static void peer_came(struct netdb *db, struct mono now, struct netdb_node *node,
                      const char *network_id)
{
    struct netdb_network *network = netdb_network_find(db, network_id);
    if (!network)
        return;
    peer_add(network, node);
    if (network->heard < NETDB_FIRST_SYNCS || mono_before(now, network->young))
        netdb_ask_newcomer(db, now, network, node);
    else if (mono_before(now, node->returned) &&
             rand_below(&db->rand, network->peers_count) < NETDB_FEW)
        netdb_ask(db, now, network, node, NETDB_FEW);
    netdb_early_take(db, now, node->name, network_id);
    netdb_rows_changed(db, network_id);
}

void netdb_attachment_drop(struct netdb *db, struct netdb_node *node, const char *network_id)
{
    struct netdb_network *network = netdb_network_find(db, network_id);
    if (network) {
        peer_remove(network, node);
        netdb_rows_drop(db, network, node);
        netdb_rows_changed(db, network_id);
    }
    free(map_remove_str(&node->attachments, network_id));
    db->attachments_count--;
}

static struct netdb_attachment *attach(struct netdb *db, struct netdb_node *node,
                                       const char *network_id, uint64_t ltime)
{
    struct netdb_attachment *attachment = MEM_NEW(struct netdb_attachment);
    attachment->node = node;
    attachment->ltime = ltime;
    map_put_str(&node->attachments, network_id, attachment);
    db->attachments_count++;
    return attachment;
}

// ---- events ------------------------------------------------------------------------------------

static bool good_id(const char *id)
{
    return *id && strlen(id) <= GOSSIP_ID_BYTES && !strchr(id, '/');
}

void netdb_hear_node(struct netdb *db, struct mono now, const Networkdb__NodeEvent *event,
                     struct span relay)
{
    netdb_witness(&db->network_clock, event->l_time);
    struct netdb_node *node = node_find(db, event->node_name);
    if (!node || node == db->self || event->l_time <= node->ltime ||
        event->l_time >= NETDB_TIME_MAX)
        return;
    enum netdb_node_state before = node->state;
    node->ltime = event->l_time;
    if (event->type == NETWORKDB__NODE_EVENT__TYPE__JOIN) {
        // What SWIM does not see alive would never be seen to die.
        if (!node->replaced && db->config.out->alive(db->config.out_owner, node->name))
            netdb_node_set(db, now, node, NETDB_ACTIVE);
    } else if (event->type == NETWORKDB__NODE_EVENT__TYPE__LEAVE) {
        netdb_node_set(db, now, node, NETDB_LEFT);
    }
    if (node->state != before && relay.size > 0)
        broadcasts_put(&db->node_events, node->name, strlen(node->name), relay.at, relay.size);
}

// The queue's key of an event about a node on a network.
static size_t event_key(const char *network_id, const char *node,
                        char out[GOSSIP_ID_BYTES + GOSSIP_NAME_BYTES + 2])
{
    bool fits = str_format(out, GOSSIP_ID_BYTES + GOSSIP_NAME_BYTES + 2, "%s/%s", network_id, node);
    CHECK(fits);
    return strlen(out);
}

static void queue_network_event(struct netdb *db, const char *network_id, const char *node,
                                struct span bytes)
{
    char key[GOSSIP_ID_BYTES + GOSSIP_NAME_BYTES + 2];
    size_t size = event_key(network_id, node, key);
    broadcasts_put(&db->network_events, key, size, bytes.at, bytes.size);
}

// True when the event is news.
static bool take_network_event(struct netdb *db, struct mono now, struct netdb_node *node,
                               const Networkdb__NetworkEvent *event)
{
    bool leaves = event->type == NETWORKDB__NETWORK_EVENT__TYPE__LEAVE;
    struct netdb_attachment *known = map_get_str(&node->attachments, event->network_id);
    if (known && known->ltime >= event->l_time)
        return false;
    if (!known) {
        if (leaves || node->state != NETDB_ACTIVE)
            return false;
        if (db->attachments_count >= NETDB_ATTACHMENTS_MAX) {
            db->counters->drop_full++;
            return false;
        }
        attach(db, node, event->network_id, event->l_time);
        peer_came(db, now, node, event->network_id);
        return true;
    }
    known->ltime = event->l_time;
    if (known->leaving == leaves)
        return true;
    known->leaving = leaves;
    if (!leaves) {
        peer_came(db, now, node, event->network_id);
        return true;
    }
    known->reap_at = mono_add(now, NETDB_LEFT_NETWORK_NS);
    struct netdb_network *network = netdb_network_find(db, event->network_id);
    if (network) {
        peer_remove(network, node);
        // As tombstones: a third node's bulk sync that still has the rows cannot bring them back.
        netdb_rows_bury(db, now, network, node);
        netdb_rows_changed(db, event->network_id);
    }
    return true;
}

void netdb_hear_network(struct netdb *db, struct mono now, const Networkdb__NetworkEvent *event,
                        struct span relay)
{
    if (strcmp(event->node_name, db->config.name) == 0)
        return;
    netdb_witness(&db->network_clock, event->l_time);
    struct netdb_node *node = node_find(db, event->node_name);
    bool known_type = event->type == NETWORKDB__NETWORK_EVENT__TYPE__JOIN ||
                      event->type == NETWORKDB__NETWORK_EVENT__TYPE__LEAVE;
    if (!known_type || !good_id(event->network_id) || event->l_time >= NETDB_TIME_MAX)
        return;
    if (!node) {
        if (relay.size > 0 && strlen(event->node_name) <= GOSSIP_NAME_BYTES)
            netdb_early_put(db, now, event->node_name, "", relay, false);
        return;
    }
    if (take_network_event(db, now, node, event) && relay.size > 0)
        queue_network_event(db, event->network_id, event->node_name, relay);
}

static void take_payload(struct netdb *db, struct mono now, struct span user, bool synced,
                         unsigned depth);

static void take_compound(struct netdb *db, struct mono now,
                          const Networkdb__CompoundMessage *compound, bool synced, unsigned depth)
{
    for (size_t i = 0; i < compound->n_messages; i++) {
        const ProtobufCBinaryData *part = &compound->messages[i]->payload;
        take_payload(db, now, (struct span){part->data, part->len}, synced, depth + 1);
    }
}

// Bulk syncs carry compounds, compounds carry events; anything deeper is nobody's.
static void take_payload(struct netdb *db, struct mono now, struct span user, bool synced,
                         unsigned depth)
{
    struct arena arena;
    struct payload payload;
    struct err err = ERR_INIT;
    arena_init(&arena, TAKE_BYTES_MAX);
    if (payload_decode(user.at, user.size, &arena, &payload, &err)) {
        db->counters->drop_broken++;
        arena_fini(&arena);
        return;
    }
    switch (payload.type) {
    case NETWORKDB__MESSAGE_TYPE__NODE_EVENT:
        netdb_hear_node(db, now, payload.node_event, user);
        break;
    case NETWORKDB__MESSAGE_TYPE__NETWORK_EVENT:
        netdb_hear_network(db, now, payload.network_event, user);
        break;
    case NETWORKDB__MESSAGE_TYPE__TABLE_EVENT:
        netdb_hear_table(db, now, payload.table_event, user, synced);
        break;
    case NETWORKDB__MESSAGE_TYPE__COMPOUND:
        if (depth == 0)
            take_compound(db, now, payload.compound, synced, depth);
        else
            db->counters->drop_broken++;
        break;
    case NETWORKDB__MESSAGE_TYPE__BULK_SYNC:
        if (depth == 0 && !synced)
            netdb_hear_sync(db, now, payload.bulk_sync);
        else
            db->counters->drop_broken++;
        break;
    default: // PUSH_PULL travels as a state
        db->counters->drop_broken++;
    }
    arena_fini(&arena);
}

void netdb_take(struct netdb *db, struct mono now, struct span user, bool synced)
{
    take_payload(db, now, user, synced, 0);
}

void netdb_packet(struct netdb *db, struct mono now, struct span user)
{
    netdb_take(db, now, user, false);
}

void netdb_stream(struct netdb *db, struct mono now, struct span user)
{
    netdb_take(db, now, user, false);
}

// ---- what SWIM sees -----------------------------------------------------------------------------

// Another name at the site of one that is up now: that one's former life.
static void replace_others(struct netdb *db, struct mono now, const char *name,
                           const struct site *site)
{
    MAP_EACH (entry, &db->nodes) {
        struct netdb_node *other = entry->value;
        if (other == db->self || !site_equal(&other->site, site) || strcmp(other->name, name) == 0)
            continue;
        other->replaced = true;
        netdb_node_set(db, now, other, NETDB_LEFT);
    }
}

void netdb_up(struct netdb *db, struct mono now, const char *name, const struct site *site)
{
    struct netdb_node *node = node_find(db, name);
    if (node == db->self && node)
        return;
    if (site_equal(site, &db->config.site))
        return; // a former life of this node: it has nothing
    replace_others(db, now, name, site);
    if (!node && !(node = node_new(db, name, site)))
        return;
    if (node->state == NETDB_FAILED || node->replaced) {
        node->returned = mono_add(now, NETDB_RETURNED_NS);
        if (db->returned_at.ns == MONO_NEVER.ns)
            db->returned_at = mono_add(now, NETDB_SETTLE_NS);
    }
    node->replaced = false;
    node->site = *site;
    netdb_node_set(db, now, node, NETDB_ACTIVE);
    netdb_early_take(db, now, node->name, "");
}

void netdb_down(struct netdb *db, struct mono now, const char *name, bool left)
{
    struct netdb_node *node = node_find(db, name);
    if (!node || node == db->self)
        return;
    // One that was replaced has no site to give back, however late SWIM finds out: of two
    // restarts within seconds, the first life's death must not bring back the second.
    if (node->state != NETDB_ACTIVE)
        return;
    netdb_node_set(db, now, node, left ? NETDB_LEFT : NETDB_FAILED);
    // Word of a former life can come late, and then takes the site from the node that lives there.
    // Now that SWIM has found out, that node gets it back.
    MAP_EACH (entry, &db->nodes) {
        struct netdb_node *other = entry->value;
        if (other != node && other->replaced && site_equal(&other->site, &node->site) &&
            db->config.out->alive(db->config.out_owner, other->name)) {
            netdb_up(db, now, other->name, &node->site);
            break;
        }
    }
}

// ---- wishes ------------------------------------------------------------------------------------

static void encode_event(const struct payload *payload, struct buf *out)
{
    struct err err = ERR_INIT;
    buf_init(out, PACKET_BYTES_MAX);
    int result = payload_encode(payload, out, &err);
    CHECK(result == 0); // names are bounded
}

void netdb_say_node(struct netdb *db, Networkdb__NodeEvent__Type type)
{
    struct buf bytes;
    Networkdb__NodeEvent event = NETWORKDB__NODE_EVENT__INIT;
    event.type = type;
    event.l_time = netdb_tick_clock(&db->network_clock);
    event.node_name = db->config.name;
    struct payload payload = {.type = NETWORKDB__MESSAGE_TYPE__NODE_EVENT, .node_event = &event};
    encode_event(&payload, &bytes);
    broadcasts_put(&db->node_events, event.node_name, strlen(event.node_name), bytes.data,
                   bytes.len);
    buf_fini(&bytes);
}

void netdb_say_network(struct netdb *db, const char *network_id, Networkdb__NetworkEvent__Type type,
                       uint64_t ltime)
{
    struct buf bytes;
    Networkdb__NetworkEvent event = NETWORKDB__NETWORK_EVENT__INIT;
    event.type = type;
    event.l_time = ltime;
    event.node_name = db->config.name;
    event.network_id = network_id;
    struct payload payload = {.type = NETWORKDB__MESSAGE_TYPE__NETWORK_EVENT,
                              .network_event = &event};
    encode_event(&payload, &bytes);
    queue_network_event(db, network_id, event.node_name, (struct span){bytes.data, bytes.len});
    buf_fini(&bytes);
}

// Gives all own attachments a new time, so that those who saw this node leave believe it.
void netdb_restamp(struct netdb *db)
{
    uint64_t ltime = netdb_tick_clock(&db->network_clock);
    MAP_EACH (entry, &db->self->attachments) {
        struct netdb_attachment *attachment = entry->value;
        attachment->ltime = ltime;
    }
}

int netdb_network_join(struct netdb *db, struct mono now, const char *network_id, struct err *err)
{
    if (!good_id(network_id))
        return err_set(err, ERR_INVALID_ARGUMENT, "network id is empty, too long or has a slash");
    if (netdb_network_find(db, network_id))
        return 0;
    struct netdb_attachment *attachment = map_get_str(&db->self->attachments, network_id);
    if (map_count(&db->networks) >= GOSSIP_NETWORKS_MAX ||
        (!attachment && db->attachments_count >= NETDB_ATTACHMENTS_MAX))
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "too many networks");
    uint64_t ltime = netdb_tick_clock(&db->network_clock);
    if (!attachment)
        attachment = attach(db, db->self, network_id, ltime);
    attachment->ltime = ltime;
    attachment->leaving = false;
    struct netdb_network *network = MEM_NEW(struct netdb_network);
    network->id = str_dup(network_id);
    map_init(&network->rows);
    broadcasts_init(&network->queue, NETDB_TABLE_EVENTS_MAX);
    map_put_str(&db->networks, network_id, network);
    MAP_EACH (entry, &db->nodes) {
        struct netdb_node *node = entry->value;
        if (node != db->self && netdb_is_attached(node, network_id))
            peer_add(network, node);
    }
    // The word about the network goes first: rows of a node that is not known to be on it are
    // dropped.
    netdb_say_network(db, network_id, NETWORKDB__NETWORK_EVENT__TYPE__JOIN, ltime);
    netdb_ask_peers(db, now, network, NETDB_FIRST_SYNCS);
    network->repeat_at = mono_add(now, 2 * NETDB_SETTLE_NS);
    db->gossips = true;
    network->young = mono_add(now, NETDB_YOUNG_NS);
    netdb_rows_changed(db, network_id);
    return 0;
}

static void network_free(struct netdb *db, struct netdb_network *network)
{
    netdb_rows_drop(db, network, NULL);
    map_fini(&network->rows);
    broadcasts_fini(&network->queue);
    for (size_t i = 0; i < network->asks_count; i++)
        free(network->asks[i]);
    free(network->peers);
    free(network->id);
    free(network);
}

void netdb_network_leave(struct netdb *db, struct mono now, const char *network_id)
{
    struct netdb_network *network = map_remove_str(&db->networks, network_id);
    if (!network)
        return;
    struct netdb_attachment *attachment = map_get_str(&db->self->attachments, network_id);
    CHECK(attachment);
    attachment->ltime = netdb_tick_clock(&db->network_clock);
    attachment->leaving = true;
    attachment->reap_at = mono_add(now, NETDB_LEFT_NETWORK_NS);
    netdb_say_network(db, network_id, NETWORKDB__NETWORK_EVENT__TYPE__LEAVE, attachment->ltime);
    netdb_rows_changed(db, network_id);
    network_free(db, network);
}

// ---- making ------------------------------------------------------------------------------------

struct netdb *netdb_new(const struct netdb_config *config, struct mono now)
{
    struct netdb *db = MEM_NEW(struct netdb);
    db->config = *config;
    db->counters = config->counters;
    rand_init(&db->rand, config->seed);
    map_init(&db->nodes);
    map_init(&db->networks);
    map_init(&db->syncs);
    list_init(&db->early);
    timers_init(&db->sync_timers);
    broadcasts_init(&db->network_events, NETDB_EVENTS_MAX);
    broadcasts_init(&db->node_events, NETDB_EVENTS_MAX);
    db->self = node_new(db, config->name, &config->site);
    db->self->state = NETDB_ACTIVE;
    db->config.name = db->self->name;
    rounds_init(&db->gossip, NETDB_GOSSIP_NS, some_time(db, now, NETDB_GOSSIP_NS));
    db->sync_at = some_time(db, now, NETDB_SYNC_NS);
    db->reap_at = some_time(db, now, NETDB_REAP_NS);
    db->reconnect_at = MONO_NEVER;
    db->rejoin_at = MONO_NEVER;
    db->asks_at = MONO_NEVER;
    db->returned_at = MONO_NEVER;
    db->announce_at = MONO_NEVER;
    db->repeat_at = MONO_NEVER;
    db->announced = mono_add(now, -NETDB_ANNOUNCE_NS);
    return db;
}

void netdb_free(struct netdb *db)
{
    if (!db)
        return;
    netdb_syncs_fini(db);
    netdb_early_fini(db);
    MAP_EACH (entry, &db->networks)
        network_free(db, entry->value);
    map_fini(&db->networks);
    MAP_EACH (entry, &db->nodes)
        node_free(entry->value);
    map_fini(&db->nodes);
    broadcasts_fini(&db->network_events);
    broadcasts_fini(&db->node_events);
    free(db);
}

// ---- what is there -----------------------------------------------------------------------------

void netdb_nodes(const struct netdb *db, const char *network_id, netdb_node_fn *visit, void *ctx)
{
    MAP_EACH (entry, &db->nodes) {
        const struct netdb_node *node = entry->value;
        if (node->state == NETDB_ACTIVE && (!network_id || netdb_is_attached(node, network_id)))
            visit(ctx, node->name, &node->site, node == db->self);
    }
}

void netdb_gauge(const struct netdb *db)
{
    struct gossip_counters *counters = db->counters;
    counters->networks = map_count(&db->networks);
    counters->attachments = db->attachments_count;
    counters->rows = db->rows_count;
    counters->rows_bytes = db->rows_bytes;
    counters->nodes_failed = 0;
    counters->broadcasts_queued += db->network_events.count + db->node_events.count;
    MAP_EACH (entry, &db->nodes) {
        const struct netdb_node *node = entry->value;
        counters->nodes_failed += node->state == NETDB_FAILED;
    }
    MAP_EACH (entry, &db->networks) {
        const struct netdb_network *network = entry->value;
        counters->broadcasts_queued += network->queue.count;
    }
}
