// The reaper: which tasks of a service may be forgotten (swarmkit 14). Internal to the room.
#ifndef MANAGER_ORCH_REAPER_H
#define MANAGER_ORCH_REAPER_H

#include "manager/orch/step.h"

// Deletes from the service's slots what is beyond the history to keep, and what is to be removed
// and has stopped. `service` is NULL when it was deleted: then everything is to be removed.
void reaper_look(struct step *step, const char *service_id, const Swarm__Service *service,
                 const Swarm__Cluster *cluster);

// Tasks without a service (network attachments) that are orphaned.
void reaper_attachments(struct step *step);

// Tasks that no longer fit their node's labels or resources are rejected (constraint enforcer).
void enforce_node(struct step *step, const char *node_id);

#endif
