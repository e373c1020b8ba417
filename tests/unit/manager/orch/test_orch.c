// Services get the tasks they should have: scaling, restarts, nodes that come and go, updates,
// rollbacks, jobs, history. Time moves only when the test moves it.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/orch/orch.h"
#include "proto/base/check.h"
#include "proto/base/id.h"
#include "proto/base/str.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

#define TASK(name) SWARM__TASK_STATE__##name
#define ROUNDS_MAX 200

static struct fake_log journal;
static struct orch *orch;
static struct watch *watch;
static int64_t now_s; // seconds
static struct arena arena;

static void setup(void)
{
    fake_log_init(&journal, 10);
    orch = orch_new(1);
    now_s = 1000;
    arena_init(&arena, (size_t)1 << 30);
    struct watch_options options = {0};
    ck_assert_int_eq(watch_open(journal.store, &options, &watch, NULL), 0);
}

static void teardown(void)
{
    watch_close(watch);
    orch_free(orch);
    fake_log_fini(&journal);
    arena_fini(&arena);
}

static struct mono tick(void)
{
    return (struct mono){.ns = now_s * NS_PER_S};
}

static struct wall wall(void)
{
    return (struct wall){.ns = now_s * NS_PER_S};
}

// Whether the events that wait make the orchestrators look.
static bool worth_a_look(void)
{
    struct watch_event event;
    while (watch_next(watch, &event)) {
        orch_event(orch, &event, (struct mono){tick().ns - NS_PER_S});
        watch_event_fini(&event);
    }
    return !mono_before(tick(), orch_due(orch));
}

// Feeds events and runs what is due, until nothing more is.
static void settle(void)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        if (!worth_a_look())
            return;
        struct err err = ERR_INIT;
        ck_assert_msg(orch_run(orch, journal.store, wall(), tick(), &err) == 0, "%s", err.message);
        fake_commit_all(&journal);
    }
    ck_abort_msg("the orchestrators do not come to rest");
}

// Lets time pass second by second.
static void pass(int64_t seconds)
{
    for (int64_t i = 0; i < seconds; i++) {
        now_s++;
        settle();
    }
}

// ---- objects ------------------------------------------------------------------------------------

static void put(enum object_type type, void *message, bool create)
{
    struct txn *txn = fake_begin(&journal, now_s);
    struct err err = ERR_INIT;
    int result =
        create ? txn_create(txn, type, message, &err) : txn_update(txn, type, message, &err);
    ck_assert_msg(result == 0, "%s", err.message);
    fake_write(&journal, txn);
}

static void add_node(const char *id)
{
    put(OBJECT_NODE, fake_node(&arena, id), true);
}

static void set_node(const char *id, unsigned state, unsigned availability)
{
    struct txn *txn = fake_begin(&journal, now_s);
    Swarm__Node *node = txn_edit(txn, OBJECT_NODE, id);
    node->status->state = state;
    node->spec->availability = availability;
    ck_assert_int_eq(txn_update(txn, OBJECT_NODE, node, NULL), 0);
    fake_write(&journal, txn);
}

static Swarm__Service *new_service(uint64_t replicas)
{
    Swarm__Service *service = fake_service(&arena, "svc");
    service->spec->replicated->replicas = replicas;
    service->spec_version = wire_new(&swarm__version__descriptor, &arena);
    return service;
}

static Swarm__Service *edit_service(struct txn *txn)
{
    return txn_edit(txn, OBJECT_SERVICE, "svc");
}

static void write_service(struct txn *txn, Swarm__Service *service)
{
    ck_assert_int_eq(txn_update(txn, OBJECT_SERVICE, service, NULL), 0);
    fake_write(&journal, txn);
}

static void scale(uint64_t replicas)
{
    struct txn *txn = fake_begin(&journal, now_s);
    Swarm__Service *service = edit_service(txn);
    service->spec->replicated->replicas = replicas;
    write_service(txn, service);
}

// A new image, as UpdateService does it.
static void update_image(const char *image)
{
    struct txn *txn = fake_begin(&journal, now_s);
    Swarm__Service *service = edit_service(txn);
    service->previous_spec = fake_copy(txn_arena(txn), service->spec);
    service->previous_spec_version = fake_copy(txn_arena(txn), service->spec_version);
    service->spec->task->container->image = arena_strdup(txn_arena(txn), image);
    service->spec_version->index = service->meta->version->index;
    service->update_status = NULL;
    write_service(txn, service);
}

// ---- tasks --------------------------------------------------------------------------------------

struct seen {
    unsigned state, desired;
    uint64_t slot;
    char id[ID_CHARS + 1];
    char node_id[64];
    char image[64];
};
static struct seen tasks[512];
static size_t tasks_count;

static void look(void)
{
    tasks_count = 0;
    struct view view = store_pin(journal.store);
    VIEW_EACH (object, view, OBJECT_TASK, BY_ALL) {
        Swarm__Task *task = object_unpack(object, &arena);
        struct seen *seen = &tasks[tasks_count++];
        seen->state = task->status->state;
        seen->desired = task->desired_state;
        seen->slot = task->slot;
        str_copy(seen->id, sizeof seen->id, task->id);
        str_copy(seen->node_id, sizeof seen->node_id, task->node_id);
        str_copy(seen->image, sizeof seen->image, task->spec->container->image);
    }
    store_unpin(view);
}

static size_t count(unsigned desired, unsigned state)
{
    look();
    size_t result = 0;
    for (size_t i = 0; i < tasks_count; i++)
        result += tasks[i].desired == desired && tasks[i].state == state;
    return result;
}

static size_t count_desired(unsigned desired)
{
    look();
    size_t result = 0;
    for (size_t i = 0; i < tasks_count; i++)
        result += tasks[i].desired == desired;
    return result;
}

static void set_task(const char *id, unsigned state, const char *node_id)
{
    struct txn *txn = fake_begin(&journal, now_s);
    Swarm__Task *task = txn_edit(txn, OBJECT_TASK, id);
    task->status->state = state;
    task->status->applied_at = timestamp_new(wall(), txn_arena(txn));
    if (node_id)
        task->node_id = arena_strdup(txn_arena(txn), node_id);
    ck_assert_int_eq(txn_update(txn, OBJECT_TASK, task, NULL), 0);
    fake_write(&journal, txn);
}

// Agents and scheduler do their part: what should run runs, what should stop stops. `broken` (may
// be NULL) is an image that fails at once.
static void agents(const char *broken)
{
    look();
    size_t total = tasks_count;
    for (size_t i = 0; i < total; i++) {
        struct seen task = tasks[i];
        char node_id[64];
        str_copy(node_id, sizeof node_id, task.node_id);
        if (str_empty(node_id))
            snprintf(node_id, sizeof node_id, "node%d", (int)(task.slot % 3));
        if (task.state > TASK(RUNNING))
            continue;
        if (task.desired == TASK(RUNNING) && task.state != TASK(RUNNING))
            set_task(task.id,
                     broken && strcmp(task.image, broken) == 0 ? TASK(FAILED) : TASK(RUNNING),
                     node_id);
        else if (task.desired == TASK(READY) && task.state < TASK(READY))
            set_task(task.id, TASK(READY), node_id);
        else if (task.desired == TASK(SHUTDOWN) || task.desired == TASK(REMOVE))
            set_task(task.id, TASK(SHUTDOWN), node_id);
        else if (task.desired == TASK(COMPLETE))
            set_task(task.id, TASK(COMPLETE), node_id);
    }
    settle();
}

// A service of `replicas` running tasks on three nodes.
static void running_service(uint64_t replicas)
{
    for (int i = 0; i < 3; i++) {
        char id[16];
        snprintf(id, sizeof id, "node%d", i);
        add_node(id);
    }
    put(OBJECT_SERVICE, new_service(replicas), true);
    settle();
    agents(NULL);
    ck_assert_uint_eq(count(TASK(RUNNING), TASK(RUNNING)), replicas);
}

static Swarm__UpdateStatus *update_status(void)
{
    struct view view = store_pin(journal.store);
    Swarm__Service *service = object_unpack(view_get(view, OBJECT_SERVICE, "svc"), &arena);
    store_unpin(view);
    return service->update_status;
}

static size_t running_image(const char *image)
{
    look();
    size_t result = 0;
    for (size_t i = 0; i < tasks_count; i++)
        result += tasks[i].state == TASK(RUNNING) && tasks[i].desired == TASK(RUNNING) &&
                  strcmp(tasks[i].image, image) == 0;
    return result;
}

// ---- replicated ---------------------------------------------------------------------------------

START_TEST(a_new_service_gets_its_replicas_in_numbered_slots)
{
    put(OBJECT_SERVICE, new_service(3), true);
    settle();
    ck_assert_uint_eq(count(TASK(RUNNING), TASK(PENDING)), 3);
    bool slots[5] = {0};
    for (size_t i = 0; i < tasks_count; i++)
        slots[tasks[i].slot] = true;
    ck_assert(slots[1] && slots[2] && slots[3]);
}
END_TEST

START_TEST(a_task_that_only_gets_on_is_no_reason_to_look)
{
    put(OBJECT_SERVICE, new_service(3), true);
    settle();
    look();
    for (unsigned state = TASK(PENDING); state <= TASK(RUNNING); state += TASK(PENDING)) {
        set_task(tasks[0].id, state, "node1");
        ck_assert(!worth_a_look());
    }
    set_task(tasks[0].id, TASK(FAILED), NULL);
    ck_assert(worth_a_look());
    settle();
    agents(NULL);
    update_image("image:2");
    settle();
    look();
    set_task(tasks[0].id, TASK(READY), NULL);
    ck_assert(worth_a_look()); // an update goes by it
}
END_TEST

START_TEST(scaling_up_and_down_and_up_again)
{
    running_service(3);
    scale(5);
    settle();
    ck_assert_uint_eq(count_desired(TASK(RUNNING)), 5);
    agents(NULL);
    scale(2);
    settle();
    ck_assert_uint_eq(count_desired(TASK(RUNNING)), 2);
    ck_assert_uint_eq(count_desired(TASK(REMOVE)), 3); // still running: not forgotten
    agents(NULL);
    look();
    ck_assert_uint_eq(tasks_count, 2); // stopped: gone
    scale(4);
    settle();
    ck_assert_uint_eq(count_desired(TASK(RUNNING)), 4);
    scale(0);
    settle();
    agents(NULL);
    look();
    ck_assert_uint_eq(tasks_count, 0);
}
END_TEST

START_TEST(a_slot_that_is_wanted_again_waits_for_what_stops_in_it)
{
    running_service(3);
    scale(1);
    settle();
    scale(3); // before the agents heard of it
    settle();
    ck_assert_uint_eq(count(TASK(REMOVE), TASK(RUNNING)), 2);
    ck_assert_uint_eq(count_desired(TASK(READY)), 2);
    ck_assert_uint_eq(count_desired(TASK(RUNNING)), 1);
    agents(NULL); // the old ones stop; nobody failed, so there is no delay
    ck_assert_uint_eq(count_desired(TASK(REMOVE)), 0);
    ck_assert_uint_eq(count_desired(TASK(RUNNING)), 3);
    agents(NULL);
    ck_assert_uint_eq(count(TASK(RUNNING), TASK(RUNNING)), 3);
}
END_TEST

START_TEST(scaling_down_takes_from_the_busiest_node)
{
    for (int i = 0; i < 2; i++)
        add_node(i ? "busy" : "idle");
    put(OBJECT_SERVICE, new_service(4), true);
    settle();
    look();
    for (size_t i = 0; i < 4; i++)
        set_task(tasks[i].id, TASK(RUNNING), tasks[i].slot == 1 ? "idle" : "busy");
    settle();
    scale(2);
    settle();
    look();
    size_t idle = 0, busy = 0;
    for (size_t i = 0; i < tasks_count; i++) {
        idle += tasks[i].desired == TASK(RUNNING) && strcmp(tasks[i].node_id, "idle") == 0;
        busy += tasks[i].desired == TASK(RUNNING) && strcmp(tasks[i].node_id, "busy") == 0;
    }
    ck_assert_uint_eq(idle, 1);
    ck_assert_uint_eq(busy, 1);
}
END_TEST

START_TEST(a_failed_task_is_replaced_after_the_delay)
{
    running_service(2);
    look();
    char failed[ID_CHARS + 1];
    str_copy(failed, sizeof failed, tasks[0].id);
    uint64_t slot = tasks[0].slot;
    set_task(failed, TASK(FAILED), NULL);
    settle();
    ck_assert_uint_eq(count_desired(TASK(READY)), 1);
    for (size_t i = 0; i < tasks_count; i++)
        if (tasks[i].desired == TASK(READY))
            ck_assert_uint_eq(tasks[i].slot, slot);
    pass(4);
    ck_assert_uint_eq(count_desired(TASK(READY)), 1); // the default delay is 5 s
    pass(2);
    ck_assert_uint_eq(count_desired(TASK(READY)), 0);
    ck_assert_uint_eq(count_desired(TASK(RUNNING)), 2);
}
END_TEST

START_TEST(a_replacement_that_is_rejected_at_once_waits_for_its_delay_too)
{
    running_service(1);
    look();
    set_task(tasks[0].id, TASK(FAILED), NULL);
    settle();
    for (int round = 0; round < 3; round++) {
        look();
        size_t before = tasks_count;
        for (size_t i = 0; i < before; i++)
            if (tasks[i].desired == TASK(READY))
                set_task(tasks[i].id, TASK(REJECTED), tasks[i].node_id);
        settle();
        pass(3);
        ck_assert_uint_eq(count(TASK(READY), TASK(REJECTED)), 1);
        pass(2);
        ck_assert_uint_eq(count(TASK(READY), TASK(REJECTED)), 0);
        ck_assert_uint_eq(count_desired(TASK(READY)), 1); // the next one
        ck_assert_uint_eq(count_desired(TASK(RUNNING)), 0);
    }
}
END_TEST

START_TEST(a_replacement_waits_for_the_old_task_to_stop_but_not_for_ever)
{
    running_service(1);
    look();
    set_node(tasks[0].node_id, SWARM__NODE_STATUS__STATE__READY,
             SWARM__NODE_SPEC__AVAILABILITY__DRAIN);
    settle();
    ck_assert_uint_eq(count(TASK(SHUTDOWN), TASK(RUNNING)), 1);
    pass(30);
    ck_assert_uint_eq(count_desired(TASK(READY)), 1); // the old one still runs
    pass(31);
    ck_assert_uint_eq(count_desired(TASK(READY)), 0);
    ck_assert_uint_eq(count_desired(TASK(RUNNING)), 1);
}
END_TEST

START_TEST(a_draining_nodes_task_moves_without_delay)
{
    running_service(1);
    look();
    char node_id[64];
    str_copy(node_id, sizeof node_id, tasks[0].node_id);
    set_node(node_id, SWARM__NODE_STATUS__STATE__READY, SWARM__NODE_SPEC__AVAILABILITY__DRAIN);
    settle();
    look();
    for (size_t i = 0; i < tasks_count; i++)
        if (tasks[i].desired == TASK(SHUTDOWN))
            set_task(tasks[i].id, TASK(SHUTDOWN), NULL);
    settle();
    ck_assert_uint_eq(count_desired(TASK(RUNNING)), 1);
}
END_TEST

START_TEST(a_lost_nodes_tasks_are_replaced_and_not_waited_for)
{
    running_service(3);
    set_node("node0", SWARM__NODE_STATUS__STATE__DOWN, SWARM__NODE_SPEC__AVAILABILITY__ACTIVE);
    settle();
    ck_assert_uint_eq(count(TASK(SHUTDOWN), TASK(RUNNING)), 1);
    pass(6);
    ck_assert_uint_eq(count_desired(TASK(RUNNING)), 3);
}
END_TEST

START_TEST(restart_conditions_and_attempts_hold)
{
    Swarm__Service *service = new_service(1);
    service->spec->task->restart = wire_new(&swarm__restart_policy__descriptor, &arena);
    service->spec->task->restart->condition = SWARM__RESTART_POLICY__RESTART_CONDITION__ON_FAILURE;
    service->spec->task->restart->max_attempts = 2;
    service->spec->task->restart->delay = duration_new(NS_PER_S, &arena);
    add_node("node1");
    put(OBJECT_SERVICE, service, true);
    settle();
    for (int round = 0; round < 8; round++) {
        look();
        for (size_t i = 0; i < tasks_count; i++)
            if (tasks[i].desired == TASK(RUNNING) && tasks[i].state < TASK(RUNNING))
                set_task(tasks[i].id, TASK(FAILED), "node1");
        settle();
        pass(2);
    }
    look();
    ck_assert_uint_eq(tasks_count, 3); // the first one and two restarts
    ck_assert_uint_eq(count_desired(TASK(RUNNING)), 0);
}
END_TEST

START_TEST(a_completed_task_is_not_restarted_on_failure_only)
{
    Swarm__Service *service = new_service(1);
    service->spec->task->restart = wire_new(&swarm__restart_policy__descriptor, &arena);
    service->spec->task->restart->condition = SWARM__RESTART_POLICY__RESTART_CONDITION__ON_FAILURE;
    add_node("node1");
    put(OBJECT_SERVICE, service, true);
    settle();
    look();
    set_task(tasks[0].id, TASK(COMPLETE), "node1");
    settle();
    pass(10);
    look();
    ck_assert_uint_eq(tasks_count, 1);
}
END_TEST

START_TEST(history_is_kept_short)
{
    running_service(1);
    for (int round = 0; round < 12; round++) {
        look();
        for (size_t i = 0; i < tasks_count; i++)
            if (tasks[i].state == TASK(RUNNING))
                set_task(tasks[i].id, TASK(FAILED), NULL);
        settle();
        agents(NULL);
        pass(6);
        agents(NULL);
    }
    look();
    ck_assert_uint_le(tasks_count, 6); // five and the one that runs
    ck_assert_uint_eq(count(TASK(RUNNING), TASK(RUNNING)), 1);
}
END_TEST

START_TEST(a_deleted_services_tasks_go_when_they_have_stopped)
{
    running_service(3);
    struct txn *txn = fake_begin(&journal, now_s);
    ck_assert_int_eq(txn_delete(txn, OBJECT_SERVICE, "svc", NULL), 0);
    fake_write(&journal, txn);
    settle();
    ck_assert_uint_eq(count(TASK(REMOVE), TASK(RUNNING)), 3);
    agents(NULL);
    look();
    ck_assert_uint_eq(tasks_count, 0);
}
END_TEST

START_TEST(a_new_leader_goes_on_with_a_delay_under_way)
{
    running_service(1);
    look();
    set_task(tasks[0].id, TASK(FAILED), NULL);
    settle();
    pass(3);
    orch_free(orch);
    orch = orch_new(2);
    struct view view = store_pin(journal.store);
    orch_load(orch, view, (struct mono){tick().ns - NS_PER_S});
    store_unpin(view);
    settle();
    ck_assert_uint_eq(count_desired(TASK(READY)), 1); // neither doubled nor started early
    pass(3);
    ck_assert_uint_eq(count_desired(TASK(RUNNING)), 1);
}
END_TEST

// ---- global -------------------------------------------------------------------------------------

static void global_service(void)
{
    Swarm__Service *service = new_service(0);
    service->spec->mode_case = SWARM__SERVICE_SPEC__MODE_GLOBAL;
    service->spec->global = wire_new(&swarm__global_service__descriptor, &arena);
    put(OBJECT_SERVICE, service, true);
    settle();
}

START_TEST(a_global_service_runs_on_every_node_that_takes_it)
{
    add_node("node0");
    add_node("node1");
    global_service();
    ck_assert_uint_eq(count_desired(TASK(RUNNING)), 2);
    add_node("node2");
    settle();
    ck_assert_uint_eq(count_desired(TASK(RUNNING)), 3);
    agents(NULL);
    set_node("node1", SWARM__NODE_STATUS__STATE__READY, SWARM__NODE_SPEC__AVAILABILITY__DRAIN);
    settle();
    ck_assert_uint_eq(count_desired(TASK(RUNNING)), 2);
    agents(NULL);
    set_node("node1", SWARM__NODE_STATUS__STATE__READY, SWARM__NODE_SPEC__AVAILABILITY__ACTIVE);
    settle();
    ck_assert_uint_eq(count_desired(TASK(RUNNING)), 3);
}
END_TEST

START_TEST(a_paused_node_keeps_its_global_task_and_gets_none)
{
    add_node("node0");
    global_service();
    agents(NULL);
    set_node("node0", SWARM__NODE_STATUS__STATE__READY, SWARM__NODE_SPEC__AVAILABILITY__PAUSE);
    add_node("node1");
    set_node("node1", SWARM__NODE_STATUS__STATE__READY, SWARM__NODE_SPEC__AVAILABILITY__PAUSE);
    settle();
    ck_assert_uint_eq(count_desired(TASK(RUNNING)), 1); // node0 keeps its own, node1 gets none
    add_node("node2");
    settle();
    ck_assert_uint_eq(count_desired(TASK(RUNNING)), 2);
}
END_TEST

START_TEST(a_deleted_nodes_global_tasks_go_with_it)
{
    add_node("node0");
    global_service();
    agents(NULL);
    struct txn *txn = fake_begin(&journal, now_s);
    ck_assert_int_eq(txn_delete(txn, OBJECT_NODE, "node0", NULL), 0);
    fake_write(&journal, txn);
    settle();
    look();
    ck_assert_uint_eq(tasks_count, 0);
}
END_TEST

// ---- updates ------------------------------------------------------------------------------------

START_TEST(an_update_replaces_one_slot_after_the_other)
{
    running_service(3);
    update_image("image:2");
    settle();
    ck_assert_int_eq(update_status()->state, SWARM__UPDATE_STATUS__UPDATE_STATE__UPDATING);
    ck_assert_uint_eq(count_desired(TASK(READY)), 1); // parallelism 1
    ck_assert_uint_eq(count_desired(TASK(RUNNING)), 2);
    for (int round = 0; round < 20 && running_image("image:2") < 3; round++) {
        agents(NULL);
        pass(1);
        look();
        size_t wanted = 0;
        for (size_t i = 0; i < tasks_count; i++)
            wanted += tasks[i].desired <= TASK(RUNNING);
        ck_assert_uint_eq(wanted, 3);
    }
    ck_assert_uint_eq(running_image("image:2"), 3);
    pass(10);
    ck_assert_int_eq(update_status()->state, SWARM__UPDATE_STATUS__UPDATE_STATE__COMPLETED);
    ck_assert_str_eq(update_status()->message, "update completed");
}
END_TEST

START_TEST(start_first_keeps_the_old_task_until_the_new_one_runs)
{
    running_service(2);
    struct txn *txn = fake_begin(&journal, now_s);
    Swarm__Service *service = edit_service(txn);
    service->spec->update = wire_new(&swarm__update_config__descriptor, txn_arena(txn));
    service->spec->update->order = SWARM__UPDATE_CONFIG__UPDATE_ORDER__START_FIRST;
    service->spec->update->parallelism = 1;
    write_service(txn, service);
    settle();
    update_image("image:2");
    settle();
    ck_assert_uint_eq(count_desired(TASK(RUNNING)), 3); // the new one beside both old ones
    ck_assert_uint_eq(running_image("image:1"), 2);
    for (int round = 0; round < 20 && running_image("image:2") < 2; round++) {
        agents(NULL);
        pass(1);
        ck_assert_uint_ge(running_image("image:1") + running_image("image:2"), 2);
    }
    agents(NULL);
    ck_assert_uint_eq(running_image("image:2"), 2);
    ck_assert_uint_eq(running_image("image:1"), 0);
}
END_TEST

// Goal: one update on the heels of another does not pile up tasks that never came to run.
START_TEST(start_first_has_one_old_and_one_new_task_however_often_it_is_updated)
{
    running_service(1);
    struct txn *txn = fake_begin(&journal, now_s);
    Swarm__Service *service = edit_service(txn);
    service->spec->update = wire_new(&swarm__update_config__descriptor, txn_arena(txn));
    service->spec->update->order = SWARM__UPDATE_CONFIG__UPDATE_ORDER__START_FIRST;
    write_service(txn, service);
    settle();
    for (int version = 2; version < 6; version++) {
        update_image(arena_printf(&arena, "image:%d", version));
        settle();
        ck_assert_uint_eq(count_desired(TASK(RUNNING)), 2);
        ck_assert_uint_eq(running_image("image:1"), 1);
    }
    agents(NULL);
    ck_assert_uint_eq(running_image("image:5"), 1);
}
END_TEST

// Goal: a number that was scaled away and is wanted again, while the service is updated as well,
// gets one task and not two.
START_TEST(a_slot_filled_again_during_an_update_has_one_task)
{
    running_service(3);
    scale(1);
    settle(); // two slots are to be removed, and their agents have not answered
    struct txn *txn = fake_begin(&journal, now_s);
    Swarm__Service *service = edit_service(txn);
    service->spec->replicated->replicas = 3;
    service->spec->task->container->image = "image:2";
    service->spec->update = wire_new(&swarm__update_config__descriptor, txn_arena(txn));
    service->spec_version->index = service->meta->version->index;
    write_service(txn, service);
    settle();
    look();
    size_t made[4] = {0};
    for (size_t i = 0; i < tasks_count; i++)
        if (str_equal(tasks[i].image, "image:2"))
            made[tasks[i].slot]++;
    for (int slot = 1; slot <= 3; slot++)
        ck_assert_uint_eq(made[slot], 1);
}
END_TEST

// Goal: an update puts nothing on a node that drains, and is complete without it.
START_TEST(an_update_of_a_global_service_passes_over_draining_nodes)
{
    for (int i = 0; i < 3; i++)
        add_node(arena_printf(&arena, "node%d", i));
    global_service();
    agents(NULL);
    set_node("node1", SWARM__NODE_STATUS__STATE__READY, SWARM__NODE_SPEC__AVAILABILITY__DRAIN);
    settle();
    agents(NULL);
    update_image("image:2");
    for (int round = 0; round < 30; round++) {
        settle();
        look();
        for (size_t i = 0; i < tasks_count; i++)
            ck_assert(!str_equal(tasks[i].node_id, "node1") ||
                      str_equal(tasks[i].image, "image:1"));
        agents(NULL);
        pass(1);
    }
    ck_assert_uint_eq(running_image("image:2"), 2);
    ck_assert_int_eq(update_status()->state, SWARM__UPDATE_STATUS__UPDATE_STATE__COMPLETED);
}
END_TEST

START_TEST(a_failing_update_pauses)
{
    running_service(3);
    update_image("image:bad");
    for (int round = 0; round < 10; round++) {
        settle();
        pass(_i == 0 ? 1 : 60); // as when an image is long in coming
        agents("image:bad");
    }
    ck_assert_int_eq(update_status()->state, SWARM__UPDATE_STATUS__UPDATE_STATE__PAUSED);
    ck_assert(str_starts(update_status()->message,
                         "update paused due to failure or early termination of task "));
    ck_assert_uint_ge(running_image("image:1"), 2); // the rest is untouched
}
END_TEST

START_TEST(a_failing_update_rolls_back_when_asked_to)
{
    running_service(3);
    struct txn *txn = fake_begin(&journal, now_s);
    Swarm__Service *service = edit_service(txn);
    service->spec->update = wire_new(&swarm__update_config__descriptor, txn_arena(txn));
    service->spec->update->parallelism = 1;
    service->spec->update->failure_action = SWARM__UPDATE_CONFIG__FAILURE_ACTION__ROLLBACK;
    write_service(txn, service);
    settle();
    update_image("image:bad");
    for (int round = 0; round < 40; round++) {
        settle();
        agents("image:bad");
        pass(1);
    }
    ck_assert_int_eq(update_status()->state,
                     SWARM__UPDATE_STATUS__UPDATE_STATE__ROLLBACK_COMPLETED);
    ck_assert_uint_eq(running_image("image:1"), 3);
}
END_TEST

START_TEST(a_change_of_replicas_alone_updates_nothing)
{
    running_service(2);
    look();
    char first[ID_CHARS + 1];
    str_copy(first, sizeof first, tasks[0].id);
    struct txn *txn = fake_begin(&journal, now_s);
    Swarm__Service *service = edit_service(txn);
    service->previous_spec = fake_copy(txn_arena(txn), service->spec);
    service->spec->replicated->replicas = 3;
    service->spec_version->index = service->meta->version->index;
    write_service(txn, service);
    settle();
    agents(NULL);
    ck_assert_uint_eq(count(TASK(RUNNING), TASK(RUNNING)), 3);
    ck_assert_uint_eq(tasks_count, 3);
    ck_assert_ptr_null(update_status());
}
END_TEST

// ---- jobs ---------------------------------------------------------------------------------------

START_TEST(a_replicated_job_runs_so_many_at_a_time_until_all_are_complete)
{
    for (int i = 0; i < 3; i++) {
        char id[16];
        snprintf(id, sizeof id, "node%d", i);
        add_node(id);
    }
    Swarm__Service *service = new_service(0);
    service->spec->mode_case = SWARM__SERVICE_SPEC__MODE_REPLICATED_JOB;
    service->spec->replicated_job = wire_new(&swarm__replicated_job__descriptor, &arena);
    service->spec->replicated_job->max_concurrent = 2;
    service->spec->replicated_job->total_completions = 5;
    put(OBJECT_SERVICE, service, true);
    settle();
    ck_assert_uint_eq(count(TASK(COMPLETE), TASK(PENDING)), 2);
    agents(NULL);
    ck_assert_uint_eq(count(TASK(COMPLETE), TASK(COMPLETE)), 2);
    ck_assert_uint_eq(count(TASK(COMPLETE), TASK(PENDING)), 2);
    agents(NULL);
    ck_assert_uint_eq(count(TASK(COMPLETE), TASK(PENDING)), 1);
    agents(NULL);
    pass(10);
    ck_assert_uint_eq(count(TASK(COMPLETE), TASK(COMPLETE)), 5);
    ck_assert_uint_eq(tasks_count, 5);
}
END_TEST

// ---- enforcer -----------------------------------------------------------------------------------

START_TEST(a_task_whose_node_loses_its_label_is_rejected)
{
    add_node("node1");
    Swarm__Service *service = new_service(1);
    service->spec->task->placement = wire_new(&swarm__placement__descriptor, &arena);
    FAKE_ADD(&arena, service->spec->task->placement, constraints, "node.id == node1");
    put(OBJECT_SERVICE, service, true);
    settle();
    agents(NULL);
    struct txn *txn = fake_begin(&journal, now_s);
    service = edit_service(txn);
    service->spec->task->placement->constraints[0] = "node.id == other";
    write_service(txn, service);
    settle();
    set_node("node1", SWARM__NODE_STATUS__STATE__READY, SWARM__NODE_SPEC__AVAILABILITY__ACTIVE);
    settle();
    look();
    size_t rejected = 0;
    for (size_t i = 0; i < tasks_count; i++)
        rejected += tasks[i].state == TASK(REJECTED);
    ck_assert_uint_eq(rejected, 1);
}
END_TEST

Suite *suite_orch(void);
Suite *suite_orch(void)
{
    Suite *suite = suite_create("orch");
    TCase *tcase;
    tcase = tcase_create("replicated");
    tcase_add_checked_fixture(tcase, setup, teardown);
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
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_global_service_runs_on_every_node_that_takes_it);
    tcase_add_test(tcase, a_paused_node_keeps_its_global_task_and_gets_none);
    tcase_add_test(tcase, a_deleted_nodes_global_tasks_go_with_it);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("update");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, an_update_replaces_one_slot_after_the_other);
    tcase_add_test(tcase, start_first_keeps_the_old_task_until_the_new_one_runs);
    tcase_add_test(tcase, start_first_has_one_old_and_one_new_task_however_often_it_is_updated);
    tcase_add_test(tcase, a_slot_filled_again_during_an_update_has_one_task);
    tcase_add_test(tcase, an_update_of_a_global_service_passes_over_draining_nodes);
    tcase_add_loop_test(tcase, a_failing_update_pauses, 0, 2);
    tcase_add_test(tcase, a_failing_update_rolls_back_when_asked_to);
    tcase_add_test(tcase, a_change_of_replicas_alone_updates_nothing);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("jobs");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_replicated_job_runs_so_many_at_a_time_until_all_are_complete);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("enforce");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_task_whose_node_loses_its_label_is_rejected);
    suite_add_tcase(suite, tcase);
    return suite;
}
