// A sealed copy of a program runs, cannot be written to, and is never of an older program.
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/oci/sealed_io.h"
#include "proto/base/buf.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "tests/support/support.h"

#define PROGRAM_BYTES (8u << 20)

static char top[300];
static char program[400];
static char name[400];

// Puts a copy of one of the system's programs in the program's place, as an upgrade would.
static void install(const char *from)
{
    struct buf bytes;
    buf_init(&bytes, PROGRAM_BYTES);
    ck_assert_int_eq(file_read(from, &bytes, NULL), 0);
    ck_assert_int_eq(file_write_atomic(program, bytes.data, bytes.len, 0755, NULL), 0);
    buf_fini(&bytes);
}

static int run(const char *path)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        execl(path, path, (char *)NULL);
        _exit(127);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void setup(void)
{
    str_copy(top, sizeof top, support_tmpdir());
    str_format(program, sizeof program, "%s/program", top);
    str_format(name, sizeof name, "%s/name", top);
    install("/bin/true");
}

static void teardown(void)
{
    support_tmpdir_remove(top);
}

START_TEST(a_copy_runs_and_cannot_be_written_to)
{
    struct sealed *sealed = NULL;
    char target[400];
    ck_assert_int_eq(sealed_new(program, name, &sealed, NULL), 0);
    ck_assert_str_eq(sealed_path(sealed), name);
    ck_assert_int_eq(run(name), 0);
    // Who opens it for writing, as its owner may, still cannot write.
    int fd = open(name, O_WRONLY | O_CLOEXEC);
    ck_assert(fd < 0 || write(fd, "x", 1) < 0);
    if (fd >= 0)
        close(fd);
    ck_assert_int_eq(truncate(name, 0), -1);
    ck_assert_int_eq(run(sealed_path(sealed)), 0);
    sealed_free(sealed);
    ck_assert_int_lt(readlink(name, target, sizeof target), 0);
}
END_TEST

START_TEST(an_upgrade_is_what_runs_next)
{
    struct sealed *sealed = NULL;
    ck_assert_int_eq(sealed_new(program, name, &sealed, NULL), 0);
    ck_assert_int_eq(run(sealed_path(sealed)), 0);
    install("/bin/false");
    ck_assert_int_eq(run(sealed_path(sealed)), 1);
    ck_assert_str_eq(sealed_path(sealed), name);
    sealed_free(sealed);
}
END_TEST

START_TEST(a_program_that_cannot_be_copied_is_run_itself)
{
    struct sealed *sealed = NULL;
    struct err err = ERR_INIT;
    ck_assert_int_eq(sealed_new(program, name, &sealed, NULL), 0);
    unlink(program);
    ck_assert_str_eq(sealed_path(sealed), program);
    install("/bin/true");
    ck_assert_str_eq(sealed_path(sealed), name);
    sealed_free(sealed);
    unlink(program);
    ck_assert_int_eq(sealed_new(program, name, &sealed, &err), -ERR_NOT_FOUND);
    sealed_free(NULL);
}
END_TEST

Suite *suite_sealed_io(void);
Suite *suite_sealed_io(void)
{
    Suite *suite = suite_create("sealed_io");
    TCase *tcase = tcase_create("sealed_io");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_copy_runs_and_cannot_be_written_to);
    tcase_add_test(tcase, an_upgrade_is_what_runs_next);
    tcase_add_test(tcase, a_program_that_cannot_be_copied_is_run_itself);
    suite_add_tcase(suite, tcase);
    return suite;
}
