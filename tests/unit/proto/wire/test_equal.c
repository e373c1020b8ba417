// "Deeply equal": what differs on the wire without meaning anything is the same.
#include <check.h>

#include "proto/wire/objects.pb-c.h"
#include "proto/wire/raftpb.pb-c.h"
#include "proto/wire/registry.h"
#include "proto/wire/settle.h"
#include "proto/wire/specs.pb-c.h"
#include "proto/wire/watch.pb-c.h"
#include "tests/support/fill.h"

static struct arena arena;

static void setup(void)
{
    arena_init(&arena, 64 << 20);
}

static void teardown(void)
{
    arena_fini(&arena);
}

static Swarm__Annotations__LabelsEntry *label(const char *key, const char *value)
{
    Swarm__Annotations__LabelsEntry *entry =
        wire_new(&swarm__annotations__labels_entry__descriptor, &arena);
    entry->key = key;
    entry->value = value;
    return entry;
}

START_TEST(order_of_map_entries_does_not_matter)
{
    struct rand rand;
    rand_init(&rand, (uint64_t)_i);
    for (int round = 0; round < 5; round++) {
        arena_reset(&arena);
        void *message = fill_message(registry_types[_i], &rand, &arena, 7);
        void *copy = wire_copy(message, &arena);
        fill_reverse_maps(copy);
        ck_assert(wire_equal(message, copy));
    }
}
END_TEST

START_TEST(the_last_of_entries_with_one_key_counts)
{
    Swarm__Annotations__LabelsEntry *twice[] = {label("k", "old"), label("k", "new")};
    Swarm__Annotations__LabelsEntry *once[] = {label("k", "new")};
    Swarm__Annotations a = SWARM__ANNOTATIONS__INIT, b = SWARM__ANNOTATIONS__INIT;
    a.labels = twice;
    a.n_labels = 2;
    b.labels = once;
    b.n_labels = 1;
    ck_assert(wire_equal(&a, &b));
    once[0]->value = "old";
    ck_assert(!wire_equal(&a, &b));
    b.n_labels = 0;
    ck_assert(!wire_equal(&a, &b));
}
END_TEST

START_TEST(absent_equals_empty_only_where_stock_peers_always_write)
{
    Swarm__ServiceSpec *settled = wire_new(&swarm__service_spec__descriptor, &arena);
    Swarm__ServiceSpec bare = SWARM__SERVICE_SPEC__INIT;
    ck_assert(wire_equal(settled, &bare)); // annotations, task
    settled->update = wire_new(&swarm__update_config__descriptor, &arena);
    ck_assert(!wire_equal(settled, &bare)); // all at once against one by one
    settled->update = NULL;
    settled->annotations->name = "web";
    ck_assert(!wire_equal(&bare, settled));
}
END_TEST

START_TEST(oneofs_differ_by_member_and_by_value)
{
    Swarm__SelectBy a = SWARM__SELECT_BY__INIT, b = SWARM__SELECT_BY__INIT;
    a.by_case = SWARM__SELECT_BY__BY_ID;
    a.id = "x";
    ck_assert(!wire_equal(&a, &b));
    b.by_case = SWARM__SELECT_BY__BY_NAME;
    b.name = "x";
    ck_assert(!wire_equal(&a, &b));
    b.by_case = SWARM__SELECT_BY__BY_ID;
    b.id = "y";
    ck_assert(!wire_equal(&a, &b));
    b.id = "x";
    ck_assert(wire_equal(&a, &b));
}
END_TEST

START_TEST(lists_differ_by_order)
{
    const char *forth[] = {"a", "b"}, *back[] = {"b", "a"};
    Swarm__ContainerSpec a = SWARM__CONTAINER_SPEC__INIT, b = SWARM__CONTAINER_SPEC__INIT;
    a.args = forth;
    b.args = back;
    a.n_args = b.n_args = 2;
    ck_assert(!wire_equal(&a, &b));
    b.args = forth;
    ck_assert(wire_equal(&a, &b));
    b.n_args = 1;
    ck_assert(!wire_equal(&a, &b));
}
END_TEST

START_TEST(unknown_fields_and_nothing_count)
{
    Swarm__Version a = SWARM__VERSION__INIT, b = SWARM__VERSION__INIT;
    ProtobufCMessageUnknownField field = {
        .tag = 99, .wire_type = 0, .len = 1, .data = (uint8_t[]){1}};
    a.base.n_unknown_fields = 1;
    a.base.unknown_fields = &field;
    ck_assert(!wire_equal(&a, &b));
    ck_assert(wire_equal(&a, &a));
    ck_assert(wire_equal(NULL, NULL));
    ck_assert(!wire_equal(&a, NULL));
}
END_TEST

START_TEST(absent_raft_scalars_equal_zero)
{
    Raftpb__HardState absent = RAFTPB__HARD_STATE__INIT;
    Raftpb__HardState *zero = wire_new(&raftpb__hard_state__descriptor, &arena);
    ck_assert(zero->has_term);
    ck_assert(wire_equal(&absent, zero));
}
END_TEST

START_TEST(never_null_fields_are_single_messages)
{
    // wire_new on every type walks the whole table and checks each row by itself.
    size_t found = 0;
    for (size_t i = 0; i < registry_count; i++) {
        const wire_type *type = registry_types[i];
        ck_assert_ptr_nonnull(wire_new(type, &arena));
        for (unsigned at = 0; at < type->n_fields; at++) {
            const ProtobufCFieldDescriptor *field = &type->fields[at];
            if (!settle_never_null(type, field->id))
                continue;
            ck_assert_int_eq(field->type, PROTOBUF_C_TYPE_MESSAGE);
            ck_assert_int_ne(field->label, PROTOBUF_C_LABEL_REPEATED);
            ck_assert_uint_eq(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF, 0);
            found++;
        }
    }
    ck_assert_uint_eq(found, 55);
}
END_TEST

Suite *suite_equal(void);
Suite *suite_equal(void)
{
    Suite *suite = suite_create("equal");
    TCase *tcase = tcase_create("equal");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, order_of_map_entries_does_not_matter, 0, (int)registry_count);
    tcase_add_test(tcase, the_last_of_entries_with_one_key_counts);
    tcase_add_test(tcase, absent_equals_empty_only_where_stock_peers_always_write);
    tcase_add_test(tcase, oneofs_differ_by_member_and_by_value);
    tcase_add_test(tcase, lists_differ_by_order);
    tcase_add_test(tcase, unknown_fields_and_nothing_count);
    tcase_add_test(tcase, absent_raft_scalars_equal_zero);
    tcase_add_test(tcase, never_null_fields_are_single_messages);
    suite_add_tcase(suite, tcase);
    return suite;
}
