#include "proto/wire/times.h"

#include <stddef.h>

#include "proto/wire/wire.h"

// 0001-01-01T00:00:00Z, Go's zero time, in seconds since 1970.
#define GO_ZERO_TIME_S INT64_C(-62135596800)

// seconds and nanos in nanoseconds, moved to the nearest end of the range when outside of it.
static int64_t saturated_ns(int64_t seconds, int32_t nanos)
{
    int64_t ns;
    if (__builtin_mul_overflow(seconds, NS_PER_S, &ns))
        return seconds < 0 ? INT64_MIN : INT64_MAX;
    if (__builtin_add_overflow(ns, (int64_t)nanos, &ns))
        return nanos < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

struct wall timestamp_to_wall(const Google__Timestamp *timestamp)
{
    if (!timestamp || timestamp->seconds == GO_ZERO_TIME_S)
        return (struct wall){.ns = 0};
    return (struct wall){.ns = saturated_ns(timestamp->seconds, timestamp->nanos)};
}

void timestamp_set(Google__Timestamp *timestamp, struct wall at)
{
    // nanos counts forward, also before 1970.
    int64_t nanos = at.ns % NS_PER_S;
    int64_t seconds = at.ns / NS_PER_S;
    if (nanos < 0) {
        nanos += NS_PER_S;
        seconds--;
    }
    timestamp->seconds = seconds;
    timestamp->nanos = (int32_t)nanos;
}

Google__Timestamp *timestamp_new(struct wall at, struct arena *arena)
{
    if (at.ns == 0)
        return NULL;
    Google__Timestamp *timestamp = wire_new(&google__timestamp__descriptor, arena);
    if (timestamp)
        timestamp_set(timestamp, at);
    return timestamp;
}

int64_t duration_to_ns(const Google__Duration *duration, int64_t fallback_ns)
{
    return duration ? saturated_ns(duration->seconds, duration->nanos) : fallback_ns;
}

void duration_set(Google__Duration *duration, int64_t duration_ns)
{
    // C's division cuts towards zero, so both parts get the sign, as the format wants.
    duration->seconds = duration_ns / NS_PER_S;
    duration->nanos = (int32_t)(duration_ns % NS_PER_S);
}

Google__Duration *duration_new(int64_t duration_ns, struct arena *arena)
{
    Google__Duration *duration = wire_new(&google__duration__descriptor, arena);
    if (duration)
        duration_set(duration, duration_ns);
    return duration;
}
