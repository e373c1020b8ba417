// google.protobuf's Timestamp and Duration against proto/base/clock.h's moments and nanoseconds.
//
// Go writes its zero time (year 1) where we say "never": both read as a wall moment of 0. What lies
// outside the range of int64_t nanoseconds is moved to the nearest end, never an error, because
// stock peers replicate whatever a user's clock or spec said.
#ifndef PROTO_WIRE_TIMES_H
#define PROTO_WIRE_TIMES_H

#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/clock.h"
#include "proto/wire/google.pb-c.h"

// The moment; 0 ("never") for NULL and for Go's zero time.
struct wall timestamp_to_wall(const Google__Timestamp *timestamp);

// Fills an initialised message.
void timestamp_set(Google__Timestamp *timestamp, struct wall at);

// A new message in the arena or, when NULL, on the heap. NULL for "never" (0), and past the arena's
// limit.
Google__Timestamp *timestamp_new(struct wall at, struct arena *arena);

// The nanoseconds, or `fallback_ns` for NULL.
int64_t duration_to_ns(const Google__Duration *duration, int64_t fallback_ns);

void duration_set(Google__Duration *duration, int64_t duration_ns);

// A new message, for 0 too, in the arena or, when NULL, on the heap. NULL past the arena's limit.
Google__Duration *duration_new(int64_t duration_ns, struct arena *arena);

#endif
