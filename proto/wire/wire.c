#include "proto/wire/wire.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/scan.h"

static void *allocate(void *context, size_t size)
{
    struct arena *arena = context;
    return arena ? arena_alloc(arena, size) : mem_alloc(size);
}

static void release(void *context, void *pointer)
{
    if (!context) // an arena gives everything back at once
        free(pointer);
}

void *wire_unpack(const wire_type *type, const void *bytes, size_t size,
                  const struct wire_limits *limits, struct arena *arena, struct err *err)
{
    CHECK(type->magic == PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC);
    CHECK(bytes || size == 0);
    if (scan_message(type, bytes, size, limits, err) != 0)
        return NULL;
    ProtobufCAllocator allocator = {.alloc = allocate, .free = release, .allocator_data = arena};
    // The decoder wants a pointer even for nothing.
    const uint8_t *data = bytes ? bytes : (const uint8_t *)"";
    ProtobufCMessage *message = protobuf_c_message_unpack(type, &allocator, size, data);
    if (message && wire_settle(message, arena))
        return message;
    if (arena && arena_overflowed(arena))
        err_set(err, ERR_RESOURCE_EXHAUSTED, "%s of %zu bytes needs more than %zu bytes of memory",
                type->short_name, size, arena->limit_bytes);
    else
        err_set(err, ERR_INVALID_ARGUMENT, "not a %s", type->short_name);
    return NULL;
}

void wire_free(void *message)
{
    if (message)
        protobuf_c_message_free_unpacked(message, NULL);
}

void *wire_new(const wire_type *type, struct arena *arena)
{
    ProtobufCMessage *message = allocate(arena, type->sizeof_message);
    if (!message)
        return NULL;
    protobuf_c_message_init(type, message);
    return wire_settle(message, arena) ? message : NULL;
}

size_t wire_size(const void *message)
{
    return protobuf_c_message_get_packed_size(message);
}

int wire_pack(const void *message, struct buf *out, struct err *err)
{
    const ProtobufCMessage *base = message;
    size_t size = wire_size(message);
    if (size == 0)
        return 0;
    uint8_t *room = buf_extend(out, size);
    if (!room)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "%s of %zu bytes does not fit into %zu",
                       base->descriptor->short_name, size, out->limit);
    size_t written = protobuf_c_message_pack(message, room);
    CHECK(written == size);
    return 0;
}

uint8_t *wire_pack_arena(const void *message, struct arena *arena, size_t *size)
{
    *size = wire_size(message);
    uint8_t *room = arena_alloc(arena, *size);
    if (!room)
        return NULL;
    size_t written = protobuf_c_message_pack(message, room);
    CHECK(written == *size);
    return room;
}

bool wire_type_is_map_entry(const wire_type *type)
{
    // The descriptors do not tell, but protoc fixes the shape: two fields, key and value, in a type
    // named after the field with "Entry" behind it. No message of ours has this shape by chance;
    // a test counts them.
    return type->n_fields == 2 && str_ends(type->short_name, "Entry") &&
           str_equal(type->fields[0].name, "key") && str_equal(type->fields[1].name, "value");
}
