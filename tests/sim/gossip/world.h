// The gossip simulator's world: real cores, and a fake network between them that loses, delays and
// partitions, in virtual time on one thread and from one seed, so that a seed replays exactly.
#ifndef TESTS_SIM_GOSSIP_WORLD_H
#define TESTS_SIM_GOSSIP_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/gossip/gossiper.h"
#include "proto/base/map.h"
#include "proto/base/rand.h"
#include "proto/base/timer.h"

#define WORLD_NODES_MAX    1000
#define WORLD_NETWORKS     8
#define WORLD_BOOTSTRAP    3 // the first nodes are managers
#define WORLD_ROWS_PER_NET 4 // most own rows a node has on a network

struct world_node {
    struct world *world;
    struct timer tick;
    unsigned number;
    unsigned life; // counts starts; 0: never started
    bool up;
    bool leaving;
    bool frozen;           // does not get to run, as a stopped process
    unsigned side;         // of a partition
    struct gossiper *core; // NULL while down
    char name[13];
    uint32_t networks;                                    // bit per network joined
    uint32_t rows[WORLD_NETWORKS];                        // bit per own row
    unsigned version[WORLD_NETWORKS][WORLD_ROWS_PER_NET]; // of its value
};

struct world {
    struct rand rand;
    struct mono now;
    struct timers timers;
    struct world_node *nodes;
    unsigned count;
    unsigned loss_percent;
    int64_t latency_ns; // longest, one way
    uint64_t packets;
    uint64_t bytes;
    uint64_t streams;
    uint64_t stream_bytes;
    uint64_t in_flight;
};

void world_init(struct world *world, uint64_t seed, unsigned nodes);
void world_fini(struct world *world);

void world_start(struct world *world, unsigned number);
void world_freeze(struct world *world, unsigned number, bool frozen);
void world_crash(struct world *world, unsigned number);
void world_leave(struct world *world, unsigned number); // goes down once the others are told

// What a node's user does. Remembered, and done again when it starts anew.
void world_join(struct world *world, unsigned number, unsigned network);
void world_quit(struct world *world, unsigned number, unsigned network);
void world_put(struct world *world, unsigned number, unsigned network, unsigned row);
void world_remove(struct world *world, unsigned number, unsigned network, unsigned row);

// Lets time pass.
void world_run(struct world *world, int64_t duration_ns);

// Whether every node that is up has exactly the nodes that are up for members, and on each of its
// networks exactly the rows that their owners want there. Otherwise says what differs first.
bool world_converged(struct world *world, char *why, size_t why_size);

// Runs until it has; the time that took, or -1 past the limit.
int64_t world_settle(struct world *world, int64_t limit_ns, char *why, size_t why_size);

// Sums of a counter over all cores.
uint64_t world_sum(struct world *world, uint64_t (*get)(const struct gossip_counters *counters));

#endif
