// What /info says of the machine and of what the node keeps, beside what the node process says
// itself and the swarm.
#ifndef AGENT_ENGINE_INFO_IO_H
#define AGENT_ENGINE_INFO_IO_H

#include "agent/engine/backend.h"

// Writes the members into the open object. `listeners`: clients that follow the events.
void info_write(const struct backend_local *local, size_t listeners, unsigned minor,
                struct json_out *out);

// How many those are.
size_t events_listeners(void);

#endif
