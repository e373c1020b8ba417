// The event bus: events come out as Docker writes them, followers read at their own pace, and what
// is kept is bounded.
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "agent/engine/bus.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

static struct bus *bus;

static void set_up(void)
{
    bus = bus_new();
}

static void tear_down(void)
{
    bus_free(bus);
}

static void publish(const char *type, const char *action, const char *id)
{
    const struct bus_attribute attributes[] = {{"name", "web"}, {"image", "nginx:1"}};
    bus_publish(bus, &(struct bus_event){.type = type,
                                         .action = action,
                                         .actor_id = id,
                                         .at = {1500000000123456789},
                                         .attributes = attributes,
                                         .attributes_count = 2});
}

START_TEST(containers_carry_what_older_clients_read)
{
    struct bus_kept kept;
    publish("container", "start", "c1");
    ck_assert(bus_get(bus, 0, &kept));
    ck_assert_str_eq(
        kept.json,
        "{\"status\":\"start\",\"id\":\"c1\",\"from\":\"nginx:1\",\"Type\":\"container\","
        "\"Action\":\"start\",\"Actor\":{\"ID\":\"c1\",\"Attributes\":{\"image\":"
        "\"nginx:1\",\"name\":\"web\"}},\"scope\":\"local\",\"time\":1500000000,"
        "\"timeNano\":1500000000123456789}");
    publish("network", "create", "n1");
    ck_assert(bus_get(bus, kept.number + 1, &kept));
    ck_assert(str_starts(kept.json, "{\"Type\":\"network\""));
}
END_TEST

static void on_nothing(struct bus_follower *follower)
{
    (void)follower;
}

START_TEST(numbers_go_up_and_the_oldest_go)
{
    struct bus_follower follower = {.news = on_nothing};
    struct bus_kept kept;
    bus_follow(bus, &follower);
    for (int i = 0; i < BUS_EVENTS + 10; i++)
        publish("volume", "create", "v");
    ck_assert(bus_get(bus, 1, &kept));
    ck_assert_uint_eq(kept.number, 11);
    ck_assert(!bus_get(bus, bus_next(bus), &kept));
    // What nobody follows is only there to look back.
    bus_unfollow(&follower);
    publish("volume", "create", "v");
    ck_assert(bus_get(bus, 1, &kept));
    ck_assert_uint_eq(kept.number, bus_next(bus) - BUS_EVENTS_BACK);
}
END_TEST

START_TEST(large_events_do_not_fill_the_memory)
{
    static char large[100001];
    struct bus_kept kept;
    memset(large, 'x', sizeof large - 1);
    for (int i = 0; i < 100; i++)
        publish("volume", "create", large);
    ck_assert(bus_get(bus, 1, &kept));
    ck_assert_uint_gt(kept.number, 50);
    ck_assert(bus_get(bus, 100, &kept));
    ck_assert_uint_eq(kept.number, 100);
}
END_TEST

static int heard;

static void on_news(struct bus_follower *follower)
{
    heard++;
    if (heard == 2)
        bus_unfollow(follower);
}

START_TEST(a_follower_may_leave_while_it_hears)
{
    struct bus_follower follower = {.news = on_news};
    heard = 0;
    bus_follow(bus, &follower);
    for (int i = 0; i < 4; i++)
        publish("volume", "create", "v");
    ck_assert_int_eq(heard, 2);
}
END_TEST

Suite *suite_bus(void);
Suite *suite_bus(void)
{
    Suite *suite = suite_create("bus");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, containers_carry_what_older_clients_read);
    tcase_add_test(tcase, numbers_go_up_and_the_oldest_go);
    tcase_add_test(tcase, large_events_do_not_fill_the_memory);
    tcase_add_test(tcase, a_follower_may_leave_while_it_hears);
    suite_add_tcase(suite, tcase);
    return suite;
}
