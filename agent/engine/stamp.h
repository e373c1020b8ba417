// Moments in queries (`since`, `until`): seconds since 1970 with an optional fraction.
#ifndef AGENT_ENGINE_STAMP_H
#define AGENT_ENGINE_STAMP_H

#include "proto/base/clock.h"
#include "proto/base/err.h"

// "1795175141", "1795175141.000000001". NULL and "" give 0: none. INVALID_ARGUMENT in Go's words.
int stamp_parse(const char *text, struct wall *out, struct err *err);

// A moment of a filter `until`: a stamp, RFC 3339, or a duration back from `now` ("10m").
// INVALID_ARGUMENT.
int stamp_filter_parse(const char *text, struct wall now, struct wall *out, struct err *err);

#endif
