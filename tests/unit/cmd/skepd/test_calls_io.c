// The allow-lists of system calls are long enough for what the processes do, and no longer than
// security.md says (confine_self checks that).
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

#include "cmd/skepd/calls_io.h"
#include "proto/base/entropy_io.h"
#include "proto/base/file_io.h"
#include "proto/base/loop_io.h"
#include "proto/net/addr.h"
#include "proto/net/conn_io.h"
#include "proto/net/listener_io.h"
#include "raft/disk/logdb_io.h"
#include "tests/support/support.h"

Suite *suite_calls_io(void);

#define TEST_UID 61190

// The sanitizers make calls of their own, which no list should hold.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

// Runs `inside` in a child that is confined as the process with these calls is.
static void confined(const struct role_calls *calls, int (*inside)(void))
{
#ifdef SANITIZED
    (void)calls;
    (void)inside;
#else
    if (geteuid() != 0)
        return;
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", support_tmpdir());
    ck_assert_int_eq(chown(folder, TEST_UID, TEST_UID), 0);
    pid_t child = fork();
    if (child == 0) {
        struct confine_path own = {.path = ".", .writable = true};
        struct confine_spec spec = {
            .uid = TEST_UID,
            .gid = TEST_UID,
            .calls = calls->rows,
            .calls_count = calls->count,
            .paths = &own,
            .paths_count = 1,
        };
        struct confine_report report;
        struct err err = ERR_INIT;
        if (chdir(folder) || confine_self(&spec, &report, &err))
            _exit(100);
        _exit(inside());
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    support_tmpdir_remove(folder);
    ck_assert_msg(WIFEXITED(status), "ended by signal %d", WTERMSIG(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
#endif
}

static int say(const char *what, const struct err *err)
{
    char text[ERR_MESSAGE_BYTES + 64];
    int size = snprintf(text, sizeof text, "%s: %s\n", what, err->message);
    (void)!write(2, text, (size_t)size);
    return 1;
}

// ---- the manager's folder -----------------------------------------------------------------------

static int use_disk(void)
{
    struct err err = ERR_INIT;
    const struct seal_key key = {{1, 2, 3}};
    struct logdb *db;
    for (int i = 0; i < 2; i++) {
        if (logdb_open("raft", &key, NULL, &db, &err))
            return say("open the log", &err);
        struct raft_boot boot;
        if (logdb_boot(db, &boot, &err))
            return say("boot", &err);
        struct logdb_op op = {.key = "k", .key_size = 1, .value = "v", .value_size = 1};
        struct logdb_batch batch = {.ops = &op, .ops_count = 1, .applied = 1};
        if (logdb_commit(db, &batch, &err))
            return say("commit", &err);
        logdb_close(db);
    }
    struct buf text;
    buf_init(&text, 100);
    if (file_write_atomic("key", "secret", 6, 0600, &err) || file_read("key", &text, &err))
        return say("write a file", &err);
    buf_fini(&text);
    return file_remove("key", &err) ? say("remove a file", &err) : 0;
}

// Goal: Raft's log and whole files work under the manager's list.
START_TEST(manager_may_use_its_folder)
{
    confined(&calls_manager, use_disk);
}
END_TEST

// ---- serving ------------------------------------------------------------------------------------

static struct loop loop;
static struct loop_thread thread;
static struct loop_work work;
static struct loop_post post;
static struct listener *listener;
static int steps;

static void on_data(struct conn *conn, void *owner, const uint8_t *bytes, size_t size)
{
    (void)owner;
    (void)bytes;
    (void)size;
    steps++;
    conn_close(conn, NULL);
}

static void on_close(struct conn *conn, void *owner, const struct err *why)
{
    (void)conn;
    (void)owner;
    (void)why;
    steps++;
}

static void on_open(struct conn *conn, void *owner)
{
    (void)owner;
    conn_write(conn, "x", 1);
}

static const struct conn_handler server = {.on_data = on_data, .on_close = on_close};
static const struct conn_handler client = {
    .on_open = on_open, .on_data = on_data, .on_close = on_close};

static void on_accept(struct listener *from, struct conn *conn, void *owner)
{
    (void)from;
    conn_set_handler(conn, &server, owner);
}

static void on_work(struct loop_work *job)
{
    (void)job;
    char bytes[16];
    entropy_bytes(bytes, sizeof bytes);
}

static void on_work_done(struct loop_work *job)
{
    (void)job;
    steps++;
}

static void on_back(struct loop_post *back)
{
    (void)back;
    steps++;
}

static void on_thread(struct loop_post *there)
{
    loop_post(&loop, there, on_back);
}

// A connection's data and its two ends, a job, a post there and back.
static bool all_steps(void *ctx)
{
    (void)ctx;
    return steps == 5;
}

// Sockets are bound before, as the node process does.
static int listening_fd = -1;

static int use_loops(void)
{
    struct err err = ERR_INIT;
    loop_init(&loop);
    loop_thread_start(&thread, "serving");
    loop_post(&thread.loop, &post, on_thread);
    loop_work_start(&loop, &work, on_work, on_work_done);
    struct listener_options options = {.fd = listening_fd, .on_accept = on_accept};
    listener = listener_open(&loop, &options, &err);
    if (!listener)
        return say("listen", &err);
    struct conn_options dial = {0};
    conn_connect(&loop, listener_addr(listener), &dial, &client, NULL);
    if (!loop_run_until(&loop, all_steps, NULL, 30000)) {

        return 2;
    }
    loop_thread_stop(&thread);
    // A grace period, on liburcu's own thread.
    urcu_memb_register_thread();
    urcu_memb_barrier();
    urcu_memb_unregister_thread();
    return 0;
}

static void bind_loopback(void)
{
    struct sockaddr_storage any = {.ss_family = AF_INET};
    ((unsigned char *)&any)[4] = 127; // sin_addr, network order
    ((unsigned char *)&any)[7] = 1;
    listening_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(listening_fd, 0);
    ck_assert_int_eq(bind(listening_fd, (struct sockaddr *)&any, 16), 0);
}

// Goal: serving a bound socket, dialling, threads and jobs work under the manager's list.
START_TEST(manager_may_serve)
{
    bind_loopback();
    confined(&calls_manager, use_loops);
    close(listening_fd);
}
END_TEST

static int resolve(void)
{
    loop_init(&loop);
    loop_work_start(&loop, &work, on_work, on_work_done);
    steps = 4;
    if (!loop_run_until(&loop, all_steps, NULL, 30000))
        return 2;
    char bytes[4];
    struct sockaddr_storage from;
    socklen_t size = sizeof from;
    // The socket is not connected and has nothing to read: refused by the protocol, not the list.
    if (recvfrom(listening_fd, bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)&from,
                 &size) >= 0 ||
        errno == EPERM)
        return 3;
    return socket(AF_INET, SOCK_STREAM, 0) >= 0 ? 4 : 0;
}

// Goal: the resolver works on the sockets it is given, and makes none.
START_TEST(resolver_may_answer)
{
    bind_loopback();
    confined(&calls_resolver, resolve);
    close(listening_fd);
}
END_TEST

Suite *suite_calls_io(void)
{
    Suite *suite = suite_create("calls_io");
    TCase *tcase = tcase_create("calls");
    tcase_add_test(tcase, manager_may_use_its_folder);
    tcase_add_test(tcase, manager_may_serve);
    tcase_add_test(tcase, resolver_may_answer);
    suite_add_tcase(suite, tcase);
    return suite;
}
