#include "manager/store/snapshot.h"

#include "manager/store/inner.h"
#include "manager/store/tables.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

// A field of StoreSnapshot is a tag, the length and the object: two varints at most.
#define FIELD_HEADER_BYTES_MAX 20
#define WIRE_BYTES             2

static size_t varint_size(uint64_t value)
{
    size_t size = 1;
    for (; value >= 0x80; value >>= 7)
        size++;
    return size;
}

size_t snapshot_size(struct view view)
{
    size_t size = 0;
    for (unsigned type = 0; type < OBJECT_TYPES; type++)
        VIEW_EACH (object, view, (enum object_type)type, BY_ALL)
            size += 1 + varint_size(object->packed_bytes) + object->packed_bytes;
    return size;
}

// ---- writing -----------------------------------------------------------------------------------

void snapshot_writer_init(struct snapshot_writer *writer, struct view view)
{
    *writer = (struct snapshot_writer){.view = view, .type = OBJECT_NODE};
    view_find(&writer->iter, view, OBJECT_NODE, BY_ALL);
}

static const struct object *writer_object(struct snapshot_writer *writer)
{
    while (!writer->object && writer->type < OBJECT_TYPES) {
        writer->object = view_next(&writer->iter);
        writer->done = 0;
        if (!writer->object && ++writer->type < OBJECT_TYPES)
            view_find(&writer->iter, writer->view, writer->type, BY_ALL);
    }
    return writer->object;
}

static size_t field_header(const struct object *object, uint8_t out[FIELD_HEADER_BYTES_MAX])
{
    size_t len = 0;
    out[len++] = (uint8_t)(tables[object->type].snapshot_field << 3 | WIRE_BYTES);
    uint64_t value = object->packed_bytes;
    for (; value >= 0x80; value >>= 7)
        out[len++] = (uint8_t)(value | 0x80);
    out[len++] = (uint8_t)value;
    return len;
}

size_t snapshot_write(struct snapshot_writer *writer, void *out, size_t size)
{
    size_t written = 0;
    const struct object *object;
    while (written < size && (object = writer_object(writer))) {
        uint8_t header[FIELD_HEADER_BYTES_MAX];
        size_t header_bytes = field_header(object, header);
        const uint8_t *from;
        size_t left;
        if (writer->done < header_bytes) {
            from = header + writer->done;
            left = header_bytes - writer->done;
        } else {
            from = object->packed + (writer->done - header_bytes);
            left = header_bytes + object->packed_bytes - writer->done;
        }
        size_t now = left < size - written ? left : size - written;
        memcpy((uint8_t *)out + written, from, now);
        written += now;
        writer->done += now;
        if (writer->done == header_bytes + object->packed_bytes)
            writer->object = NULL;
    }
    return written;
}

// ---- reading -----------------------------------------------------------------------------------

struct restore {
    struct store *store;
    struct root *root;
    struct buf partial; // the beginning of a field that is not all here yet
    uint64_t skip;      // bytes left of a field nobody knows
};

struct restore *restore_begin(struct store *store)
{
    MAGIC_CHECK(store, STORE_MAGIC);
    CHECK(!store->open);
    CHECK(!store->restoring);
    struct err err = ERR_INIT;
    err_set(&err, ERR_UNKNOWN, STORE_ERR_LOST);
    store_abandon(store, &err);
    struct restore *restore = MEM_NEW(struct restore);
    restore->store = store;
    restore->root = roots_begin(&store->roots);
    root_clear(restore->root);
    buf_init(&restore->partial, OBJECT_BYTES_MAX + FIELD_HEADER_BYTES_MAX);
    store->restoring = restore;
    return restore;
}

static void restore_free(struct restore *restore)
{
    restore->store->restoring = NULL;
    buf_fini(&restore->partial);
    free(restore);
}

void restore_cancel(struct restore *restore)
{
    if (!restore)
        return;
    roots_abort(&restore->store->roots, restore->root);
    restore_free(restore);
}

int restore_object(struct restore *restore, enum object_type type, const void *bytes, size_t size,
                   struct err *err)
{
    struct object *object = object_of_bytes(type, bytes, size, err);
    if (!object)
        return -ERR_INVALID_ARGUMENT;
    if (view_get(view_of(restore->root), type, object_id(object))) {
        err_set(err, ERR_INVALID_ARGUMENT, "snapshot holds %s %s twice", object_type_name(type),
                object_id(object));
        object_unref(object);
        return -ERR_INVALID_ARGUMENT;
    }
    root_put(restore->root, type, object, NULL);
    return 0;
}

enum step { STEP_MORE, STEP_DONE, STEP_BROKEN };

// Takes one field, or its beginning, off the front of `cursor`. STEP_MORE: it is not all there, and
// the cursor stays.
static enum step restore_field(struct restore *restore, struct cursor *cursor, struct err *err)
{
    struct cursor at = *cursor;
    uint64_t tag = cursor_uvarint(&at);
    uint64_t size = cursor_ok(&at) ? cursor_uvarint(&at) : 0;
    if (!cursor_ok(&at))
        return cursor_left(cursor) < FIELD_HEADER_BYTES_MAX ? STEP_MORE : STEP_BROKEN;
    enum object_type type;
    if (tag == 0 || (tag & 7) != WIRE_BYTES)
        return STEP_BROKEN; // StoreSnapshot has, and will have, only messages
    if (tag >> 3 > UINT32_MAX || !table_of_snapshot_field((uint32_t)(tag >> 3), &type)) {
        restore->skip = size;
        *cursor = at;
        return STEP_DONE;
    }
    if (size > OBJECT_BYTES_MAX)
        return STEP_BROKEN;
    if (cursor_left(&at) < size)
        return STEP_MORE;
    const uint8_t *bytes = cursor_bytes(&at, (size_t)size);
    if (restore_object(restore, type, bytes, (size_t)size, err))
        return STEP_BROKEN;
    *cursor = at;
    return STEP_DONE;
}

int restore_feed(struct restore *restore, const void *bytes, size_t size, struct err *err)
{
    struct err why = ERR_INIT;
    struct cursor input = cursor_of(bytes, size);
    while (cursor_left(&input) > 0) {
        if (restore->skip > 0) {
            size_t left = cursor_left(&input);
            size_t now = restore->skip < left ? (size_t)restore->skip : left;
            cursor_bytes(&input, now);
            restore->skip -= now;
            continue;
        }
        // Most fields lie wholly in the input; only one across its end goes through `partial`.
        enum step step;
        if (restore->partial.len == 0) {
            step = restore_field(restore, &input, &why);
            if (step == STEP_MORE)
                buf_put(&restore->partial, input.at, cursor_left(&input));
        } else {
            size_t room = restore->partial.limit - restore->partial.len;
            size_t left = cursor_left(&input);
            size_t now = left < room ? left : room;
            size_t before = restore->partial.len;
            buf_put(&restore->partial, input.at, now);
            struct cursor joined = cursor_of(restore->partial.data, restore->partial.len);
            step = restore_field(restore, &joined, &why);
            size_t used = restore->partial.len - cursor_left(&joined);
            if (step == STEP_DONE) {
                CHECK(used >= before);
                cursor_bytes(&input, used - before);
                buf_clear(&restore->partial);
                continue;
            }
        }
        if (step == STEP_BROKEN)
            return why.code ? err_copy(err, &why)
                            : err_set(err, ERR_INVALID_ARGUMENT, "bytes are no store snapshot");
        if (step == STEP_MORE)
            break;
    }
    return 0;
}

// What watchers see: the difference, type by type, both sides in order of id.
static void restore_difference(const struct restore *restore, struct changes *changes)
{
    for (unsigned i = 0; i < OBJECT_TYPES; i++) {
        enum object_type type = (enum object_type)i;
        struct view_iter old = view_found(view_of(restore->store->roots.committed), type, BY_ALL);
        struct view_iter new = view_found(view_of(restore->root), type, BY_ALL);
        const struct object *was = view_next(&old);
        const struct object *now = view_next(&new);
        while (was || now) {
            int order = !was ? 1 : !now ? -1 : strcmp(was->id, now->id);
            if (order < 0) {
                changes_add(changes, WATCH_REMOVE, was, NULL);
            } else if (order > 0) {
                changes_add(changes, WATCH_CREATE, now, NULL);
            } else if (was->packed_bytes != now->packed_bytes ||
                       memcmp(was->packed, now->packed, now->packed_bytes) != 0) {
                changes_add(changes, WATCH_UPDATE, now, was);
            }
            if (order <= 0)
                was = view_next(&old);
            if (order >= 0)
                now = view_next(&new);
        }
    }
}

int restore_finish(struct restore *restore, uint64_t index, struct err *err)
{
    struct store *store = restore->store;
    if (restore->partial.len > 0 || restore->skip > 0) {
        restore_cancel(restore);
        return err_set(err, ERR_INVALID_ARGUMENT, "store snapshot ends in the middle");
    }
    struct changes changes = {.count = 0};
    restore_difference(restore, &changes);
    struct root *root = restore->root;
    restore_free(restore);
    store_publish(store, root, &changes, index);
    watch_forget(store, index);
    return 0;
}
