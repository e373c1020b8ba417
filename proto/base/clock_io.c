#include "proto/base/clock_io.h"

#include <time.h>

#include "proto/base/check.h"

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    int result = clock_gettime(clock, &now);
    CHECK(result == 0);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

struct wall wall_now(void)
{
    return (struct wall){.ns = read_clock(CLOCK_REALTIME)};
}

struct mono mono_now(void)
{
    return (struct mono){.ns = read_clock(CLOCK_MONOTONIC)};
}
