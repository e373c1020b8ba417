// Request targets: decoding, queries and Docker's idea of a boolean.
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "proto/http/url.h"

static struct arena arena;

static int parse(const char *target, struct url *url)
{
    arena_init(&arena, 1 << 20);
    return url_parse(target, strlen(target), &arena, url, NULL);
}

START_TEST(path_and_query_are_decoded)
{
    struct url url;
    ck_assert_int_eq(parse("/v1.41/a%20b?all=1&filters=%7B%22a%22%3A1%7D&x=a+b&&flag#frag", &url),
                     0);
    ck_assert_str_eq(url.path, "/v1.41/a b");
    ck_assert_str_eq(url.raw_path, "/v1.41/a%20b");
    ck_assert_uint_eq(url.pairs_count, 4);
    ck_assert_str_eq(url_get(&url, "filters"), "{\"a\":1}");
    ck_assert_str_eq(url_get(&url, "x"), "a b");
    ck_assert_str_eq(url_get(&url, "flag"), "");
    ck_assert_ptr_null(url_get(&url, "fla"));
    arena_fini(&arena);
}
END_TEST

START_TEST(proxy_form_is_a_path_too)
{
    struct url url;
    ck_assert_int_eq(parse("http://host:1/x?y=1", &url), 0);
    ck_assert_str_eq(url.path, "/x");
    arena_fini(&arena);
}
END_TEST

static const char *const bad[] = {"",     "x",    "*",       "/%",     "/%4",
                                  "/%zz", "/%00", "/?a=%00", "/?%q=1", "http://host"};

START_TEST(broken_targets_are_refused)
{
    struct url url;
    ck_assert_int_eq(parse(bad[_i], &url), -ERR_INVALID_ARGUMENT);
    arena_fini(&arena);
}
END_TEST

START_TEST(number_of_values_is_bounded)
{
    char text[URL_PAIRS_MAX * 2 + 8] = "/?a";
    struct url url;
    for (int i = 1; i < URL_PAIRS_MAX; i++)
        strcat(text, "&a");
    ck_assert_int_eq(parse(text, &url), 0);
    ck_assert_uint_eq(url.pairs_count, URL_PAIRS_MAX);
    arena_fini(&arena);
    strcat(text, "&a");
    ck_assert_int_eq(parse(text, &url), -ERR_INVALID_ARGUMENT);
    arena_fini(&arena);
}
END_TEST

START_TEST(booleans_are_read_as_dockerd_reads_them)
{
    struct url url;
    ck_assert_int_eq(parse("/?a=0&b=False&c=no&d=none&e=&f=1&g=true&h=yes&i=anything", &url), 0);
    const char *falses[] = {"a", "b", "c", "d", "e", "absent"};
    const char *trues[] = {"f", "g", "h", "i"};
    for (size_t i = 0; i < 6; i++)
        ck_assert(!url_get_bool(&url, falses[i]));
    for (size_t i = 0; i < 4; i++)
        ck_assert(url_get_bool(&url, trues[i]));
    arena_fini(&arena);
}
END_TEST

START_TEST(encoding_is_undone_by_decoding)
{
    struct buf out;
    buf_init(&out, 100);
    url_encode("a b/{\"x\":[1]}~", &out);
    ck_assert_str_eq(buf_cstr(&out), "a%20b%2F%7B%22x%22%3A%5B1%5D%7D~");
    arena_init(&arena, 1000);
    ck_assert_str_eq(url_decode(buf_cstr(&out), out.len, false, &arena), "a b/{\"x\":[1]}~");
    arena_fini(&arena);
    buf_fini(&out);
}
END_TEST

Suite *suite_url(void);
Suite *suite_url(void)
{
    Suite *suite = suite_create("url");
    TCase *tcase = tcase_create("targets");
    tcase_add_test(tcase, path_and_query_are_decoded);
    tcase_add_test(tcase, proxy_form_is_a_path_too);
    tcase_add_loop_test(tcase, broken_targets_are_refused, 0, sizeof bad / sizeof bad[0]);
    tcase_add_test(tcase, number_of_values_is_bounded);
    tcase_add_test(tcase, booleans_are_read_as_dockerd_reads_them);
    tcase_add_test(tcase, encoding_is_undone_by_decoding);
    suite_add_tcase(suite, tcase);
    return suite;
}
