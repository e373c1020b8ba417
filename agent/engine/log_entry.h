// Lines of logs as Docker sends them: the multiplexed frame, the time, the details.
#ifndef AGENT_ENGINE_LOG_ENTRY_H
#define AGENT_ENGINE_LOG_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/clock.h"

enum log_entry_stream {
    LOG_STDOUT = 1,
    LOG_STDERR = 2,
    LOG_SYSTEM_ERROR = 3,
};

#define LOG_DETAILS_MAX 64

struct log_detail {
    const char *key;
    const char *value;
};

struct log_entry {
    enum log_entry_stream stream;
    struct wall at;
    const void *text;
    size_t bytes;
    bool newline;               // which the text has not got, goes behind it
    struct log_detail *details; // sorted in place; past LOG_DETAILS_MAX the rest is left out
    size_t details_count;
};

struct log_style {
    bool raw; // of a terminal: no frames
    bool timestamps;
    bool details;
};

// Appends the line.
void log_entry_put(struct buf *out, const struct log_entry *line, const struct log_style *style);

#endif
