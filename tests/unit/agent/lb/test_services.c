// Services take what is right, refuse what is not, and change nothing when they refuse.
#include <check.h>
#include <stdlib.h>

#include "agent/lb/services.h"

#define VIP 0x0a000102u

static struct services services;

static void setup(void)
{
    services_init(&services);
}

static void teardown(void)
{
    services_fini(&services);
}

START_TEST(backends_are_kept_in_order_and_replaced_whole)
{
    struct err err = ERR_INIT;
    struct backend first[] = {{9, 1}, {3, 2}, {5, 0}};
    ck_assert_int_eq(services_set(&services, VIP, first, 3, &err), 0);
    const struct service *service = services_find(&services, VIP);
    ck_assert_uint_eq(service->backends_count, 3);
    ck_assert_uint_eq(service->backends[0].address, 3);
    ck_assert_uint_eq(service->backends[2].address, 9);
    struct backend second[] = {{7, 1}};
    ck_assert_int_eq(services_set(&services, VIP, second, 1, &err), 0);
    ck_assert_uint_eq(services_find(&services, VIP)->backends_count, 1);
    ck_assert_uint_eq(services_count(&services), 1);
}
END_TEST

START_TEST(what_is_wrong_is_refused_and_changes_nothing)
{
    struct err err = ERR_INIT;
    struct backend good[] = {{3, 1}};
    ck_assert_int_eq(services_set(&services, VIP, good, 1, &err), 0);
    struct backend twice[] = {{3, 1}, {4, 1}, {3, 2}};
    struct backend own[] = {{VIP, 1}};
    struct backend none[] = {{0, 1}};
    struct backend heavy[] = {{3, SERVICES_WEIGHT_MAX + 1}};
    ck_assert_int_eq(services_set(&services, VIP, twice, 3, &err), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(services_set(&services, VIP, own, 1, &err), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(services_set(&services, VIP, none, 1, &err), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(services_set(&services, VIP, heavy, 1, &err), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(services_set(&services, 0, good, 1, &err), -ERR_INVALID_ARGUMENT);
    static struct backend many[SERVICES_BACKENDS_COUNT_MAX + 1];
    ck_assert_int_eq(services_set(&services, VIP, many, SERVICES_BACKENDS_COUNT_MAX + 1, &err),
                     -ERR_RESOURCE_EXHAUSTED);
    const struct service *service = services_find(&services, VIP);
    ck_assert_uint_eq(service->backends_count, 1);
    ck_assert_uint_eq(service->backends[0].address, 3);
}
END_TEST

START_TEST(services_are_limited_but_those_there_can_change)
{
    struct err err = ERR_INIT;
    for (uint32_t i = 0; i < SERVICES_COUNT_MAX; i++)
        ck_assert_int_eq(services_set(&services, VIP + i, NULL, 0, &err), 0);
    ck_assert_int_eq(services_set(&services, 1, NULL, 0, &err), -ERR_RESOURCE_EXHAUSTED);
    ck_assert_int_eq(services_set(&services, VIP, NULL, 0, &err), 0);
}
END_TEST

START_TEST(a_weight_changes_alone)
{
    struct err err = ERR_INIT;
    struct backend backends[] = {{3, 1}, {4, 1}};
    ck_assert_int_eq(services_set(&services, VIP, backends, 2, &err), 0);
    ck_assert_int_eq(services_set_weight(&services, VIP, 4, 0, &err), 0);
    ck_assert_uint_eq(services_find(&services, VIP)->backends[0].weight, 1);
    ck_assert_uint_eq(services_find(&services, VIP)->backends[1].weight, 0);
    ck_assert_int_eq(services_set_weight(&services, VIP, 5, 0, &err), -ERR_NOT_FOUND);
    ck_assert_int_eq(services_set_weight(&services, 9, 4, 0, &err), -ERR_NOT_FOUND);
    ck_assert_int_eq(services_set_weight(&services, VIP, 4, SERVICES_WEIGHT_MAX + 1, &err),
                     -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(removed_services_are_gone_and_the_rest_sorts)
{
    struct err err = ERR_INIT;
    for (uint32_t vip = 5; vip > 0; vip--)
        ck_assert_int_eq(services_set(&services, vip, NULL, 0, &err), 0);
    ck_assert(services_remove(&services, 3));
    ck_assert(!services_remove(&services, 3));
    ck_assert_ptr_null(services_find(&services, 3));
    const struct service **sorted = services_sorted(&services);
    const uint32_t expected[] = {1, 2, 4, 5};
    ck_assert_uint_eq(services_count(&services), 4);
    for (size_t i = 0; i < 4; i++)
        ck_assert_uint_eq(sorted[i]->vip, expected[i]);
    free((void *)sorted);
}
END_TEST

Suite *suite_services(void);
Suite *suite_services(void)
{
    Suite *suite = suite_create("services");
    TCase *tcase = tcase_create("services");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, backends_are_kept_in_order_and_replaced_whole);
    tcase_add_test(tcase, what_is_wrong_is_refused_and_changes_nothing);
    tcase_add_test(tcase, services_are_limited_but_those_there_can_change);
    tcase_add_test(tcase, a_weight_changes_alone);
    tcase_add_test(tcase, removed_services_are_gone_and_the_rest_sorts);
    suite_add_tcase(suite, tcase);
    return suite;
}
