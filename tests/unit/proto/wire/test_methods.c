// The method table agrees with the services that protoc saw, and answers who may call.
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/wire/ca.pb-c.h"
#include "proto/wire/control.pb-c.h"
#include "proto/wire/dispatcher.pb-c.h"
#include "proto/wire/health.pb-c.h"
#include "proto/wire/logbroker.pb-c.h"
#include "proto/wire/methods.h"
#include "proto/wire/names.h"
#include "proto/wire/raft.pb-c.h"
#include "proto/wire/resource.pb-c.h"
#include "proto/wire/skep.pb-c.h"
#include "proto/wire/watch.pb-c.h"

static const ProtobufCServiceDescriptor *services[] = {
    &swarm__ca__descriptor,
    &swarm__node_ca__descriptor,
    &swarm__control__descriptor,
    &swarm__dispatcher__descriptor,
    &swarm__health__descriptor,
    &swarm__logs__descriptor,
    &swarm__log_broker__descriptor,
    &swarm__raft__descriptor,
    &swarm__raft_membership__descriptor,
    &swarm__resource_allocator__descriptor,
    &swarm__watch__descriptor,
    &skep__network_keys__descriptor,
};

START_TEST(every_rpc_of_every_service_is_in_the_table)
{
    size_t count = 0;
    for (size_t i = 0; i < COUNT_OF(services); i++) {
        for (unsigned at = 0; at < services[i]->n_methods; at++) {
            const ProtobufCMethodDescriptor *rpc = &services[i]->methods[at];
            char path[METHOD_PATH_MAX + 1];
            int length = snprintf(path, sizeof path, "/%s/%s", services[i]->name, rpc->name);
            ck_assert_int_le(length, METHOD_PATH_MAX);
            const struct method *method = method_find(path);
            ck_assert_msg(method, "%s", path);
            ck_assert_ptr_eq(method->request, rpc->input);
            ck_assert_ptr_eq(method->response, rpc->output);
            ck_assert_str_eq(method->service, services[i]->name);
            ck_assert_str_eq(method->name, rpc->name);
            count++;
        }
    }
    ck_assert_uint_eq(count, method_table_count);
}
END_TEST

START_TEST(the_table_is_ordered_by_path)
{
    for (size_t i = 1; i < method_table_count; i++)
        ck_assert_int_lt(strcmp(method_table[i - 1].path, method_table[i].path), 0);
}
END_TEST

START_TEST(unknown_paths_have_no_method)
{
    static const char *paths[] = {"", "/", "/docker.swarmkit.v1.CA", "/docker.swarmkit.v1.CA/Get",
                                  "/docker.swarmkit.v1.CA/GetUnlockKey/"};
    for (size_t i = 0; i < COUNT_OF(paths); i++)
        ck_assert_ptr_null(method_find(paths[i]));
    ck_assert(method_service_known("docker.swarmkit.v1.CA"));
    ck_assert(!method_service_known("grpc.health.v1.Health"));
}
END_TEST

START_TEST(roles_decide_who_may_call)
{
    const struct method *root = method_find("/docker.swarmkit.v1.CA/GetRootCACertificate");
    const struct method *session = method_find("/docker.swarmkit.v1.Dispatcher/Session");
    const struct method *raft = method_find("/docker.swarmkit.v1.Raft/StreamRaftMessage");
    ck_assert(method_allows(root, NULL));
    ck_assert(!method_allows(session, NULL));
    ck_assert(!method_allows(session, ""));
    ck_assert(!method_allows(session, "swarm-other"));
    ck_assert(method_allows(session, NAME_OU_WORKER));
    ck_assert(method_allows(session, NAME_OU_MANAGER));
    ck_assert(!method_allows(raft, NAME_OU_WORKER));
    ck_assert(method_allows(raft, NAME_OU_MANAGER));
    ck_assert_int_eq(session->kind, METHOD_SERVER_STREAM);
    ck_assert_int_eq(raft->kind, METHOD_CLIENT_STREAM);
    ck_assert_int_eq(raft->local, METHOD_LOCAL_ABSENT);
}
END_TEST

Suite *suite_methods(void);
Suite *suite_methods(void)
{
    Suite *suite = suite_create("methods");
    TCase *tcase = tcase_create("methods");
    tcase_add_test(tcase, every_rpc_of_every_service_is_in_the_table);
    tcase_add_test(tcase, the_table_is_ordered_by_path);
    tcase_add_test(tcase, unknown_paths_have_no_method);
    tcase_add_test(tcase, roles_decide_who_may_call);
    suite_add_tcase(suite, tcase);
    return suite;
}
