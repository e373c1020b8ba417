// Archives of what lies in a container's root, and into it: `docker cp` and `docker export`.
//
// Every lookup is the kernel's with the root as "/" (root_io.h), the last part of a path too, so
// that links and ".." in the container or in an archive lead nowhere else. All calls block: worker
// jobs.
#ifndef AGENT_CRATE_ARCHIVE_IO_H
#define AGENT_CRATE_ARCHIVE_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/clock.h"
#include "proto/base/err.h"

// Deepest nesting of folders.
#define ARCHIVE_DEPTH_MAX 128

struct archive_stat {
    char name[256];
    int64_t size;
    uint32_t go_mode; // in the bits of Go, which clients read
    struct wall mtime;
    char link[4096]; // absolute, for symbolic links; "" else
};

// NOT_FOUND.
int archive_stat(const char *root, const char *path, struct archive_stat *out, struct err *err);

// Writes a tar of the path (its last part is the top entry's name; "/." at the end, or `whole`: the
// folder's content) into the new file `target`. The path's own last link is not followed.
int archive_write(const char *root, const char *path, bool whole, const char *target,
                  struct err *err);

// Writes what lies in the upper folder of an overlayfs as a layer's tar: what was deleted becomes a
// whiteout as OCI has it. UNIMPLEMENTED where overlayfs left out what the layer would need.
int archive_write_layer(const char *upper, const char *target, struct err *err);

// Unpacks the tar file `source` into the folder `path`. `keep_kind`: a folder is never replaced by
// something else, and nothing by a folder. NOT_FOUND when there is no such folder.
int archive_read(const char *root, const char *path, const char *source, bool keep_kind,
                 struct err *err);

#endif
