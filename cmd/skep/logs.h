// What containers, services and tasks wrote.
#ifndef CMD_SKEP_LOGS_H
#define CMD_SKEP_LOGS_H

#include "cmd/skep/cli_io.h"

#define LOGS_FLAGS                                                                                 \
    {"details", 0, FLAG_BOOL, NULL, "Show what the log driver adds"},                              \
        {"follow", 'f', FLAG_BOOL, NULL, "Go on with what is written from now on"},                \
        {"since", 0, FLAG_TEXT, "time",                                                            \
         "From this moment on: RFC 3339, or 10m for ten minutes ago"},                             \
        {"tail", 'n', FLAG_TEXT, "lines", "The last lines only (default all)"},                    \
    {                                                                                              \
        "timestamps", 't', FLAG_BOOL, NULL, "Show when each line was written"                      \
    }

// "1700000000.000000000" for an RFC 3339 moment, a date, a number of seconds or a duration before
// `now`; NULL with cli->error for anything else.
const char *logs_moment(struct cli *cli, const char *text);

// The query part the options above make; NULL with cli->error.
const char *logs_query(struct cli *cli);

#endif
