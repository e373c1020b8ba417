// The addresses that a node listens at and that others reach it at, from what the user said and
// what this machine has.
#ifndef CMD_SKEPD_ADDRESSES_IO_H
#define CMD_SKEPD_ADDRESSES_IO_H

#include <stdbool.h>

#include "cmd/skepd/place.h"
#include "proto/base/err.h"
#include "proto/net/addr.h"

#define ADDRESSES_SWARM_PORT 2377

// Each is an address or an interface, with or without a port; NULL or "" where nothing was said.
struct addresses_wish {
    const char *listen;
    const char *advertise;
    const char *advertise_default; // the configuration's
    const char *data_path;         // without a port
    const char *remote; // a manager to join: what to advertise is the address that leads there
};

// Fills in the place's addresses. INVALID_ARGUMENT for what is no address, and when there are
// several to advertise; FAILED_PRECONDITION when there is none.
int addresses_settle(struct place *place, const struct addresses_wish *wish, struct err *err);

// Where this host reaches a manager of its own when the address it advertises is not to be used for
// that: true with it in `out`. That address may be another machine's, which translates it, and
// which need not do so for what comes from here. False: it is one of this host's.
bool addresses_own_manager(const struct place *place, char out[ADDR_TEXT_BYTES]);

#endif
