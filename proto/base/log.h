// Logging: one line is one event, a short stable phrase followed by key=value pairs.
//
//   log_info("node joined", "node=%s addr=%s", id, addr);
//
// text: 2026-11-20T13:35:20.123Z INFO  node joined node=... addr=...
// json: {"time":"...","level":"info","msg":"node joined","node":"...","addr":"..."}
//
// Cores do not log; they return events and their shells log them. No secret (key, token, payload)
// is ever given to a logger at any level. Safe to call from any thread; a line is written whole.
#ifndef PROTO_BASE_LOG_H
#define PROTO_BASE_LOG_H

#include <stdbool.h>

enum log_level {
    LOG_DEBUG, // for who works on the code
    LOG_INFO,  // state changes an operator follows
    LOG_WARN,  // handled, but odd
    LOG_ERROR, // someone must act
};

enum log_format {
    LOG_TEXT,
    LOG_JSON,
};

// Longest line; what is longer is cut and ends in "...".
#define LOG_LINE_BYTES 4096

// Where and how lines go: a file descriptor (default 2), a lowest level (default info), a format
// (default text) and a name put before the phrase, such as "manager" (NULL: none; borrowed for
// ever). Set before threads start; the level may be changed at any time.
void log_setup(int fd, enum log_level lowest, enum log_format format, const char *process);
void log_set_level(enum log_level lowest);

// True when a line of that level would be written: for events that are costly to describe.
bool log_enabled(enum log_level level);

// Parses debug, info, warn, warning, error, fatal (taken as error), as dockerd's --log-level does.
bool log_level_parse(const char *text, enum log_level *out);

// Writes one line. `phrase` is stable text; `pairs` is a printf format of key=value pairs separated
// by single blanks, or "". A value that may hold blanks stands last or in quotes: log_warn("pull
// failed", "task=%s err=\"%s\"", id, err.message). Control characters in values are written as
// blanks, so that no peer can forge a line.
void log_write(enum log_level level, const char *phrase, const char *pairs, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

#endif
