// A stopped container's root as the container would see it: with its volumes and binds where they
// belong, for the time of one call, and for this caller alone.
#ifndef AGENT_CRATE_VIEW_IO_H
#define AGENT_CRATE_VIEW_IO_H

#include "agent/crate/points.h"
#include "agent/oci/volume_mounts_io.h"

// Runs `run` in a thread whose mount namespace is its own, and there mounts what the points
// (points.h) name, volumes and binds, below `root`, and before that those volumes of `uses` (may be
// NULL) that are not mounted: nothing is mounted elsewhere, and all of it is gone with the thread,
// however that ends. What cannot be mounted is an error and `run` does not run. Blocks until `run`
// has returned.
int view_run(const char *root, const json_t *points, const struct volume_uses *uses,
             void (*run)(void *ctx), void *ctx, struct err *err);

#endif
