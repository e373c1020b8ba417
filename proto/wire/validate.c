#include "proto/wire/validate.h"

#include <inttypes.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/clock.h"
#include "proto/wire/ca.pb-c.h"
#include "proto/wire/dispatcher.pb-c.h"
#include "proto/wire/endpoint.pb-c.h"
#include "proto/wire/field.h"
#include "proto/wire/health.pb-c.h"
#include "proto/wire/logbroker.pb-c.h"
#include "proto/wire/networkdb.pb-c.h"
#include "proto/wire/objects.pb-c.h"
#include "proto/wire/overlay.pb-c.h"
#include "proto/wire/raft.pb-c.h"
#include "proto/wire/raftpb.pb-c.h"
#include "proto/wire/resource.pb-c.h"
#include "proto/wire/specs.pb-c.h"
#include "proto/wire/types.pb-c.h"
#include "proto/wire/wire.h"

enum rule_kind {
    PRESENT, // a message field: not NULL; a oneof: some member of it is set
    TEXT,    // at most `max` bytes, of every text in a list too
    BYTES,   // at most `max` bytes
    LIST,    // at most `max` elements
    NUMBER,  // an unsigned 32-bit number of at most `max`
};

struct rule {
    const wire_type *type;
    const char *field; // for a oneof any of its members
    enum rule_kind kind;
    size_t max;
};

#define PORT_MAX 65535

static const struct rule rules[] = {
    // without these a reader has nothing to go by; stock peers crash on some of them
    {&swarm__weighted_peer__descriptor, "peer", PRESENT, 0},
    {&swarm__assignment_change__descriptor, "assignment", PRESENT, 0},
    {&swarm__assignment__descriptor, "task", PRESENT, 0},
    {&swarm__store_action__descriptor, "node", PRESENT, 0},
    {&swarm__stream_raft_message_request__descriptor, "message", PRESENT, 0},
    {&swarm__process_raft_message_request__descriptor, "message", PRESENT, 0},
    // ports, prefixes
    {&swarm__port_config__descriptor, "target_port", NUMBER, PORT_MAX},
    {&swarm__port_config__descriptor, "published_port", NUMBER, PORT_MAX},
    {&libnetwork__port_config__descriptor, "target_port", NUMBER, PORT_MAX},
    {&libnetwork__port_config__descriptor, "published_port", NUMBER, PORT_MAX},
    {&swarm__node__descriptor, "VXLANUDPPort", NUMBER, PORT_MAX},
    {&swarm__cluster__descriptor, "VXLANUDPPort", NUMBER, PORT_MAX},
    {&swarm__cluster__descriptor, "subnetSize", NUMBER, 32},
    // joining
    {&swarm__issue_node_certificate_request__descriptor, "token", TEXT, VALIDATE_TOKEN_MAX},
    {&swarm__issue_node_certificate_request__descriptor, "csr", BYTES, VALIDATE_CSR_MAX},
    {&swarm__node_certificate_status_request__descriptor, "node_id", TEXT, VALIDATE_ID_MAX},
    {&swarm__join_request__descriptor, "addr", TEXT, VALIDATE_ADDRESS_MAX},
    {&swarm__raft_member__descriptor, "addr", TEXT, VALIDATE_ADDRESS_MAX},
    {&swarm__raft_member__descriptor, "node_id", TEXT, VALIDATE_ID_MAX},
    {&swarm__health_check_request__descriptor, "service", TEXT, VALIDATE_NAME_MAX},
    // agents
    {&swarm__peer__descriptor, "node_id", TEXT, VALIDATE_ID_MAX},
    {&swarm__peer__descriptor, "addr", TEXT, VALIDATE_ADDRESS_MAX},
    {&swarm__session_message__descriptor, "session_id", TEXT, VALIDATE_ID_MAX},
    {&swarm__session_message__descriptor, "managers", LIST, VALIDATE_LIST_MAX},
    {&swarm__session_message__descriptor, "network_bootstrap_keys", LIST, VALIDATE_KEYS_MAX},
    {&swarm__session_request__descriptor, "session_id", TEXT, VALIDATE_ID_MAX},
    {&swarm__heartbeat_request__descriptor, "session_id", TEXT, VALIDATE_ID_MAX},
    {&swarm__tasks_request__descriptor, "session_id", TEXT, VALIDATE_ID_MAX},
    {&swarm__assignments_request__descriptor, "session_id", TEXT, VALIDATE_ID_MAX},
    {&swarm__update_task_status_request__descriptor, "session_id", TEXT, VALIDATE_ID_MAX},
    {&swarm__update_task_status_request__descriptor, "updates", LIST, VALIDATE_REPORTS_MAX},
    {&swarm__update_volume_status_request__descriptor, "session_id", TEXT, VALIDATE_ID_MAX},
    {&swarm__update_volume_status_request__descriptor, "updates", LIST, VALIDATE_REPORTS_MAX},
    {&swarm__task_status__descriptor, "message", TEXT, VALIDATE_STATUS_MAX},
    {&swarm__task_status__descriptor, "err", TEXT, VALIDATE_STATUS_MAX},
    {&swarm__container_status__descriptor, "container_id", TEXT, VALIDATE_ID_MAX},
    {&swarm__port_status__descriptor, "ports", LIST, VALIDATE_PORTS_MAX},
    {&swarm__node_description__descriptor, "hostname", TEXT, VALIDATE_NAME_MAX},
    {&swarm__engine_description__descriptor, "plugins", LIST, VALIDATE_LIST_MAX},
    {&swarm__attach_network_request__descriptor, "container_id", TEXT, VALIDATE_ID_MAX},
    {&swarm__detach_network_request__descriptor, "attachment_id", TEXT, VALIDATE_ID_MAX},
    {&swarm__publish_logs_message__descriptor, "subscription_id", TEXT, VALIDATE_ID_MAX},
    {&swarm__subscription_message__descriptor, "id", TEXT, VALIDATE_ID_MAX},
    // networks
    {&swarm__ipamoptions__descriptor, "configs", LIST, VALIDATE_LIST_MAX},
    {&swarm__endpoint_spec__descriptor, "ports", LIST, VALIDATE_PORTS_MAX},
    // raft
    {&raftpb__message__descriptor, "entries", LIST, VALIDATE_ENTRIES_MAX},
    // gossip
    {&networkdb__node_event__descriptor, "node_name", TEXT, VALIDATE_NAME_MAX},
    {&networkdb__network_event__descriptor, "node_name", TEXT, VALIDATE_NAME_MAX},
    {&networkdb__network_event__descriptor, "network_id", TEXT, VALIDATE_ID_MAX},
    {&networkdb__network_entry__descriptor, "node_name", TEXT, VALIDATE_NAME_MAX},
    {&networkdb__network_entry__descriptor, "network_id", TEXT, VALIDATE_ID_MAX},
    {&networkdb__network_push_pull__descriptor, "node_name", TEXT, VALIDATE_NAME_MAX},
    {&networkdb__bulk_sync_message__descriptor, "node_name", TEXT, VALIDATE_NAME_MAX},
    {&networkdb__bulk_sync_message__descriptor, "networks", TEXT, VALIDATE_ID_MAX},
    {&networkdb__table_event__descriptor, "node_name", TEXT, VALIDATE_NAME_MAX},
    {&networkdb__table_event__descriptor, "network_id", TEXT, VALIDATE_ID_MAX},
    {&networkdb__table_event__descriptor, "table_name", TEXT, VALIDATE_NAME_MAX},
    {&networkdb__table_event__descriptor, "key", TEXT, VALIDATE_TABLE_KEY_MAX},
    {&networkdb__table_event__descriptor, "value", BYTES, VALIDATE_TABLE_ROW_MAX},
    {&libnetwork__endpoint_record__descriptor, "name", TEXT, VALIDATE_NAME_MAX},
    {&libnetwork__endpoint_record__descriptor, "service_name", TEXT, VALIDATE_NAME_MAX},
    {&libnetwork__endpoint_record__descriptor, "service_id", TEXT, VALIDATE_ID_MAX},
    {&libnetwork__endpoint_record__descriptor, "virtual_ip", TEXT, VALIDATE_IP_MAX},
    {&libnetwork__endpoint_record__descriptor, "endpoint_ip", TEXT, VALIDATE_IP_MAX},
    {&libnetwork__endpoint_record__descriptor, "ingress_ports", LIST, VALIDATE_PORTS_MAX},
    {&libnetwork__endpoint_record__descriptor, "aliases", LIST, VALIDATE_LIST_MAX},
    {&libnetwork__endpoint_record__descriptor, "aliases", TEXT, VALIDATE_NAME_MAX},
    {&libnetwork__endpoint_record__descriptor, "task_aliases", LIST, VALIDATE_LIST_MAX},
    {&libnetwork__endpoint_record__descriptor, "task_aliases", TEXT, VALIDATE_NAME_MAX},
    {&overlay__peer_record__descriptor, "endpoint_ip", TEXT, VALIDATE_IP_MAX},
    {&overlay__peer_record__descriptor, "endpoint_mac", TEXT, VALIDATE_IP_MAX},
    {&overlay__peer_record__descriptor, "tunnel_endpoint_ip", TEXT, VALIDATE_IP_MAX},
};

static int too_much(const struct rule *rule, const char *what, size_t found, struct err *err)
{
    return err_set(err, ERR_INVALID_ARGUMENT, "%s.%s: %zu%s; at most %zu", rule->type->short_name,
                   rule->field, found, what, rule->max);
}

static int check_present(const struct rule *rule, const ProtobufCFieldDescriptor *field,
                         const void *message, struct err *err)
{
    bool present = field_is_oneof(field) ? *(const uint32_t *)field_quantifier(field, message) != 0
                                         : field_message(field, message) != NULL;
    if (present)
        return 0;
    return err_set(err, ERR_INVALID_ARGUMENT, "%s: %s is missing", rule->type->short_name,
                   field_is_oneof(field) ? "its content" : rule->field);
}

static int check_texts(const struct rule *rule, const ProtobufCFieldDescriptor *field,
                       const void *message, struct err *err)
{
    const char *const *texts = field_at(field, message);
    size_t count = 1;
    if (field_is_repeated(field)) {
        count = field_count(field, message);
        texts = *(const char *const *const *)texts;
    }
    for (size_t i = 0; i < count; i++)
        if (texts[i] && strlen(texts[i]) > rule->max)
            return too_much(rule, " bytes", strlen(texts[i]), err);
    return 0;
}

static int check_rule(const struct rule *rule, const void *message, struct err *err)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(rule->type, rule->field);
    CHECK(field);
    size_t found;
    switch (rule->kind) {
    case PRESENT:
        return check_present(rule, field, message, err);
    case TEXT:
        CHECK(field->type == PROTOBUF_C_TYPE_STRING);
        return check_texts(rule, field, message, err);
    case BYTES:
        CHECK(field->type == PROTOBUF_C_TYPE_BYTES);
        found = ((const ProtobufCBinaryData *)field_at(field, message))->len;
        return found <= rule->max ? 0 : too_much(rule, " bytes", found, err);
    case LIST:
        CHECK(field_is_repeated(field));
        found = field_count(field, message);
        return found <= rule->max ? 0 : too_much(rule, " elements", found, err);
    case NUMBER:
        CHECK(field->type == PROTOBUF_C_TYPE_UINT32);
        found = *(const uint32_t *)field_at(field, message);
        return found <= rule->max ? 0 : too_much(rule, "", found, err);
    }
    UNREACHABLE("a rule outside the enumeration");
}

// ---- rules that are more than one field --------------------------------------------------------

static int check_timestamp(const Google__Timestamp *timestamp, struct err *err)
{
    if (timestamp->nanos < 0 || timestamp->nanos >= NS_PER_S)
        return err_set(err, ERR_INVALID_ARGUMENT, "Timestamp: %d nanoseconds",
                       (int)timestamp->nanos);
    return 0;
}

static int check_duration(const Google__Duration *duration, struct err *err)
{
    bool fits = duration->nanos > -NS_PER_S && duration->nanos < NS_PER_S;
    bool signs = !(duration->seconds > 0 && duration->nanos < 0) &&
                 !(duration->seconds < 0 && duration->nanos > 0);
    if (!fits || !signs)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "Duration: %" PRId64 " seconds and %d nanoseconds", duration->seconds,
                       (int)duration->nanos);
    return 0;
}

// A leader's log as it sends it (Raft paper, figure 2, AppendEntries): a core may rely on it.
static int check_raft_entries(const Raftpb__Message *message, struct err *err)
{
    if (message->type != RAFTPB__MESSAGE_TYPE__MsgApp)
        return 0;
    uint64_t term = message->logterm;
    for (size_t i = 0; i < message->n_entries; i++) {
        const Raftpb__Entry *entry = message->entries[i];
        uint64_t index;
        if (__builtin_add_overflow(message->index, (uint64_t)i + 1, &index) ||
            entry->index != index)
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "MsgApp: entry %zu after index %" PRIu64 " has index %" PRIu64, i,
                           message->index, entry->index);
        if (entry->term < term || entry->term > message->term)
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "MsgApp: entry %" PRIu64 " has term %" PRIu64 ", outside of %" PRIu64
                           " to %" PRIu64,
                           entry->index, entry->term, term, message->term);
        term = entry->term;
    }
    return 0;
}

// ---- the walk ----------------------------------------------------------------------------------

static int visit(ProtobufCMessage *message, void *context)
{
    struct err *err = context;
    const wire_type *type = message->descriptor;
    int rc = 0;
    if (type == &google__timestamp__descriptor)
        rc = check_timestamp((const Google__Timestamp *)message, err);
    else if (type == &google__duration__descriptor)
        rc = check_duration((const Google__Duration *)message, err);
    else if (type == &raftpb__message__descriptor)
        rc = check_raft_entries((const Raftpb__Message *)message, err);
    for (size_t i = 0; rc == 0 && i < COUNT_OF(rules); i++)
        if (rules[i].type == type)
            rc = check_rule(&rules[i], message, err);
    // Recursion is bounded: decoding let nothing pass that is deeper than WIRE_DEPTH_MAX.
    return rc != 0 ? rc : field_each_message(message, visit, err);
}

int validate_message(const void *message, struct err *err)
{
    return visit((ProtobufCMessage *)message, err);
}
