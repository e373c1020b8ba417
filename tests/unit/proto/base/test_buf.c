// Buffers remember overflow, cursors remember running out.
#include <check.h>

#include "proto/base/buf.h"

START_TEST(put_past_the_limit_changes_nothing_and_is_remembered)
{
    struct buf buf;
    buf_init(&buf, 4);
    buf_put(&buf, "abc", 3);
    ck_assert(buf_ok(&buf));
    buf_put(&buf, "de", 2);
    ck_assert(!buf_ok(&buf));
    ck_assert_uint_eq(buf.len, 3);
    buf_put(&buf, "d", 1); // would fit, but the sequence is already broken
    ck_assert_uint_eq(buf.len, 3);
    buf_fini(&buf);
}
END_TEST

START_TEST(integers_round_trip_in_both_orders)
{
    struct buf buf;
    buf_init(&buf, 1024);
    buf_put_u8(&buf, 0xfe);
    buf_put_u16be(&buf, 0xbeef);
    buf_put_u32be(&buf, 0xdeadbeef);
    buf_put_u64be(&buf, 0x0123456789abcdef);
    buf_put_u32le(&buf, 0xdeadbeef);
    buf_put_u64le(&buf, 0x0123456789abcdef);
    buf_put_uvarint(&buf, UINT64_MAX);
    buf_put_uvarint(&buf, 300);
    struct cursor cursor = cursor_of(buf.data, buf.len);
    ck_assert_uint_eq(cursor_u8(&cursor), 0xfe);
    ck_assert_uint_eq(cursor_u16be(&cursor), 0xbeef);
    ck_assert_uint_eq(cursor_u32be(&cursor), 0xdeadbeef);
    ck_assert_uint_eq(cursor_u64be(&cursor), 0x0123456789abcdef);
    ck_assert_uint_eq(cursor_u32le(&cursor), 0xdeadbeef);
    ck_assert_uint_eq(cursor_u64le(&cursor), 0x0123456789abcdef);
    ck_assert_uint_eq(cursor_uvarint(&cursor), UINT64_MAX);
    ck_assert_uint_eq(cursor_uvarint(&cursor), 300);
    ck_assert(cursor_done(&cursor));
    buf_fini(&buf);
}
END_TEST

START_TEST(get_past_the_end_gives_zero_and_sticks)
{
    struct cursor cursor = cursor_of("\x01\x02\x03", 3);
    ck_assert_uint_eq(cursor_u16be(&cursor), 0x0102);
    ck_assert_uint_eq(cursor_u16be(&cursor), 0);
    ck_assert(!cursor_ok(&cursor));
    ck_assert_uint_eq(cursor_u8(&cursor), 0); // the one byte left is not handed out any more
    ck_assert(!cursor_done(&cursor));
}
END_TEST

START_TEST(varint_longer_than_64_bits_is_bad)
{
    struct cursor cursor = cursor_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10);
    cursor_uvarint(&cursor);
    ck_assert(!cursor_ok(&cursor));
}
END_TEST

START_TEST(cstr_ends_with_a_nul_that_does_not_count)
{
    struct buf buf;
    buf_init(&buf, 4);
    ck_assert_str_eq(buf_cstr(&buf), "");
    buf_printf(&buf, "%d", 123);
    ck_assert_str_eq(buf_cstr(&buf), "123");
    ck_assert_uint_eq(buf.len, 3);
    buf_put_u8(&buf, '4');
    ck_assert_ptr_null(buf_cstr(&buf)); // no room for the NUL
    ck_assert(buf_ok(&buf));
    buf_fini(&buf);
}
END_TEST

START_TEST(consume_keeps_the_rest)
{
    struct buf buf;
    buf_init(&buf, 64);
    buf_put_str(&buf, "headbody");
    buf_consume(&buf, 4);
    ck_assert_str_eq(buf_cstr(&buf), "body");
    buf_consume(&buf, 4);
    ck_assert_uint_eq(buf.len, 0);
    buf_fini(&buf);
}
END_TEST

Suite *suite_buf(void);
Suite *suite_buf(void)
{
    Suite *suite = suite_create("buf");
    TCase *tcase = tcase_create("buf");
    tcase_add_test(tcase, put_past_the_limit_changes_nothing_and_is_remembered);
    tcase_add_test(tcase, integers_round_trip_in_both_orders);
    tcase_add_test(tcase, cstr_ends_with_a_nul_that_does_not_count);
    tcase_add_test(tcase, consume_keeps_the_rest);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("cursor");
    tcase_add_test(tcase, get_past_the_end_gives_zero_and_sticks);
    tcase_add_test(tcase, varint_longer_than_64_bits_is_bad);
    suite_add_tcase(suite, tcase);
    return suite;
}
