// Renewal happens between half and four fifths of a certificate's life, at a whole minute.
#include <check.h>

#include "proto/identity/renewal.h"

START_TEST(the_moment_lies_between_half_and_four_fifths)
{
    struct rand rand;
    struct wall begin = {1000 * NS_PER_S};
    struct wall end = wall_add(begin, 2161 * NS_PER_H);
    rand_init(&rand, 7);
    for (int i = 0; i < 1000; i++) {
        int64_t delay = renewal_delay_ns(begin, end, begin, &rand);
        ck_assert_int_ge(delay, 2161 * NS_PER_H / 2);
        ck_assert_int_lt(delay, 2161 * NS_PER_H * 4 / 5);
        ck_assert_int_eq(delay % NS_PER_MIN, 0);
    }
}
END_TEST

START_TEST(past_it_and_expired_mean_now)
{
    struct rand rand;
    struct wall begin = {0};
    struct wall end = {100 * NS_PER_H};
    rand_init(&rand, 7);
    ck_assert_int_eq(renewal_delay_ns(begin, end, (struct wall){90 * NS_PER_H}, &rand), 0);
    ck_assert_int_eq(renewal_delay_ns(begin, end, (struct wall){101 * NS_PER_H}, &rand), 0);
    ck_assert_int_eq(renewal_delay_ns(end, begin, begin, &rand), 0);
    ck_assert_int_eq(renewal_delay_ns(begin, begin, begin, &rand), 0);
}
END_TEST

START_TEST(a_new_root_does_not_put_off_what_is_wanted)
{
    struct rand rand;
    struct renewal renewal = {0};
    struct wall begin = {0};
    struct wall end = {100 * NS_PER_H};
    rand_init(&rand, 7);
    ck_assert_int_ge(renewal_next_ns(&renewal, begin, end, begin, &rand), 50 * NS_PER_H);
    renewal = (struct renewal){.wanted = true, .failures = 4};
    ck_assert_int_eq(renewal_next_ns(&renewal, begin, end, begin, &rand),
                     RENEWAL_TRIGGER_DELAY_MS * NS_PER_MS);
}
END_TEST

static int64_t highest(int64_t (*wait)(unsigned, struct rand *), unsigned n)
{
    struct rand rand;
    int64_t most = 0;
    rand_init(&rand, 7);
    for (int i = 0; i < 5000; i++) {
        int64_t value = wait(n, &rand);
        most = value > most ? value : most;
    }
    return most;
}

START_TEST(waits_double_up_to_their_bound)
{
    static const struct {
        unsigned n;
        int64_t backoff_s;
        int64_t poll_s;
    } rows[] = {{1, 10, 2},     {2, 15, 3},     {3, 25, 5},
                {10, 2565, 30}, {11, 3600, 30}, {400, 3600, 30}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t backoff = highest(renewal_backoff_ns, rows[i].n);
        ck_assert_int_lt(backoff, rows[i].backoff_s * NS_PER_S);
        ck_assert_int_gt(backoff, rows[i].backoff_s * NS_PER_S * 9 / 10);
        int64_t poll = highest(renewal_poll_ns, rows[i].n);
        ck_assert_int_lt(poll, rows[i].poll_s * NS_PER_S);
        ck_assert_int_gt(poll, rows[i].poll_s * NS_PER_S * 9 / 10);
    }
}
END_TEST

Suite *suite_renewal(void);
Suite *suite_renewal(void)
{
    Suite *suite = suite_create("renewal");
    TCase *tcase = tcase_create("renewal");
    tcase_add_test(tcase, the_moment_lies_between_half_and_four_fifths);
    tcase_add_test(tcase, past_it_and_expired_mean_now);
    tcase_add_test(tcase, a_new_root_does_not_put_off_what_is_wanted);
    tcase_add_test(tcase, waits_double_up_to_their_bound);
    suite_add_tcase(suite, tcase);
    return suite;
}
