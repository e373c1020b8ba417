// What json-file notes beside each line of a container's log, for readers that ask for details: the
// labels and variables that the log's options name, and its tag. Pure.
//
// A container's labels and variables do not change, so nothing is written with the lines: the marks
// are made when the log is read.
#ifndef AGENT_LOG_MARKS_H
#define AGENT_LOG_MARKS_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/oci/bundle.h"
#include "proto/base/arena.h"
#include "proto/base/err.h"

#define LOG_MARKS_MAX       48 // of one container; what an expression finds beyond is left out
#define LOG_MARKS_TAG_BYTES 4096

// The options, as they were written; NULL: not said. Borrowed.
struct log_marks_options {
    const char *labels, *labels_regex, *env, *env_regex;
    const char *tag; // a template: "{{.Name}}/{{.ID}}"
};

// The container. Borrowed.
struct log_marks_container {
    const char *id;
    const char *name;
    const char *image;    // its reference
    const char *image_id; // "sha256:..."
    const char *command;  // with its arguments
    const struct oci_pair *labels;
    size_t labels_count;
    struct oci_strings env; // "K=V"
};

// The field of an option of that name, NULL for others.
const char **log_marks_option(struct log_marks_options *options, const char *key);

// INVALID_ARGUMENT for an expression or a template that cannot be, in dockerd's words.
int log_marks_check(const struct log_marks_options *options, struct err *err);

// The marks, each key once, copied into `arena`. As log_marks_check; RESOURCE_EXHAUSTED past the
// arena.
int log_marks_make(const struct log_marks_options *options,
                   const struct log_marks_container *container, struct arena *arena,
                   struct oci_pair **out, size_t *count, struct err *err);

#endif
