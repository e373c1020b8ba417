// The roles there are.
#ifndef CMD_SKEPD_ROLES_IO_H
#define CMD_SKEPD_ROLES_IO_H

#include "cmd/skepd/role_io.h"

// Raft, the store, the certificate authority, scheduling and dispatch, on nodes that are managers.
// Its configuration is a charge (charge.h). Serves the bound sockets it is given under these names:
// the cluster's, and the local one of the node process; starts when it has both.
extern const struct role manager_role;
#define ROLES_CLUSTER_SOCKET "cluster"
#define ROLES_LOCAL_SOCKET   "local"

// Answers to DNS questions from sandboxes, on every node.
extern const struct role resolver_role;

// Takes what comes to published ports over IPv6, on nodes that publish some.
extern const struct role relay_role;

// The role of that name, or NULL.
const struct role *role_by_name(const char *name);

#endif
