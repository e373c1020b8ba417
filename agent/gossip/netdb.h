// Which nodes are on which networks, and the rows they share there: libnetwork's NetworkDB
// (gossip.md section 10), as a core without clock and sockets. It rides on SWIM (swim.h): user
// messages, states and the time go in; messages and words about changes come out.
#ifndef AGENT_GOSSIP_NETDB_H
#define AGENT_GOSSIP_NETDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/gossip/codec.h"
#include "agent/gossip/counters.h"
#include "agent/gossip/limits.h"
#include "agent/gossip/parcel.h"
#include "agent/gossip/site.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"

#define NETDB_GOSSIP_NS       (200 * NS_PER_MS)
#define NETDB_GOSSIP_NODES    3
#define NETDB_SYNC_NS         (30 * NS_PER_S)
#define NETDB_REAP_NS         (5 * NS_PER_S)
#define NETDB_TOMBSTONE_NS    (30 * NS_PER_MIN)
#define NETDB_LEFT_NETWORK_NS (NETDB_TOMBSTONE_NS + 25 * NS_PER_S)
#define NETDB_NODE_NS         (24 * NS_PER_H) // failed and left nodes are remembered
#define NETDB_RECONNECT_NS    NS_PER_S
#define NETDB_REJOIN_NS       (60 * NS_PER_S)
#define NETDB_REJOIN_FOR_NS   (10 * NS_PER_S)
#define NETDB_ALONE_NS        (5 * NS_PER_S) // between attempts of a node without any other
// Stock nodes wait 30 s; but who does not know this node yet never answers, and a late answer
// counts whenever it comes.
#define NETDB_ANSWER_NS (4 * NS_PER_S)
#define NETDB_LEAVE_NS  (2 * NS_PER_S)

#define NETDB_VALUE_TAKEN      (64 << 10)  // of anybody's row
#define NETDB_NODES_MAX        32768       // remembered ones included
#define NETDB_ATTACHMENTS_MAX  (1 << 18)   // of all nodes
#define NETDB_ROWS_MAX         (1 << 18)   // tombstones included
#define NETDB_ROWS_BYTES_MAX   (128 << 20) // of their values
#define NETDB_EVENTS_MAX       16384       // queued about networks; rows have a queue a network
#define NETDB_TABLE_EVENTS_MAX 4096

// A Lamport time beyond this is no honest one: one event a nanosecond would need a century.
#define NETDB_TIME_MAX (UINT64_C(1) << 62)

struct netdb;

// LEFT by its own word, or because another node lives at its site now.
enum netdb_node_state { NETDB_ACTIVE, NETDB_FAILED, NETDB_LEFT };

// What the core asks of its surroundings. Called inside calls of this header, and must not call
// back.
struct netdb_out {
    // A user message to a live node: best effort, or by stream with a ticket that netdb_sent knows
    // (0: not now).
    void (*packet)(void *owner, const char *node, struct span user);
    uint32_t (*stream)(void *owner, const char *node, struct span user);
    // Exchanges states with whoever listens there; netdb_joined tells the outcome. False: not now.
    bool (*join)(void *owner, struct mono now, const struct site *site);
    // Whether SWIM has that node among the living.
    bool (*alive)(void *owner, const char *node);
    void (*rows_changed)(void *owner, const char *network_id);
    void (*node_changed)(void *owner, const char *node, const struct site *site,
                         enum netdb_node_state state);
};

struct netdb_config {
    const char *name; // this node's, as SWIM's
    struct site site;
    uint64_t seed;
    const struct netdb_out *out;
    void *out_owner;
    struct gossip_counters *counters; // counted into; outlives the core
};

struct netdb *netdb_new(const struct netdb_config *config, struct mono now);
void netdb_free(struct netdb *db);

// ---- events ------------------------------------------------------------------------------------

// As swim_next_due: rounds of gossip with nothing to do are left out.
struct mono netdb_next_due(struct netdb *db, struct mono now);
void netdb_tick(struct netdb *db, struct mono now);

// What SWIM's rider hears: see swim.h.
void netdb_fill(struct netdb *db, struct parcel *parcel);
bool netdb_waits(const struct netdb *db);
void netdb_packet(struct netdb *db, struct mono now, struct span user);
void netdb_stream(struct netdb *db, struct mono now, struct span user);
void netdb_state(struct netdb *db, bool join, struct buf *out);
void netdb_merge(struct netdb *db, struct mono now, struct span state);
void netdb_up(struct netdb *db, struct mono now, const char *node, const struct site *site);
void netdb_down(struct netdb *db, struct mono now, const char *node, bool left);
// Others said that this node is dead, which it refuted: they have dropped what it had.
void netdb_accused(struct netdb *db, struct mono now);
void netdb_joined(struct netdb *db, const struct site *site, bool good);
void netdb_sent(struct netdb *db, struct mono now, uint32_t ticket, bool good);

// ---- wishes ------------------------------------------------------------------------------------

// There are keys: looks for the others at once.
void netdb_start(struct netdb *db, struct mono now);

// Replaces the list of addresses to join; at most GOSSIP_BOOTSTRAP_MAX are kept, the own one is
// not.
void netdb_bootstrap(struct netdb *db, struct mono now, const struct site *sites, size_t count);

// Errors of these four: gossip_io.h.
int netdb_network_join(struct netdb *db, struct mono now, const char *network_id, struct err *err);
void netdb_network_leave(struct netdb *db, struct mono now, const char *network_id);
int netdb_row_put(struct netdb *db, struct mono now, const char *network_id, const char *table,
                  const char *key, struct span value, struct err *err);
void netdb_row_remove(struct netdb *db, struct mono now, const char *network_id, const char *table,
                      const char *key);

// Tells the others that this node goes for good; netdb_has_left says when that is done.
void netdb_leave(struct netdb *db, struct mono now);
bool netdb_has_left(const struct netdb *db, struct mono now);

// ---- what is there -----------------------------------------------------------------------------

struct netdb_view {
    const char *network_id;
    const char *table;
    const char *key;
    struct span value;
    const char *node;
    const struct site *site;
    bool own;
};

typedef void netdb_row_fn(void *ctx, const struct netdb_view *row);
typedef void netdb_node_fn(void *ctx, const char *node, const struct site *site, bool self);

// Walk live rows (table NULL: of all), and live nodes (network NULL: all). Nothing may change
// meanwhile.
void netdb_rows(const struct netdb *db, const char *network_id, const char *table,
                netdb_row_fn *visit, void *ctx);
void netdb_nodes(const struct netdb *db, const char *network_id, netdb_node_fn *visit, void *ctx);

void netdb_gauge(const struct netdb *db);

#endif
