// JSON objects of the Engine API and messages of the wire, both ways, by one table per type.
//
// A row names the JSON key, the protobuf field and how the one becomes the other. Reading follows
// Go's encoding/json: keys match in any case, null is absent, unknown keys are ignored, and a wrong
// type is an error in Go's words. Writing follows the `omitempty` habits of Docker's types, which
// the flags say.
#ifndef AGENT_ENGINE_FIELDS_H
#define AGENT_ENGINE_FIELDS_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/base/arena.h"
#include "proto/base/err.h"
#include "proto/base/json.h"

enum field_kind {
    FIELD_STRING,
    FIELD_BOOL,
    FIELD_INT, // any integer width; the value must fit
    FIELD_FLOAT,
    FIELD_ENUM,     // sub: struct field_names
    FIELD_DURATION, // google.Duration as nanoseconds
    FIELD_TIME,     // google.Timestamp as RFC 3339; written only
    FIELD_BYTES,    // base64
    FIELD_TEXT,     // bytes that are text (PEM)
    FIELD_STRINGS,  // repeated string
    FIELD_MAP,      // map<string, string>
    FIELD_OBJECT,   // sub: struct fields
    FIELD_OBJECTS,  // repeated; sub: struct fields
    FIELD_INLINE,   // a message whose rows stand in the same JSON object; sub: struct fields
    FIELD_GROUP,    // a JSON object whose rows stand in the same message; sub: struct fields
    FIELD_WRAPPED,  // google.BoolValue or Int64Value: absent and zero differ
    FIELD_HOOK,     // sub: struct field_hook, for what no other kind can say
    FIELD_CONST,    // always this text (`proto`); never read
};

enum field_flags {
    FIELD_ALWAYS = 1,     // written also when empty: "", 0, false, {}, or null for lists and maps
    FIELD_EMPTY = 2,      // with FIELD_ALWAYS: [] or {} instead of null for lists and maps
    FIELD_READ_ONLY = 4,  // never written
    FIELD_WRITE_ONLY = 8, // never read
    FIELD_NONZERO = 16,   // durations: 0 is left out also when it is there
    FIELD_NULL = 32       // objects: null when absent
};

struct field {
    const char *json;
    const char *proto;
    enum field_kind kind;
    unsigned flags;
    const void *sub;
};

struct fields {
    const char *go_type; // as Go's error texts name it
    const ProtobufCMessageDescriptor *type;
    const struct field *rows;
    size_t count;
    // What the rows' names turned out to be: each is looked up once, by the loop that all of
    // this runs on. FIELDS makes room for it.
    const ProtobufCFieldDescriptor **found;
};

// Both get the message that the row's table is about; `value` is the JSON value of the row's key.
struct field_hook {
    void (*write)(const char *key, const void *message, struct json_out *out);
    int (*read)(const json_t *value, void *message, struct arena *arena, struct err *err);
};

// The texts of an enum. `complaint` has one %s for a text that is none of them.
struct field_names {
    const char *complaint;
    const struct field_name {
        int value;
        const char *text;
    } * rows;
    size_t count;
    int fallback; // for "" and absent
};

// At file scope only.
#define FIELDS(name_, go_, type_, rows_)                                                           \
    const struct fields name_ = {                                                                  \
        go_, &type_, rows_, sizeof(rows_) / sizeof((rows_)[0]),                                    \
        (const ProtobufCFieldDescriptor * [sizeof(rows_) / sizeof((rows_)[0])]){NULL}}
#define FIELD_NAMES(name_, complaint_, fallback_, rows_)                                           \
    const struct field_names name_ = {complaint_, rows_, sizeof(rows_) / sizeof((rows_)[0]),       \
                                      fallback_}

// Writes the message's members into the JSON object that is open in `out`.
void fields_write(const struct fields *fields, const void *message, struct json_out *out);

// Fills the settled message (wire_new of the table's type, in `arena`) from a JSON object.
// INVALID_ARGUMENT with Go's words. `message` holds pointers into the arena only.
int fields_read(const struct fields *fields, const json_t *json, void *message, struct arena *arena,
                struct err *err);

// Whether fields_read failed at what Go's decoder looks at: types and base64, not values.
bool fields_is_decoding(const struct err *err);

// The text of an enum value; "" for an unknown one. And the other way; false when unknown.
const char *field_name_text(const struct field_names *names, int value);
bool field_name_value(const struct field_names *names, const char *text, int *out);

// As config_member (agent/crate/config.h): shapes are checked and members read by one rule.
json_t *fields_member(const json_t *object, const char *name);

#endif
