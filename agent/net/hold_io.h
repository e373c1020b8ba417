// Holds ports of the host: while a published port leads elsewhere, no program may believe that it
// listens on it. A hold is a bound socket that nobody reads from.
#ifndef AGENT_NET_HOLD_IO_H
#define AGENT_NET_HOLD_IO_H

#include <stdint.h>

#include "proto/base/err.h"

// Binds `port` (0: a free one, which *port then is) of the address (host byte order, 0: all of the
// host's) for protocol 6, 17 or 132. The descriptor, to be closed by the caller, or ALREADY_EXISTS
// when the port is in use, else what the kernel says (UNIMPLEMENTED: no such protocol here).
int hold_open(uint8_t protocol, uint32_t address, uint16_t *port, struct err *err);

// The same of an IPv6 address (zero: all), by protocol 6 or 17, for the relay to serve: it takes
// IPv6 alone, and listens by TCP.
int hold_open6(uint8_t protocol, const uint8_t address[16], uint16_t *port, struct err *err);

#endif
