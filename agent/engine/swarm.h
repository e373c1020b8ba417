// The cluster object as the API shows it.
#ifndef AGENT_ENGINE_SWARM_H
#define AGENT_ENGINE_SWARM_H

#include <stdbool.h>

#include "proto/base/json.h"

// Writes the members of a Swarm__Cluster into the open object, join tokens only when `tokens`, no
// address pools when `pools_empty` (request.h).
void cluster_write(const void *cluster, bool tokens, bool pools_empty, struct json_out *out);

#endif
