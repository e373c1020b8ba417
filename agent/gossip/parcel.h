// The messages of one packet while they are gathered, within the budget that senders fill
// (gossip.md sections 1 and 4).
#ifndef AGENT_GOSSIP_PARCEL_H
#define AGENT_GOSSIP_PARCEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/gossip/codec.h"
#include "agent/gossip/packet.h"
#include "proto/base/buf.h"

struct parcel {
    struct buf bytes; // the messages one after another
    uint16_t sizes[PACKET_PARTS_MAX];
    size_t count;
    size_t room; // bytes left of the budget
};

void parcel_init(struct parcel *parcel);
void parcel_fini(struct parcel *parcel);

// Empties it, for a packet of at most PACKET_BUDGET_BYTES once wrapped.
void parcel_begin(struct parcel *parcel);

// The longest message that still fits; 0 when none does.
size_t parcel_room(const struct parcel *parcel);

// Adds what gossip_encode would write. False, and nothing added, when it does not fit. The first
// message of a parcel may be of any size up to a packet's.
bool parcel_add(struct parcel *parcel, const struct gossip_message *message);

// The same for a message that is bytes already.
bool parcel_add_bytes(struct parcel *parcel, const void *bytes, size_t size);

// The messages in their order, borrowed until the next change. Returns their count.
size_t parcel_spans(const struct parcel *parcel, struct span out[PACKET_PARTS_MAX]);

#endif
