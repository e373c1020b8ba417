// Encoded messages without decoding them.
#include <check.h>
#include <string.h>

#include "proto/wire/objects.pb-c.h"
#include "proto/wire/raw.h"
#include "proto/wire/wire.h"

static struct buf one;
static struct buf other;

static void set_up(void)
{
    buf_init(&one, 1 << 20);
    buf_init(&other, 1 << 20);
}

static void tear_down(void)
{
    buf_fini(&one);
    buf_fini(&other);
}

static void pack_task(struct buf *out, const char *id, int state, uint64_t slot)
{
    struct arena arena;
    arena_init(&arena, 1 << 20);
    Swarm__Task *task = wire_new(&swarm__task__descriptor, &arena);
    task->id = id;
    task->slot = slot;
    task->status->state = (Swarm__TaskState)state;
    buf_clear(out);
    ck_assert_int_eq(wire_pack(task, out, NULL), 0);
    arena_fini(&arena);
}

START_TEST(fields_are_read_without_decoding)
{
    pack_task(&one, "task1", 512, 300);
    struct raw field;
    ck_assert(raw_find(one.data, one.len, 1, &field));
    ck_assert_uint_eq(field.size, 5);
    ck_assert_mem_eq(field.bytes, "task1", 5);
    ck_assert_uint_eq(raw_uint(one.data, one.len, 5), 300);
    ck_assert_uint_eq(raw_uint(one.data, one.len, 6), 0); // absent
    struct cursor status = raw_inside(one.data, one.len, 9);
    ck_assert_uint_eq(raw_uint(status.at, cursor_left(&status), 2), 512);
    status = raw_inside(one.data, one.len, 12);
    ck_assert_uint_eq(cursor_left(&status), 0);
}
END_TEST

START_TEST(differences_count_but_in_excepted_fields)
{
    pack_task(&one, "t", 512, 1);
    pack_task(&other, "t", 576, 1);
    ck_assert(!raw_same(one.data, one.len, other.data, other.len, 0));
    ck_assert(raw_same(one.data, one.len, other.data, other.len, 1 << 9));
    pack_task(&other, "t", 576, 2);
    ck_assert(!raw_same(one.data, one.len, other.data, other.len, 1 << 9));
    pack_task(&other, "t", 576, 0); // a field less
    ck_assert(!raw_same(one.data, one.len, other.data, other.len, 1 << 9));
}
END_TEST

START_TEST(broken_bytes_end_the_walk)
{
    static const uint8_t cut[] = {0x0a, 0x05, 'a'};
    struct cursor cursor = cursor_of(cut, sizeof cut);
    struct raw field;
    ck_assert(!raw_next(&cursor, &field));
    ck_assert(!cursor_ok(&cursor));
    ck_assert(!raw_find(cut, sizeof cut, 1, &field));
    ck_assert(!raw_same(cut, sizeof cut, cut, sizeof cut, 0));
}
END_TEST

START_TEST(what_is_put_together_decodes)
{
    struct buf inner;
    buf_init(&inner, 100);
    raw_put_uint(&inner, 2, 512);
    raw_put_text(&one, 1, "task1");
    raw_put_uint(&one, 5, 300);
    raw_put_uint(&one, 10, 0); // left out
    ck_assert_uint_eq(raw_head_size(9, inner.len), 2);
    raw_put_message(&one, 9, inner.data, inner.len);
    raw_put_message(&one, 12, NULL, 0); // there, but empty
    buf_fini(&inner);
    struct err err = ERR_INIT;
    Swarm__Task *task =
        wire_unpack(&swarm__task__descriptor, one.data, one.len, &WIRE_LIMITS_RPC, NULL, &err);
    ck_assert_msg(task != NULL, "%s", err.message);
    ck_assert_str_eq(task->id, "task1");
    ck_assert_uint_eq(task->slot, 300);
    ck_assert_int_eq(task->status->state, 512);
    ck_assert_ptr_nonnull(task->endpoint);
    wire_free(task);
}
END_TEST

Suite *suite_raw(void);
Suite *suite_raw(void)
{
    Suite *suite = suite_create("raw");
    TCase *tcase = tcase_create("raw");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, fields_are_read_without_decoding);
    tcase_add_test(tcase, differences_count_but_in_excepted_fields);
    tcase_add_test(tcase, broken_bytes_end_the_walk);
    tcase_add_test(tcase, what_is_put_together_decodes);
    suite_add_tcase(suite, tcase);
    return suite;
}
