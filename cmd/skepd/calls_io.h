// The system calls that the confined processes may make: at most CONFINE_CALLS_MAX different ones
// each.
#ifndef CMD_SKEPD_CALLS_IO_H
#define CMD_SKEPD_CALLS_IO_H

#include "cmd/skepd/role_io.h"

extern const struct role_calls calls_manager;
extern const struct role_calls calls_resolver;
extern const struct role_calls calls_relay;

#endif
