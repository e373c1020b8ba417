// What every container finds in its root beside what its image brings, put into the image's tree
// once: as it lies below the container's own changes, neither these nor what is made of them tell
// of it. The names are Docker's: programs look for /.dockerenv to learn where they run, older ones
// for /etc/mtab to learn what is mounted; the rest are places to mount over.
#ifndef AGENT_IMAGE_FURNISH_IO_H
#define AGENT_IMAGE_FURNISH_IO_H

#include "proto/base/err.h"

// Adds to the unpacked tree what it lacks of this. What the image has at a name stays, whatever it
// is, and where a folder of it is a link nothing is put behind that. Blocks shortly.
int furnish_tree(const char *tree, struct err *err);

#endif
