// Errors keep their code and gather context on the way up, within their bound.
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"

START_TEST(set_returns_the_negative_code_and_keeps_the_message)
{
    struct err err = ERR_INIT;
    ck_assert_int_eq(err_set(&err, ERR_NOT_FOUND, "node %d", 7), -ERR_NOT_FOUND);
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert_str_eq(err.message, "node 7");
    ck_assert_int_eq(err_set(NULL, ERR_ABORTED, "nobody listens"), -ERR_ABORTED);
}
END_TEST

START_TEST(wrap_puts_context_before_and_keeps_the_code)
{
    struct err err = ERR_INIT;
    err_set(&err, ERR_DATA_LOSS, "bad checksum");
    ck_assert_int_eq(err_wrap(&err, "open segment %d", 42), -ERR_DATA_LOSS);
    ck_assert_str_eq(err.message, "open segment 42: bad checksum");
}
END_TEST

START_TEST(without_an_error_to_fill_nothing_breaks)
{
    ck_assert_int_eq(err_wrap(NULL, "open segment %d", 42), -ERR_UNKNOWN);
    err_clear(NULL);
    struct err err = ERR_INIT;
    err_set(&err, ERR_DATA_LOSS, "bad checksum");
    err_clear(&err);
    ck_assert_int_eq(err.code, ERR_OK);
    ck_assert_str_eq(err.message, "");
}
END_TEST

START_TEST(a_message_may_be_built_from_itself)
{
    struct err err = ERR_INIT;
    err_set(&err, ERR_UNKNOWN, "inner");
    err_set(&err, ERR_INTERNAL, "outer (%s)", err.message);
    ck_assert_str_eq(err.message, "outer (inner)");
}
END_TEST

START_TEST(long_messages_are_cut_with_dots)
{
    struct err err = ERR_INIT;
    char *text = malloc(2 * ERR_MESSAGE_BYTES);
    memset(text, 'x', 2 * ERR_MESSAGE_BYTES);
    text[2 * ERR_MESSAGE_BYTES - 1] = '\0';
    err_set(&err, ERR_UNKNOWN, "%s", text);
    ck_assert_uint_eq(strlen(err.message), ERR_MESSAGE_BYTES - 1);
    ck_assert_str_eq(err.message + ERR_MESSAGE_BYTES - 4, "...");
    err_wrap(&err, "%s", text);
    ck_assert_uint_eq(strlen(err.message), ERR_MESSAGE_BYTES - 1);
    err_set_errno(&err, ENOENT, "%s", text);
    ck_assert_uint_eq(strlen(err.message), ERR_MESSAGE_BYTES - 1);
    free(text);
}
END_TEST

START_TEST(errno_gives_text_and_code_of_either_sign)
{
    struct err err = ERR_INIT;
    ck_assert_int_eq(err_set_errno(&err, ENOENT, "open %s", "f"), -ERR_NOT_FOUND);
    ck_assert_str_eq(err.message, "open f: No such file or directory");
    ck_assert_int_eq(err_set_errno(&err, -ENOSPC, "write"), -ERR_RESOURCE_EXHAUSTED);
    ck_assert_int_eq(err_code_of_errno(0), ERR_UNKNOWN);
}
END_TEST

START_TEST(code_names_are_grpcs)
{
    ck_assert_str_eq(err_code_name(ERR_OK), "OK");
    ck_assert_str_eq(err_code_name(ERR_UNAUTHENTICATED), "UNAUTHENTICATED");
    ck_assert_str_eq(err_code_name((enum err_code)99), "UNKNOWN");
}
END_TEST

Suite *suite_err(void);
Suite *suite_err(void)
{
    Suite *suite = suite_create("err");
    TCase *tcase = tcase_create("err");
    tcase_add_test(tcase, set_returns_the_negative_code_and_keeps_the_message);
    tcase_add_test(tcase, wrap_puts_context_before_and_keeps_the_code);
    tcase_add_test(tcase, a_message_may_be_built_from_itself);
    tcase_add_test(tcase, without_an_error_to_fill_nothing_breaks);
    tcase_add_test(tcase, long_messages_are_cut_with_dots);
    tcase_add_test(tcase, errno_gives_text_and_code_of_either_sign);
    tcase_add_test(tcase, code_names_are_grpcs);
    suite_add_tcase(suite, tcase);
    return suite;
}
