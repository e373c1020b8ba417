// Where log lines leave the process. Used by log.c alone.
#ifndef PROTO_BASE_LOG_IO_H
#define PROTO_BASE_LOG_IO_H

#include <stddef.h>

#include "proto/base/clock.h"

// The descriptor lines go to; 2 until set. Not owned.
void log_io_set(int fd);

// One whole line in one write, so that lines of several processes on one pipe do not mix. A log
// that cannot be written is dropped: logging never stops the work.
void log_io_write(const void *line, size_t size);

// The current time as log lines show it (RFC 3339 with milliseconds).
void log_io_time(char out[WALL_TEXT_BYTES]);

#endif
