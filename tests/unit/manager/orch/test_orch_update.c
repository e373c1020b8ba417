// Services get new tasks, by updates and rollbacks.
#include <check.h>

#include "proto/base/id.h"
#include "proto/base/str.h"
#include "proto/wire/wire.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"
#include "tests/unit/manager/orch/world.h"

START_TEST(an_update_replaces_one_slot_after_the_other)
{
    world_running_service(3);
    world_update_image("image:2");
    world_settle();
    ck_assert_int_eq(world_update_status()->state, SWARM__UPDATE_STATUS__UPDATE_STATE__UPDATING);
    ck_assert_uint_eq(world_count_desired(TASK(READY)), 1); // parallelism 1
    ck_assert_uint_eq(world_count_desired(TASK(RUNNING)), 2);
    for (int round = 0; round < 20 && world_running_image("image:2") < 3; round++) {
        world_agents(NULL);
        world_pass(1);
        world_look();
        size_t wanted = 0;
        for (size_t i = 0; i < world.tasks_count; i++)
            wanted += world.tasks[i].desired <= TASK(RUNNING);
        ck_assert_uint_eq(wanted, 3);
    }
    ck_assert_uint_eq(world_running_image("image:2"), 3);
    world_pass(10);
    ck_assert_int_eq(world_update_status()->state, SWARM__UPDATE_STATUS__UPDATE_STATE__COMPLETED);
    ck_assert_str_eq(world_update_status()->message, "update completed");
}
END_TEST

START_TEST(start_first_keeps_the_old_task_until_the_new_one_runs)
{
    world_running_service(2);
    struct txn *txn = fake_begin(&world.journal, world.now_s);
    Swarm__Service *service = world_edit_service(txn);
    service->spec->update = wire_new(&swarm__update_config__descriptor, txn_arena(txn));
    service->spec->update->order = SWARM__UPDATE_CONFIG__UPDATE_ORDER__START_FIRST;
    service->spec->update->parallelism = 1;
    world_write_service(txn, service);
    world_settle();
    world_update_image("image:2");
    world_settle();
    ck_assert_uint_eq(world_count_desired(TASK(RUNNING)), 3); // the new one beside both old ones
    ck_assert_uint_eq(world_running_image("image:1"), 2);
    for (int round = 0; round < 20 && world_running_image("image:2") < 2; round++) {
        world_agents(NULL);
        world_pass(1);
        ck_assert_uint_ge(world_running_image("image:1") + world_running_image("image:2"), 2);
    }
    world_agents(NULL);
    ck_assert_uint_eq(world_running_image("image:2"), 2);
    ck_assert_uint_eq(world_running_image("image:1"), 0);
}
END_TEST

// Goal: one update on the heels of another does not pile up tasks that never came to run.
START_TEST(start_first_has_one_old_and_one_new_task_however_often_it_is_updated)
{
    world_running_service(1);
    struct txn *txn = fake_begin(&world.journal, world.now_s);
    Swarm__Service *service = world_edit_service(txn);
    service->spec->update = wire_new(&swarm__update_config__descriptor, txn_arena(txn));
    service->spec->update->order = SWARM__UPDATE_CONFIG__UPDATE_ORDER__START_FIRST;
    world_write_service(txn, service);
    world_settle();
    for (int version = 2; version < 6; version++) {
        world_update_image(arena_printf(&world.arena, "image:%d", version));
        world_settle();
        ck_assert_uint_eq(world_count_desired(TASK(RUNNING)), 2);
        ck_assert_uint_eq(world_running_image("image:1"), 1);
    }
    world_agents(NULL);
    ck_assert_uint_eq(world_running_image("image:5"), 1);
}
END_TEST

// Goal: a number that was scaled away and is wanted again, while the service is updated as well,
// gets one task and not two.
START_TEST(a_slot_filled_again_during_an_update_has_one_task)
{
    world_running_service(3);
    world_scale(1);
    world_settle(); // two slots are to be removed, and their agents have not answered
    struct txn *txn = fake_begin(&world.journal, world.now_s);
    Swarm__Service *service = world_edit_service(txn);
    service->spec->replicated->replicas = 3;
    service->spec->task->container->image = "image:2";
    service->spec->update = wire_new(&swarm__update_config__descriptor, txn_arena(txn));
    service->spec_version->index = service->meta->version->index;
    world_write_service(txn, service);
    world_settle();
    world_look();
    size_t made[4] = {0};
    for (size_t i = 0; i < world.tasks_count; i++)
        if (str_equal(world.tasks[i].image, "image:2"))
            made[world.tasks[i].slot]++;
    for (int slot = 1; slot <= 3; slot++)
        ck_assert_uint_eq(made[slot], 1);
}
END_TEST

// Goal: an update puts nothing on a node that drains, and is complete without it.
START_TEST(an_update_of_a_global_service_passes_over_draining_nodes)
{
    for (int i = 0; i < 3; i++)
        world_add_node(arena_printf(&world.arena, "node%d", i));
    world_global_service();
    world_agents(NULL);
    world_set_node("node1", SWARM__NODE_STATUS__STATE__READY,
                   SWARM__NODE_SPEC__AVAILABILITY__DRAIN);
    world_settle();
    world_agents(NULL);
    world_update_image("image:2");
    for (int round = 0; round < 30; round++) {
        world_settle();
        world_look();
        for (size_t i = 0; i < world.tasks_count; i++)
            ck_assert(!str_equal(world.tasks[i].node_id, "node1") ||
                      str_equal(world.tasks[i].image, "image:1"));
        world_agents(NULL);
        world_pass(1);
    }
    ck_assert_uint_eq(world_running_image("image:2"), 2);
    ck_assert_int_eq(world_update_status()->state, SWARM__UPDATE_STATUS__UPDATE_STATE__COMPLETED);
}
END_TEST

START_TEST(a_failing_update_pauses)
{
    world_running_service(3);
    world_update_image("image:bad");
    for (int round = 0; round < 10; round++) {
        world_settle();
        world_pass(_i == 0 ? 1 : 60); // as when an image is long in coming
        world_agents("image:bad");
    }
    ck_assert_int_eq(world_update_status()->state, SWARM__UPDATE_STATUS__UPDATE_STATE__PAUSED);
    ck_assert(str_starts(world_update_status()->message,
                         "update paused due to failure or early termination of task "));
    ck_assert_uint_ge(world_running_image("image:1"), 2); // the rest is untouched
}
END_TEST

START_TEST(a_failing_update_rolls_back_when_asked_to)
{
    world_running_service(3);
    struct txn *txn = fake_begin(&world.journal, world.now_s);
    Swarm__Service *service = world_edit_service(txn);
    service->spec->update = wire_new(&swarm__update_config__descriptor, txn_arena(txn));
    service->spec->update->parallelism = 1;
    service->spec->update->failure_action = SWARM__UPDATE_CONFIG__FAILURE_ACTION__ROLLBACK;
    world_write_service(txn, service);
    world_settle();
    world_update_image("image:bad");
    for (int round = 0; round < 40; round++) {
        world_settle();
        world_agents("image:bad");
        world_pass(1);
    }
    ck_assert_int_eq(world_update_status()->state,
                     SWARM__UPDATE_STATUS__UPDATE_STATE__ROLLBACK_COMPLETED);
    ck_assert_uint_eq(world_running_image("image:1"), 3);
}
END_TEST

START_TEST(a_change_of_replicas_alone_updates_nothing)
{
    world_running_service(2);
    world_look();
    char first[ID_CHARS + 1];
    str_copy(first, sizeof first, world.tasks[0].id);
    struct txn *txn = fake_begin(&world.journal, world.now_s);
    Swarm__Service *service = world_edit_service(txn);
    service->previous_spec = fake_copy(txn_arena(txn), service->spec);
    service->spec->replicated->replicas = 3;
    service->spec_version->index = service->meta->version->index;
    world_write_service(txn, service);
    world_settle();
    world_agents(NULL);
    ck_assert_uint_eq(world_count(TASK(RUNNING), TASK(RUNNING)), 3);
    ck_assert_uint_eq(world.tasks_count, 3);
    ck_assert_ptr_null(world_update_status());
}
END_TEST

Suite *suite_orch_update(void);
Suite *suite_orch_update(void)
{
    Suite *suite = suite_create("orch_update");
    TCase *tcase = tcase_create("update");
    tcase_add_checked_fixture(tcase, world_setup, world_teardown);
    tcase_add_test(tcase, an_update_replaces_one_slot_after_the_other);
    tcase_add_test(tcase, start_first_keeps_the_old_task_until_the_new_one_runs);
    tcase_add_test(tcase, start_first_has_one_old_and_one_new_task_however_often_it_is_updated);
    tcase_add_test(tcase, a_slot_filled_again_during_an_update_has_one_task);
    tcase_add_test(tcase, an_update_of_a_global_service_passes_over_draining_nodes);
    tcase_add_loop_test(tcase, a_failing_update_pauses, 0, 2);
    tcase_add_test(tcase, a_failing_update_rolls_back_when_asked_to);
    tcase_add_test(tcase, a_change_of_replicas_alone_updates_nothing);
    suite_add_tcase(suite, tcase);
    return suite;
}
