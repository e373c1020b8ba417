// The routing mesh: what the packet filter should hold so that a published port of any node leads
// to a task anywhere, and the task sees who called. Pure: from services, nodes and local tasks to
// tables. mesh_io.h executes.
//
// A packet's way, with `gateway` the bridge between host and sandboxes:
//
//   host       a published port at any of the host's addresses -> the ingress sandbox
//   sandbox    the port -> the ingress address of a task, by a drawn number. The client's address
//              is kept when the task's node is known to bring answers back here, and replaced by
//              the sandbox's own (what stock nodes do always) when it is not, or when it means
//              something on one node only
//   task       published -> target port. The answer has to leave through the node it came in by.
//              That is known from the frame's source: the MAC address of a node's ingress sandbox
//              is made of its ingress address, on stock nodes too. A connection is marked with it,
//              a marked packet is routed to a gateway that does not exist, and on its way out the
//              mark becomes the MAC address of the node. So nodes may be many: nothing is walked.
//
// Addresses are IPv4 in host byte order. What is not covered: IPv6 (overlays carry none).
#ifndef AGENT_NET_MESH_H
#define AGENT_NET_MESH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/net/nftable.h"
#include "proto/base/err.h"

#define MESH_PORTS_MAX    65536 // published ports of a node, each protocol counted
#define MESH_BACKENDS_MAX 1024  // of one service

#define MESH_TCP  6
#define MESH_UDP  17
#define MESH_SCTP 132

// Tables, and what leads marked packets out.
#define MESH_HOST_TABLE    "skep_ingress"
#define MESH_SANDBOX_TABLE "skep_mesh"
#define MESH_TASK_TABLE    "skep_task"
#define MESH_EGRESS_TABLE  "skep_egress" // family netdev
#define MESH_MARK          0x40000000u   // set in marks that name a node by 24 bits of its address
#define MESH_ROUTES        21323         // number of the routing table for marked packets
#define MESH_GATEWAY       0xa9fe4d4du   // 169.254.77.77: the gateway that does not exist
#define MESH_GATEWAY_MAC   "02:42:00:00:00:00"

struct mesh_port {
    uint8_t protocol; // MESH_TCP ...
    uint16_t published;
    uint16_t target;
};

struct mesh_backend {
    uint32_t address; // of the task on the ingress network
    bool draining;    // open connections go on, no new ones
    bool keeps;       // its node brings answers back here: the client's address is kept
};

// A service with its ports. A service whose ports changed is two for a while (the record's id and
// list of ports make it), which is why a port may turn up twice: the later one has it then.
struct mesh_service {
    const struct mesh_port *ports;
    size_t ports_count;
    const struct mesh_backend *backends;
    size_t backends_count;
};

// The host: where its published ports lead. That the bridge's containers reach the outside
// (forwarding, translation of their addresses) is the bridge's own matter.
struct mesh_host {
    const char *gateway_if;   // the gateway bridge
    uint32_t sandbox_address; // of the ingress sandbox on the bridge
    bool partial;             // there may be ports that are not known yet
};

// The ingress sandbox.
struct mesh_sandbox {
    const char *ingress_if;
    const char *gateway_if;
    uint32_t address; // on the ingress network: the node's load balancing address
    uint32_t ingress_subnet;
    unsigned ingress_prefix;
    uint32_t gateway_subnet;
    unsigned gateway_prefix;
};

// The sandbox of a local task on the ingress network.
struct mesh_task {
    const char *ingress_if;
    uint32_t address; // of the task on the ingress network
    const struct mesh_port *ports;
    size_t ports_count;
};

// INVALID_ARGUMENT or RESOURCE_EXHAUSTED for what the functions below must not be given: unknown
// protocols, port 0, too many of something.
int mesh_services_check(const struct mesh_service *services, size_t count, struct err *err);

// Tables to be freed with nftable_free. `nodes` are the ingress addresses of the nodes that may
// leave the client's address to us, this one among them.
struct nftable *mesh_host_table(const struct mesh_host *host, const struct mesh_service *services,
                                size_t count);
struct nftable *mesh_sandbox_table(const struct mesh_sandbox *sandbox,
                                   const struct mesh_service *services, size_t count);
struct nftable *mesh_task_table(const struct mesh_task *task, const uint32_t *nodes, size_t count);
struct nftable *mesh_egress_table(const struct mesh_task *task, const uint32_t *nodes,
                                  size_t count);

// Backend addresses of `before` that are in none of `after` (both sorted), into `out`, which has
// room for all of `before`. Their flows are cut: the tasks are gone.
size_t mesh_gone(const uint32_t *before, size_t before_count, const uint32_t *after,
                 size_t after_count, uint32_t *out);

// Sorts addresses and leaves each once; how many that are.
size_t mesh_sort(uint32_t *addresses, size_t count);

// All backend addresses of the services, sorted, each once; to be freed.
uint32_t *mesh_addresses(const struct mesh_service *services, size_t count, size_t *out_count);

#endif
