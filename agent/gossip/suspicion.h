// How long a suspected node has to speak up, and who confirmed the suspicion (gossip.md section 8,
// "Suspicion"): the more accusers agree, the sooner it is found dead.
#ifndef AGENT_GOSSIP_SUSPICION_H
#define AGENT_GOSSIP_SUSPICION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/gossip/codec.h"
#include "proto/base/clock.h"

#define SUSPICION_MULT     4
#define SUSPICION_MULT_MAX 6
#define SUSPICION_WANTED   (SUSPICION_MULT - 2) // confirmations
#define SUSPICION_ACCUSERS (SUSPICION_WANTED + 1)

struct suspicion {
    struct mono began;
    int64_t min_ns;
    int64_t max_ns;
    unsigned wanted; // confirmations after which the time is down to min_ns
    unsigned confirmed;
    char *accusers[SUSPICION_ACCUSERS]; // the first one and those who confirmed
};

// Begins one, accused by `from`, among so many nodes.
void suspicion_init(struct suspicion *suspicion, struct mono now, struct span from, size_t nodes);
void suspicion_fini(struct suspicion *suspicion);

// Notes an accuser. True when that one counts: it is new, and more were wanted. The deadline may
// have moved, and the news is worth passing on.
bool suspicion_confirm(struct suspicion *suspicion, struct span from);

// When the node is dead.
struct mono suspicion_deadline(const struct suspicion *suspicion);

#endif
