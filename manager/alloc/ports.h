// Published ports of the routing mesh: who holds which, and which comes next
// (swarmkit.md section 17.3).
#ifndef MANAGER_ALLOC_PORTS_H
#define MANAGER_ALLOC_PORTS_H

#include "proto/base/arena.h"
#include "proto/base/err.h"
#include "proto/base/map.h"
#include "proto/wire/objects.pb-c.h"

// Ports chosen by the cluster.
#define PORTS_MIN 30000u
#define PORTS_MAX 32767u

// SwarmKit's protocols: TCP 0, UDP 1, SCTP 2.
#define PORTS_PROTOCOLS 3

struct ports {
    struct map held; // protocol << 16 | port -> holder's token
    uint32_t cursor[PORTS_PROTOCOLS];
};

void ports_init(struct ports *ports);
void ports_fini(struct ports *ports);

// The ports of an endpoint as they should be, for `spec` (NULL: none): in `arena`, in the spec's
// order; when `now` (the endpoint so far, NULL: none) has as many ports, first those given and host
// ones, then those chosen. A chosen port stays while (name, protocol, target port) stay. What
// `holder` holds beyond the result is given back. On error nothing changed: FAILED_PRECONDITION for
// a port another holds (*other tells who), RESOURCE_EXHAUSTED when none is left to choose,
// INVALID_ARGUMENT for numbers past 65535 and unknown protocols.
int ports_allocate(struct ports *ports, void *holder, const Swarm__EndpointSpec *spec,
                   const Swarm__Endpoint *now, struct arena *arena, Swarm__PortConfig ***out,
                   size_t *count, void **other, struct err *err);

// Takes what the stored endpoint says for the holder. False when another holds one of them.
bool ports_claim(struct ports *ports, void *holder, const Swarm__Endpoint *endpoint);

// Gives back everything the holder has.
void ports_release(struct ports *ports, const void *holder);

size_t ports_count(const struct ports *ports);

#endif
