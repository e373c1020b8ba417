// Rounds of gossip: a period apart while they are wanted, and after a pause as if there had been
// none.
#include <check.h>

#include "agent/gossip/rounds.h"

static struct rounds rounds;

static int64_t next(bool wanted, int64_t now)
{
    return rounds_next(&rounds, wanted, (struct mono){now}).ns;
}

static bool begins(int64_t now)
{
    return rounds_begin(&rounds, (struct mono){now});
}

START_TEST(rounds_are_a_period_apart)
{
    rounds_init(&rounds, 30, (struct mono){100});
    ck_assert(!begins(100)); // nobody wanted it
    ck_assert_int_eq(next(true, 50), 100);
    ck_assert(!begins(99));
    ck_assert(begins(100));
    ck_assert(!begins(100));
    ck_assert_int_eq(next(true, 100), 130);
    ck_assert(begins(133)); // late
    ck_assert_int_eq(next(true, 133), 163);
}
END_TEST

START_TEST(after_a_pause_the_rhythm_is_the_old_one)
{
    rounds_init(&rounds, 30, (struct mono){100});
    ck_assert_int_eq(next(false, 90), MONO_NEVER.ns);
    ck_assert(!begins(100));
    ck_assert_int_eq(next(false, 101), MONO_NEVER.ns);
    ck_assert_int_eq(next(true, 191), 220);
    ck_assert_int_eq(next(false, 192), MONO_NEVER.ns);
    ck_assert_int_eq(next(true, 250), 250);
    ck_assert(begins(250));
}
END_TEST

START_TEST(one_that_is_late_is_not_put_off)
{
    rounds_init(&rounds, 30, (struct mono){100});
    ck_assert_int_eq(next(true, 90), 100);
    ck_assert_int_eq(next(true, 101), 100);
    ck_assert_int_eq(next(true, 177), 100);
    ck_assert(begins(177));
}
END_TEST

Suite *suite_rounds(void);
Suite *suite_rounds(void)
{
    Suite *suite = suite_create("rounds");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, rounds_are_a_period_apart);
    tcase_add_test(tcase, after_a_pause_the_rhythm_is_the_old_one);
    tcase_add_test(tcase, one_that_is_late_is_not_put_off);
    suite_add_tcase(suite, tcase);
    return suite;
}
