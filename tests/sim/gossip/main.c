// Clusters of the gossip core through good and bad times.
//
//   sim_gossip [--seed N] [--seeds N] [--nodes N] [--scenario NAME] [--light] [--verbose]
//
// Each seed runs one scenario, in turn. A broken rule is printed with what repeats it; exit 1.
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "tests/sim/gossip/world.h"

struct run {
    struct world world;
    uint64_t seed;
    bool verbose;
    bool light;
    char why[256];
};

static bool broken(struct run *run, const char *rule)
{
    char text[256];
    str_copy(text, sizeof text, run->why);
    str_format(run->why, sizeof run->why, "%s: %s", rule, text);
    return false;
}

// What is wanted comes true within the limit.
static bool settles(struct run *run, const char *what, int64_t limit_s)
{
    uint64_t packets = run->world.packets, bytes = run->world.stream_bytes;
    int64_t took_ns = world_settle(&run->world, limit_s * NS_PER_S, run->why, sizeof run->why);
    if (took_ns < 0)
        return broken(run, what);
    if (run->verbose)
        printf("  %-40s %6.1f s, %llu packets, %llu KiB by streams\n", what,
               (double)took_ns / NS_PER_S, (unsigned long long)(run->world.packets - packets),
               (unsigned long long)(run->world.stream_bytes - bytes) / 1024);
    return true;
}

static uint64_t suspicions(const struct gossip_counters *counters)
{
    return counters->suspicions;
}
static uint64_t deaths(const struct gossip_counters *counters)
{
    return counters->deaths;
}
static uint64_t odd(const struct gossip_counters *counters)
{
    return counters->drop_broken + counters->drop_version + counters->drop_full;
}

// What a node may take up for itself, and for each thing that it knows of: about twice of what is
// seen. What is on its way is counted along.
#define NODE_BYTES       (64 * 1024)
#define MEMBER_BYTES     2048
#define ATTACHMENT_BYTES 512
#define ROW_BYTES        512

// All memory of this process is of the cores, but for the world's own few bytes a node.
static bool lean(struct run *run)
{
    size_t used = mallinfo2().uordblks, allowed = 0;
    for (unsigned i = 0; i < run->world.count; i++) {
        const struct world_node *node = &run->world.nodes[i];
        allowed += NODE_BYTES;
        if (!node->core)
            continue;
        const struct gossip_counters *counters = gossiper_counters(node->core);
        allowed += counters->members * MEMBER_BYTES + counters->attachments * ATTACHMENT_BYTES +
                   counters->rows * ROW_BYTES;
    }
    str_format(run->why, sizeof run->why, "%zu KiB are in use, %zu should do", used / 1024,
               allowed / 1024);
    return used <= allowed;
}

// No core hoards, whatever happened.
static bool bounded(struct run *run)
{
    struct world *world = &run->world;
    for (unsigned i = 0; i < world->count; i++) {
        if (!world->nodes[i].core)
            continue;
        gossiper_gauge(world->nodes[i].core);
        const struct gossip_counters *counters = gossiper_counters(world->nodes[i].core);
        unsigned lives = 0;
        for (unsigned j = 0; j < world->count; j++)
            lives += world->nodes[j].life;
        if (counters->members > lives || counters->attachments > (uint64_t)lives * WORLD_NETWORKS ||
            counters->rows > (uint64_t)world->count * WORLD_NETWORKS * WORLD_ROWS_PER_NET) {
            str_format(run->why, sizeof run->why,
                       "node %u holds %llu members, %llu attachments, %llu rows", i,
                       (unsigned long long)counters->members,
                       (unsigned long long)counters->attachments,
                       (unsigned long long)counters->rows);
            return broken(run, "a core hoards");
        }
    }
    if (!lean(run))
        return broken(run, "memory");
    if (world_sum(world, odd) == 0)
        return true;
    str_format(run->why, sizeof run->why, "%llu times", (unsigned long long)world_sum(world, odd));
    return broken(run, "our own messages were refused");
}

// ---- what users do ------------------------------------------------------------------------------

static unsigned some(struct run *run, unsigned bound)
{
    return (unsigned)rand_below(&run->world.rand, bound);
}

// Everybody is on network 0, as on ingress, and on some others, with a few rows each.
// Light: on network 0 alone, with one row, so that many nodes are quick.
static void furnish(struct run *run, unsigned number)
{
    if (run->light) {
        world_join(&run->world, number, 0);
        world_put(&run->world, number, 0, 0);
        return;
    }
    for (unsigned network = 0; network < WORLD_NETWORKS; network++) {
        if (network > 0 && some(run, 3) > 0)
            continue;
        world_join(&run->world, number, network);
        for (unsigned row = some(run, WORLD_ROWS_PER_NET + 1); row > 0; row--)
            world_put(&run->world, number, network, row - 1);
    }
}

// Light: nearly at once, as after a power failure.
static void start_all(struct run *run)
{
    unsigned gap_ms = run->light ? 4 : 50;
    for (unsigned i = 0; i < run->world.count; i++) {
        furnish(run, i);
        world_start(&run->world, i);
        world_run(&run->world, (int64_t)some(run, gap_ms) * NS_PER_MS);
    }
}

static void change_rows(struct run *run, unsigned times)
{
    for (; times > 0; times--) {
        unsigned number = some(run, run->world.count), network = some(run, WORLD_NETWORKS);
        unsigned row = some(run, WORLD_ROWS_PER_NET);
        switch (some(run, 8)) {
        case 0:
            world_quit(&run->world, number, network);
            break;
        case 1:
            world_join(&run->world, number, network);
            break;
        case 2:
        case 3:
            world_remove(&run->world, number, network, row);
            break;
        default:
            world_put(&run->world, number, network, row);
        }
        world_run(&run->world, (int64_t)some(run, 100) * NS_PER_MS);
    }
}

// ---- scenarios ----------------------------------------------------------------------------------

// How long the detection of a death may take: a round over all nodes in the worst order, and the
// longest suspicion.
static int64_t death_s(const struct run *run)
{
    return 30 + run->world.count / 5;
}

static bool calm(struct run *run)
{
    start_all(run);
    if (!settles(run, "nodes and rows, from the last start", 35))
        return false;
    change_rows(run, 50);
    if (!settles(run, "changed rows", 35))
        return false;
    world_run(&run->world, 120 * NS_PER_S);
    if (world_sum(&run->world, suspicions) > 0 || world_sum(&run->world, deaths) > 0)
        return broken(run, "a node was suspected though nothing was lost");
    return settles(run, "calm", 1);
}

static bool lossy(struct run *run)
{
    run->world.loss_percent = 5 + some(run, 16);
    run->world.latency_ns = (int64_t)(5 + some(run, 60)) * NS_PER_MS;
    start_all(run);
    if (!settles(run, "nodes and rows under loss", 120))
        return false;
    change_rows(run, 50);
    if (!settles(run, "changed rows under loss", 120))
        return false;
    world_run(&run->world, 60 * NS_PER_S);
    run->world.loss_percent = 0;
    return settles(run, "after the loss", 90);
}

static bool churn(struct run *run)
{
    run->world.loss_percent = some(run, 3);
    start_all(run);
    if (!settles(run, "nodes and rows", 60))
        return false;
    for (unsigned times = 0; times < 20; times++) {
        unsigned number = some(run, run->world.count);
        struct world_node *node = &run->world.nodes[number];
        if (!node->core)
            world_start(&run->world, number);
        else if (node->up && some(run, 3) == 0)
            world_leave(&run->world, number);
        else if (node->up)
            world_crash(&run->world, number);
        change_rows(run, 5);
        world_run(&run->world, (int64_t)some(run, 5) * NS_PER_S);
    }
    if (!settles(run, "after deaths and returns", death_s(run)))
        return false;
    for (unsigned i = 0; i < run->world.count; i++) {
        if (run->world.nodes[i].leaving && run->world.nodes[i].core)
            world_crash(&run->world, i);
        if (!run->world.nodes[i].core)
            world_start(&run->world, i);
    }
    return settles(run, "all up again", death_s(run) + 30);
}

static bool split(struct run *run)
{
    unsigned sides = 2 + some(run, 2);
    bool lone = some(run, 3) == 0; // one node alone, or parts of all sizes
    start_all(run);
    if (!settles(run, "nodes and rows", 60))
        return false;
    unsigned alone = some(run, run->world.count);
    for (unsigned i = 0; i < run->world.count; i++)
        run->world.nodes[i].side = lone ? i == alone : some(run, sides);
    world_run(&run->world, (int64_t)(20 + some(run, 100)) * NS_PER_S);
    change_rows(run, 20);
    for (unsigned i = 0; i < run->world.count; i++)
        run->world.nodes[i].side = 0;
    return settles(run, lone ? "one node was alone" : "a partition heals", 90);
}

// A tenth of the nodes is cut off for long enough to be taken for dead, and packets are lost all
// the time. The cheapest of those that a large cluster has to come through.
static bool island(struct run *run)
{
    run->world.loss_percent = 1 + some(run, 5);
    start_all(run);
    if (!settles(run, "nodes and rows under loss", 60))
        return false;
    for (unsigned i = 0; i < run->world.count; i++)
        run->world.nodes[i].side = some(run, 10) == 0;
    world_run(&run->world, (int64_t)(20 + some(run, 10)) * NS_PER_S);
    change_rows(run, 20);
    for (unsigned i = 0; i < run->world.count; i++)
        run->world.nodes[i].side = 0;
    return settles(run, "an island comes back", 90);
}

// All managers start anew at once: nobody knows them, and they know nobody.
static bool managers(struct run *run)
{
    start_all(run);
    if (!settles(run, "nodes and rows", 60))
        return false;
    for (unsigned i = 0; i < WORLD_BOOTSTRAP && i < run->world.count; i++)
        world_crash(&run->world, i);
    world_run(&run->world, (int64_t)some(run, 120) * NS_PER_S);
    for (unsigned i = 0; i < WORLD_BOOTSTRAP && i < run->world.count; i++)
        world_start(&run->world, i);
    return settles(run, "all managers start anew", 120);
}

// One node does not get to run for a while, as a stopped process, and then goes on.
static bool frozen(struct run *run)
{
    start_all(run);
    if (!settles(run, "nodes and rows", 60))
        return false;
    unsigned number = some(run, run->world.count);
    world_freeze(&run->world, number, true);
    world_run(&run->world, (int64_t)(10 + some(run, 50)) * NS_PER_S);
    world_freeze(&run->world, number, false);
    return settles(run, "one node was frozen", 60);
}

static const struct {
    const char *name;
    bool (*run)(struct run *run);
} scenarios[] = {
    {"calm", calm},         {"lossy", lossy},   {"churn", churn},   {"split", split},
    {"managers", managers}, {"frozen", frozen}, {"island", island},
};

static bool run_one(uint64_t seed, unsigned nodes, size_t scenario, bool verbose, bool light)
{
    struct run run = {.seed = seed, .verbose = verbose, .light = light};
    if (verbose)
        printf("seed %llu, %s, %u nodes\n", (unsigned long long)seed, scenarios[scenario].name,
               nodes);
    world_init(&run.world, seed, nodes);
    bool good = scenarios[scenario].run(&run) && bounded(&run);
    if (verbose)
        printf("  %llu packets, %llu streams, %zu KiB of memory a node\n",
               (unsigned long long)run.world.packets, (unsigned long long)run.world.streams,
               mallinfo2().uordblks / 1024 / nodes);
    world_fini(&run.world);
    if (!good)
        printf("FAILED: --seed %llu --seeds 1 --nodes %u --scenario %s: %s\n",
               (unsigned long long)seed, nodes, scenarios[scenario].name, run.why);
    return good;
}

static bool number_of(const char *text, uint64_t *out)
{
    return text && str_to_u64(text, UINT64_MAX, out);
}

int main(int argc, char **argv)
{
    uint64_t seed = 1, seeds = 1, nodes = 30;
    size_t scenario = COUNT_OF(scenarios);
    bool verbose = false, light = false, good = true;
    for (int i = 1; i < argc && good; i++) {
        if (str_equal(argv[i], "--verbose")) {
            verbose = true;
            continue;
        }
        if (str_equal(argv[i], "--light")) {
            light = true;
            continue;
        }
        const char *value = argv[++i];
        if (str_equal(argv[i - 1], "--seed"))
            good = number_of(value, &seed);
        else if (str_equal(argv[i - 1], "--seeds"))
            good = number_of(value, &seeds);
        else if (str_equal(argv[i - 1], "--nodes"))
            good = number_of(value, &nodes) && nodes >= 1 && nodes <= WORLD_NODES_MAX;
        else if (str_equal(argv[i - 1], "--scenario"))
            for (scenario = 0;
                 scenario < COUNT_OF(scenarios) && !str_equal(scenarios[scenario].name, value);)
                scenario++;
        else
            good = false;
    }
    if (!good) {
        fprintf(stderr, "usage: sim_gossip [--seed N] [--seeds N] [--nodes N] [--scenario NAME] "
                        "[--light] [--verbose]\n");
        return 2;
    }
    for (uint64_t i = 0; i < seeds; i++) {
        size_t which = scenario < COUNT_OF(scenarios) ? scenario : (seed + i) % COUNT_OF(scenarios);
        if (!run_one(seed + i, (unsigned)nodes, which, verbose, light))
            return 1;
    }
    printf("%llu seeds, %llu nodes: all rules held\n", (unsigned long long)seeds,
           (unsigned long long)nodes);
    return 0;
}
