// Node ids whose certificates count no more: asked by every serving thread for each call, set by
// the control thread when the cluster object changes (swarmkit 7.1, 8.5).
#ifndef MANAGER_REMOVED_IO_H
#define MANAGER_REMOVED_IO_H

#include <stdbool.h>

#include "proto/wire/objects.pb-c.h"

struct removed;

struct removed *removed_new(void);
void removed_free(struct removed *removed);

// Takes over Cluster.blacklisted_certificates. Control thread.
void removed_update(struct removed *removed, const Swarm__Cluster *cluster);

// Any thread; shaped for struct authority.
bool removed_has(void *removed, const char *node_id);

#endif
