// A program's copy in memory that nobody can write to.
//
// crun guards itself against a container that writes over its binary (CVE-2019-5736): unless it
// runs from such a copy already, each run mounts itself read-only somewhere, unmounts that again
// and starts anew from it, which takes more time than all else a "crun start" does. A copy that is
// made once guards as well.
#ifndef AGENT_OCI_SEALED_IO_H
#define AGENT_OCI_SEALED_IO_H

#include "proto/base/err.h"

struct sealed;

// A copy of the program at `path`, to be run by the name `link`, which is made anew (a symbolic
// link to the copy; good for as long as this process lives). FAILED_PRECONDITION where the kernel
// does not run such copies.
int sealed_new(const char *path, const char *link, struct sealed **out, struct err *err);
void sealed_free(struct sealed *sealed); // NULL is allowed; the name goes too

// What to run now: the link, or the program itself where its copy cannot be made anew. (The program
// is looked at each time: an upgrade must not leave an old one in use.)
const char *sealed_path(struct sealed *sealed);

#endif
