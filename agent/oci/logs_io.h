// Reading a container's log (log_files_io.h) back, and following it.
#ifndef AGENT_OCI_LOGS_IO_H
#define AGENT_OCI_LOGS_IO_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/oci/logline.h"
#include "proto/base/err.h"
#include "proto/base/loop_io.h"

struct logs_query {
    bool out; // which streams; both false means both
    bool err;
    struct wall since; // 0: from the beginning
    struct wall until; // 0: no end
    int64_t tail;      // most lines from the end; -1: all
    bool follow;       // wait for more until closed, ended or past `until`
};

struct logs_reader;

struct logs_events {
    // One line of the container; data is valid during the call. Pieces of long lines come as they
    // are in the file, `partial` set.
    void (*line)(void *owner, const struct log_line *line);
    // Once, unless closed before: everything was given (err NULL), or reading failed.
    void (*ended)(void *owner, const struct err *err);
};

// Starts reading; nothing is called before it returns. A file that does not exist is an empty log.
int logs_open(struct loop *loop, const char *path, const struct logs_query *query,
              const struct logs_events *events, void *owner, struct logs_reader **out,
              struct err *err);

// A slow reader pauses: no `line` until it resumes. May be called from inside `line`.
void logs_pause(struct logs_reader *reader, bool pause);

// Tells a following reader that the container ended: it gives what is there and ends.
void logs_finish(struct logs_reader *reader);

// Stops; no callback comes afterwards. Must be called, also after `ended`.
void logs_close(struct logs_reader *reader);

#endif
