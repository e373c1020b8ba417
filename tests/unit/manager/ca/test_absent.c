// Nodes that are not there, counted by the address they joined from.
#include <check.h>
#include <stdio.h>

#include "manager/ca/absent.h"

static struct absent absent;

static void set_up(void)
{
    absent_init(&absent);
}

static void tear_down(void)
{
    absent_fini(&absent);
}

static void add(int count, const char *addr)
{
    char id[64];
    for (int i = 0; i < count; i++) {
        snprintf(id, sizeof id, "%s node %d", addr, i);
        absent_add(&absent, id, addr);
    }
}

START_TEST(an_address_may_have_so_many_and_no_more)
{
    add(ABSENT_MAX - 1, "10.0.0.1:5");
    ck_assert(absent_allows(&absent, "10.0.0.1:6"));
    absent_add(&absent, "one more", "10.0.0.1"); // any port, and none
    ck_assert(!absent_allows(&absent, "10.0.0.1:6"));
    ck_assert(absent_allows(&absent, "10.0.0.2:6"));
    absent_forget(&absent, "one more");
    ck_assert(absent_allows(&absent, "10.0.0.1:6"));
}
END_TEST

START_TEST(a_host_with_ipv6_owns_a_whole_64)
{
    add(ABSENT_MAX, "[fd00::1]:5");
    ck_assert(!absent_allows(&absent, "[fd00::2]:5"));
    ck_assert(absent_allows(&absent, "[fd00:0:0:1::2]:5"));
}
END_TEST

START_TEST(a_node_counts_once_and_what_was_counted_is_given_back)
{
    for (int i = 0; i < 2 * ABSENT_MAX; i++)
        absent_add(&absent, "the same", "10.0.0.1:5");
    ck_assert(absent_allows(&absent, "10.0.0.1:5"));
    absent_add(&absent, "the same", "10.0.0.2:5"); // it moved
    absent_forget(&absent, "the same");
    absent_forget(&absent, "never seen");
    ck_assert_uint_eq(map_count(&absent.nodes), 0);
    ck_assert_uint_eq(map_count(&absent.addresses), 0);
}
END_TEST

START_TEST(local_callers_and_names_are_not_counted)
{
    add(ABSENT_MAX, "");
    add(ABSENT_MAX, "some.host:5");
    ck_assert(absent_allows(&absent, ""));
    ck_assert(absent_allows(&absent, "some.host:5"));
    ck_assert_uint_eq(map_count(&absent.nodes), 0);
}
END_TEST

Suite *suite_absent(void);
Suite *suite_absent(void)
{
    Suite *suite = suite_create("absent");
    TCase *tcase = tcase_create("absent");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, an_address_may_have_so_many_and_no_more);
    tcase_add_test(tcase, a_host_with_ipv6_owns_a_whole_64);
    tcase_add_test(tcase, a_node_counts_once_and_what_was_counted_is_given_back);
    tcase_add_test(tcase, local_callers_and_names_are_not_counted);
    suite_add_tcase(suite, tcase);
    return suite;
}
