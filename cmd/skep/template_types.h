// The Go types that the docker command reads a service and a node into, as far as its templates
// show them: a field that is not set prints its zero value, one that is not there is an error with
// the type's name, and durations and times print as Go writes them.
#ifndef CMD_SKEP_TEMPLATE_TYPES_H
#define CMD_SKEP_TEMPLATE_TYPES_H

#include <jansson.h>
#include <stdbool.h>

#include "proto/base/buf.h"

#define GO_TYPE_BYTES 64

// True for the name of a struct that is known here, with or without a "*" before it.
bool go_struct(const char *type);

// True for a struct that docker also has as plain JSON, where it looks for a field that the struct
// has not.
bool go_struct_partial(const char *type);

// True for a struct whose fields are all known.
bool go_struct_whole(const char *type);

// The type of the struct's field; false when it has no such field.
bool go_field(const char *type, const char *field, char out[GO_TYPE_BYTES]);

// The name and the type of the struct's field at that place, as they print; false after the last.
bool go_field_at(const char *type, size_t at, char name[GO_TYPE_BYTES], char out[GO_TYPE_BYTES]);

// How many of its first fields stand in a struct of their own when it is printed (a name and
// labels).
size_t go_embedded(const char *type);

// What the elements of a list or a map are; false when the type is neither.
bool go_element(const char *type, char out[GO_TYPE_BYTES]);

// A new value of JSON for one that is not set.
json_t *go_zero(const char *type);

// Appends what Go prints for the value, and returns true, when that is other than for plain JSON.
bool go_print(const char *type, const json_t *value, struct buf *out);

#endif
