// Volumes outlive us, are filled once from the image, and go only when nobody holds them.
#include <check.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/oci/volume_mounts_io.h"
#include "agent/oci/volume_options.h"
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
    ck_assert_int_eq(
        volumes_create(volumes,
                       &(struct volume_wish){.name = "data", .labels = &label, .labels_count = 1},
                       &volume, NULL),
        0);
    ck_assert(file_exists(volume->path));
    reopen();
    ck_assert_int_eq(volumes_find(volumes, "data", &volume, NULL), 0);
    ck_assert_str_eq(volume->labels[0].value, "b");
    ck_assert(!volume->anonymous);
    ck_assert_int_gt(volume->created.ns, 0);
    ck_assert_int_eq(volumes_create(volumes, &(struct volume_wish){.name = "data"}, &volume, NULL),
                     0);
    ck_assert_uint_eq(volume->labels_count, 1);
}
END_TEST

START_TEST(names_that_lead_elsewhere_are_refused)
{
    static const char *const names[] = {"..", "a/b", ".x", "-x", "a", "a b", "x\n"};
    const struct volume *volume;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_int_eq(
            volumes_create(volumes, &(struct volume_wish){.name = names[i]}, &volume, NULL),
            -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(what_is_held_stays)
{
    const struct volume *volume;
    struct err err = ERR_INIT;
    ck_assert_int_eq(volumes_create(volumes, &(struct volume_wish){.name = "data"}, &volume, NULL),
                     0);
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
    ck_assert_int_eq(volumes_create(volumes, &(struct volume_wish){.name = NULL}, &volume, NULL),
                     0);
    ck_assert_uint_eq(strlen(volume->name), 64);
    ck_assert_int_eq(volumes_hold(volumes, volume->name, "c1", NULL), 0);
    ck_assert_int_eq(volumes_create(volumes, &(struct volume_wish){.name = "named"}, &volume, NULL),
                     0);
    ck_assert_int_eq(volumes_hold(volumes, "named", "c1", NULL), 0);
    // Also those that an earlier life saw held, and not those of another.
    reopen();
    ck_assert_int_eq(volumes_hold(volumes, "named", "c2", NULL), 0);
    volumes_release_all(volumes, "c1", true);
    ck_assert_uint_eq(volumes_users(volumes, "named"), 1);
    volumes_release_all(volumes, "c2", true);
    ck_assert_uint_eq(volumes_users(volumes, "named"), 0);
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
    ck_assert_int_eq(volumes_create(volumes, &(struct volume_wish){.name = "data"}, &volume, NULL),
                     0);
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
    ck_assert_int_eq(volumes_create(volumes, &(struct volume_wish){.name = "other"}, &volume, NULL),
                     0);
    ck_assert_int_eq(volumes_fill(volume->path, image, "/out", &err), 0);
    str_format(path, sizeof path, "%s/data/file", volume->path);
    ck_assert(file_exists(path));
}
END_TEST

// ---- options of the driver ---------------------------------------------------------------------

START_TEST(options_are_checked_as_docker_does)
{
    static const struct {
        struct oci_pair options[4];
        const char *wanted; // NULL: fine
    } rows[] = {
        {{{"foo", "bar"}}, "create vol: invalid option: \"foo\""},
        {{{"type", "tmpfs"}}, "create vol: missing required option: \"device\""},
        {{{"device", "tmpfs"}}, "create vol: missing required option: \"type\""},
        {{{"o", "bind"}}, "create vol: missing required option: \"device\""},
        {{{"o", "bind"}, {"device", "/x"}}, "create vol: missing required option: \"type\""},
        {{{"size", "10M"}}, "create vol: quota size requested but no quota support"},
        {{{"size", "1.5 GiB"}}, "create vol: quota size requested but no quota support"},
        {{{"size", "zzz"}}, "create vol: invalid size: 'zzz'"},
        {{{"size", "1x"}}, "create vol: invalid size: '1x'"},
        {{{"size", "0"}}, NULL},
        {{{"type", "tmpfs"}, {"device", "tmpfs"}, {"o", "size=1m"}}, NULL},
        {{{"type", ""}, {"device", ""}}, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct volume_wish wish = {.name = "vol", .options = rows[i].options};
        const struct volume *volume;
        struct err err = ERR_INIT;
        while (wish.options_count < 4 && rows[i].options[wish.options_count].key)
            wish.options_count++;
        int rc = volumes_create(volumes, &wish, &volume, &err);
        if (rows[i].wanted) {
            ck_assert_int_eq(rc, -ERR_INVALID_ARGUMENT);
            ck_assert_str_eq(err.message, rows[i].wanted);
            ck_assert_int_ne(volumes_find(volumes, "vol", &volume, NULL), 0);
        } else {
            ck_assert_msg(rc == 0, "%s", err.message);
            ck_assert_int_eq(volumes_remove(volumes, "vol", NULL), 0);
        }
    }
}
END_TEST

START_TEST(words_of_a_mount_become_flags)
{
    static const struct {
        const char *text;
        unsigned long flags, propagation;
        const char *data;
    } rows[] = {
        {"", 0, 0, ""},
        {"bind,ro", MS_BIND | MS_RDONLY, 0, ""},
        {"ro,rw", 0, 0, ""},
        {"size=1m,noexec,mode=700", MS_NOEXEC, 0, "size=1m,mode=700"},
        {"rbind,rslave", MS_BIND | MS_REC, MS_SLAVE | MS_REC, ""},
        {"defaults,,nolock,addr=10.0.0.1", 0, 0, "nolock,addr=10.0.0.1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct volume_mount_words words;
        ck_assert_int_eq(volume_mount_words(rows[i].text, &words, NULL), 0);
        ck_assert_uint_eq(words.flags, rows[i].flags);
        ck_assert_uint_eq(words.propagation, rows[i].propagation);
        ck_assert_str_eq(words.data, rows[i].data);
    }
    char out[100];
    ck_assert(volume_mount_value("soft,addr=host,ro", "addr", out, sizeof out));
    ck_assert_str_eq(out, "host");
    ck_assert(!volume_mount_value("soft,clientaddr=x", "addr", out, sizeof out));
    ck_assert(volume_mount_replace("soft,addr=host,ro", "addr", "1.2.3.4", out, sizeof out));
    ck_assert_str_eq(out, "soft,addr=1.2.3.4,ro");
    ck_assert(volume_mount_replace("password=x", "password", "***", out, sizeof out));
    ck_assert_str_eq(out, "password=***");
    char *long_text = malloc(6000);
    memset(long_text, 'x', 5999);
    long_text[5999] = '\0';
    struct volume_mount_words words;
    ck_assert_int_eq(volume_mount_words(long_text, &words, NULL), -ERR_INVALID_ARGUMENT);
    free(long_text);
}
END_TEST

static struct volume_uses *uses_for(const char *user, const char *name)
{
    const struct volume *volume;
    ck_assert_int_eq(volumes_find(volumes, name, &volume, NULL), 0);
    struct volume_uses *uses = volume_uses_new(user);
    volume_uses_add(uses, volume);
    return uses;
}

// Mounts need root and their own namespace, so that a test that dies leaves none behind.
static bool may_mount(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

START_TEST(a_mount_lasts_from_the_first_use_to_the_last)
{
    static const struct oci_pair options[] = {
        {"type", "tmpfs"}, {"device", "tmpfs"}, {"o", "size=64k,mode=711"}};
    const struct volume_wish wish = {.name = "mem", .options = options, .options_count = 3};
    const struct volume *volume;
    struct err err = ERR_INIT;
    struct stat st;
    if (!may_mount())
        return;
    ck_assert_int_eq(volumes_create(volumes, &wish, &volume, NULL), 0);
    struct volume_uses *first = uses_for("c1", "mem"), *second = uses_for("c2", "mem");
    ck_assert_uint_eq(volume_uses_count(first), 1);
    ck_assert(!volume_mounted(volume->path));
    ck_assert_msg(volume_uses_begin(first, &err) == 0, "%s", err.message);
    ck_assert(volume_mounted(volume->path));
    ck_assert_int_eq(stat(volume->path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0711);
    char path[600];
    str_format(path, sizeof path, "%s/file", volume->path);
    ck_assert_int_eq(file_write_atomic(path, "x", 1, 0600, NULL), 0);
    ck_assert_int_eq(volume_uses_begin(second, &err), 0);
    ck_assert(file_exists(path)); // not a second mount above the first
    volume_uses_end(first);
    volume_uses_end(first);
    ck_assert(volume_mounted(volume->path));
    ck_assert_ptr_null(volume_uses_of(volumes, "c1"));
    // Another life goes on counting.
    volume_uses_free(first);
    volume_uses_free(second);
    reopen();
    second = volume_uses_of(volumes, "c2");
    ck_assert_uint_eq(volume_uses_count(second), 1);
    volume_uses_end(second);
    volume_uses_free(second);
    ck_assert_int_eq(volumes_find(volumes, "mem", &volume, NULL), 0);
    ck_assert(!volume_mounted(volume->path));
    ck_assert_str_eq(volume->options[2].value, "size=64k,mode=711");
    // What a crash left mounted does not go with the volume.
    str_format(path, sizeof path, "%s/other", dir);
    mkdir(path, 0700);
    ck_assert_int_eq(mount(path, volume->path, NULL, MS_BIND, NULL), 0);
    str_format(path, sizeof path, "%s/other/file", dir);
    ck_assert_int_eq(file_write_atomic(path, "x", 1, 0600, NULL), 0);
    ck_assert_msg(volumes_remove(volumes, "mem", &err) == 0, "%s", err.message);
    ck_assert(file_exists(path));
}
END_TEST

START_TEST(a_mount_that_fails_is_told_and_not_used)
{
    static const struct {
        struct oci_pair options[3];
        const char *wanted;
    } rows[] = {
        {{{"type", "none"}, {"device", "/nonexistent"}, {"o", "bind,ro"}},
         "mount /nonexistent:%s, flags: 0x1001: no such file or directory"},
        {{{"type", "ext4"}, {"device", "/dev/null"}, {"o", "rw"}},
         "mount /dev/null:%s: block device required"},
        {{{"type", "nosuchfs"}, {"device", "x"}, {"o", "user=a,password=secret,x=1"}},
         "mount x:%s, data: user=a,password=********,x=1: no such device"},
        {{{"type", "tmpfs"}, {"device", ""}, {"o", ""}}, NULL},
    };
    if (!may_mount())
        return;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct volume_wish wish = {
            .name = "vol", .options = rows[i].options, .options_count = 3};
        const struct volume *volume;
        struct err err = ERR_INIT;
        char wanted[1200], head[1000], tail[600];
        ck_assert_int_eq(volumes_create(volumes, &wish, &volume, NULL), 0);
        struct volume_uses *uses = uses_for("c1", "vol");
        ck_assert_int_ne(volume_uses_begin(uses, &err), 0);
        volume_uses_free(uses);
        ck_assert_ptr_null(volume_uses_of(volumes, "c1"));
        ck_assert(!volume_mounted(volume->path));
        str_format(head, sizeof head, "error while mounting volume '%s': ", volume->path);
        if (rows[i].wanted) {
            const char *at = strstr(rows[i].wanted, "%s");
            str_format(tail, sizeof tail, "failed to mount local volume: %.*s%s%s",
                       (int)(at - rows[i].wanted), rows[i].wanted, volume->path, at + 2);
        } else {
            str_copy(tail, sizeof tail, "missing device in volume options");
        }
        str_format(wanted, sizeof wanted, "%s%s", head, tail);
        ck_assert_str_eq(err.message, wanted);
        ck_assert_int_eq(volumes_remove(volumes, "vol", NULL), 0);
    }
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
    tcase_add_test(tcase, options_are_checked_as_docker_does);
    tcase_add_test(tcase, words_of_a_mount_become_flags);
    tcase_add_test(tcase, a_mount_lasts_from_the_first_use_to_the_last);
    tcase_add_test(tcase, a_mount_that_fails_is_told_and_not_used);
    suite_add_tcase(suite, tcase);
    return suite;
}
