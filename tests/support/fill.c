#include "tests/support/fill.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/wire/field.h"

#define LIST_MAX 3

static char *random_text(struct rand *rand, struct arena *arena)
{
    char text[24];
    size_t length = 1 + rand_below(rand, sizeof text - 2);
    for (size_t i = 0; i < length; i++)
        text[i] = (char)rand_between(rand, ' ', '~');
    return arena_strndup(arena, text, length);
}

static bool fill_value(const ProtobufCFieldDescriptor *field, void *at, struct rand *rand,
                       struct arena *arena, unsigned depth)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        *(char **)at = random_text(rand, arena);
        return true;
    case PROTOBUF_C_TYPE_BYTES: {
        ProtobufCBinaryData *bytes = at;
        bytes->len = 1 + rand_below(rand, 40);
        bytes->data = arena_alloc(arena, bytes->len);
        rand_bytes(rand, bytes->data, bytes->len);
        return true;
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        if (depth <= 1)
            return false;
        *(void **)at = fill_message(field->descriptor, rand, arena, depth - 1);
        return true;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)at = 1;
        return true;
    case PROTOBUF_C_TYPE_FLOAT:
        *(float *)at = (float)rand_unit(rand);
        return true;
    case PROTOBUF_C_TYPE_ENUM: {
        const ProtobufCEnumDescriptor *values = field->descriptor;
        *(int *)at = values->values[rand_below(rand, values->n_values)].value;
        return true;
    }
    default:
        rand_bytes(rand, at, field_value_size(field));
        return true;
    }
}

static void fill_list(const ProtobufCFieldDescriptor *field, void *message, struct rand *rand,
                      struct arena *arena, unsigned depth)
{
    size_t size = field_value_size(field);
    size_t wanted = 1 + rand_below(rand, LIST_MAX);
    char *list = arena_alloc_array(arena, wanted, size);
    size_t count = 0;
    while (count < wanted && fill_value(field, list + count * size, rand, arena, depth))
        count++;
    *(char **)field_at(field, message) = count ? list : NULL;
    *(size_t *)field_quantifier(field, message) = count;
}

static void fill_field(const ProtobufCFieldDescriptor *field, void *message, struct rand *rand,
                       struct arena *arena, unsigned depth)
{
    if (field_is_repeated(field)) {
        fill_list(field, message, rand, arena, depth);
    } else if (field_is_oneof(field)) {
        uint32_t *which = field_quantifier(field, message);
        if (*which == 0 && fill_value(field, field_at(field, message), rand, arena, depth))
            *which = field->id;
    } else {
        bool set = fill_value(field, field_at(field, message), rand, arena, depth);
        if (set && field->label == PROTOBUF_C_LABEL_OPTIONAL && field->quantifier_offset != 0)
            *(protobuf_c_boolean *)field_quantifier(field, message) = 1;
    }
}

static void add_unknown(ProtobufCMessage *message, struct rand *rand, struct arena *arena)
{
    ProtobufCMessageUnknownField *unknown = ARENA_NEW(arena, ProtobufCMessageUnknownField);
    unknown->tag = 5000 + (uint32_t)rand_below(rand, 1000);
    unknown->wire_type = PROTOBUF_C_WIRE_TYPE_64BIT;
    unknown->len = 8;
    unknown->data = arena_alloc(arena, unknown->len);
    rand_bytes(rand, unknown->data, unknown->len);
    message->n_unknown_fields = 1;
    message->unknown_fields = unknown;
}

void *fill_message(const wire_type *type, struct rand *rand, struct arena *arena, unsigned depth)
{
    ProtobufCMessage *message = arena_alloc(arena, type->sizeof_message);
    CHECK(message);
    protobuf_c_message_init(type, message);
    // A map's key and value are both written by everybody, always.
    bool all = wire_type_is_map_entry(type);
    for (unsigned i = 0; i < type->n_fields; i++)
        if (all || rand_chance(rand, 1, 2))
            fill_field(&type->fields[i], message, rand, arena, depth);
    if (!all && rand_chance(rand, 1, 4))
        add_unknown(message, rand, arena);
    return message;
}

static int reverse_inner(ProtobufCMessage *inner, void *context)
{
    (void)context;
    fill_reverse_maps(inner);
    return 0;
}

void fill_reverse_maps(void *message)
{
    const wire_type *type = ((ProtobufCMessage *)message)->descriptor;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        if (!field_is_repeated(field) || field->type != PROTOBUF_C_TYPE_MESSAGE ||
            !wire_type_is_map_entry(field->descriptor))
            continue;
        size_t count = field_count(field, message);
        ProtobufCMessage **list = *(ProtobufCMessage ***)field_at(field, message);
        for (size_t at = 0; at < count / 2; at++) {
            ProtobufCMessage *moved = list[at];
            list[at] = list[count - 1 - at];
            list[count - 1 - at] = moved;
        }
    }
    field_each_message(message, reverse_inner, NULL);
}
