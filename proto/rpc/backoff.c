#include "proto/rpc/backoff.h"

#include "proto/base/check.h"

int64_t backoff_next_ms(struct backoff *backoff, struct rand *rand)
{
    CHECK(backoff->first_ms > 0);
    CHECK(backoff->max_ms >= backoff->first_ms);
    double pause = (double)backoff->first_ms;
    for (unsigned i = 0; i < backoff->failures && pause < (double)backoff->max_ms; i++)
        pause *= 1.6;
    if (pause > (double)backoff->max_ms)
        pause = (double)backoff->max_ms;
    if (backoff->failures < 1000)
        backoff->failures++;
    return (int64_t)(pause * (0.8 + 0.4 * rand_unit(rand)));
}
