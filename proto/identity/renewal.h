// When to renew a node certificate (swarmkit.md section 3.3).
#ifndef PROTO_IDENTITY_RENEWAL_H
#define PROTO_IDENTITY_RENEWAL_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/clock.h"
#include "proto/base/rand.h"

// After a trigger (role change, rotation, lock): how long to wait before renewing.
#define RENEWAL_TRIGGER_DELAY_MS 500

// How long from `now` until the renewal: at a random minute between 50 % and 80 % of the
// certificate's life; 0 once that time is past or the certificate has expired.
int64_t renewal_delay_ns(struct wall not_before, struct wall not_after, struct wall now,
                         struct rand *rand);

// A node's renewals. One that was asked for or has begun stays wanted until it succeeds: a new root
// alone, with the same certificate, does not put it off.
struct renewal {
    bool wanted;
    unsigned failures; // in a row
};

// How long from `now` until the next try, once credentials came into use: as renewal_delay_ns;
// while one is wanted, as after a trigger, for a new root may be what it failed for.
int64_t renewal_next_ns(const struct renewal *renewal, struct wall not_before,
                        struct wall not_after, struct wall now, struct rand *rand);

// How long to wait after the n-th failure (1, 2, ...): random below min(1 h, 5 s + 2^(n-1) x 5 s).
int64_t renewal_backoff_ns(unsigned failures, struct rand *rand);

// How long to wait before the n-th poll of NodeCertificateStatus (1, 2, ...) after an answer that
// is not final: random below min(30 s, 1 s + 2^(n-1) s).
int64_t renewal_poll_ns(unsigned polls, struct rand *rand);

#endif
