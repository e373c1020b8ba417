// What a container wants of the node's networks, as plain data; and how a swarm task's assignment
// says it. Pure.
#ifndef AGENT_NET_ORDER_H
#define AGENT_NET_ORDER_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/dns/feed.h"
#include "agent/net/overlay.h"
#include "agent/net/ports.h"
#include "agent/net/records.h"
#include "proto/base/arena.h"
#include "proto/base/err.h"
#include "proto/wire/objects.pb-c.h"

#define ORDER_NETWORKS_MAX 64

// One network of a container.
struct order_network {
    struct overlay overlay;
    struct ipnet ip; // with the subnet's prefix
    uint8_t mac[MAC_BYTES];
    struct ipnet vip;           // of its service here; none in DNSRR mode
    const char *const *aliases; // of the service
    size_t aliases_count;
    const char *const *names; // of this endpoint, here in place of the order's; none: the order's
    size_t names_count;
};

struct order {
    const char *id;   // of the container
    const char *name; // DNS name of the endpoint
    const char *service_id;
    const char *service_name;
    const char *const *names; // further ones of this endpoint
    size_t names_count;
    const struct order_network *networks; // may be none: the gateway bridge alone
    size_t networks_count;
    const struct records_port *ports; // published by the routing mesh
    size_t ports_count;
    const struct ports_row *host_ports; // published on this host alone; without `address`
    size_t host_ports_count;
    const char *const *search; // search domains
    size_t search_count;
    struct feed_server servers[RESOLVER_UPSTREAMS_MAX];
    size_t servers_count;
    bool ndots_set;
    // A namespace that others pinned and have interfaces in: it is shared with them. NULL: its own.
    const char *share;
    const char *const *taken; // names of interfaces there that are not to be used
    size_t taken_count;
    const char *const *also; // ids of further networks whose names it may ask for
    size_t also_count;
    bool led; // others see to the way out: no gateway bridge
    // Attached to the swarm: the node's own addresses on these networks are waited for.
    bool swarm;
};

// True when the task gets a sandbox: it is on an overlay network, or on none, where the gateway
// bridge alone leads out.
bool order_wants_sandbox(const Swarm__Task *task);

// The order of a task's container. `host_resolv` is the host's resolv.conf, may be NULL. Everything
// lies in `arena` or is borrowed from the arguments. INVALID_ARGUMENT (a network that is not
// allocated, an address outside of it, a port that is none), UNIMPLEMENTED (overlay and other
// networks together), FAILED_PRECONDITION (ports of the host on internal networks alone).
int order_of_task(const Swarm__Task *task, const char *container_id, const char *name,
                  const char *host_resolv, struct arena *arena, struct order *out, struct err *err);

// A name server by its address: false when it is none. `inside`: asked from the container's side.
bool order_server(const char *text, bool inside, struct feed_server *out);

// A deep copy in the arena; NULL past its limit.
struct order *order_copy(const struct order *order, struct arena *arena);

#endif
