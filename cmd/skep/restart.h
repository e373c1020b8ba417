// Restart policies of containers as options and compose files write them.
#ifndef CMD_SKEP_RESTART_H
#define CMD_SKEP_RESTART_H

#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/err.h"

struct restart {
    const char *name; // no, always, unless-stopped, on-failure
    int64_t retries;  // of on-failure; 0: no limit
};

// Takes "on-failure:3" apart; texts lie in the arena. INVALID_ARGUMENT for what is no policy.
int restart_parse(const char *text, struct restart *restart, struct arena *arena, struct err *err);

#endif
