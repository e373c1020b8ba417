// The parts of config.json that bundle.c leaves to bundle_mounts.c and bundle_resources.c.
#ifndef AGENT_OCI_BUNDLE_PARTS_H
#define AGENT_OCI_BUNDLE_PARTS_H

#include "agent/oci/bundle.h"
#include "proto/base/json.h"

// Where the init program is found inside a container, as Docker has it.
#define BUNDLE_INIT_TARGET "/sbin/docker-init"

void bundle_put_mounts(struct json_out *out, const struct oci_container *container,
                       const struct oci_host *host);
void bundle_put_devices(struct json_out *out, const struct oci_container *container,
                        const struct oci_host *host);
int bundle_put_resources(struct json_out *out, const struct oci_container *container,
                         const struct oci_host *host, struct err *err);
void bundle_put_caps(struct json_out *out, uint64_t caps);

// The limits alone as an OCI resources object, for an update of a running container.
void bundle_put_limits(struct json_out *out, const struct oci_limits *limits,
                       const struct oci_host *host);

#endif
