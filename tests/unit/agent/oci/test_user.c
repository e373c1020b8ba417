// Users and groups are found as docker finds them, and never outside of the given text.
#include <check.h>

#include "agent/oci/user.h"
#include "proto/base/check.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "broken line\n"
                             "bad:x:notanumber:0::/:/bin/sh\n"
                             "app:x:1000:1001:an app:/srv/app:/bin/sh\n"
                             "short:x:7:8\n";
static const char group[] =
    "root:x:0:\nstaff:x:50:other, app\nappgroup:x:1001:\nextra:x:2000:app,x\n";

static int resolve(const char *spec, struct user *user)
{
    return user_resolve(spec, NULL, 0, passwd, group, user, NULL);
}

START_TEST(a_name_brings_its_groups_and_home)
{
    struct user user;
    ck_assert_int_eq(resolve("app", &user), 0);
    ck_assert_uint_eq(user.uid, 1000);
    ck_assert_uint_eq(user.gid, 1001);
    ck_assert_uint_eq(user.groups_count, 3);
    ck_assert_uint_eq(user.groups[0], 1001);
    ck_assert_uint_eq(user.groups[1], 50);
    ck_assert_uint_eq(user.groups[2], 2000);
    ck_assert_str_eq(user.home, "/srv/app");
}
END_TEST

START_TEST(empty_means_root_and_numbers_need_no_entry)
{
    struct user user;
    ck_assert_int_eq(resolve("", &user), 0);
    ck_assert_uint_eq(user.uid, 0);
    ck_assert_str_eq(user.home, "/root");
    ck_assert_int_eq(resolve("4242", &user), 0);
    ck_assert_uint_eq(user.uid, 4242);
    ck_assert_uint_eq(user.gid, 0);
    ck_assert_str_eq(user.home, "/");
    ck_assert_int_eq(resolve("1000", &user), 0);
    ck_assert_uint_eq(user.gid, 1001);
    ck_assert_int_eq(resolve("short", &user), 0);
    ck_assert_uint_eq(user.gid, 8);
}
END_TEST

START_TEST(a_group_replaces_the_own_ones)
{
    struct user user;
    ck_assert_int_eq(resolve("app:staff", &user), 0);
    ck_assert_uint_eq(user.gid, 50);
    ck_assert_uint_eq(user.groups_count, 1);
    ck_assert_int_eq(resolve("app:99", &user), 0);
    ck_assert_uint_eq(user.gid, 99);
    ck_assert_int_eq(resolve(":staff", &user), 0);
    ck_assert_uint_eq(user.uid, 0);
    ck_assert_uint_eq(user.gid, 50);
}
END_TEST

START_TEST(what_is_not_there_is_said)
{
    struct user user;
    struct err err = ERR_INIT;
    ck_assert_int_eq(user_resolve("nobody", NULL, 0, passwd, group, &user, &err), -ERR_NOT_FOUND);
    ck_assert_str_eq(err.message, "unable to find user nobody: no matching entries in passwd file");
    ck_assert_int_eq(user_resolve("app:none", NULL, 0, passwd, group, &user, &err), -ERR_NOT_FOUND);
    ck_assert_int_eq(resolve("bad", &user), -ERR_NOT_FOUND);
    ck_assert_int_eq(resolve("99999999999", &user), -ERR_OUT_OF_RANGE);
    ck_assert_int_eq(resolve("0:4294967295", &user), -ERR_OUT_OF_RANGE);
    ck_assert_int_eq(user_resolve("5", NULL, 0, "", "", &user, NULL), 0);
}
END_TEST

START_TEST(extra_groups_are_added_once)
{
    struct user user;
    const char *extra[] = {"staff", "2000", "77", "staff"};
    ck_assert_int_eq(user_resolve("app", extra, COUNT_OF(extra), passwd, group, &user, NULL), 0);
    ck_assert_uint_eq(user.groups_count, 4);
    ck_assert_uint_eq(user.groups[3], 77);
}
END_TEST

Suite *suite_user(void);
Suite *suite_user(void)
{
    Suite *suite = suite_create("user");
    TCase *tcase = tcase_create("user");
    tcase_add_test(tcase, a_name_brings_its_groups_and_home);
    tcase_add_test(tcase, empty_means_root_and_numbers_need_no_entry);
    tcase_add_test(tcase, a_group_replaces_the_own_ones);
    tcase_add_test(tcase, what_is_not_there_is_said);
    tcase_add_test(tcase, extra_groups_are_added_once);
    suite_add_tcase(suite, tcase);
    return suite;
}
