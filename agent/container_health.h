// A task's health check: what its service says, and for what that leaves open, what the image says.
#ifndef AGENT_CONTAINER_HEALTH_H
#define AGENT_CONTAINER_HEALTH_H

#include "agent/image/manifest.h"
#include "proto/base/arena.h"
#include "proto/base/err.h"
#include "proto/wire/types.pb-c.h"

// Joins the two into the arena. *out is NULL when there is nothing to check: neither has a test, or
// the first word of it is NONE. `own` may be NULL. INVALID_ARGUMENT for times and counts the engine
// refuses, and for a test of an unknown kind.
int container_health_make(const Swarm__HealthConfig *own, const struct image_health *image,
                          struct arena *arena, const Swarm__HealthConfig **out, struct err *err);

#endif
