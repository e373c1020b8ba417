// What a task's specification says that its container's description does not repeat, in the shape
// that inspect shows: so that `docker inspect` tells the same of a task's container as of one that
// a user made.
#ifndef AGENT_CRATE_TASK_JSON_H
#define AGENT_CRATE_TASK_JSON_H

#include "proto/base/json.h"
#include "proto/wire/objects.pb-c.h"

// Adds to a HostConfig what concerns names, limits and logs.
void task_json_host(json_t *host, const Swarm__Task *task);

// Its networks by name, each as NetworkSettings.Networks has it, but for what depends on the
// version of the API. `container_id` is what endpoints are named after.
json_t *task_json_networks(const Swarm__Task *task, const char *container_id);

#endif
