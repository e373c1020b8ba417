// The file that names the running daemon.
#ifndef CMD_SKEPD_PIDFILE_IO_H
#define CMD_SKEPD_PIDFILE_IO_H

#include "proto/base/err.h"

// Writes our process id. FAILED_PRECONDITION when the file names another skepd that still runs; a
// file left behind by one that does not is replaced.
int pidfile_take(const char *path, struct err *err);

// Removes the file if it is still ours.
void pidfile_drop(const char *path);

#endif
