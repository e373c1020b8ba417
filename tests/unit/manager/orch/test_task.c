// What a new task begins as.
#include <check.h>

#include "manager/orch/task.h"
#include "proto/wire/wire.h"
#include "tests/support/fake_objects.h"

enum { NOTHING, NETWORK, OLD_NETWORK, PORT, CASES };

static Swarm__Service *service_with(int what, struct arena *arena)
{
    Swarm__Service *service = fake_service(arena, "svc");
    Swarm__NetworkAttachmentConfig *network =
        wire_new(&swarm__network_attachment_config__descriptor, arena);
    network->target = "net1";
    service->spec->endpoint = wire_new(&swarm__endpoint_spec__descriptor, arena);
    if (what == NETWORK)
        FAKE_ADD(arena, service->spec->task, networks, network);
    if (what == OLD_NETWORK)
        FAKE_ADD(arena, service->spec, networks, network);
    if (what == PORT)
        FAKE_ADD(arena, service->spec->endpoint, ports,
                 wire_new(&swarm__port_config__descriptor, arena));
    return service;
}

START_TEST(it_begins_with_the_allocator_only_when_that_has_something_to_give)
{
    struct arena arena;
    arena_init(&arena, (size_t)1 << 24);
    const Swarm__Task *task = task_new((struct id){.text = "task1"}, service_with(_i, &arena), NULL,
                                       1, "", (struct wall){.ns = NS_PER_S}, &arena);
    bool pending = _i == NOTHING;
    ck_assert_int_eq(task->status->state,
                     pending ? SWARM__TASK_STATE__PENDING : SWARM__TASK_STATE__NEW);
    ck_assert_str_eq(task->status->message, pending ? "pending task scheduling" : "created");
    ck_assert_ptr_nonnull(task->endpoint->spec);
    arena_fini(&arena);
}
END_TEST

Suite *suite_task(void);
Suite *suite_task(void)
{
    Suite *suite = suite_create("task");
    TCase *tcase = tcase_create("new");
    tcase_add_loop_test(tcase, it_begins_with_the_allocator_only_when_that_has_something_to_give,
                        NOTHING, CASES);
    suite_add_tcase(suite, tcase);
    return suite;
}
