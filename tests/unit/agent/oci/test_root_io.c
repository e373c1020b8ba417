// Nothing in a root leads out of it: links and ".." end at the root.
#include <check.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/oci/root_io.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "tests/support/support.h"

static char top[300];
static char root[400];

static void put(const char *path, const char *text)
{
    char full[600];
    str_format(full, sizeof full, "%s/%s", top, path);
    ck_assert_int_eq(file_write_atomic(full, text, strlen(text), 0644, NULL), 0);
}

static void setup(void)
{
    char path[600];
    str_copy(top, sizeof top, support_tmpdir());
    str_format(root, sizeof root, "%s/root", top);
    mkdir(root, 0755);
    str_format(path, sizeof path, "%s/etc", root);
    mkdir(path, 0755);
    put("secret", "outside");
    put("root/secret", "inside");
    put("root/etc/passwd", "app:x:7:8::/srv:/bin/sh\n");
}

static void teardown(void)
{
    support_tmpdir_remove(top);
}

static void link_to(const char *target, const char *name)
{
    char path[600];
    str_format(path, sizeof path, "%s/%s", root, name);
    ck_assert_int_eq(symlink(target, path), 0);
}

static const char *text_of(const char *path)
{
    static char text[100];
    struct buf out;
    buf_init(&out, 90);
    int rc = root_read(root, path, &out, NULL);
    str_copy(text, sizeof text, rc ? "" : buf_cstr(&out));
    buf_fini(&out);
    return text;
}

START_TEST(links_and_dots_end_at_the_root)
{
    char absolute[400];
    str_format(absolute, sizeof absolute, "%s/secret", top);
    link_to("/secret", "absolute");
    link_to("../../../../../../secret", "relative");
    link_to(absolute, "outside");
    ck_assert_str_eq(text_of("/absolute"), "inside");
    ck_assert_str_eq(text_of("/relative"), "inside");
    ck_assert_str_eq(text_of("../secret"), "inside");
    ck_assert_str_eq(text_of("/outside"), "");
    link_to("/proc/self/root/secret", "magic");
    ck_assert_str_eq(text_of("/magic"), "");
}
END_TEST

START_TEST(users_come_from_the_root_s_own_files)
{
    struct user user;
    ck_assert_int_eq(root_user(root, "app", NULL, 0, &user, NULL), 0);
    ck_assert_uint_eq(user.uid, 7);
    // A passwd that is a link out of the root is no passwd at all.
    char path[600];
    put("passwd", "evil:x:0:0::/:/bin/sh\n");
    str_format(path, sizeof path, "%s/etc/passwd", root);
    unlink(path);
    link_to("../../../passwd", "etc/passwd");
    ck_assert_int_eq(root_user(root, "evil", NULL, 0, &user, NULL), -ERR_NOT_FOUND);
    // A fifo would block for ever.
    unlink(path);
    ck_assert_int_eq(mkfifo(path, 0644), 0);
    ck_assert_int_eq(root_user(root, "app", NULL, 0, &user, NULL), -ERR_FAILED_PRECONDITION);
}
END_TEST

START_TEST(folders_are_made_inside)
{
    char path[600];
    struct stat st;
    link_to("/..", "up");
    ck_assert_int_eq(root_mkdir(root, "/up/a/b", 0711, getuid(), getgid(), NULL), 0);
    str_format(path, sizeof path, "%s/a/b", root);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0711);
    ck_assert_int_eq(root_mkdir(root, "/a/../../c", 0755, 0, 0, NULL), -ERR_INVALID_ARGUMENT);
    ck_assert_int_ne(root_mkdir(root, "/secret/x", 0755, getuid(), getgid(), NULL), 0);
}
END_TEST

Suite *suite_root_io(void);
Suite *suite_root_io(void)
{
    Suite *suite = suite_create("root_io");
    TCase *tcase = tcase_create("root_io");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, links_and_dots_end_at_the_root);
    tcase_add_test(tcase, users_come_from_the_root_s_own_files);
    tcase_add_test(tcase, folders_are_made_inside);
    suite_add_tcase(suite, tcase);
    return suite;
}
