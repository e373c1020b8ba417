// How long to wait before a process that ended is started again. Pure.
#ifndef CMD_SKEPD_BACKOFF_H
#define CMD_SKEPD_BACKOFF_H

#include <stdint.h>

#include "proto/base/clock.h"

// The first restart comes soon, each further one twice as late; who lived this long starts anew.
#define BACKOFF_FIRST_MS  100
#define BACKOFF_MAX_MS    30000
#define BACKOFF_HEALTHY_S 30

struct backoff {
    unsigned failures; // in a row
};

// The wait after a life from `started` to `ended`, in milliseconds.
int64_t backoff_after(struct backoff *backoff, struct mono started, struct mono ended);

#endif
