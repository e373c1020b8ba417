// NetworkDB's exchange of many rows at once (bulk sync, gossip.md section 10.5), the gossip of
// table events, and the state that travels with SWIM's.
#include <stdlib.h>
#include <string.h>

#include "agent/gossip/netdb_impl.h"
#include "agent/gossip/stream.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

// A sync of more rows than this goes in several messages: peers refuse frames past 20 MiB, and
// decoding takes a multiple.
#define SYNC_BYTES (2 << 20)

#define ASKS_NS  (50 * NS_PER_MS) // until wanted syncs begin: what is wanted together goes together
#define RETRY_NS NS_PER_S         // after one that failed

// The wrapping of a compound by GossipMessage and user type; that of each part in it: tag and up to
// three bytes of length, twice.
#define COMPOUND_BYTES 8
#define PART_BYTES     6

// ---- compounds ---------------------------------------------------------------------------------

static void put_field(struct buf *out, uint8_t number, const void *bytes, size_t size)
{
    buf_put_u8(out, (uint8_t)(number << 3 | 2)); // length-delimited
    buf_put_uvarint(out, size);
    buf_put(out, bytes, size);
}

// Appends one part to a CompoundMessage: messages(1) { Payload(1) }.
static void compound_put(struct buf *compound, const void *bytes, size_t size)
{
    struct buf part;
    buf_init(&part, size + PART_BYTES);
    put_field(&part, 1, bytes, size);
    put_field(compound, 1, part.data, part.len);
    buf_fini(&part);
}

// The GossipMessage around a CompoundMessage: type(1), data(2), which is absent when empty.
static void compound_wrap(const struct buf *compound, struct buf *out)
{
    buf_put_u8(out, 1 << 3);
    buf_put_u8(out, NETWORKDB__MESSAGE_TYPE__COMPOUND);
    if (compound->len > 0)
        put_field(out, 2, compound->data, compound->len);
}

// ---- gossip of table events ---------------------------------------------------------------------

struct gather {
    struct buf compound;
    size_t room;
};

static size_t gather_take(void *ctx, const void *bytes, size_t size)
{
    struct gather *gather = ctx;
    compound_put(&gather->compound, bytes, size);
    size_t used = gather->compound.len + PART_BYTES;
    return used < gather->room ? gather->room - used : 0;
}

static void gossip_network(struct netdb *db, struct netdb_network *network)
{
    if (network->queue.count == 0)
        return;
    // The first few after a shuffle in place are a fair choice.
    size_t count =
        network->peers_count < NETDB_GOSSIP_NODES ? network->peers_count : NETDB_GOSSIP_NODES;
    for (size_t i = 0; i < count; i++) {
        size_t j = i + (size_t)rand_below(&db->rand, network->peers_count - i);
        struct netdb_node *other = network->peers[j];
        network->peers[j] = network->peers[i];
        network->peers[i] = other;
    }
    struct gather gather = {.room = PACKET_BUDGET_BYTES - PACKET_WRAP_BYTES -
                                    PACKET_COMPOUND_BYTES - PACKET_PART_BYTES - COMPOUND_BYTES};
    buf_init(&gather.compound, PACKET_BUDGET_BYTES);
    // A turn counts for those events that go, also when nobody is there to hear: who comes later
    // asks for all.
    broadcasts_take(&network->queue, broadcast_limit(network->peers_count + 1),
                    gather.room - PART_BYTES, gather_take, &gather);
    struct buf user;
    buf_init(&user, PACKET_BUDGET_BYTES);
    compound_wrap(&gather.compound, &user);
    CHECK(buf_ok(&gather.compound));
    CHECK(buf_ok(&user));
    for (size_t i = 0; i < count; i++)
        db->config.out->packet(db->config.out_owner, network->peers[i]->name,
                               (struct span){user.data, user.len});
    buf_fini(&user);
    buf_fini(&gather.compound);
}

bool netdb_gossip_tables(struct netdb *db)
{
    bool more = false;
    MAP_EACH (entry, &db->networks) {
        struct netdb_network *network = entry->value;
        gossip_network(db, network);
        more |= network->queue.count > 0;
    }
    return more;
}

// ---- piggy-backed events ------------------------------------------------------------------------

static size_t fill_take(void *ctx, const void *bytes, size_t size)
{
    struct parcel *parcel = ctx;
    struct gossip_message message = {.type = GOSSIP_USER, .user = {bytes, size}};
    bool added = parcel_add(parcel, &message);
    CHECK(added);
    size_t room = parcel_room(parcel);
    return room > 0 ? room - 1 : 0; // the type byte
}

bool netdb_waits(const struct netdb *db)
{
    return db->network_events.count > 0 || db->node_events.count > 0;
}

void netdb_fill(struct netdb *db, struct parcel *parcel)
{
    struct broadcasts *queues[] = {&db->network_events, &db->node_events};
    unsigned limit = broadcast_limit(map_count(&db->nodes));
    for (size_t i = 0; i < COUNT_OF(queues); i++) {
        size_t room = parcel_room(parcel);
        if (room > 1)
            broadcasts_take(queues[i], limit, room - 1, fill_take, parcel);
        db->counters->broadcasts_dropped += queues[i]->dropped;
        queues[i]->dropped = 0;
    }
}

// ---- states -------------------------------------------------------------------------------------

void netdb_state(struct netdb *db, bool join, struct buf *out)
{
    struct err err = ERR_INIT;
    // Who joins may be known there as one who left: newer times make its attachments believed.
    if (join)
        netdb_restamp(db);
    Networkdb__NetworkPushPull state = NETWORKDB__NETWORK_PUSH_PULL__INIT;
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    state.l_time = db->network_clock;
    state.node_name = db->config.name;
    state.networks = arena_alloc_array(&arena, db->attachments_count, sizeof *state.networks);
    MAP_EACH (node_entry, &db->nodes) {
        const struct netdb_node *node = node_entry->value;
        MAP_EACH (entry, &node->attachments) {
            const struct netdb_attachment *attachment = entry->value;
            Networkdb__NetworkEntry *to = ARENA_NEW(&arena, Networkdb__NetworkEntry);
            networkdb__network_entry__init(to);
            to->network_id = entry->key;
            to->l_time = attachment->ltime;
            to->node_name = node->name;
            to->leaving = attachment->leaving;
            CHECK(state.n_networks < db->attachments_count);
            state.networks[state.n_networks++] = to;
        }
    }
    struct payload payload = {.type = NETWORKDB__MESSAGE_TYPE__PUSH_PULL, .push_pull = &state};
    size_t before = out->len;
    if (payload_encode(&payload, out, &err)) {
        // More attachments than an exchange can carry: what is left is this node's own word.
        buf_clear(out);
        CHECK(before == 0);
        state.n_networks = 0;
        int result = payload_encode(&payload, out, &err);
        CHECK(result == 0);
    }
    arena_fini(&arena);
}

void netdb_merge(struct netdb *db, struct mono now, struct span bytes)
{
    struct arena arena;
    struct payload payload;
    struct err err = ERR_INIT;
    arena_init(&arena, 256 << 20);
    if (payload_decode(bytes.at, bytes.size, &arena, &payload, &err) ||
        payload.type != NETWORKDB__MESSAGE_TYPE__PUSH_PULL) {
        db->counters->drop_broken++;
        arena_fini(&arena);
        return;
    }
    const Networkdb__NetworkPushPull *state = payload.push_pull;
    const struct span unheard = {NULL, 0}; // nothing of a state is relayed
    Networkdb__NodeEvent sender = NETWORKDB__NODE_EVENT__INIT;
    sender.type = NETWORKDB__NODE_EVENT__TYPE__JOIN;
    sender.l_time = state->l_time;
    sender.node_name = state->node_name;
    netdb_hear_node(db, now, &sender, unheard);
    for (size_t i = 0; i < state->n_networks; i++) {
        Networkdb__NetworkEvent event = NETWORKDB__NETWORK_EVENT__INIT;
        event.type = state->networks[i]->leaving ? NETWORKDB__NETWORK_EVENT__TYPE__LEAVE
                                                 : NETWORKDB__NETWORK_EVENT__TYPE__JOIN;
        event.l_time = state->networks[i]->l_time;
        event.node_name = state->networks[i]->node_name;
        event.network_id = state->networks[i]->network_id;
        netdb_hear_network(db, now, &event, unheard);
    }
    arena_fini(&arena);
}

// ---- sending a bulk sync ------------------------------------------------------------------------

// Sends one message with the rows gathered so far, and forgets them.
static uint32_t send_rows(struct netdb *db, const char *node, bool request,
                          const char *const *networks, size_t count, struct buf *compound)
{
    struct err err = ERR_INIT;
    struct buf wrapped, user;
    buf_init(&wrapped, STREAM_USER_BYTES_MAX);
    buf_init(&user, STREAM_USER_BYTES_MAX);
    compound_wrap(compound, &wrapped);
    Networkdb__BulkSyncMessage message = NETWORKDB__BULK_SYNC_MESSAGE__INIT;
    message.l_time = netdb_tick_clock(&db->table_clock);
    message.unsolicited = request;
    message.node_name = db->config.name;
    message.networks = (const char **)(uintptr_t)networks;
    message.n_networks = count;
    message.payload = (ProtobufCBinaryData){wrapped.len, wrapped.data};
    struct payload payload = {.type = NETWORKDB__MESSAGE_TYPE__BULK_SYNC, .bulk_sync = &message};
    uint32_t ticket = 0;
    if (payload_encode(&payload, &user, &err) == 0)
        ticket =
            db->config.out->stream(db->config.out_owner, node, (struct span){user.data, user.len});
    buf_fini(&wrapped);
    buf_fini(&user);
    buf_clear(compound);
    return ticket;
}

// Sends all rows of the networks, those of other nodes and tombstones included. A request's last
// message asks for the answer. Returns the ticket of the last message, or 0.
static uint32_t send_sync(struct netdb *db, struct mono now, const char *node, bool request,
                          const char *const *networks, size_t count)
{
    struct buf compound, event;
    uint32_t ticket = 1;
    buf_init(&compound, STREAM_USER_BYTES_MAX);
    buf_init(&event, STREAM_USER_BYTES_MAX);
    for (size_t i = 0; i < count && ticket; i++) {
        const struct netdb_network *network = netdb_network_find(db, networks[i]);
        if (!network)
            continue;
        MAP_EACH (entry, &network->rows) {
            buf_clear(&event);
            if (netdb_row_event(network, entry->value, now, &event))
                continue;
            if (ticket && compound.len + event.len > SYNC_BYTES)
                ticket = send_rows(db, node, false, networks, count, &compound);
            compound_put(&compound, event.data, event.len);
        }
    }
    if (ticket)
        ticket = send_rows(db, node, request, networks, count, &compound);
    buf_fini(&compound);
    buf_fini(&event);
    return ticket;
}

// ---- asking for one -----------------------------------------------------------------------------

static void sync_free(struct netdb *db, struct netdb_sync *sync)
{
    timers_cancel(&db->sync_timers, &sync->timer);
    map_remove_str(&db->syncs, sync->node->name);
    for (size_t i = 0; i < sync->networks_count; i++)
        free(sync->networks[i]);
    free(sync->networks);
    free(sync);
}

void netdb_syncs_fini(struct netdb *db)
{
    MAP_EACH (entry, &db->syncs)
        sync_free(db, entry->value);
    map_fini(&db->syncs);
    timers_fini(&db->sync_timers);
}

// Asks for all networks common with the node. False when that is not possible now.
static bool sync_begin(struct netdb *db, struct mono now, struct netdb_node *node, bool again)
{
    if (map_has_str(&db->syncs, node->name) || node->state != NETDB_ACTIVE)
        return false;
    struct netdb_sync *sync = MEM_NEW(struct netdb_sync);
    sync->node = node;
    sync->again = again;
    sync->networks = mem_alloc_array(map_count(&db->networks), sizeof *sync->networks);
    map_put_str(&db->syncs, node->name, sync);
    MAP_EACH (entry, &db->networks) {
        struct netdb_network *network = entry->value;
        if (!netdb_is_attached(node, network->id))
            continue;
        sync->networks[sync->networks_count++] = str_dup(network->id);
        network->syncs++;
        network->covered = true;
    }
    timers_set(&db->sync_timers, &sync->timer, mono_add(now, NETDB_ANSWER_NS));
    db->counters->bulk_syncs++;
    sync->ticket = send_sync(db, now, node->name, true, (const char *const *)sync->networks,
                             sync->networks_count);
    if (!sync->ticket)
        netdb_sync_end(db, now, sync, false);
    return true;
}

static void want_asks(struct netdb *db, struct mono now, int64_t delay_ns)
{
    if (db->asks_at.ns == MONO_NEVER.ns)
        db->asks_at = mono_add(now, delay_ns);
}

static void ask(struct netdb *db, struct mono now, struct netdb_network *network,
                const struct netdb_node *node, size_t most, int64_t delay_ns)
{
    if (network->asks_count >= most || network->asks_count == COUNT_OF(network->asks))
        return;
    for (size_t i = 0; i < network->asks_count; i++)
        if (strcmp(network->asks[i], node->name) == 0)
            return;
    network->asks[network->asks_count++] = str_dup(node->name);
    want_asks(db, now, delay_ns);
}

static void ask_peers(struct netdb *db, struct mono now, struct netdb_network *network, size_t most,
                      int64_t delay_ns)
{
    if (network->peers_count == 0) {
        network->synced = true; // with nobody
        return;
    }
    size_t start = (size_t)rand_below(&db->rand, network->peers_count);
    for (size_t i = 0; i < network->peers_count && i < most; i++)
        ask(db, now, network, network->peers[(start + i) % network->peers_count], most, delay_ns);
}

void netdb_ask(struct netdb *db, struct mono now, struct netdb_network *network,
               const struct netdb_node *node, size_t most)
{
    ask(db, now, network, node, most, ASKS_NS);
}

void netdb_ask_newcomer(struct netdb *db, struct mono now, struct netdb_network *network,
                        struct netdb_node *node)
{
    // Of a crowd that comes one is asked, whichever: most may be as new as this node.
    if (rand_below(&db->rand, ++network->newcomers) == 0)
        network->newcomer = node;
    want_asks(db, now, ASKS_NS);
}

void netdb_ask_peers(struct netdb *db, struct mono now, struct netdb_network *network, size_t most)
{
    ask_peers(db, now, network, most, ASKS_NS);
}

// Ends with or without an answer. Either way the network counts as in sync from now on; one that
// nobody answered for goes on asking those who come.
void netdb_sync_end(struct netdb *db, struct mono now, struct netdb_sync *sync, bool good)
{
    db->counters->bulk_syncs_failed += !good;
    for (size_t i = 0; i < sync->networks_count; i++) {
        struct netdb_network *network = netdb_network_find(db, sync->networks[i]);
        if (!network)
            continue;
        network->syncs -= network->syncs > 0;
        network->synced = true;
        network->heard += good && network->heard < NETDB_FIRST_SYNCS;
        if (!good && network->asks_count == 0 && (sync->again || network->heard == 0))
            ask_peers(db, now, network, 1, RETRY_NS);
    }
    sync_free(db, sync);
    // Networks that it did not cover may have waited for this node.
    MAP_EACH (entry, &db->networks)
        if (((const struct netdb_network *)entry->value)->asks_count > 0)
            want_asks(db, now, good ? ASKS_NS : RETRY_NS);
}

void netdb_asks_run(struct netdb *db, struct mono now)
{
    // What waits for one that is under way is looked at when that ends; one that cannot even begin
    // asks for a later run.
    db->asks_at = MONO_NEVER;
    MAP_EACH (entry, &db->networks) {
        struct netdb_network *network = entry->value;
        if (network->newcomers > 0 && network->heard < NETDB_FIRST_SYNCS)
            netdb_ask_peers(db, now, network, NETDB_FIRST_SYNCS - network->heard);
        if (network->newcomers > 0)
            netdb_ask(db, now, network, network->newcomer, COUNT_OF(network->asks));
        network->newcomers = 0;
        // One that is asked already, for other networks, is asked for this one after that.
        for (size_t i = network->asks_count; i-- > 0 && network->syncs < NETDB_SYNCS_AT_ONCE;) {
            char *name = network->asks[i];
            struct netdb_node *node = map_get_str(&db->nodes, name);
            if (node && netdb_is_attached(node, network->id) && map_has_str(&db->syncs, name))
                continue;
            network->asks[i] = network->asks[--network->asks_count];
            if (node && netdb_is_attached(node, network->id))
                sync_begin(db, now, node, false);
            free(name);
        }
    }
}

void netdb_sync_round(struct netdb *db, struct mono now)
{
    MAP_EACH (entry, &db->networks)
        ((struct netdb_network *)entry->value)->covered = false;
    MAP_EACH (entry, &db->networks) {
        struct netdb_network *network = entry->value;
        if (network->covered || network->peers_count == 0)
            continue;
        size_t at = (size_t)rand_below(&db->rand, network->peers_count);
        sync_begin(db, now, network->peers[at], true);
    }
}

// ---- hearing one --------------------------------------------------------------------------------

void netdb_hear_sync(struct netdb *db, struct mono now, const Networkdb__BulkSyncMessage *message)
{
    netdb_witness(&db->table_clock, message->l_time);
    struct netdb_node *node = map_get_str(&db->nodes, message->node_name);
    if (message->payload.len > 0)
        netdb_take(db, now, (struct span){message->payload.data, message->payload.len}, true);
    if (!node || node == db->self)
        return;
    if (!message->unsolicited) {
        struct netdb_sync *sync = map_get_str(&db->syncs, message->node_name);
        if (sync)
            netdb_sync_end(db, now, sync, true);
        return;
    }
    if (node->state == NETDB_ACTIVE && message->n_networks <= GOSSIP_NETWORKS_MAX)
        send_sync(db, now, node->name, false, (const char *const *)message->networks,
                  message->n_networks);
}

void netdb_sent(struct netdb *db, struct mono now, uint32_t ticket, bool good)
{
    if (good)
        return; // the answer comes by a stream of its own
    MAP_EACH (entry, &db->syncs) {
        struct netdb_sync *sync = entry->value;
        if (sync->ticket == ticket) {
            netdb_sync_end(db, now, sync, false);
            return;
        }
    }
}
