// Small things that many commands need: values inside of JSON, comma-separated fields, key=value
// options, filters.
#ifndef CMD_SKEP_COMMON_H
#define CMD_SKEP_COMMON_H

#include "cmd/skep/cli_io.h"

// What lies at "Spec.TaskTemplate.Runtime" below the value; NULL when a step is missing.
json_t *at(const json_t *value, const char *path);
const char *text_at(const json_t *value, const char *path); // "" when there is none
json_int_t number_at(const json_t *value, const char *path);
bool true_at(const json_t *value, const char *path);

// The object at the path, made (with all above it) when it is missing or null.
json_t *object_at(json_t *value, const char *path);
json_t *array_at(json_t *value, const char *path);

// Sets "A.B.C", making the objects on the way.
void set_text(json_t *value, const char *path, const char *text);
void set_number(json_t *value, const char *path, json_int_t number);
void set_real(json_t *value, const char *path, double number);
void set_true(json_t *value, const char *path, bool is_true);
void set_at(json_t *value, const char *path, json_t *made); // takes over `made`
void unset(json_t *value, const char *path);

// One field of "type=bind,source=/x,readonly".
struct field {
    const char *key; // lower case
    const char *value;
    bool has_value; // there was a '='
};

#define FIELDS_MAX 64

// Takes comma-separated fields apart, in which a field with commas is written in double quotes.
// Their number, or a negative code.
int fields_parse(const char *text, struct arena *arena, struct field fields[FIELDS_MAX],
                 struct err *err);

// The part before the first `separator`, and what follows it (NULL: there is none).
const char *split_once(const char *text, char separator, const char **rest, struct arena *arena);

// Puts "key=value" into an object of texts; "key" alone gives "".
void set_pair(json_t *object, const char *pair, struct arena *arena);

// key=value texts into an object of texts; "key" alone gives "".
json_t *pairs_object(struct cli *cli, const char *flag);

// The variables of --env-file and --env into the list at the path. One without a value has ours;
// one we do not have stays a bare name, which takes it from the image's.
int put_env_options(struct cli *cli, json_t *value, const char *path);

// --filter as a query part: "&filters=...", or "" when there is none; NULL with cli->error when one
// is no key=value.
const char *filters_part(struct cli *cli);
// The same with one more filter, which may be repeated; key NULL: none.
const char *filters_with(struct cli *cli, const char *key, const char *value);
bool filter_has(struct cli *cli, const char *key);

// Object ids by name: the text itself when nothing is known.
const char *id_of_info(struct cli *cli);

// Runs `one` for each argument; prints errors as they come; the exit status.
int each_argument(struct cli *cli, int (*one)(struct cli *cli, const char *argument));

// Deletes what stands at `path` under that name, and prints the name.
int remove_named(struct cli *cli, const char *path, const char *name, bool by_force);

#endif
