// NetworkDB's rules, each with one core under test: which events it believes, what it passes on,
// and what it says itself.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "agent/gossip/netdb.h"
#include "agent/gossip/payload.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "tests/unit/agent/gossip/ring.h"

#define NET "net1"

static struct netdb *db;
static struct gossip_counters counters;
static struct mono now;
static char said[2048];       // what the core asked of its surroundings
static struct buf gossiped;   // its last user message in a packet
static struct buf synced_out; // ... and on a stream
static uint32_t tickets;

// ---- the surroundings ---------------------------------------------------------------------------

static void note(const char *what, const char *who)
{
    size_t used = strlen(said);
    str_format(said + used, sizeof said - used, "%s>%s ", what, who);
}

static void keep(struct buf *out_bytes, struct span bytes)
{
    buf_clear(out_bytes);
    buf_put(out_bytes, bytes.at, bytes.size);
}

static void on_packet(void *owner, const char *node, struct span bytes)
{
    (void)owner;
    note("packet", node);
    keep(&gossiped, bytes);
}
static uint32_t on_stream(void *owner, const char *node, struct span bytes)
{
    (void)owner;
    note("stream", node);
    keep(&synced_out, bytes);
    return ++tickets;
}
static bool on_join(void *owner, struct mono at, const struct site *site)
{
    char port[8];
    (void)owner;
    (void)at;
    str_format(port, sizeof port, "%u", site->port);
    note("join", port);
    return true;
}
static bool is_alive(void *owner, const char *node)
{
    (void)owner;
    return *node != 'x';
}
static void on_rows(void *owner, const char *network_id)
{
    (void)owner;
    note("rows", network_id);
}
static void on_node(void *owner, const char *node, const struct site *site,
                    enum netdb_node_state state)
{
    static const char *const states[] = {"active", "failed", "left"};
    (void)owner;
    (void)site;
    note(states[state], node);
}

static const struct netdb_out out = {.packet = on_packet,
                                     .stream = on_stream,
                                     .join = on_join,
                                     .alive = is_alive,
                                     .rows_changed = on_rows,
                                     .node_changed = on_node};

static struct site site_of_port(uint16_t port)
{
    return (struct site){.ip = {10, 0, 0, 1}, .ip_size = 4, .port = port};
}

static void setup(void)
{
    struct netdb_config config = {
        .name = "me", .site = site_of_port(1), .seed = 3, .out = &out, .counters = &counters};
    counters = (struct gossip_counters){0};
    now = (struct mono){NS_PER_H};
    buf_init(&gossiped, 1 << 20);
    buf_init(&synced_out, 1 << 20);
    tickets = 0;
    db = netdb_new(&config, now);
    ck_assert_int_eq(netdb_network_join(db, now, NET, NULL), 0);
    said[0] = 0;
}

static void teardown(void)
{
    netdb_free(db);
    buf_fini(&gossiped);
    buf_fini(&synced_out);
}

static void pass(int64_t duration_ns)
{
    struct mono until = mono_add(now, duration_ns);
    for (struct mono due; !mono_before(until, due = netdb_next_due(db, now));) {
        now = mono_before(now, due) ? due : now;
        netdb_tick(db, now);
    }
    now = until;
}

static bool did(const char *what)
{
    return strstr(said, what) != NULL;
}

// ---- what is heard ------------------------------------------------------------------------------

static void up(const char *node, uint16_t port)
{
    struct site site = site_of_port(port);
    netdb_up(db, now, node, &site);
}

static void hear(Networkdb__MessageType type, const void *message, bool synced)
{
    struct payload payload = {.type = type, .message = message};
    struct buf bytes, compound;
    buf_init(&bytes, 1 << 20);
    buf_init(&compound, 1 << 20);
    ck_assert_int_eq(payload_encode(&payload, &bytes, NULL), 0);
    if (!synced) {
        netdb_packet(db, now, (struct span){bytes.data, bytes.len});
    } else {
        Networkdb__CompoundMessage__SimpleMessage part =
            NETWORKDB__COMPOUND_MESSAGE__SIMPLE_MESSAGE__INIT;
        Networkdb__CompoundMessage__SimpleMessage *parts[] = {&part};
        Networkdb__CompoundMessage all = NETWORKDB__COMPOUND_MESSAGE__INIT;
        part.payload = (ProtobufCBinaryData){bytes.len, bytes.data};
        all.messages = parts;
        all.n_messages = 1;
        payload = (struct payload){.type = NETWORKDB__MESSAGE_TYPE__COMPOUND, .compound = &all};
        ck_assert_int_eq(payload_encode(&payload, &compound, NULL), 0);
        Networkdb__BulkSyncMessage sync = NETWORKDB__BULK_SYNC_MESSAGE__INIT;
        sync.node_name = "a";
        sync.payload = (ProtobufCBinaryData){compound.len, compound.data};
        payload = (struct payload){.type = NETWORKDB__MESSAGE_TYPE__BULK_SYNC, .bulk_sync = &sync};
        buf_clear(&bytes);
        ck_assert_int_eq(payload_encode(&payload, &bytes, NULL), 0);
        netdb_stream(db, now, (struct span){bytes.data, bytes.len});
    }
    buf_fini(&bytes);
    buf_fini(&compound);
}

static void hear_network_by(const char *node, Networkdb__NetworkEvent__Type type, uint64_t ltime,
                            bool synced)
{
    Networkdb__NetworkEvent event = NETWORKDB__NETWORK_EVENT__INIT;
    event.type = type;
    event.l_time = ltime;
    event.node_name = node;
    event.network_id = NET;
    hear(NETWORKDB__MESSAGE_TYPE__NETWORK_EVENT, &event, synced);
}

static void hear_network(const char *node, Networkdb__NetworkEvent__Type type, uint64_t ltime)
{
    hear_network_by(node, type, ltime, false);
}

#define JOINS  NETWORKDB__NETWORK_EVENT__TYPE__JOIN
#define LEAVES NETWORKDB__NETWORK_EVENT__TYPE__LEAVE

static void hear_node(const char *node, Networkdb__NodeEvent__Type type, uint64_t ltime)
{
    Networkdb__NodeEvent event = NETWORKDB__NODE_EVENT__INIT;
    event.type = type;
    event.l_time = ltime;
    event.node_name = node;
    hear(NETWORKDB__MESSAGE_TYPE__NODE_EVENT, &event, false);
}

static void hear_row_for(const char *node, Networkdb__TableEvent__Type type, uint64_t ltime,
                         const char *value, int32_t residual_s, bool synced)
{
    Networkdb__TableEvent event = NETWORKDB__TABLE_EVENT__INIT;
    event.type = type;
    event.l_time = ltime;
    event.node_name = node;
    event.network_id = NET;
    event.table_name = "t";
    event.key = "k";
    event.value = (ProtobufCBinaryData){strlen(value), (uint8_t *)(uintptr_t)value};
    event.residual_reap_time = residual_s;
    hear(NETWORKDB__MESSAGE_TYPE__TABLE_EVENT, &event, synced);
}

#define CREATES NETWORKDB__TABLE_EVENT__TYPE__CREATE
#define UPDATES NETWORKDB__TABLE_EVENT__TYPE__UPDATE
#define DELETES NETWORKDB__TABLE_EVENT__TYPE__DELETE

static void hear_row(Networkdb__TableEvent__Type type, uint64_t ltime, const char *value)
{
    hear_row_for("a", type, ltime, value, type == DELETES ? 1800 : 0, false);
}

static char row_text[64];

static void see_row(void *ctx, const struct netdb_view *row)
{
    (void)ctx;
    str_format(row_text, sizeof row_text, "%s/%s=%.*s@%s", row->table, row->key,
               (int)row->value.size, (const char *)row->value.at, row->node);
}

// The network's only row, as text; "" when there is none.
static const char *row(void)
{
    row_text[0] = 0;
    netdb_rows(db, NET, NULL, see_row, NULL);
    return row_text;
}

// The events queued for packets, counted by what travels: "network" events or "node" events.
static size_t piggybacked(void)
{
    struct parcel parcel;
    parcel_init(&parcel);
    netdb_fill(db, &parcel);
    size_t count = parcel.count;
    parcel_fini(&parcel);
    return count;
}

static void drain(void)
{
    while (piggybacked() > 0)
        ;
    pass(3 * NS_PER_S);
    said[0] = 0;
}

// ---- nodes and networks -------------------------------------------------------------------------

START_TEST(nodes_follow_memberlist_and_their_own_word)
{
    hear_node("a", NETWORKDB__NODE_EVENT__TYPE__JOIN, 5); // not known to memberlist
    ck_assert_str_eq(said, "");
    up("a", 2);
    ck_assert_str_eq(said, "active>a ");
    hear_node("a", NETWORKDB__NODE_EVENT__TYPE__LEAVE, 6);
    ck_assert(did("left>a"));
    netdb_down(db, now, "a", false); // it had said so
    ck_assert(!did("failed>a"));
    hear_node("a", NETWORKDB__NODE_EVENT__TYPE__JOIN, 6); // no newer
    hear_node("a", NETWORKDB__NODE_EVENT__TYPE__JOIN, 7);
    ck_assert_str_eq(said, "active>a left>a active>a ");
    netdb_down(db, now, "a", false);
    ck_assert(did("failed>a"));
    up("x", 3); // memberlist will say that x is dead when asked
    hear_node("x", NETWORKDB__NODE_EVENT__TYPE__LEAVE, 8);
    hear_node("x", NETWORKDB__NODE_EVENT__TYPE__JOIN, 9);
    ck_assert_ptr_nonnull(strstr(said, "active>x left>x "));
    ck_assert_ptr_null(strstr(strstr(said, "left>x"), "active>x"));
}
END_TEST

START_TEST(a_new_name_at_an_address_replaces_the_old_one)
{
    up("a", 2);
    hear_network("a", JOINS, 5);
    hear_row(CREATES, 5, "v");
    ck_assert_str_eq(row(), "t/k=v@a");
    up("b", 2);
    ck_assert(did("left>a"));
    ck_assert_str_eq(row(), "");
    hear_node("a", NETWORKDB__NODE_EVENT__TYPE__JOIN, 50); // a late word of the former life
    ck_assert_ptr_null(strstr(strstr(said, "left>a"), "active>a"));
    // What lives at this node's own address is its own former life.
    up("c", 1);
    ck_assert(!did("active>c"));
    // Late word about a former life takes the place only until memberlist finds it dead.
    up("a", 2);
    ck_assert(did("left>b"));
    said[0] = 0;
    netdb_down(db, now, "a", false);
    ck_assert(did("active>b"));
}
END_TEST

// A node that starts twice within seconds: memberlist finds its first life dead when the third one
// is there, and still believes in the second.
START_TEST(the_death_of_one_replaced_before_changes_nothing)
{
    up("a", 2);
    up("b", 2);
    up("c", 2);
    hear_network("c", JOINS, 5);
    hear_row(CREATES, 5, "v");
    said[0] = 0;
    netdb_down(db, now, "a", false);
    netdb_down(db, now, "b", false);
    ck_assert_str_eq(said, "");
    netdb_down(db, now, "c", false);
    ck_assert(did("failed>c"));
}
END_TEST

START_TEST(network_events_need_a_newer_time_and_are_relayed_once)
{
    drain();
    up("a", 2);
    hear_network("a", LEAVES, 4); // unknown attachment
    ck_assert_uint_eq(piggybacked(), 0);
    hear_network("a", JOINS, 5);
    ck_assert_uint_eq(piggybacked(), 1);
    drain();
    hear_network("a", JOINS, 5);
    ck_assert_uint_eq(piggybacked(), 0);
    hear_network("a", LEAVES, 6);
    hear_network("a", JOINS, 6);
    hear_row(CREATES, 5, "v");
    ck_assert_str_eq(row(), "");    // it left
    hear_network("me", LEAVES, 99); // about this node itself: ignored
    ck_assert_int_eq(netdb_row_put(db, now, NET, "t", "k", span_text("v"), NULL), 0);
}
END_TEST

START_TEST(what_comes_too_early_waits_a_little)
{
    hear_network("a", JOINS, 5);
    hear_row(CREATES, 6, "v");
    ck_assert_str_eq(row(), "");
    up("a", 2);
    ck_assert_str_eq(row(), "t/k=v@a");
    // A row that waits in vain: its owner is asked, and the row forgotten.
    up("b", 3);
    hear_row_for("b", UPDATES, 9, "w", 0, false);
    said[0] = 0;
    pass(2 * NS_PER_S);
    ck_assert(did("join>3"));
    pass(6 * NS_PER_S);
    hear_network("b", JOINS, 7);
    ck_assert_str_eq(row(), "t/k=v@a");
}
END_TEST

START_TEST(a_state_counts_as_events)
{
    Networkdb__NetworkPushPull state = NETWORKDB__NETWORK_PUSH_PULL__INIT;
    Networkdb__NetworkEntry a = NETWORKDB__NETWORK_ENTRY__INIT, b = NETWORKDB__NETWORK_ENTRY__INIT;
    Networkdb__NetworkEntry *entries[] = {&a, &b};
    struct payload payload = {.type = NETWORKDB__MESSAGE_TYPE__PUSH_PULL, .push_pull = &state};
    struct buf bytes;
    up("a", 2);
    up("b", 3);
    a.network_id = b.network_id = NET;
    a.node_name = "a";
    b.node_name = "b"; // a third node's
    a.l_time = b.l_time = 20;
    state.node_name = "a";
    state.l_time = 30;
    state.networks = entries;
    state.n_networks = COUNT_OF(entries);
    buf_init(&bytes, 1 << 16);
    ck_assert_int_eq(payload_encode(&payload, &bytes, NULL), 0);
    netdb_merge(db, now, (struct span){bytes.data, bytes.len});
    hear_row_for("b", CREATES, 9, "v", 0, false);
    ck_assert_str_eq(row(), "t/k=v@b");
    // What it says in turn has a newer time, and all attachments it knows.
    buf_clear(&bytes);
    netdb_state(db, true, &bytes);
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct err err = ERR_INIT;
    ck_assert_int_eq(payload_decode(bytes.data, bytes.len, &arena, &payload, &err), 0);
    ck_assert_uint_eq(payload.push_pull->n_networks, 3);
    ck_assert_uint_ge(payload.push_pull->l_time, 31);
    for (size_t i = 0; i < 3; i++)
        if (str_equal(payload.push_pull->networks[i]->node_name, "me"))
            ck_assert_uint_ge(payload.push_pull->networks[i]->l_time, 31);
    arena_fini(&arena);
    netdb_merge(db, now, span_text("junk"));
    ck_assert_uint_eq(counters.drop_broken, 1);
    buf_fini(&bytes);
}
END_TEST

// ---- rows ---------------------------------------------------------------------------------------

START_TEST(rows_are_believed_by_time_and_owner)
{
    up("a", 2);
    hear_network("a", JOINS, 5);
    hear_row(CREATES, 10, "v1");
    hear_row(UPDATES, 10, "v2"); // no newer
    ck_assert_str_eq(row(), "t/k=v1@a");
    hear_row(UPDATES, 12, "v3");
    hear_row(CREATES, 13, "v4"); // create and update are the same to a receiver
    ck_assert_str_eq(row(), "t/k=v4@a");
    hear_row_for("me", CREATES, 99, "forged", 0, false);
    ck_assert_str_eq(row(), "t/k=v4@a");
    hear_row(DELETES, 14, "v4");
    ck_assert_str_eq(row(), "");
    hear_row(CREATES, 13, "v4"); // older than the tombstone
    ck_assert_str_eq(row(), "");
    hear_row(CREATES, 15, "v5");
    netdb_down(db, now, "a", false);
    ck_assert_str_eq(row(), "");
    hear_row(CREATES, UINT64_MAX, "v6");
    ck_assert_uint_eq(counters.drop_broken, 1);
}
END_TEST

START_TEST(a_deletion_of_the_unknown_blocks_what_is_older)
{
    up("a", 2);
    hear_network("a", JOINS, 5);
    hear_row(DELETES, 10, "v");
    hear_row(CREATES, 9, "v");
    // 20.10 ignores the first; here it is kept as current engines do, and blocks what is older.
    ck_assert_str_eq(row(), "");
    hear_row_for("a", CREATES, 11, "v", 0, true);
    ck_assert_str_eq(row(), "t/k=v@a");
    hear_row_for("a", DELETES, 12, "v", 20, true);
    ck_assert_str_eq(row(), "");
    netdb_gauge(db);
    ck_assert_uint_eq(counters.rows, 1);
    pass(30 * NS_PER_S); // its tombstone had 20 s left
    netdb_gauge(db);
    ck_assert_uint_eq(counters.rows, 0);
}
END_TEST

START_TEST(own_rows_are_nobody_elses)
{
    up("a", 2);
    hear_network("a", JOINS, 5);
    ck_assert_int_eq(netdb_row_put(db, now, NET, "t", "k", span_text("mine"), NULL), 0);
    hear_row(UPDATES, 1000, "stolen");
    ck_assert_str_eq(row(), "t/k=mine@me");
    ck_assert_uint_eq(counters.drop_conflict, 1);
    netdb_row_remove(db, now, NET, "t", "k");
    ck_assert_str_eq(row(), "");
    hear_row(UPDATES, 2000, "theirs");
    ck_assert_str_eq(row(), "t/k=theirs@a");
    ck_assert_int_eq(netdb_row_put(db, now, NET, "t", "k", span_text("mine"), NULL),
                     -ERR_ALREADY_EXISTS);
    netdb_row_remove(db, now, NET, "t", "k"); // not ours to remove
    ck_assert_str_eq(row(), "t/k=theirs@a");
    // A peer that leaves the network takes its rows along, and a third node cannot bring them back.
    hear_network("a", LEAVES, 9);
    ck_assert_str_eq(row(), "");
    hear_network("a", JOINS, 10);
    hear_row_for("a", CREATES, 2000, "theirs", 0, true);
    ck_assert_str_eq(row(), "");
}
END_TEST

START_TEST(rows_are_gossiped_in_one_packet_a_few_times)
{
    up("a", 2);
    hear_network("a", JOINS, 5);
    drain();
    ck_assert_int_eq(netdb_row_put(db, now, NET, "t", "k1", span_text("v"), NULL), 0);
    ck_assert_int_eq(netdb_row_put(db, now, NET, "t", "k2", span_text("v"), NULL), 0);
    ck_assert_int_eq(netdb_row_put(db, now, NET, "t", "k2", span_text("v"), NULL), 0); // no change
    pass(5 * NS_PER_S);
    unsigned packets = 0;
    for (const char *at = said; (at = strstr(at, "packet>a")); at++)
        packets++;
    ck_assert_uint_eq(packets, 4); // 4 for each decimal digit of the nodes on the network
    struct arena arena;
    struct payload payload;
    struct err err = ERR_INIT;
    arena_init(&arena, 1 << 20);
    ck_assert_int_eq(payload_decode(gossiped.data, gossiped.len, &arena, &payload, &err), 0);
    ck_assert_int_eq(payload.type, NETWORKDB__MESSAGE_TYPE__COMPOUND);
    ck_assert_uint_eq(payload.compound->n_messages, 2);
    arena_fini(&arena);
}
END_TEST

START_TEST(a_bulk_sync_is_answered_with_all_rows)
{
    up("a", 2);
    hear_network("a", JOINS, 5);
    drain();
    ck_assert_int_eq(netdb_row_put(db, now, NET, "t", "k1", span_text("v"), NULL), 0);
    ck_assert_int_eq(netdb_row_put(db, now, NET, "t", "k2", span_text("v"), NULL), 0);
    netdb_row_remove(db, now, NET, "t", "k2");
    Networkdb__BulkSyncMessage request = NETWORKDB__BULK_SYNC_MESSAGE__INIT;
    const char *networks[] = {NET, "unknown"};
    request.l_time = 500;
    request.unsolicited = true;
    request.node_name = "a";
    request.networks = networks;
    request.n_networks = COUNT_OF(networks);
    said[0] = 0;
    hear(NETWORKDB__MESSAGE_TYPE__BULK_SYNC, &request, false);
    ck_assert_str_eq(said, "stream>a ");
    struct arena arena;
    struct payload answer, rows, event;
    struct err err = ERR_INIT;
    arena_init(&arena, 1 << 20);
    ck_assert_int_eq(payload_decode(synced_out.data, synced_out.len, &arena, &answer, &err), 0);
    ck_assert_int_eq(answer.type, NETWORKDB__MESSAGE_TYPE__BULK_SYNC);
    ck_assert(!answer.bulk_sync->unsolicited);
    ck_assert_uint_gt(answer.bulk_sync->l_time, 500);
    ck_assert_uint_eq(answer.bulk_sync->n_networks, 2);
    ck_assert_int_eq(payload_decode(answer.bulk_sync->payload.data, answer.bulk_sync->payload.len,
                                    &arena, &rows, &err),
                     0);
    ck_assert_uint_eq(rows.compound->n_messages, 2);
    const ProtobufCBinaryData *part = &rows.compound->messages[1]->payload;
    ck_assert_int_eq(payload_decode(part->data, part->len, &arena, &event, &err), 0);
    ck_assert_int_eq(event.table_event->type, DELETES);
    ck_assert_int_gt(event.table_event->residual_reap_time, 1790);
    ck_assert_int_le(event.table_event->residual_reap_time, 1800);
    arena_fini(&arena);
    // Of a stranger, nothing.
    request.node_name = "stranger";
    said[0] = 0;
    hear(NETWORKDB__MESSAGE_TYPE__BULK_SYNC, &request, false);
    ck_assert_str_eq(said, "");
}
END_TEST

// A network joined while a node is being asked about others: it is asked again, after that.
static void hear_answer(void)
{
    Networkdb__BulkSyncMessage answer = NETWORKDB__BULK_SYNC_MESSAGE__INIT;
    answer.l_time = 600;
    answer.node_name = "a";
    hear(NETWORKDB__MESSAGE_TYPE__BULK_SYNC, &answer, false);
}

static void hear_join_of(const char *network)
{
    Networkdb__NetworkEvent event = NETWORKDB__NETWORK_EVENT__INIT;
    event.type = JOINS;
    event.l_time = 50;
    event.node_name = "a";
    event.network_id = network;
    hear(NETWORKDB__MESSAGE_TYPE__NETWORK_EVENT, &event, false);
}

// Newer engines send with the rows who is on the network, also of nodes that are not the sender.
START_TEST(a_bulk_sync_may_tell_of_third_nodes_on_the_network)
{
    up("a", 2);
    up("b", 3);
    drain();
    hear_network_by("b", JOINS, 5, true);
    ck_assert(did("rows>" NET));
    ck_assert_uint_eq(piggybacked(), 1); // news is passed on
    hear_row_for("b", CREATES, 6, "1.2.3.4", 0, true);
    ck_assert_str_eq(row(), "t/k=1.2.3.4@b");
    // What is older changes nothing, and a departure takes the rows.
    hear_network_by("b", LEAVES, 4, true);
    ck_assert_str_eq(row(), "t/k=1.2.3.4@b");
    hear_network_by("b", LEAVES, 7, true);
    ck_assert_str_eq(row(), "");
    // Of this node itself nobody else tells, and one that is not known yet waits until it is.
    hear_network_by("me", LEAVES, 100, true);
    hear_network_by("c", JOINS, 8, true);
    up("c", 4);
    hear_row_for("c", CREATES, 9, "1.2.3.5", 0, true);
    ck_assert_str_eq(row(), "t/k=1.2.3.5@c");
}
END_TEST

START_TEST(a_sync_under_way_puts_off_the_next_one)
{
    up("a", 2);
    hear_join_of("net2");
    hear_network("a", JOINS, 5);
    pass(NS_PER_S / 10);
    ck_assert(did("stream>a"));
    said[0] = 0;
    ck_assert_int_eq(netdb_network_join(db, now, "net2", NULL), 0);
    pass(NS_PER_S / 2);
    ck_assert(!did("stream>a"));
    hear_answer();
    pass(NS_PER_S / 10);
    ck_assert(did("stream>a"));
    // And when the answer never comes, too.
    said[0] = 0;
    ck_assert_int_eq(netdb_network_join(db, now, "net3", NULL), 0);
    hear_join_of("net3");
    pass(NS_PER_S);
    ck_assert(!did("stream>a"));
    pass(NETDB_ANSWER_NS + NS_PER_S);
    ck_assert(did("stream>a"));
}
END_TEST

START_TEST(nothing_is_put_past_its_limits)
{
    char name[GOSSIP_ID_BYTES + 2];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    ck_assert_int_eq(netdb_network_join(db, now, name, NULL), -ERR_INVALID_ARGUMENT);
    name[GOSSIP_ID_BYTES] = 0;
    ck_assert_int_eq(netdb_network_join(db, now, name, NULL), 0);
    for (int i = 0; i < GOSSIP_NETWORKS_MAX - 2; i++) {
        str_format(name, sizeof name, "more%d", i);
        ck_assert_int_eq(netdb_network_join(db, now, name, NULL), 0);
    }
    ck_assert_int_eq(netdb_network_join(db, now, "one-more", NULL), -ERR_RESOURCE_EXHAUSTED);
    netdb_network_leave(db, now, "more7");
    ck_assert_int_eq(netdb_network_join(db, now, "one-more", NULL), 0);
    // Compounds do not nest.
    Networkdb__CompoundMessage__SimpleMessage part =
        NETWORKDB__COMPOUND_MESSAGE__SIMPLE_MESSAGE__INIT;
    Networkdb__CompoundMessage__SimpleMessage *parts[] = {&part};
    Networkdb__CompoundMessage all = NETWORKDB__COMPOUND_MESSAGE__INIT;
    part.payload = (ProtobufCBinaryData){2, (uint8_t *)(uintptr_t) "\x08\x05"};
    all.messages = parts;
    all.n_messages = 1;
    hear(NETWORKDB__MESSAGE_TYPE__COMPOUND, &all, false);
    ck_assert_uint_eq(counters.drop_broken, 1);
}
END_TEST

// ---- finding others -----------------------------------------------------------------------------

START_TEST(bootstrap_addresses_are_joined_until_one_lives)
{
    struct site sites[] = {site_of_port(1), site_of_port(5)}; // the first is this node
    netdb_bootstrap(db, now, sites, COUNT_OF(sites));
    said[0] = 0;
    pass(3 * NS_PER_S);
    ck_assert(did("join>5"));
    ck_assert(!did("join>1"));
    netdb_joined(db, &sites[1], true);
    up("m", 5);
    said[0] = 0;
    pass(200 * NS_PER_S);
    ck_assert(!did("join>5"));
    netdb_down(db, now, "m", false);
    said[0] = 0;
    pass(3 * NS_PER_S);
    ck_assert(did("join>5")); // as a failed node
}
END_TEST

START_TEST(leaving_says_so_first)
{
    up("a", 2);
    drain();
    netdb_leave(db, now);
    ck_assert(!netdb_has_left(db, now));
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(piggybacked(), 1);
    ck_assert(netdb_has_left(db, now));
}
END_TEST

Suite *suite_netdb(void);
Suite *suite_netdb(void)
{
    Suite *suite = suite_create("netdb");
    TCase *rules = tcase_create("rules");
    tcase_add_checked_fixture(rules, setup, teardown);
    tcase_add_test(rules, nodes_follow_memberlist_and_their_own_word);
    tcase_add_test(rules, a_new_name_at_an_address_replaces_the_old_one);
    tcase_add_test(rules, the_death_of_one_replaced_before_changes_nothing);
    tcase_add_test(rules, network_events_need_a_newer_time_and_are_relayed_once);
    tcase_add_test(rules, what_comes_too_early_waits_a_little);
    tcase_add_test(rules, a_state_counts_as_events);
    tcase_add_test(rules, rows_are_believed_by_time_and_owner);
    tcase_add_test(rules, a_deletion_of_the_unknown_blocks_what_is_older);
    tcase_add_test(rules, own_rows_are_nobody_elses);
    tcase_add_test(rules, rows_are_gossiped_in_one_packet_a_few_times);
    tcase_add_test(rules, a_bulk_sync_is_answered_with_all_rows);
    tcase_add_test(rules, a_bulk_sync_may_tell_of_third_nodes_on_the_network);
    tcase_add_test(rules, a_sync_under_way_puts_off_the_next_one);
    tcase_add_test(rules, nothing_is_put_past_its_limits);
    tcase_add_test(rules, bootstrap_addresses_are_joined_until_one_lives);
    tcase_add_test(rules, leaving_says_so_first);
    suite_add_tcase(suite, rules);
    return suite;
}
