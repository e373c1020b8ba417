#include "cmd/skepd/backoff.h"

int64_t backoff_after(struct backoff *backoff, struct mono started, struct mono ended)
{
    if (mono_since(ended, started) >= BACKOFF_HEALTHY_S * NS_PER_S)
        backoff->failures = 0;
    int64_t wait_ms = BACKOFF_FIRST_MS;
    for (unsigned i = 0; i < backoff->failures && wait_ms < BACKOFF_MAX_MS; i++)
        wait_ms *= 2;
    if (wait_ms >= BACKOFF_MAX_MS)
        return BACKOFF_MAX_MS;
    backoff->failures++;
    return wait_ms;
}
