// What of a container's Config and HostConfig is refused before anything is made: numbers out of
// their range, forms that cannot be read. In dockerd's words. Pure.
#ifndef AGENT_CRATE_HOST_CHECK_H
#define AGENT_CRATE_HOST_CHECK_H

#include "proto/base/err.h"
#include "proto/base/json.h"

// Both as config_read and host_config_read make them. `cpus`: the processors that the machine has;
// 0 when nobody knows. INVALID_ARGUMENT.
int host_check(const json_t *config, const json_t *host, unsigned cpus, struct err *err);

// What a new container is not given where it shares another's network or the host's: names,
// addresses and ports of its own. `config` before the image's is merged into it. INVALID_ARGUMENT.
int host_check_sharing(const json_t *config, const json_t *host, struct err *err);

// The part of it that `docker update` can change.
int host_check_cpu(const json_t *host, unsigned cpus, struct err *err);

#endif
