// What the node process shows at the metrics endpoint: dockerd's families under dockerd's names
// (engine_daemon_*, swarm_node_*, process_*), and skep_* for what dockerd has no names for. A part
// of the node that has figures of its own is one more function in its table.
#ifndef CMD_SKEPD_FIGURES_IO_H
#define CMD_SKEPD_FIGURES_IO_H

#include <sys/types.h>

#include "cmd/skepd/config.h"
#include "cmd/skepd/membership_io.h"
#include "cmd/skepd/station_io.h"
#include "proto/base/buf.h"

struct figures_parts {
    const struct config *config;
    struct membership *membership; // NULL while starting or stopping; likewise the station
    struct station *station;
    pid_t manager, resolver, relay; // 0: it does not run
};

// Appends all of it.
void figures_put(const struct figures_parts *parts, struct buf *out);

#endif
