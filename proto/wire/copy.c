// wire_copy: a deep copy by descriptor.
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/field.h"
#include "proto/wire/wire.h"

static void *duplicate(const void *bytes, size_t size, struct arena *arena)
{
    return arena ? arena_memdup(arena, bytes, size) : mem_dup(bytes, size);
}

// The struct was copied as it is; this replaces one value's pointer by a copy of what it points at.
// The shared empty string, which is the default value, is never freed and stays.
static bool copy_value(const ProtobufCFieldDescriptor *field, void *value, struct arena *arena)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING: {
        const char **text = value;
        if (!*text || *text == field->default_value)
            return true;
        *text = duplicate(*text, strlen(*text) + 1, arena);
        return *text != NULL;
    }
    case PROTOBUF_C_TYPE_BYTES: {
        ProtobufCBinaryData *bytes = value;
        if (!bytes->data || bytes->len == 0) {
            *bytes = (ProtobufCBinaryData){0};
            return true;
        }
        bytes->data = duplicate(bytes->data, bytes->len, arena);
        return bytes->data != NULL;
    }
    case PROTOBUF_C_TYPE_MESSAGE: {
        void **inner = value;
        if (!*inner)
            return true;
        *inner = wire_copy(*inner, arena);
        return *inner != NULL;
    }
    default:
        return true;
    }
}

static bool copy_list(const ProtobufCFieldDescriptor *field, void *message, struct arena *arena)
{
    size_t count = field_count(field, message);
    char **list = field_at(field, message);
    if (count == 0) {
        *list = NULL;
        return true;
    }
    size_t size = field_value_size(field);
    *list = duplicate(*list, count * size, arena);
    if (!*list)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!copy_value(field, *list + i * size, arena))
            return false;
    return true;
}

static bool copy_unknown(ProtobufCMessage *message, struct arena *arena)
{
    if (message->n_unknown_fields == 0) {
        message->unknown_fields = NULL;
        return true;
    }
    size_t size = message->n_unknown_fields * sizeof(ProtobufCMessageUnknownField);
    message->unknown_fields = duplicate(message->unknown_fields, size, arena);
    if (!message->unknown_fields)
        return false;
    for (unsigned i = 0; i < message->n_unknown_fields; i++) {
        ProtobufCMessageUnknownField *field = &message->unknown_fields[i];
        field->data = duplicate(field->data, field->len, arena);
        if (!field->data)
            return false;
    }
    return true;
}

void *wire_copy(const void *message, struct arena *arena)
{
    const wire_type *type = ((const ProtobufCMessage *)message)->descriptor;
    CHECK(type->magic == PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC);
    ProtobufCMessage *copy = duplicate(message, type->sizeof_message, arena);
    if (!copy)
        return NULL;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        if (!field_is_live(field, copy))
            continue;
        bool ok = field_is_repeated(field) ? copy_list(field, copy, arena)
                                           : copy_value(field, field_at(field, copy), arena);
        if (!ok)
            return NULL; // only an arena refuses, and it gives the pieces back
    }
    return copy_unknown(copy, arena) ? copy : NULL;
}
