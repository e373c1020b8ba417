// What commands print: lists by --format, --quiet and --no-trunc, and objects by inspect.
#ifndef CMD_SKEP_FORMAT_H
#define CMD_SKEP_FORMAT_H

#include "cmd/skep/cli_io.h"

struct column {
    const char *key;    // in the rows and in templates
    const char *header; // above its column in tables
};

// How a kind of list is shown.
struct listing {
    const struct column *columns; // ended by an empty one
    const char *table;            // the default format, "table ..."
    const char *quiet;            // the format with --quiet; NULL: there is no such option
    const char *config_key;       // config.json's key with a format of the user's own; or NULL
};

// Prints the rows (an array of objects) as the command's options say, as far as it has them:
// --format (a template, "table TEMPLATE", "json", "table", "raw" is unknown), --quiet. Exit status.
int show_list(struct cli *cli, const struct listing *listing, json_t *rows);

// A row for a list: an object with its labels ("@labels", may be NULL) ready for show_list.
json_t *row_new(struct cli *cli, json_t *labels);
void row_set(json_t *row, const char *key, const char *value);

// Puts a row where its Name belongs: lists are sorted by name, numbers in them by value.
void rows_put(json_t *rows, json_t *row);
void rows_put_by(json_t *rows, json_t *row, const char *key);

// Whether an inspect was asked for the words for people: --pretty, --format pretty.
bool wants_pretty(struct cli *cli);

// The labels as "a=1,b=2", sorted.
const char *labels_text(struct cli *cli, const json_t *labels);

// Fetches prefix + each argument + suffix with GET and prints all by --format, else as indented
// JSON. `type` is the Go type that templates know them by (template_types.h), or NULL. Exit status.
int show_inspected(struct cli *cli, const char *prefix, const char *suffix, const char *type);

// The same for objects at hand: `texts[i]` is the JSON text of `values[i]`.
int show_objects(struct cli *cli, json_t *values, json_t *texts);

// Prints lines of cells separated by tabs as a table that fits the terminal.
void format_table(struct cli *cli, struct buf *lines);

// One value by --format, or else not at all (returns -1).
int show_by_format(struct cli *cli, json_t *value);

// Appends JSON text with every level indented by `indent`, as Go's json.Indent does.
void format_indent(const char *json, size_t size, const char *indent, struct buf *out);

// "\t" and "\n" in a format as the characters they mean.
const char *format_unescape(const char *format, struct arena *arena);

#endif
