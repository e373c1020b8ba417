// Files are replaced atomically and trees removed without leaving them.
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/file_io.h"
#include "tests/support/support.h"

static const char *folder;

static void make_folder(void)
{
    folder = support_tmpdir();
}

static void remove_folder(void)
{
    support_tmpdir_remove(folder);
}

static const char *in_folder(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

START_TEST(a_file_is_replaced_with_its_mode_and_nothing_is_left_beside_it)
{
    struct err err = ERR_INIT;
    mode_t umask_before = umask(077);
    ck_assert_int_eq(file_write_atomic(in_folder("f"), "one", 3, 0644, &err), 0);
    ck_assert_int_eq(file_write_atomic(in_folder("f"), "three", 5, 0640, &err), 0);
    umask(umask_before);
    struct stat st;
    ck_assert_int_eq(stat(in_folder("f"), &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0640);
    struct buf buf;
    buf_init(&buf, 16);
    ck_assert_int_eq(file_read(in_folder("f"), &buf, &err), 0);
    ck_assert_str_eq(buf_cstr(&buf), "three");
    ck_assert(!file_exists(in_folder(".f.tmp")));
    buf_fini(&buf);
}
END_TEST

START_TEST(a_failed_write_keeps_the_old_file)
{
    struct err err = ERR_INIT;
    ck_assert_int_eq(file_write_atomic(in_folder("f"), "old", 3, 0600, &err), 0);
    ck_assert_int_eq(mkdir(in_folder(".f.tmp"), 0700), 0); // in the way of the new one
    ck_assert_int_lt(file_write_atomic(in_folder("f"), "new", 3, 0600, &err), 0);
    ck_assert_ptr_nonnull(strstr(err.message, "/f: "));
    struct buf buf;
    buf_init(&buf, 16);
    ck_assert_int_eq(file_read(in_folder("f"), &buf, &err), 0);
    ck_assert_str_eq(buf_cstr(&buf), "old");
    buf_fini(&buf);
}
END_TEST

START_TEST(reading_past_the_limit_is_refused_and_keeps_what_was_there)
{
    struct err err = ERR_INIT;
    ck_assert_int_eq(file_write_atomic(in_folder("f"), "12345", 5, 0600, &err), 0);
    struct buf buf;
    buf_init(&buf, 6);
    buf_put_str(&buf, "ab");
    ck_assert_int_eq(file_read(in_folder("f"), &buf, &err), -ERR_RESOURCE_EXHAUSTED);
    ck_assert_uint_eq(buf.len, 2);
    buf_fini(&buf);
    buf_init(&buf, 5);
    ck_assert_int_eq(file_read(in_folder("f"), &buf, &err), 0);
    ck_assert_int_eq(file_read(in_folder("missing"), &buf, &err), -ERR_NOT_FOUND);
    buf_fini(&buf);
}
END_TEST

START_TEST(folders_are_made_with_those_above_them)
{
    struct err err = ERR_INIT;
    ck_assert_int_eq(dir_make(in_folder("a/b/c"), 0700, &err), 0);
    ck_assert_int_eq(dir_make(in_folder("a/b/c"), 0755, &err), 0);
    struct stat st;
    ck_assert_int_eq(stat(in_folder("a/b/c"), &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0700);
    ck_assert_int_eq(file_write_atomic(in_folder("a/file"), "", 0, 0600, &err), 0);
    ck_assert_int_lt(dir_make(in_folder("a/file"), 0700, &err), 0);
    ck_assert_int_lt(dir_make(in_folder("a/file/x"), 0700, &err), 0);
    ck_assert_int_lt(dir_make("", 0700, &err), 0);
}
END_TEST

START_TEST(a_tree_is_removed_without_following_links)
{
    struct err err = ERR_INIT;
    ck_assert_int_eq(dir_make(in_folder("outside"), 0700, &err), 0);
    ck_assert_int_eq(file_write_atomic(in_folder("outside/kept"), "k", 1, 0600, &err), 0);
    ck_assert_int_eq(dir_make(in_folder("tree/x/y"), 0700, &err), 0);
    ck_assert_int_eq(file_write_atomic(in_folder("tree/x/f"), "f", 1, 0600, &err), 0);
    ck_assert_int_eq(symlink("../outside", in_folder("tree/link")), 0);
    ck_assert_msg(dir_remove(in_folder("tree"), &err) == 0, "%s", err.message);
    ck_assert(!file_exists(in_folder("tree")));
    ck_assert(file_exists(in_folder("outside/kept")));
    ck_assert_int_eq(dir_remove(in_folder("tree"), &err), 0); // gone already
    ck_assert_int_eq(file_remove(in_folder("tree"), &err), 0);
}
END_TEST

Suite *suite_file_io(void);
Suite *suite_file_io(void)
{
    Suite *suite = suite_create("file_io");
    TCase *tcase = tcase_create("file_io");
    tcase_add_checked_fixture(tcase, make_folder, remove_folder);
    tcase_add_test(tcase, a_file_is_replaced_with_its_mode_and_nothing_is_left_beside_it);
    tcase_add_test(tcase, a_failed_write_keeps_the_old_file);
    tcase_add_test(tcase, reading_past_the_limit_is_refused_and_keeps_what_was_there);
    tcase_add_test(tcase, folders_are_made_with_those_above_them);
    tcase_add_test(tcase, a_tree_is_removed_without_following_links);
    suite_add_tcase(suite, tcase);
    return suite;
}
