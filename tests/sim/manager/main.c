// sim_manager --seeds N --seed S [--trace]
//
// Runs N seeds from S on. A failure prints its seed; `sim_manager --seeds 1 --seed THAT --trace`
// replays it exactly and tells the story.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

int main(int argc, char **argv)
{
    uint64_t seeds = 100, first = 1, steps = 0, started = 0, commits = 0;
    struct sim_options options = {0};
    for (int i = 1; i < argc; i++) {
        if (str_equal(argv[i], "--trace"))
            options.trace = true;
        else if (str_equal(argv[i], "--seeds") && i + 1 < argc)
            seeds = strtoull(argv[++i], NULL, 10);
        else if (str_equal(argv[i], "--seed") && i + 1 < argc)
            first = strtoull(argv[++i], NULL, 10);
        else
            return fprintf(stderr, "see the top of %s\n", __FILE__), 2;
    }
    signal(SIGABRT, on_abort);
    log_setup(2, LOG_ERROR, LOG_TEXT, NULL);
    for (uint64_t i = 0; i < seeds; i++) {
        static struct sim sim;
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
