// sim_raft --seeds N --seed S [--trace] [--failover] [--bug NAME | --all-bugs]
//
// Runs N seeds from S on. A failure prints its seed; `sim_raft --seeds 1 --seed THAT --trace`
// replays it exactly and tells the story. The build with planted bugs has --bug and --all-bugs.
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/raft/sim.h"

static uint64_t seed_running;

// A CHECK that fails inside a core is a find, too; say which seed it was.
static void on_abort(int signal_number)
{
    (void)signal_number;
    char text[64];
    int len = snprintf(text, sizeof text, "seed %llu: aborted\n", (unsigned long long)seed_running);
    if (len > 0 && write(STDERR_FILENO, text, (size_t)len) < 0)
        _exit(3);
    _exit(2);
}

struct totals {
    uint64_t steps;
    uint64_t acked;
    uint64_t read;
};

// The first seed that fails, or `count` when none does.
static uint64_t run_seeds(uint64_t first, uint64_t count, const struct sim_options *options,
                          struct totals *totals)
{
    static struct sim sim;
    for (uint64_t i = 0; i < count; i++) {
        seed_running = first + i;
        bool good = sim_run(&sim, first + i, options);
        totals->steps += sim.steps;
        totals->acked += sim.acked;
        totals->read += sim.read;
        if (good)
            continue;
        if (!options->quiet)
            printf("seed %llu: %s\n", (unsigned long long)(first + i), sim.message);
        return i;
    }
    return count;
}

#ifdef SKEP_PLANTED_BUGS
static const struct {
    enum raft_planted bug;
    const char *name;
    const char *text;
} bugs[] = {
#define X(name, text) {RAFT_PLANTED_##name, #name, text},
    RAFT_PLANTED_BUGS(X)
#undef X
};

// Runs in a child, since a bug may as well break an invariant inside the core. True when found.
static bool find_bug(size_t at, uint64_t first, uint64_t count)
{
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        raft_planted = bugs[at].bug;
        struct sim_options options = {0};
        struct totals totals = {0};
        uint64_t found = run_seeds(first, count, &options, &totals);
        fflush(stdout);
        _exit(found < count ? 2 : 0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    bool found = WIFEXITED(status) && WEXITSTATUS(status) == 2;
    printf("%-22s %s: %s\n", bugs[at].name, found ? "found" : "NOT FOUND", bugs[at].text);
    return found;
}

static int find_bugs(const char *only, uint64_t first, uint64_t count)
{
    size_t missed = 0;
    size_t tried = 0;
    for (size_t i = 0; i < COUNT_OF(bugs); i++) {
        if (only && strcmp(only, bugs[i].name) != 0)
            continue;
        tried++;
        missed += !find_bug(i, first, count);
    }
    printf("%zu planted bugs, %zu not found within %llu seeds\n", tried, missed,
           (unsigned long long)count);
    return missed == 0 && tried > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
#endif

// ---- fail-over ----------------------------------------------------------------------------------

static const struct {
    const char *name;
    struct sim_failover terms;
    int64_t p99_ms; // no more than this
} failovers[] = {
    {"3 members", {3, 5, 1000, 0}, 900},
    {"5 members", {5, 5, 1000, 0}, 900},
    {"7 members", {7, 5, 1000, 0}, 900},
    {"3 members, slow disks", {3, 60, 1000, 0}, 900},
    {"3 members far apart", {3, 5, 40000, 0}, 900},
    {"3 members, 5 % lost", {3, 5, 1000, 5}, 900},
};

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static bool measure_failover(size_t at, uint64_t first, uint64_t count,
                             const struct sim_options *options)
{
    static struct sim sim;
    int64_t *took = malloc(count * sizeof *took);
    CHECK(took);
    for (uint64_t i = 0; i < count; i++) {
        seed_running = first + i;
        took[i] = sim_failover(&sim, first + i, options, &failovers[at].terms) / NS_PER_MS;
        if (sim.failed) {
            printf("seed %llu: %s\n", (unsigned long long)(first + i), sim.message);
            free(took);
            return false;
        }
        if (options->trace)
            printf("seed %llu: %lld ms\n", (unsigned long long)(first + i), (long long)took[i]);
    }
    qsort(took, count, sizeof *took, by_value);
    int64_t p99_ms = took[count * 99 / 100];
    bool good = p99_ms <= failovers[at].p99_ms;
    printf("%-24s p50 %4lld  p90 %4lld  p99 %4lld  worst %4lld ms: %s\n", failovers[at].name,
           (long long)took[count / 2], (long long)took[count * 9 / 10], (long long)p99_ms,
           (long long)took[count - 1], good ? "good" : "TOO SLOW");
    free(took);
    return good;
}

static int measure_failovers(uint64_t first, uint64_t count, const struct sim_options *options)
{
    size_t slow = 0;
    for (size_t i = 0; i < COUNT_OF(failovers); i++)
        slow += !measure_failover(i, first, count, options);
    return slow == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    bool failover = false;
    uint64_t seeds = 100;
    uint64_t seed = 1;
    const char *bug = NULL;
    bool all_bugs = false;
    struct sim_options options = {0};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc)
            seeds = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--trace") == 0)
            options.trace = true;
        else if (strcmp(argv[i], "--failover") == 0)
            failover = true;
        else if (strcmp(argv[i], "--bug") == 0 && i + 1 < argc)
            bug = argv[++i];
        else if (strcmp(argv[i], "--all-bugs") == 0)
            all_bugs = true;
        else {
            fprintf(stderr,
                    "usage: %s [--seeds N] [--seed S] [--trace] [--failover] [--bug NAME | "
                    "--all-bugs]\n",
                    argv[0]);
            return EXIT_FAILURE;
        }
    }
    signal(SIGABRT, on_abort);
#ifdef SKEP_PLANTED_BUGS
    if (bug || all_bugs)
        return find_bugs(bug, seed, seeds);
#else
    if (bug || all_bugs) {
        fprintf(stderr, "this build has no planted bugs\n");
        return EXIT_FAILURE;
    }
#endif
    if (failover)
        return measure_failovers(seed, seeds, &options);
    struct totals totals = {0};
    bool good = run_seeds(seed, seeds, &options, &totals) == seeds;
    printf("%llu seeds, %llu steps, %llu writes acknowledged, %llu reads answered: %s\n",
           (unsigned long long)seeds, (unsigned long long)totals.steps,
           (unsigned long long)totals.acked, (unsigned long long)totals.read,
           good ? "every rule held" : "FAILED");
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
