// The node process: binds the sockets, starts and keeps the other processes, listens to signals,
// and ends everything in order.
#ifndef CMD_SKEPD_NODE_IO_H
#define CMD_SKEPD_NODE_IO_H

#include <stddef.h>

#include "cmd/skepd/config.h"
#include "proto/base/err.h"

// Serves until a signal ends it: SIGTERM and SIGINT in order (a second one at once), SIGHUP reads
// the configuration again, from `args` and the file. Returns the exit status of the process. The
// config is settled, and changes with a reload; its warnings are logged and emptied.
int node_run(struct config *config, size_t count, const char *const *args, struct buf *warnings);

// Reads flags and file into a fresh config and settles it. The default file may be missing.
int node_configure(struct config *config, size_t count, const char *const *args,
                   struct buf *warnings, struct err *err);

#endif
