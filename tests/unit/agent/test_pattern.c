// Expressions that users write for Go, answered by the C library's.
#include <check.h>
#include <string.h>

#include "agent/pattern.h"
#include "proto/base/check.h"

START_TEST(expressions_find_what_gos_do)
{
    static const struct {
        const char *expression, *text;
        bool found;
    } rows[] = {
        {"^com\\.example\\.(a|b)$", "com.example.b", true},
        {"^com\\.example\\.(a|b)$", "com.example.bc", false},
        {"x", "axb", true},
        {"(?:ab)+?c", "ababc", true},
        {"^\\d+$", "0123", true},
        {"^\\D$", "5", false},
        {"^[\\w.]+$", "a_b.c", true},
        {"^[\\]\\-a]+$", "]-a", true},
        {"^[^\\d]$", "x", true},
        {"^[\\^]$", "^", true},
        {"^[[:upper:]-]+$", "A-B", true},
        {"^a{2,3}$", "aa", true},
        {"^a{2,3}$", "aaaa", false},
        {"a{x", "a{x", true},
        {"\\Aab\\z", "ab", true},
        {"a\\.b", "axb", false},
        {"", "anything", true},
        {"^(a+b+c+d+e+f+g+h+)+$", "abcdefgh", true},
    };
    struct pattern pattern;
    struct err err = ERR_INIT;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        ck_assert_msg(!pattern_init(&pattern, rows[i].expression, &err), "%s", err.message);
        ck_assert_msg(pattern_found(&pattern, rows[i].text) == rows[i].found, "%s in %s",
                      rows[i].expression, rows[i].text);
        pattern_fini(&pattern);
    }
}
END_TEST

START_TEST(what_cannot_be_or_costs_too_much_is_refused)
{
    static const char *const rows[] = {
        "(",
        "[a",
        "a)(",
        "\\",
        "(a)\\1",
        "(?i)a",
        "\\pL",
        "[\\x41]",
        "a{1000}",
        "(a{50}){50}",
        "[]",
        "[[:alpha:",
        "(?P<n>a)",
        "*a",
        "a**",
        "a++",
        "a|+",
        "(+)",
        "((((((((a+)+)+)+)+)+)+)+)",
        ")",
    };
    char endless[PATTERN_BYTES_MAX + 2];
    struct pattern pattern;
    memset(endless, 'a', sizeof endless - 1);
    endless[sizeof endless - 1] = '\0';
    for (size_t i = 0; i <= COUNT_OF(rows); i++) {
        struct err err = ERR_INIT;
        const char *text = i < COUNT_OF(rows) ? rows[i] : endless;
        ck_assert_msg(pattern_init(&pattern, text, &err) == -ERR_INVALID_ARGUMENT, "%s", text);
        ck_assert(strstr(err.message, "error parsing regexp: ") == err.message);
    }
}
END_TEST

Suite *suite_pattern(void);
Suite *suite_pattern(void)
{
    Suite *suite = suite_create("pattern");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, expressions_find_what_gos_do);
    tcase_add_test(tcase, what_cannot_be_or_costs_too_much_is_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
