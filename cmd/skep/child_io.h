// Programs that help: tar for archives, and those that keep passwords (docker-credential-*).
#ifndef CMD_SKEP_CHILD_IO_H
#define CMD_SKEP_CHILD_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "cmd/skep/cli_io.h"

struct child {
    pid_t pid;
    int in;  // to its standard input; -1: it has ours
    int out; // from its standard output; -1: it has ours
};

// Starts a program found in PATH. `argv` ends with NULL. 0, or a negative code with cli->error.
int child_start(struct cli *cli, const char *const argv[], bool feeds, bool reads,
                struct child *out);

// All of it to its standard input; false when it reads no more.
bool child_feed(struct child *child, const void *bytes, size_t size);

// Closes what is open and waits: the exit status, 128 and more when a signal ended it.
int child_wait(struct child *child);

// Starts it, gives it `input`, and takes what it says, at most CHILD_OUTPUT_BYTES_MAX (the arena
// has it, *size may be NULL). 0, or a negative code with cli->error, which repeats what it said
// when it failed.
#define CHILD_OUTPUT_BYTES_MAX 65536
int child_ask(struct cli *cli, const char *const argv[], const char *input, const char **output);

#endif
