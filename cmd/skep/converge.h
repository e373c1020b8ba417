// Waiting until a service runs as it should, and what to show meanwhile.
#ifndef CMD_SKEP_CONVERGE_H
#define CMD_SKEP_CONVERGE_H

#include "cmd/skep/cli_io.h"
#include "cmd/skep/progress.h"

// What a look at a service tells.
struct converge_view {
    size_t running, total; // tasks that run (or, of a job, are complete) and that should
    bool job;
    bool complete; // every task that should run does
};

// Judges the service by its up-to-date tasks; `nodes` (of GET /nodes) tells how many a global
// service needs. Adds a line per slot to `progress` (may be NULL): pure but for that.
struct converge_view converge_look(json_t *service, json_t *tasks, json_t *nodes, bool rollback,
                                   struct arena *arena, struct progress *progress);

// Follows the service until it is stable: prints progress unless `quiet`. The exit status; an
// interrupt (Ctrl-C) ends it with 0 and says that the work goes on.
int converge_wait(struct cli *cli, const char *service, bool quiet);

#endif
