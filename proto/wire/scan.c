#include "proto/wire/scan.h"

#include <string.h>

#include "proto/base/check.h"

// The wire types of the protobuf encoding. 3 and 4 open and close groups, which nobody uses.
enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

#define FIELD_NUMBER_MAX ((UINT32_C(1) << 29) - 1)

// One message that is being looked at; its type is NULL inside of what is not ours to look into.
struct level {
    const wire_type *type;
    struct cursor rest;
};

struct scan {
    const struct wire_limits *limits;
    struct level levels[WIRE_DEPTH_MAX];
    unsigned depth; // levels in use
    size_t fields;
};

static const ProtobufCFieldDescriptor *field_of(const wire_type *type, uint32_t number)
{
    return protobuf_c_message_descriptor_get_field(type, number);
}

// How many values a packed list of `size` bytes holds at most.
static size_t packed_count_max(const ProtobufCFieldDescriptor *field, size_t size)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return size / 4;
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return size / 8;
    default:
        return size; // varints
    }
}

// A varint; nearly all of them have one byte, and a scan reads little else.
static inline uint64_t varint(struct cursor *rest)
{
    if (rest->at < rest->end && *rest->at < 0x80)
        return *rest->at++;
    return cursor_uvarint(rest);
}

static int count_fields(struct scan *scan, size_t count, struct err *err)
{
    if (count > scan->limits->fields - scan->fields)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "message has more than %zu fields",
                       scan->limits->fields);
    scan->fields += count;
    return 0;
}

static int enter(struct scan *scan, const wire_type *type, struct cursor body, struct err *err)
{
    if (scan->depth >= scan->limits->depth)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "message is nested deeper than %u",
                       scan->limits->depth);
    scan->levels[scan->depth++] = (struct level){.type = type, .rest = body};
    return 0;
}

// What a length-delimited field holds. The body is checked to lie inside its message.
static int scan_body(struct scan *scan, const wire_type *type, uint32_t number, struct cursor body,
                     struct err *err)
{
    const ProtobufCFieldDescriptor *field = field_of(type, number);
    if (!field)
        return 0; // kept as it is
    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return enter(scan, field->descriptor, body, err);
    case PROTOBUF_C_TYPE_STRING:
        if (!scan->limits->nul_in_texts && memchr(body.at, 0, cursor_left(&body)))
            return err_set(err, ERR_INVALID_ARGUMENT, "%s.%s: text holds a NUL byte",
                           type->short_name, field->name);
        return 0;
    case PROTOBUF_C_TYPE_BYTES:
        return 0;
    default:
        return count_fields(scan, packed_count_max(field, cursor_left(&body)), err);
    }
}

static int scan_field(struct scan *scan, struct level *level, struct err *err)
{
    struct cursor *rest = &level->rest;
    uint64_t tag = varint(rest);
    uint64_t number = tag >> 3;
    if (!cursor_ok(rest) || number == 0 || number > FIELD_NUMBER_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: bad field number", level->type->short_name);
    int rc = count_fields(scan, 1, err);
    if (rc != 0)
        return rc;
    struct cursor body = {0};
    switch (tag & 7) {
    case VARINT:
        varint(rest);
        break;
    case FIXED64:
        cursor_bytes(rest, 8);
        break;
    case FIXED32:
        cursor_bytes(rest, 4);
        break;
    case BYTES: {
        uint64_t size = varint(rest);
        if (size > cursor_left(rest))
            cursor_fail(rest);
        else
            body = cursor_sub(rest, (size_t)size);
        break;
    }
    default:
        cursor_fail(rest);
    }
    if (!cursor_ok(rest))
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: field %u is malformed",
                       level->type->short_name, (unsigned)number);
    if ((tag & 7) != BYTES || cursor_left(&body) == 0)
        return 0;
    return scan_body(scan, level->type, (uint32_t)number, body, err);
}

int scan_message(const wire_type *type, const void *bytes, size_t size,
                 const struct wire_limits *limits, struct err *err)
{
    CHECK(limits->depth >= 1);
    CHECK(limits->depth <= WIRE_DEPTH_MAX);
    if (size > limits->bytes)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "message of %zu bytes; at most %zu", size,
                       limits->bytes);
    struct scan scan = {.limits = limits};
    scan.levels[scan.depth++] = (struct level){.type = type, .rest = cursor_of(bytes, size)};
    while (scan.depth > 0) {
        struct level *level = &scan.levels[scan.depth - 1];
        if (cursor_left(&level->rest) == 0) {
            scan.depth--;
            continue;
        }
        int rc = scan_field(&scan, level, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}
