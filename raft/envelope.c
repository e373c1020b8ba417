#include "raft/envelope.h"

#include <inttypes.h>

// Fields of docker.swarmkit.v1.Snapshot and the protobuf wire types.
enum { FIELD_VERSION = 1, FIELD_MEMBERSHIP = 2, FIELD_STORE = 3 };
enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static void put_part(struct buf *out, unsigned field, const uint8_t *bytes, size_t size)
{
    buf_put_uvarint(out, field << 3 | WIRE_BYTES);
    buf_put_uvarint(out, size);
    buf_put(out, bytes, size);
}

void envelope_put(const struct envelope *envelope, struct buf *out)
{
    // Version V0 is zero and therefore not written. Both parts are always there, even when empty.
    put_part(out, FIELD_MEMBERSHIP, envelope->members, envelope->members_size);
    put_part(out, FIELD_STORE, envelope->store, envelope->store_size);
}

// Steps over a field of a type we do not look into.
static void skip(struct cursor *cursor, unsigned type)
{
    switch (type) {
    case WIRE_VARINT:
        cursor_uvarint(cursor);
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
            cursor_bytes(cursor, (size_t)size);
        break;
    }
    default:
        cursor_fail(cursor);
    }
}

int envelope_get(const void *bytes, size_t size, struct envelope *envelope, struct err *err)
{
    *envelope = (struct envelope){0};
    struct cursor cursor = cursor_of(bytes, size);
    uint64_t version = 0;
    while (cursor_ok(&cursor) && cursor_left(&cursor) > 0) {
        uint64_t tag = cursor_uvarint(&cursor);
        unsigned type = tag & 7;
        if (tag >> 3 == FIELD_VERSION && type == WIRE_VARINT) {
            version = cursor_uvarint(&cursor);
        } else if ((tag >> 3 == FIELD_MEMBERSHIP || tag >> 3 == FIELD_STORE) &&
                   type == WIRE_BYTES) {
            uint64_t length = cursor_uvarint(&cursor);
            const uint8_t *part =
                length <= cursor_left(&cursor) ? cursor_bytes(&cursor, (size_t)length) : NULL;
            if (!part)
                cursor_fail(&cursor);
            else if (tag >> 3 == FIELD_STORE)
                envelope->store = part, envelope->store_size = (size_t)length;
            else
                envelope->members = part, envelope->members_size = (size_t)length;
        } else {
            skip(&cursor, type);
        }
    }
    if (!cursor_ok(&cursor))
        return err_set(err, ERR_INVALID_ARGUMENT, "snapshot data does not parse");
    if (version != 0)
        return err_set(err, ERR_UNIMPLEMENTED, "snapshot has version %" PRIu64 ", known is 0",
                       version);
    return 0;
}
