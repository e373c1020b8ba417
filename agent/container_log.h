// How the log of a container is kept, as the options of its driver say ("max-size", "labels", ...).
//
// Pure. Start with a struct that holds the driver's defaults, give it the options one by one, then
// have them looked at together. Texts are borrowed for as long as the struct is used.
#ifndef AGENT_CONTAINER_LOG_H
#define AGENT_CONTAINER_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/log_marks.h"
#include "proto/base/err.h"

#define CONTAINER_LOG_BYTES_MAX (16u << 20)
#define CONTAINER_LOG_FILES_MAX 64

struct container_log {
    bool none; // output is thrown away
    uint64_t bytes_max;
    unsigned files_max;
    bool compress;                  // what was rotated away
    struct log_marks_options marks; // borrowed
    const char *mode, *buffer_size; // as written; container_log_check looks at them together
};

// Sets what the driver's own defaults are, where they differ from what is set.
void container_log_begin(struct container_log *log, const char *driver);

// Sets what one option of the log ("max-size", "max-file", ...) says. INVALID_ARGUMENT.
int container_log_option(struct container_log *log, const char *key, const char *value,
                         struct err *err);

// When all options were set: whether they go together, and expressions and template can be.
// INVALID_ARGUMENT in dockerd's words.
int container_log_check(const struct container_log *log, const char *driver, struct err *err);

#endif
