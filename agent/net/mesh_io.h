// The routing mesh of this node: keeps host, ingress sandbox and local tasks as mesh.h says.
//
// The caller says what is, whole, as often as it likes (mesh_set); what should be is derived, and
// worker jobs bring the kernel there. Namespaces are known by their paths. Everything runs on the
// loop's thread.
//
// On a kernel older than 5.16 answers cannot be brought back: then clients' addresses are replaced
// everywhere, as on stock nodes, and no row is published.
#ifndef AGENT_NET_MESH_IO_H
#define AGENT_NET_MESH_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/net/mesh.h"
#include "agent/net/mesh_nodes.h"
#include "agent/net/relays_io.h"
#include "proto/base/err.h"
#include "proto/base/loop_io.h"

struct mesh;

struct mesh_config {
    struct loop *loop;
    struct relays *relays; // outlive the mesh; NULL: ports answer on IPv4 alone
    uint32_t life;         // drawn at start
    // This node's row for MESH_NODES_TABLE on the ingress network changed; NULL: it has none any
    // more. May be NULL.
    void (*publish)(void *owner, const uint8_t *record, size_t size);
    // Everything said so far is done, or something failed (and is tried again; *err says what). May
    // be NULL.
    void (*settled)(void *owner, const struct err *err);
    void *owner;
};

struct mesh_task_place {
    const char *id;    // of the container or task
    const char *netns; // path of its network namespace
    struct mesh_task task;
};

// A row of MESH_NODES_TABLE, this node's own left out or not.
struct mesh_row {
    const char *node; // its owner's gossip name
    const uint8_t *value;
    size_t value_size;
};

struct mesh_state_backend {
    uint32_t address;
    bool draining;
    const char *node; // gossip name of the node it runs on; NULL or "" when that is this one
};

struct mesh_state_service {
    const struct mesh_port *ports;
    size_t ports_count;
    const struct mesh_state_backend *backends;
    size_t backends_count;
};

// All that is, borrowed during the call. Without an ingress sandbox (sandbox_netns NULL) nothing is
// published, and the host's rules are taken away.
struct mesh_state {
    // Not all is known yet, after a restart: what the kernel holds and this does not name stays.
    bool partial;
    struct mesh_host host;
    const char *sandbox_netns;
    struct mesh_sandbox sandbox;
    const struct mesh_state_service *services;
    size_t services_count;
    const struct mesh_task_place *tasks;
    size_t tasks_count;
    const struct mesh_row *rows;
    size_t rows_count;
};

struct mesh_counts {
    uint64_t repairs;    // tables that others had changed
    uint64_t flows_cut;  // connections to tasks that were gone
    uint64_t ports_held; // now
    uint64_t ports_lost; // published, but in use by others on this host
};

// Takes nothing from the kernel yet; what an earlier life left is found when it is looked for.
struct mesh *mesh_open(const struct mesh_config *config);

// Errors of mesh_services_check: nothing has changed then.
int mesh_set(struct mesh *mesh, const struct mesh_state *state, struct err *err);

bool mesh_busy(const struct mesh *mesh);
struct mesh_counts mesh_counts(const struct mesh *mesh);

// The kernel keeps what it has, so that traffic goes on. `closed` runs once, later.
void mesh_close(struct mesh *mesh, void (*closed)(void *owner), void *owner);

#endif
