// A server on a real TCP port with its default limits, and crowds without any credential before it:
// security.md's first table. The crowd is a process of its own, so that what is measured is the
// server's.
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <malloc.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/clock_io.h"
#include "proto/identity/rng_io.h"
#include "proto/net/admission.h"
#include "tests/support/pems.h"
#include "tests/unit/proto/rpc/rig.h"

#define CLOSED_WITHIN_MS 10000
// And what a machine with much else to do may add.
#define PATIENCE_MS   20000
#define LOOK_AGAIN_MS 10
#define CROWD_MAX     2000

// ---- the crowd, a child process -----------------------------------------------------------------

struct crowd {
    pid_t pid;
    int said; // its lines: "standing\n" once all are connected, "gone N\n" when the server closed N
};

struct crowd_plan {
    uint16_t port;
    const char *from;  // its address
    unsigned count;    // connections
    const char *bytes; // what each sends before it falls silent
    size_t size;
    struct tls_config *tls; // not NULL: each does a handshake first
};

// Drives one handshake over a blocking socket.
static void shake(int fd, struct tls_session *session)
{
    static uint8_t in[16384];
    ssize_t got = 0;
    do {
        if (tls_session_feed(session, in, (size_t)got, NULL) != 0)
            _exit(2);
        struct buf *out = tls_session_output(session);
        if (write(fd, out->data, out->len) != (ssize_t)out->len)
            _exit(3);
        buf_consume(out, out->len);
        if (tls_session_state(session) == TLS_OPEN)
            return;
        got = read(fd, in, sizeof in);
    } while (got > 0);
    _exit(4);
}

static int join_crowd(const struct crowd_plan *plan)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(plan->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    inet_pton(AF_INET, plan->from, &from.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof from) != 0 ||
        connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        _exit(5);
    if (plan->tls)
        shake(fd, tls_session_new(plan->tls, NULL, NULL));
    // A refused one may be closed already.
    if (plan->size > 0 && send(fd, plan->bytes, plan->size, MSG_NOSIGNAL) < 0 && errno != EPIPE &&
        errno != ECONNRESET)
        _exit(6);
    return fd;
}

// What the server says before it closes (SETTINGS, GOAWAY, alerts) is read and dropped.
static unsigned count_gone(struct pollfd *polls, unsigned count, int timeout_ms)
{
    char drop[4096];
    unsigned gone = 0;
    if (poll(polls, count, timeout_ms) < 0)
        _exit(7);
    for (unsigned i = 0; i < count; i++) {
        if (polls[i].fd < 0 || polls[i].revents == 0 || read(polls[i].fd, drop, sizeof drop) > 0)
            continue;
        close(polls[i].fd);
        polls[i].fd = -1;
        gone++;
    }
    return gone;
}

static void run_crowd(const struct crowd_plan *plan, FILE *said)
{
    static struct pollfd polls[CROWD_MAX];
    for (unsigned i = 0; i < plan->count; i++)
        polls[i] = (struct pollfd){.fd = join_crowd(plan), .events = POLLIN};
    fprintf(said, "standing\n");
    fflush(said);
    struct mono give_up = mono_add(mono_now(), 3 * PATIENCE_MS * NS_PER_MS);
    for (unsigned gone = 0; gone < plan->count && mono_before(mono_now(), give_up);) {
        unsigned more = count_gone(polls, plan->count, 100);
        gone += more;
        if (more > 0) {
            fprintf(said, "gone %u\n", gone);
            fflush(said);
        }
    }
    _exit(0);
}

static struct crowd crowd_start(const struct crowd_plan *plan)
{
    int fds[2];
    ck_assert_uint_le(plan->count, CROWD_MAX);
    ck_assert_int_eq(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        run_crowd(plan, fdopen(fds[1], "w"));
    close(fds[1]);
    return (struct crowd){.pid = pid, .said = fds[0]};
}

// What the crowd said last, and whether it is `wanted` (the beginning of a line).
struct waiting {
    struct crowd *crowd;
    char line[64];
    const char *wanted;
};

static bool has_said(void *ctx)
{
    struct waiting *waiting = ctx;
    char text[512];
    ssize_t got;
    while ((got = read(waiting->crowd->said, text, sizeof text - 1)) > 0) {
        text[got] = '\0';
        const char *found = strstr(text, waiting->wanted);
        if (found)
            snprintf(waiting->line, sizeof waiting->line, "%s", found);
    }
    return waiting->line[0] != '\0';
}

static void crowd_wait(struct crowd *crowd, struct rig *rig, const char *wanted, int64_t ms)
{
    struct waiting waiting = {.crowd = crowd, .wanted = wanted};
    // What the crowd says does not wake the loop.
    for (int64_t waited_ms = 0; waited_ms < ms; waited_ms += LOOK_AGAIN_MS)
        if (loop_run_until(&rig->loop, has_said, &waiting, LOOK_AGAIN_MS))
            return;
    ck_abort_msg("not heard: %s", wanted);
}

static void crowd_stop(struct crowd *crowd)
{
    int status;
    kill(crowd->pid, SIGKILL);
    ck_assert_int_eq(waitpid(crowd->pid, &status, 0), crowd->pid);
    if (WIFEXITED(status))
        ck_assert_int_eq(WEXITSTATUS(status), 0);
    close(crowd->said);
}

// ---- the server ---------------------------------------------------------------------------------

static struct tls_config *tls_of(bool server, bool certificate)
{
    return tls_config_new(
        &(struct tls_options){.server = server,
                              .verify = server ? TLS_VERIFY_IF_GIVEN : TLS_VERIFY_REQUIRED,
                              .alpn = TLS_ALPN_H2,
                              .chain_pem = server        ? pem_manager
                                           : certificate ? pem_worker
                                                         : NULL,
                              .key_pem = server        ? pem_manager_key
                                         : certificate ? pem_worker_key
                                                       : NULL,
                              .roots_pem = pem_ca,
                              .rng = &rng_kernel},
        NULL);
}

static void start(struct rig *rig)
{
    rig_start(rig, &(struct rig_options){.tcp = true,
                                         .server_tls = tls_of(true, true),
                                         .client_tls = tls_of(false, true),
                                         .server_name = "swarm-manager"});
}

static void stop(struct rig *rig)
{
    rig_stop(rig);
    tls_config_unref(rig->options.server_tls);
    tls_config_unref(rig->options.client_tls);
}

static void assert_served(struct rig *rig)
{
    struct rig_call *call = rig_call(rig, TEST_ECHO, RPC_UNARY, "hello", 5, PATIENCE_MS);
    rig_wait(rig, call);
    ck_assert_msg(call->status.err.code == ERR_OK, "%s", call->status.err.message);
    rig_call_free(call);
}

START_TEST(connection_flood_meets_the_address_cap_and_others_are_served)
{
    struct rig rig;
    start(&rig);
    // 500 more than one address may have are closed at once, long before any time limit.
    struct crowd crowd = crowd_start(&(struct crowd_plan){
        .port = rig.addr.port, .from = "127.0.0.2", .count = ADMISSION_PER_ADDRESS_DEFAULT + 500});
    crowd_wait(&crowd, &rig, "gone 500\n", CLOSED_WITHIN_MS / 2);
    assert_served(&rig);
    crowd_stop(&crowd);
    stop(&rig);
}
END_TEST

START_TEST(handshakes_never_finished_are_closed_within_ten_seconds)
{
    struct rig rig;
    start(&rig);
    static const char hello[] = "\x16\x03\x01\x01\x00"; // of 256 bytes, which never come
    struct crowd crowd = crowd_start(&(struct crowd_plan){.port = rig.addr.port,
                                                          .from = "127.0.0.2",
                                                          .count = 200,
                                                          .bytes = hello,
                                                          .size = sizeof hello - 1});
    crowd_wait(&crowd, &rig, "standing\n", PATIENCE_MS);
    assert_served(&rig);
    crowd_wait(&crowd, &rig, "gone 200\n", CLOSED_WITHIN_MS + PATIENCE_MS);
    assert_served(&rig);
    crowd_stop(&crowd);
    stop(&rig);
}
END_TEST

START_TEST(silent_tls_sessions_without_certificate_are_small_and_closed_within_ten_seconds)
{
    enum { SESSIONS = 50, SESSION_BYTES_MAX = 8 * 1024 };
    struct rig rig;
    start(&rig);
    assert_served(&rig); // what is made once is there
    size_t before = mallinfo2().uordblks;
    struct tls_config *tls = tls_of(false, false);
    struct crowd crowd = crowd_start(&(struct crowd_plan){
        .port = rig.addr.port, .from = "127.0.0.2", .count = SESSIONS, .tls = tls});
    crowd_wait(&crowd, &rig, "standing\n", PATIENCE_MS);
    struct rpc_server_stats stats;
    rpc_server_stats(rig.server, &stats);
    // Fewer where the first were closed before the last one stood: then there is less to count.
    ck_assert_uint_le(stats.connections, SESSIONS + 1);
    size_t now = mallinfo2().uordblks;
    size_t each = now > before ? (now - before) / SESSIONS : 0;
    ck_assert_msg(each <= SESSION_BYTES_MAX, "%zu bytes each", each);
    printf("%zu bytes per silent TLS session without certificate\n", each);
    assert_served(&rig);
    crowd_wait(&crowd, &rig, "gone 50\n", CLOSED_WITHIN_MS + PATIENCE_MS);
    assert_served(&rig);
    crowd_stop(&crowd);
    tls_config_unref(tls);
    stop(&rig);
}
END_TEST

Suite *suite_siege_io(void);
Suite *suite_siege_io(void)
{
    Suite *suite = suite_create("siege_io");
    TCase *tcase = tcase_create("siege");
    tcase_set_timeout(tcase, 110);
    tcase_add_test(tcase, connection_flood_meets_the_address_cap_and_others_are_served);
    tcase_add_test(tcase, handshakes_never_finished_are_closed_within_ten_seconds);
    tcase_add_test(tcase,
                   silent_tls_sessions_without_certificate_are_small_and_closed_within_ten_seconds);
    suite_add_tcase(suite, tcase);
    return suite;
}
