// Naming rules, as clients know them from stock managers.
#include <check.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/wire/names.h"

START_TEST(service_names_are_dns_labels_with_underscores)
{
    static const char *good[] = {"a", "7", "web-1", "a__b", "A-_-b"};
    static const char *bad[] = {"-a", "a-", "a.b", "a b", "_", "a\xc3\xa9", "a/b"};
    struct err err = ERR_INIT;
    for (size_t i = 0; i < COUNT_OF(good); i++)
        ck_assert_int_eq(name_check_dns(good[i], &err), 0);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        ck_assert_int_eq(name_check_dns(bad[i], &err), -ERR_INVALID_ARGUMENT);
        ck_assert_str_eq(err.message, "name must be valid as a DNS name component");
    }
    name_check_dns("", &err);
    ck_assert_str_eq(err.message, "meta: name must be provided");
}
END_TEST

START_TEST(service_names_end_at_63)
{
    char name[65];
    memset(name, 'a', sizeof name);
    name[63] = 0;
    struct err err = ERR_INIT;
    ck_assert_int_eq(name_check_dns(name, &err), 0);
    name[63] = 'a';
    name[64] = 0;
    ck_assert_int_ne(name_check_dns(name, &err), 0);
    ck_assert_str_eq(err.message, "name must be 63 characters or fewer");
    ck_assert_int_eq(name_check_secret(name, &err), 0); // 64 is fine here
}
END_TEST

START_TEST(secret_names_may_hold_dots)
{
    static const char *bad[] = {"", ".a", "a.", "a b", "a:b"};
    struct err err = ERR_INIT;
    ck_assert_int_eq(name_check_secret("site.pem", &err), 0);
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        ck_assert_int_eq(name_check_secret(bad[i], &err), -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(tasks_are_named_after_service_slot_and_id)
{
    Swarm__Annotations own = SWARM__ANNOTATIONS__INIT, service = SWARM__ANNOTATIONS__INIT;
    service.name = "web";
    Swarm__Task task = SWARM__TASK__INIT;
    task.annotations = &own;
    task.service_annotations = &service;
    task.id = "t1";
    task.node_id = "n1";
    char name[NAME_TASK_BYTES];
    ck_assert(name_of_task(&task, name, sizeof name));
    ck_assert_str_eq(name, "web.n1.t1");
    task.slot = 3;
    ck_assert(name_of_task(&task, name, sizeof name));
    ck_assert_str_eq(name, "web.3.t1");
    ck_assert(!name_of_task(&task, name, 5));
    own.name = "mine";
    ck_assert(name_of_task(&task, name, sizeof name));
    ck_assert_str_eq(name, "mine");
}
END_TEST

START_TEST(runtimes_have_names)
{
    Swarm__TaskSpec spec = SWARM__TASK_SPEC__INIT;
    char name[32];
    ck_assert(!name_of_runtime(&spec, name, sizeof name));
    Swarm__GenericRuntimeSpec generic = SWARM__GENERIC_RUNTIME_SPEC__INIT;
    generic.kind = "Plugin";
    spec.runtime_case = SWARM__TASK_SPEC__RUNTIME_GENERIC;
    spec.generic = &generic;
    ck_assert(name_of_runtime(&spec, name, sizeof name));
    ck_assert_str_eq(name, NAME_RUNTIME_PLUGIN);
    spec.runtime_case = SWARM__TASK_SPEC__RUNTIME_CONTAINER;
    ck_assert(name_of_runtime(&spec, name, sizeof name));
    ck_assert_str_eq(name, "container");
}
END_TEST

START_TEST(enum_values_have_names_both_ways)
{
    char name[32];
    int value;
    ck_assert_str_eq(name_of_value(&swarm__task_state__descriptor, SWARM__TASK_STATE__RUNNING, name,
                                   sizeof name),
                     "running");
    ck_assert_str_eq(name_of_value(&swarm__task_state__descriptor, 7, name, sizeof name),
                     "unknown");
    ck_assert(name_to_value(&swarm__task_state__descriptor, "Running", &value));
    ck_assert_int_eq(value, SWARM__TASK_STATE__RUNNING);
    ck_assert(!name_to_value(&swarm__task_state__descriptor, "walking", &value));
}
END_TEST

Suite *suite_names(void);
Suite *suite_names(void)
{
    Suite *suite = suite_create("names");
    TCase *tcase = tcase_create("names");
    tcase_add_test(tcase, service_names_are_dns_labels_with_underscores);
    tcase_add_test(tcase, service_names_end_at_63);
    tcase_add_test(tcase, secret_names_may_hold_dots);
    tcase_add_test(tcase, tasks_are_named_after_service_slot_and_id);
    tcase_add_test(tcase, runtimes_have_names);
    tcase_add_test(tcase, enum_values_have_names_both_ways);
    suite_add_tcase(suite, tcase);
    return suite;
}
