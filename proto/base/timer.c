#include "proto/base/timer.h"

#include <stdlib.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

void timers_init(struct timers *timers)
{
    *timers = (struct timers){0};
}

void timers_fini(struct timers *timers)
{
    for (size_t i = 0; i < timers->count; i++)
        timers->heap[i]->place = 0;
    free(timers->heap);
    timers_init(timers);
}

static bool earlier(const struct timer *a, const struct timer *b)
{
    return a->due.ns != b->due.ns ? a->due.ns < b->due.ns : a->order < b->order;
}

static void put_at(struct timers *timers, struct timer *timer, size_t index)
{
    timers->heap[index] = timer;
    timer->place = index + 1;
}

// Moves the timer at `index` towards the root until its parent is earlier.
static void sift_up(struct timers *timers, size_t index)
{
    struct timer *timer = timers->heap[index];
    while (index > 0) {
        size_t parent = (index - 1) / 2;
        if (!earlier(timer, timers->heap[parent]))
            break;
        put_at(timers, timers->heap[parent], index);
        index = parent;
    }
    put_at(timers, timer, index);
}

// Moves the timer at `index` towards the leaves until both children are later.
static void sift_down(struct timers *timers, size_t index)
{
    struct timer *timer = timers->heap[index];
    for (;;) {
        size_t child = 2 * index + 1;
        if (child >= timers->count)
            break;
        if (child + 1 < timers->count && earlier(timers->heap[child + 1], timers->heap[child]))
            child++;
        if (!earlier(timers->heap[child], timer))
            break;
        put_at(timers, timers->heap[child], index);
        index = child;
    }
    put_at(timers, timer, index);
}

void timers_set(struct timers *timers, struct timer *timer, struct mono due)
{
    timers_cancel(timers, timer);
    if (timers->count == timers->cap) {
        timers->cap = timers->cap ? timers->cap * 2 : 16;
        timers->heap = mem_realloc(timers->heap, timers->cap * sizeof *timers->heap);
    }
    timer->due = due;
    timer->order = timers->next_order++;
    put_at(timers, timer, timers->count++);
    sift_up(timers, timer->place - 1);
}

void timers_cancel(struct timers *timers, struct timer *timer)
{
    if (!timer_is_set(timer))
        return;
    size_t index = timer->place - 1;
    CHECK(index < timers->count);
    CHECK(timers->heap[index] == timer);
    timer->place = 0;
    struct timer *last = timers->heap[--timers->count];
    if (last == timer)
        return;
    put_at(timers, last, index);
    sift_up(timers, index);
    sift_down(timers, last->place - 1);
}

struct mono timers_next_due(const struct timers *timers)
{
    return timers->count ? timers->heap[0]->due : MONO_NEVER;
}

struct timer *timers_pop_due(struct timers *timers, struct mono now)
{
    if (!timers->count || mono_before(now, timers->heap[0]->due))
        return NULL;
    struct timer *timer = timers->heap[0];
    timers_cancel(timers, timer);
    return timer;
}
