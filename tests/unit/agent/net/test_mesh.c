// What the tables of the mesh hold for given services, nodes and tasks. (That they do what they
// should is for tests/interop/mesh.sh.)
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "agent/net/mesh.h"
#include "proto/base/check.h"

static const struct mesh_port web[] = {{MESH_TCP, 8080, 80}, {MESH_UDP, 8080, 80}};
static const struct mesh_port old_web[] = {{MESH_TCP, 8080, 8000}};
static const struct mesh_sandbox sandbox = {"eth0", "eth1",     0x0a000002, 0x0a000000,
                                            24,     0xac120000, 16};

START_TEST(each_open_backend_has_a_slot_in_each_port)
{
    const struct mesh_backend backends[] = {
        {0x0a000006, false, true}, {0x0a000007, true, true}, {0x0a000008, false, false}};
    const struct mesh_service service = {web, 2, backends, 3};
    struct nftable *table = mesh_sandbox_table(&sandbox, &service, 1);
    ck_assert_str_eq(nftable_find(table, "published", "6 . 8080"), "goto pick_2");
    ck_assert_str_eq(nftable_find(table, "published", "17 . 8080"), "goto pick_2");
    const char *first = nftable_find(table, "slots", "6 . 8080 . 0");
    const char *second = nftable_find(table, "slots", "6 . 8080 . 1");
    const char *earlier = strcmp(first, second) < 0 ? first : second;
    ck_assert_str_eq(earlier, "10.0.0.6");
    ck_assert_str_eq(earlier == first ? second : first, "10.0.0.8");
    ck_assert_uint_eq(nftable_elements_count(table, "slots"), 4);
    ck_assert_ptr_nonnull(nftable_find(table, "keeps", "10.0.0.6"));
    ck_assert_ptr_null(nftable_find(table, "keeps", "10.0.0.8"));
    ck_assert_ptr_nonnull(nftable_find(table, "hidden", "172.18.0.0/16"));
    ck_assert_ptr_nonnull(nftable_find(table, "hidden", "10.0.0.0/24"));
    nftable_free(table);
}
END_TEST

START_TEST(nodes_begin_with_different_backends)
{
    const struct mesh_backend backends[] = {
        {0x0a000006, false, true}, {0x0a000007, false, true}, {0x0a000008, false, true}};
    const struct mesh_service service = {web, 2, backends, 3};
    unsigned first[3] = {0};
    for (uint32_t node = 1; node <= 90; node++) {
        struct mesh_sandbox at = sandbox;
        at.address += node;
        struct nftable *table = mesh_sandbox_table(&at, &service, 1);
        const char *address = nftable_find(table, "slots", "6 . 8080 . 0");
        first[address[strlen(address) - 1] - '6']++;
        nftable_free(table);
    }
    for (size_t i = 0; i < COUNT_OF(first); i++)
        ck_assert_uint_ge(first[i], 15);
}
END_TEST

START_TEST(a_port_of_two_services_belongs_to_the_later_that_has_a_task)
{
    struct mesh_backend before = {0x0a000006, false, true}, after = {0x0a000007, false, true};
    const struct mesh_service services[] = {{old_web, 1, &before, 1}, {web, 2, &after, 1}};
    struct nftable *table = mesh_sandbox_table(&sandbox, services, 2);
    ck_assert_str_eq(nftable_find(table, "slots", "6 . 8080 . 0"), "10.0.0.7");
    nftable_free(table);
    after.draining = true;
    table = mesh_sandbox_table(&sandbox, services, 2);
    ck_assert_str_eq(nftable_find(table, "slots", "6 . 8080 . 0"), "10.0.0.6");
    ck_assert_ptr_null(nftable_find(table, "published", "17 . 8080"));
    nftable_free(table);
    // On the host the port stays held and led: the sandbox refuses at once.
    const struct mesh_host host = {"docker_gwbridge", 0xac120002};
    table = mesh_host_table(&host, services, 2);
    ck_assert_str_eq(nftable_find(table, "published", "17 . 8080"), "goto to_sandbox");
    ck_assert_uint_eq(nftable_elements_count(table, "published"), 2);
    nftable_free(table);
}
END_TEST

START_TEST(a_task_knows_nodes_by_their_frames)
{
    const uint32_t nodes[] = {0x0a000002, 0x0a000003};
    const struct mesh_task task = {"eth0", 0x0a000008, web, 2};
    struct nftable *table = mesh_task_table(&task, nodes, 2);
    ck_assert_str_eq(nftable_find(table, "node_mark", "02:42:0a:00:00:03"), "1073741827");
    ck_assert_str_eq(nftable_find(table, "node_zone", "02:42:0a:00:00:03"), "3");
    ck_assert_str_eq(nftable_find(table, "udp_ports", "8080"), "80");
    ck_assert_uint_eq(nftable_elements_count(table, "sctp_ports"), 0);
    nftable_free(table);
    table = mesh_egress_table(&task, nodes, 2);
    ck_assert_str_eq(nftable_find(table, "node_mac", "1073741827"), "02:42:0a:00:00:03");
    nftable_free(table);
}
END_TEST

START_TEST(wrong_services_are_refused)
{
    struct err err = ERR_INIT;
    struct mesh_port port = {1, 80, 80};
    struct mesh_backend backend = {0, false, false};
    struct mesh_service service = {&port, 1, &backend, 1};
    ck_assert_int_eq(mesh_services_check(&service, 1, &err), -ERR_INVALID_ARGUMENT);
    port.protocol = MESH_SCTP;
    ck_assert_int_eq(mesh_services_check(&service, 1, &err), -ERR_INVALID_ARGUMENT);
    backend.address = 1;
    ck_assert_int_eq(mesh_services_check(&service, 1, &err), 0);
    port.target = 0;
    ck_assert_int_eq(mesh_services_check(&service, 1, &err), -ERR_INVALID_ARGUMENT);
    port.target = 80;
    service.backends_count = MESH_BACKENDS_MAX + 1;
    ck_assert_int_eq(mesh_services_check(&service, 1, &err), -ERR_RESOURCE_EXHAUSTED);
}
END_TEST

START_TEST(the_most_tasks_fit)
{
    struct mesh_backend *backends = calloc(MESH_BACKENDS_MAX, sizeof *backends);
    for (uint32_t i = 0; i < MESH_BACKENDS_MAX; i++)
        backends[i] = (struct mesh_backend){0x0a000100 + i, false, true};
    const struct mesh_service service = {web, 2, backends, MESH_BACKENDS_MAX};
    struct nftable *table = mesh_sandbox_table(&sandbox, &service, 1);
    ck_assert_str_eq(nftable_find(table, "published", "6 . 8080"), "goto pick_1024");
    ck_assert_uint_eq(nftable_elements_count(table, "slots"), 2048);
    nftable_free(table);
    free(backends);
}
END_TEST

START_TEST(gone_is_what_was_and_is_not)
{
    uint32_t before[] = {9, 1, 5, 5, 3}, after[] = {3, 4}, out[5];
    size_t count = mesh_sort(before, COUNT_OF(before));
    ck_assert_uint_eq(count, 4);
    ck_assert_uint_eq(mesh_gone(before, count, after, 2, out), 3);
    ck_assert_uint_eq(out[0], 1);
    ck_assert_uint_eq(out[1], 5);
    ck_assert_uint_eq(out[2], 9);
}
END_TEST

Suite *suite_mesh(void);
Suite *suite_mesh(void)
{
    Suite *suite = suite_create("mesh");
    TCase *tcase = tcase_create("mesh");
    tcase_add_test(tcase, each_open_backend_has_a_slot_in_each_port);
    tcase_add_test(tcase, nodes_begin_with_different_backends);
    tcase_add_test(tcase, a_port_of_two_services_belongs_to_the_later_that_has_a_task);
    tcase_add_test(tcase, a_task_knows_nodes_by_their_frames);
    tcase_add_test(tcase, wrong_services_are_refused);
    tcase_add_test(tcase, the_most_tasks_fit);
    tcase_add_test(tcase, gone_is_what_was_and_is_not);
    suite_add_tcase(suite, tcase);
    return suite;
}
