#include "agent/gossip/payload.h"

#include <string.h>

#include "proto/base/check.h"
#include "proto/wire/wire.h"

static const wire_type *type_of(unsigned type)
{
    static const wire_type *const types[] = {
        [NETWORKDB__MESSAGE_TYPE__NETWORK_EVENT] = &networkdb__network_event__descriptor,
        [NETWORKDB__MESSAGE_TYPE__TABLE_EVENT] = &networkdb__table_event__descriptor,
        [NETWORKDB__MESSAGE_TYPE__PUSH_PULL] = &networkdb__network_push_pull__descriptor,
        [NETWORKDB__MESSAGE_TYPE__BULK_SYNC] = &networkdb__bulk_sync_message__descriptor,
        [NETWORKDB__MESSAGE_TYPE__COMPOUND] = &networkdb__compound_message__descriptor,
        [NETWORKDB__MESSAGE_TYPE__NODE_EVENT] = &networkdb__node_event__descriptor,
    };
    return type < COUNT_OF(types) ? types[type] : NULL;
}

int payload_decode(const void *bytes, size_t size, struct arena *arena, struct payload *payload,
                   struct err *err)
{
    const struct wire_limits limits = WIRE_LIMITS_GOSSIP;
    const Networkdb__GossipMessage *outer =
        wire_unpack(&networkdb__gossip_message__descriptor, bytes, size, &limits, arena, err);
    if (!outer)
        return -(int)err->code;
    const wire_type *type = type_of((unsigned)outer->type);
    if (!type)
        return err_set(err, ERR_INVALID_ARGUMENT, "gossip payload of unknown type %d",
                       (int)outer->type);
    payload->type = outer->type;
    payload->message = wire_unpack(type, outer->data.data, outer->data.len, &limits, arena, err);
    if (!payload->message)
        return -(int)err->code;
    const Networkdb__TableEvent *event = payload->table_event;
    if (payload->type == NETWORKDB__MESSAGE_TYPE__TABLE_EVENT &&
        (strchr(event->network_id, '/') || strchr(event->table_name, '/') ||
         strchr(event->key, '/')))
        return err_set(err, ERR_INVALID_ARGUMENT, "table event has a slash in its key");
    return 0;
}

int payload_encode(const struct payload *payload, struct buf *out, struct err *err)
{
    CHECK(type_of((unsigned)payload->type));
    CHECK(((const ProtobufCMessage *)payload->message)->descriptor ==
          type_of((unsigned)payload->type));
    struct buf inner;
    buf_init(&inner, out->limit);
    int result = wire_pack(payload->message, &inner, err);
    if (result == 0) {
        Networkdb__GossipMessage outer = NETWORKDB__GOSSIP_MESSAGE__INIT;
        outer.type = payload->type;
        outer.data = (ProtobufCBinaryData){inner.len, inner.data};
        result = wire_pack(&outer, out, err);
    }
    buf_fini(&inner);
    return result;
}
