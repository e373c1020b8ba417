// Services get the tasks they should have: scaling, restarts, nodes that come and go, jobs,
// history.
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/id.h"
#include "proto/base/str.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"
#include "tests/support/fake_log.h"
#include "tests/unit/manager/orch/world.h"

// ---- replicated ---------------------------------------------------------------------------------

START_TEST(a_new_service_gets_its_replicas_in_numbered_slots)
{
    world_put(OBJECT_SERVICE, world_new_service(3), true);
    world_settle();
    ck_assert_uint_eq(world_count(TASK(RUNNING), TASK(PENDING)), 3);
    bool slots[5] = {0};
    for (size_t i = 0; i < world.tasks_count; i++)
        slots[world.tasks[i].slot] = true;
    ck_assert(slots[1] && slots[2] && slots[3]);
}
END_TEST

START_TEST(a_task_that_only_gets_on_is_no_reason_to_look)
{
    world_put(OBJECT_SERVICE, world_new_service(3), true);
    world_settle();
    world_look();
    for (unsigned state = TASK(PENDING); state <= TASK(RUNNING); state += TASK(PENDING)) {
        world_set_task(world.tasks[0].id, state, "node1");
        ck_assert(!world_worth_a_look());
    }
    world_set_task(world.tasks[0].id, TASK(FAILED), NULL);
    ck_assert(world_worth_a_look());
    world_settle();
    world_agents(NULL);
    world_update_image("image:2");
    world_settle();
    world_look();
    world_set_task(world.tasks[0].id, TASK(READY), NULL);
    ck_assert(world_worth_a_look()); // an update goes by it
}
END_TEST

START_TEST(scaling_up_and_down_and_up_again)
{
    world_running_service(3);
    world_scale(5);
    world_settle();
    ck_assert_uint_eq(world_count_desired(TASK(RUNNING)), 5);
    world_agents(NULL);
    world_scale(2);
    world_settle();
    ck_assert_uint_eq(world_count_desired(TASK(RUNNING)), 2);
    ck_assert_uint_eq(world_count_desired(TASK(REMOVE)), 3); // still running: not forgotten
    world_agents(NULL);
    world_look();
    ck_assert_uint_eq(world.tasks_count, 2); // stopped: gone
    world_scale(4);
    world_settle();
    ck_assert_uint_eq(world_count_desired(TASK(RUNNING)), 4);
    world_scale(0);
    world_settle();
    world_agents(NULL);
    world_look();
    ck_assert_uint_eq(world.tasks_count, 0);
}
END_TEST

START_TEST(a_slot_that_is_wanted_again_waits_for_what_stops_in_it)
{
    world_running_service(3);
    world_scale(1);
    world_settle();
    world_scale(3); // before the agents heard of it
    world_settle();
    ck_assert_uint_eq(world_count(TASK(REMOVE), TASK(RUNNING)), 2);
    ck_assert_uint_eq(world_count_desired(TASK(READY)), 2);
    ck_assert_uint_eq(world_count_desired(TASK(RUNNING)), 1);
    world_agents(NULL); // the old ones stop; nobody failed, so there is no delay
    ck_assert_uint_eq(world_count_desired(TASK(REMOVE)), 0);
    ck_assert_uint_eq(world_count_desired(TASK(RUNNING)), 3);
    world_agents(NULL);
    ck_assert_uint_eq(world_count(TASK(RUNNING), TASK(RUNNING)), 3);
}
END_TEST

START_TEST(scaling_down_takes_from_the_busiest_node)
{
    for (int i = 0; i < 2; i++)
        world_add_node(i ? "busy" : "idle");
    world_put(OBJECT_SERVICE, world_new_service(4), true);
    world_settle();
    world_look();
    for (size_t i = 0; i < 4; i++)
        world_set_task(world.tasks[i].id, TASK(RUNNING),
                       world.tasks[i].slot == 1 ? "idle" : "busy");
    world_settle();
    world_scale(2);
    world_settle();
    world_look();
    size_t idle = 0, busy = 0;
    for (size_t i = 0; i < world.tasks_count; i++) {
        idle +=
            world.tasks[i].desired == TASK(RUNNING) && strcmp(world.tasks[i].node_id, "idle") == 0;
        busy +=
            world.tasks[i].desired == TASK(RUNNING) && strcmp(world.tasks[i].node_id, "busy") == 0;
    }
    ck_assert_uint_eq(idle, 1);
    ck_assert_uint_eq(busy, 1);
}
END_TEST

START_TEST(a_failed_task_is_replaced_after_the_delay)
{
    world_running_service(2);
    world_look();
    char failed[ID_CHARS + 1];
    str_copy(failed, sizeof failed, world.tasks[0].id);
    uint64_t slot = world.tasks[0].slot;
    world_set_task(failed, TASK(FAILED), NULL);
    world_settle();
    ck_assert_uint_eq(world_count_desired(TASK(READY)), 1);
    for (size_t i = 0; i < world.tasks_count; i++)
        if (world.tasks[i].desired == TASK(READY))
            ck_assert_uint_eq(world.tasks[i].slot, slot);
    world_pass(4);
    ck_assert_uint_eq(world_count_desired(TASK(READY)), 1); // the default delay is 5 s
    world_pass(2);
    ck_assert_uint_eq(world_count_desired(TASK(READY)), 0);
    ck_assert_uint_eq(world_count_desired(TASK(RUNNING)), 2);
}
END_TEST

START_TEST(a_replacement_that_is_rejected_at_once_waits_for_its_delay_too)
{
    world_running_service(1);
    world_look();
    world_set_task(world.tasks[0].id, TASK(FAILED), NULL);
    world_settle();
    for (int round = 0; round < 3; round++) {
        world_look();
        size_t before = world.tasks_count;
        for (size_t i = 0; i < before; i++)
            if (world.tasks[i].desired == TASK(READY))
                world_set_task(world.tasks[i].id, TASK(REJECTED), world.tasks[i].node_id);
        world_settle();
        world_pass(3);
        ck_assert_uint_eq(world_count(TASK(READY), TASK(REJECTED)), 1);
        world_pass(2);
        ck_assert_uint_eq(world_count(TASK(READY), TASK(REJECTED)), 0);
        ck_assert_uint_eq(world_count_desired(TASK(READY)), 1); // the next one
        ck_assert_uint_eq(world_count_desired(TASK(RUNNING)), 0);
    }
}
END_TEST

START_TEST(a_replacement_waits_for_the_old_task_to_stop_but_not_for_ever)
{
    world_running_service(1);
    world_look();
    world_set_node(world.tasks[0].node_id, SWARM__NODE_STATUS__STATE__READY,
                   SWARM__NODE_SPEC__AVAILABILITY__DRAIN);
    world_settle();
    ck_assert_uint_eq(world_count(TASK(SHUTDOWN), TASK(RUNNING)), 1);
    world_pass(30);
    ck_assert_uint_eq(world_count_desired(TASK(READY)), 1); // the old one still runs
    world_pass(31);
    ck_assert_uint_eq(world_count_desired(TASK(READY)), 0);
    ck_assert_uint_eq(world_count_desired(TASK(RUNNING)), 1);
}
END_TEST

START_TEST(a_draining_nodes_task_moves_without_delay)
{
    world_running_service(1);
    world_look();
    char node_id[64];
    str_copy(node_id, sizeof node_id, world.tasks[0].node_id);
    world_set_node(node_id, SWARM__NODE_STATUS__STATE__READY,
                   SWARM__NODE_SPEC__AVAILABILITY__DRAIN);
    world_settle();
    world_look();
    for (size_t i = 0; i < world.tasks_count; i++)
        if (world.tasks[i].desired == TASK(SHUTDOWN))
            world_set_task(world.tasks[i].id, TASK(SHUTDOWN), NULL);
    world_settle();
    ck_assert_uint_eq(world_count_desired(TASK(RUNNING)), 1);
}
END_TEST

START_TEST(a_lost_nodes_tasks_are_replaced_and_not_waited_for)
{
    world_running_service(3);
    world_set_node("node0", SWARM__NODE_STATUS__STATE__DOWN,
                   SWARM__NODE_SPEC__AVAILABILITY__ACTIVE);
    world_settle();
    ck_assert_uint_eq(world_count(TASK(SHUTDOWN), TASK(RUNNING)), 1);
    world_pass(6);
    ck_assert_uint_eq(world_count_desired(TASK(RUNNING)), 3);
}
END_TEST

START_TEST(restart_conditions_and_attempts_hold)
{
    Swarm__Service *service = world_new_service(1);
    service->spec->task->restart = wire_new(&swarm__restart_policy__descriptor, &world.arena);
    service->spec->task->restart->condition = SWARM__RESTART_POLICY__RESTART_CONDITION__ON_FAILURE;
    service->spec->task->restart->max_attempts = 2;
    service->spec->task->restart->delay = duration_new(NS_PER_S, &world.arena);
    world_add_node("node1");
    world_put(OBJECT_SERVICE, service, true);
    world_settle();
    for (int round = 0; round < 8; round++) {
        world_look();
        for (size_t i = 0; i < world.tasks_count; i++)
            if (world.tasks[i].desired == TASK(RUNNING) && world.tasks[i].state < TASK(RUNNING))
                world_set_task(world.tasks[i].id, TASK(FAILED), "node1");
        world_settle();
        world_pass(2);
    }
    world_look();
    ck_assert_uint_eq(world.tasks_count, 3); // the first one and two restarts
    ck_assert_uint_eq(world_count_desired(TASK(RUNNING)), 0);
}
END_TEST

START_TEST(a_completed_task_is_not_restarted_on_failure_only)
{
    Swarm__Service *service = world_new_service(1);
    service->spec->task->restart = wire_new(&swarm__restart_policy__descriptor, &world.arena);
    service->spec->task->restart->condition = SWARM__RESTART_POLICY__RESTART_CONDITION__ON_FAILURE;
    world_add_node("node1");
    world_put(OBJECT_SERVICE, service, true);
    world_settle();
    world_look();
    world_set_task(world.tasks[0].id, TASK(COMPLETE), "node1");
    world_settle();
    world_pass(10);
    world_look();
    ck_assert_uint_eq(world.tasks_count, 1);
}
END_TEST

START_TEST(history_is_kept_short)
{
    world_running_service(1);
    for (int round = 0; round < 12; round++) {
        world_look();
        for (size_t i = 0; i < world.tasks_count; i++)
            if (world.tasks[i].state == TASK(RUNNING))
                world_set_task(world.tasks[i].id, TASK(FAILED), NULL);
        world_settle();
        world_agents(NULL);
        world_pass(6);
        world_agents(NULL);
    }
    world_look();
    ck_assert_uint_le(world.tasks_count, 6); // five and the one that runs
    ck_assert_uint_eq(world_count(TASK(RUNNING), TASK(RUNNING)), 1);
}
END_TEST

START_TEST(a_deleted_services_tasks_go_when_they_have_stopped)
{
    world_running_service(3);
    struct txn *txn = fake_begin(&world.journal, world.now_s);
    ck_assert_int_eq(txn_delete(txn, OBJECT_SERVICE, "svc", NULL), 0);
    fake_write(&world.journal, txn);
    world_settle();
    ck_assert_uint_eq(world_count(TASK(REMOVE), TASK(RUNNING)), 3);
    world_agents(NULL);
    world_look();
    ck_assert_uint_eq(world.tasks_count, 0);
}
END_TEST

START_TEST(a_new_leader_goes_on_with_a_delay_under_way)
{
    world_running_service(1);
    world_look();
    world_set_task(world.tasks[0].id, TASK(FAILED), NULL);
    world_settle();
    world_pass(3);
    orch_free(world.orch);
    world.orch = orch_new(2);
    struct view view = store_pin(world.journal.store);
    orch_load(world.orch, view, (struct mono){world_tick().ns - NS_PER_S});
    store_unpin(view);
    world_settle();
    ck_assert_uint_eq(world_count_desired(TASK(READY)), 1); // neither doubled nor started early
    world_pass(3);
    ck_assert_uint_eq(world_count_desired(TASK(RUNNING)), 1);
}
END_TEST

// ---- global -------------------------------------------------------------------------------------

START_TEST(a_global_service_runs_on_every_node_that_takes_it)
{
    world_add_node("node0");
    world_add_node("node1");
    world_global_service();
    ck_assert_uint_eq(world_count_desired(TASK(RUNNING)), 2);
    world_add_node("node2");
    world_settle();
    ck_assert_uint_eq(world_count_desired(TASK(RUNNING)), 3);
    world_agents(NULL);
    world_set_node("node1", SWARM__NODE_STATUS__STATE__READY,
                   SWARM__NODE_SPEC__AVAILABILITY__DRAIN);
    world_settle();
    ck_assert_uint_eq(world_count_desired(TASK(RUNNING)), 2);
    world_agents(NULL);
    world_set_node("node1", SWARM__NODE_STATUS__STATE__READY,
                   SWARM__NODE_SPEC__AVAILABILITY__ACTIVE);
    world_settle();
    ck_assert_uint_eq(world_count_desired(TASK(RUNNING)), 3);
}
END_TEST

START_TEST(a_paused_node_keeps_its_global_task_and_gets_none)
{
    world_add_node("node0");
    world_global_service();
    world_agents(NULL);
    world_set_node("node0", SWARM__NODE_STATUS__STATE__READY,
                   SWARM__NODE_SPEC__AVAILABILITY__PAUSE);
    world_add_node("node1");
    world_set_node("node1", SWARM__NODE_STATUS__STATE__READY,
                   SWARM__NODE_SPEC__AVAILABILITY__PAUSE);
    world_settle();
    ck_assert_uint_eq(world_count_desired(TASK(RUNNING)),
                      1); // node0 keeps its own, node1 gets none
    world_add_node("node2");
    world_settle();
    ck_assert_uint_eq(world_count_desired(TASK(RUNNING)), 2);
}
END_TEST

START_TEST(a_deleted_nodes_global_tasks_go_with_it)
{
    world_add_node("node0");
    world_global_service();
    world_agents(NULL);
    struct txn *txn = fake_begin(&world.journal, world.now_s);
    ck_assert_int_eq(txn_delete(txn, OBJECT_NODE, "node0", NULL), 0);
    fake_write(&world.journal, txn);
    world_settle();
    world_look();
    ck_assert_uint_eq(world.tasks_count, 0);
}
END_TEST

// ---- jobs ---------------------------------------------------------------------------------------

START_TEST(a_replicated_job_runs_so_many_at_a_time_until_all_are_complete)
{
    for (int i = 0; i < 3; i++) {
        char id[16];
        snprintf(id, sizeof id, "node%d", i);
        world_add_node(id);
    }
    Swarm__Service *service = world_new_service(0);
    service->spec->mode_case = SWARM__SERVICE_SPEC__MODE_REPLICATED_JOB;
    service->spec->replicated_job = wire_new(&swarm__replicated_job__descriptor, &world.arena);
    service->spec->replicated_job->max_concurrent = 2;
    service->spec->replicated_job->total_completions = 5;
    world_put(OBJECT_SERVICE, service, true);
    world_settle();
    ck_assert_uint_eq(world_count(TASK(COMPLETE), TASK(PENDING)), 2);
    world_agents(NULL);
    ck_assert_uint_eq(world_count(TASK(COMPLETE), TASK(COMPLETE)), 2);
    ck_assert_uint_eq(world_count(TASK(COMPLETE), TASK(PENDING)), 2);
    world_agents(NULL);
    ck_assert_uint_eq(world_count(TASK(COMPLETE), TASK(PENDING)), 1);
    world_agents(NULL);
    world_pass(10);
    ck_assert_uint_eq(world_count(TASK(COMPLETE), TASK(COMPLETE)), 5);
    ck_assert_uint_eq(world.tasks_count, 5);
}
END_TEST

// ---- enforcer -----------------------------------------------------------------------------------

START_TEST(a_task_whose_node_loses_its_label_is_rejected)
{
    world_add_node("node1");
    Swarm__Service *service = world_new_service(1);
    service->spec->task->placement = wire_new(&swarm__placement__descriptor, &world.arena);
    FAKE_ADD(&world.arena, service->spec->task->placement, constraints, "node.id == node1");
    world_put(OBJECT_SERVICE, service, true);
    world_settle();
    world_agents(NULL);
    struct txn *txn = fake_begin(&world.journal, world.now_s);
    service = world_edit_service(txn);
    service->spec->task->placement->constraints[0] = "node.id == other";
    world_write_service(txn, service);
    world_settle();
    world_set_node("node1", SWARM__NODE_STATUS__STATE__READY,
                   SWARM__NODE_SPEC__AVAILABILITY__ACTIVE);
    world_settle();
    world_look();
    size_t rejected = 0;
    for (size_t i = 0; i < world.tasks_count; i++)
        rejected += world.tasks[i].state == TASK(REJECTED);
    ck_assert_uint_eq(rejected, 1);
}
END_TEST

Suite *suite_orch(void);
Suite *suite_orch(void)
{
    Suite *suite = suite_create("orch");
    TCase *tcase;
    tcase = tcase_create("replicated");
    tcase_add_checked_fixture(tcase, world_setup, world_teardown);
    tcase_add_test(tcase, a_new_service_gets_its_replicas_in_numbered_slots);
    tcase_add_test(tcase, a_task_that_only_gets_on_is_no_reason_to_look);
    tcase_add_test(tcase, scaling_up_and_down_and_up_again);
    tcase_add_test(tcase, a_slot_that_is_wanted_again_waits_for_what_stops_in_it);
    tcase_add_test(tcase, scaling_down_takes_from_the_busiest_node);
    tcase_add_test(tcase, a_failed_task_is_replaced_after_the_delay);
    tcase_add_test(tcase, a_replacement_that_is_rejected_at_once_waits_for_its_delay_too);
    tcase_add_test(tcase, a_replacement_waits_for_the_old_task_to_stop_but_not_for_ever);
    tcase_add_test(tcase, a_draining_nodes_task_moves_without_delay);
    tcase_add_test(tcase, a_lost_nodes_tasks_are_replaced_and_not_waited_for);
    tcase_add_test(tcase, restart_conditions_and_attempts_hold);
    tcase_add_test(tcase, a_completed_task_is_not_restarted_on_failure_only);
    tcase_add_test(tcase, history_is_kept_short);
    tcase_add_test(tcase, a_deleted_services_tasks_go_when_they_have_stopped);
    tcase_add_test(tcase, a_new_leader_goes_on_with_a_delay_under_way);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("global");
    tcase_add_checked_fixture(tcase, world_setup, world_teardown);
    tcase_add_test(tcase, a_global_service_runs_on_every_node_that_takes_it);
    tcase_add_test(tcase, a_paused_node_keeps_its_global_task_and_gets_none);
    tcase_add_test(tcase, a_deleted_nodes_global_tasks_go_with_it);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("jobs");
    tcase_add_checked_fixture(tcase, world_setup, world_teardown);
    tcase_add_test(tcase, a_replicated_job_runs_so_many_at_a_time_until_all_are_complete);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("enforce");
    tcase_add_checked_fixture(tcase, world_setup, world_teardown);
    tcase_add_test(tcase, a_task_whose_node_loses_its_label_is_rejected);
    suite_add_tcase(suite, tcase);
    return suite;
}
