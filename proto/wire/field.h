// Walking a message by its descriptor: where a field lies in the generated struct and how many
// values it has now. Shared by copying, comparing, settling and validating.
#ifndef PROTO_WIRE_FIELD_H
#define PROTO_WIRE_FIELD_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline void *field_at(const ProtobufCFieldDescriptor *field, const void *message)
{
    return (char *)message + field->offset;
}

static inline bool field_is_repeated(const ProtobufCFieldDescriptor *field)
{
    return field->label == PROTOBUF_C_LABEL_REPEATED;
}

static inline bool field_is_oneof(const ProtobufCFieldDescriptor *field)
{
    return (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

// The has_ bit, the number of the oneof member that is set, or the length of a list.
static inline void *field_quantifier(const ProtobufCFieldDescriptor *field, const void *message)
{
    return (char *)message + field->quantifier_offset;
}

// True unless the field is a oneof's member that is not the one set.
static inline bool field_is_live(const ProtobufCFieldDescriptor *field, const void *message)
{
    return !field_is_oneof(field) ||
           *(const uint32_t *)field_quantifier(field, message) == field->id;
}

static inline size_t field_count(const ProtobufCFieldDescriptor *field, const void *message)
{
    return *(const size_t *)field_quantifier(field, message);
}

// The message, or NULL, of a field that is no list.
static inline ProtobufCMessage *field_message(const ProtobufCFieldDescriptor *field,
                                              const void *message)
{
    return *(ProtobufCMessage **)field_at(field, message);
}

// The bytes one value takes in the struct or in the array of a list.
size_t field_value_size(const ProtobufCFieldDescriptor *field);

// Calls `visit` for every message inside `message` (not for itself), fields in order, lists in
// order, one level deep. Stops at and returns the first result that is not 0.
int field_each_message(const void *message, int (*visit)(ProtobufCMessage *inner, void *context),
                       void *context);

#endif
