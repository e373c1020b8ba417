// Time, the queue of what will happen, and the run as a whole.
#include <stdlib.h>
#include <string.h>

#include "tests/sim/raft/sim.h"

void sim_fail(struct sim *sim, const char *format, ...)
{
    if (sim->failed)
        return;
    sim->failed = true;
    va_list args;
    va_start(args, format);
    vsnprintf(sim->message, sizeof sim->message, format, args);
    va_end(args);
    sim_trace(sim, "FAILED: %s", sim->message);
}

void sim_trace(struct sim *sim, const char *format, ...)
{
    if (!sim->options.trace)
        return;
    printf("%10.6f ", (double)sim->now_ns / 1e9);
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

int64_t sim_between(struct sim *sim, int64_t low, int64_t high)
{
    return rand_between(&sim->rand, low, high);
}

bool sim_percent(struct sim *sim, uint32_t percent)
{
    return rand_below(&sim->rand, 100) < percent;
}

// ---- the queue ----------------------------------------------------------------------------------

static bool earlier(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

struct sim_event *sim_schedule(struct sim *sim, int64_t delay_ns, enum sim_event_type type,
                               uint64_t node)
{
    sim->heap = raft_grow(sim->heap, sim->heap_count, &sim->heap_cap, sizeof *sim->heap);
    struct sim_event event = {
        .at_ns = sim->now_ns + (delay_ns > 0 ? delay_ns : 0),
        .order = sim->order++,
        .type = type,
        .node = node,
        .life = node ? sim->nodes[node].life : 0,
    };
    size_t at = sim->heap_count++;
    for (; at > 0 && earlier(&event, &sim->heap[(at - 1) / 2]); at = (at - 1) / 2)
        sim->heap[at] = sim->heap[(at - 1) / 2];
    sim->heap[at] = event;
    return &sim->heap[at];
}

bool sim_next(struct sim *sim, struct sim_event *event)
{
    if (sim->heap_count == 0)
        return false;
    *event = sim->heap[0];
    struct sim_event last = sim->heap[--sim->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= sim->heap_count)
            break;
        if (child + 1 < sim->heap_count && earlier(&sim->heap[child + 1], &sim->heap[child]))
            child++;
        if (!earlier(&sim->heap[child], &last))
            break;
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    if (sim->heap_count > 0)
        sim->heap[at] = last;
    sim->now_ns = event->at_ns;
    return true;
}

uint64_t sim_leader(struct sim *sim)
{
    uint64_t best = 0;
    for (uint64_t id = 1; id <= SIM_IDS_MAX; id++) {
        struct sim_node *node = &sim->nodes[id];
        if (!node->alive || raft_role(node->raft) != RAFT_LEADER)
            continue;
        if (!best || raft_term(node->raft) > raft_term(sim->nodes[best].raft))
            best = id;
    }
    return best;
}

// ---- the run ------------------------------------------------------------------------------------

static void choose_limits(struct sim *sim)
{
    static const uint32_t windows[] = {1, 2, 8, 256};
    static const size_t appends[] = {40, 200, 1000, 65535};
    static const size_t writes[] = {100, 2000, RAFT_WRITE_BYTES_MAX};
    static const size_t applies[] = {40, 2000, RAFT_APPLY_BYTES_MAX};
    static const size_t caches[] = {0, 0, 500, RAFT_CACHE_BYTES_MAX};
    struct raft_config *limits = &sim->limits;
    *limits = raft_config_default(1, 0);
    limits->inflight_max = windows[rand_below(&sim->rand, COUNT_OF(windows))];
    limits->append_bytes_max = appends[rand_below(&sim->rand, COUNT_OF(appends))];
    limits->write_bytes_max = writes[rand_below(&sim->rand, COUNT_OF(writes))];
    limits->apply_bytes_max = applies[rand_below(&sim->rand, COUNT_OF(applies))];
    limits->cache_bytes_max = caches[rand_below(&sim->rand, COUNT_OF(caches))];
    limits->uncommitted_bytes_max = 20000;
    limits->commit_delay_ms = sim_percent(sim, 50) ? 0 : RAFT_COMMIT_DELAY_MS;
    limits->forward_proposals = sim_percent(sim, 30);
    sim->compact_every = (uint64_t)sim_between(sim, 10, 300);
    sim->compact_keep = (uint64_t)sim_between(sim, 0, 50);
}

static void begin(struct sim *sim)
{
    choose_limits(sim);
    sim->with_stock = sim_percent(sim, 20);
    sim->with_seal = sim_percent(sim, 25);
    sim->with_members = sim_percent(sim, 60);
    sim->with_joint = sim_percent(sim, 25);
    sim->lose_percent = sim_percent(sim, 50) ? (uint32_t)sim_between(sim, 0, 15) : 0;
    sim->repeat_percent = sim_percent(sim, 50) ? (uint32_t)sim_between(sim, 0, 10) : 0;
    sim->delay_ns = sim_between(sim, 100 * NS_PER_US, 60 * NS_PER_MS);
    sim->faults_until_ns = sim_between(sim, 2, 15) * NS_PER_S * (sim->with_stock ? 4 : 1);
    sim->deadline_ns = sim->faults_until_ns + 200 * NS_PER_S;
    uint64_t size = 1 + rand_below(&sim->rand, 5);
    if (sim_percent(sim, 20))
        size = 6 + rand_below(&sim->rand, 4);
    struct raft_conf conf = {.voters_count = (uint32_t)size};
    for (uint64_t id = 1; id <= size; id++)
        conf.voters[id - 1] = id;
    for (uint64_t id = 1; id <= size; id++)
        node_create(sim, id, &conf);
    sim_schedule(sim, 0, SIM_FAULT, 0);
    sim_schedule(sim, 0, SIM_CLIENT, 0);
    if (sim->with_members)
        sim_schedule(sim, NS_PER_S, SIM_MEMBER, 0);
}

void sim_happen(struct sim *sim, struct sim_event *event)
{
    switch (event->type) {
    case SIM_FAULT:
        if (sim->now_ns < sim->faults_until_ns) {
            fault_happen(sim);
            sim_schedule(sim, sim_between(sim, 20, 400) * NS_PER_MS, SIM_FAULT, 0);
        } else {
            fault_end(sim);
        }
        return;
    case SIM_CLIENT:
        client_act(sim);
        sim_schedule(sim, sim_between(sim, 1, 40) * NS_PER_MS, SIM_CLIENT, 0);
        return;
    case SIM_MEMBER:
        // Often one, sometimes another one on its heels, which must be refused.
        member_change(sim);
        if (sim_percent(sim, 30))
            member_change(sim);
        sim_schedule(sim, sim_between(sim, 50, 1500) * NS_PER_MS, SIM_MEMBER, 0);
        return;
    case SIM_PACKET:
        net_deliver(sim, event);
        return;
    default:
        node_event(sim, event);
        return;
    }
}

void sim_world_fini(struct sim *sim)
{
    for (size_t i = 0; i < sim->heap_count; i++)
        packet_free(sim->heap[i].packet);
    free(sim->heap);
    for (uint64_t id = 1; id <= SIM_IDS_MAX; id++)
        node_fini(&sim->nodes[id]);
    for (size_t i = 0; i < sim->indexes_cap; i++)
        free(sim->indexes[i].facts);
    free(sim->indexes);
    free(sim->snapshots);
    free(sim->ops);
}

bool sim_run(struct sim *sim, uint64_t seed, const struct sim_options *options)
{
    *sim = (struct sim){.seed = seed, .options = *options};
    rand_init(&sim->rand, seed);
    begin(sim);
    struct sim_event event;
    while (!sim->failed && sim_next(sim, &event)) {
        sim->steps++;
        sim_happen(sim, &event);
        if (sim->quiet_phase && check_converged(sim))
            break;
        if (sim->now_ns > sim->deadline_ns)
            sim_fail(sim, "no progress after the faults ended");
    }
    sim_world_fini(sim);
    return !sim->failed;
}
