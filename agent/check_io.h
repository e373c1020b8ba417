// One run of a container's health check: a process inside with a limit of time, and what came of
// it.
#ifndef AGENT_CHECK_IO_H
#define AGENT_CHECK_IO_H

#include <stdint.h>

#include "agent/oci/runtime_io.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/base/list.h"
#include "proto/base/loop_io.h"

// The first bytes of what it wrote are kept, as the engine does.
#define CHECK_OUTPUT_BYTES 4096

struct check;

struct check_result {
    struct wall started, ended;
    int code;              // -1: it could not be started, or took too long
    const char *output;    // what it wrote, or why there is no code; valid during the call
    const struct err *err; // NULL: it ended by itself
};

struct check_spec {
    struct loop *loop;
    struct runtime *runtime;
    const char *id;           // of the container
    struct oci_strings test;  // "CMD" or "CMD-SHELL" and its words
    struct oci_strings shell; // the image's, for CMD-SHELL; none: /bin/sh -c
    int64_t timeout_ns;
};

// Starts it and puts it on `under_way`, where it stays until its process is gone, which may be
// after `done`. That runs exactly once, never before this returns, unless the check is dropped
// before. Of the spec nothing is needed longer.
struct check *check_start(const struct check_spec *spec, struct list *under_way,
                          void (*done)(void *owner, const struct check_result *result),
                          void *owner);

// Nobody waits for it any more: its process is killed. Not after its `done`.
void check_drop(struct check *check);

#endif
