// Reading the machine's clocks.
#ifndef PROTO_BASE_CLOCK_IO_H
#define PROTO_BASE_CLOCK_IO_H

#include "proto/base/clock.h"

// Now, by the wall clock (which may jump) and by the monotonic clock (which never goes back).
struct wall wall_now(void);
struct mono mono_now(void);

#endif
