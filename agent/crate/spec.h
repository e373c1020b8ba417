// A container that a user made, as the OCI container it becomes. Pure: what only the machine knows
// (root, numbers of users, namespaces of other containers) is left for the caller to fill in.
#ifndef AGENT_CRATE_SPEC_H
#define AGENT_CRATE_SPEC_H

#include "agent/container_spec.h"
#include "proto/base/json.h"

struct crate_plan {
    const char *id;
    const char *name;
    const json_t *config; // settled, merged with the image
    const json_t *host;
    const json_t *points;
    const char *node_hostname;
    const char *resolv_conf; // the host's, with what the defaults say of it; NULL: none
    const struct container_defaults *defaults;
    const char *const *addresses; // of the container, for its hosts file
    size_t addresses_count;
    const char *dns_server; // the node's own resolver inside the container; NULL: none
};

// How its log is kept, as LogConfig of a settled HostConfig says; its texts are borrowed from
// there. INVALID_ARGUMENT.
int crate_log_make(const json_t *host, struct container_log *out, struct err *err);

// Everything lands in the arena or is borrowed from the plan. UNIMPLEMENTED and INVALID_ARGUMENT
// name the option. `out->volumes` stays empty: points have their sources by now.
int crate_spec_make(const struct crate_plan *plan, struct arena *arena, struct container_spec *out,
                    struct err *err);

// The text of its resolv.conf alone, of one that is not on the host's network.
int crate_resolv_make(const struct crate_plan *plan, struct arena *arena, const char **out,
                      struct err *err);

// The limits of HostConfig alone, for `docker update`. Borrowed.
void crate_limits(const json_t *host, struct oci_limits *out);

#endif
