#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/image/furnish_io.h"
#include "proto/base/check.h"
#include "tests/support/support.h"

static const char *folder;
static char path[4096];

static const char *in(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void set_up(void)
{
    folder = support_tmpdir();
    ck_assert_int_eq(mkdir(in("tree"), 0755), 0);
}

static void tear_down(void)
{
    support_tmpdir_remove(folder);
}

static void furnish(void)
{
    struct err err = ERR_INIT;
    char tree[4096];
    snprintf(tree, sizeof tree, "%s", in("tree"));
    ck_assert_msg(furnish_tree(tree, &err) == 0, "%s", err.message);
}

static mode_t mode_of(const char *name)
{
    struct stat found;
    return lstat(in(name), &found) ? 0 : found.st_mode;
}

START_TEST(an_empty_tree_gets_all_of_it_once)
{
    static const char *const files[] = {"tree/.dockerenv", "tree/dev/console", "tree/etc/hostname",
                                        "tree/etc/hosts", "tree/etc/resolv.conf"};
    static const char *const folders[] = {"tree/proc",    "tree/sys",     "tree/dev",
                                          "tree/dev/pts", "tree/dev/shm", "tree/etc"};
    char target[64] = "";
    mode_t before = umask(077);
    for (int i = 0; i < 2; i++) {
        furnish();
        for (size_t k = 0; k < COUNT_OF(files); k++)
            ck_assert_uint_eq(mode_of(files[k]), S_IFREG | 0755);
        for (size_t k = 0; k < COUNT_OF(folders); k++)
            ck_assert_uint_eq(mode_of(folders[k]), S_IFDIR | 0755);
        ck_assert_int_gt(readlink(in("tree/etc/mtab"), target, sizeof target - 1), 0);
        ck_assert_str_eq(target, "/proc/mounts");
    }
    umask(before);
}
END_TEST

START_TEST(what_an_image_has_stays)
{
    char target[64] = "";
    ck_assert_int_eq(mkdir(in("tree/etc"), 0700), 0);
    ck_assert_int_eq(symlink("../proc/mounts", in("tree/etc/mtab")), 0);
    int fd = open(in("tree/etc/hosts"), O_WRONLY | O_CREAT, 0600);
    ck_assert_int_eq(write(fd, "own", 3), 3);
    close(fd);
    close(open(in("tree/dev"), O_WRONLY | O_CREAT, 0600)); // no folder at all
    furnish();
    ck_assert_uint_eq(mode_of("tree/etc"), S_IFDIR | 0700);
    ck_assert_uint_eq(mode_of("tree/etc/hosts"), S_IFREG | 0600);
    ck_assert_uint_eq(mode_of("tree/dev"), S_IFREG | 0600);
    ck_assert_int_gt(readlink(in("tree/etc/mtab"), target, sizeof target - 1), 0);
    ck_assert_str_eq(target, "../proc/mounts");
    ck_assert_uint_eq(mode_of("tree/.dockerenv"), S_IFREG | 0755);
    ck_assert_uint_eq(mode_of("tree/etc/hostname"), S_IFREG | 0755);
}
END_TEST

START_TEST(nothing_is_put_behind_a_link)
{
    ck_assert_int_eq(mkdir(in("host"), 0755), 0);
    ck_assert_int_eq(symlink("../host", in("tree/etc")), 0);
    ck_assert_int_eq(symlink("../host/shm", in("tree/proc")), 0);
    furnish();
    ck_assert_int_eq(rmdir(in("host")), 0); // it is as empty as before
    ck_assert(S_ISLNK(mode_of("tree/etc")));
    ck_assert(S_ISLNK(mode_of("tree/proc")));
    ck_assert_uint_eq(mode_of("tree/dev/console"), S_IFREG | 0755);
}
END_TEST

START_TEST(a_tree_that_is_not_there_is_an_error)
{
    struct err err = ERR_INIT;
    ck_assert_int_eq(furnish_tree("/nonexistent/tree", &err), -ERR_NOT_FOUND);
}
END_TEST

Suite *suite_furnish_io(void);
Suite *suite_furnish_io(void)
{
    Suite *suite = suite_create("furnish_io");
    TCase *tcase = tcase_create("furnish");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, an_empty_tree_gets_all_of_it_once);
    tcase_add_test(tcase, what_an_image_has_stays);
    tcase_add_test(tcase, nothing_is_put_behind_a_link);
    tcase_add_test(tcase, a_tree_that_is_not_there_is_an_error);
    suite_add_tcase(suite, tcase);
    return suite;
}
