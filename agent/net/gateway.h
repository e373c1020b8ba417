// The gateway bridge: what containers reach the outside through. It is local to the node: its
// addresses mean nothing elsewhere and are chosen here. Pure.
#ifndef AGENT_NET_GATEWAY_H
#define AGENT_NET_GATEWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/net/layout.h"
#include "agent/net/nftable.h"
#include "proto/base/err.h"

// Not docker_gwbridge: a stock daemon may run on the same host.
#define GATEWAY_BRIDGE      "skep_gwbridge"
#define GATEWAY_PORT_PREFIX "skep_g"       // of its ports, and of its own name
#define GATEWAY_TABLE       "skep_gateway" // family ip
#define GATEWAY_MTU         1500

struct gateway {
    struct ipnet ip;      // the bridge's, with the subnet's prefix; none until chosen
    uint8_t *taken;       // a bit per address of the subnet, heap
    uint32_t taken_count; // addresses there are
};

void gateway_init(struct gateway *gateway);
void gateway_fini(struct gateway *gateway);

// Takes over the bridge that is there, or chooses the first subnet of the default pools that
// touches no address and no route of the host. RESOURCE_EXHAUSTED when all do.
int gateway_choose(struct gateway *gateway, const struct layout *host, struct err *err);

// A free address, lowest first. RESOURCE_EXHAUSTED.
int gateway_take(struct gateway *gateway, struct ipnet *out, struct err *err);
// This one, found in use. False when it is not of the subnet, or somebody else's.
bool gateway_claim(struct gateway *gateway, const struct ipnet *ip);
void gateway_give(struct gateway *gateway, const struct ipnet *ip);

// A container's port, made of its endpoint's id.
void gateway_port(const char *endpoint_id, char out[LAYOUT_NAME_BYTES]);

// Appends the bridge and these ports (of endpoints) to what the host should hold.
void gateway_layout(const struct gateway *gateway, const char *const *endpoint_ids, size_t count,
                    struct layout *out);

// Containers reach the outside with the host's address. Nobody reaches them from there, nor they
// each other, but for connections that were let in by a published port, also from one container to
// another's port. To be freed with nftable_free.
struct nftable *gateway_table(const struct gateway *gateway);

#endif
