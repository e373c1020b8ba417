// Connections taken from a listening socket, as descriptors.
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/net/acceptor_io.h"

#define WAIT_MS   30000
#define TAKEN_MAX 40 // more than are taken in one wake-up

static struct loop loop;
static int taken[TAKEN_MAX];
static size_t taken_count;

static void take(void *owner, int fd)
{
    ck_assert_ptr_eq(owner, &taken);
    ck_assert_uint_lt(taken_count, TAKEN_MAX);
    taken[taken_count++] = fd;
}

static bool has_taken(void *ctx)
{
    return taken_count >= *(size_t *)ctx;
}

static int listening(struct sockaddr_in *at)
{
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof *at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)at, sizeof *at), 0);
    ck_assert_int_eq(listen(fd, 128), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)at, &size), 0);
    return fd;
}

static int connected(const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)to, sizeof *to), 0);
    return fd;
}

static void setup(void)
{
    loop_init(&loop);
    taken_count = 0;
}

static void teardown(void)
{
    for (size_t i = 0; i < taken_count; i++)
        close(taken[i]);
    loop_fini(&loop);
}

// Goal: each connection comes out once, as a descriptor that does not block and is not inherited.
START_TEST(acceptor_takes_each_connection)
{
    struct sockaddr_in at;
    struct err err = ERR_INIT;
    int clients[TAKEN_MAX];
    struct acceptor *acceptor = acceptor_open(&loop, listening(&at), take, &taken, &err);
    ck_assert_ptr_nonnull(acceptor);
    for (size_t i = 0; i < TAKEN_MAX; i++)
        clients[i] = connected(&at);
    size_t wanted = TAKEN_MAX;
    ck_assert(loop_run_until(&loop, has_taken, &wanted, WAIT_MS));
    for (size_t i = 0; i < TAKEN_MAX; i++) {
        ck_assert_int_ne(fcntl(taken[i], F_GETFL) & O_NONBLOCK, 0);
        ck_assert_int_ne(fcntl(taken[i], F_GETFD) & FD_CLOEXEC, 0);
        close(clients[i]);
    }
    acceptor_close(acceptor);
}
END_TEST

// Goal: a socket that does not listen is refused, and closed.
START_TEST(acceptor_refuses_what_does_not_listen)
{
    struct err err = ERR_INIT;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_ptr_null(acceptor_open(&loop, fd, take, &taken, &err));
    ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
    ck_assert_int_eq(errno, EBADF);
    acceptor_close(NULL);
}
END_TEST

static void files_at_most(rlim_t count)
{
    struct rlimit files;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = count < files.rlim_max ? count : files.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
}

static bool never(void *ctx)
{
    (void)ctx;
    return false;
}

// Goal: when descriptors have run out, who waits is taken as soon as there are some again.
START_TEST(acceptor_goes_on_when_descriptors_are_free_again)
{
    struct sockaddr_in at;
    struct err err = ERR_INIT;
    struct acceptor *acceptor = acceptor_open(&loop, listening(&at), take, &taken, &err);
    ck_assert_ptr_nonnull(acceptor);
    int client = connected(&at);
    struct rlimit files;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    files_at_most((rlim_t)client + 1);
    ck_assert(!loop_run_until(&loop, never, NULL, 10));
    ck_assert_uint_eq(taken_count, 0);
    files_at_most(files.rlim_cur);
    size_t wanted = 1;
    ck_assert(loop_run_until(&loop, has_taken, &wanted, WAIT_MS));
    acceptor_close(acceptor);
    close(client);
}
END_TEST

Suite *suite_acceptor_io(void);
Suite *suite_acceptor_io(void)
{
    Suite *suite = suite_create("acceptor_io");
    TCase *tcase = tcase_create("acceptor");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, acceptor_takes_each_connection);
    tcase_add_test(tcase, acceptor_refuses_what_does_not_listen);
    tcase_add_test(tcase, acceptor_goes_on_when_descriptors_are_free_again);
    suite_add_tcase(suite, tcase);
    return suite;
}
