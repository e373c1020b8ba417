// Files and folders, whole: read with a limit, replace atomically, make and remove trees.
//
// All calls block: use them at start-up or in worker jobs. Errors name the path.
#ifndef PROTO_BASE_FILE_IO_H
#define PROTO_BASE_FILE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

// Appends the file's bytes to `out`. RESOURCE_EXHAUSTED when they pass out's limit (out then holds
// what was there before), NOT_FOUND when there is no such file.
int file_read(const char *path, struct buf *out, struct err *err);

// Writes all of it to a descriptor that blocks, however many pieces it takes; 0 or -errno.
int file_write_all(int fd, const void *bytes, size_t size);

// Replaces (or makes) the file so that a crash leaves either the old or the new content: written
// aside as ".<name>.tmp", synced, renamed, folder synced. `mode` is set exactly, whatever the
// umask.
int file_write_atomic(const char *path, const void *bytes, size_t size, mode_t mode,
                      struct err *err);

bool file_exists(const char *path); // of any kind; a dangling link counts

// Removes a file; one that is not there is no error.
int file_remove(const char *path, struct err *err);

// Makes the folder and the missing ones above it (those get mode 0755). An existing folder keeps
// its mode.
int dir_make(const char *path, mode_t mode, struct err *err);

// Removes the folder with all it holds; follows no links and does not enter other file systems (a
// mount inside is an error: FAILED_PRECONDITION). A folder that is not there is no error.
int dir_remove(const char *path, struct err *err);

// Makes a rename or a new file in this folder durable.
int dir_sync(const char *path, struct err *err);

#endif
