// Moments and durations survive their text forms; arithmetic saturates.
#include <check.h>
#include <stdint.h>

#include "proto/base/clock.h"
#include "proto/base/clock_io.h"

static const struct {
    int64_t ns;
    const char *text;
} moments[] = {
    {0, "1970-01-01T00:00:00Z"},
    {INT64_C(1795181720123456789), "2026-11-20T13:35:20.123456789Z"},
    {INT64_C(951782400000000000), "2000-02-29T00:00:00Z"},
    {INT64_C(-1), "1969-12-31T23:59:59.999999999Z"},
    {INT64_C(500000000), "1970-01-01T00:00:00.5Z"},
    {INT64_MAX, "2262-04-11T23:47:16.854775807Z"},
};

START_TEST(moments_round_trip_through_rfc3339)
{
    char text[WALL_TEXT_BYTES];
    ck_assert_str_eq(wall_format((struct wall){moments[_i].ns}, text), moments[_i].text);
    struct wall back;
    struct err err = ERR_INIT;
    ck_assert_int_eq(wall_parse(moments[_i].text, &back, &err), 0);
    ck_assert_int_eq(back.ns, moments[_i].ns);
}
END_TEST

START_TEST(every_day_of_eight_centuries_round_trips_where_it_fits)
{
    // The calendar has a 400-year period; walk 292 years each way in odd steps.
    for (int64_t day = -106000; day < 106000; day += 17) {
        struct wall at = {.ns = day * 86400 * NS_PER_S + 12345678}, back;
        char text[WALL_TEXT_BYTES];
        ck_assert_int_eq(wall_parse(wall_format(at, text), &back, NULL), 0);
        ck_assert_int_eq(back.ns, at.ns);
    }
}
END_TEST

START_TEST(offsets_are_taken_off)
{
    struct wall at;
    ck_assert_int_eq(wall_parse("2026-01-01T02:30:00+02:30", &at, NULL), 0);
    char text[WALL_TEXT_BYTES];
    ck_assert_str_eq(wall_format(at, text), "2026-01-01T00:00:00Z");
    ck_assert_int_eq(wall_parse("2025-12-31T23:00:00-01:00", &at, NULL), 0);
    ck_assert_str_eq(wall_format(at, text), "2026-01-01T00:00:00Z");
}
END_TEST

static const char *const bad_moments[] = {
    "",
    "2026-11-20",
    "2026-13-01T00:00:00Z",
    "2026-02-29T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "2026-01-01T00:00:60Z",
    "2026-01-01T00:00:00",
    "2026-01-01T00:00:00.Z",
    "2026-01-01T00:00:00Zx",
    "2026-01-01T00:00:00+2:00",
    "1600-01-01T00:00:00Z",
};

START_TEST(what_is_no_moment_is_refused)
{
    struct wall at;
    struct err err = ERR_INIT;
    ck_assert_int_lt(wall_parse(bad_moments[_i], &at, &err), 0);
    ck_assert_int_ne(err.code, ERR_OK);
}
END_TEST

static const struct {
    int64_t ns;
    const char *text;
} durations[] = {
    {0, "0s"},
    {1, "1ns"},
    {1500, "1.5\u00b5s"},
    {250 * NS_PER_MS, "250ms"},
    {NS_PER_S, "1s"},
    {90 * NS_PER_S, "1m30s"},
    {NS_PER_H, "1h0m0s"},
    {2160 * NS_PER_H, "2160h0m0s"},
    {-(NS_PER_MIN + NS_PER_S / 2), "-1m0.5s"},
    {INT64_MAX, "2562047h47m16.854775807s"},
    {INT64_MIN, "-2562047h47m16.854775808s"},
};

START_TEST(durations_round_trip_as_go_writes_them)
{
    char text[DURATION_TEXT_BYTES];
    ck_assert_str_eq(duration_format(durations[_i].ns, text), durations[_i].text);
    int64_t back = 0;
    struct err err = ERR_INIT;
    ck_assert_msg(duration_parse(durations[_i].text, &back, &err) == 0, "%s", err.message);
    ck_assert_int_eq(back, durations[_i].ns);
}
END_TEST

START_TEST(durations_in_other_spellings_are_read)
{
    int64_t ns = 0;
    ck_assert_int_eq(duration_parse("0", &ns, NULL), 0);
    ck_assert_int_eq(ns, 0);
    ck_assert_int_eq(duration_parse("+1.5h", &ns, NULL), 0);
    ck_assert_int_eq(ns, 90 * NS_PER_MIN);
    ck_assert_int_eq(duration_parse(".5s", &ns, NULL), 0);
    ck_assert_int_eq(ns, NS_PER_S / 2);
    ck_assert_int_eq(duration_parse("1us", &ns, NULL), 0);
    ck_assert_int_eq(ns, 1000);
}
END_TEST

static const char *const bad_durations[] = {
    "", "-", "5", "s", ".s", "1x", "1h1", "1 s", "9223372036854775808ns", "2562048h",
};

START_TEST(what_is_no_duration_is_refused)
{
    int64_t ns;
    ck_assert_int_lt(duration_parse(bad_durations[_i], &ns, NULL), 0);
}
END_TEST

START_TEST(arithmetic_saturates)
{
    ck_assert_int_eq(mono_add(MONO_NEVER, 1).ns, INT64_MAX);
    ck_assert_int_eq(wall_add((struct wall){INT64_MIN}, -1).ns, INT64_MIN);
    ck_assert_int_eq(wall_since((struct wall){INT64_MAX}, (struct wall){-1}), INT64_MAX);
    ck_assert_int_eq(mono_since((struct mono){5}, (struct mono){3}), 2);
}
END_TEST

START_TEST(the_monotonic_clock_does_not_go_back)
{
    struct mono before = mono_now();
    for (int i = 0; i < 1000; i++) {
        struct mono now = mono_now();
        ck_assert(!mono_before(now, before));
        before = now;
    }
    ck_assert_int_gt(wall_now().ns, INT64_C(1700000000) * NS_PER_S);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof(array)[0]))

Suite *suite_clock(void);
Suite *suite_clock(void)
{
    Suite *suite = suite_create("clock");
    TCase *tcase = tcase_create("clock");
    tcase_add_loop_test(tcase, moments_round_trip_through_rfc3339, 0, COUNT(moments));
    tcase_add_test(tcase, every_day_of_eight_centuries_round_trips_where_it_fits);
    tcase_add_test(tcase, offsets_are_taken_off);
    tcase_add_loop_test(tcase, what_is_no_moment_is_refused, 0, COUNT(bad_moments));
    tcase_add_loop_test(tcase, durations_round_trip_as_go_writes_them, 0, COUNT(durations));
    tcase_add_test(tcase, durations_in_other_spellings_are_read);
    tcase_add_loop_test(tcase, what_is_no_duration_is_refused, 0, COUNT(bad_durations));
    tcase_add_test(tcase, arithmetic_saturates);
    tcase_add_test(tcase, the_monotonic_clock_does_not_go_back);
    suite_add_tcase(suite, tcase);
    return suite;
}
