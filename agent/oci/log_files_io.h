// The files of one container's log: <path> is written by conmon, <path>.1 is older, <path>.2 older
// still, ... Older ones may be packed (gzip): <path>.1.gz.
//
// A packed file says in its head which file it was, so that who reads a log finds the one that
// follows his own, whatever became of both meanwhile.
#ifndef AGENT_OCI_LOG_FILES_IO_H
#define AGENT_OCI_LOG_FILES_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/err.h"

#define LOG_FILES_MAX      64
#define LOG_PATH_BYTES     4096
#define LOG_UNPACKED_BYTES (UINT64_C(4) << 30) // that a packed file may hold
// What a packed copy is called while it is made.
#define LOG_COPY_SUFFIX ".packing"

struct log_file {
    int fd;
    bool packed;      // what is behind the descriptor
    bool was_packed;  // when it was opened
    uint64_t number;  // the inode that conmon wrote to
    int64_t ended_ns; // of what was packed: when conmon wrote to it last
};

// Opens the file that is so many rotations old (0: the one being written). False: there is none.
bool log_file_open(const char *path, unsigned age, struct log_file *out);

// Opens the file that was written after this one. False: this one is the newest.
bool log_file_next(const char *path, const struct log_file *file, struct log_file *out);

// Puts what a packed file holds into a nameless file beside it, whose descriptor is *fd. Blocks:
// for a worker. DATA_LOSS and those of the system.
int log_file_unpack(const char *path, int packed, int *fd, struct err *err);

// Packs the file into `out`. Blocks: for a worker.
int log_file_pack(const struct log_file *file, int out, struct err *err);

// Puts a packed copy in the place of the file it was made of, if that is still there.
void log_file_replace(const char *path, const struct log_file *file, const char *copy);

// Renames <path> to <path>.1 and so on when it holds more than `bytes_max` (0: never), keeping
// `files_max` files in all (at least 1). True when it did: tell conmon (runtime_reopen_log) then.
bool logs_rotate(const char *path, uint64_t bytes_max, unsigned files_max, struct err *err);

// Removes the log with its older files.
void logs_remove(const char *path);

#endif
