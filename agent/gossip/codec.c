#include "agent/gossip/codec.h"

#include <msgpack.h>
#include <string.h>

#include "proto/base/check.h"

// ---- tables ------------------------------------------------------------------------------------

enum kind {
    KIND_U16,
    KIND_U32,
    KIND_U64,
    KIND_BOOL,
    KIND_SPAN,
    KIND_ADDR,     // a span of 4 or 16 bytes, or empty
    KIND_STATE,    // enum gossip_state
    KIND_VERSIONS, // six bytes
};

enum when { ALWAYS, IF_SET };

struct field {
    const char *key;
    enum kind kind;
    size_t offset;
    size_t limit; // bytes of a span; 0: those there are
    enum when when;
    bool nil; // a span never set is written as nil, as Go does
};

// The fields of a map, in the order of their keys.
struct layout {
    const struct field *fields;
    size_t count;
};

#define LAYOUT(name)                                                                               \
    static const struct layout name##_layout = {name##_fields, COUNT_OF(name##_fields)}
#define AT(member) offsetof(struct gossip_message, member)
#define NAME       .limit = GOSSIP_NAME_BYTES

static const struct field ping_fields[] = {
    {"Node", KIND_SPAN, AT(ping.node), NAME},
    {"SeqNo", KIND_U32, AT(ping.seq)},
    {"SourceAddr", KIND_ADDR, AT(ping.source_addr), .when = IF_SET},
    {"SourceNode", KIND_SPAN, AT(ping.source_node), NAME, .when = IF_SET},
    {"SourcePort", KIND_U16, AT(ping.source_port), .when = IF_SET},
};
static const struct field indirect_fields[] = {
    {"Nack", KIND_BOOL, AT(indirect.nack)},
    {"Node", KIND_SPAN, AT(indirect.node), NAME},
    {"Port", KIND_U16, AT(indirect.port)},
    {"SeqNo", KIND_U32, AT(indirect.seq)},
    {"SourceAddr", KIND_ADDR, AT(indirect.source_addr), .when = IF_SET},
    {"SourceNode", KIND_SPAN, AT(indirect.source_node), NAME, .when = IF_SET},
    {"SourcePort", KIND_U16, AT(indirect.source_port), .when = IF_SET},
    {"Target", KIND_ADDR, AT(indirect.target)},
};
static const struct field ack_fields[] = {
    {"Payload", KIND_SPAN, AT(ack.payload), .nil = true},
    {"SeqNo", KIND_U32, AT(ack.seq)},
};
static const struct field nack_fields[] = {{"SeqNo", KIND_U32, AT(ack.seq)}};
static const struct field verdict_fields[] = {
    {"From", KIND_SPAN, AT(verdict.from), NAME},
    {"Incarnation", KIND_U32, AT(verdict.incarnation)},
    {"Node", KIND_SPAN, AT(verdict.node), NAME},
};
static const struct field alive_fields[] = {
    {"Addr", KIND_ADDR, AT(alive.addr)},
    {"Incarnation", KIND_U32, AT(alive.incarnation)},
    {"Meta", KIND_SPAN, AT(alive.meta), .limit = GOSSIP_META_BYTES, .nil = true},
    {"Node", KIND_SPAN, AT(alive.name), NAME},
    {"Port", KIND_U16, AT(alive.port)},
    {"Vsn", KIND_VERSIONS, AT(alive.versions)},
};
static const struct field push_pull_fields[] = {
    {"Join", KIND_BOOL, AT(push_pull.join)},
    {"Nodes", KIND_U64, AT(push_pull.nodes_count)},
    {"UserStateLen", KIND_U64, AT(push_pull.user_bytes)},
};
static const struct field compress_fields[] = {
    {"Algo", KIND_U64, AT(compress.algorithm)},
    {"Buf", KIND_SPAN, AT(compress.bytes)},
};
static const struct field error_fields[] = {
    {"Error", KIND_SPAN, AT(error), .limit = GOSSIP_ERROR_BYTES},
};
static const struct field state_fields[] = {
    {"Addr", KIND_ADDR, offsetof(struct gossip_node, addr)},
    {"Incarnation", KIND_U32, offsetof(struct gossip_node, incarnation)},
    {"Meta", KIND_SPAN, offsetof(struct gossip_node, meta), .limit = GOSSIP_META_BYTES,
     .nil = true},
    {"Name", KIND_SPAN, offsetof(struct gossip_node, name), NAME},
    {"Port", KIND_U16, offsetof(struct gossip_node, port)},
    {"State", KIND_STATE, offsetof(struct gossip_node, state)},
    {"Vsn", KIND_VERSIONS, offsetof(struct gossip_node, versions)},
};
static const struct field user_fields[] = {{"UserMsgLen", KIND_U64, 0}};

LAYOUT(ping);
LAYOUT(indirect);
LAYOUT(ack);
LAYOUT(nack);
LAYOUT(verdict);
LAYOUT(alive);
LAYOUT(push_pull);
LAYOUT(compress);
LAYOUT(error);
LAYOUT(state);
LAYOUT(user);

static const struct layout *layout_of(unsigned type)
{
    static const struct layout *const layouts[] = {
        [GOSSIP_PING] = &ping_layout,
        [GOSSIP_INDIRECT] = &indirect_layout,
        [GOSSIP_ACK] = &ack_layout,
        [GOSSIP_SUSPECT] = &verdict_layout,
        [GOSSIP_ALIVE] = &alive_layout,
        [GOSSIP_DEAD] = &verdict_layout,
        [GOSSIP_PUSH_PULL] = &push_pull_layout,
        [GOSSIP_COMPRESS] = &compress_layout,
        [GOSSIP_NACK] = &nack_layout,
        [GOSSIP_ERROR] = &error_layout,
    };
    return type < COUNT_OF(layouts) ? layouts[type] : NULL;
}

// ---- decoding ----------------------------------------------------------------------------------

// The library allocates for the elements that a list or map announces, which a peer may choose
// freely; so it is given scalars only, for which it allocates nothing, and maps are opened here.

// Elements that the list or map at the cursor announces; false, and nothing read, for a scalar.
static bool open_container(struct cursor *in, bool *map, uint32_t *count)
{
    if (cursor_left(in) == 0)
        return false;
    uint8_t head = in->at[0];
    *map = (head & 0xf0) == 0x80 || head == 0xde || head == 0xdf;
    if (!*map && (head & 0xf0) != 0x90 && head != 0xdc && head != 0xdd)
        return false;
    cursor_u8(in);
    if (head == 0xde || head == 0xdc)
        *count = cursor_u16be(in);
    else if (head == 0xdf || head == 0xdd)
        *count = cursor_u32be(in);
    else
        *count = head & 0x0f;
    return true;
}

static bool read_scalar(struct cursor *in, msgpack_object *object)
{
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t used = 0;
    msgpack_unpack_return result =
        msgpack_unpack_next(&unpacked, (const char *)in->at, cursor_left(in), &used);
    bool good = result == MSGPACK_UNPACK_SUCCESS || result == MSGPACK_UNPACK_EXTRA_BYTES;
    *object = unpacked.data;
    msgpack_unpacked_destroy(&unpacked); // texts point into the input
    if (good)
        cursor_bytes(in, used);
    else
        cursor_fail(in);
    return good;
}

// Steps over one value of any shape. Each element takes a byte or more, which bounds the loop.
static void skip_value(struct cursor *in)
{
    for (uint64_t pending = 1; pending > 0 && cursor_ok(in); pending--) {
        bool map;
        uint32_t count;
        msgpack_object ignored;
        if (!open_container(in, &map, &count)) {
            read_scalar(in, &ignored);
            continue;
        }
        pending += map ? 2 * (uint64_t)count : count;
        if (pending - 1 > cursor_left(in))
            cursor_fail(in);
    }
}

static bool span_of(const msgpack_object *object, struct span *span)
{
    if (object->type == MSGPACK_OBJECT_NIL)
        *span = (struct span){0};
    else if (object->type == MSGPACK_OBJECT_STR)
        *span = (struct span){(const uint8_t *)object->via.str.ptr, object->via.str.size};
    else if (object->type == MSGPACK_OBJECT_BIN)
        *span = (struct span){(const uint8_t *)object->via.bin.ptr, object->via.bin.size};
    else
        return false;
    // The library has no pointer for an empty text, which here would mean nil.
    if (object->type != MSGPACK_OBJECT_NIL && span->size == 0)
        span->at = (const uint8_t *)"";
    return true;
}

static bool take_number(const struct field *field, const msgpack_object *object, void *target)
{
    if (object->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return false;
    uint64_t number = object->via.u64;
    switch (field->kind) {
    case KIND_U16:
        *(uint16_t *)target = (uint16_t)number;
        return number <= UINT16_MAX;
    case KIND_U32:
        *(uint32_t *)target = (uint32_t)number;
        return number <= UINT32_MAX;
    case KIND_STATE:
        *(enum gossip_state *)target = (enum gossip_state)number;
        return number <= GOSSIP_HAS_LEFT;
    default:
        *(uint64_t *)target = number;
        return true;
    }
}

static bool take_value(const struct field *field, const msgpack_object *object, void *target)
{
    struct span span;
    switch (field->kind) {
    case KIND_BOOL:
        if (object->type != MSGPACK_OBJECT_BOOLEAN)
            return false;
        *(bool *)target = object->via.boolean;
        return true;
    case KIND_SPAN:
    case KIND_ADDR:
        if (!span_of(object, &span) || (field->limit && span.size > field->limit))
            return false;
        *(struct span *)target = span;
        return field->kind == KIND_SPAN || span.size == 0 || span.size == 4 || span.size == 16;
    case KIND_VERSIONS:
        // A vector cut short leaves the versions at 0 (gossip.md section 2.4).
        if (!span_of(object, &span))
            return false;
        if (span.size >= sizeof((struct gossip_node *)0)->versions)
            memcpy(target, span.at, sizeof((struct gossip_node *)0)->versions);
        return true;
    default:
        return take_number(field, object, target);
    }
}

static const struct field *find_field(const struct layout *layout, const msgpack_object *key)
{
    struct span name;
    if (!span_of(key, &name))
        return NULL;
    for (size_t i = 0; i < layout->count; i++)
        if (strlen(layout->fields[i].key) == name.size &&
            memcmp(layout->fields[i].key, name.at, name.size) == 0)
            return &layout->fields[i];
    return NULL;
}

static int decode_map(struct cursor *in, const struct layout *layout, void *base, struct err *err)
{
    bool map;
    uint32_t count;
    if (!open_container(in, &map, &count) || !map || count > GOSSIP_KEYS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "gossip message is no map of reasonable size");
    for (uint32_t i = 0; i < count && cursor_ok(in); i++) {
        bool inner;
        uint32_t ignored;
        msgpack_object key, value;
        // A key that is a list or map is nobody's.
        if (open_container(in, &inner, &ignored) || !read_scalar(in, &key))
            return err_set(err, ERR_INVALID_ARGUMENT, "gossip message has a broken key");
        const struct field *field = find_field(layout, &key);
        if (!field) {
            skip_value(in);
            continue;
        }
        if (open_container(in, &inner, &ignored) || !read_scalar(in, &value) ||
            !take_value(field, &value, (char *)base + field->offset))
            return err_set(err, ERR_INVALID_ARGUMENT, "gossip message has a bad %s", field->key);
    }
    if (!cursor_ok(in))
        return err_set(err, ERR_INVALID_ARGUMENT, "gossip message is cut short");
    return 0;
}

int gossip_decode(struct cursor *in, struct gossip_message *message, struct err *err)
{
    if (cursor_left(in) == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "gossip message is empty");
    uint8_t type = cursor_u8(in);
    memset(message, 0, sizeof *message);
    message->type = type;
    if (type == GOSSIP_USER) {
        message->user.size = cursor_left(in);
        message->user.at = cursor_bytes(in, message->user.size);
        return 0;
    }
    const struct layout *layout = layout_of(type);
    if (!layout)
        return err_set(err, ERR_UNIMPLEMENTED, "gossip message of type %u", type);
    return decode_map(in, layout, message, err);
}

int gossip_decode_state(struct cursor *in, struct gossip_node *node, struct err *err)
{
    memset(node, 0, sizeof *node);
    return decode_map(in, &state_layout, node, err);
}

int gossip_decode_user_header(struct cursor *in, uint64_t *user_bytes, struct err *err)
{
    *user_bytes = 0;
    if (cursor_u8(in) != GOSSIP_USER || !cursor_ok(in))
        return err_set(err, ERR_INVALID_ARGUMENT, "not a user message");
    return decode_map(in, &user_layout, user_bytes, err);
}

// ---- encoding ----------------------------------------------------------------------------------

static int write_to_buf(void *out, const char *bytes, size_t size)
{
    buf_put(out, bytes, size); // the buf remembers trouble
    return 0;
}

static void put_raw(msgpack_packer *packer, const void *bytes, size_t size)
{
    msgpack_pack_v4raw(packer, size);
    if (size > 0)
        msgpack_pack_v4raw_body(packer, bytes, size);
}

static uint64_t number_at(const struct field *field, const void *at)
{
    switch (field->kind) {
    case KIND_U16:
        return *(const uint16_t *)at;
    case KIND_U32:
        return *(const uint32_t *)at;
    case KIND_STATE:
        return *(const enum gossip_state *)at;
    default:
        return *(const uint64_t *)at;
    }
}

static bool is_set(const struct field *field, const void *at)
{
    if (field->kind == KIND_SPAN || field->kind == KIND_ADDR)
        return ((const struct span *)at)->size > 0;
    return number_at(field, at) != 0;
}

static void put_field(msgpack_packer *packer, const struct field *field, const void *at)
{
    const struct span *span = at;
    put_raw(packer, field->key, strlen(field->key));
    switch (field->kind) {
    case KIND_BOOL:
        if (*(const bool *)at)
            msgpack_pack_true(packer);
        else
            msgpack_pack_false(packer);
        break;
    case KIND_SPAN:
    case KIND_ADDR:
        if (!span->at && field->nil)
            msgpack_pack_nil(packer);
        else
            put_raw(packer, span->at, span->size);
        break;
    case KIND_VERSIONS:
        put_raw(packer, at, sizeof((struct gossip_node *)0)->versions);
        break;
    default:
        msgpack_pack_uint64(packer, number_at(field, at));
        break;
    }
}

static void encode_map(const struct layout *layout, const void *base, struct buf *out)
{
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, write_to_buf);
    size_t count = 0;
    for (size_t pass = 0; pass < 2; pass++) {
        if (pass == 1)
            msgpack_pack_map(&packer, count);
        for (size_t i = 0; i < layout->count; i++) {
            const struct field *field = &layout->fields[i];
            const void *at = (const char *)base + field->offset;
            if (field->when == IF_SET && !is_set(field, at))
                continue;
            if (pass == 0)
                count++;
            else
                put_field(&packer, field, at);
        }
    }
}

void gossip_encode(const struct gossip_message *message, struct buf *out)
{
    buf_put_u8(out, (uint8_t)message->type);
    if (message->type == GOSSIP_USER) {
        buf_put(out, message->user.at, message->user.size);
        return;
    }
    const struct layout *layout = layout_of(message->type);
    CHECK(layout);
    encode_map(layout, message, out);
}

void gossip_encode_state(const struct gossip_node *node, struct buf *out)
{
    encode_map(&state_layout, node, out);
}

void gossip_encode_user_header(uint64_t user_bytes, struct buf *out)
{
    buf_put_u8(out, GOSSIP_USER);
    encode_map(&user_layout, &user_bytes, out);
}
