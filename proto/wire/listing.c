#include "proto/wire/listing.h"

#include <string.h>

#include "proto/wire/raw.h"

// Every List response has its objects there.
#define FIELD_OBJECT 1

// Far from what SwarmKit uses (two digits) and below 2048, where a tag takes two bytes.
enum { FIELD_MARK = 1001, FIELD_BIRTH = 1002, FIELD_HELD = 1003 };

// Inside of the mark.
enum { MARK_STORE = 1, MARK_EDIT = 2, MARK_SAME = 3 };

enum { KIND_VARINT = 0, KIND_BYTES = 2 };

#define MARK_BYTES_MAX 64

static void put_mark(struct buf *out, struct listing_mark mark, bool same)
{
    struct buf inside;
    buf_init(&inside, MARK_BYTES_MAX);
    raw_put_uint(&inside, MARK_STORE, mark.store);
    raw_put_uint(&inside, MARK_EDIT, mark.edit);
    raw_put_uint(&inside, MARK_SAME, same);
    raw_put_message(out, FIELD_MARK, inside.data, inside.len);
    buf_fini(&inside);
}

static struct listing_mark mark_of(const void *bytes, size_t size)
{
    return (struct listing_mark){.store = raw_uint(bytes, size, MARK_STORE),
                                 .edit = raw_uint(bytes, size, MARK_EDIT)};
}

void listing_ask(struct buf *request, struct listing_mark held)
{
    put_mark(request, held, false);
}

bool listing_asked(const ProtobufCMessage *request, struct listing_mark *held)
{
    *held = (struct listing_mark){0};
    for (unsigned i = 0; i < request->n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *field = &request->unknown_fields[i];
        if (field->tag != FIELD_MARK || field->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
            continue;
        // The decoder keeps the length with the contents.
        struct cursor cursor = cursor_of(field->data, field->len);
        uint64_t size = cursor_uvarint(&cursor);
        if (!cursor_ok(&cursor) || size != cursor_left(&cursor))
            return false;
        *held = mark_of(cursor.at, (size_t)size);
        return true;
    }
    return false;
}

void listing_put_mark(struct buf *answer, struct listing_mark now, bool same)
{
    put_mark(answer, now, same);
}

void listing_put_object(struct buf *answer, uint64_t birth, const void *bytes, size_t size)
{
    raw_put_uint(answer, FIELD_BIRTH, birth);
    raw_put_message(answer, FIELD_OBJECT, bytes, size);
}

void listing_put_held(struct buf *answer, const char *id)
{
    raw_put_text(answer, FIELD_HELD, id);
}

void listing_read(struct listing_reader *reader, const void *bytes, size_t size)
{
    *reader = (struct listing_reader){.cursor = cursor_of(bytes, size)};
    struct cursor cursor = reader->cursor;
    struct raw field;
    if (!raw_next(&cursor, &field) || field.number != FIELD_MARK || field.kind != KIND_BYTES)
        return;
    reader->mark = mark_of(field.bytes, field.size);
    reader->same = raw_uint(field.bytes, field.size, MARK_SAME) != 0;
    reader->cursor = cursor;
}

bool listing_next(struct listing_reader *reader, struct listing_item *item)
{
    struct raw field;
    *item = (struct listing_item){0};
    while (raw_next(&reader->cursor, &field)) {
        if (field.number == FIELD_BIRTH && field.kind == KIND_VARINT) {
            item->birth = field.value;
        } else if ((field.number == FIELD_OBJECT || field.number == FIELD_HELD) &&
                   field.kind == KIND_BYTES) {
            item->bytes = field.bytes;
            item->size = field.size;
            item->held = field.number == FIELD_HELD;
            return true;
        }
    }
    return false;
}
