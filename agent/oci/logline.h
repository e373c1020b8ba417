// A line of a container's log file, in the form conmon writes ("k8s-file"):
//
//   2026-11-20T14:00:16.232459020+00:00 stdout F hi
//
// F ends a line of the container, P is a piece of one that goes on (longer than conmon's buffer, or
// not ended yet).
#ifndef AGENT_OCI_LOGLINE_H
#define AGENT_OCI_LOGLINE_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/clock.h"

enum log_stream {
    LOG_STREAM_STDOUT = 1,
    LOG_STREAM_STDERR = 2,
};

struct log_line {
    struct wall at;
    enum log_stream stream;
    bool partial;     // the container's line goes on
    const char *data; // without the newline, borrowed
    size_t size;
};

// Parses one line without its newline; false when it has not this form.
bool logline_parse(const char *line, size_t size, struct log_line *out);

#endif
