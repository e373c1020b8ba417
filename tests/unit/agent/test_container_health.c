// A task's health check is its service's, and its image's where the service says nothing.
#include <check.h>
#include <string.h>

#include "agent/container_health.h"
#include "proto/base/clock.h"
#include "proto/wire/times.h"

static struct arena arena;
static struct image_health image;
static Swarm__HealthConfig own;
static Google__Duration duration;
static const Swarm__HealthConfig *made;
static struct err err;
static const char *image_test[] = {"CMD-SHELL", "true"}, *own_test[] = {"CMD", "false"};
static const char *none_test[] = {"NONE"}, *odd_test[] = {"RUN", "x"};

static void set_up(void)
{
    arena_init(&arena, 1 << 20);
    image = (struct image_health){.test = image_test,
                                  .test_count = 2,
                                  .interval_ns = 7 * NS_PER_S,
                                  .timeout_ns = 8 * NS_PER_S,
                                  .start_period_ns = 9 * NS_PER_S,
                                  .start_interval_ns = NS_PER_S + 5,
                                  .retries = 4};
    swarm__health_config__init(&own);
    google__duration__init(&duration);
    err = (struct err)ERR_INIT;
}

static void tear_down(void)
{
    arena_fini(&arena);
}

static int make(const Swarm__HealthConfig *config)
{
    return container_health_make(config, &image, &arena, &made, &err);
}

static void refused(const char *word)
{
    ck_assert_int_eq(make(&own), -ERR_INVALID_ARGUMENT);
    ck_assert_msg(strstr(err.message, word) != NULL, "%s", err.message);
    ck_assert_ptr_null(made);
}

START_TEST(what_is_left_open_is_the_images)
{
    ck_assert_int_eq(make(NULL), 0);
    ck_assert_uint_eq(made->n_test, 2);
    ck_assert_str_eq(made->test[0], "CMD-SHELL");
    ck_assert_int_eq(duration_to_ns(made->interval, 0), 7 * NS_PER_S);
    ck_assert_int_eq(duration_to_ns(made->timeout, 0), 8 * NS_PER_S);
    ck_assert_int_eq(duration_to_ns(made->start_period, 0), 9 * NS_PER_S);
    ck_assert_int_eq(duration_to_ns(made->start_interval, 0), NS_PER_S + 5);
    ck_assert_int_eq(made->retries, 4);

    duration.seconds = 60;
    own.interval = &duration;
    own.retries = 9;
    ck_assert_int_eq(make(&own), 0);
    ck_assert_str_eq(made->test[1], "true");
    ck_assert_int_eq(duration_to_ns(made->interval, 0), 60 * NS_PER_S);
    ck_assert_int_eq(duration_to_ns(made->timeout, 0), 8 * NS_PER_S);
    ck_assert_int_eq(made->retries, 9);

    own.test = own_test;
    own.n_test = 2;
    ck_assert_int_eq(make(&own), 0);
    ck_assert_str_eq(made->test[1], "false");
}
END_TEST

START_TEST(none_disables_and_nothing_is_nothing)
{
    own.test = none_test;
    own.n_test = 1;
    ck_assert_int_eq(make(&own), 0);
    ck_assert_ptr_null(made);
    image = (struct image_health){.test = none_test, .test_count = 1};
    ck_assert_int_eq(make(NULL), 0);
    ck_assert_ptr_null(made);
    image = (struct image_health){0};
    ck_assert_int_eq(make(NULL), 0);
    ck_assert_ptr_null(made);
}
END_TEST

START_TEST(what_the_engine_refuses_is_refused)
{
    own.test = odd_test;
    own.n_test = 2;
    refused("unknown health check type \"RUN\"");
    own.test = own_test;
    own.n_test = 1;
    refused("without a command");
    own.n_test = 2;
    own.retries = -1;
    refused("Retries in Healthcheck cannot be negative");
    own.retries = 0;
    duration.nanos = 5;
    own.start_period = &duration;
    refused("StartPeriod in Healthcheck cannot be less than 1ms");
    duration.nanos = -5;
    own.start_period = NULL;
    own.timeout = &duration;
    refused("Timeout");
}
END_TEST

Suite *suite_container_health(void);
Suite *suite_container_health(void)
{
    Suite *suite = suite_create("container_health");
    TCase *tcase = tcase_create("container_health");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, what_is_left_open_is_the_images);
    tcase_add_test(tcase, none_disables_and_nothing_is_nothing);
    tcase_add_test(tcase, what_the_engine_refuses_is_refused);
    suite_add_tcase(suite, tcase);
    return suite;
}
