// The rows of joined networks: own ones put and removed, others' by table events, tombstones
// (gossip.md section 10.4).
#include <stdlib.h>
#include <string.h>

#include "agent/gossip/netdb_impl.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define KEY_BYTES (2 * GOSSIP_ID_BYTES + 2)

// What of a table event fits into one packet, the headers around it being the compound's, the
// part's and the user message's.
#define EVENT_ROOM                                                                                 \
    (PACKET_BUDGET_BYTES - PACKET_WRAP_BYTES - PACKET_COMPOUND_BYTES - PACKET_PART_BYTES - 16)

static size_t row_key(const char *table, const char *key, char out[KEY_BYTES])
{
    bool fits = str_format(out, KEY_BYTES, "%s/%s", table, key);
    CHECK(fits);
    return strlen(out);
}

static const char *key_of(const struct netdb_row *row)
{
    return row->key + row->table_size + 1;
}

// ---- storing -----------------------------------------------------------------------------------

static void set_value(struct netdb *db, struct netdb_row *row, struct span value)
{
    db->rows_bytes += value.size - row->value_size;
    free(row->value);
    row->value = mem_dup(value.at, value.size);
    row->value_size = value.size;
}

static bool has_room(const struct netdb *db, const struct netdb_row *row, size_t value_size)
{
    size_t before = row ? row->value_size : 0;
    return (row || db->rows_count < NETDB_ROWS_MAX) &&
           db->rows_bytes - before + value_size <= NETDB_ROWS_BYTES_MAX;
}

static struct netdb_row *row_new(struct netdb *db, struct netdb_network *network, const char *table,
                                 const char *key)
{
    char name[KEY_BYTES];
    size_t size = row_key(table, key, name);
    struct netdb_row *row = mem_alloc(sizeof *row + size + 1);
    memcpy(row->key, name, size);
    row->table_size = strlen(table);
    map_put(&network->rows, name, size, row);
    db->rows_count++;
    return row;
}

static void row_free(struct netdb *db, struct netdb_network *network, struct netdb_row *row)
{
    db->rows_count--;
    db->rows_bytes -= row->value_size;
    map_remove_str(&network->rows, row->key);
    free(row->value);
    free(row);
}

static struct netdb_row *row_find(const struct netdb_network *network, const char *table,
                                  const char *key)
{
    char name[KEY_BYTES];
    size_t size = row_key(table, key, name);
    return map_get(&network->rows, name, size);
}

void netdb_rows_drop(struct netdb *db, struct netdb_network *network, const struct netdb_node *node)
{
    MAP_EACH (entry, &network->rows) {
        struct netdb_row *row = entry->value;
        if (!node || row->node == node)
            row_free(db, network, row);
    }
}

static void bury(struct mono now, struct netdb_row *row, int64_t life_ns)
{
    row->deleting = true;
    row->reap_at = mono_add(now, life_ns);
}

void netdb_rows_bury(struct netdb *db, struct mono now, struct netdb_network *network,
                     const struct netdb_node *node)
{
    (void)db;
    MAP_EACH (entry, &network->rows) {
        struct netdb_row *row = entry->value;
        if (row->node == node && !row->deleting)
            bury(now, row, NETDB_TOMBSTONE_NS);
    }
}

void netdb_rows_reap(struct netdb *db, struct mono now)
{
    MAP_EACH (network_entry, &db->networks) {
        struct netdb_network *network = network_entry->value;
        MAP_EACH (entry, &network->rows) {
            struct netdb_row *row = entry->value;
            if (!row->deleting || mono_before(now, row->reap_at))
                continue;
            row_free(db, network, row);
            db->counters->rows_reaped++;
        }
    }
}

// ---- as events ---------------------------------------------------------------------------------

int netdb_row_event(const struct netdb_network *network, const struct netdb_row *row,
                    struct mono now, struct buf *out)
{
    char table[GOSSIP_ID_BYTES + 1];
    struct err err = ERR_INIT;
    memcpy(table, row->key, row->table_size);
    table[row->table_size] = 0;
    Networkdb__TableEvent event = NETWORKDB__TABLE_EVENT__INIT;
    event.type =
        row->deleting ? NETWORKDB__TABLE_EVENT__TYPE__DELETE : NETWORKDB__TABLE_EVENT__TYPE__CREATE;
    event.l_time = row->ltime;
    event.node_name = row->node->name;
    event.network_id = network->id;
    event.table_name = table;
    event.key = key_of(row);
    event.value = (ProtobufCBinaryData){row->value_size, row->value};
    if (row->deleting) {
        // Never 0: that would give it a whole new life at every receiver.
        int64_t left_ns = mono_since(row->reap_at, now);
        event.residual_reap_time = left_ns > NS_PER_S ? (int32_t)(left_ns / NS_PER_S) : 1;
    }
    struct payload payload = {.type = NETWORKDB__MESSAGE_TYPE__TABLE_EVENT, .table_event = &event};
    return payload_encode(&payload, out, &err);
}

static void queue_event(struct netdb *db, struct netdb_network *network, const char *key,
                        struct span bytes)
{
    broadcasts_put(&network->queue, key, strlen(key), bytes.at, bytes.size);
    db->gossips = true;
    db->counters->broadcasts_dropped += network->queue.dropped;
    network->queue.dropped = 0;
}

static void gossip_own(struct netdb *db, struct mono now, struct netdb_network *network,
                       const struct netdb_row *row)
{
    struct buf bytes;
    buf_init(&bytes, GOSSIP_VALUE_BYTES + PACKET_BUDGET_BYTES);
    int result = netdb_row_event(network, row, now, &bytes);
    CHECK(result == 0); // own rows are bounded
    if (bytes.len <= EVENT_ROOM)
        queue_event(db, network, row->key, (struct span){bytes.data, bytes.len});
    else
        netdb_ask_peers(db, now, network, NETDB_FEW); // travels by bulk sync
    buf_fini(&bytes);
}

static size_t repeat(struct netdb *db, struct mono now, struct netdb_network *network, size_t left)
{
    MAP_EACH (entry, &network->rows) {
        const struct netdb_row *row = entry->value;
        if (left > 0 && row->node == db->self && !row->deleting) {
            gossip_own(db, now, network, row);
            left--;
        }
    }
    return left;
}

void netdb_rows_repeat(struct netdb *db, struct mono now, struct netdb_network *network)
{
    size_t left = NETDB_REPEAT_MAX;
    if (network)
        repeat(db, now, network, left);
    else
        MAP_EACH (entry, &db->networks)
            left = repeat(db, now, entry->value, left);
}

// ---- own rows ----------------------------------------------------------------------------------

static bool good_id(const char *id)
{
    return *id && strlen(id) <= GOSSIP_ID_BYTES && !strchr(id, '/');
}

int netdb_row_put(struct netdb *db, struct mono now, const char *network_id, const char *table,
                  const char *key, struct span value, struct err *err)
{
    if (!good_id(network_id) || !good_id(table) || !good_id(key))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "network, table or key is empty, too long or has a slash");
    if (value.size > GOSSIP_VALUE_BYTES)
        return err_set(err, ERR_INVALID_ARGUMENT, "value of %zu bytes; at most %d", value.size,
                       GOSSIP_VALUE_BYTES);
    struct netdb_network *network = netdb_network_find(db, network_id);
    if (!network)
        return err_set(err, ERR_FAILED_PRECONDITION, "network %s is not joined", network_id);
    struct netdb_row *row = row_find(network, table, key);
    if (row && !row->deleting && row->node != db->self)
        return err_set(err, ERR_ALREADY_EXISTS, "%s/%s belongs to node %s", table, key,
                       row->node->name);
    if (row && !row->deleting && row->value_size == value.size &&
        memcmp(row->value, value.at, value.size) == 0)
        return 0;
    if (!has_room(db, row, value.size))
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "too many rows");
    if (!row)
        row = row_new(db, network, table, key);
    row->node = db->self;
    row->ltime = netdb_tick_clock(&db->table_clock);
    row->deleting = false;
    set_value(db, row, value);
    gossip_own(db, now, network, row);
    netdb_rows_changed(db, network_id);
    return 0;
}

void netdb_row_remove(struct netdb *db, struct mono now, const char *network_id, const char *table,
                      const char *key)
{
    struct netdb_network *network = netdb_network_find(db, network_id);
    if (!network || !good_id(table) || !good_id(key))
        return;
    struct netdb_row *row = row_find(network, table, key);
    if (!row || row->deleting || row->node != db->self)
        return;
    row->ltime = netdb_tick_clock(&db->table_clock);
    bury(now, row, NETDB_TOMBSTONE_NS);
    gossip_own(db, now, network, row);
    netdb_rows_changed(db, network_id);
}

// ---- others' rows ------------------------------------------------------------------------------

static bool good_event(const Networkdb__TableEvent *event)
{
    return good_id(event->table_name) && good_id(event->key) && event->l_time < NETDB_TIME_MAX &&
           event->value.len <= NETDB_VALUE_TAKEN &&
           (event->type == NETWORKDB__TABLE_EVENT__TYPE__CREATE ||
            event->type == NETWORKDB__TABLE_EVENT__TYPE__UPDATE ||
            event->type == NETWORKDB__TABLE_EVENT__TYPE__DELETE);
}

static int64_t tombstone_life(const Networkdb__TableEvent *event)
{
    int64_t life_ns = event->residual_reap_time * NS_PER_S;
    // Old engines have no such field; and nobody's tombstone outlives its time.
    return life_ns > 0 && life_ns < NETDB_TOMBSTONE_NS ? life_ns : NETDB_TOMBSTONE_NS;
}

// Whether a fresh event is worth passing on.
static bool worth_relaying(const struct netdb_network *network, const Networkdb__TableEvent *event,
                           bool was_known, bool synced)
{
    if (!network->synced)
        return false;
    bool deletes = event->type == NETWORKDB__TABLE_EVENT__TYPE__DELETE;
    // A deletion near its end is known everywhere, and must not circle for ever.
    if (!was_known && deletes)
        return synced && tombstone_life(event) > NETDB_TOMBSTONE_NS / 6;
    return !synced || network->queue.count <= NETDB_RELAY_SYNCED;
}

// ---- others' events -----------------------------------------------------------------------------

// Whether the word that the owner is on the network may still be on its way. Of one that left or
// died nothing is kept: what it had then may be over by the time it comes back.
static bool may_come(const struct netdb_node *owner, const char *network_id)
{
    return !owner ||
           (owner->state == NETDB_ACTIVE && !map_has_str(&owner->attachments, network_id));
}

void netdb_hear_table(struct netdb *db, struct mono now, const Networkdb__TableEvent *event,
                      struct span relay, bool synced)
{
    db->counters->table_events_in++;
    netdb_witness(&db->table_clock, event->l_time);
    if (!good_event(event)) {
        db->counters->drop_broken++;
        return;
    }
    struct netdb_network *network = netdb_network_find(db, event->network_id);
    struct netdb_node *owner = map_get_str(&db->nodes, event->node_name);
    // What this node put it knows better; rows of nodes that are not there would never end.
    if (!network || (owner && owner == db->self))
        return;
    if (!owner || owner->state != NETDB_ACTIVE || !netdb_is_attached(owner, event->network_id)) {
        if (may_come(owner, event->network_id))
            netdb_early_put(db, now, event->node_name, event->network_id, relay, synced);
        return;
    }
    struct netdb_row *row = row_find(network, event->table_name, event->key);
    if (row && row->ltime >= event->l_time)
        return;
    if (row && row->node == db->self && !row->deleting) {
        db->counters->drop_conflict++; // nobody takes a row of ours
        return;
    }
    bool deletes = event->type == NETWORKDB__TABLE_EVENT__TYPE__DELETE;
    bool was_known = row;
    bool was_live = row && !row->deleting;
    if (!has_room(db, row, event->value.len)) {
        db->counters->drop_full++;
        return;
    }
    if (!row)
        row = row_new(db, network, event->table_name, event->key);
    row->node = owner;
    row->ltime = event->l_time;
    row->deleting = false;
    if (deletes)
        bury(now, row, tombstone_life(event));
    set_value(db, row, (struct span){event->value.data, event->value.len});
    db->counters->table_events_taken++;
    if (relay.size <= EVENT_ROOM && worth_relaying(network, event, was_known, synced))
        queue_event(db, network, row->key, relay);
    if (was_live || !deletes)
        netdb_rows_changed(db, event->network_id);
}

// ---- walking -----------------------------------------------------------------------------------

void netdb_rows(const struct netdb *db, const char *network_id, const char *table,
                netdb_row_fn *visit, void *ctx)
{
    const struct netdb_network *network = netdb_network_find(db, network_id);
    if (!network)
        return;
    size_t table_size = table ? strlen(table) : 0;
    char name[GOSSIP_ID_BYTES + 1];
    MAP_EACH (entry, &network->rows) {
        const struct netdb_row *row = entry->value;
        if (row->deleting ||
            (table && (row->table_size != table_size || memcmp(row->key, table, table_size) != 0)))
            continue;
        memcpy(name, row->key, row->table_size);
        name[row->table_size] = 0;
        struct netdb_view view = {.network_id = network->id,
                                  .table = name,
                                  .key = key_of(row),
                                  .value = {row->value, row->value_size},
                                  .node = row->node->name,
                                  .site = &row->node->site,
                                  .own = row->node == db->self};
        visit(ctx, &view);
    }
}
