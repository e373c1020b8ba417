// What may be said of a swarm when it is founded: ports, pools, sizes, and the settings.
#ifndef AGENT_ENGINE_SWARM_CHECK_H
#define AGENT_ENGINE_SWARM_CHECK_H

#include "agent/engine/backend.h"
#include "proto/base/arena.h"
#include "proto/base/json.h"
#include "proto/wire/specs.pb-c.h"

// INVALID_ARGUMENT in dockerd's words for a data path port, subnet size or pool that cannot be.
int swarm_check_pools(const struct backend_init *init, struct err *err);

// Reads the settings of a body over those of `base`: what the body leaves out, or where 0 means
// nothing, stays as it is there. NULL with INVALID_ARGUMENT in Go's words. All in the arena.
Swarm__ClusterSpec *swarm_spec_read(const json_t *json, const Swarm__ClusterSpec *base,
                                    struct arena *arena, struct err *err);

#endif
