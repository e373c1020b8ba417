// Whether a service's specification can be accepted: SwarmKit's rules, in its words (swarmkit 20).
// Pure.
#ifndef MANAGER_CONTROL_SERVICE_CHECK_H
#define MANAGER_CONTROL_SERVICE_CHECK_H

#include "manager/store/view.h"
#include "proto/base/err.h"
#include "proto/wire/objects.pb-c.h"

// The spec by itself. INVALID_ARGUMENT mostly; the codes are SwarmKit's.
int service_check_spec(const Swarm__ServiceSpec *spec, struct err *err);

// The spec beside what the cluster has: published ports of other services, secrets, configs,
// networks and the ingress network. `id` is the service's own, "" for a new one.
int service_check_cluster(struct view view, const char *id, const Swarm__ServiceSpec *spec,
                          struct err *err);

// Whether `next` may replace `before`: neither name nor mode may change, and networks only where
// the task names them.
int service_check_change(const Swarm__ServiceSpec *before, const Swarm__ServiceSpec *next,
                         struct err *err);

// Whether a port of the spec is published on every node.
bool service_publishes_ingress(const Swarm__ServiceSpec *spec);

#endif
