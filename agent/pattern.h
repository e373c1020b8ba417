// Regular expressions of options, in the part of Go's syntax that users write: groups, classes,
// repetitions, anchors, \d \w \s. Pure.
//
// Bounded before they are compiled, because the C library's expressions are not: in length, and in
// what repetitions may multiply to. What only Go has (flags, Unicode classes) or only the C library
// (back references) is refused by name.
#ifndef AGENT_PATTERN_H
#define AGENT_PATTERN_H

#include <regex.h>
#include <stdbool.h>

#include "proto/base/err.h"

#define PATTERN_BYTES_MAX   256
#define PATTERN_REPEATS_MAX 100 // of one item, with those of the groups around it multiplied
#define PATTERN_DEPTH_MAX   16  // groups in groups

struct pattern {
    regex_t compiled;
};

// INVALID_ARGUMENT with the reason; then there is nothing to free.
int pattern_init(struct pattern *pattern, const char *text, struct err *err);
void pattern_fini(struct pattern *pattern);

// Whether it is found anywhere in the text, as Go's MatchString.
bool pattern_found(const struct pattern *pattern, const char *text);

#endif
