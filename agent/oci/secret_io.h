// Secrets and configs of a container: files on a tmpfs of their own, never on a disk.
#ifndef AGENT_OCI_SECRET_IO_H
#define AGENT_OCI_SECRET_IO_H

#include <stddef.h>

#include "agent/oci/bundle.h"
#include "proto/base/err.h"

// Mounts a tmpfs at `dir` (which exists) and fills it with files named 0, 1, ... of the given modes
// and owners; afterwards it is read-only. Nothing stays mounted on failure.
int secret_mount(const char *dir, const struct oci_file *files, size_t files_count,
                 struct err *err);

// Unmounts; one that is not mounted is no error.
int secret_unmount(const char *dir, struct err *err);

#endif
