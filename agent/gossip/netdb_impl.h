// What the files of the NetworkDB core share: nodes and networks (netdb.c), rows (netdb_rows.c),
// exchange of many at once (netdb_sync.c), timers (netdb_upkeep.c).
#ifndef AGENT_GOSSIP_NETDB_IMPL_H
#define AGENT_GOSSIP_NETDB_IMPL_H

#include "agent/gossip/broadcast.h"
#include "agent/gossip/netdb.h"
#include "agent/gossip/payload.h"
#include "agent/gossip/rounds.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "proto/base/rand.h"
#include "proto/base/timer.h"

#define NETDB_RECONNECTS_MAX 8 // under way at a time
#define NETDB_FIRST_SYNCS    3 // peers asked when joining a network
#define NETDB_FEW            3 // nodes that are asked, or ask, on other occasions
#define NETDB_ASKS_MAX       8
#define NETDB_SYNCS_AT_ONCE  2        // of one network
#define NETDB_SETTLE_NS      NS_PER_S // nodes that come back, come in crowds
#define NETDB_RETURNED_NS    (30 * NS_PER_S)
#define NETDB_YOUNG_NS       (30 * NS_PER_S)
#define NETDB_ANNOUNCE_NS    (10 * NS_PER_S) // between announcements, at least
#define NETDB_REPEAT_MAX     2048            // own rows that are gossiped anew
#define NETDB_EARLY_MAX      1024
#define NETDB_EARLY_NS       (5 * NS_PER_S)
#define NETDB_RELAY_SYNCED   500 // queued table events above which synced ones are not relayed

struct netdb_node {
    char *name;
    struct site site;
    enum netdb_node_state state;
    uint64_t ltime;         // of the last node event
    struct mono reap_at;    // while failed or left
    bool replaced;          // another name lives at its site: never comes back
    struct mono returned;   // until then: it was failed, and what it holds may be unknown here
    bool trying;            // a reconnect is under way
    struct map attachments; // by network id
};

// A node on a network.
struct netdb_attachment {
    struct netdb_node *node;
    uint64_t ltime;
    bool leaving;
    struct mono reap_at; // while leaving
};

// A network this node has joined.
struct netdb_network {
    char *id;
    struct map rows;           // by "table/key"
    struct netdb_node **peers; // active and attached, without this node
    size_t peers_count;
    size_t peers_cap;
    struct broadcasts queue;     // table events, by "table/key"
    bool synced;                 // relays what it hears
    unsigned heard;              // peers whose rows came whole, up to NETDB_FIRST_SYNCS
    struct mono young;           // until then, peers that come are asked
    struct netdb_node *newcomer; // one of those that came since the last asking
    unsigned newcomers;
    struct mono repeat_at;      // of own rows, to those who heard of them too early
    char *asks[NETDB_ASKS_MAX]; // peers to sync with next
    size_t asks_count;
    size_t syncs; // under way that cover it
    bool covered; // in the periodic round under way
};

// An event that came before what makes it believable.
struct netdb_early {
    struct list link;
    struct mono came;
    char *node;    // that it is about
    char *network; // of a row; "" of a network event
    uint8_t *bytes;
    size_t size;
    bool synced;
    bool asked; // its owner, about its networks
};

struct netdb_row {
    struct netdb_node *node; // the owner
    uint64_t ltime;
    bool deleting; // a tombstone
    struct mono reap_at;
    uint8_t *value;
    size_t value_size;
    size_t table_size;
    char key[]; // "table/key"
};

// A bulk sync asked for and not answered yet. One a node.
struct netdb_sync {
    struct timer timer;
    struct netdb_node *node;
    uint32_t ticket; // of its last message
    bool again;      // on failure another peer is tried
    char **networks;
    size_t networks_count;
};

struct netdb {
    struct netdb_config config;
    struct rand rand;
    struct gossip_counters *counters;
    uint64_t network_clock;
    uint64_t table_clock;
    struct map nodes;    // by name, this node included
    struct map networks; // joined, by id
    struct netdb_node *self;
    size_t attachments_count;
    size_t rows_count;
    size_t rows_bytes;
    struct broadcasts network_events; // by "network node"
    struct broadcasts node_events;    // by node
    struct list early;                // oldest first
    size_t early_count;
    struct mono asked; // the owner of a row that waited in vain
    struct map syncs;  // by node name
    struct timers sync_timers;
    struct site bootstrap[GOSSIP_BOOTSTRAP_MAX];
    size_t bootstrap_count;
    size_t reconnects;
    struct mono rejoin_until; // an attempt each second until then
    bool leaving;
    struct mono left_by;
    struct rounds gossip;
    bool gossips; // a round would have something to do
    // When each is due; MONO_NEVER: not.
    struct mono sync_at, reap_at, reconnect_at, rejoin_at;
    struct mono asks_at;     // bulk syncs are wanted
    struct mono returned_at; // nodes came back
    struct mono announce_at; // the others have dropped this node's attachments
    struct mono repeat_at;   // ... and rows
    struct mono announced;   // last
};

// ---- netdb.c -----------------------------------------------------------------------------------

uint64_t netdb_tick_clock(uint64_t *clock);
void netdb_witness(uint64_t *clock, uint64_t ltime);

// Handles one payload; `synced`: it came by a bulk sync. Compounds nest one level.
void netdb_take(struct netdb *db, struct mono now, struct span user, bool synced);

bool netdb_is_attached(const struct netdb_node *node, const char *network_id);
struct netdb_network *netdb_network_find(const struct netdb *db, const char *network_id);
void netdb_hear_node(struct netdb *db, struct mono now, const Networkdb__NodeEvent *event,
                     struct span relay);
void netdb_hear_network(struct netdb *db, struct mono now, const Networkdb__NetworkEvent *event,
                        struct span relay);
void netdb_node_set(struct netdb *db, struct mono now, struct netdb_node *node,
                    enum netdb_node_state state);
void netdb_node_forget(struct netdb *db, struct netdb_node *node);
void netdb_attachment_drop(struct netdb *db, struct netdb_node *node, const char *network_id);

// Queues this node's own event.
void netdb_say_node(struct netdb *db, Networkdb__NodeEvent__Type type);
void netdb_say_network(struct netdb *db, const char *network_id, Networkdb__NetworkEvent__Type type,
                       uint64_t ltime);
void netdb_restamp(struct netdb *db);
void netdb_rows_changed(struct netdb *db, const char *network_id);

// ---- netdb_rows.c -------------------------------------------------------------------------------

void netdb_hear_table(struct netdb *db, struct mono now, const Networkdb__TableEvent *event,
                      struct span relay, bool synced);
// Removes all rows of a node on a network (NULL: on all), or turns them into tombstones.
void netdb_rows_drop(struct netdb *db, struct netdb_network *network,
                     const struct netdb_node *node);
void netdb_rows_bury(struct netdb *db, struct mono now, struct netdb_network *network,
                     const struct netdb_node *node);
void netdb_rows_reap(struct netdb *db, struct mono now);
// Queues the own rows of a network (NULL: of all) again.
void netdb_rows_repeat(struct netdb *db, struct mono now, struct netdb_network *network);
int netdb_row_event(const struct netdb_network *network, const struct netdb_row *row,
                    struct mono now, struct buf *out);

// ---- netdb_early.c ------------------------------------------------------------------------------

void netdb_early_put(struct netdb *db, struct mono now, const char *node, const char *network_id,
                     struct span bytes, bool synced);
// The node is known now (network ""), or on the network: what was heard before counts now.
void netdb_early_take(struct netdb *db, struct mono now, const char *node, const char *network_id);
void netdb_early_tick(struct netdb *db, struct mono now);
void netdb_early_fini(struct netdb *db);

// ---- netdb_sync.c -------------------------------------------------------------------------------

void netdb_hear_sync(struct netdb *db, struct mono now, const Networkdb__BulkSyncMessage *message);
void netdb_ask(struct netdb *db, struct mono now, struct netdb_network *network,
               const struct netdb_node *node, size_t most);
// A peer came that may know rows which this node lacks.
void netdb_ask_newcomer(struct netdb *db, struct mono now, struct netdb_network *network,
                        struct netdb_node *node);
void netdb_ask_peers(struct netdb *db, struct mono now, struct netdb_network *network, size_t most);
void netdb_asks_run(struct netdb *db, struct mono now);
void netdb_sync_round(struct netdb *db, struct mono now);
void netdb_sync_end(struct netdb *db, struct mono now, struct netdb_sync *sync, bool good);
// True: some wait for the next round.
bool netdb_gossip_tables(struct netdb *db);
void netdb_syncs_fini(struct netdb *db);

#endif
