// Founding a cluster: everything that must exist before its first manager can start. Pure:
// randomness and time are parameters.
#ifndef MANAGER_FOUND_H
#define MANAGER_FOUND_H

#include "manager/ca/bootstrap.h"
#include "proto/identity/credentials.h"

// The cluster object (in `arena`, for manager_config.first_cluster) and the first manager's
// credentials, signed by the cluster's root (the caller's, to be given back with credentials_fini).
// INVALID_ARGUMENT when a root was given and is none.
int found_cluster(const struct bootstrap *bootstrap, const char *node_id, const struct rng *rng,
                  struct wall now, struct arena *arena, Swarm__Cluster **cluster,
                  struct credentials *credentials, struct err *err);

#endif
