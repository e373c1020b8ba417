#include <check.h>

#include "proto/base/accounts_io.h"

Suite *suite_accounts_io(void);

// Goal: who is in the machine's files is found, with the right numbers.
START_TEST(accounts_are_found)
{
    uid_t uid = 1;
    gid_t gid = 1;
    ck_assert_int_eq(accounts_user("root", &uid, &gid, NULL), 0);
    ck_assert_uint_eq(uid, 0);
    ck_assert_uint_eq(gid, 0);
    ck_assert_int_eq(accounts_user("daemon", &uid, &gid, NULL), 0);
    ck_assert_uint_eq(uid, 1);
    gid = 1;
    ck_assert_int_eq(accounts_group("root", &gid, NULL), 0);
    ck_assert_uint_eq(gid, 0);
}
END_TEST

// Goal: who is not there is told apart from what failed, and nothing is changed.
START_TEST(accounts_that_are_missing)
{
    struct err err = ERR_INIT;
    uid_t uid = 7;
    gid_t gid = 8;
    ck_assert_int_eq(accounts_user("no-such-user", &uid, &gid, &err), -ERR_NOT_FOUND);
    ck_assert_str_eq(err.message, "there is no user no-such-user");
    ck_assert_int_eq(accounts_group("no-such-group", &gid, &err), -ERR_NOT_FOUND);
    ck_assert_str_eq(err.message, "there is no group no-such-group");
    ck_assert_uint_eq(uid, 7);
    ck_assert_uint_eq(gid, 8);
}
END_TEST

Suite *suite_accounts_io(void)
{
    Suite *suite = suite_create("accounts_io");
    TCase *tcase = tcase_create("accounts");
    tcase_add_test(tcase, accounts_are_found);
    tcase_add_test(tcase, accounts_that_are_missing);
    suite_add_tcase(suite, tcase);
    return suite;
}
