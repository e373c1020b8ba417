// The entry's bytes are read and written by hand, so that an object's own bytes go through as they
// are: no field that we do not know is lost, and nothing is packed twice.
#include "manager/store/inner.h"
#include "manager/store/tables.h"
#include "proto/base/check.h"
#include "proto/wire/raft.pb-c.h"

#define REQUEST_ACTION 2 // InternalRaftRequest.action
#define ACTION_KIND    1 // StoreAction.action

enum kind {
    KIND_CREATE = SWARM__STORE_ACTION_KIND__STORE_ACTION_CREATE,
    KIND_UPDATE = SWARM__STORE_ACTION_KIND__STORE_ACTION_UPDATE,
    KIND_REMOVE = SWARM__STORE_ACTION_KIND__STORE_ACTION_REMOVE,
};

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static size_t varint_size(uint64_t value)
{
    size_t size = 1;
    for (; value >= 0x80; value >>= 7)
        size++;
    return size;
}

// Bytes of a StoreAction's content: its kind (always two bytes) and its target.
static size_t action_body_size(enum object_type type, size_t object_bytes)
{
    return 2 + varint_size(tables[type].action_field << 3) + varint_size(object_bytes) +
           object_bytes;
}

size_t action_size(enum object_type type, size_t object_bytes)
{
    size_t body = action_body_size(type, object_bytes);
    return 1 + varint_size(body) + body;
}

void action_write(struct buf *out, enum watch_action action, const struct object *object)
{
    enum kind kind = action == WATCH_CREATE   ? KIND_CREATE
                     : action == WATCH_UPDATE ? KIND_UPDATE
                                              : KIND_REMOVE;
    size_t bytes;
    const uint8_t *packed = object_bytes(object, &bytes);
    enum object_type type = object_type(object);
    buf_put_u8(out, REQUEST_ACTION << 3 | WIRE_BYTES);
    buf_put_uvarint(out, action_body_size(type, bytes));
    buf_put_u8(out, ACTION_KIND << 3 | WIRE_VARINT);
    buf_put_u8(out, (uint8_t)kind);
    buf_put_uvarint(out, tables[type].action_field << 3 | WIRE_BYTES);
    buf_put_uvarint(out, bytes);
    buf_put(out, packed, bytes);
}

struct field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;      // WIRE_VARINT
    struct cursor bytes; // WIRE_BYTES
};

// The next field; false at the end, and (cursor bad) for what is no field.
static bool field_next(struct cursor *cursor, struct field *field)
{
    if (cursor_left(cursor) == 0)
        return false;
    uint64_t tag = cursor_uvarint(cursor);
    if (!cursor_ok(cursor) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX) {
        cursor_fail(cursor);
        return false;
    }
    field->number = (uint32_t)(tag >> 3);
    field->type = (enum wire_type)(tag & 7);
    switch (field->type) {
    case WIRE_VARINT:
        field->value = cursor_uvarint(cursor);
        break;
    case WIRE_FIXED64:
        cursor_bytes(cursor, 8);
        break;
    case WIRE_FIXED32:
        cursor_bytes(cursor, 4);
        break;
    case WIRE_BYTES: {
        uint64_t size = cursor_uvarint(cursor);
        if (size > cursor_left(cursor))
            cursor_fail(cursor);
        else
            field->bytes = cursor_sub(cursor, (size_t)size);
        break;
    }
    default:
        cursor_fail(cursor);
    }
    return cursor_ok(cursor);
}

static int action_apply(struct root *root, struct changes *changes, struct cursor cursor,
                        struct err *err)
{
    struct field field;
    uint64_t kind = 0;
    bool has_target = false;
    enum object_type type = OBJECT_TYPES;
    struct cursor target = cursor_of("", 0);
    while (field_next(&cursor, &field)) {
        enum object_type found;
        if (field.number == ACTION_KIND && field.type == WIRE_VARINT) {
            kind = field.value;
        } else if (field.type == WIRE_BYTES && table_of_action_field(field.number, &found)) {
            type = found;
            target = field.bytes;
            has_target = true;
        }
    }
    if (!cursor_ok(&cursor))
        return err_set(err, ERR_INVALID_ARGUMENT, "store action is broken");
    bool known = kind == KIND_CREATE || kind == KIND_UPDATE || kind == KIND_REMOVE;
    if (!has_target || !known)
        return err_set(err, ERR_UNKNOWN, "unrecognized action type");

    struct object *object = object_of_bytes(type, target.at, cursor_left(&target), err);
    if (!object)
        return -ERR_INVALID_ARGUMENT;
    if (kind == KIND_CREATE)
        return change_create(root, changes, object, err);
    if (kind == KIND_UPDATE)
        return change_update(root, changes, object, err);
    int rc = change_remove(root, changes, type, object_id(object), err);
    object_unref(object);
    return rc;
}

int actions_apply(struct root *root, struct changes *changes, const void *entry, size_t size,
                  struct err *err)
{
    struct cursor cursor = cursor_of(entry, size);
    struct field field;
    for (unsigned number = 0; field_next(&cursor, &field);) {
        if (field.number != REQUEST_ACTION || field.type != WIRE_BYTES)
            continue;
        if (action_apply(root, changes, field.bytes, err))
            return err_wrap(err, "action %u", number);
        number++;
    }
    if (!cursor_ok(&cursor))
        return err_set(err, ERR_INVALID_ARGUMENT, "entry is no raft request");
    return 0;
}
