// Files that are sent to the daemon, or written from what it sends, without being kept in memory.
#ifndef CMD_SKEP_FILE_FD_IO_H
#define CMD_SKEP_FILE_FD_IO_H

#include "cmd/skep/cli_io.h"

// Opens for reading; "-" is standard input. Negative with *err.
int file_fd_open(const char *path, struct err *err);
void file_fd_close(int fd);

// Writes the answer of a GET to the file (NULL: standard output). A file appears only when all of
// it came. 0, or a negative code with cli->error.
int file_fd_download(struct cli *cli, const char *target, const char *path);

#endif
