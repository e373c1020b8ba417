// Log lines are whole, cannot be forged, and turn into JSON.
#include <check.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/log.h"

static char line[2 * LOG_LINE_BYTES];

// What the last log call wrote to the pipe.
static const char *read_line(int fd)
{
    ssize_t got = read(fd, line, sizeof line - 1);
    line[got > 0 ? got : 0] = '\0';
    return line;
}

START_TEST(text_lines_have_time_level_phrase_and_pairs)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    log_setup(ends[1], LOG_INFO, LOG_TEXT, "manager");
    log_info("node joined", "node=%s n=%d", "abc", 3);
    const char *text = read_line(ends[0]);
    ck_assert_uint_eq(strspn(text, "0123456789-T:.Z"), 24);
    ck_assert_str_eq(text + 24, " INFO  manager: node joined node=abc n=3\n");
    log_info("empty", "%s", "");
    ck_assert_str_eq(read_line(ends[0]) + 24, " INFO  manager: empty\n");
}
END_TEST

START_TEST(lines_below_the_level_are_not_written)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    log_setup(ends[1], LOG_WARN, LOG_TEXT, NULL);
    log_info("quiet", "%s", "");
    log_error("loud", "%s", "");
    ck_assert_str_eq(read_line(ends[0]) + 24, " ERROR loud\n");
    ck_assert(!log_enabled(LOG_DEBUG));
    log_set_level(LOG_DEBUG);
    ck_assert(log_enabled(LOG_DEBUG));
}
END_TEST

START_TEST(values_cannot_start_a_line_of_their_own)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    log_setup(ends[1], LOG_INFO, LOG_TEXT, NULL);
    log_info("peer said", "text=\"%s\"", "x\n2026 ERROR forged\x1b[2J");
    const char *text = read_line(ends[0]);
    ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
    ck_assert_ptr_null(strchr(text, 0x1b));
}
END_TEST

START_TEST(json_lines_hold_the_pairs_as_members)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    log_setup(ends[1], LOG_INFO, LOG_JSON, NULL);
    log_warn("pull failed", "task=%s err=\"%s\"", "t1", "no \"such\" host");
    const char *text = read_line(ends[0]);
    ck_assert_ptr_nonnull(strstr(text, "\"level\":\"warn\",\"msg\":\"pull failed\",\"task\":\"t1\","
                                       "\"err\":\"no \\\"such\\\" host\"}\n"));
}
END_TEST

START_TEST(long_lines_are_cut)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    log_setup(ends[1], LOG_INFO, LOG_TEXT, NULL);
    char text[2 * LOG_LINE_BYTES];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_info("long", "v=%s", text);
    const char *got = read_line(ends[0]);
    ck_assert_uint_lt(strlen(got), LOG_LINE_BYTES);
    ck_assert_str_eq(got + strlen(got) - 4, "...\n");
}
END_TEST

START_TEST(levels_parse_as_dockerd_spells_them)
{
    enum log_level level;
    ck_assert(log_level_parse("warning", &level));
    ck_assert_int_eq(level, LOG_WARN);
    ck_assert(log_level_parse("DEBUG", &level));
    ck_assert_int_eq(level, LOG_DEBUG);
    ck_assert(!log_level_parse("loud", &level));
}
END_TEST

Suite *suite_log(void);
Suite *suite_log(void)
{
    Suite *suite = suite_create("log");
    TCase *tcase = tcase_create("log");
    tcase_add_test(tcase, text_lines_have_time_level_phrase_and_pairs);
    tcase_add_test(tcase, lines_below_the_level_are_not_written);
    tcase_add_test(tcase, values_cannot_start_a_line_of_their_own);
    tcase_add_test(tcase, json_lines_hold_the_pairs_as_members);
    tcase_add_test(tcase, long_lines_are_cut);
    tcase_add_test(tcase, levels_parse_as_dockerd_spells_them);
    suite_add_tcase(suite, tcase);
    return suite;
}
