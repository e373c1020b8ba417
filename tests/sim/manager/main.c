// sim_manager --seeds N --seed S [--nodes N] [--trace]
//
// Runs N seeds from S on. A failure prints its seed; `sim_manager --seeds 1 --seed THAT --trace`
// replays it exactly and tells the story. The build with planted bugs has --bug NAME and
// --all-bugs.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/store/planted.h"
#include "proto/base/check.h"
#include "proto/base/log.h"
#include "proto/base/str.h"
#include "tests/sim/manager/sim.h"

static uint64_t seed_running;

// A CHECK that fails inside of a core is a find, too; say which seed it was.
static void on_abort(int number)
{
    (void)number;
    char text[64];
    int size =
        snprintf(text, sizeof text, "seed %llu: aborted\n", (unsigned long long)seed_running);
    if (size > 0 && write(STDERR_FILENO, text, (size_t)size) < 0)
        _exit(3);
    _exit(2);
}

// ---- planted bugs -------------------------------------------------------------------------------

#ifdef SKEP_PLANTED_BUGS
enum manager_planted manager_planted;

static const struct {
    const char *name, *text;
} bugs[] = {
#define X(name, text) {#name, text},
    MANAGER_PLANTED_BUGS(X)
#undef X
};

static bool choose_bug(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(bugs); i++)
        if (str_equal(bugs[i].name, name)) {
            manager_planted = (enum manager_planted)(i + 1);
            return true;
        }
    return false;
}

// Every bug must break a rule within so many seeds. The number of those that do not.
static int hunt(struct sim *sim, uint64_t seeds, uint64_t first)
{
    int missed = 0;
    const struct sim_options options = {0};
    for (size_t i = 0; i < COUNT_OF(bugs); i++) {
        bool found = false;
        manager_planted = (enum manager_planted)(i + 1);
        for (uint64_t at = 0; at < seeds && !found; at++) {
            seed_running = first + at;
            found = !sim_run(sim, seed_running, &options);
        }
        printf("%-16s %s: seed %llu %s\n", bugs[i].name, bugs[i].text,
               (unsigned long long)seed_running, found ? sim->message : "NOT FOUND");
        fflush(stdout);
        missed += !found;
    }
    return missed;
}
#else
static bool choose_bug(const char *name)
{
    (void)name;
    return false;
}

static int hunt(struct sim *sim, uint64_t seeds, uint64_t first)
{
    (void)sim;
    (void)seeds;
    (void)first;
    fprintf(stderr, "this build has no planted bugs\n");
    return 1;
}
#endif

int main(int argc, char **argv)
{
    static struct sim sim;
    bool all_bugs = false;
    uint64_t seeds = 100, first = 1, steps = 0, started = 0, commits = 0;
    struct sim_options options = {0};
    for (int i = 1; i < argc; i++) {
        if (str_equal(argv[i], "--trace"))
            options.trace = true;
        else if (str_equal(argv[i], "--all-bugs"))
            all_bugs = true;
        else if (str_equal(argv[i], "--bug") && i + 1 < argc && choose_bug(argv[i + 1]))
            i++;
        else if (str_equal(argv[i], "--nodes") && i + 1 < argc)
            options.nodes = atoi(argv[++i]);
        else if (str_equal(argv[i], "--seeds") && i + 1 < argc)
            seeds = strtoull(argv[++i], NULL, 10);
        else if (str_equal(argv[i], "--seed") && i + 1 < argc)
            first = strtoull(argv[++i], NULL, 10);
        else
            return fprintf(stderr, "see the top of %s\n", __FILE__), 2;
    }
    if (options.nodes < 0 || options.nodes > SIM_NODES_MAX)
        return fprintf(stderr, "at most %d nodes\n", SIM_NODES_MAX), 2;
    signal(SIGABRT, on_abort);
    log_setup(2, LOG_ERROR, LOG_TEXT, NULL);
    if (all_bugs)
        return hunt(&sim, seeds, first) > 0;
    for (uint64_t i = 0; i < seeds; i++) {
        seed_running = first + i;
        bool good = sim_run(&sim, seed_running, &options);
        steps += sim.steps;
        started += sim.started;
        commits += sim.commits;
        if (!good)
            return printf("seed %llu: %s\n", (unsigned long long)seed_running, sim.message), 1;
    }
    printf("%llu seeds, %llu steps, %llu commits, %llu containers started\n",
           (unsigned long long)seeds, (unsigned long long)steps, (unsigned long long)commits,
           (unsigned long long)started);
    return 0;
}
