// The rules that Config and HostConfig (config.h) keep, and the defaults that have to be computed.
//
// Both take objects that config.h's readers made, so every member is there and has its type. On an
// error nothing of the container is to be used: some members may be settled already.
#ifndef AGENT_CRATE_CONFIG_SETTLE_H
#define AGENT_CRATE_CONFIG_SETTLE_H

#include "agent/container_defaults.h"
#include "proto/base/err.h"
#include "proto/base/json.h"

// The rules that need no machine: names, ranges, modes. INVALID_ARGUMENT in dockerd's words, and
// UNIMPLEMENTED for options that this engine does not have. Settles what has a computed default
// (shared memory, swap, log driver, modes of namespaces), by the node's own where it has one.
int host_config_settle(json_t *config, json_t *host, const struct container_defaults *defaults,
                       struct err *err);

// Changes the members of HostConfig that the object names (docker update).
int host_config_change(json_t *host, const json_t *object, struct err *err);

#endif
