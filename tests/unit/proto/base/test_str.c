// Text helpers: bounds, whole-text numbers, splitting, UTF-8.
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/str.h"

START_TEST(copies_tell_when_they_were_cut)
{
    char out[4];
    ck_assert(str_copy(out, sizeof out, "abc"));
    ck_assert(!str_copy(out, sizeof out, "abcd"));
    ck_assert_str_eq(out, "abc");
    ck_assert(str_format(out, sizeof out, "%d", 123));
    ck_assert(!str_format(out, sizeof out, "%d", 1234));
    ck_assert_str_eq(out, "123");
}
END_TEST

START_TEST(null_and_empty_are_the_same_text)
{
    ck_assert(str_empty(NULL));
    ck_assert(str_empty(""));
    ck_assert(str_equal(NULL, ""));
    ck_assert(!str_equal(NULL, "x"));
    ck_assert_str_eq(str_or("", "fallback"), "fallback");
    ck_assert_ptr_null(str_dup(NULL));
}
END_TEST

START_TEST(numbers_are_checked_to_the_last_character)
{
    uint64_t u = 77;
    ck_assert(str_to_u64("18446744073709551615", UINT64_MAX, &u));
    ck_assert_uint_eq(u, UINT64_MAX);
    u = 77;
    static const char *const bad[] = {"", "18446744073709551616", "1 ", " 1", "+1", "-1", "1x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert(!str_to_u64(bad[i], UINT64_MAX, &u));
    ck_assert(!str_to_u64("11", 10, &u));
    ck_assert(!str_to_u64(NULL, 10, &u));
    ck_assert_uint_eq(u, 77);
    int64_t s = 0;
    ck_assert(str_to_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &s));
    ck_assert_int_eq(s, INT64_MIN);
    ck_assert(!str_to_i64("9223372036854775808", INT64_MIN, INT64_MAX, &s));
    ck_assert(!str_to_i64("-", INT64_MIN, INT64_MAX, &s));
    ck_assert(!str_to_i64("-5", 0, 10, &s));
}
END_TEST

START_TEST(split_gives_every_piece)
{
    const char *rest = "a,,bc";
    struct str_part part;
    ck_assert(str_split(&rest, ',', &part) && str_part_is(part, "a"));
    ck_assert(str_split(&rest, ',', &part) && str_part_is(part, ""));
    ck_assert(str_split(&rest, ',', &part) && str_part_is(part, "bc"));
    ck_assert(!str_split(&rest, ',', &part));
    rest = "";
    ck_assert(str_split(&rest, ',', &part) && str_part_is(part, ""));
    ck_assert(!str_split(&rest, ',', &part));
    ck_assert(str_part_is(str_trim((struct str_part){" \t x y\n", 7}), "x y"));
}
END_TEST

START_TEST(secrets_compare_by_content)
{
    ck_assert(str_equal_secret("abc", "abc"));
    ck_assert(!str_equal_secret("abc", "abd"));
    ck_assert(!str_equal_secret("abc", "abcabc"));
    ck_assert(!str_equal_secret("abcabc", "abc"));
    ck_assert(!str_equal_secret("abc", ""));
    ck_assert(str_equal_secret("", ""));
}
END_TEST

START_TEST(utf8_is_well_formed_or_not)
{
    static const char *const good[] = {"", "a", "\xc2\x80", "\xe2\x82\xac", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {
        "\x80",
        "\xc0\x80",
        "\xc2",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xe2\x82",
        "a\xff",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert(str_utf8_valid(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert(!str_utf8_valid(bad[i], strlen(bad[i])));
}
END_TEST

START_TEST(prefixes_and_suffixes)
{
    ck_assert(str_starts("swarm-manager", "swarm-"));
    ck_assert(!str_starts("sw", "swarm-"));
    ck_assert(str_ends("file.crt", ".crt"));
    ck_assert(!str_ends("crt", ".crt"));
    ck_assert(str_equal_case("Web", "wEB"));
    char *text = str_printf("%s/%d", "a", 1);
    ck_assert_str_eq(text, "a/1");
    free(text);
}
END_TEST

Suite *suite_str(void);
Suite *suite_str(void)
{
    Suite *suite = suite_create("str");
    TCase *tcase = tcase_create("str");
    tcase_add_test(tcase, copies_tell_when_they_were_cut);
    tcase_add_test(tcase, null_and_empty_are_the_same_text);
    tcase_add_test(tcase, numbers_are_checked_to_the_last_character);
    tcase_add_test(tcase, split_gives_every_piece);
    tcase_add_test(tcase, secrets_compare_by_content);
    tcase_add_test(tcase, utf8_is_well_formed_or_not);
    tcase_add_test(tcase, prefixes_and_suffixes);
    suite_add_tcase(suite, tcase);
    return suite;
}
