// Every message survives the way to the wire and back; hostile bytes meet a limit first.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/control.pb-c.h"
#include "proto/wire/endpoint.pb-c.h"
#include "proto/wire/objects.pb-c.h"
#include "proto/wire/raft.pb-c.h"
#include "proto/wire/raftpb.pb-c.h"
#include "proto/wire/registry.h"
#include "proto/wire/snapshot.pb-c.h"
#include "proto/wire/wire.h"
#include "tests/support/fill.h"

#define ROUNDS 20
#define DEPTH  9

static struct arena arena;

static void setup(void)
{
    arena_init(&arena, 64 << 20);
}

static void teardown(void)
{
    arena_fini(&arena);
}

static void *unpack(const wire_type *type, const void *bytes, size_t size, enum err_code *code)
{
    struct err err = ERR_INIT;
    void *message = wire_unpack(type, bytes, size, &WIRE_LIMITS_RPC, &arena, &err);
    *code = err.code;
    return message;
}

// ---- every message ---------------------------------------------------------------------------

START_TEST(every_message_round_trips)
{
    // Random content, encoded and decoded, is the same; so is a heap copy of it; and encoding the
    // decoded message once more gives the same bytes.
    const wire_type *type = registry_types[_i];
    struct rand rand;
    rand_init(&rand, (uint64_t)_i + 1);
    for (int round = 0; round < ROUNDS; round++) {
        arena_reset(&arena);
        void *message = fill_message(type, &rand, &arena, DEPTH);
        ck_assert(wire_settle(message, &arena));
        size_t size;
        uint8_t *bytes = wire_pack_arena(message, &arena, &size);
        struct err err = ERR_INIT;
        void *back = wire_unpack(type, bytes, size, &WIRE_LIMITS_RPC, NULL, &err);
        ck_assert_msg(back, "%s: %s", type->name, err.message);
        ck_assert_msg(wire_equal(message, back), "%s", type->name);
        struct buf again;
        buf_init(&again, size + 1);
        ck_assert_int_eq(wire_pack(back, &again, NULL), 0);
        ck_assert_uint_eq(again.len, size);
        ck_assert(size == 0 || memcmp(again.data, bytes, size) == 0);
        void *copy = wire_copy(back, NULL);
        wire_free(back);
        ck_assert(wire_equal(message, copy));
        wire_free(copy);
        buf_fini(&again);
        ck_assert(!arena_overflowed(&arena));
    }
}
END_TEST

START_TEST(every_prefix_of_a_message_is_answered)
{
    // Cut anywhere, a message decodes or is refused; nothing is read past the cut.
    const wire_type *type = registry_types[_i];
    struct rand rand;
    rand_init(&rand, (uint64_t)_i + 1000);
    void *message = fill_message(type, &rand, &arena, 4);
    size_t size;
    uint8_t *bytes = wire_pack_arena(message, &arena, &size);
    size_t step = 1 + size / 200;
    for (size_t cut = 0; cut < size; cut += step) {
        uint8_t *exact = malloc(cut ? cut : 1);
        ck_assert_ptr_nonnull(exact);
        memcpy(exact, bytes, cut);
        wire_free(wire_unpack(type, exact, cut, &WIRE_LIMITS_RPC, NULL, NULL));
        free(exact);
    }
}
END_TEST

START_TEST(registry_knows_all_by_name)
{
    // 299 messages of the tables, google.rpc.Status, five of google.protobuf, 26 kinds of map
    // entries, and two of our own.
    ck_assert_uint_eq(registry_count, 299 + 1 + 5 + 26 + 2);
    size_t maps = 0;
    for (size_t i = 0; i < registry_count; i++) {
        ck_assert_ptr_eq(registry_find(registry_types[i]->name), registry_types[i]);
        maps += wire_type_is_map_entry(registry_types[i]);
    }
    ck_assert_uint_eq(maps, 26);
    ck_assert_ptr_null(registry_find("docker.swarmkit.v1.Nothing"));
}
END_TEST

// ---- what decoding promises ------------------------------------------------------------------

START_TEST(unknown_fields_survive)
{
    // Fields 3000 (bytes), 3001 (varint) and 3002 (fixed32), on top and inside Meta.
    static const uint8_t meta[] = {0x12, 0x0b, 0xc2, 0xbb, 0x01, 0x02, 'h',
                                   'i',  0xc8, 0xbb, 0x01, 0x96, 0x01};
    static const uint8_t top[] = {0xd5, 0xbb, 0x01, 1, 2, 3, 4};
    uint8_t bytes[2 + 1 + sizeof meta + sizeof top] = {0x0a, 1, 'x'};
    memcpy(bytes + 3, meta, sizeof meta);
    memcpy(bytes + 3 + sizeof meta, top, sizeof top);
    enum err_code code;
    Swarm__Node *node = unpack(&swarm__node__descriptor, bytes, sizeof bytes, &code);
    ck_assert_ptr_nonnull(node);
    ck_assert_uint_eq(node->base.n_unknown_fields, 1);
    ck_assert_uint_eq(node->meta->base.n_unknown_fields, 2);
    // Settled on arrival, so the bytes grow; but what was unknown is in them.
    Swarm__Node *copy = wire_copy(node, NULL);
    size_t size;
    uint8_t *again = wire_pack_arena(copy, &arena, &size);
    wire_free(copy);
    ck_assert_ptr_nonnull(memmem(again, size, meta + 2, sizeof meta - 2));
    ck_assert_ptr_nonnull(memmem(again, size, top, sizeof top));
    ck_assert(wire_equal(node, unpack(&swarm__node__descriptor, again, size, &code)));
}
END_TEST

START_TEST(decoded_messages_are_settled)
{
    enum err_code code;
    Swarm__Task *task = unpack(&swarm__task__descriptor, "\x0a\x01t", 3, &code);
    ck_assert_ptr_nonnull(task);
    ck_assert_ptr_nonnull(task->meta->version);
    ck_assert_ptr_nonnull(task->spec);
    ck_assert_ptr_nonnull(task->service_annotations);
    ck_assert_str_eq(task->status->message, "");
    ck_assert_ptr_null(task->spec->restart); // its absence means something
    Swarm__Cluster *cluster = wire_new(&swarm__cluster__descriptor, &arena);
    ck_assert_str_eq(cluster->root_ca->join_tokens->worker, "");
    ck_assert_ptr_nonnull(cluster->spec->ca_config);
}
END_TEST

START_TEST(raft_scalars_are_written_when_zero)
{
    // etcd writes zeros: a heartbeat has all nine scalars on the wire.
    Raftpb__Message *message = wire_new(&raftpb__message__descriptor, &arena);
    message->type = RAFTPB__MESSAGE_TYPE__MsgHeartbeat;
    message->to = 2;
    static const uint8_t expected[] = {0x08, 8, 0x10, 2, 0x18, 0, 0x20, 0, 0x28, 0,
                                       0x30, 0, 0x40, 0, 0x50, 0, 0x58, 0, 0x68, 0};
    size_t size;
    uint8_t *bytes = wire_pack_arena(message, &arena, &size);
    ck_assert_uint_eq(size, sizeof expected);
    ck_assert_mem_eq(bytes, expected, size);
}
END_TEST

START_TEST(lists_are_read_packed_and_unpacked)
{
    // JoinResponse.removed_members: stock peers write it unpacked, newer ones may pack.
    enum err_code code;
    Swarm__JoinResponse *unpacked =
        unpack(&swarm__join_response__descriptor, "\x18\x05\x18\x06", 4, &code);
    Swarm__JoinResponse *packed =
        unpack(&swarm__join_response__descriptor, "\x1a\x02\x05\x06", 4, &code);
    ck_assert_ptr_nonnull(unpacked);
    ck_assert(wire_equal(unpacked, packed));
    ck_assert_uint_eq(packed->n_removed_members, 2);
    size_t size;
    uint8_t *bytes = wire_pack_arena(packed, &arena, &size);
    ck_assert_uint_eq(size, 4);
    ck_assert_mem_eq(bytes, "\x18\x05\x18\x06", 4);
}
END_TEST

// ---- limits ----------------------------------------------------------------------------------

START_TEST(nesting_meets_its_limit_before_memory_is_taken)
{
    // raftpb.Message.responses nests without end.
    uint8_t bytes[256];
    size_t size = 0;
    for (int level = 0; level < 40; level++) {
        memmove(bytes + 2, bytes, size);
        bytes[0] = 14 << 3 | 2;
        bytes[1] = (uint8_t)size;
        size += 2;
    }
    struct err err = ERR_INIT;
    size_t before = arena.used_bytes;
    ck_assert_ptr_null(
        wire_unpack(&raftpb__message__descriptor, bytes, size, &WIRE_LIMITS_RPC, &arena, &err));
    ck_assert_int_eq(err.code, ERR_RESOURCE_EXHAUSTED);
    ck_assert_uint_eq(arena.used_bytes, before);
}
END_TEST

START_TEST(size_and_field_count_meet_their_limits)
{
    struct wire_limits tight = {.bytes = 9, .fields = 3, .depth = 2};
    struct err err = ERR_INIT;
    const wire_type *type = &swarm__list_tasks_request__filters__descriptor;
    ck_assert_ptr_nonnull(wire_unpack(type, "\x0a\0\x0a\0\x0a\0", 6, &tight, &arena, &err));
    ck_assert_ptr_null(wire_unpack(type, "\x0a\0\x0a\0\x0a\0\x0a\0", 8, &tight, &arena, &err));
    ck_assert_int_eq(err.code, ERR_RESOURCE_EXHAUSTED);
    ck_assert_ptr_null(wire_unpack(type, "0123456789", 10, &tight, &arena, &err));
    ck_assert_int_eq(err.code, ERR_RESOURCE_EXHAUSTED);
    // Packed values count one by one.
    ck_assert_ptr_null(wire_unpack(type, "\x32\x04\1\1\1\1", 6, &tight, &arena, &err));
    ck_assert_int_eq(err.code, ERR_RESOURCE_EXHAUSTED);
}
END_TEST

START_TEST(no_field_costs_more_memory_than_stated)
{
    // The worst: a list of thousands of empty messages, of every type that stands in a list.
    enum { COUNT = 2000 };
    for (size_t i = 0; i < registry_count; i++) {
        for (unsigned at = 0; at < registry_types[i]->n_fields; at++) {
            const ProtobufCFieldDescriptor *field = &registry_types[i]->fields[at];
            if (field->label != PROTOBUF_C_LABEL_REPEATED || field->id > 15 ||
                field->type != PROTOBUF_C_TYPE_MESSAGE)
                continue;
            uint8_t bytes[2 * COUNT];
            for (size_t pair = 0; pair < COUNT; pair++) {
                bytes[2 * pair] = (uint8_t)(field->id << 3 | 2);
                bytes[2 * pair + 1] = 0;
            }
            arena_reset(&arena);
            enum err_code code;
            ck_assert_ptr_nonnull(unpack(registry_types[i], bytes, sizeof bytes, &code));
            ck_assert_uint_le(arena.used_bytes, sizeof bytes + WIRE_FIELD_COST_MAX * COUNT);
        }
    }
}
END_TEST

START_TEST(a_small_arena_is_an_error)
{
    struct rand rand;
    rand_init(&rand, 7);
    void *message = fill_message(&swarm__task__descriptor, &rand, &arena, 6);
    size_t size;
    uint8_t *bytes = wire_pack_arena(message, &arena, &size);
    for (size_t limit = 0; limit < 4096; limit += 64) {
        struct arena small;
        arena_init(&small, limit);
        struct err err = ERR_INIT;
        if (!wire_unpack(&swarm__task__descriptor, bytes, size, &WIRE_LIMITS_RPC, &small, &err))
            ck_assert_int_eq(err.code, ERR_RESOURCE_EXHAUSTED);
        arena_reset(&small);
        ck_assert(wire_copy(message, &small) || arena_overflowed(&small));
        arena_fini(&small);
    }
}
END_TEST

START_TEST(malformed_bytes_are_refused)
{
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        {"\x0a", 1},                                          // a length is missing
        {"\x0a\x05hi", 4},                                    // shorter than its length
        {"\x00\x01", 2},                                      // field number 0
        {"\x0b", 1},                                          // a group
        {"\x08\x01", 2},                                      // a varint where Node has a string
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11}, // length 2^64 - 1
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11}, // a tag of eleven bytes
        {"\x0a\x02"
         "a\0",
         4}, // a NUL in a text
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum err_code code;
        ck_assert_ptr_null(unpack(&swarm__node__descriptor, cases[i].bytes, cases[i].size, &code));
        ck_assert_int_eq(code, ERR_INVALID_ARGUMENT);
    }
}
END_TEST

START_TEST(state_that_others_accepted_may_hold_nul)
{
    Swarm__Node *node = wire_unpack(&swarm__node__descriptor,
                                    "\x0a\x03"
                                    "a\0b",
                                    5, &WIRE_LIMITS_STATE, &arena, NULL);
    ck_assert_ptr_nonnull(node);
    ck_assert_str_eq(node->id, "a");
}
END_TEST

START_TEST(nothing_is_an_empty_message)
{
    enum err_code code;
    ck_assert_ptr_nonnull(unpack(&swarm__remove_node_response__descriptor, NULL, 0, &code));
    ck_assert_uint_eq(wire_size(wire_new(&swarm__service_spec__descriptor, &arena)), 4);
    wire_free(NULL);
}
END_TEST

START_TEST(a_full_buffer_is_an_error)
{
    struct buf buf;
    buf_init(&buf, 1);
    Libnetwork__EndpointRecord record = LIBNETWORK__ENDPOINT_RECORD__INIT;
    ck_assert_int_eq(wire_pack(&record, &buf, NULL), 0);
    record.name = "web";
    ck_assert_int_eq(wire_pack(&record, &buf, NULL), -ERR_RESOURCE_EXHAUSTED);
    ck_assert(!buf_ok(&buf));
    buf_fini(&buf);
}
END_TEST

Suite *suite_wire(void);
Suite *suite_wire(void)
{
    Suite *suite = suite_create("wire");
    TCase *each = tcase_create("each");
    tcase_add_checked_fixture(each, setup, teardown);
    tcase_add_loop_test(each, every_message_round_trips, 0, (int)registry_count);
    tcase_add_loop_test(each, every_prefix_of_a_message_is_answered, 0, (int)registry_count);
    suite_add_tcase(suite, each);
    TCase *tcase = tcase_create("decoding");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, registry_knows_all_by_name);
    tcase_add_test(tcase, unknown_fields_survive);
    tcase_add_test(tcase, decoded_messages_are_settled);
    tcase_add_test(tcase, raft_scalars_are_written_when_zero);
    tcase_add_test(tcase, lists_are_read_packed_and_unpacked);
    tcase_add_test(tcase, nesting_meets_its_limit_before_memory_is_taken);
    tcase_add_test(tcase, size_and_field_count_meet_their_limits);
    tcase_add_test(tcase, no_field_costs_more_memory_than_stated);
    tcase_add_test(tcase, a_small_arena_is_an_error);
    tcase_add_test(tcase, malformed_bytes_are_refused);
    tcase_add_test(tcase, state_that_others_accepted_may_hold_nul);
    tcase_add_test(tcase, nothing_is_an_empty_message);
    tcase_add_test(tcase, a_full_buffer_is_an_error);
    suite_add_tcase(suite, tcase);
    return suite;
}
