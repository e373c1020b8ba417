// The mounts, secrets and configs of a container, and its generic resources: parts of
// container_spec, which calls them.
#ifndef AGENT_CONTAINER_MOUNTS_H
#define AGENT_CONTAINER_MOUNTS_H

#include "agent/container_spec.h"

// Fills mounts, volumes and make_sources: those of the spec, and an anonymous volume for each path
// that the image wants one at and the spec says nothing about.
int container_mounts_make(const Swarm__Task *task, const Swarm__ContainerSpec *spec,
                          const struct image_config *image, struct arena *arena,
                          struct container_spec *out, struct err *err);

// Fills container.files from the order's secrets and configs.
int container_files_make(const struct executor_order *order, struct arena *arena,
                         struct container_spec *out, struct err *err);

// The kind of a resource of either form; NULL for one of no form.
const char *container_resource_kind(const Swarm__GenericResource *resource);

#endif
