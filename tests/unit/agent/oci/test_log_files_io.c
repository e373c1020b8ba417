#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/oci/log_files_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

Suite *suite_log_files_io(void);

static char folder[] = "/tmp/test_log_files_XXXXXX";
static char path[64];
static struct err err;

static void setup(void)
{
    memcpy(strrchr(folder, '_') + 1, "XXXXXX", 6);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    str_format(path, sizeof path, "%s/log", folder);
    err_clear(&err);
}

static void teardown(void)
{
    logs_remove(path);
    ck_assert_int_eq(rmdir(folder), 0); // nothing else was left in it
}

static void write_log(const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    ck_assert(fd >= 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void rotate(const char *next)
{
    ck_assert(logs_rotate(path, 1, 4, &err));
    write_log(next);
}

static void pack(unsigned age)
{
    struct log_file file;
    char copy[80];
    ck_assert(log_file_open(path, age, &file));
    ck_assert(!file.packed);
    str_format(copy, sizeof copy, "%s" LOG_COPY_SUFFIX, path);
    int out = open(copy, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_msg(log_file_pack(&file, out, &err) == 0, "%s", err.message);
    log_file_replace(path, &file, copy);
    close(out);
    close(file.fd);
}

// What the file holds, packed or not.
static const char *content(const struct log_file *file)
{
    static char text[128];
    int fd = file->fd;
    if (file->packed)
        ck_assert_msg(log_file_unpack(path, file->fd, &fd, &err) == 0, "%s", err.message);
    ssize_t got = pread(fd, text, sizeof text - 1, 0);
    text[got < 0 ? 0 : got] = '\0';
    if (file->packed)
        close(fd);
    return text;
}

static void is(unsigned age, bool packed, const char *wanted)
{
    struct log_file file;
    ck_assert_msg(log_file_open(path, age, &file), "no file %u", age);
    ck_assert_int_eq(file.packed, packed);
    ck_assert_str_eq(content(&file), wanted);
    close(file.fd);
}

static void is_absent(unsigned age)
{
    struct log_file file;
    ck_assert(!log_file_open(path, age, &file));
}

// Goal: files keep their form when they grow older, and no more of them stay than are wanted.
START_TEST(packed_files_rotate_with_the_others)
{
    write_log("one\n");
    rotate("two\n");
    pack(1);
    is(1, true, "one\n");
    rotate("three\n");
    is(1, false, "two\n");
    is(2, true, "one\n");
    rotate("four\n");
    pack(2);
    rotate("five\n");
    is(0, false, "five\n");
    is(1, false, "four\n");
    is(2, false, "three\n");
    is(3, true, "two\n");
    is_absent(4);
}
END_TEST

// Goal: the file after one's own is found by whoever has it open, packed before or meanwhile.
START_TEST(the_next_file_is_found)
{
    struct log_file file, next;
    write_log("one\n");
    ck_assert(log_file_open(path, 0, &file));
    ck_assert(!log_file_next(path, &file, &next));
    rotate("two\n");
    pack(1);
    rotate("three\n");
    pack(1);
    rotate("four\n");
    // Three rotations behind.
    static const char *const then[] = {"two\n", "three\n", "four\n"};
    for (size_t i = 0; i < COUNT_OF(then); i++) {
        ck_assert(log_file_next(path, &file, &next));
        ck_assert_str_eq(content(&next), then[i]);
        close(file.fd);
        file = next;
    }
    ck_assert(!log_file_next(path, &file, &next));
    close(file.fd);
}
END_TEST

// Goal: whose own file is gone goes on with the newest.
START_TEST(a_reader_left_behind_goes_on)
{
    struct log_file file, next;
    write_log("one\n");
    ck_assert(log_file_open(path, 0, &file));
    for (int i = 0; i < 5; i++)
        rotate("later\n");
    ck_assert(log_file_next(path, &file, &next));
    ck_assert_str_eq(content(&next), "later\n");
    close(next.fd);
    close(file.fd);
}
END_TEST

// Goal: a copy of what was taken away meanwhile is taken away too.
START_TEST(a_copy_of_nothing_is_removed)
{
    struct log_file file;
    char copy[80];
    write_log("one\n");
    rotate("two\n");
    ck_assert(log_file_open(path, 1, &file));
    str_format(copy, sizeof copy, "%s.copy", path);
    close(open(copy, O_WRONLY | O_CREAT, 0600));
    logs_remove(path);
    log_file_replace(path, &file, copy);
    ck_assert_int_ne(access(copy, F_OK), 0);
    close(file.fd);
}
END_TEST

// Goal: what is cut off or no packed file at all is an error.
START_TEST(damaged_files_are_told)
{
    struct log_file file;
    char packed[80];
    int fd;
    write_log("one\n");
    rotate("two\n");
    pack(1);
    ck_assert(log_file_open(path, 1, &file));
    str_format(packed, sizeof packed, "%s.1.gz", path);
    struct stat st;
    ck_assert_int_eq(stat(packed, &st), 0);
    ck_assert_int_eq(truncate(packed, st.st_size - 9), 0);
    ck_assert_int_eq(log_file_unpack(path, file.fd, &fd, &err), -ERR_DATA_LOSS);
    ck_assert_int_eq(fd, -1);
    ck_assert_int_eq(truncate(packed, 0), 0);
    ck_assert_int_eq(log_file_unpack(path, file.fd, &fd, &err), -ERR_DATA_LOSS);
    close(file.fd);
    ck_assert(log_file_open(path, 1, &file));
    ck_assert_uint_eq(file.number, 0);
    close(file.fd);
}
END_TEST

Suite *suite_log_files_io(void)
{
    Suite *suite = suite_create("log_files_io");
    TCase *tcase = tcase_create("log_files_io");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, packed_files_rotate_with_the_others);
    tcase_add_test(tcase, the_next_file_is_found);
    tcase_add_test(tcase, a_reader_left_behind_goes_on);
    tcase_add_test(tcase, a_copy_of_nothing_is_removed);
    tcase_add_test(tcase, damaged_files_are_told);
    suite_add_tcase(suite, tcase);
    return suite;
}
