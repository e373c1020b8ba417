// Helper programs that are waited for, at the opening of the runtime or for a few milliseconds.
#ifndef AGENT_OCI_AWAIT_IO_H
#define AGENT_OCI_AWAIT_IO_H

#include "proto/base/err.h"
#include "proto/base/process_io.h"

#define AWAIT_TEXT_BYTES 1024

// What it said, cut to fit.
struct awaited {
    int exit_code;
    bool complained; // it wrote on its standard error
    char out[AWAIT_TEXT_BYTES];
};

// Runs the program to its end, on a loop of its own: the caller's does not turn meanwhile. `what`
// begins the message of an exit code that is not 0 (process_check). The spec needs a timeout.
int await_program(const struct process_spec *spec, const char *what, struct awaited *out,
                  struct err *err);

#endif
