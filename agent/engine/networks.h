// What the files of /networks share.
#ifndef AGENT_ENGINE_NETWORKS_H
#define AGENT_ENGINE_NETWORKS_H

#include <stdbool.h>

#include "agent/engine/fields.h"
#include "agent/engine/request.h"
#include "agent/engine/shape.h"

extern const struct fields ipam_config_fields; // Subnet, IPRange, Gateway, AuxiliaryAddresses

// bridge, host and none, which every node has.
bool network_is_builtin(const char *name);

// The node's own networks as parsed JSON; never NULL, the caller's.
json_t *networks_local(struct request *request);

// EndpointSettings, where a container is put on a network.
extern const struct shape endpoint_shape;

// False after an answer: such settings ask for what no network here has.
bool endpoint_check(struct request *request, const char *network, const json_t *settings);

#endif
