// The world's clock and log, who leads, and what goes wrong.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "tests/sim/manager/sim.h"

#define FAULTS_MS 120000 // for so long things go wrong
#define SETTLE_MS 600000 // and within this time all is as it should be
#define STEPS_MAX 4000000u
#define NODES_MIN 6

void sim_fail(struct sim *sim, const char *format, ...)
{
    if (sim->failed)
        return;
    sim->failed = true;
    va_list args;
    va_start(args, format);
    int at =
        snprintf(sim->message, sizeof sim->message, "at %.3f s: ", (double)sim->now.mono.ns / 1e9);
    vsnprintf(sim->message + at, sizeof sim->message - (size_t)at, format, args);
    va_end(args);
}

void sim_trace(struct sim *sim, const char *format, ...)
{
    if (!sim->options.trace)
        return;
    va_list args;
    va_start(args, format);
    printf("%9.3f ", (double)sim->now.mono.ns / 1e9);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

struct mono sim_after(struct sim *sim, int64_t least_ms, int64_t most_ms)
{
    int64_t ns = rand_between(&sim->rand, least_ms * SIM_MS, most_ms * SIM_MS);
    return mono_add(sim->now.mono, ns);
}

bool sim_chance(struct sim *sim, unsigned of_thousand)
{
    return rand_chance(&sim->rand, of_thousand, 1000);
}

static void fill_random(void *context, void *out, size_t size)
{
    rand_bytes(context, out, size);
}

// ---- leading ------------------------------------------------------------------------------------

static void on_wake(void *ctx)
{
    ((struct sim *)ctx)->turn = true;
}

static void lead(struct sim *sim)
{
    static const struct dispatch_manager managers[] = {{"manager1", "10.1.0.254:2377"}};
    struct dispatcher_config config = {.store = sim->log.store,
                                       .rng = &sim->rng,
                                       .seed = rand_u64(&sim->rand),
                                       .node_id = "manager1",
                                       .wake = on_wake,
                                       .ctx = sim};
    sim_trace(sim, "a manager leads");
    sim->planners = planners_new(sim->log.store, rand_u64(&sim->rand), on_wake, sim);
    sim->dispatcher = dispatcher_new(&config, sim->now);
    dispatcher_set_managers(sim->dispatcher, managers, COUNT_OF(managers));
    sim->leader_since = sim->now.mono;
    sim->turn = true;
}

// What was not committed is lost, and nobody is in charge for a while.
static void lose(struct sim *sim)
{
    sim_trace(sim, "the leader is lost");
    fake_lose(&sim->log);
    planners_free(sim->planners);
    dispatcher_free(sim->dispatcher);
    sim->planners = NULL;
    sim->dispatcher = NULL;
    sim->commit_due = MONO_NEVER;
    for (int i = 0; i < sim->nodes_count; i++)
        node_lost_manager(&sim->nodes[i]);
    sim->lead_due = sim_after(sim, 100, 12000);
}

static void turn(struct sim *sim)
{
    // They wake each other; each round is one turn of the loop.
    for (int round = 0; sim->turn && round < 64; round++) {
        sim->turn = false;
        sim->plan_due = planners_turn(sim->planners, sim->now.mono, sim->now.wall);
        dispatcher_step(sim->dispatcher, sim->now);
    }
}

static void commit(struct sim *sim)
{
    sim->commit_due = MONO_NEVER;
    fake_commit_all(&sim->log);
    fake_log_trim(&sim->log);
    check_commit(sim);
}

// ---- faults -------------------------------------------------------------------------------------

static void fault(struct sim *sim)
{
    struct sim_node *node = &sim->nodes[rand_below(&sim->rand, (uint64_t)sim->nodes_count)];
    sim->fault_due = sim_after(sim, 200, 8000);
    if (sim_chance(sim, 120)) {
        if (sim->planners)
            lose(sim);
    } else if (!node->alive) {
        sim_trace(sim, "%s starts", node->id);
        node_start(node);
    } else if (!node->linked) {
        sim_trace(sim, "%s is linked again", node->id);
        node_heal(node);
    } else if (sim_chance(sim, 500)) {
        bool power = sim_chance(sim, 500);
        sim_trace(sim, "%s %s", node->id, power ? "loses power" : "crashes");
        node_crash(node, power);
    } else {
        sim_trace(sim, "%s is cut off", node->id);
        node_cut(node);
    }
}

static void end_faults(struct sim *sim)
{
    sim_trace(sim, "faults end");
    sim->faults = false;
    sim->fault_due = sim->user_due = MONO_NEVER;
    for (int i = 0; i < sim->nodes_count; i++) {
        if (!sim->nodes[i].alive)
            node_start(&sim->nodes[i]);
        if (!sim->nodes[i].linked)
            node_heal(&sim->nodes[i]);
    }
    if (!sim->planners)
        lead(sim);
    sim->lead_due = MONO_NEVER;
    commit(sim);
    users_settle(sim);
}

// ---- time ---------------------------------------------------------------------------------------

static struct mono earlier(struct mono a, struct mono b)
{
    return mono_before(b, a) ? b : a;
}

static bool due(const struct sim *sim, struct mono at)
{
    return !mono_before(sim->now.mono, at);
}

static void step(struct sim *sim)
{
    sim->steps++;
    struct mono next = earlier(timers_next_due(&sim->timers), sim->commit_due);
    next = earlier(next, earlier(sim->fault_due, earlier(sim->user_due, sim->lead_due)));
    if (sim->planners)
        next = earlier(next, earlier(sim->plan_due, dispatcher_due(sim->dispatcher)));
    CHECK(next.ns != MONO_NEVER.ns);
    if (mono_before(sim->now.mono, next)) {
        sim->now.wall.ns += mono_since(next, sim->now.mono);
        sim->now.mono = next;
    }
    struct timer *timer;
    while ((timer = timers_pop_due(&sim->timers, sim->now.mono)))
        node_fire(sim, timer);
    if (due(sim, sim->commit_due))
        commit(sim);
    if (due(sim, sim->lead_due)) {
        sim->lead_due = MONO_NEVER;
        lead(sim);
    }
    if (due(sim, sim->fault_due))
        fault(sim);
    if (due(sim, sim->user_due)) {
        sim->user_due = sim_after(sim, 100, 3000);
        if (sim->planners)
            users_act(sim);
    }
    if (sim->planners && (due(sim, sim->plan_due) || due(sim, dispatcher_due(sim->dispatcher))))
        sim->turn = true;
    if (sim->planners)
        turn(sim);
    if (sim->log.committed < sim->log.count && sim->commit_due.ns == MONO_NEVER.ns)
        sim->commit_due = sim_after(sim, 1, sim->faults && sim_chance(sim, 20) ? 400 : 10);
}

// ---- a run --------------------------------------------------------------------------------------

static void begin(struct sim *sim, uint64_t seed, const struct sim_options *options)
{
    memset(sim, 0, sizeof *sim);
    sim->options = *options;
    rand_init(&sim->rand, seed);
    sim->rng = (struct rng){.fill = fill_random, .context = &sim->rand};
    sim->now = (struct moment){.mono = {.ns = NS_PER_S}, .wall = {.ns = 1000000 * NS_PER_S}};
    timers_init(&sim->timers);
    fake_log_init(&sim->log, 10);
    sim->nodes_count = options->nodes;
    if (!sim->nodes_count)
        sim->nodes_count = NODES_MIN + (int)rand_below(&sim->rand, SIM_NODES_USUAL - NODES_MIN + 1);
    for (int i = 0; i < sim->nodes_count; i++)
        node_init(sim, &sim->nodes[i], i);
    sim->commit_due = sim->lead_due = sim->plan_due = MONO_NEVER;
    users_found(sim);
    commit(sim);
    lead(sim);
    for (int i = 0; i < sim->nodes_count; i++)
        node_start(&sim->nodes[i]);
    sim->faults = true;
    sim->fault_due = sim_after(sim, 1000, 5000);
    sim->user_due = sim_after(sim, 100, 1000);
}

static void end(struct sim *sim)
{
    if (sim->planners) {
        fake_lose(&sim->log);
        planners_free(sim->planners);
        dispatcher_free(sim->dispatcher);
        sim->planners = NULL;
        sim->dispatcher = NULL;
    }
    for (int i = 0; i < sim->nodes_count; i++)
        node_fini(&sim->nodes[i]);
    fake_log_fini(&sim->log);
    timers_fini(&sim->timers);
}

bool sim_run(struct sim *sim, uint64_t seed, const struct sim_options *options)
{
    begin(sim, seed, options);
    struct mono calm = sim_after(sim, FAULTS_MS, FAULTS_MS);
    struct mono last = mono_add(calm, SETTLE_MS * SIM_MS);
    while (!sim->failed && sim->steps < STEPS_MAX && mono_before(sim->now.mono, last)) {
        step(sim);
        if (sim->faults && due(sim, calm))
            end_faults(sim);
        if (!sim->faults && sim->steps % 64 == 0 && check_settled(sim, false))
            break;
    }
    if (!sim->failed)
        check_settled(sim, true);
    bool good = !sim->failed;
    end(sim);
    return good;
}
