// skep status: the swarm on one screen, with what is wrong and what to do about it.
#ifndef CMD_SKEP_OVERVIEW_H
#define CMD_SKEP_OVERVIEW_H

#include "cmd/skep/cli_io.h"

// What the daemon knows, fetched at one moment. Members are NULL when the node is no manager.
struct overview {
    json_t *info, *swarm, *nodes, *services, *tasks, *networks;
    const char *silence; // why a manager's cluster does not answer; NULL: it does
};

// One thing that is wrong.
struct problem {
    const char *what, *cure;
    bool grave; // things do not work, or would not after one more failure
};

#define PROBLEMS_MAX 64

struct problems {
    struct problem list[PROBLEMS_MAX];
    size_t count;
    size_t beyond; // more than there is room for
};

// Asks the daemon. False with cli->error. A manager whose cluster has no leader still tells of
// itself.
bool overview_fetch(struct cli *cli, struct overview *out);

// What is wrong, judged from what was fetched alone.
void overview_judge(const struct overview *overview, struct arena *arena, struct problems *out);

// Managers that can be reached, and all; tasks of a node or of a service in a state.
void overview_managers(const struct overview *overview, size_t *reachable, size_t *all);
size_t overview_tasks(const struct overview *overview, const char *key, const char *id,
                      const char *state);

// The handler of `skep status` and `skep swarm status`, and their options.
extern const struct flag overview_status_flags[];
int overview_status(struct cli *cli);

#endif
