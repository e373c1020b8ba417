// What NetworkDB puts into memberlist's user messages and user states: a GossipMessage around one
// message of proto/wire/networkdb.proto (gossip.md section 10).
#ifndef AGENT_GOSSIP_PAYLOAD_H
#define AGENT_GOSSIP_PAYLOAD_H

#include <stddef.h>

#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/wire/networkdb.pb-c.h"

struct payload {
    Networkdb__MessageType type;
    union { // by type
        const Networkdb__NetworkEvent *network_event;
        const Networkdb__TableEvent *table_event;
        const Networkdb__NetworkPushPull *push_pull;
        const Networkdb__BulkSyncMessage *bulk_sync;
        const Networkdb__CompoundMessage *compound; // each part a payload of its own
        const Networkdb__NodeEvent *node_event;
        const void *message;
    };
};

// Decodes both layers into `arena`. The parts of a compound and the payload of a bulk sync stay
// bytes: decode them in turn, one level deep. INVALID_ARGUMENT for what is none, an unknown type,
// or a table event whose network, table or key holds a slash, by which stock nodes join the three;
// RESOURCE_EXHAUSTED past a limit. `err` must not be NULL.
int payload_decode(const void *bytes, size_t size, struct arena *arena, struct payload *payload,
                   struct err *err);

// Appends both layers; payload->message is of the payload's type. RESOURCE_EXHAUSTED past the limit
// of `out`.
int payload_encode(const struct payload *payload, struct buf *out, struct err *err);

#endif
