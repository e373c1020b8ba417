// A container's state folder as create leaves it for the runtime: config.json, the files of /etc,
// and the secret files in a memory of their own.
//
// Part of runtime_io.h, for its files alone. Both block on the disk for a moment, and look at the
// machine: the sources of mounts, the nodes of devices and the AppArmor profile have to be there.
#ifndef AGENT_OCI_RUNTIME_FOLDER_IO_H
#define AGENT_OCI_RUNTIME_FOLDER_IO_H

#include "agent/oci/bundle.h"
#include "proto/base/err.h"

struct container;

// Makes the folder of a container that has none yet, by a spec that bundle_check found right.
// NOT_FOUND when what is to be mounted is missing, else what the system says. What was made before
// an error stays, for container_clean.
int container_folder_make(const struct container *container, const struct oci_container *spec,
                          struct err *err);

// Writes a text into a file of the folder; what the file held before is gone.
int container_folder_write(const struct container *container, const char *name, const char *text,
                           struct err *err);

#endif
