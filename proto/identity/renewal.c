#include "proto/identity/renewal.h"

#include "proto/base/check.h"

// min(most, base + 2^(n-1) * step), without overflow.
static int64_t grow(int64_t base_ns, int64_t step_ns, unsigned n, int64_t most_ns)
{
    CHECK(n > 0);
    int64_t value = step_ns;
    for (unsigned i = 1; i < n && value < most_ns; i++)
        value *= 2;
    return value < most_ns - base_ns ? base_ns + value : most_ns;
}

int64_t renewal_delay_ns(struct wall not_before, struct wall not_after, struct wall now,
                         struct rand *rand)
{
    int64_t life_min = wall_since(not_after, not_before) / NS_PER_MIN;
    if (life_min <= 0 || !wall_before(now, not_after))
        return 0;
    int64_t low = life_min / 2;
    int64_t high = life_min * 4 / 5;
    int64_t minute = high > low ? rand_between(rand, low, high - 1) : low;
    struct wall when = wall_add(not_before, minute * NS_PER_MIN);
    int64_t delay = wall_since(when, now);
    return delay > 0 ? delay : 0;
}

int64_t renewal_next_ns(const struct renewal *renewal, struct wall not_before,
                        struct wall not_after, struct wall now, struct rand *rand)
{
    if (renewal->wanted)
        return RENEWAL_TRIGGER_DELAY_MS * NS_PER_MS;
    return renewal_delay_ns(not_before, not_after, now, rand);
}

int64_t renewal_backoff_ns(unsigned failures, struct rand *rand)
{
    int64_t below = grow(5 * NS_PER_S, 5 * NS_PER_S, failures, NS_PER_H);
    return (int64_t)rand_below(rand, (uint64_t)below);
}

int64_t renewal_poll_ns(unsigned polls, struct rand *rand)
{
    int64_t below = grow(NS_PER_S, NS_PER_S, polls, 30 * NS_PER_S);
    return (int64_t)rand_below(rand, (uint64_t)below);
}
