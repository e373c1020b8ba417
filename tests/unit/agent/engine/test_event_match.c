// The filters of /events: keys and-ed, values or-ed, the beginnings of names, health_status.
#include <check.h>

#include "agent/engine/event_match.h"
#include "proto/base/check.h"

static struct arena arena;

static void set_up(void)
{
    arena_init(&arena, SIZE_MAX);
}

static void tear_down(void)
{
    arena_fini(&arena);
}

static const struct bus_attribute attributes[] = {
    {"colour", "green"}, {"image", "registry:5000/nginx:1.26"}, {"name", "web.1.abc"}};
static const struct bus_event started = {.type = "container",
                                         .action = "health_status: healthy",
                                         .actor_id = "c0ffee",
                                         .attributes = attributes,
                                         .attributes_count = 3};

static bool fits(const char *text)
{
    struct filters filters;
    ck_assert_int_eq(filters_parse(text, NULL, 0, &arena, &filters, NULL), 0);
    return event_match(&filters, &started);
}

START_TEST(what_fits_and_what_does_not)
{
    static const struct {
        const char *filters;
        bool fits;
    } rows[] = {
        {"", true},
        {"{\"type\":[\"container\"]}", true},
        {"{\"type\":{\"service\":true,\"container\":true}}", true},
        {"{\"type\":[\"service\"]}", false},
        {"{\"type\":[\"container\"],\"scope\":[\"swarm\"]}", false},
        {"{\"scope\":[\"local\",\"swarm\"]}", true},
        {"{\"event\":[\"health_status\"]}", true},
        {"{\"event\":[\"health_status: healthy\"]}", true},
        {"{\"event\":[\"health\"]}", false},
        {"{\"container\":[\"web.1\"]}", true},
        {"{\"container\":[\"c0ff\"]}", true},
        {"{\"container\":[\"eb.1\"]}", false},
        {"{\"image\":[\"registry:5000/nginx\"]}", true},
        {"{\"image\":[\"registry:5000/nginx:1.26\"]}", true},
        {"{\"image\":[\"nginx\"]}", false},
        {"{\"label\":[\"colour\"]}", true},
        {"{\"label\":[\"colour=green\"]}", true},
        {"{\"label\":[\"colour=green\",\"size\"]}", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        ck_assert_msg(fits(rows[i].filters) == rows[i].fits, "%s", rows[i].filters);
}
END_TEST

Suite *suite_event_match(void);
Suite *suite_event_match(void)
{
    Suite *suite = suite_create("event_match");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, what_fits_and_what_does_not);
    suite_add_tcase(suite, tcase);
    return suite;
}
