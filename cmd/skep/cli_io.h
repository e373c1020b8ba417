// One run of the command: what it was asked, its terminal, its output, and what it must give back
// at its end. Everything else in this room goes through here to touch the world.
#ifndef CMD_SKEP_CLI_IO_H
#define CMD_SKEP_CLI_IO_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cmd/skep/flags.h"
#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/err.h"
#include "proto/base/loop_io.h"

#define CLI_ARENA_BYTES_MAX ((size_t)1 << 30)
#define CLI_FILE_BYTES_MAX  ((size_t)64 << 20)

// What a command line that cannot be understood ends with, as the docker command's, so that scripts
// can tell.
#define EXIT_USAGE 125

struct command;
struct client;

struct terminal {
    bool in, out, err; // these three are terminals
    size_t columns, rows;
    bool colour;
};

struct cli {
    struct arena arena; // all texts of this run
    struct args globals;
    struct args args;
    const struct command *command;
    json_t *kept; // array: values that live until the end
    struct buf out;
    struct terminal terminal;
    const char *config_folder; // ~/.docker or what --config and DOCKER_CONFIG say
    json_t *config;            // its config.json; an empty object when there is none
    struct loop *loop;         // made when first needed
    struct client *client;     // likewise
    struct err error;          // of the last call that failed
    bool bad_flag;             // it is about the value of an option
    int status;                // HTTP status of the last call; 0 when none came
};

void cli_init(struct cli *cli);
void cli_fini(struct cli *cli); // flushes the output
struct loop *cli_loop(struct cli *cli);

// Text formatted into the run's arena.
const char *textf(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

// To standard output, at once when it is a terminal; to standard error.
void say(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
void say_bytes(struct cli *cli, const void *bytes, size_t size);
void say_flush(struct cli *cli);
void warn(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
void warn_bytes(struct cli *cli, const void *bytes, size_t size);

// Says what is wrong on standard error and returns the exit status 1.
int complain(struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

// The same with cli->error. A bad value of an option is told as one that args_parse finds, with
// 125.
int failed(struct cli *cli);

// Has cli->error say which option the value, which it is about, was given to. Returns its code.
int bad_flag(struct cli *cli, const char *flag, const char *value);

// Takes over a value (may be NULL) until the end of the run; returns it.
json_t *keep(struct cli *cli, json_t *value);

// A variable of the environment; NULL when it is unset or empty.
const char *cli_env(const char *name);
const char *cli_home(struct cli *cli);
struct wall cli_now(void);
struct mono cli_mono(void);
void cli_sleep(struct cli *cli, int64_t ms); // the loop goes on meanwhile

// The file's text ("-": standard input), NUL-terminated in the arena; NULL with cli->error. *size
// may be NULL. With `what` not NULL errors begin with it.
const char *cli_read(struct cli *cli, const char *path, size_t *size);

// Names in a folder, without "." and "..", as an array of texts; empty when it cannot be read.
json_t *cli_names(struct cli *cli, const char *folder);

// Replaces a file. 0, or a negative code with cli->error.
int cli_write(struct cli *cli, const char *path, const void *bytes, size_t size, unsigned mode);

// Asks on the terminal and waits for a line; true for "y" or "yes".
bool cli_confirm(struct cli *cli, const char *question);

// Reads a line without showing it (a key). NULL at the end of the input.
const char *cli_secret(struct cli *cli, const char *prompt);

// Colour for text on standard output: the escape sequence, or "" without colours. "red", "green",
// "yellow", "dim", "bold", "off".
const char *cli_colour(const struct cli *cli, const char *name);

#endif
