// A service that lost its last task is known as long as its address is nobody else's.
#include <check.h>

#include "agent/net/lost.h"

static struct lost *lost;

static void is_list(const uint32_t *wanted, size_t wanted_count)
{
    size_t count;
    const uint32_t *list = lost_list(lost, &count);
    ck_assert_uint_eq(count, wanted_count);
    for (size_t i = 0; i < count; i++)
        ck_assert_uint_eq(list[i], wanted[i]);
}

START_TEST(who_loses_the_last_task_is_known_until_there_is_one_again)
{
    static const uint32_t both[] = {5, 9}, five[] = {5}, nine[] = {9};
    lost = lost_new();
    ck_assert(!lost_update(lost, both, 2, NULL, 0));
    is_list(NULL, 0);
    ck_assert(lost_update(lost, five, 1, NULL, 0));
    is_list(nine, 1);
    ck_assert(!lost_update(lost, five, 1, NULL, 0));
    ck_assert(lost_update(lost, NULL, 0, NULL, 0));
    is_list(both, 2);
    ck_assert(lost_update(lost, nine, 1, NULL, 0));
    is_list(five, 1);
    lost_free(lost);
}
END_TEST

START_TEST(an_address_that_is_an_endpoints_is_let_go)
{
    static const uint32_t both[] = {5, 9}, five[] = {5}, nine[] = {9};
    lost = lost_new();
    lost_update(lost, both, 2, NULL, 0);
    // Never known, where the address is an endpoint's at once.
    ck_assert(lost_update(lost, NULL, 0, nine, 1));
    is_list(five, 1);
    ck_assert(lost_update(lost, NULL, 0, both, 2));
    is_list(NULL, 0);
    ck_assert(!lost_update(lost, NULL, 0, NULL, 0));
    lost_free(lost);
}
END_TEST

START_TEST(what_an_earlier_life_had_is_lost_unless_it_has_tasks)
{
    static const uint32_t all[] = {9, 5, 9, 7}, seven[] = {7}, nine[] = {9};
    static const uint32_t five_nine[] = {5, 9}, five[] = {5};
    lost = lost_new();
    lost_had(lost, all, 4);
    is_list(NULL, 0);
    ck_assert(lost_update(lost, seven, 1, NULL, 0));
    is_list(five_nine, 2);
    // Another sandbox says the same.
    lost_had(lost, all, 4);
    lost_had(lost, NULL, 0);
    ck_assert(!lost_update(lost, seven, 1, NULL, 0));
    is_list(five_nine, 2);
    ck_assert(lost_update(lost, seven, 1, nine, 1));
    is_list(five, 1);
    lost_free(lost);
}
END_TEST

START_TEST(they_are_bounded)
{
    uint32_t vips[LOST_MAX + 10];
    size_t count;
    for (uint32_t i = 0; i < LOST_MAX + 10; i++)
        vips[i] = i + 1;
    lost = lost_new();
    lost_update(lost, vips, LOST_MAX + 10, NULL, 0);
    ck_assert(lost_update(lost, NULL, 0, NULL, 0));
    (void)lost_list(lost, &count);
    ck_assert_uint_eq(count, LOST_MAX);
    lost_free(lost);
}
END_TEST

Suite *suite_lost(void);
Suite *suite_lost(void)
{
    Suite *suite = suite_create("lost");
    TCase *tcase = tcase_create("lost");
    tcase_add_test(tcase, who_loses_the_last_task_is_known_until_there_is_one_again);
    tcase_add_test(tcase, an_address_that_is_an_endpoints_is_let_go);
    tcase_add_test(tcase, what_an_earlier_life_had_is_lost_unless_it_has_tasks);
    tcase_add_test(tcase, they_are_bounded);
    suite_add_tcase(suite, tcase);
    return suite;
}
