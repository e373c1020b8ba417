// What the prune commands share: the question before, and what is gone after.
#ifndef CMD_SKEP_PRUNE_H
#define CMD_SKEP_PRUNE_H

#include "cmd/skep/cli_io.h"

// --filter and --force, and the same with --all.
extern const struct flag prune_flags[], prune_all_flags[];

struct prune {
    const char *target;   // "/images/prune"
    const char *list;     // the answer's list of what is gone
    const char *title;    // above that list
    const char *question; // asked first, unless --force is there; NULL: nothing is asked
    bool frees;           // the answer says how many bytes are free now
};

// Asks, has the daemon do it by `filters` (a query part, as of filters_part; NULL: fails with
// cli->error), and says what is gone. The exit status.
int prune_run(struct cli *cli, const struct prune *what, const char *filters);

// Prints the list below its title; false when there is nothing in it.
bool prune_say(struct cli *cli, json_t *gone, const char *list, const char *title);

#endif
