// One node of the gossip cluster as a core: SWIM (swim.h) and the NetworkDB that rides on it
// (netdb.h), wired to each other. gossip_io.h is its shell; the simulator runs hundreds.
#ifndef AGENT_GOSSIP_GOSSIPER_H
#define AGENT_GOSSIP_GOSSIPER_H

#include "agent/gossip/netdb.h"
#include "agent/gossip/swim.h"

struct gossiper;

// Called inside calls of this header, and must not call back.
struct gossiper_out {
    struct swim_out net; // see there
    void (*rows_changed)(void *owner, const char *network_id);
    void (*node_changed)(void *owner, const char *node, const struct site *site,
                         enum netdb_node_state state);
};

struct gossiper_config {
    const char *name;
    struct site site;
    uint64_t seed;
    const struct gossiper_out *out;
    void *out_owner;
};

struct gossiper *gossiper_new(const struct gossiper_config *config, struct mono now);
void gossiper_free(struct gossiper *gossiper);

// There are keys now. Before, it is not ticked; afterwards it looks for the others.
void gossiper_start(struct gossiper *gossiper, struct mono now);

// Events: those of swim.h.
struct mono gossiper_next_due(struct gossiper *gossiper, struct mono now);
void gossiper_tick(struct gossiper *gossiper, struct mono now);
void gossiper_packet(struct gossiper *gossiper, struct mono now, const struct site *from,
                     const struct gossip_message *message);
int gossiper_request(struct gossiper *gossiper, struct mono now, struct span plain,
                     struct buf *reply, struct err *err);
void gossiper_answer(struct gossiper *gossiper, struct mono now, uint32_t ticket,
                     struct span plain);
void gossiper_failed(struct gossiper *gossiper, struct mono now, uint32_t ticket);

// Leaves the networks' database, then the cluster; ticked on until it has left.
void gossiper_leave(struct gossiper *gossiper, struct mono now);
bool gossiper_has_left(const struct gossiper *gossiper, struct mono now);

// Its halves, for wishes and walks.
struct netdb *gossiper_netdb(struct gossiper *gossiper);
struct swim *gossiper_swim(struct gossiper *gossiper);

// Where everything is counted; the shell counts its own there. The gauges are of the moment of the
// last gossiper_gauge.
struct gossip_counters *gossiper_counters(struct gossiper *gossiper);
void gossiper_gauge(struct gossiper *gossiper);

#endif
