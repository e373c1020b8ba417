// What the files of archives share: paths in a container's root.
#ifndef AGENT_CRATE_ARCHIVE_PRIV_IO_H
#define AGENT_CRATE_ARCHIVE_PRIV_IO_H

#include "proto/base/err.h"

#define ARCHIVE_COPY_BYTES (128 * 1024) // of a file's content at once

// The folder a path lies in, and its last part ("." for the root itself).
void archive_split(const char *path, char dir[4096], char last[256]);

// Opens the folder of the path; the last part comes out. A descriptor, or -code.
int archive_open_above(const char *root, const char *path, char last[256], struct err *err);

// NOT_FOUND, in the words that docker's clients look for.
int archive_not_found(const char *path, struct err *err);

#endif
