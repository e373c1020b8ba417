// The `filters` of a query, {"name":["a"]} or {"name":{"a":true}}, against what an endpoint knows,
// and into the filters of a Control request.
#ifndef AGENT_ENGINE_FILTER_H
#define AGENT_ENGINE_FILTER_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "agent/engine/fields.h"
#include "proto/base/arena.h"
#include "proto/base/err.h"

#define FILTER_VALUES_MAX 1024 // in one request, all keys together

struct filter_value {
    const char *key;
    const char *value;
};

struct filters {
    struct filter_value *values;
    size_t count;
};

// What becomes of a key.
enum filter_kind {
    FILTER_TEXTS,  // appended to a repeated string field
    FILTER_LABELS, // "k" or "k=v" into a map field
    FILTER_ENUM,   // by names into a repeated enum field
    FILTER_KNOWN,  // allowed; the endpoint looks at it itself
    FILTER_FLAG,   // the same, of true (1) and false (0)
};

struct filter_row {
    const char *key;
    enum filter_kind kind;
    const char *proto;
    const struct field_names *names;
};

// Parses the text (NULL or "": none) and refuses keys that no row has (rows NULL: none).
// INVALID_ARGUMENT with dockerd's words.
int filters_parse(const char *text, const struct filter_row *rows, size_t rows_count,
                  struct arena *arena, struct filters *out, struct err *err);

// Puts them into the message of a request's `filters`. An unknown enum text is INTERNAL (dockerd
// answers 500).
int filters_apply(const struct filters *filters, const struct filter_row *rows, size_t rows_count,
                  ProtobufCMessage *message, struct arena *arena, struct err *err);

// True when the key has no values, or one of them fits (`prefix`: begins the text).
bool filters_match(const struct filters *filters, const char *key, const char *text, bool prefix);

// The same, where the value is an expression ("^web$"), or the text itself, found in the text.
bool filters_found(const struct filters *filters, const char *key, const char *text);

// Whether a value of a FILTER_FLAG says yes.
bool filter_is_true(const char *value);

// The number of values of the key.
size_t filters_count(const struct filters *filters, const char *key);

// Appends a text to a repeated string field, or a pair to a map field. False past the arena's
// limit.
bool message_add_text(ProtobufCMessage *message, const char *field, const char *text,
                      struct arena *arena);

#endif
