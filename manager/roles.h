// What users want of nodes' roles, carried out: promotion, demotion, and the eviction of managers
// that were removed (swarmkit 8.3 to 8.5). A leader's.
//
// Level-triggered: whatever differs between the store and Raft's members is looked at again until
// it does not, after every change and every ROLES_RETRY_MS.
#ifndef MANAGER_ROLES_H
#define MANAGER_ROLES_H

#include "manager/store/store.h"
#include "proto/base/loop_io.h"
#include "raft/node_io.h"

#define ROLES_RETRY_MS 5000

struct roles;

// Store and node are borrowed until roles_stop.
struct roles *roles_start(struct loop *loop, struct store *store, struct raft_node *node);

// Ends at once; a removal that was proposed may still be committed.
void roles_stop(struct roles *roles);

#endif
