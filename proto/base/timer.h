// Timers as a pure heap: whoever owns it asks when the next one is due and takes out what is due.
//
// Timers due at the same moment fire in the order they were set, so that runs repeat.
#ifndef PROTO_BASE_TIMER_H
#define PROTO_BASE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/clock.h"

// Embedded in the struct it wakes; zero-initialised or timer_init'ed before use.
struct timer {
    struct mono due;
    uint64_t order; // when it was set, for ties
    size_t place;   // position in the heap + 1; 0 when not set
};

struct timers {
    struct timer **heap;
    size_t count;
    size_t cap;
    uint64_t next_order;
};

void timers_init(struct timers *timers);

// Frees the heap; timers still set are simply forgotten, and become "not set".
void timers_fini(struct timers *timers);

// Sets the timer to `due`, whether or not it was set before.
void timers_set(struct timers *timers, struct timer *timer, struct mono due);

// Takes the timer out; harmless when it is not set.
void timers_cancel(struct timers *timers, struct timer *timer);

static inline void timer_init(struct timer *timer)
{
    timer->place = 0;
}
static inline bool timer_is_set(const struct timer *timer)
{
    return timer->place != 0;
}

// When the earliest timer is due; MONO_NEVER when none is set.
struct mono timers_next_due(const struct timers *timers);

// Takes out the earliest timer that is due at `now` and returns it, or NULL. Call until NULL.
struct timer *timers_pop_due(struct timers *timers, struct mono now);

#endif
