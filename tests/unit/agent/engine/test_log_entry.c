// Lines of logs as clients parse them, and the moments of their queries.
#include <check.h>
#include <string.h>

#include "agent/engine/log_entry.h"
#include "agent/engine/stamp.h"
#include "proto/base/check.h"

static const char *text_of(struct buf *out, const struct log_style *style, size_t skip)
{
    struct log_detail details[] = {{"b", "x y"}, {"a", "1,2"}};
    struct log_entry entry = {.stream = LOG_STDERR,
                              .at = {1500000000000000050},
                              .text = "hello\n",
                              .bytes = 6,
                              .details = details,
                              .details_count = 2};
    buf_init(out, 1024);
    log_entry_put(out, &entry, style);
    return buf_cstr(out) + skip;
}

START_TEST(a_frame_has_the_stream_and_the_length)
{
    struct buf out;
    const char *text = text_of(&out, &(struct log_style){0}, 0);
    ck_assert_mem_eq(text, "\2\0\0\0\0\0\0\6hello\n", 14);
    buf_fini(&out);
    ck_assert_str_eq(text_of(&out, &(struct log_style){.raw = true}, 0), "hello\n");
    buf_fini(&out);
}
END_TEST

START_TEST(the_time_has_nine_digits_and_details_are_sorted_and_escaped)
{
    struct buf out;
    const struct log_style style = {.raw = true, .timestamps = true, .details = true};
    ck_assert_str_eq(text_of(&out, &style, 0),
                     "2017-07-14T02:40:00.000000050Z a=1%2C2,b=x+y hello\n");
    buf_fini(&out);
}
END_TEST

START_TEST(moments_are_seconds_with_a_fraction)
{
    struct wall at;
    struct err err = ERR_INIT;
    ck_assert_int_eq(stamp_parse("5", &at, NULL), 0);
    ck_assert_int_eq(at.ns, 5 * NS_PER_S);
    ck_assert_int_eq(stamp_parse("5.5", &at, NULL), 0);
    ck_assert_int_eq(at.ns, 5 * NS_PER_S + NS_PER_S / 2);
    ck_assert_int_eq(stamp_parse("5.000000001", &at, NULL), 0);
    ck_assert_int_eq(at.ns, 5 * NS_PER_S + 1);
    ck_assert_int_eq(stamp_parse("", &at, NULL), 0);
    ck_assert_int_eq(at.ns, 0);
    static const char *const wrong[] = {"bogus", "5.x", "1e9", "99999999999999999999",
                                        "5.0000000001"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        ck_assert_int_ne(stamp_parse(wrong[i], &at, &err), 0);
}
END_TEST

START_TEST(moments_of_filters_are_stamps_times_or_durations)
{
    const struct wall now = {1000 * NS_PER_S};
    static const struct {
        const char *text;
        int64_t ns;
    } rows[] = {
        {"5.5", 5 * NS_PER_S + NS_PER_S / 2},
        {"10m", 400 * NS_PER_S},
        {"1970-01-01T00:00:07Z", 7 * NS_PER_S},
    };
    static const char *const wrong[] = {"", "x", "-", "99999999999999999999"};
    struct wall at;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        ck_assert_int_eq(stamp_filter_parse(rows[i].text, now, &at, NULL), 0);
        ck_assert_int_eq(at.ns, rows[i].ns);
    }
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        ck_assert_int_ne(stamp_filter_parse(wrong[i], now, &at, NULL), 0);
}
END_TEST

Suite *suite_log_entry(void);
Suite *suite_log_entry(void)
{
    Suite *suite = suite_create("log_entry");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, a_frame_has_the_stream_and_the_length);
    tcase_add_test(tcase, the_time_has_nine_digits_and_details_are_sorted_and_escaped);
    tcase_add_test(tcase, moments_are_seconds_with_a_fraction);
    tcase_add_test(tcase, moments_of_filters_are_stamps_times_or_durations);
    suite_add_tcase(suite, tcase);
    return suite;
}
