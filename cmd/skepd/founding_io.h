// Founding a swarm on this node: everything that is on disk before its manager process can start.
#ifndef CMD_SKEPD_FOUNDING_IO_H
#define CMD_SKEPD_FOUNDING_IO_H

#include "agent/engine/backend.h"
#include "cmd/skepd/charge.h"
#include "cmd/skepd/place.h"
#include "proto/base/err.h"

struct founding {
    const char *data_root;
    const struct place *place;
    const struct backend_init *init;
    Swarm__NodeSpec__Availability availability;
};

struct founding_result {
    struct charge charge; // of the manager process; charge_fini is the caller's
    char node_id[IDENTITY_TEXT_BYTES];
    bool locked;
    uint8_t lock_key[LOCK_KEY_BYTES]; // of the key file
};

// Makes the cluster and the node's credentials and writes everything about the place. Blocks for
// some milliseconds of mathematics. On error nothing stays on disk, and `out` is empty.
int founding_make(const struct founding *founding, struct founding_result *out, struct err *err);

#endif
