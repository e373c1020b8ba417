// Fail-over: how long a group of our own takes to have a leader that commits again after its leader
// has died, in virtual time, so that no machine's load is in the figures.
#include <stdlib.h>

#include "tests/sim/raft/sim.h"

// Until here everybody has heard the leader's mark and is at the quick pace.
#define SETTLE_NS  (3 * NS_PER_S)
#define GIVE_UP_NS (30 * NS_PER_S)

static void begin(struct sim *sim, const struct sim_failover *terms)
{
    sim->limits = raft_config_default(1, 0);
    sim->quiet_phase = true; // no packet is late by seconds
    sim->lose_percent = terms->lose_percent;
    sim->delay_ns = terms->delay_us * NS_PER_US;
    sim->compact_every = UINT32_MAX;
    struct raft_conf conf = {.voters_count = terms->members};
    for (uint32_t id = 1; id <= terms->members; id++)
        conf.voters[id - 1] = id;
    for (uint32_t id = 1; id <= terms->members; id++) {
        node_create(sim, id, &conf);
        struct sim_node *node = &sim->nodes[id];
        node->clock_ppm = sim_between(sim, 999000, 1001000);
        node->disk_ns = terms->disk_ms * NS_PER_MS;
    }
}

// A leader whose own term has committed an entry, so that writes are committed; 0: none.
static uint64_t acting_leader(struct sim *sim)
{
    uint64_t id = sim_leader(sim);
    return id && raft_leader_settled(sim->nodes[id].raft) ? id : 0;
}

static void run_until(struct sim *sim, int64_t at_ns, uint64_t other_than)
{
    struct sim_event event;
    while (!sim->failed && sim->heap_count > 0 && sim->heap[0].at_ns < at_ns) {
        sim_next(sim, &event);
        sim_happen(sim, &event);
        uint64_t leader = other_than ? acting_leader(sim) : 0;
        if (leader && leader != other_than)
            return;
    }
}

int64_t sim_failover(struct sim *sim, uint64_t seed, const struct sim_options *options,
                     const struct sim_failover *terms)
{
    *sim = (struct sim){.seed = seed, .options = *options};
    rand_init(&sim->rand, seed);
    begin(sim, terms);
    run_until(sim, GIVE_UP_NS, SIM_IDS_MAX + 1);
    run_until(sim, sim->now_ns + SETTLE_NS + sim_between(sim, 0, NS_PER_S), 0);
    uint64_t leader = acting_leader(sim);
    int64_t took_ns = GIVE_UP_NS;
    if (leader) {
        int64_t from_ns = sim->now_ns;
        node_crash(sim, &sim->nodes[leader]);
        run_until(sim, from_ns + GIVE_UP_NS, leader);
        uint64_t next = acting_leader(sim);
        if (next && next != leader)
            took_ns = sim->now_ns - from_ns;
    } else {
        sim_fail(sim, "no leader to begin with");
    }
    sim_world_fini(sim);
    return took_ns;
}
