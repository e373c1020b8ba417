// The table of options: dockerd's flags and daemon.json keys, and what becomes of each here.
#ifndef CMD_SKEPD_OPTIONS_H
#define CMD_SKEPD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

// How the value is written, and what `offset` points to in struct config.
enum option_kind {
    OPTION_BOOL,     // bool
    OPTION_NUMBER,   // int64_t, not negative
    OPTION_TEXT,     // char *
    OPTION_LIST,     // struct config_list; in the file an array of texts
    OPTION_MAP,      // struct config_list of key=value; in the file an object of texts
    OPTION_POOLS,    // struct config_list; in the file an array of {"base", "size"}
    OPTION_ULIMITS,  // struct config_list; in the file an object of {"Name", "Soft", "Hard"}
    OPTION_RUNTIMES, // struct config_list of name=path; in the file an object of {"path"}
};

enum option_use {
    OPTION_USED,
    OPTION_MEANINGLESS, // accepted with a warning: Skep works without it, `why` says how
    OPTION_REFUSED,     // `why` says why; the value `harmless` (dockerd's default) is accepted
};

struct option {
    const char *flag; // without dashes; NULL: only in the file
    char letter;      // 0: none
    const char *key;  // in daemon.json; NULL: only a flag
    enum option_kind kind;
    enum option_use use;
    size_t offset;        // OPTION_USED: the member of struct config
    bool reloads;         // may change while running
    const char *why;      // OPTION_USED: the line in --help
    const char *harmless; // OPTION_REFUSED
};

extern const struct option options[];
extern const size_t options_count;

const struct option *option_by_flag(const char *flag, size_t length);
const struct option *option_by_letter(char letter);
const struct option *option_by_key(const char *key);

// The name operators know it by: the flag, else the key.
const char *option_name(const struct option *option);

// What daemon.json has for an option of the kind, in words.
const char *option_form(enum option_kind kind);

#endif
