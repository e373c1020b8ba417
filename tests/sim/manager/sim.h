// A simulator of a manager and its agents: the store, the three planners and the dispatcher as they
// ship, on a log, a clock and connections of the simulator's own; model agents whose containers
// live on when nobody is looking; users who change their minds; and faults. One seed, one story.
//
// Checked all the while: no two containers of a slot beyond what the update's order allows as far
// as the manager can know, no address or port twice (not even with a container nobody reaches), no
// node over its resources or a service's limit per node, nothing new on a drained node. And once
// faults stop: every service has what it asks for, and nothing else runs.
#ifndef TESTS_SIM_MANAGER_SIM_H
#define TESTS_SIM_MANAGER_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "manager/dispatch/dispatcher.h"
#include "manager/planners.h"
#include "proto/base/list.h"
#include "proto/base/map.h"
#include "proto/base/rand.h"
#include "proto/base/timer.h"
#include "tests/support/fake_log.h"

#define SIM_NODES_MAX    400
#define SIM_NODES_USUAL  24 // at most, unless the options say
#define SIM_SERVICES_MAX 12
#define SIM_ID_BYTES     40
#define SIM_NODE_CPUS    5 // of each node
#define SIM_MS           NS_PER_MS

// ---- agents -------------------------------------------------------------------------------------

enum phase { PHASE_PREPARING, PHASE_READY, PHASE_RUNNING, PHASE_STOPPING, PHASE_ENDED };

// A task on a node, from its assignment to its removal.
struct sim_container {
    char id[SIM_ID_BYTES];
    char service[SIM_ID_BYTES];
    uint64_t slot;
    uint32_t address;   // on the services' network, 0: none
    int desired;        // as last heard
    enum phase phase;   // RUNNING and STOPPING hold the address
    int state;          // what the agent says of it
    bool unreported;    // the manager may not know
    bool bad;           // fails soon after its start
    bool removed;       // gone once it has ended
    struct timer timer; // the next phase
    struct sim_node *node;
};

// One stream from the dispatcher: what was sent is on its way for a while.
struct sim_stream {
    struct dispatch_stream stream;
    struct sim_node *node;
    bool assignments;
    struct list letters; // struct sim_letter.link, in order
    struct timer timer;  // the first one arrives
    bool open;           // on the dispatcher's side
    bool gap;            // something of it was lost
};

struct sim_letter {
    struct list link;
    struct mono at;
    size_t size;
    bool end; // of the stream
    uint8_t bytes[];
};

struct sim_node {
    struct sim *sim;
    char id[SIM_ID_BYTES];
    bool alive;  // the agent's process
    bool linked; // what is sent arrives
    bool up;     // has a session
    char session[SIM_ID_BYTES];
    char applied[SIM_ID_BYTES];
    struct sim_stream streams[2]; // session, assignments
    struct timer timer;           // the next attempt, or heartbeat
    struct timer report;
    int missed;   // heartbeats that got no answer
    bool passive; // takes nothing new, as committed
    struct mono passive_since;
    struct mono stable_since; // alive and linked from then on
    struct map containers;
};

// ---- the world ----------------------------------------------------------------------------------

struct sim_service {
    char id[SIM_ID_BYTES];
    bool exists;
    bool global;
    bool start_first;
    bool bad; // its present image fails
    uint64_t replicas;
    uint64_t max_per_node;
};

struct sim_options {
    bool trace;
    int nodes; // 0: a few, by the seed
};

struct sim {
    struct sim_options options;
    struct rand rand;
    struct moment now;
    struct timers timers; // of agents
    struct fake_log log;
    struct rng rng;
    struct planners *planners; // NULL: nobody leads
    struct dispatcher *dispatcher;
    bool turn;            // planners or dispatcher were woken
    struct mono plan_due; // of the planners
    struct mono commit_due;
    struct mono fault_due, user_due, lead_due;
    bool faults; // they still happen, and users still act
    struct sim_node nodes[SIM_NODES_MAX];
    int nodes_count;
    struct sim_service services[SIM_SERVICES_MAX];
    uint64_t next_id;
    struct mono leader_since;
    uint64_t steps, started, commits;
    bool failed;
    char message[512];
};

// Runs one seed; false with a message when a rule was broken.
bool sim_run(struct sim *sim, uint64_t seed, const struct sim_options *options);

void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct mono sim_after(struct sim *sim, int64_t least_ms, int64_t most_ms);
bool sim_chance(struct sim *sim, unsigned of_thousand);

// agents.c
void node_init(struct sim *sim, struct sim_node *node, int number);
void node_fini(struct sim_node *node);
void node_start(struct sim_node *node);
void node_crash(struct sim_node *node, bool power); // power: its containers die as well
void node_cut(struct sim_node *node);
void node_heal(struct sim_node *node);
void node_lost_manager(struct sim_node *node); // the dispatcher was freed
bool node_fire(struct sim *sim, struct timer *timer);

// users.c
void users_found(struct sim *sim);
void users_act(struct sim *sim);
void users_settle(struct sim *sim); // their last wishes: everything good, every node active

// check.c
void check_commit(struct sim *sim);
void check_start(struct sim *sim, const struct sim_container *container);
bool check_settled(struct sim *sim, bool say);

#endif
