// Health checks: when they run and what counts.
#include <check.h>

#include "agent/task/health.h"

static const char *words[] = {"CMD", "true"};
static Google__Duration durations[4];
static Swarm__HealthConfig config;
static struct health health;
static struct mono now;

static void set_up(void)
{
    swarm__health_config__init(&config);
    config.test = (void *)words;
    config.n_test = 2;
    now = (struct mono){NS_PER_H};
}

static Google__Duration *seconds(size_t slot, int64_t count)
{
    google__duration__init(&durations[slot]);
    durations[slot].seconds = count;
    return &durations[slot];
}

START_TEST(no_test_counts_as_none)
{
    ck_assert(health_wanted(&config));
    ck_assert(!health_wanted(NULL));
    words[0] = "NONE";
    ck_assert(!health_wanted(&config));
    health_init(&health, &config);
    ck_assert_int_eq(health.state, HEALTH_NONE);
    health_start(&health, now);
    ck_assert(!health_take_due(&health, mono_add(now, NS_PER_H)));
    words[0] = "CMD";
}
END_TEST

START_TEST(zeros_are_the_engines_defaults)
{
    health_init(&health, &config);
    health_start(&health, now);
    ck_assert(!health_take_due(&health, mono_add(now, HEALTH_INTERVAL_NS - 1)));
    ck_assert(health_take_due(&health, mono_add(now, HEALTH_INTERVAL_NS)));
    ck_assert(!health_take_due(&health, mono_add(now, HEALTH_INTERVAL_NS))); // runs already
    for (int i = 0; i < HEALTH_RETRIES; i++) {
        ck_assert_int_eq(health.state, HEALTH_STARTING);
        health_result(&health, false, now);
    }
    ck_assert_int_eq(health.state, HEALTH_UNHEALTHY);
    health_result(&health, true, now); // and back
    ck_assert_int_eq(health.state, HEALTH_HEALTHY);
}
END_TEST

START_TEST(failures_in_the_start_period_do_not_count)
{
    config.start_period = seconds(0, 60);
    config.interval = seconds(1, 10);
    config.start_interval = seconds(2, 2);
    config.retries = 1;
    health_init(&health, &config);
    health_start(&health, now);
    ck_assert_int_eq(mono_since(health.due, now), 2 * NS_PER_S);
    ck_assert(health_take_due(&health, mono_add(now, 2 * NS_PER_S)));
    health_result(&health, false, mono_add(now, 2 * NS_PER_S));
    ck_assert_int_eq(health.state, HEALTH_STARTING);
    ck_assert_int_eq(mono_since(health.due, now), 4 * NS_PER_S);
    // What counts is when a check began, not when it ended.
    struct mono late = mono_add(now, 60 * NS_PER_S);
    ck_assert(health_take_due(&health, mono_add(now, 59 * NS_PER_S)));
    health_result(&health, false, late);
    ck_assert_int_eq(health.state, HEALTH_STARTING);
    late = mono_add(late, 10 * NS_PER_S);
    ck_assert(health_take_due(&health, late));
    health_result(&health, false, late);
    ck_assert_int_eq(health.state, HEALTH_UNHEALTHY);
    ck_assert_int_eq(mono_since(health.due, late), 10 * NS_PER_S);
}
END_TEST

START_TEST(a_success_ends_the_start_period)
{
    config.start_period = seconds(0, 60);
    config.retries = 1;
    health_init(&health, &config);
    health_start(&health, now);
    health_result(&health, true, now);
    ck_assert_int_eq(health.state, HEALTH_HEALTHY);
    health_result(&health, false, now);
    ck_assert_int_eq(health.state, HEALTH_UNHEALTHY);
}
END_TEST

START_TEST(what_was_known_goes_on)
{
    config.start_period = seconds(0, 60);
    config.interval = seconds(1, 10);
    config.start_interval = seconds(2, 2);
    config.retries = 3;
    health_init(&health, &config);
    health_resume(&health, HEALTH_HEALTHY, 2, NS_PER_H, now);
    ck_assert_int_eq(health.state, HEALTH_HEALTHY);
    ck_assert_int_eq(mono_since(health.due, now), 10 * NS_PER_S);
    health_result(&health, false, now);
    ck_assert_int_eq(health.state, HEALTH_UNHEALTHY);
    // Of the start period is left what was left.
    health_init(&health, &config);
    health_resume(&health, HEALTH_STARTING, 0, 59 * NS_PER_S, now);
    ck_assert_int_eq(mono_since(health.due, now), 2 * NS_PER_S);
    ck_assert(health_take_due(&health, mono_add(now, 2 * NS_PER_S)));
    health_result(&health, false, mono_add(now, 2 * NS_PER_S));
    ck_assert_int_eq(health.failing, 1);
    // Whose check is gone has no health any more.
    health_init(&health, NULL);
    health_resume(&health, HEALTH_UNHEALTHY, 1, 0, now);
    ck_assert_int_eq(health.state, HEALTH_NONE);
}
END_TEST

Suite *suite_health(void);
Suite *suite_health(void)
{
    Suite *suite = suite_create("health");
    TCase *tcase = tcase_create("health");
    tcase_add_checked_fixture(tcase, set_up, NULL);
    tcase_add_test(tcase, no_test_counts_as_none);
    tcase_add_test(tcase, zeros_are_the_engines_defaults);
    tcase_add_test(tcase, failures_in_the_start_period_do_not_count);
    tcase_add_test(tcase, a_success_ends_the_start_period);
    tcase_add_test(tcase, what_was_known_goes_on);
    suite_add_tcase(suite, tcase);
    return suite;
}
