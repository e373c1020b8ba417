// The roles there are.
#ifndef CMD_SKEPD_ROLES_IO_H
#define CMD_SKEPD_ROLES_IO_H

#include "cmd/skepd/role_io.h"

// Raft, the store, the certificate authority, scheduling and dispatch, on nodes that are managers.
// Serves the bound socket it is given under the name ROLES_CLUSTER_SOCKET.
extern const struct role manager_role;
#define ROLES_CLUSTER_SOCKET "cluster"

// Answers to DNS questions from sandboxes, on every node.
extern const struct role resolver_role;

// The role of that name, or NULL.
const struct role *role_by_name(const char *name);

#endif
