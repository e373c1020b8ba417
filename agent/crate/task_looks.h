// A task's container as `docker inspect` shows it: the Config, HostConfig, mounts and networks that
// dockerd would have made it with. Pure. What is returned is the caller's to decref.
#ifndef AGENT_CRATE_TASK_LOOKS_H
#define AGENT_CRATE_TASK_LOOKS_H

#include "agent/container_io.h"
#include "proto/base/json.h"

json_t *task_looks_config(const struct containers_view *view);
json_t *task_looks_host(const struct containers_view *view);
json_t *task_looks_points(const struct containers_view *view);

// name -> EndpointSettings, with the network's id as NetworkID.
json_t *task_looks_endpoints(const struct containers_view *view);

#endif
