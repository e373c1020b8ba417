// What one sandbox balances: the virtual addresses of the services it can reach, and for each the
// backends with their weights. Pure; ruleset.h turns it into what the kernel should hold.
//
// Addresses are IPv4 in host byte order (10.0.1.2 is 0x0a000102): overlays carry no IPv6.
#ifndef AGENT_LB_SERVICES_H
#define AGENT_LB_SERVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"
#include "proto/base/map.h"

// Most services of one sandbox, most backends of one service, and the largest weight.
#define SERVICES_COUNT_MAX          65536
#define SERVICES_BACKENDS_COUNT_MAX 1024
#define SERVICES_WEIGHT_MAX         65535

struct backend {
    uint32_t address;
    uint32_t weight; // share of new connections; 0 drains: open connections go on, no new ones
};

// A virtual address whose backends are all at weight 0, or that has none, refuses connections.
struct service {
    uint32_t vip;
    size_t backends_count;
    struct backend backends[]; // ordered by address, each address once
};

struct services {
    struct map by_vip; // uint32_t -> struct service *, owned
};

void services_init(struct services *services);
void services_fini(struct services *services);

// Sets a service's backends (copied, in any order), in place of those it had. INVALID_ARGUMENT: an
// address of 0, the virtual address among the backends, an address twice, a weight too large.
// RESOURCE_EXHAUSTED: too many backends or services. On an error nothing has changed.
int services_set(struct services *services, uint32_t vip, const struct backend *backends,
                 size_t count, struct err *err);

// Changes one backend's weight. NOT_FOUND, or INVALID_ARGUMENT for a weight too large.
int services_set_weight(struct services *services, uint32_t vip, uint32_t address, uint32_t weight,
                        struct err *err);

// False when there was no such service.
bool services_remove(struct services *services, uint32_t vip);

size_t services_count(const struct services *services);

// The service, or NULL. Valid until the next change.
const struct service *services_find(const struct services *services, uint32_t vip);

// All services ordered by virtual address. The caller frees the array, not what it points at, which
// is valid until the next change. Never NULL; services_count tells its length.
const struct service **services_sorted(const struct services *services);

#endif
