// Options of a command as a table, and the parsing of command lines by it, in the manner of the
// docker command: --name value, --name=value, -n value, -nvalue, -abc, "--".
#ifndef CMD_SKEP_FLAGS_H
#define CMD_SKEP_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/arena.h"
#include "proto/base/err.h"

enum flag_kind {
    FLAG_BOOL,     // --x, --x=false
    FLAG_TRUE,     // --x, --x=true; it cannot be switched off
    FLAG_TEXT,     // the last one counts
    FLAG_LIST,     // may be repeated
    FLAG_COMMAS,   // may be repeated, and each value is a list with commas
    FLAG_LABELS,   // may be repeated: key=value, where the key is not empty
    FLAG_FILTERS,  // may be repeated: name=value
    FLAG_IPS,      // may be repeated: an IP address
    FLAG_HOSTS,    // the same: name:ip, name=ip (the list has name:ip)
    FLAG_DOMAINS,  // the same: a domain to search names in
    FLAG_SYSCTLS,  // the same: key=value, of settings that a container has for itself
    FLAG_RULES,    // the same: "c 1:3 rw", of devices
    FLAG_CIDRS,    // the same: a list of networks with commas
    FLAG_INT,      // a whole number, also negative
    FLAG_UINT,     // a whole number from 0
    FLAG_FLOAT,    // a number
    FLAG_DURATION, // 1m30s
    FLAG_BYTES,    // 64m
    FLAG_SWAP,     // the same, or -1 for no limit
    FLAG_CPUS,     // 0.5
    FLAG_SWARM,    // an orchestrator: "swarm" or "all", which say the same here
};

struct flag {
    const char *name; // without "--"; NULL ends a table
    char letter;      // 0: none
    enum flag_kind kind;
    const char *value; // what the value is, for help: "string"; NULL with FLAG_BOOL
    const char *help;
};

struct flag_value {
    bool set;
    bool on;           // FLAG_BOOL
    const char *text;  // the last value as it was written
    const char **list; // of those that may be repeated
    size_t count;
};

// A command line taken apart.
struct args {
    const struct flag *flags;
    size_t flags_count;
    struct flag_value *values; // one for each flag
    const char **argv;         // what is no option, NULL at the end
    int argc;
    bool help;           // -h or --help was there
    const char *unknown; // a long option that is in no row, when args_parse failed for it
};

// Most values of one option, and most arguments.
#define ARGS_MAX 4096

// Takes argc words apart. With `stops`, everything after the first argument is an argument, as the
// command line of a container must be. INVALID_ARGUMENT says which option is unknown (and which one
// may have been meant), lacks its value, or has a bad one. Texts point into argv or the arena.
int args_parse(struct args *args, const struct flag *flags, bool stops, int argc,
               char *const argv[], struct arena *arena, struct err *err);

// The values. The name must be in the table.
bool args_set(const struct args *args, const char *name);
bool args_on(const struct args *args, const char *name);
const char *args_text(const struct args *args, const char *name); // NULL: not given
size_t args_list(const struct args *args, const char *name, const char *const **list);

// The number in its unit (nanoseconds, bytes, 10^-9 processors); `fallback` when it was not given.
int64_t args_number(const struct args *args, const char *name, int64_t fallback);
double args_float(const struct args *args, const char *name, double fallback);

// The number of a value of the kind; what args_parse checks with.
int flag_number(enum flag_kind kind, const char *text, int64_t *out, struct err *err);

#endif
