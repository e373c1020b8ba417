// Networks and tasks as a manager gives them, for tests.
#ifndef TESTS_UNIT_AGENT_NET_OBJECTS_H
#define TESTS_UNIT_AGENT_NET_OBJECTS_H

#include "proto/base/arena.h"
#include "proto/wire/objects.pb-c.h"

// An overlay network of these subnets ("10.0.1.0/24 10.0.2.0/24"), gateways at .1, with one driver
// option more (NULL: none).
Swarm__Network *objects_network(struct arena *arena, const char *id, const char *subnets,
                                const char *vnis, const char *option, const char *value);

// A task of service "web" with one attachment.
Swarm__Task *objects_task(struct arena *arena, Swarm__Network *network, const char *address);

#endif
