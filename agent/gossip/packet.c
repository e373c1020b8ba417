#include "agent/gossip/packet.h"

#include <string.h>

#include "agent/gossip/lzw.h"
#include "proto/base/check.h"

#define ALGORITHM_LZW 0

// ---- checksum ----------------------------------------------------------------------------------

uint32_t packet_crc(const void *bytes, size_t size)
{
    // The reflected polynomial 0xedb88320, four bits at a time.
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
                                       0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
                                       0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    const uint8_t *at = bytes;
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= at[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

// ---- writing -----------------------------------------------------------------------------------

static void write_parts(const struct span *parts, size_t count, struct buf *out)
{
    if (count > 1) {
        buf_put_u8(out, GOSSIP_COMPOUND);
        buf_put_u8(out, (uint8_t)count);
        for (size_t i = 0; i < count; i++)
            buf_put_u16be(out, (uint16_t)parts[i].size);
    }
    for (size_t i = 0; i < count; i++)
        buf_put(out, parts[i].at, parts[i].size);
}

// Replaces the bytes by their compressed form where that is shorter.
static void shorten(struct buf *plain)
{
    struct buf packed, wrapped;
    buf_init(&packed, plain->len);
    buf_init(&wrapped, plain->len);
    lzw_compress(plain->data, plain->len, &packed);
    struct gossip_message message = {
        .type = GOSSIP_COMPRESS,
        .compress = {.algorithm = ALGORITHM_LZW, .bytes = {packed.data, packed.len}}};
    gossip_encode(&message, &wrapped);
    if (buf_ok(&packed) && buf_ok(&wrapped) && wrapped.len < plain->len) {
        plain->len = 0;
        buf_put(plain, wrapped.data, wrapped.len);
    }
    buf_fini(&packed);
    buf_fini(&wrapped);
}

void packet_write(struct keyring *ring, const uint8_t nonce[KEYRING_NONCE_BYTES],
                  struct packet_shape shape, const struct span *parts, size_t count,
                  struct buf *out)
{
    CHECK(count >= 1);
    CHECK(count <= PACKET_PARTS_MAX);
    for (size_t i = 0; i < count; i++)
        CHECK(parts[i].size >= 1 && parts[i].size <= UINT16_MAX);
    struct buf plain;
    buf_init(&plain, PACKET_BYTES_MAX - PACKET_WRAP_BYTES);
    write_parts(parts, count, &plain);
    if (!buf_ok(&plain)) {
        out->overflow = true; // as any other packet that does not fit
        buf_fini(&plain);
        return;
    }
    if (shape.compress)
        shorten(&plain);
    if (shape.crc) {
        struct buf summed;
        buf_init(&summed, plain.len + PACKET_CRC_BYTES);
        buf_put_u8(&summed, GOSSIP_CRC);
        buf_put_u32be(&summed, packet_crc(plain.data, plain.len));
        buf_put(&summed, plain.data, plain.len);
        keyring_seal(ring, nonce, NULL, 0, summed.data, summed.len, out);
        buf_fini(&summed);
    } else {
        keyring_seal(ring, nonce, NULL, 0, plain.data, plain.len, out);
    }
    buf_fini(&plain);
}

// ---- reading -----------------------------------------------------------------------------------

bool packet_peek(const uint8_t *start, size_t size)
{
    // Every type is followed by more.
    if (size < 2)
        return false;
    uint8_t next = start[1];
    bool map = (next & 0xf0) == 0x80 || next == 0xde || next == 0xdf;
    switch (start[0]) {
    case GOSSIP_COMPOUND:
        return next >= 1;
    case GOSSIP_USER: // GossipMessage.type on a packet, a map on a stream
        return map || next == 0x08;
    case GOSSIP_CRC:
        return size > PACKET_CRC_BYTES && start[PACKET_CRC_BYTES] <= GOSSIP_NACK;
    default:
        return map && start[0] <= GOSSIP_ERROR;
    }
}

void packet_reader_init(struct packet_reader *reader)
{
    buf_init(&reader->plain, PACKET_BYTES_MAX);
    buf_init(&reader->unpacked, PACKET_BYTES_MAX);
}

void packet_reader_fini(struct packet_reader *reader)
{
    buf_fini(&reader->plain);
    buf_fini(&reader->unpacked);
}

// The types that have a meaning in a packet, wrappers apart.
static bool belongs_in_packet(enum gossip_type type)
{
    return type <= GOSSIP_DEAD || type == GOSSIP_USER || type == GOSSIP_NACK;
}

static int read_message(struct cursor in, packet_message_fn *take, void *owner, struct err *err)
{
    struct gossip_message message;
    int result = gossip_decode(&in, &message, err);
    if (result)
        return result;
    if (!belongs_in_packet(message.type))
        return err_set(err, ERR_INVALID_ARGUMENT, "message of type %d does not belong in a packet",
                       (int)message.type);
    take(owner, &message);
    return 0;
}

// A tail that is cut short is skipped, what lies before it counts.
static int read_compound(struct cursor in, packet_message_fn *take, void *owner, unsigned *skipped,
                         struct err *err)
{
    cursor_u8(&in); // the type
    unsigned count = cursor_u8(&in);
    struct cursor lengths = cursor_sub(&in, PACKET_PART_BYTES * (size_t)count);
    if (!cursor_ok(&in))
        return err_set(err, ERR_INVALID_ARGUMENT, "compound packet is cut short");
    for (unsigned i = 0; i < count; i++) {
        struct cursor part = cursor_sub(&in, cursor_u16be(&lengths));
        if (!cursor_ok(&in) || read_message(part, take, owner, NULL) != 0)
            ++*skipped;
    }
    return 0;
}

// Replaces the cursor over a compressed message by one over what is in it.
static int decompress(struct packet_reader *reader, struct cursor *in, struct err *err)
{
    struct gossip_message message;
    int result = gossip_decode(in, &message, err);
    if (result)
        return result;
    if (message.compress.algorithm != ALGORITHM_LZW)
        return err_set(err, ERR_INVALID_ARGUMENT, "packet compressed by an unknown algorithm");
    buf_clear(&reader->unpacked);
    result = lzw_decompress(message.compress.bytes.at, message.compress.bytes.size,
                            &reader->unpacked, err);
    *in = cursor_of(reader->unpacked.data, reader->unpacked.len);
    return result;
}

static bool starts_with(const struct cursor *in, enum gossip_type type)
{
    return cursor_left(in) > 0 && in->at[0] == type;
}

int packet_read(struct packet_reader *reader, struct keyring *ring, const void *bytes, size_t size,
                packet_message_fn *take, void *owner, unsigned *skipped, struct err *err)
{
    *skipped = 0;
    buf_clear(&reader->plain);
    int result = keyring_open(ring, NULL, 0, bytes, size, packet_peek, &reader->plain, err);
    if (result)
        return result;
    struct cursor in = cursor_of(reader->plain.data, reader->plain.len);
    if (starts_with(&in, GOSSIP_CRC)) {
        cursor_u8(&in);
        uint32_t crc = cursor_u32be(&in);
        if (!cursor_ok(&in) || packet_crc(in.at, cursor_left(&in)) != crc)
            return err_set(err, ERR_INVALID_ARGUMENT, "packet has a wrong checksum");
    }
    // Stock nodes wrap in this order and each once; a second wrapper is refused below.
    if (starts_with(&in, GOSSIP_COMPRESS)) {
        result = decompress(reader, &in, err);
        if (result)
            return result;
    }
    if (starts_with(&in, GOSSIP_COMPOUND))
        return read_compound(in, take, owner, skipped, err);
    return read_message(in, take, owner, err);
}
