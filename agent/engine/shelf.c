#include "agent/engine/shelf.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"

#define JSON_BYTES_MAX    ((size_t)16 << 20)  // of one object; it has at most 1.5 MiB packed
#define OBJECT_BYTES_HELD ((size_t)256 << 20) // of one object's decoded tree

struct shelf_item {
    unsigned refs;
    uint32_t id_bytes;
    uint32_t json_bytes;
    uint64_t birth; // 0: not told
    const char *tag;
    char text[]; // the id, a NUL, the JSON
};

struct shelf {
    unsigned refs;
    struct listing_mark mark;
    size_t count;
    size_t cap;
    size_t bytes;
    struct shelf_item **items;
};

// ---- items -------------------------------------------------------------------------------------

static void item_unref(struct shelf_item *item)
{
    CHECK(item->refs > 0);
    if (--item->refs == 0)
        free(item);
}

const char *shelf_item_id(const struct shelf_item *item)
{
    return item->text;
}

const char *shelf_item_tag(const struct shelf_item *item)
{
    return item->tag;
}

const char *shelf_item_json(const struct shelf_item *item, size_t *size)
{
    *size = item->json_bytes;
    return item->text + item->id_bytes + 1;
}

static struct shelf_item *item_new(const struct shelf_kind *kind, const void *object,
                                   const char *id, uint64_t birth, struct buf *scratch)
{
    struct json_out out;
    buf_clear(scratch);
    json_out_init(&out, scratch);
    json_out_object(&out, NULL);
    fields_write(kind->fields, object, &out);
    json_out_end(&out);
    if (!json_out_done(&out))
        return NULL;
    size_t id_bytes = strlen(id);
    struct shelf_item *item = malloc(sizeof *item + id_bytes + 1 + scratch->len);
    CHECK(item);
    *item = (struct shelf_item){.refs = 1,
                                .id_bytes = (uint32_t)id_bytes,
                                .json_bytes = (uint32_t)scratch->len,
                                .birth = birth,
                                .tag = kind->tag ? kind->tag(object) : NULL};
    memcpy(item->text, id, id_bytes + 1);
    memcpy(item->text + id_bytes + 1, scratch->data, scratch->len);
    return item;
}

// ---- shelves -----------------------------------------------------------------------------------

static struct shelf *shelf_new(void)
{
    struct shelf *shelf = MEM_NEW(struct shelf);
    shelf->refs = 1;
    return shelf;
}

struct shelf *shelf_ref(struct shelf *shelf)
{
    shelf->refs++;
    return shelf;
}

void shelf_unref(struct shelf *shelf)
{
    if (!shelf)
        return;
    CHECK(shelf->refs > 0);
    if (--shelf->refs > 0)
        return;
    for (size_t i = 0; i < shelf->count; i++)
        item_unref(shelf->items[i]);
    free(shelf->items);
    free(shelf);
}

// Takes the caller's count of the item over.
static void shelf_add(struct shelf *shelf, struct shelf_item *item)
{
    if (shelf->count == shelf->cap) {
        shelf->cap = shelf->cap ? 2 * shelf->cap : 16;
        shelf->items = mem_realloc(shelf->items, shelf->cap * sizeof(struct shelf_item *));
    }
    shelf->items[shelf->count++] = item;
    shelf->bytes += item->json_bytes;
}

struct listing_mark shelf_mark(const struct shelf *shelf)
{
    return shelf->mark;
}

size_t shelf_count(const struct shelf *shelf)
{
    return shelf->count;
}

size_t shelf_bytes(const struct shelf *shelf)
{
    return shelf->bytes;
}

const struct shelf_item *shelf_at(const struct shelf *shelf, size_t index)
{
    CHECK(index < shelf->count);
    return shelf->items[index];
}

static int compare(const struct shelf_item *item, const char *id, size_t size)
{
    size_t common = size < item->id_bytes ? size : item->id_bytes;
    int order = memcmp(item->text, id, common);
    return order ? order : (item->id_bytes > common) - (size > common);
}

// Finds items by id. Whole lists come in the order of ids, so the next is mostly the one after the
// last.
struct finder {
    const struct shelf *shelf; // NULL: finds nothing
    size_t next;
};

static struct shelf_item *find(struct finder *finder, const char *id, size_t size)
{
    const struct shelf *shelf = finder->shelf;
    if (!shelf)
        return NULL;
    if (finder->next < shelf->count && compare(shelf->items[finder->next], id, size) == 0)
        return shelf->items[finder->next++];
    size_t low = 0, high = shelf->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(shelf->items[middle], id, size);
        if (order == 0) {
            finder->next = middle + 1;
            return shelf->items[middle];
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

// ---- reading -----------------------------------------------------------------------------------

struct reading {
    const struct shelf_kind *kind;
    struct finder held;
    struct finder newest; // of the same store
    bool sorted;
    struct buf scratch;
};

static struct shelf_item *item_of_bytes(struct reading *reading, const struct listing_item *from,
                                        struct err *err)
{
    static const struct wire_limits limits = {
        .bytes = 16 << 20, .fields = 1 << 22, .depth = WIRE_DEPTH_MAX};
    const wire_type *type = reading->kind->fields->type;
    struct arena arena;
    arena_init(&arena, OBJECT_BYTES_HELD);
    struct shelf_item *item = NULL;
    const void *object = wire_unpack(type, from->bytes, from->size, &limits, &arena, err);
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(type, "id");
    CHECK(field);
    const char *id = object ? *(char *const *)((const char *)object + field->offset) : NULL;
    // Somebody asked for the same while this was on its way?
    if (id && from->birth)
        item = find(&reading->newest, id, strlen(id));
    if (item && item->birth == from->birth)
        item->refs++;
    else if (id)
        item = item_new(reading->kind, object, id, from->birth, &reading->scratch);
    if (id && !item)
        err_set(err, ERR_RESOURCE_EXHAUSTED, "%s %.100s is too large to be shown", type->short_name,
                id);
    arena_fini(&arena);
    return item;
}

static int read_items(struct reading *reading, struct listing_reader *from, struct shelf *shelf,
                      struct err *err)
{
    struct listing_item next;
    while (listing_next(from, &next)) {
        struct shelf_item *item;
        if (next.held) {
            item = find(&reading->held, next.bytes, next.size);
            if (!item)
                return err_set(err, ERR_INTERNAL, "a list refers to what is not held");
            item->refs++;
        } else {
            struct err why = ERR_INIT;
            item = item_of_bytes(reading, &next, &why);
            if (!item)
                return err_copy(err, &why);
        }
        if (shelf->count > 0 &&
            compare(shelf->items[shelf->count - 1], item->text, item->id_bytes) >= 0)
            reading->sorted = false;
        if (item->birth == 0)
            reading->sorted = false;
        shelf_add(shelf, item);
    }
    if (!cursor_ok(&from->cursor))
        return err_set(err, ERR_INTERNAL, "not a list");
    return 0;
}

int shelf_read(const struct shelf_kind *kind, struct shelf *held, const struct shelf *newest,
               bool whole, const void *bytes, size_t size, struct shelf **out, struct err *err)
{
    struct listing_reader from;
    listing_read(&from, bytes, size);
    *out = NULL;
    if (held && held->mark.store != from.mark.store)
        held = NULL;
    if (newest && newest->mark.store != from.mark.store)
        newest = NULL;
    if (from.same) {
        if (!held || !whole)
            return err_set(err, ERR_INTERNAL, "a list is the same as one that is not held");
        *out = shelf_ref(held);
        return 0;
    }
    struct reading reading = {
        .kind = kind, .held.shelf = held, .newest.shelf = newest, .sorted = true};
    buf_init(&reading.scratch, JSON_BYTES_MAX);
    struct shelf *shelf = shelf_new();
    int result = read_items(&reading, &from, shelf, err);
    if (result == 0 && whole && reading.sorted)
        shelf->mark = from.mark;
    buf_fini(&reading.scratch);
    if (result == 0)
        *out = shelf;
    else
        shelf_unref(shelf);
    return result;
}
