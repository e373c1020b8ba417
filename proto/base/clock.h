// Time as three things the compiler keeps apart: moments of the wall clock, moments of the
// monotonic clock, and plain durations.
//
// Pure: reading the clocks is in clock_io.h. Cores take the time as a parameter.
#ifndef PROTO_BASE_CLOCK_H
#define PROTO_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

#define NS_PER_US  INT64_C(1000)
#define NS_PER_MS  INT64_C(1000000)
#define NS_PER_S   INT64_C(1000000000)
#define NS_PER_MIN (60 * NS_PER_S)
#define NS_PER_H   (60 * NS_PER_MIN)

// A moment of the wall clock: nanoseconds since 1970-01-01T00:00:00Z. Range: years 1678 to 2262.
// The value 0 also stands for "never" where a header says so.
struct wall {
    int64_t ns;
};

// A moment of the monotonic clock: nanoseconds since an arbitrary start. Never negative; never
// compared across machines or restarts.
struct mono {
    int64_t ns;
};

// A moment so late that it never comes: for "no deadline".
#define MONO_NEVER ((struct mono){.ns = INT64_MAX})

// Durations are int64_t with the unit in the name (delay_ns, period_ms).

// The moment `delay_ns` after (or, when negative, before) `at`; saturates instead of wrapping.
struct mono mono_add(struct mono at, int64_t delay_ns);
struct wall wall_add(struct wall at, int64_t delay_ns);

// later - earlier, in nanoseconds; saturates.
int64_t mono_since(struct mono later, struct mono earlier);
int64_t wall_since(struct wall later, struct wall earlier);

static inline bool mono_before(struct mono a, struct mono b)
{
    return a.ns < b.ns;
}
static inline bool wall_before(struct wall a, struct wall b)
{
    return a.ns < b.ns;
}

// Room for any RFC 3339 text made here, terminator included.
#define WALL_TEXT_BYTES 40

// RFC 3339 in UTC with the fraction's trailing zeros left out, as Go's RFC3339Nano:
// "2026-11-20T13:35:20.123456789Z", "2026-11-20T13:35:20Z". Returns out.
const char *wall_format(struct wall at, char out[WALL_TEXT_BYTES]);

// Parses RFC 3339 with any offset and up to 9 fraction digits. INVALID_ARGUMENT on anything else,
// and OUT_OF_RANGE outside struct wall's years.
int wall_parse(const char *text, struct wall *out, struct err *err);

// Room for any duration text made here, terminator included.
#define DURATION_TEXT_BYTES 40

// Go's duration text: "1h2m3.5s", "250ms", "0s". Returns out.
const char *duration_format(int64_t duration_ns, char out[DURATION_TEXT_BYTES]);

// Parses Go's duration text ("-1.5h", "1h15m30.918273645s", "2us", "2µs", "0"). INVALID_ARGUMENT on
// anything else, OUT_OF_RANGE past int64_t nanoseconds.
int duration_parse(const char *text, int64_t *out_ns, struct err *err);

#endif
