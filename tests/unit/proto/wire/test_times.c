// Timestamps and durations between the wire's two parts and our nanoseconds.
#include <check.h>
#include <stdlib.h>

#include "proto/wire/times.h"
#include "proto/wire/wire.h"

static Google__Timestamp timestamp_of(int64_t seconds, int32_t nanos)
{
    Google__Timestamp timestamp = GOOGLE__TIMESTAMP__INIT;
    timestamp.seconds = seconds;
    timestamp.nanos = nanos;
    return timestamp;
}

START_TEST(moments_round_trip_on_both_sides_of_1970)
{
    static const int64_t moments[] = {1, -1, NS_PER_S, -NS_PER_S - 1, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++) {
        Google__Timestamp *timestamp = timestamp_new((struct wall){moments[i]}, NULL);
        ck_assert_int_ge(timestamp->nanos, 0);
        ck_assert_int_lt(timestamp->nanos, NS_PER_S);
        ck_assert_int_eq(timestamp_to_wall(timestamp).ns, moments[i]);
        wire_free(timestamp);
    }
}
END_TEST

START_TEST(never_is_absent_or_the_year_one)
{
    Google__Timestamp zero = timestamp_of(-62135596800, 0);
    ck_assert_int_eq(timestamp_to_wall(NULL).ns, 0);
    ck_assert_int_eq(timestamp_to_wall(&zero).ns, 0);
    ck_assert_ptr_null(timestamp_new((struct wall){0}, NULL));
}
END_TEST

START_TEST(moments_out_of_range_move_to_its_ends)
{
    Google__Timestamp late = timestamp_of(INT64_MAX, 999999999);
    Google__Timestamp early = timestamp_of(INT64_MIN, 0);
    ck_assert_int_eq(timestamp_to_wall(&late).ns, INT64_MAX);
    ck_assert_int_eq(timestamp_to_wall(&early).ns, INT64_MIN);
}
END_TEST

START_TEST(durations_round_trip_with_one_sign)
{
    static const int64_t spans[] = {0, 1, -1, 1500 * NS_PER_MS, -1500 * NS_PER_MS, INT64_MIN};
    for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++) {
        Google__Duration *duration = duration_new(spans[i], NULL);
        ck_assert(duration->nanos == 0 || duration->seconds == 0 ||
                  (duration->nanos < 0) == (duration->seconds < 0));
        ck_assert_int_eq(duration_to_ns(duration, 7), spans[i]);
        wire_free(duration);
    }
    ck_assert_int_eq(duration_to_ns(NULL, 7), 7);
}
END_TEST

Suite *suite_times(void);
Suite *suite_times(void)
{
    Suite *suite = suite_create("times");
    TCase *tcase = tcase_create("times");
    tcase_add_test(tcase, moments_round_trip_on_both_sides_of_1970);
    tcase_add_test(tcase, never_is_absent_or_the_year_one);
    tcase_add_test(tcase, moments_out_of_range_move_to_its_ends);
    tcase_add_test(tcase, durations_round_trip_with_one_sign);
    suite_add_tcase(suite, tcase);
    return suite;
}
