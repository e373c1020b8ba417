// Packs the older files of logs whose containers ask for it (log option "compress"), one file at a
// time, in a worker.
#ifndef AGENT_OCI_LOG_PACKER_IO_H
#define AGENT_OCI_LOG_PACKER_IO_H

#include <stdbool.h>

#include "proto/base/loop_io.h"

struct log_packer;

struct log_packer *log_packer_new(struct loop *loop);

// Packs the oldest of this log's `files_max` files that is not packed, when its turn comes: call it
// again and again. A file that conmon may still write to is left for later, and so is the log when
// too many wait. Files of the log may be rotated and removed meanwhile.
void log_packer_look(struct log_packer *packer, const char *path, unsigned files_max);

// Forgets the logs that wait.
void log_packer_drop(struct log_packer *packer);

bool log_packer_busy(const struct log_packer *packer);
void log_packer_free(struct log_packer *packer); // not while busy

#endif
