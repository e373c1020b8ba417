// Copying a folder of a container's root with owners, modes, times, links and device nodes.
#ifndef AGENT_OCI_COPY_IO_H
#define AGENT_OCI_COPY_IO_H

#include "proto/base/err.h"

// Copies what is in `path` of the container root `root` into the existing folder `target`, and
// gives the target the mode and owner of the source. Nothing outside of the root is ever read:
// lookups stay inside (root_io.h) and links are copied, not followed. NOT_FOUND when there is no
// such folder, FAILED_PRECONDITION when it is none. Blocks: for a worker job.
int copy_out_of_root(const char *root, const char *path, const char *target, struct err *err);

#endif
