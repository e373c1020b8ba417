// Changes of the cluster as events: the names of actors and the attributes that tell what changed.
#include <check.h>
#include <string.h>

#include "agent/engine/changes.h"
#include "proto/base/str.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"
#include "tests/support/fake_objects.h"

static struct arena arena;
static struct bus *bus;

static void set_up(void)
{
    arena_init(&arena, SIZE_MAX);
    bus = bus_new();
}

static void tear_down(void)
{
    bus_free(bus);
    arena_fini(&arena);
}

static const char *event_of(int action, Swarm__Object *now, Swarm__Object *was)
{
    Swarm__WatchMessage__Event event = SWARM__WATCH_MESSAGE__EVENT__INIT;
    struct bus_kept kept;
    uint64_t number = bus_next(bus);
    event.action = (Swarm__WatchActionKind)action;
    event.object = now;
    event.old_object = was;
    changes_publish(bus, &event, (struct wall){77 * NS_PER_S});
    return bus_get(bus, number, &kept) ? kept.json : NULL;
}

static Swarm__Object of_service(Swarm__Service *service)
{
    Swarm__Object object = SWARM__OBJECT__INIT;
    object.object_case = SWARM__OBJECT__OBJECT_SERVICE;
    object.service = service;
    return object;
}

static Swarm__Object of_node(Swarm__Node *node)
{
    Swarm__Object object = SWARM__OBJECT__INIT;
    object.object_case = SWARM__OBJECT__OBJECT_NODE;
    object.node = node;
    return object;
}

START_TEST(a_service_tells_its_replicas_image_and_update)
{
    Swarm__Service *was = fake_service(&arena, "s1"), *now = fake_service(&arena, "s1");
    was->spec->replicated->replicas = 1;
    now->spec->replicated->replicas = 3;
    now->spec->task->container->image = "image:2";
    now->update_status = wire_new(&swarm__update_status__descriptor, &arena);
    now->update_status->state = SWARM__UPDATE_STATUS__UPDATE_STATE__UPDATING;
    Swarm__Object a = of_service(now), b = of_service(was);
    const char *json = event_of(2, &a, &b);
    ck_assert_ptr_nonnull(json);
    ck_assert_ptr_nonnull(strstr(json, "\"Action\":\"update\",\"Actor\":{\"ID\":\"s1\""));
    ck_assert_ptr_nonnull(strstr(json, "\"replicas.new\":\"3\",\"replicas.old\":\"1\""));
    ck_assert_ptr_nonnull(strstr(json, "\"image.new\":\"image:2\",\"image.old\":\"image:1\""));
    ck_assert_ptr_nonnull(strstr(json, "\"updatestate.new\":\"updating\""));
    ck_assert_ptr_nonnull(strstr(json, "\"scope\":\"swarm\""));
}
END_TEST

START_TEST(a_node_tells_its_state_role_and_availability)
{
    Swarm__Node *was = fake_node(&arena, "n1"), *now = fake_node(&arena, "n1");
    now->description = wire_new(&swarm__node_description__descriptor, &arena);
    now->description->hostname = "host-1";
    now->spec->annotations->name = "";
    was->status->state = SWARM__NODE_STATUS__STATE__DOWN;
    now->status->state = SWARM__NODE_STATUS__STATE__READY;
    now->spec->availability = SWARM__NODE_SPEC__AVAILABILITY__DRAIN;
    now->role = SWARM__NODE_ROLE__MANAGER;
    was->role = SWARM__NODE_ROLE__WORKER;
    Swarm__Object a = of_node(now), b = of_node(was);
    const char *json = event_of(2, &a, &b);
    ck_assert_ptr_nonnull(strstr(json, "\"name\":\"host-1\""));
    ck_assert_ptr_nonnull(strstr(json, "\"state.new\":\"ready\",\"state.old\":\"down\""));
    ck_assert_ptr_nonnull(strstr(json, "\"role.new\":\"manager\",\"role.old\":\"worker\""));
    ck_assert_ptr_nonnull(
        strstr(json, "\"availability.new\":\"drain\",\"availability.old\":\"active\""));
}
END_TEST

START_TEST(creation_and_removal_carry_the_name_alone)
{
    Swarm__Object object = SWARM__OBJECT__INIT;
    object.object_case = SWARM__OBJECT__OBJECT_NETWORK;
    object.network = fake_network(&arena, "net");
    const char *json = event_of(4, &object, NULL);
    ck_assert_ptr_nonnull(strstr(json, "\"Type\":\"network\",\"Action\":\"remove\""));
    ck_assert_ptr_nonnull(strstr(json, "\"Attributes\":{\"name\":\"net\"}"));
    ck_assert_ptr_nonnull(strstr(json, "\"time\":77,"));
    object.object_case = SWARM__OBJECT__OBJECT_TASK; // the cluster's tasks make no events
    object.task = fake_task(&arena, "t1", "s1", 1);
    ck_assert_ptr_null(event_of(1, &object, NULL));
}
END_TEST

Suite *suite_changes(void);
Suite *suite_changes(void)
{
    Suite *suite = suite_create("changes");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_service_tells_its_replicas_image_and_update);
    tcase_add_test(tcase, a_node_tells_its_state_role_and_availability);
    tcase_add_test(tcase, creation_and_removal_carry_the_name_alone);
    suite_add_tcase(suite, tcase);
    return suite;
}
