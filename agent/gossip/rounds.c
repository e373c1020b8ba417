#include "agent/gossip/rounds.h"

#include "proto/base/check.h"

void rounds_init(struct rounds *rounds, int64_t period_ns, struct mono first)
{
    CHECK(period_ns > 0);
    *rounds = (struct rounds){.period_ns = period_ns, .at = first};
}

struct mono rounds_next(struct rounds *rounds, bool wanted, struct mono now)
{
    // Only at the end of a pause: a round that is late must not move on for every packet that comes
    // before it.
    if (wanted && !rounds->due && mono_before(rounds->at, now)) {
        int64_t over_ns = mono_since(now, rounds->at) % rounds->period_ns;
        rounds->at = over_ns ? mono_add(now, rounds->period_ns - over_ns) : now;
    }
    rounds->due = wanted;
    return wanted ? rounds->at : MONO_NEVER;
}

bool rounds_begin(struct rounds *rounds, struct mono now)
{
    if (!rounds->due || mono_before(now, rounds->at))
        return false;
    rounds->at = mono_add(now, rounds->period_ns);
    return true;
}
