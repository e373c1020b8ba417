#include "agent/gossip/parcel.h"

#include "proto/base/check.h"

void parcel_init(struct parcel *parcel)
{
    buf_init(&parcel->bytes, PACKET_BYTES_MAX - PACKET_WRAP_BYTES - PACKET_COMPOUND_BYTES -
                                 PACKET_PARTS_MAX * PACKET_PART_BYTES);
    parcel_begin(parcel);
}

void parcel_fini(struct parcel *parcel)
{
    buf_fini(&parcel->bytes);
}

void parcel_begin(struct parcel *parcel)
{
    buf_clear(&parcel->bytes);
    parcel->count = 0;
    parcel->room = PACKET_BUDGET_BYTES - PACKET_WRAP_BYTES - PACKET_COMPOUND_BYTES;
}

size_t parcel_room(const struct parcel *parcel)
{
    if (parcel->count == PACKET_PARTS_MAX || parcel->room <= PACKET_PART_BYTES)
        return 0;
    return parcel->room - PACKET_PART_BYTES;
}

// Counts a message that is in `bytes` already, or takes it back.
static bool settle(struct parcel *parcel, size_t before)
{
    size_t size = parcel->bytes.len - before;
    bool fits = buf_ok(&parcel->bytes) && size > 0 && parcel->count < PACKET_PARTS_MAX &&
                (parcel->count == 0 || size <= parcel_room(parcel));
    if (!fits) {
        parcel->bytes.len = before;
        parcel->bytes.overflow = false;
        return false;
    }
    size_t cost = size + PACKET_PART_BYTES;
    parcel->room -= cost < parcel->room ? cost : parcel->room;
    parcel->sizes[parcel->count++] = (uint16_t)size;
    return true;
}

bool parcel_add(struct parcel *parcel, const struct gossip_message *message)
{
    size_t before = parcel->bytes.len;
    gossip_encode(message, &parcel->bytes);
    return settle(parcel, before);
}

bool parcel_add_bytes(struct parcel *parcel, const void *bytes, size_t size)
{
    size_t before = parcel->bytes.len;
    buf_put(&parcel->bytes, bytes, size);
    return settle(parcel, before);
}

size_t parcel_spans(const struct parcel *parcel, struct span out[PACKET_PARTS_MAX])
{
    CHECK(parcel->count <= PACKET_PARTS_MAX);
    const uint8_t *at = parcel->bytes.data;
    for (size_t i = 0; i < parcel->count; i++) {
        out[i] = (struct span){at, parcel->sizes[i]};
        at += parcel->sizes[i];
    }
    return parcel->count;
}
