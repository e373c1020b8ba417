// Bounds and forms that every message from a peer has to keep.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/dispatcher.pb-c.h"
#include "proto/wire/endpoint.pb-c.h"
#include "proto/wire/networkdb.pb-c.h"
#include "proto/wire/raft.pb-c.h"
#include "proto/wire/raftpb.pb-c.h"
#include "proto/wire/registry.h"
#include "proto/wire/specs.pb-c.h"
#include "proto/wire/times.h"
#include "proto/wire/validate.h"
#include "proto/wire/wire.h"

static struct arena arena;
static struct err err;

static void setup(void)
{
    arena_init(&arena, 64 << 20);
    err_clear(&err);
}

static void teardown(void)
{
    arena_fini(&arena);
}

static void accepted(const void *message)
{
    ck_assert_msg(validate_message(message, &err) == 0, "%s", err.message);
}

static void refused(const void *message, const char *text)
{
    ck_assert_int_eq(validate_message(message, &err), -ERR_INVALID_ARGUMENT);
    ck_assert_str_eq(err.message, text);
}

START_TEST(every_type_meets_the_rules_that_name_it)
{
    // Rules name fields by text: an empty message of each type runs into a name that is wrong.
    for (size_t i = 0; i < registry_count; i++)
        validate_message(wire_new(registry_types[i], &arena), NULL);
}
END_TEST

START_TEST(ports_end_at_65535)
{
    Swarm__PortConfig *port = wire_new(&swarm__port_config__descriptor, &arena);
    Swarm__EndpointSpec *spec = wire_new(&swarm__endpoint_spec__descriptor, &arena);
    spec->ports = &port;
    spec->n_ports = 1;
    port->published_port = 65535;
    accepted(spec);
    port->target_port = 65536;
    refused(spec, "PortConfig.target_port: 65536; at most 65535");
}
END_TEST

START_TEST(what_readers_rely_on_is_present)
{
    Swarm__WeightedPeer *weighted = wire_new(&swarm__weighted_peer__descriptor, &arena);
    Swarm__SessionMessage *session = wire_new(&swarm__session_message__descriptor, &arena);
    session->managers = &weighted;
    session->n_managers = 1;
    refused(session, "WeightedPeer: peer is missing");
    weighted->peer = wire_new(&swarm__peer__descriptor, &arena);
    accepted(session);
    Swarm__StoreAction *action = wire_new(&swarm__store_action__descriptor, &arena);
    refused(action, "StoreAction: its content is missing");
    action->target_case = SWARM__STORE_ACTION__TARGET_SECRET;
    action->secret = wire_new(&swarm__secret__descriptor, &arena);
    accepted(action);
}
END_TEST

START_TEST(texts_bytes_and_lists_end_at_their_bound)
{
    char *text = arena_alloc(&arena, VALIDATE_TABLE_ROW_MAX + 2);
    memset(text, 'x', VALIDATE_TABLE_ROW_MAX + 1);
    Networkdb__TableEvent *event = wire_new(&networkdb__table_event__descriptor, &arena);
    event->value = (ProtobufCBinaryData){.data = (uint8_t *)text, .len = VALIDATE_TABLE_ROW_MAX};
    accepted(event);
    event->value.len++;
    refused(event, "TableEvent.value: 65537 bytes; at most 65536");
    event->value.len = 0;
    event->key = text + VALIDATE_TABLE_ROW_MAX + 1 - VALIDATE_TABLE_KEY_MAX;
    accepted(event);
    event->key--;
    refused(event, "TableEvent.key: 1025 bytes; at most 1024");

    Libnetwork__EndpointRecord *record = wire_new(&libnetwork__endpoint_record__descriptor, &arena);
    record->aliases = arena_alloc_array(&arena, VALIDATE_LIST_MAX + 1, sizeof(char *));
    for (size_t i = 0; i <= VALIDATE_LIST_MAX; i++)
        record->aliases[i] = "a";
    record->n_aliases = VALIDATE_LIST_MAX;
    accepted(record);
    record->n_aliases++;
    refused(record, "EndpointRecord.aliases: 1025 elements; at most 1024");
    record->n_aliases = 1;
    record->aliases[0] = text;
    refused(record, "EndpointRecord.aliases: 65537 bytes; at most 255");
}
END_TEST

START_TEST(times_are_in_their_form)
{
    Swarm__HeartbeatResponse *beat = wire_new(&swarm__heartbeat_response__descriptor, &arena);
    duration_set(beat->period, -1500 * NS_PER_MS);
    accepted(beat);
    beat->period->nanos = 1;
    refused(beat, "Duration: -1 seconds and 1 nanoseconds");
    *beat->period = (Google__Duration)GOOGLE__DURATION__INIT;
    beat->period->nanos = 1000000000;
    refused(beat, "Duration: 0 seconds and 1000000000 nanoseconds");
    Google__Timestamp *timestamp = timestamp_new((struct wall){1}, &arena);
    accepted(timestamp);
    timestamp->nanos = -1;
    refused(timestamp, "Timestamp: -1 nanoseconds");
}
END_TEST

static Raftpb__Entry *entry(uint64_t index, uint64_t term)
{
    Raftpb__Entry *made = wire_new(&raftpb__entry__descriptor, &arena);
    made->index = index;
    made->term = term;
    return made;
}

START_TEST(raft_entries_follow_one_another)
{
    Raftpb__Entry *entries[] = {entry(8, 2), entry(9, 3)};
    Raftpb__Message *message = wire_new(&raftpb__message__descriptor, &arena);
    message->type = RAFTPB__MESSAGE_TYPE__MsgApp;
    message->index = 7;
    message->logterm = 2;
    message->term = 3;
    message->entries = entries;
    message->n_entries = 2;
    accepted(message);
    entries[1]->index = 10;
    refused(message, "MsgApp: entry 1 after index 7 has index 10");
    entries[1]->index = 9;
    entries[1]->term = 4;
    refused(message, "MsgApp: entry 9 has term 4, outside of 2 to 3");
    entries[1]->term = 1;
    refused(message, "MsgApp: entry 9 has term 1, outside of 2 to 3");
    message->index = UINT64_MAX;
    ck_assert_int_ne(validate_message(message, &err), 0);
    message->type = RAFTPB__MESSAGE_TYPE__MsgProp; // not checked: dropped by its reader
    accepted(message);
}
END_TEST

Suite *suite_validate(void);
Suite *suite_validate(void)
{
    Suite *suite = suite_create("validate");
    TCase *tcase = tcase_create("validate");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, every_type_meets_the_rules_that_name_it);
    tcase_add_test(tcase, ports_end_at_65535);
    tcase_add_test(tcase, what_readers_rely_on_is_present);
    tcase_add_test(tcase, texts_bytes_and_lists_end_at_their_bound);
    tcase_add_test(tcase, times_are_in_their_form);
    tcase_add_test(tcase, raft_entries_follow_one_another);
    suite_add_tcase(suite, tcase);
    return suite;
}
