// Pinned namespaces. Needs the right to make them.
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/net/netns_io.h"
#include "proto/base/file_io.h"
#include "tests/unit/agent/net/spaces.h"

static int read_forward(void *ctx, struct err *err)
{
    (void)err;
    char *out = ctx;
    int fd = open("/proc/sys/net/ipv4/ip_forward", O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq((int)read(fd, out, 1), 1);
    close(fd);
    return 0;
}

// Goal: a namespace is made once, found again, and gone after its removal.
START_TEST(pin_is_made_found_and_removed)
{
    struct err err = ERR_INIT;
    bool made = false;
    int fd = -1;
    if (!spaces_begin())
        return;
    const char *path = spaces_path("one");
    ck_assert_int_eq(netns_open(path, &fd, &err), -ERR_NOT_FOUND);
    ck_assert_msg(netns_make(path, &made, &err) == 0, "%s", err.message);
    ck_assert(made);
    ck_assert_int_eq(netns_make(path, &made, &err), 0);
    ck_assert(!made);
    ck_assert_int_eq(netns_open(path, &fd, &err), 0);
    struct stat own, other;
    ck_assert_int_eq(stat("/proc/self/ns/net", &own), 0);
    ck_assert_int_eq(fstat(fd, &other), 0);
    ck_assert(own.st_ino != other.st_ino);
    close(fd);
    ck_assert_int_eq(netns_remove(path, &err), 0);
    ck_assert_int_eq(netns_remove(path, &err), 0);
    ck_assert(!file_exists(path));
    spaces_end();
}
END_TEST

// Goal: a leftover file that pins nothing is replaced; a folder in its place is an error.
START_TEST(leftover_file_is_replaced)
{
    struct err err = ERR_INIT;
    bool made = false;
    if (!spaces_begin())
        return;
    int fd = open(spaces_path("old"), O_CREAT | O_WRONLY, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert_int_eq(netns_open(spaces_path("old"), &fd, &err), -ERR_NOT_FOUND);
    ck_assert_msg(netns_make(spaces_path("old"), &made, &err) == 0, "%s", err.message);
    ck_assert(made);
    ck_assert_int_eq(mkdir(spaces_path("dir"), 0700), 0);
    ck_assert_int_lt(netns_make(spaces_path("dir"), &made, &err), 0);
    ck_assert(!made);
    rmdir(spaces_path("dir"));
    ck_assert_int_lt(netns_make("/nowhere/at/all", &made, &err), 0);
    spaces_end();
}
END_TEST

// Goal: settings are those of the namespace, and raising never lowers.
START_TEST(settings_stay_inside)
{
    struct err err = ERR_INIT;
    char inside[2] = "", outside[2] = "";
    if (!spaces_begin())
        return;
    int fd = spaces_make("set");
    ck_assert_int_eq(netns_sysctl(fd, "net/ipv4/ip_forward", "1", &err), 0);
    read_forward(outside, NULL);
    ck_assert_int_eq(netns_in(fd, read_forward, inside, &err), 0);
    ck_assert_str_eq(inside, "1");
    ck_assert_int_eq(netns_sysctl(fd, "net/ipv4/ip_forward", "0", &err), 0);
    ck_assert_int_eq(netns_in(fd, read_forward, inside, &err), 0);
    ck_assert_str_eq(inside, "0");
    ck_assert_int_eq(netns_sysctl_raise(fd, "net/ipv4/conf/all/rp_filter", 2, &err), 0);
    ck_assert_int_eq(netns_sysctl_raise(fd, "net/ipv4/conf/all/rp_filter", 1, &err), 0);
    ck_assert_int_eq(netns_sysctl(fd, "net/ipv4/no_such", "1", &err), -ERR_NOT_FOUND);
    char now[2] = "";
    read_forward(now, NULL);
    ck_assert_str_eq(now, outside);
    spaces_end();
}
END_TEST

Suite *suite_netns_io(void);
Suite *suite_netns_io(void)
{
    Suite *suite = suite_create("netns_io");
    TCase *tcase = tcase_create("netns_io");
    tcase_add_test(tcase, pin_is_made_found_and_removed);
    tcase_add_test(tcase, leftover_file_is_replaced);
    tcase_add_test(tcase, settings_stay_inside);
    suite_add_tcase(suite, tcase);
    return suite;
}
