// wire_settle: what a stock peer always writes is always there.
#include "proto/wire/settle.h"

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/ca.pb-c.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/dispatcher.pb-c.h"
#include "proto/wire/field.h"
#include "proto/wire/logbroker.pb-c.h"
#include "proto/wire/objects.pb-c.h"
#include "proto/wire/raft.pb-c.h"
#include "proto/wire/raftpb.pb-c.h"
#include "proto/wire/snapshot.pb-c.h"
#include "proto/wire/specs.pb-c.h"
#include "proto/wire/types.pb-c.h"
#include "proto/wire/wire.h"

// The message fields SwarmKit marks as not nullable (api/*.proto of SwarmKit 3e72cb64; raftpb of
// etcd raft 3.5), by number. Stock peers write them even when empty, read their absence as empty,
// and cannot tell the difference.
#define NEVER_NULL_MAX 8
struct never_null {
    const wire_type *type;
    uint8_t fields[NEVER_NULL_MAX]; // ends with a 0
};

static const struct never_null never_null[] = {
    // specs and objects
    {&swarm__node__descriptor, {2, 3, 5, 8}},    // meta, spec, status, certificate
    {&swarm__service__descriptor, {2, 3}},       // meta, spec
    {&swarm__task__descriptor, {2, 3, 7, 8, 9}}, // meta, spec, both annotations, status
    {&swarm__network__descriptor, {2, 3}},       // meta, spec
    {&swarm__cluster__descriptor, {2, 3, 4}},    // meta, spec, root_ca
    {&swarm__secret__descriptor, {2, 3}},        // meta, spec
    {&swarm__config__descriptor, {2, 3}},        // meta, spec
    {&swarm__resource__descriptor, {2, 3}},      // meta, annotations
    {&swarm__extension__descriptor, {2, 3}},     // meta, annotations
    {&swarm__volume__descriptor, {2, 3}},        // meta, spec
    {&swarm__meta__descriptor, {1}},             // version
    {&swarm__node_spec__descriptor, {1}},        // annotations
    {&swarm__service_spec__descriptor, {1, 2}},  // annotations, task
    {&swarm__network_spec__descriptor, {1}},     // annotations
    {&swarm__cluster_spec__descriptor, {1, 2, 3, 4, 5, 6, 7, 8}},
    {&swarm__secret_spec__descriptor, {1}}, // annotations
    {&swarm__config_spec__descriptor, {1}}, // annotations
    {&swarm__volume_spec__descriptor, {1}}, // annotations
    // parts of them
    {&swarm__certificate__descriptor, {3}},   // status
    {&swarm__root_ca__descriptor, {4}},       // join_tokens
    {&swarm__update_config__descriptor, {2}}, // delay
    {&swarm__job_status__descriptor, {1}},    // job_iteration
    // calls
    {&swarm__get_unlock_key_response__descriptor, {2}}, // version
    {&swarm__update_cluster_request__descriptor, {4}},  // rotation
    {&swarm__heartbeat_response__descriptor, {1}},      // period
    {&swarm__log_message__descriptor, {1}},             // context
    // raft
    {&swarm__raft_member__descriptor, {4}},        // status
    {&swarm__snapshot__descriptor, {2, 3}},        // membership, store
    {&raftpb__snapshot__descriptor, {2}},          // metadata
    {&raftpb__snapshot_metadata__descriptor, {1}}, // conf_state
};

bool settle_never_null(const wire_type *type, uint32_t number)
{
    for (size_t i = 0; i < COUNT_OF(never_null); i++) {
        if (never_null[i].type != type)
            continue;
        for (size_t at = 0; at < NEVER_NULL_MAX && never_null[i].fields[at]; at++)
            if (never_null[i].fields[at] == number)
                return true;
    }
    return false;
}

static bool create(const ProtobufCFieldDescriptor *field, void *message, struct arena *arena)
{
    CHECK(field && field->type == PROTOBUF_C_TYPE_MESSAGE && !field_is_repeated(field));
    const wire_type *type = field->descriptor;
    ProtobufCMessage **place = field_at(field, message);
    if (*place)
        return true;
    *place = arena ? arena_alloc(arena, type->sizeof_message) : mem_alloc(type->sizeof_message);
    if (*place)
        protobuf_c_message_init(type, *place);
    return *place != NULL;
}

// etcd writes every scalar of raftpb that is not a byte string, zeros too.
static void set_presence_bits(ProtobufCMessage *message)
{
    const wire_type *type = message->descriptor;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->quantifier_offset != 0 &&
            !field_is_oneof(field) && field->type != PROTOBUF_C_TYPE_BYTES)
            *(protobuf_c_boolean *)field_quantifier(field, message) = 1;
    }
}

static int settle(ProtobufCMessage *message, void *context)
{
    struct arena *arena = context;
    const wire_type *type = message->descriptor;
    for (size_t i = 0; i < COUNT_OF(never_null); i++) {
        if (never_null[i].type != type)
            continue;
        for (size_t at = 0; at < NEVER_NULL_MAX && never_null[i].fields[at]; at++) {
            uint8_t number = never_null[i].fields[at];
            if (!create(protobuf_c_message_descriptor_get_field(type, number), message, arena))
                return -1;
        }
        break;
    }
    set_presence_bits(message);
    // Recursion is bounded: what was decoded by WIRE_DEPTH_MAX, what was made by hand by its maker.
    return field_each_message(message, settle, arena);
}

bool wire_settle(void *message, struct arena *arena)
{
    return settle(message, arena) == 0;
}
