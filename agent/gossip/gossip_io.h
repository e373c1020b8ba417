// This node in the swarm's gossip cluster (port 7946, UDP and TCP): it finds the other nodes, stock
// engines included, and shares with them the rows of the networks it has joined.
//
// Callers say what should be (networks joined, own rows) and are told *that* something changed;
// what is there now they read by walking. Everything may be said at any time, before the first keys
// too, and again: what is so already changes nothing. Everything runs on the loop's thread; events
// come at the end of a turn, never inside a call of this header.
//
// Rows are known by (network, table, key). Each has one owner, the node that put it. Rows of a node
// vanish when it leaves the network or the cluster, or is found dead, and come back with it.
#ifndef AGENT_GOSSIP_GOSSIP_IO_H
#define AGENT_GOSSIP_GOSSIP_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/gossip/codec.h"
#include "agent/gossip/counters.h"
#include "agent/gossip/limits.h"
#include "agent/gossip/site.h"
#include "proto/base/err.h"
#include "proto/base/loop_io.h"
#include "proto/wire/types.pb-c.h"

// The two tables of libnetwork. Others may be used too: stock nodes carry any.
#define GOSSIP_TABLE_ENDPOINTS "endpoint_table"
#define GOSSIP_TABLE_PEERS     "overlay_peer_table"

struct gossip;

// Any may be NULL.
struct gossip_events {
    // Rows of a joined network (others' or own), or the nodes on it, changed: walk again. At most
    // once a turn for each network.
    void (*rows_changed)(void *owner, const char *network_id);
    // The cluster's nodes changed.
    void (*nodes_changed)(void *owner);
};

struct gossip_config {
    struct loop *loop;
    // Numeric addresses. The port of both is the bind address's; 0 means GOSSIP_PORT, and any other
    // keeps stock nodes from being reached, so it is for tests. Stock nodes are given the advertise
    // address; a bind address of 0.0.0.0 or :: listens everywhere.
    struct addr bind;
    struct addr advertise;
    struct gossip_events events;
    void *owner;
};

// Binds both sockets and waits for keys. UNAVAILABLE or what the kernel says (ALREADY_EXISTS for a
// port in use), INVALID_ARGUMENT for an address that is none or an advertise address that is
// unspecified.
int gossip_open(const struct gossip_config *config, struct gossip **out, struct err *err);

// How to end: with a word to the others (rows of this node vanish there at once), or without (a
// restart: the next life replaces this one at its peers, which keep the rows until then).
enum gossip_end { GOSSIP_END_LEAVE, GOSSIP_END_SILENT };

// Ends; leaving takes up to 3 s. `closed` runs once, later; no event comes after this call.
void gossip_close(struct gossip *gossip, enum gossip_end end, void (*closed)(void *ctx), void *ctx);

// The keys of a session message (others than gossip's are passed over). The first set starts the
// gossip; a later one replaces the ring as a whole, so that rotations and missed rotations are the
// same. Errors of keyring_load; the ring is then as it was.
int gossip_keys(struct gossip *gossip, Swarm__EncryptionKey *const *keys, size_t count,
                struct err *err);

// The managers' addresses, "host" or "host:port" (the port, which is another service's, is passed
// over). Replaces the list; those that are no numeric addresses, and this node's own, are passed
// over. Joins them as soon as there are keys, and again whenever none of them is a live node.
void gossip_bootstrap(struct gossip *gossip, const char *const *addrs, size_t count);

// ---- networks and own rows ----------------------------------------------------------------------

// INVALID_ARGUMENT for an id that is empty, too long or holds a slash; RESOURCE_EXHAUSTED past
// GOSSIP_NETWORKS_MAX.
int gossip_network_join(struct gossip *gossip, const char *network_id, struct err *err);

// Own rows of the network end with it. Harmless for one not joined.
void gossip_network_leave(struct gossip *gossip, const char *network_id);

// Puts an own row, or changes its value; the bytes are copied. FAILED_PRECONDITION for a network
// not joined, ALREADY_EXISTS for a key that a live row of another node has, INVALID_ARGUMENT for
// names as above or a value past GOSSIP_VALUE_BYTES, RESOURCE_EXHAUSTED for too many rows.
int gossip_row_put(struct gossip *gossip, const char *network_id, const char *table,
                   const char *key, const void *value, size_t value_size, struct err *err);

// Harmless for a row that is not there or not ours.
void gossip_row_remove(struct gossip *gossip, const char *network_id, const char *table,
                       const char *key);

// ---- what is there now --------------------------------------------------------------------------

// Borrowed until the callback returns. Nothing of this header may be called in it but walks.
struct gossip_row {
    const char *network_id;
    const char *table;
    const char *key;
    const uint8_t *value;
    size_t value_size;
    const char *node;        // the owner's gossip name (12 hex characters, new at each start)
    const struct site *site; // where the owner's gossip listens
    bool own;
};

typedef void gossip_row_fn(void *ctx, const struct gossip_row *row);

// Walks the live rows of one table of one joined network; table NULL: of all tables.
void gossip_rows(const struct gossip *gossip, const char *network_id, const char *table,
                 gossip_row_fn *visit, void *ctx);

struct gossip_member {
    const char *node;
    const struct site *site;
    bool self;
    bool by_stream; // its pings are answered by TCP alone: UDP does not come through
};

typedef void gossip_member_fn(void *ctx, const struct gossip_member *member);

// Walks the live nodes, this one included; with a network id only those on that network (joined by
// this node or not).
void gossip_members(const struct gossip *gossip, const char *network_id, gossip_member_fn *visit,
                    void *ctx);

const char *gossip_name(const struct gossip *gossip);

// Figures for metrics; counted since gossip_open. Borrowed; read at once.
const struct gossip_counters *gossip_counters(struct gossip *gossip);

#endif
