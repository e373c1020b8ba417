// Reading and making things inside a container's root without ever leaving it: every lookup is the
// kernel's own, with the root as "/" (openat2, RESOLVE_IN_ROOT), so that links and ".." of a
// hostile image stay inside.
#ifndef AGENT_OCI_ROOT_IO_H
#define AGENT_OCI_ROOT_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/oci/user.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"

// Opens `path` as seen by a process whose root is `root`. Returns a descriptor (close-on-exec) or
// -code. `flags` and `mode` as open(2). Devices, fifos and sockets are never opened by flags that
// would block: O_NONBLOCK is added.
int root_open(const char *root, const char *path, int flags, mode_t mode, struct err *err);

// Appends a regular file's bytes. NOT_FOUND, RESOURCE_EXHAUSTED past out's limit.
int root_read(const char *root, const char *path, struct buf *out, struct err *err);

// Makes the folder and those missing above it, inside the root, with this mode and owner.
int root_mkdir(const char *root, const char *path, mode_t mode, uint32_t uid, uint32_t gid,
               struct err *err);

// Resolves a user spec against the root's /etc/passwd and /etc/group (user.h).
int root_user(const char *root, const char *spec, const char *const *extra_groups,
              size_t extra_count, struct user *out, struct err *err);

#endif
