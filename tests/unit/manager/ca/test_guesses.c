// The limit on wrong join tokens.
#include <check.h>
#include <stdio.h>

#include "manager/ca/guesses.h"

static struct guesses guesses;

static void set_up(void)
{
    guesses_init(&guesses);
}

static void tear_down(void)
{
    guesses_fini(&guesses);
}

static struct mono at(int64_t seconds)
{
    return (struct mono){.ns = seconds * NS_PER_S};
}

START_TEST(an_address_is_refused_after_its_burst_and_forgiven_with_time)
{
    for (int i = 0; i < GUESSES_BURST; i++) {
        ck_assert(guesses_allow(&guesses, "10.0.0.1:1000", at(100)));
        guesses_wrong(&guesses, "10.0.0.1:1000", at(100));
    }
    ck_assert(!guesses_allow(&guesses, "10.0.0.1:2000", at(100))); // any port
    ck_assert(guesses_allow(&guesses, "10.0.0.2:1000", at(100)));  // others join meanwhile
    ck_assert(!guesses_allow(&guesses, "10.0.0.1:1000", at(101)));
    ck_assert(guesses_allow(&guesses, "10.0.0.1:1000", at(102)));
    guesses_wrong(&guesses, "10.0.0.1:1000", at(102));
    ck_assert(!guesses_allow(&guesses, "10.0.0.1:1000", at(102)));
    ck_assert(guesses_allow(&guesses, "10.0.0.1:1000", at(200)));
}
END_TEST

START_TEST(the_table_of_addresses_is_bounded)
{
    char addr[64];
    for (int i = 0; i < GUESSES_ADDRESSES_MAX + 100; i++) {
        snprintf(addr, sizeof addr, "10.%d.%d.%d:1", i >> 16 & 255, i >> 8 & 255, i & 255);
        guesses_wrong(&guesses, addr, at(1));
    }
    ck_assert_uint_eq(map_count(&guesses.addresses), GUESSES_ADDRESSES_MAX);
}
END_TEST

START_TEST(local_callers_are_not_limited)
{
    for (int i = 0; i < 100; i++)
        guesses_wrong(&guesses, "", at(1));
    ck_assert(guesses_allow(&guesses, "", at(1)));
    ck_assert_uint_eq(map_count(&guesses.addresses), 0);
}
END_TEST

Suite *suite_guesses(void);
Suite *suite_guesses(void)
{
    Suite *suite = suite_create("guesses");
    TCase *tcase = tcase_create("guesses");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, an_address_is_refused_after_its_burst_and_forgiven_with_time);
    tcase_add_test(tcase, the_table_of_addresses_is_bounded);
    tcase_add_test(tcase, local_callers_are_not_limited);
    suite_add_tcase(suite, tcase);
    return suite;
}
