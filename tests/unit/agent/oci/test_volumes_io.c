// Volumes outlive us, are filled once from the image, and go only when nobody holds them.
#include <check.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/oci/volumes_io.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "tests/support/support.h"

static char dir[300];
static char root[400];
static struct volumes *volumes;

static void reopen(void)
{
    struct err err = ERR_INIT;
    if (volumes)
        volumes_close(volumes);
    ck_assert_msg(volumes_open(root, &volumes, &err) == 0, "%s", err.message);
}

static void setup(void)
{
    str_copy(dir, sizeof dir, support_tmpdir());
    str_format(root, sizeof root, "%s/volumes", dir);
    volumes = NULL;
    reopen();
}

static void teardown(void)
{
    volumes_close(volumes);
    support_tmpdir_remove(dir);
}

START_TEST(a_volume_outlives_us_with_its_labels)
{
    const struct volume *volume;
    struct oci_pair label = {"a", "b"};
    ck_assert_int_eq(volumes_create(volumes, "data", &label, 1, &volume, NULL), 0);
    ck_assert(file_exists(volume->path));
    reopen();
    ck_assert_int_eq(volumes_find(volumes, "data", &volume, NULL), 0);
    ck_assert_str_eq(volume->labels[0].value, "b");
    ck_assert(!volume->anonymous);
    ck_assert_int_gt(volume->created.ns, 0);
    ck_assert_int_eq(volumes_create(volumes, "data", NULL, 0, &volume, NULL), 0);
    ck_assert_uint_eq(volume->labels_count, 1);
}
END_TEST

START_TEST(names_that_lead_elsewhere_are_refused)
{
    static const char *const names[] = {"..", "a/b", ".x", "-x", "a", "a b", "x\n"};
    const struct volume *volume;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_int_eq(volumes_create(volumes, names[i], NULL, 0, &volume, NULL),
                         -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(what_is_held_stays)
{
    const struct volume *volume;
    struct err err = ERR_INIT;
    ck_assert_int_eq(volumes_create(volumes, "data", NULL, 0, &volume, NULL), 0);
    ck_assert_int_eq(volumes_hold(volumes, "data", "c1", NULL), 0);
    reopen();
    ck_assert_uint_eq(volumes_users(volumes, "data"), 1);
    ck_assert_int_eq(volumes_remove(volumes, "data", &err), -ERR_FAILED_PRECONDITION);
    volumes_release(volumes, "data", "c1");
    ck_assert_int_eq(volumes_remove(volumes, "data", &err), 0);
    ck_assert_int_eq(volumes_remove(volumes, "data", &err), -ERR_NOT_FOUND);
    ck_assert_str_eq(err.message, "no such volume: data");
    ck_assert_int_eq(volumes_hold(volumes, "data", "c1", NULL), -ERR_NOT_FOUND);
}
END_TEST

START_TEST(anonymous_volumes_go_with_their_container)
{
    const struct volume *volume;
    ck_assert_int_eq(volumes_create(volumes, NULL, NULL, 0, &volume, NULL), 0);
    ck_assert_uint_eq(strlen(volume->name), 64);
    ck_assert_int_eq(volumes_hold(volumes, volume->name, "c1", NULL), 0);
    ck_assert_int_eq(volumes_create(volumes, "named", NULL, 0, &volume, NULL), 0);
    ck_assert_int_eq(volumes_hold(volumes, "named", "c1", NULL), 0);
    volumes_release_all(volumes, "c1", true);
    size_t position = 0;
    ck_assert_str_eq(volumes_next(volumes, &position)->name, "named");
    ck_assert_ptr_null(volumes_next(volumes, &position));
    ck_assert_int_eq(volumes_prune(volumes, false, NULL, NULL, NULL), 0);
    ck_assert_int_eq(volumes_find(volumes, "named", &volume, NULL), 0);
    ck_assert_int_eq(volumes_prune(volumes, true, NULL, NULL, NULL), 0);
    ck_assert_int_ne(volumes_find(volumes, "named", &volume, NULL), 0);
}
END_TEST

START_TEST(an_empty_volume_is_filled_from_the_image_once)
{
    char path[600];
    static const char *const folders[] = {"image", "image/data", "image/data/sub"};
    for (size_t i = 0; i < 3; i++) {
        str_format(path, sizeof path, "%s/%s", dir, folders[i]);
        mkdir(path, 0755);
    }
    chmod(path, 0711);
    str_format(path, sizeof path, "%s/image/data/file", dir);
    ck_assert_int_eq(file_write_atomic(path, "text", 4, 0640, NULL), 0);
    str_format(path, sizeof path, "%s/image/data/link", dir);
    ck_assert_int_eq(symlink("/etc/shadow", path), 0);
    str_format(path, sizeof path, "%s/image/out", dir);
    ck_assert_int_eq(symlink("../..", path), 0);
    char image[400];
    str_format(image, sizeof image, "%s/image", dir);
    const struct volume *volume;
    struct err err = ERR_INIT;
    ck_assert_int_eq(volumes_create(volumes, "data", NULL, 0, &volume, NULL), 0);
    ck_assert_int_eq(volumes_fill(volume->path, image, "/none", &err), 0);
    ck_assert_msg(volumes_fill(volume->path, image, "/data", &err) == 0, "%s", err.message);
    struct stat st;
    str_format(path, sizeof path, "%s/file", volume->path);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0640);
    str_format(path, sizeof path, "%s/sub", volume->path);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0711);
    str_format(path, sizeof path, "%s/link", volume->path);
    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert(S_ISLNK(st.st_mode));
    // Not twice, and a link upwards ends at the image's own root.
    str_format(path, sizeof path, "%s/file", volume->path);
    unlink(path);
    ck_assert_int_eq(volumes_fill(volume->path, image, "/data", &err), 0);
    ck_assert(!file_exists(path));
    ck_assert_int_eq(volumes_create(volumes, "other", NULL, 0, &volume, NULL), 0);
    ck_assert_int_eq(volumes_fill(volume->path, image, "/out", &err), 0);
    str_format(path, sizeof path, "%s/data/file", volume->path);
    ck_assert(file_exists(path));
}
END_TEST

Suite *suite_volumes_io(void);
Suite *suite_volumes_io(void)
{
    Suite *suite = suite_create("volumes_io");
    TCase *tcase = tcase_create("volumes_io");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_volume_outlives_us_with_its_labels);
    tcase_add_test(tcase, names_that_lead_elsewhere_are_refused);
    tcase_add_test(tcase, what_is_held_stays);
    tcase_add_test(tcase, anonymous_volumes_go_with_their_container);
    tcase_add_test(tcase, an_empty_volume_is_filled_from_the_image_once);
    suite_add_tcase(suite, tcase);
    return suite;
}
