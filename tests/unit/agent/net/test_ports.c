// What the tables of published ports and of the guard hold.
#include <check.h>

#include "agent/net/guard.h"
#include "agent/net/hits.h"
#include "agent/net/ports.h"
#include "proto/base/check.h"

START_TEST(a_port_of_one_address_and_one_of_all)
{
    const struct ports_row rows[] = {
        {6, 0, 8080, 0, 0xac130002, 80},
        {17, 0x7f000001, 53, 0, 0xac130003, 5353},
        {.protocol = 6, .published = 8081, .address = 0xac130004, .target = 80, .only6 = true}};
    const char *const bridges[] = {"br-one"};
    struct nftable *table = ports_table(rows, COUNT_OF(rows), bridges, 1);
    ck_assert_str_eq(nftable_find(table, "any_address", "6 . 8080"), "172.19.0.2 . 80");
    ck_assert_str_eq(nftable_find(table, "one_address", "127.0.0.1 . 17 . 53"),
                     "172.19.0.3 . 5353");
    ck_assert_ptr_null(nftable_find(table, "any_address", "6 . 8081")); // not on IPv4
    ck_assert_ptr_nonnull(nftable_find(table, "bridges", "br-one"));
    const char *const counted[] = {HITS_OPENED, HITS_CAME, HITS_WENT, HITS_RESETS};
    for (size_t i = 0; i < COUNT_OF(counted); i++) {
        ck_assert_ptr_nonnull(nftable_find(table, counted[i], "17 . 53"));
        ck_assert_uint_eq(nftable_elements_count(table, counted[i]), 2);
    }
    nftable_free(table);
}
END_TEST

START_TEST(the_guard_knows_members_and_encrypted_networks)
{
    const uint32_t members[] = {0xc6336401, 0xc6336402}, sealed[] = {4098};
    const struct guard guard = {.members = members,
                                .members_count = COUNT_OF(members),
                                .sealed = sealed,
                                .sealed_count = 1};
    struct nftable *table = guard_table(&guard);
    ck_assert_ptr_nonnull(nftable_find(table, "members", "198.51.100.2"));
    ck_assert_ptr_nonnull(nftable_find(table, "sealed", "4098"));
    ck_assert_uint_eq(nftable_elements_count(table, "members"), 2);
    nftable_free(table);
}
END_TEST

Suite *suite_ports(void);
Suite *suite_ports(void)
{
    Suite *suite = suite_create("ports");
    TCase *tcase = tcase_create("ports");
    tcase_add_test(tcase, a_port_of_one_address_and_one_of_all);
    tcase_add_test(tcase, the_guard_knows_members_and_encrypted_networks);
    suite_add_tcase(suite, tcase);
    return suite;
}
