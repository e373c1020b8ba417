// What the Engine API asks of the node it runs on, answered by the parts of the node process.
#ifndef CMD_SKEPD_BACKEND_IO_H
#define CMD_SKEPD_BACKEND_IO_H

#include "agent/engine/backend.h"
#include "cmd/skepd/config.h"
#include "cmd/skepd/membership_io.h"
#include "cmd/skepd/station_io.h"

struct backend_parts {
    const struct config *config;
    struct membership *membership;
    struct station *station;
};

extern const struct backend node_backend; // its ctx is a struct backend_parts

// Puts what happens on this node onto the bus of the Engine API; NULL: no longer.
struct bus;
void backend_listen(const struct backend_parts *parts, struct bus *bus);

#endif
