// JSON is read within bounds and written as Go writes it.
#include <check.h>
#include <string.h>

#include "proto/base/json.h"

START_TEST(values_nest_with_their_commas)
{
    struct buf buf;
    struct json_out out;
    buf_init(&buf, 4096);
    json_out_init(&out, &buf);
    json_out_object(&out, NULL);
    json_out_str(&out, "s", "a\"b\\c\n\x01\x7f<>&");
    json_out_int(&out, "i", -5);
    json_out_uint(&out, "u", UINT64_MAX);
    json_out_array(&out, "a");
    json_out_bool(&out, NULL, true);
    json_out_null(&out, NULL);
    json_out_double(&out, NULL, 0.1);
    json_out_raw(&out, NULL, "[]", 2);
    json_out_end(&out);
    ck_assert(!json_out_done(&out));
    json_out_object(&out, "o");
    json_out_end(&out);
    json_out_end(&out);
    ck_assert(json_out_done(&out));
    ck_assert_str_eq(buf_cstr(&buf),
                     "{\"s\":\"a\\\"b\\\\c\\n\\u0001\x7f<>&\",\"i\":-5,"
                     "\"u\":18446744073709551615,\"a\":[true,null,0.1,[]],\"o\":{}}");
    json_t *value = json_parse(buf.data, buf.len, NULL);
    ck_assert_ptr_null(value); // jansson has no unsigned 64-bit numbers, and says so
    buf_fini(&buf);
}
END_TEST

START_TEST(numbers_are_written_to_their_ends)
{
    struct buf buf;
    struct json_out out;
    buf_init(&buf, 4096);
    json_out_init(&out, &buf);
    json_out_array(&out, NULL);
    json_out_int(&out, NULL, 0);
    json_out_int(&out, NULL, INT64_MIN);
    json_out_int(&out, NULL, INT64_MAX);
    json_out_uint(&out, NULL, 0);
    json_out_uint(&out, NULL, 10);
    json_out_end(&out);
    ck_assert_str_eq(buf_cstr(&buf), "[0,-9223372036854775808,9223372036854775807,0,10]");
    buf_fini(&buf);
}
END_TEST

START_TEST(broken_utf8_is_replaced_when_written)
{
    struct buf buf;
    struct json_out out;
    buf_init(&buf, 4096);
    json_out_init(&out, &buf);
    json_out_str(&out, NULL, "\xe2\x82\xac \xff \xc3");
    ck_assert_str_eq(buf_cstr(&buf), "\"\xe2\x82\xac \xef\xbf\xbd \xef\xbf\xbd\"");
    buf_fini(&buf);
}
END_TEST

static const char *const bad[] = {
    "", "{", "{} x", "{\"a\":}", "[1,]", "nul", "\"\xff\"", "{\"a\":1 \"b\":2}", "'a'", "01",
};

START_TEST(what_is_no_json_is_refused_with_a_place)
{
    struct err err = ERR_INIT;
    ck_assert_ptr_null(json_parse(bad[_i], strlen(bad[_i]), &err));
    ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(err.message, "line"));
}
END_TEST

START_TEST(nesting_has_a_limit)
{
    char text[2 * JSON_DEPTH_MAX + 4] = "";
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        text[i] = '[';
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    json_t *value = json_parse(text, 2 * JSON_DEPTH_MAX, NULL);
    ck_assert_ptr_nonnull(value);
    json_decref(value);
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    struct err err = ERR_INIT;
    ck_assert_ptr_null(json_parse(text, 2 * JSON_DEPTH_MAX + 2, &err));
    ck_assert_ptr_nonnull(strstr(err.message, "deeper"));
    // Brackets inside strings do not nest.
    char quoted[256] = "\"[[[[\\\"[[[[";
    memset(quoted + 11, '[', 200);
    quoted[211] = '"';
    value = json_parse(quoted, 212, NULL);
    ck_assert_ptr_nonnull(value);
    json_decref(value);
}
END_TEST

START_TEST(values_read_are_written_back)
{
    static const char text[] = "{\"a\":[1,2.5,\"x\",null,true],\"b\":{}}";
    json_t *value = json_parse(text, strlen(text), NULL);
    ck_assert_ptr_nonnull(value);
    struct buf buf;
    struct json_out out;
    buf_init(&buf, 4096);
    json_out_init(&out, &buf);
    json_out_value(&out, NULL, value);
    ck_assert_str_eq(buf_cstr(&buf), text);
    buf_fini(&buf);
    json_decref(value);
}
END_TEST

Suite *suite_json(void);
Suite *suite_json(void)
{
    Suite *suite = suite_create("json");
    TCase *tcase = tcase_create("json");
    tcase_add_test(tcase, values_nest_with_their_commas);
    tcase_add_test(tcase, numbers_are_written_to_their_ends);
    tcase_add_test(tcase, broken_utf8_is_replaced_when_written);
    tcase_add_loop_test(tcase, what_is_no_json_is_refused_with_a_place, 0,
                        (int)(sizeof bad / sizeof bad[0]));
    tcase_add_test(tcase, nesting_has_a_limit);
    tcase_add_test(tcase, values_read_are_written_back);
    suite_add_tcase(suite, tcase);
    return suite;
}
