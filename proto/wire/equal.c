// wire_equal: deep equality by descriptor, as SwarmKit's "deeply equal" means it.
#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/field.h"
#include "proto/wire/settle.h"
#include "proto/wire/wire.h"

static bool message_is_empty(const ProtobufCMessage *message)
{
    // Not wire_size: an empty message with settled, empty parts is still empty.
    ProtobufCMessage *empty = wire_new(message->descriptor, NULL);
    bool same = wire_equal(message, empty);
    wire_free(empty);
    return same;
}

static bool equal_bytes(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static bool equal_value(const ProtobufCFieldDescriptor *field, const void *a, const void *b)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        return str_equal(*(const char *const *)a, *(const char *const *)b);
    case PROTOBUF_C_TYPE_BYTES:
        return equal_bytes(a, b);
    case PROTOBUF_C_TYPE_MESSAGE:
        return wire_equal(*(const void *const *)a, *(const void *const *)b);
    case PROTOBUF_C_TYPE_BOOL:
        return !*(const protobuf_c_boolean *)a == !*(const protobuf_c_boolean *)b;
    default:
        return memcmp(a, b, field_value_size(field)) == 0;
    }
}

// ---- maps ------------------------------------------------------------------------------------

struct row {
    const char *key;
    const ProtobufCMessage *entry;
    size_t position;
};

static int row_compare(const void *left, const void *right)
{
    const struct row *a = left;
    const struct row *b = right;
    int order = str_compare(a->key, b->key);
    if (order != 0)
        return order;
    return a->position < b->position ? -1 : a->position > b->position;
}

// The entries by key; of several with one key the last counts, as for every reader of the wire.
static struct row *sorted_rows(ProtobufCMessage *const *entries, size_t *count)
{
    struct row *rows = mem_alloc_array(*count, sizeof *rows);
    for (size_t i = 0; i < *count; i++) {
        const ProtobufCFieldDescriptor *key = &entries[i]->descriptor->fields[0];
        CHECK(key->type == PROTOBUF_C_TYPE_STRING);
        rows[i] = (struct row){.key = *(const char *const *)field_at(key, entries[i]),
                               .entry = entries[i],
                               .position = i};
    }
    if (*count > 1)
        qsort(rows, *count, sizeof *rows, row_compare);
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++)
        if (i + 1 == *count || !str_equal(rows[i].key, rows[i + 1].key))
            rows[kept++] = rows[i];
    *count = kept;
    return rows;
}

static bool equal_maps(ProtobufCMessage *const *a, size_t a_count, ProtobufCMessage *const *b,
                       size_t b_count)
{
    struct row *a_rows = sorted_rows(a, &a_count);
    struct row *b_rows = sorted_rows(b, &b_count);
    bool same = a_count == b_count;
    for (size_t i = 0; same && i < a_count; i++)
        same = wire_equal(a_rows[i].entry, b_rows[i].entry);
    free(a_rows);
    free(b_rows);
    return same;
}

// ---- fields ----------------------------------------------------------------------------------

static bool equal_lists(const ProtobufCFieldDescriptor *field, const void *a, const void *b)
{
    size_t a_count = field_count(field, a);
    size_t b_count = field_count(field, b);
    const char *a_list = *(char *const *)field_at(field, a);
    const char *b_list = *(char *const *)field_at(field, b);
    if (field->type == PROTOBUF_C_TYPE_MESSAGE && wire_type_is_map_entry(field->descriptor))
        return equal_maps((ProtobufCMessage *const *)(const void *)a_list, a_count,
                          (ProtobufCMessage *const *)(const void *)b_list, b_count);
    if (a_count != b_count)
        return false;
    size_t size = field_value_size(field);
    for (size_t i = 0; i < a_count; i++)
        if (!equal_value(field, a_list + i * size, b_list + i * size))
            return false;
    return true;
}

static bool equal_field(const ProtobufCFieldDescriptor *field, const void *a, const void *b)
{
    if (field_is_repeated(field))
        return equal_lists(field, a, b);
    if (field_is_live(field, a) != field_is_live(field, b))
        return false;
    if (!field_is_live(field, a))
        return true;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessage *one = field_message(field, a);
        const ProtobufCMessage *other = field_message(field, b);
        const wire_type *type = ((const ProtobufCMessage *)a)->descriptor;
        if (!one != !other && settle_never_null(type, field->id))
            return message_is_empty(one ? one : other);
    }
    // raftpb's has_ bits need no look: an absent scalar reads as its default.
    return equal_value(field, field_at(field, a), field_at(field, b));
}

static bool equal_unknown(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    if (a->n_unknown_fields != b->n_unknown_fields)
        return false;
    for (unsigned i = 0; i < a->n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *one = &a->unknown_fields[i];
        const ProtobufCMessageUnknownField *other = &b->unknown_fields[i];
        if (one->tag != other->tag || one->wire_type != other->wire_type ||
            one->len != other->len || memcmp(one->data, other->data, one->len) != 0)
            return false;
    }
    return true;
}

bool wire_equal(const void *a, const void *b)
{
    if (a == b)
        return true;
    if (!a || !b)
        return false;
    const wire_type *type = ((const ProtobufCMessage *)a)->descriptor;
    CHECK(type == ((const ProtobufCMessage *)b)->descriptor);
    for (unsigned i = 0; i < type->n_fields; i++)
        if (!equal_field(&type->fields[i], a, b))
            return false;
    return equal_unknown(a, b);
}
