#include <check.h>

#include "cmd/skepd/backoff.h"

Suite *suite_backoff(void);

static struct mono at(int64_t seconds)
{
    return (struct mono){.ns = seconds * NS_PER_S};
}

// Goal: the wait doubles up to its maximum and stays there.
START_TEST(backoff_doubles)
{
    struct backoff backoff = {0};
    int64_t wanted = BACKOFF_FIRST_MS;
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(backoff_after(&backoff, at(100), at(101)), wanted);
        wanted = wanted * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : wanted * 2;
    }
}
END_TEST

// Goal: a process that ran well for a while is started again at once, as the first time.
START_TEST(backoff_forgets_after_a_healthy_life)
{
    struct backoff backoff = {0};
    for (int i = 0; i < 5; i++)
        backoff_after(&backoff, at(100), at(101));
    ck_assert_int_eq(backoff_after(&backoff, at(100), at(100 + BACKOFF_HEALTHY_S)),
                     BACKOFF_FIRST_MS);
    ck_assert_int_eq(backoff_after(&backoff, at(200), at(201)), 2 * BACKOFF_FIRST_MS);
}
END_TEST

Suite *suite_backoff(void)
{
    Suite *suite = suite_create("backoff");
    TCase *tcase = tcase_create("backoff");
    tcase_add_test(tcase, backoff_doubles);
    tcase_add_test(tcase, backoff_forgets_after_a_healthy_life);
    suite_add_tcase(suite, tcase);
    return suite;
}
