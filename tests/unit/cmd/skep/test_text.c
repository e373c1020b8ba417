// Sizes, spans and widths as people read them; tables and progress lines as terminals show them.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/skep/progress.h"
#include "cmd/skep/table.h"
#include "cmd/skep/text.h"

static struct arena arena;

static void setup(void)
{
    arena_init(&arena, 1 << 20);
}

static void teardown(void)
{
    arena_fini(&arena);
}

START_TEST(spans_are_said_as_docker_says_them)
{
    static const struct {
        int64_t seconds;
        const char *wanted;
    } rows[] = {{0, "Less than a second"}, {1, "1 second"},          {59, "59 seconds"},
                {60, "About a minute"},    {150, "2 minutes"},       {3599, "59 minutes"},
                {3600, "About an hour"},   {7200, "2 hours"},        {48 * 3600, "2 days"},
                {14 * 86400, "2 weeks"},   {60 * 86400, "2 months"}, {3 * 365 * 86400, "3 years"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_str_eq(text_span(rows[i].seconds * NS_PER_S, &arena), rows[i].wanted);
    struct wall now = {.ns = 1000 * NS_PER_S};
    ck_assert_str_eq(text_since("1970-01-01T00:15:00Z", now, &arena), "About a minute");
    ck_assert_str_eq(text_since("0001-01-01T00:00:00Z", now, &arena), "");
}
END_TEST

START_TEST(sizes_go_both_ways)
{
    int64_t bytes = 0;
    ck_assert_str_eq(text_size(1234567, &arena), "1.235MB");
    ck_assert_str_eq(text_size_short(1234567, &arena), "1.23MB");
    ck_assert_str_eq(text_size_binary(1536, &arena), "1.5KiB");
    ck_assert_str_eq(text_size(0, &arena), "0B");
    ck_assert_int_eq(text_parse_bytes("1.5g", &bytes, NULL), 0);
    ck_assert_int_eq(bytes, 3LL << 29);
    ck_assert_int_eq(text_parse_bytes("2GiB", &bytes, NULL), 0);
    ck_assert_int_eq(bytes, 2LL << 30);
    ck_assert_int_eq(text_parse_bytes("17", &bytes, NULL), 0);
    ck_assert_int_lt(text_parse_bytes("", &bytes, NULL), 0);
    ck_assert_int_lt(text_parse_bytes("-1", &bytes, NULL), 0);
    ck_assert_int_lt(text_parse_bytes("1mx", &bytes, NULL), 0);
    ck_assert_int_lt(text_parse_bytes("99999999999g", &bytes, NULL), 0);
    ck_assert_int_lt(text_parse_cpus("1..2", &bytes, NULL), 0);
    ck_assert_int_lt(text_parse_cpus("99999999999999999999", &bytes, NULL), 0);
}
END_TEST

START_TEST(words_have_distances)
{
    ck_assert_uint_eq(text_distance("service", "service"), 0);
    ck_assert_uint_eq(text_distance("service", "sevrice"), 1);
    ck_assert_uint_eq(text_distance("ls", ""), 2);
    ck_assert_uint_eq(text_distance("kitten", "sitting"), 3);
}
END_TEST

START_TEST(cuts_count_columns_and_not_bytes)
{
    ck_assert_uint_eq(text_columns("a\xc3\xa4\xe4\xb8\xad"), 4);
    ck_assert_uint_eq(text_columns("\033[31mred\033[0m"), 3);
    ck_assert_str_eq(text_cut("abcdef", 4, &arena), "abc\xe2\x80\xa6");
    ck_assert_str_eq(text_cut("abcd", 4, &arena), "abcd");
    ck_assert_str_eq(text_cut("\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad", 4, &arena),
                     "\xe4\xb8\xad\xe2\x80\xa6");
    ck_assert_str_eq(text_printable("a\033[2Jb\x9b\n", &arena), "a [2Jb  ");
}
END_TEST

static const char *aligned(const char *lines, size_t width)
{
    static char copy[4096];
    struct buf out;
    buf_init(&out, sizeof copy);
    table_align(lines, width, &arena, &out);
    snprintf(copy, sizeof copy, "%s", buf_cstr(&out));
    buf_fini(&out);
    return copy;
}

START_TEST(tables_align_as_docker_aligns_them)
{
    ck_assert_str_eq(aligned("ID\tNAME\tPORTS\nabcdefghijkl\tweb\t\n", 0),
                     "ID             NAME      PORTS\nabcdefghijkl   web       \n");
    ck_assert_str_eq(aligned("", 0), "");
    // Shrunk to 30 columns, the widest cell gives way.
    ck_assert_str_eq(aligned("A\tB\nshort\tone two three four five six\n", 30),
                     "A         B\nshort     one two three four \xe2\x80\xa6\n");
}
END_TEST

START_TEST(progress_draws_over_what_stood_there)
{
    struct buf out;
    buf_init(&out, 4096);
    progress_redraw(0, "one\ntwo\n", 80, &arena, &out);
    ck_assert_str_eq(buf_cstr(&out), "\rone\033[K\n\rtwo\033[K\n\033[J");
    buf_clear(&out);
    progress_redraw(2, "a long line\n", 5, &arena, &out);
    ck_assert_str_eq(buf_cstr(&out), "\033[2A\ra lo\xe2\x80\xa6\033[K\n\033[J");
    buf_fini(&out);
    ck_assert_str_eq(progress_bar(0, 4, 10, &arena), "[        ]");
    ck_assert_str_eq(progress_bar(2, 4, 10, &arena), "[===>    ]");
    ck_assert_str_eq(progress_bar(4, 4, 10, &arena), "[========]");
    ck_assert_str_eq(progress_bar(9, 0, 10, &arena), "[========]");
}
END_TEST

Suite *suite_text(void);
Suite *suite_text(void)
{
    Suite *suite = suite_create("text");
    TCase *tc = tcase_create("text");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, spans_are_said_as_docker_says_them);
    tcase_add_test(tc, sizes_go_both_ways);
    tcase_add_test(tc, words_have_distances);
    tcase_add_test(tc, cuts_count_columns_and_not_bytes);
    tcase_add_test(tc, tables_align_as_docker_aligns_them);
    tcase_add_test(tc, progress_draws_over_what_stood_there);
    suite_add_tcase(suite, tc);
    return suite;
}
