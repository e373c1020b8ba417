// The gate: one address cannot take what belongs to all.
#include <check.h>
#include <stdio.h>

#include "proto/net/admission.h"

static struct addr peer(const char *text)
{
    struct addr addr;
    ck_assert_int_eq(addr_parse(text, 1, &addr, NULL), 0);
    return addr;
}

static const struct admission_limits small = {
    .total = 5, .per_address = 3, .handshakes_burst = 4, .handshakes_per_s = 2};

START_TEST(one_address_meets_its_cap_and_others_still_come_in)
{
    struct admission admission;
    admission_init(&admission, &small);
    struct addr attacker = peer("10.0.0.1"), agent = peer("10.0.0.2");
    struct mono now = {.ns = NS_PER_S};
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(admission_enter(&admission, &attacker, now), ADMISSION_OK);
    ck_assert_int_eq(admission_enter(&admission, &attacker, now), ADMISSION_PER_ADDRESS);
    ck_assert_int_eq(admission_enter(&admission, &agent, now), ADMISSION_OK);
    ck_assert_int_eq(admission_enter(&admission, &agent, now), ADMISSION_OK);
    ck_assert_int_eq(admission_enter(&admission, &agent, now), ADMISSION_TOTAL);
    admission_leave(&admission, &attacker, now);
    ck_assert_uint_eq(admission_open_from(&admission, &attacker), 2);
    ck_assert_int_eq(admission_enter(&admission, &agent, now), ADMISSION_OK);
    ck_assert_uint_eq(admission_open(&admission), 5);
    admission_fini(&admission);
}
END_TEST

START_TEST(handshakes_have_a_burst_and_then_a_rate)
{
    struct admission admission;
    admission_init(&admission, &small);
    struct addr attacker = peer("10.0.0.1"), agent = peer("10.0.0.2");
    struct mono now = {.ns = NS_PER_S};
    admission_enter(&admission, &attacker, now);
    admission_enter(&admission, &agent, now);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(admission_handshake(&admission, &attacker, now), ADMISSION_OK);
    ck_assert_int_eq(admission_handshake(&admission, &attacker, now), ADMISSION_RATE);
    ck_assert_int_eq(admission_handshake(&admission, &agent, now), ADMISSION_OK);
    now = mono_add(now, NS_PER_S / 2);
    ck_assert_int_eq(admission_handshake(&admission, &attacker, now), ADMISSION_OK);
    ck_assert_int_eq(admission_handshake(&admission, &attacker, now), ADMISSION_RATE);
    admission_fini(&admission);
}
END_TEST

// Leaving and coming back must not refill the allowance.
START_TEST(allowance_outlives_the_connections)
{
    struct admission admission;
    admission_init(&admission, &small);
    struct addr attacker = peer("10.0.0.1");
    struct mono now = {.ns = NS_PER_S};
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(admission_enter(&admission, &attacker, now), ADMISSION_OK);
        ck_assert_int_eq(admission_handshake(&admission, &attacker, now), ADMISSION_OK);
        admission_leave(&admission, &attacker, now);
    }
    ck_assert_int_eq(admission_enter(&admission, &attacker, now), ADMISSION_OK);
    ck_assert_int_eq(admission_handshake(&admission, &attacker, now), ADMISSION_RATE);
    admission_fini(&admission);
}
END_TEST

START_TEST(peers_that_are_gone_are_forgotten)
{
    struct admission admission;
    admission_init(&admission, &small);
    struct mono now = {.ns = NS_PER_S};
    for (int i = 0; i < 200; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.1.%d", i);
        struct addr addr = peer(text);
        ck_assert_int_eq(admission_enter(&admission, &addr, now), ADMISSION_OK);
        admission_leave(&admission, &addr, now);
    }
    now = mono_add(now, 60 * NS_PER_S);
    struct addr addr = peer("10.0.0.1");
    ck_assert_int_eq(admission_enter(&admission, &addr, now), ADMISSION_OK);
    ck_assert_uint_eq(map_count(&admission.peers), 1);
    admission_fini(&admission);
}
END_TEST

START_TEST(unix_sockets_count_in_total_only)
{
    struct admission admission;
    admission_init(&admission, &small);
    struct addr local = peer("/run/x");
    struct mono now = {.ns = NS_PER_S};
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(admission_enter(&admission, &local, now), ADMISSION_OK);
    ck_assert_int_eq(admission_enter(&admission, &local, now), ADMISSION_TOTAL);
    admission_leave(&admission, &local, now);
    ck_assert_uint_eq(admission_open(&admission), 4);
    admission_fini(&admission);
}
END_TEST

Suite *suite_admission(void);
Suite *suite_admission(void)
{
    Suite *suite = suite_create("admission");
    TCase *tcase = tcase_create("limits");
    tcase_add_test(tcase, one_address_meets_its_cap_and_others_still_come_in);
    tcase_add_test(tcase, handshakes_have_a_burst_and_then_a_rate);
    tcase_add_test(tcase, allowance_outlives_the_connections);
    tcase_add_test(tcase, peers_that_are_gone_are_forgotten);
    tcase_add_test(tcase, unix_sockets_count_in_total_only);
    suite_add_tcase(suite, tcase);
    return suite;
}
