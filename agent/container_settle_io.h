// What a container's specification leaves to the machine: numbers of users, sources of mounts, the
// host's resolv.conf. All calls block shortly.
#ifndef AGENT_CONTAINER_SETTLE_IO_H
#define AGENT_CONTAINER_SETTLE_IO_H

#include "agent/container_spec.h"
#include "proto/base/buf.h"

// Looks the user and its groups up in the container's root, which is mounted at container.rootfs.
// INVALID_ARGUMENT when the root has no such user.
int container_settle_user(struct container_spec *spec, struct arena *arena, struct err *err);

// Sources of bind mounts have to be there; some are made. INVALID_ARGUMENT names the first that is
// not.
int container_settle_sources(const struct container_spec *spec, struct err *err);

// The host's resolv.conf, "" for none, with what the defaults say of it. To be freed with buf_fini.
void container_settle_resolv(const char *path, const struct container_defaults *defaults,
                             struct buf *out);

#endif
