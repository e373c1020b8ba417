#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/check.h"
#include "proto/base/confine_io.h"
#include "tests/support/support.h"

Suite *suite_confine_io(void);

// A user nobody else is.
#define TEST_UID 61190

// Enough for what the tests do, and for what the sanitizers do behind them.
static const struct confine_call calls[] = {
    {SYS_read, 0, 0, 0},
    {SYS_write, 0, 0, 0},
    {SYS_close, 0, 0, 0},
    {SYS_openat, 0, 0, 0},
    {SYS_newfstatat, 0, 0, 0},
    {SYS_fstat, 0, 0, 0},
    {SYS_mmap, 0, 0, 0},
    {SYS_munmap, 0, 0, 0},
    {SYS_madvise, 0, 0, 0},
    {SYS_sigaltstack, 0, 0, 0},
    {SYS_mkdir, 0, 0, 0},
    {SYS_unlink, 0, 0, 0},
    {SYS_exit_group, 0, 0, 0},
    {SYS_rt_sigprocmask, 0, 0, 0},
    {SYS_futex, 0, 0, 0},
    {SYS_brk, 0, 0, 0},
    {SYS_socket, 0, UINT64_MAX, AF_UNIX},
    {SYS_socket, 0, UINT64_MAX, AF_INET},
    {SYS_clone, 0, 0x7e020000, 0}, // no new namespaces
};

static char folder[4096];
static struct confine_path paths[2];
static struct confine_spec spec;

static void setup(void)
{
    snprintf(folder, sizeof folder, "%s", support_tmpdir());
    paths[0] = (struct confine_path){.path = folder, .writable = true};
    paths[1] = (struct confine_path){.path = "/etc/hostname", .writable = false};
    spec = (struct confine_spec){
        .uid = TEST_UID,
        .gid = TEST_UID,
        .calls = calls,
        .calls_count = COUNT_OF(calls),
        .paths = paths,
        .paths_count = COUNT_OF(paths),
    };
}

static void teardown(void)
{
    support_tmpdir_remove(folder);
}

static struct confine_report report;

// Runs `inside` in a child that is confined first, and gives its exit status; 0 is good. Without
// root there is nothing to give up, and nothing is tested.
static int confined(int (*inside)(void))
{
    if (geteuid() != 0)
        return 0;
    ck_assert_int_eq(chown(folder, TEST_UID, TEST_UID), 0);
    pid_t child = fork();
    if (child == 0) {
        struct err err = ERR_INIT;
        if (confine_self(&spec, &report, &err)) {
            dprintf(2, "%s\n", err.message);
            _exit(100);
        }
        _exit(inside());
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status), "ended by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

// The value of a line of /proc/PID/status.
static bool status_is(pid_t pid, const char *name, const char *wanted)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        if (strncmp(line, name, strlen(name)) != 0)
            continue;
        line[strcspn(line, "\n")] = 0;
        found = true;
        ck_assert_str_eq(line + strlen(name), wanted);
    }
    if (file)
        fclose(file);
    return found;
}

// Goal: from outside, the process is what security.md says.
START_TEST(confine_shows_in_proc)
{
    if (geteuid() != 0)
        return;
    int up[2], down[2];
    ck_assert(pipe(up) == 0 && pipe(down) == 0);
    pid_t child = fork();
    if (child == 0) {
        close(down[1]);
        char byte = 0;
        bool good = confine_self(&spec, &report, NULL) == 0 && report.seccomp;
        if (!good || write(up[1], "x", 1) != 1 || read(down[0], &byte, 1) != 0)
            _exit(1);
        _exit(0);
    }
    char byte;
    ck_assert_int_eq(read(up[0], &byte, 1), 1);
    ck_assert(status_is(child, "Uid:\t", "61190\t61190\t61190\t61190"));
    ck_assert(status_is(child, "Gid:\t", "61190\t61190\t61190\t61190"));
    ck_assert(status_is(child, "Groups:\t", " "));
    ck_assert(status_is(child, "CapInh:\t", "0000000000000000"));
    ck_assert(status_is(child, "CapPrm:\t", "0000000000000000"));
    ck_assert(status_is(child, "CapEff:\t", "0000000000000000"));
    ck_assert(status_is(child, "CapBnd:\t", "0000000000000000"));
    ck_assert(status_is(child, "CapAmb:\t", "0000000000000000"));
    ck_assert(status_is(child, "NoNewPrivs:\t", "1"));
    ck_assert(status_is(child, "Seccomp:\t", "2"));
    // Who is not dumpable has a /proc that belongs to root.
    char path[64];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d/mem", (int)child);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_uid, 0);
    close(down[1]);
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
END_TEST

static int use_calls(void)
{
    if (socket(AF_UNIX, SOCK_STREAM, 0) < 0)
        return 1;
    if (socket(AF_NETLINK, SOCK_RAW, 0) >= 0 || errno != EPERM)
        return 2;
    if (unshare(CLONE_NEWUSER) == 0 || errno != EPERM)
        return 3;
    if (syscall(SYS_clone, CLONE_NEWUSER | 17, NULL, NULL, NULL, NULL) >= 0 || errno != EPERM)
        return 4;
    if (syscall(SYS_clone3, NULL, 0) >= 0 || errno != ENOSYS)
        return 5;
    if (execl("/bin/true", "true", NULL) == 0 || errno != EPERM)
        return 6;
    return 0;
}

// Goal: what the list allows works, with the arguments it allows; the rest is refused, not deadly.
START_TEST(confine_limits_calls)
{
    ck_assert_int_eq(confined(use_calls), 0);
}
END_TEST

static int use_files(void)
{
    char path[5000];
    snprintf(path, sizeof path, "%s/new", folder);
    int fd = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, "x", 1) != 1 || close(fd) || unlink(path))
        return 1;
    if (mkdir(path, 0700))
        return 2;
    if (!report.landlock)
        return 0;
    // Anybody may read and make files there, but for us it is not on the list.
    if (open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES)
        return 3;
    if (open("/tmp/skep-confine-test", O_CREAT | O_WRONLY | O_CLOEXEC, 0600) >= 0)
        return 4;
    if (open("/etc/hostname", O_RDONLY | O_CLOEXEC) < 0 && errno != ENOENT)
        return 5;
    if (open("/etc/hostname", O_WRONLY | O_CLOEXEC) >= 0)
        return 6;
    return 0;
}

// Goal: the process can write its own folder, read what is listed, and open nothing else.
START_TEST(confine_limits_files)
{
    ck_assert_int_eq(confined(use_files), 0);
}
END_TEST

// Goal: who is not root is told so instead of running wider.
START_TEST(confine_needs_root)
{
    pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && setresuid(TEST_UID, TEST_UID, TEST_UID))
            _exit(2);
        _exit(confine_self(&spec, &report, NULL) == -ERR_PERMISSION_DENIED ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
END_TEST

// Goal: the text for the operator names what is missing.
START_TEST(confine_names_what_is_lacking)
{
    ck_assert_str_eq(confine_lacking(&(struct confine_report){true, 3}), "");
    ck_assert_str_eq(confine_lacking(&(struct confine_report){true, 0}), "Landlock");
    ck_assert_str_eq(confine_lacking(&(struct confine_report){false, 1}), "seccomp");
    ck_assert_str_eq(confine_lacking(&(struct confine_report){false, 0}), "seccomp and Landlock");
}
END_TEST

// Goal: nothing a parent left open stays.
START_TEST(confine_closes_descriptors)
{
    int fd = fcntl(2, F_DUPFD, 200);
    ck_assert_int_ge(fd, 200);
    confine_close_from(200);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
}
END_TEST

Suite *suite_confine_io(void)
{
    Suite *suite = suite_create("confine_io");
    TCase *tcase = tcase_create("confine");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, confine_shows_in_proc);
    tcase_add_test(tcase, confine_limits_calls);
    tcase_add_test(tcase, confine_limits_files);
    tcase_add_test(tcase, confine_needs_root);
    tcase_add_test(tcase, confine_names_what_is_lacking);
    tcase_add_test(tcase, confine_closes_descriptors);
    suite_add_tcase(suite, tcase);
    return suite;
}
