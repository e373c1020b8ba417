// Tasks as lists: `service ps`, `node ps` and `stack ps`.
#ifndef CMD_SKEP_TASK_H
#define CMD_SKEP_TASK_H

#include "cmd/skep/cli_io.h"

#define TASK_LIST_FLAGS                                                                            \
    {"filter", 'f', FLAG_FILTERS, "filter", "Only tasks that fit, such as desired-state=running"}, \
        {"format", 0, FLAG_TEXT, "template", "Print by a Go template, or json"},                   \
        {"no-resolve", 0, FLAG_BOOL, NULL, "Print ids in place of names"},                         \
        {"no-trunc", 0, FLAG_BOOL, NULL, "Do not shorten anything"},                               \
    {                                                                                              \
        "quiet", 'q', FLAG_BOOL, NULL, "Print ids alone"                                           \
    }

// Prints the tasks (of GET /tasks), newest of each slot first. `services` (of GET /services, or
// NULL: fetched) and nodes give the names. Exit status.
int task_show(struct cli *cli, json_t *tasks);

// Whether a task in that state has ended, well or not.
bool task_ended(const char *state);

// "web:1.0" for "web:1.0@sha256:...": an image as lists show it.
const char *task_image(struct cli *cli, const char *image);

#endif
