// Back-off with jitter: how long to wait before the n-th attempt.
#ifndef PROTO_RPC_BACKOFF_H
#define PROTO_RPC_BACKOFF_H

#include <stdint.h>

#include "proto/base/rand.h"

struct backoff {
    int64_t first_ms; // the first pause
    int64_t max_ms;   // the longest
    unsigned failures;
};

static inline void backoff_init(struct backoff *backoff, int64_t first_ms, int64_t max_ms)
{
    *backoff = (struct backoff){.first_ms = first_ms, .max_ms = max_ms};
}

// It worked: the next pause is the first again.
static inline void backoff_reset(struct backoff *backoff)
{
    backoff->failures = 0;
}

// It failed: the pause before the next attempt. Grows by 1.6 each time up to max_ms, then up to 20
// % more or less, so that those who failed together do not come back together
// (grpc/doc/connection-backoff.md).
int64_t backoff_next_ms(struct backoff *backoff, struct rand *rand);

#endif
