// A terminal joined to a container: raw mode, sizes, detach keys, and the bytes both ways.
#ifndef CMD_SKEP_HIJACK_IO_H
#define CMD_SKEP_HIJACK_IO_H

#include "cmd/skep/client_io.h"

#define DETACH_KEYS_MAX 16

struct hijack_options {
    bool tty;                // one stream, and our terminal is made raw
    bool input;              // our standard input is sent
    const char *detach_keys; // "ctrl-p,ctrl-q" when NULL
    const char *resize;      // target that takes "?h=..&w=.." of the terminal; NULL: none
    const char *kill;        // target that takes "?signal=.." of signals we get; NULL: none
};

// Moves bytes until the other side closes: 0. 1 when the user typed the detach keys; a negative
// code with cli->error when the stream broke. `started` (may be NULL) runs once all is set up, and
// ends it with an error when it returns one.
int hijack_run(struct cli *cli, struct stream *stream, const struct hijack_options *options,
               int (*started)(struct cli *cli, void *owner), void *owner);

// "ctrl-p,ctrl-q" as the bytes a terminal sends. Their number, or a negative code.
int hijack_keys(const char *text, unsigned char keys[DETACH_KEYS_MAX], struct err *err);

#endif
