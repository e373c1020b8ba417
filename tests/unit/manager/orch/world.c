#include "tests/unit/manager/orch/world.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/str.h"
#include "proto/wire/times.h"
#include "proto/wire/wire.h"
#include "tests/support/fake_log.h"
#include "tests/support/fake_objects.h"

#define ROUNDS_MAX 200

struct world world;

void world_setup(void)
{
    fake_log_init(&world.journal, 10);
    world.orch = orch_new(1);
    world.now_s = 1000;
    arena_init(&world.arena, (size_t)1 << 30);
    struct watch_options options = {0};
    ck_assert_int_eq(watch_open(world.journal.store, &options, &world.watch, NULL), 0);
}

void world_teardown(void)
{
    watch_close(world.watch);
    orch_free(world.orch);
    fake_log_fini(&world.journal);
    arena_fini(&world.arena);
}

struct mono world_tick(void)
{
    return (struct mono){.ns = world.now_s * NS_PER_S};
}

static struct wall world_wall(void)
{
    return (struct wall){.ns = world.now_s * NS_PER_S};
}

bool world_worth_a_look(void)
{
    struct watch_event event;
    while (watch_next(world.watch, &event)) {
        orch_event(world.orch, &event, (struct mono){world_tick().ns - NS_PER_S});
        watch_event_fini(&event);
    }
    return !mono_before(world_tick(), orch_due(world.orch));
}

void world_settle(void)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        if (!world_worth_a_look())
            return;
        struct err err = ERR_INIT;
        ck_assert_msg(orch_run(world.orch, world.journal.store, world_wall(), world_tick(), &err) ==
                          0,
                      "%s", err.message);
        fake_commit_all(&world.journal);
    }
    ck_abort_msg("the orchestrators do not come to rest");
}

void world_pass(int64_t seconds)
{
    for (int64_t i = 0; i < seconds; i++) {
        world.now_s++;
        world_settle();
    }
}

// ---- objects ------------------------------------------------------------------------------------

void world_put(enum object_type type, void *message, bool create)
{
    struct txn *txn = fake_begin(&world.journal, world.now_s);
    struct err err = ERR_INIT;
    int result =
        create ? txn_create(txn, type, message, &err) : txn_update(txn, type, message, &err);
    ck_assert_msg(result == 0, "%s", err.message);
    fake_write(&world.journal, txn);
}

void world_add_node(const char *id)
{
    world_put(OBJECT_NODE, fake_node(&world.arena, id), true);
}

void world_set_node(const char *id, unsigned state, unsigned availability)
{
    struct txn *txn = fake_begin(&world.journal, world.now_s);
    Swarm__Node *node = txn_edit(txn, OBJECT_NODE, id);
    node->status->state = state;
    node->spec->availability = availability;
    ck_assert_int_eq(txn_update(txn, OBJECT_NODE, node, NULL), 0);
    fake_write(&world.journal, txn);
}

Swarm__Service *world_new_service(uint64_t replicas)
{
    Swarm__Service *service = fake_service(&world.arena, "svc");
    service->spec->replicated->replicas = replicas;
    service->spec_version = wire_new(&swarm__version__descriptor, &world.arena);
    return service;
}

Swarm__Service *world_edit_service(struct txn *txn)
{
    return txn_edit(txn, OBJECT_SERVICE, "svc");
}

void world_write_service(struct txn *txn, Swarm__Service *service)
{
    ck_assert_int_eq(txn_update(txn, OBJECT_SERVICE, service, NULL), 0);
    fake_write(&world.journal, txn);
}

void world_scale(uint64_t replicas)
{
    struct txn *txn = fake_begin(&world.journal, world.now_s);
    Swarm__Service *service = world_edit_service(txn);
    service->spec->replicated->replicas = replicas;
    world_write_service(txn, service);
}

void world_update_image(const char *image)
{
    struct txn *txn = fake_begin(&world.journal, world.now_s);
    Swarm__Service *service = world_edit_service(txn);
    service->previous_spec = fake_copy(txn_arena(txn), service->spec);
    service->previous_spec_version = fake_copy(txn_arena(txn), service->spec_version);
    service->spec->task->container->image = arena_strdup(txn_arena(txn), image);
    service->spec_version->index = service->meta->version->index;
    service->update_status = NULL;
    world_write_service(txn, service);
}

// ---- tasks --------------------------------------------------------------------------------------

void world_look(void)
{
    world.tasks_count = 0;
    struct view view = store_pin(world.journal.store);
    VIEW_EACH (object, view, OBJECT_TASK, BY_ALL) {
        Swarm__Task *task = object_unpack(object, &world.arena);
        struct seen *seen = &world.tasks[world.tasks_count++];
        seen->state = task->status->state;
        seen->desired = task->desired_state;
        seen->slot = task->slot;
        str_copy(seen->id, sizeof seen->id, task->id);
        str_copy(seen->node_id, sizeof seen->node_id, task->node_id);
        str_copy(seen->image, sizeof seen->image, task->spec->container->image);
    }
    store_unpin(view);
}

size_t world_count(unsigned desired, unsigned state)
{
    world_look();
    size_t result = 0;
    for (size_t i = 0; i < world.tasks_count; i++)
        result += world.tasks[i].desired == desired && world.tasks[i].state == state;
    return result;
}

size_t world_count_desired(unsigned desired)
{
    world_look();
    size_t result = 0;
    for (size_t i = 0; i < world.tasks_count; i++)
        result += world.tasks[i].desired == desired;
    return result;
}

void world_set_task(const char *id, unsigned state, const char *node_id)
{
    struct txn *txn = fake_begin(&world.journal, world.now_s);
    Swarm__Task *task = txn_edit(txn, OBJECT_TASK, id);
    task->status->state = state;
    task->status->applied_at = timestamp_new(world_wall(), txn_arena(txn));
    if (node_id)
        task->node_id = arena_strdup(txn_arena(txn), node_id);
    ck_assert_int_eq(txn_update(txn, OBJECT_TASK, task, NULL), 0);
    fake_write(&world.journal, txn);
}

void world_agents(const char *broken)
{
    world_look();
    size_t total = world.tasks_count;
    for (size_t i = 0; i < total; i++) {
        struct seen task = world.tasks[i];
        char node_id[64];
        str_copy(node_id, sizeof node_id, task.node_id);
        if (str_empty(node_id))
            snprintf(node_id, sizeof node_id, "node%d", (int)(task.slot % 3));
        if (task.state > TASK(RUNNING))
            continue;
        if (task.desired == TASK(RUNNING) && task.state != TASK(RUNNING))
            world_set_task(task.id,
                           broken && strcmp(task.image, broken) == 0 ? TASK(FAILED) : TASK(RUNNING),
                           node_id);
        else if (task.desired == TASK(READY) && task.state < TASK(READY))
            world_set_task(task.id, TASK(READY), node_id);
        else if (task.desired == TASK(SHUTDOWN) || task.desired == TASK(REMOVE))
            world_set_task(task.id, TASK(SHUTDOWN), node_id);
        else if (task.desired == TASK(COMPLETE))
            world_set_task(task.id, TASK(COMPLETE), node_id);
    }
    world_settle();
}

void world_running_service(uint64_t replicas)
{
    for (int i = 0; i < 3; i++) {
        char id[16];
        snprintf(id, sizeof id, "node%d", i);
        world_add_node(id);
    }
    world_put(OBJECT_SERVICE, world_new_service(replicas), true);
    world_settle();
    world_agents(NULL);
    ck_assert_uint_eq(world_count(TASK(RUNNING), TASK(RUNNING)), replicas);
}

Swarm__UpdateStatus *world_update_status(void)
{
    struct view view = store_pin(world.journal.store);
    Swarm__Service *service = object_unpack(view_get(view, OBJECT_SERVICE, "svc"), &world.arena);
    store_unpin(view);
    return service->update_status;
}

size_t world_running_image(const char *image)
{
    world_look();
    size_t result = 0;
    for (size_t i = 0; i < world.tasks_count; i++)
        result += world.tasks[i].state == TASK(RUNNING) &&
                  world.tasks[i].desired == TASK(RUNNING) &&
                  strcmp(world.tasks[i].image, image) == 0;
    return result;
}

void world_global_service(void)
{
    Swarm__Service *service = world_new_service(0);
    service->spec->mode_case = SWARM__SERVICE_SPEC__MODE_GLOBAL;
    service->spec->global = wire_new(&swarm__global_service__descriptor, &world.arena);
    world_put(OBJECT_SERVICE, service, true);
    world_settle();
}
