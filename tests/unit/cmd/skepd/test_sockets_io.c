#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmd/skepd/notify_io.h"
#include "cmd/skepd/pidfile_io.h"
#include "cmd/skepd/sockets_io.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "tests/support/support.h"

Suite *suite_sockets_io(void);

static char folder[4096];
static char path[5000];
static struct sockets sockets;
static struct err err;

static void setup(void)
{
    str_copy(folder, sizeof folder, support_tmpdir());
    snprintf(path, sizeof path, "%s/run/api.sock", folder);
    err_clear(&err);
}

static void teardown(void)
{
    sockets_unbind(&sockets);
    support_tmpdir_remove(folder);
}

static int bind_hosts(const char *first, const char *second)
{
    char *hosts[] = {(char *)(uintptr_t)first, (char *)(uintptr_t)second};
    return sockets_bind_hosts(&sockets, hosts, second ? 2 : 1, NULL, &err);
}

static const char *unix_host(void)
{
    static char host[5100];
    snprintf(host, sizeof host, "unix://%s", path);
    return host;
}

// Goal: the API socket is there for root and its group, its folder is made, and it goes again.
START_TEST(unix_socket_has_mode_and_goes)
{
    struct stat st;
    if (geteuid() != 0)
        return;
    ck_assert_msg(bind_hosts(unix_host(), "tcp://127.0.0.1:0") == 0, "%s", err.message);
    ck_assert_uint_eq(sockets.count, 2);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert(S_ISSOCK(st.st_mode));
    ck_assert_uint_eq(st.st_mode & 07777, 0660);
    ck_assert_uint_ne(sockets.items[1].addr.port, 0);
    sockets_unbind(&sockets);
    ck_assert_int_ne(stat(path, &st), 0);
}
END_TEST

// Goal: a socket file that a dead server left is replaced; one that is served is not.
START_TEST(unix_socket_replaces_only_the_dead)
{
    if (geteuid() != 0)
        return;
    ck_assert_int_eq(bind_hosts(unix_host(), NULL), 0);
    // Bound and not listening: nobody answers there.
    struct sockets second = {0};
    char *hosts[] = {(char *)(uintptr_t)unix_host()};
    ck_assert_int_eq(sockets_bind_hosts(&second, hosts, 1, NULL, &err), 0);
    ck_assert_int_eq(listen(second.items[0].fd, 1), 0);
    struct sockets third = {0};
    ck_assert_int_eq(sockets_bind_hosts(&third, hosts, 1, NULL, &err), -ERR_UNAVAILABLE);
    ck_assert_uint_eq(third.count, 0);
    sockets_unbind(&second);
}
END_TEST

// Goal: a file in the way is never removed, and what was bound before goes again.
START_TEST(unix_socket_respects_files)
{
    if (geteuid() != 0)
        return;
    char file[5000], host[5100];
    snprintf(file, sizeof file, "%s/file", folder);
    snprintf(host, sizeof host, "unix://%s", file);
    ck_assert_int_eq(file_write_atomic(file, "x", 1, 0600, NULL), 0);
    ck_assert_int_eq(bind_hosts(unix_host(), host), -ERR_ALREADY_EXISTS);
    ck_assert(file_exists(file));
    ck_assert(!file_exists(path));
    ck_assert_uint_eq(sockets.count, 0);
}
END_TEST

// Goal: an unknown group and a missing service manager are errors.
START_TEST(hosts_that_cannot_be)
{
    char *hosts[] = {(char *)(uintptr_t)unix_host()};
    ck_assert_int_eq(sockets_bind_hosts(&sockets, hosts, 1, "no-such-group", &err), -ERR_NOT_FOUND);
    ck_assert_int_eq(bind_hosts("fd://", NULL), -ERR_NOT_FOUND);
}
END_TEST

// Goal: states reach the service manager, also after the environment was cleared; without one
// nothing happens.
START_TEST(notify_reaches_the_service_manager)
{
    notify_send("READY=1");
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    str_format(addr.sun_path, sizeof addr.sun_path, "%s/notify", folder);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    setenv("NOTIFY_SOCKET", addr.sun_path, 1);
    notify_forget();
    ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
    notify_send("STOPPING=1");
    char got[64] = "";
    ck_assert_int_eq(recv(fd, got, sizeof got - 1, MSG_DONTWAIT), 10);
    ck_assert_str_eq(got, "STOPPING=1");
    close(fd);
}
END_TEST

// Goal: only variables meant for this process hand over sockets, and never too many.
START_TEST(notify_takes_only_its_own_sockets)
{
    char pid[32];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("LISTEN_FDS", "1", 1);
    setenv("LISTEN_PID", "1", 1);
    ck_assert_int_eq(notify_listen_fds(), 0);
    setenv("LISTEN_PID", pid, 1);
    ck_assert_int_eq(notify_listen_fds(), 1);
    setenv("LISTEN_FDS", "1000000", 1);
    ck_assert_int_eq(notify_listen_fds(), 0);
    notify_forget();
}
END_TEST

// Goal: our own file is written and removed; a stale or foreign one does not stop us, and a file
// that is not ours any more is left alone.
START_TEST(pidfile_is_ours)
{
    char file[5000];
    snprintf(file, sizeof file, "%s/run/skepd.pid", folder);
    ck_assert_int_eq(pidfile_take(file, &err), 0);
    pidfile_drop(file);
    ck_assert(!file_exists(file));
    // Process 1 lives and is no skepd.
    ck_assert_int_eq(file_write_atomic(file, "1\n", 2, 0644, NULL), 0);
    pidfile_drop(file);
    ck_assert(file_exists(file));
    ck_assert_int_eq(pidfile_take(file, &err), 0);
    ck_assert_int_eq(file_write_atomic(file, "junk", 4, 0644, NULL), 0);
    ck_assert_int_eq(pidfile_take(file, &err), 0);
    pidfile_drop(file);
    ck_assert(!file_exists(file));
}
END_TEST

Suite *suite_sockets_io(void)
{
    Suite *suite = suite_create("sockets_io");
    TCase *tcase = tcase_create("sockets");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, unix_socket_has_mode_and_goes);
    tcase_add_test(tcase, unix_socket_replaces_only_the_dead);
    tcase_add_test(tcase, unix_socket_respects_files);
    tcase_add_test(tcase, hosts_that_cannot_be);
    tcase_add_test(tcase, notify_reaches_the_service_manager);
    tcase_add_test(tcase, notify_takes_only_its_own_sockets);
    tcase_add_test(tcase, pidfile_is_ours);
    suite_add_tcase(suite, tcase);
    return suite;
}
