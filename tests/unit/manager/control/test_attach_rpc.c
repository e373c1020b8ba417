// Nodes attach containers of their own to networks of the swarm: what becomes of it in the store,
// and who is refused.
#include <check.h>

#include "proto/wire/resource.pb-c.h"
#include "proto/wire/wire.h"
#include "tests/unit/manager/control/desk.h"

#define ATTACH "/docker.swarmkit.v1.ResourceAllocator/AttachNetwork"
#define DETACH "/docker.swarmkit.v1.ResourceAllocator/DetachNetwork"

static struct err err;

static void set_up(void)
{
    desk_set_up();
    Swarm__Network *open = fake_network(&desk.arena, "open-id");
    open->spec->annotations = fake_annotations(&desk.arena, "open");
    open->spec->attachable = true;
    desk_put(OBJECT_NETWORK, open);
    desk_put(OBJECT_NETWORK, fake_network(&desk.arena, "closed"));
}

static const char *attach(const char *target, const char *container, const char *address)
{
    Swarm__AttachNetworkRequest request = SWARM__ATTACH_NETWORK_REQUEST__INIT;
    Swarm__NetworkAttachmentConfig config = SWARM__NETWORK_ATTACHMENT_CONFIG__INIT;
    config.target = target;
    if (address)
        FAKE_ADD(&desk.arena, &config, addresses, address);
    request.config = &config;
    request.container_id = container;
    const Swarm__AttachNetworkResponse *response = desk_call(ATTACH, &request, &err);
    return response ? response->attachment_id : NULL;
}

static bool detach(const char *id)
{
    Swarm__DetachNetworkRequest request = SWARM__DETACH_NETWORK_REQUEST__INIT;
    request.attachment_id = id;
    return desk_call(DETACH, &request, &err) != NULL;
}

START_TEST(an_attachment_is_a_task_of_the_node)
{
    const char *targets[] = {"open", "open-id"};
    const char *id = attach(targets[_i], "container1", "10.0.9.9");
    ck_assert_ptr_nonnull(id);
    const Swarm__Task *task = desk_get(OBJECT_TASK, id);
    ck_assert_str_eq(task->node_id, DESK_NODE);
    ck_assert_str_eq(task->service_id, "");
    ck_assert_int_eq(task->spec->runtime_case, SWARM__TASK_SPEC__RUNTIME_ATTACHMENT);
    ck_assert_str_eq(task->spec->attachment->container_id, "container1");
    ck_assert_uint_eq(task->spec->n_networks, 1);
    ck_assert_str_eq(task->spec->networks[0]->target, "open-id");
    ck_assert_uint_eq(task->spec->networks[0]->n_addresses, 1);
    ck_assert_str_eq(task->spec->networks[0]->addresses[0], "10.0.9.9");
    ck_assert_int_eq(task->status->state, SWARM__TASK_STATE__NEW);
    ck_assert_int_eq(task->desired_state, SWARM__TASK_STATE__RUNNING);
    ck_assert(detach(id));
    ck_assert_ptr_null(desk_get(OBJECT_TASK, id));
}
END_TEST

START_TEST(what_cannot_be_attached_is_refused)
{
    ck_assert_ptr_null(attach("nosuch", "c", NULL));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert_str_eq(err.message, "network nosuch not found");
    ck_assert_ptr_null(attach("closed", "c", NULL));
    ck_assert_int_eq(err.code, ERR_PERMISSION_DENIED);
    ck_assert_str_eq(err.message, "network closed not manually attachable");
    ck_assert_ptr_null(attach("", "c", NULL));
    ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
    ck_assert_ptr_null(attach("open", "", NULL));
    ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(a_node_gives_back_only_its_own)
{
    ck_assert(!detach(""));
    ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
    ck_assert(!detach("nosuch"));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    desk_put(OBJECT_SERVICE, fake_service(&desk.arena, "web"));
    Swarm__Task *others = fake_task(&desk.arena, "others", "", 0);
    others->node_id = "another";
    others->spec->runtime_case = SWARM__TASK_SPEC__RUNTIME_ATTACHMENT;
    others->spec->attachment = wire_new(&swarm__network_attachment_spec__descriptor, &desk.arena);
    desk_put(OBJECT_TASK, others);
    ck_assert(!detach("others"));
    ck_assert_int_eq(err.code, ERR_PERMISSION_DENIED);
    Swarm__Task *service = fake_task(&desk.arena, "service", "web", 1);
    service->node_id = DESK_NODE;
    desk_put(OBJECT_TASK, service);
    ck_assert(!detach("service"));
    ck_assert_int_eq(err.code, ERR_PERMISSION_DENIED);
}
END_TEST

Suite *suite_attach_rpc(void);
Suite *suite_attach_rpc(void)
{
    Suite *suite = suite_create("attach_rpc");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, set_up, desk_tear_down);
    tcase_add_loop_test(tcase, an_attachment_is_a_task_of_the_node, 0, 2);
    tcase_add_test(tcase, what_cannot_be_attached_is_refused);
    tcase_add_test(tcase, a_node_gives_back_only_its_own);
    suite_add_tcase(suite, tcase);
    return suite;
}
