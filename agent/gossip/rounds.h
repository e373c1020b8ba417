// When rounds of gossip are due: a period apart as long as there is something to send, and left out
// while there is nothing. Pure.
#ifndef AGENT_GOSSIP_ROUNDS_H
#define AGENT_GOSSIP_ROUNDS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/clock.h"

struct rounds {
    int64_t period_ns;
    struct mono at; // the next round, or while none is due an earlier one
    bool due;
};

void rounds_init(struct rounds *rounds, int64_t period_ns, struct mono first);

// The time of the next round; MONO_NEVER when none is `wanted`. To be asked after every event:
// rounds that are wanted again take place when they would have without the pause.
struct mono rounds_next(struct rounds *rounds, bool wanted, struct mono now);

// Whether it is time for a round, which counts as begun then: the next one is a period away.
bool rounds_begin(struct rounds *rounds, struct mono now);

#endif
