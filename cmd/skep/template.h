// Go's text/template as users of docker's --format know it: all of its actions (define, template
// and block too), Go's functions but `call`, and docker's json, join, split, upper, lower, title,
// pad and truncate. Data is JSON.
//
// A key that begins with '@' is not shown by `json`. An object with "@labels" is a row of a list:
// its keys are sorted by `json`, `.Label "name"` looks into "@labels", and a field it lacks is an
// error that names the fields there are. An object with "@type" is a struct of that name
// (template_types.h): a field that is not set prints as Go's zero value, and one that no such
// struct has is an error.
#ifndef CMD_SKEP_TEMPLATE_H
#define CMD_SKEP_TEMPLATE_H

#include <jansson.h>

#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"

#define TEMPLATE_BYTES_MAX (64 * 1024)
#define TEMPLATE_DEPTH_MAX 32      // of nested blocks and parentheses
#define TEMPLATE_STEPS_MAX 5000000 // of one execution

struct template;

// Parses the text; the template lives in the arena but for what template_free gives back.
// INVALID_ARGUMENT says what is wrong with it.
struct template *template_parse(const char *text, struct arena *arena, struct err *err);
void template_free(struct template *template); // NULL is fine

// Appends what the template makes of the data. On an error `out` holds a part of it.
int template_run(const struct template *template, json_t *data, struct buf *out, struct err *err);

// Makes an object a struct of that name; NULL leaves it as it is.
void template_set_type(json_t *value, const char *type);

// Appends the value as compact JSON without the '@' keys.
void template_put_json(const json_t *value, struct buf *out);

#endif
