// Founding a swarm on this node: everything that is on disk before its manager process can start.
#ifndef CMD_SKEPD_FOUNDING_IO_H
#define CMD_SKEPD_FOUNDING_IO_H

#include "agent/engine/backend.h"
#include "cmd/skepd/charge.h"
#include "cmd/skepd/place.h"
#include "proto/base/err.h"

// Makes the cluster and the node's credentials and writes everything about the place; fills in the
// charge of the manager process (charge_fini is the caller's, and on error too) and the node's id.
// Blocks for some milliseconds of mathematics. On error nothing stays on disk.
int founding_make(const char *data_root, const struct place *place, const struct backend_init *init,
                  struct charge *charge, char node_id[IDENTITY_TEXT_BYTES], struct err *err);

#endif
