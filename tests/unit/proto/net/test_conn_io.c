// Connections over real sockets, on one loop: an echo server and its clients.
#include <check.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/base/clock_io.h"
#include "proto/base/str.h"
#include "proto/identity/rng_io.h"
#include "proto/net/listener_io.h"
#include "tests/support/pems.h"
#include "tests/support/support.h"

#define WAIT_MS 30000

// What happened to one side of a connection.
struct side {
    struct conn *conn;
    struct buf seen;
    unsigned opens, ends, drains, closes;
    struct err why;
    bool echo;
    bool resumed;
};

static struct loop loop;
static struct listener *listener;
static struct side server; // the connection accepted last
static unsigned accepted;

static void on_open(struct conn *conn, void *owner)
{
    struct side *side = owner;
    side->conn = conn;
    side->opens++;
    side->resumed = conn_tls(conn) && tls_session_was_resumed(conn_tls(conn));
}

static void on_data(struct conn *conn, void *owner, const uint8_t *bytes, size_t size)
{
    struct side *side = owner;
    ck_assert_uint_eq(side->closes, 0);
    buf_put(&side->seen, bytes, size);
    if (side->echo)
        conn_write(conn, bytes, size);
}

static void on_end(struct conn *conn, void *owner)
{
    struct side *side = owner;
    side->ends++;
    conn_shutdown(conn);
}

static void on_drain(struct conn *conn, void *owner)
{
    (void)conn;
    ((struct side *)owner)->drains++;
}

static void on_close(struct conn *conn, void *owner, const struct err *why)
{
    (void)conn;
    struct side *side = owner;
    side->closes++;
    side->why = *why;
    side->conn = NULL;
}

static const struct conn_handler handler = {on_open, on_data, on_end, on_drain, on_close};

static void side_init(struct side *side)
{
    *side = (struct side){0};
    buf_init(&side->seen, 64 << 20);
}

static void on_accept(struct listener *from, struct conn *conn, void *owner)
{
    (void)from;
    (void)owner;
    accepted++;
    buf_fini(&server.seen);
    side_init(&server);
    server.echo = true;
    server.conn = conn;
    conn_set_handler(conn, &handler, &server);
}

static struct tls_config *server_tls(void)
{
    struct tls_options options = {.server = true,
                                  .verify = TLS_VERIFY_IF_GIVEN,
                                  .alpn = TLS_ALPN_H2,
                                  .chain_pem = pem_manager,
                                  .key_pem = pem_manager_key,
                                  .roots_pem = pem_ca,
                                  .tickets = true,
                                  .rng = &rng_kernel};
    return tls_config_new(&options, NULL);
}

static struct tls_config *client_tls(void)
{
    struct tls_options options = {.verify = TLS_VERIFY_REQUIRED,
                                  .alpn = TLS_ALPN_H2,
                                  .chain_pem = pem_worker,
                                  .key_pem = pem_worker_key,
                                  .roots_pem = pem_ca,
                                  .tickets = true,
                                  .rng = &rng_kernel};
    return tls_config_new(&options, NULL);
}

static void serve(const char *address, struct listener_options options)
{
    struct err err = ERR_INIT;
    side_init(&server);
    accepted = 0;
    loop_init(&loop);
    ck_assert_int_eq(addr_parse(address, 0, &options.addr, &err), 0);
    options.fd = -1;
    options.on_accept = on_accept;
    listener = listener_open(&loop, &options, &err);
    ck_assert_msg(listener != NULL, "%s", err.message);
}

static void stop(void)
{
    listener_close(listener, NULL);
    if (server.conn)
        conn_close(server.conn, NULL);
    buf_fini(&server.seen);
    loop_fini(&loop);
}

static void dial_to(struct side *side, const struct addr *addr, const struct conn_options *options)
{
    side_init(side);
    side->conn = conn_connect(&loop, addr, options, &handler, side);
    ck_assert_uint_eq(side->closes, 0); // never inside the call
}

static size_t wanted;

static bool is_open(void *ctx)
{
    return ((struct side *)ctx)->opens > 0 || ((struct side *)ctx)->closes > 0;
}
static bool is_closed(void *ctx)
{
    return ((struct side *)ctx)->closes > 0;
}
static bool has_seen(void *ctx)
{
    return ((struct side *)ctx)->seen.len >= wanted || ((struct side *)ctx)->closes > 0;
}

static void wait_for(bool (*done)(void *), struct side *side)
{
    ck_assert(loop_run_until(&loop, done, side, WAIT_MS));
}

static void assert_echo(struct side *side)
{
    wanted = side->seen.len + 5;
    conn_write(side->conn, "hello", 5);
    wait_for(has_seen, side);
    ck_assert_uint_eq(side->seen.len, wanted);
    ck_assert_mem_eq(side->seen.data + wanted - 5, "hello", 5);
}

static void say_goodbye(struct side *side)
{
    conn_shutdown(side->conn);
    wait_for(is_closed, side);
    ck_assert_int_eq(side->why.code, ERR_OK);
    ck_assert_uint_eq(side->closes, 1);
    wait_for(is_closed, &server);
    ck_assert_int_eq(server.why.code, ERR_OK);
    buf_fini(&side->seen);
}

START_TEST(plain_bytes_come_back_over_tcp)
{
    serve("127.0.0.1:0", (struct listener_options){0});
    struct side side;
    dial_to(&side, listener_addr(listener), &(struct conn_options){0});
    wait_for(is_open, &side);
    assert_echo(&side);
    char text[ADDR_TEXT_BYTES];
    struct addr peer = conn_peer(server.conn);
    ck_assert(str_starts(addr_format(&peer, text), "127.0.0.1:"));
    ck_assert_ptr_null(conn_tls(side.conn));
    say_goodbye(&side);
    stop();
}
END_TEST

START_TEST(bytes_come_back_over_a_unix_socket_that_replaces_a_stale_one)
{
    const char *dir = support_tmpdir();
    char path[200];
    snprintf(path, sizeof path, "%s/s.sock", dir);
    for (int round = 0; round < 2; round++) {
        serve(path, (struct listener_options){.mode = 0600});
        struct side side;
        dial_to(&side, listener_addr(listener), &(struct conn_options){0});
        wait_for(is_open, &side);
        assert_echo(&side);
        struct addr addr = *listener_addr(listener);
        struct listener_options again = {.addr = addr, .fd = -1, .on_accept = on_accept};
        struct err err = ERR_INIT;
        ck_assert_ptr_null(listener_open(&loop, &again, &err)); // somebody answers there
        ck_assert_int_eq(err.code, ERR_ALREADY_EXISTS);
        say_goodbye(&side);
        stop();
    }
    support_tmpdir_remove(dir);
}
END_TEST

START_TEST(tls_opens_echoes_and_is_resumed_the_second_time)
{
    struct tls_config *tls = server_tls(), *mine = client_tls();
    serve("127.0.0.1:0", (struct listener_options){.tls = tls});
    struct side side;
    for (int round = 0; round < 2; round++) {
        dial_to(&side, listener_addr(listener),
                &(struct conn_options){.tls = mine, .server_name = "swarm-manager"});
        wait_for(is_open, &side);
        ck_assert_uint_eq(side.opens, 1);
        ck_assert_int_eq(side.resumed, round > 0);
        assert_echo(&side);
        size_t size;
        bool verified;
        ck_assert_ptr_nonnull(tls_session_peer(conn_tls(server.conn), &size, &verified));
        ck_assert(verified);
        say_goodbye(&side);
    }
    stop();
    tls_config_unref(tls);
    tls_config_unref(mine);
}
END_TEST

// A renewed certificate serves new handshakes; the connection under the old one lives on.
START_TEST(tls_config_is_swapped_at_run_time)
{
    struct tls_config *old = server_tls(), *mine = client_tls();
    serve("127.0.0.1:0", (struct listener_options){.tls = old});
    tls_config_unref(old);
    struct side first, second;
    dial_to(&first, listener_addr(listener), &(struct conn_options){.tls = mine});
    wait_for(is_open, &first);
    struct tls_config *renewed = server_tls();
    listener_set_tls(listener, renewed);
    tls_config_unref(renewed);
    assert_echo(&first);
    conn_close(first.conn, NULL);
    wait_for(is_closed, &first);
    dial_to(&second, listener_addr(listener), &(struct conn_options){.tls = mine});
    wait_for(is_open, &second);
    ck_assert(!second.resumed); // its ticket was sealed by the old config
    assert_echo(&second);
    say_goodbye(&second);
    buf_fini(&first.seen);
    stop();
    tls_config_unref(mine);
}
END_TEST

START_TEST(failed_verification_is_told_as_such)
{
    struct tls_config *tls = server_tls(), *mine = client_tls();
    serve("127.0.0.1:0", (struct listener_options){.tls = tls});
    struct side side;
    dial_to(&side, listener_addr(listener),
            &(struct conn_options){.tls = mine, .server_name = "elsewhere"});
    wait_for(is_closed, &side);
    ck_assert_int_eq(side.why.code, ERR_UNAUTHENTICATED);
    ck_assert_uint_eq(side.opens, 0);
    stop();
    tls_config_unref(tls);
    tls_config_unref(mine);
}
END_TEST

START_TEST(refused_connect_and_unknown_name_close_with_unavailable)
{
    serve("127.0.0.1:0", (struct listener_options){0});
    struct addr addr;
    struct side side;
    ck_assert_int_eq(addr_parse("127.0.0.1:1", 0, &addr, NULL), 0);
    dial_to(&side, &addr, &(struct conn_options){0});
    wait_for(is_closed, &side);
    ck_assert_int_eq(side.why.code, ERR_UNAVAILABLE);
    ck_assert_int_eq(addr_parse("unix:///nonexistent/x.sock", 0, &addr, NULL), 0);
    dial_to(&side, &addr, &(struct conn_options){0});
    wait_for(is_closed, &side);
    ck_assert_int_eq(side.why.code, ERR_UNAVAILABLE);
    ck_assert_int_eq(addr_parse("host.invalid:1", 0, &addr, NULL), 0);
    dial_to(&side, &addr, &(struct conn_options){0});
    wait_for(is_closed, &side);
    ck_assert_int_eq(side.why.code, ERR_UNAVAILABLE);
    // Given up at once: no callback but on_close.
    dial_to(&side, &addr, &(struct conn_options){0});
    conn_close(side.conn, NULL);
    wait_for(is_closed, &side);
    ck_assert_int_eq(side.why.code, ERR_OK);
    stop();
}
END_TEST

START_TEST(a_name_is_looked_up)
{
    serve("127.0.0.1:0", (struct listener_options){0});
    char text[64];
    snprintf(text, sizeof text, "localhost:%u", listener_addr(listener)->port);
    struct addr addr;
    ck_assert_int_eq(addr_parse(text, 0, &addr, NULL), 0);
    struct side side;
    dial_to(&side, &addr, &(struct conn_options){0});
    wait_for(is_open, &side);
    ck_assert_uint_eq(side.opens, 1); // ::1 may have refused before
    assert_echo(&side);
    say_goodbye(&side);
    stop();
}
END_TEST

// Goal: a reader that pauses holds the writer back, and nothing is lost or reordered.
static void flow_control(struct tls_config *tls, struct tls_config *mine)
{
    serve("127.0.0.1:0", (struct listener_options){.tls = tls});
    struct side side;
    dial_to(&side, listener_addr(listener), &(struct conn_options){.tls = mine});
    wait_for(is_open, &side);
    assert_echo(&side);
    server.echo = false;
    conn_pause(server.conn);
    size_t before = server.seen.len, sent = 0;
    static uint8_t chunk[32 * 1024];
    // Fill both kernels' buffers until our own queue is full.
    struct mono give_up = mono_add(mono_now(), 2 * NS_PER_S);
    while (conn_room(side.conn) > 0 && mono_before(mono_now(), give_up)) {
        memset(chunk, (int)(sent / sizeof chunk), sizeof chunk);
        conn_write(side.conn, chunk, sizeof chunk);
        sent += sizeof chunk;
        uv_run(&loop.uv, UV_RUN_NOWAIT);
    }
    ck_assert_uint_eq(conn_room(side.conn), 0);
    ck_assert_uint_eq(side.drains, 0);
    ck_assert_uint_le(conn_queued(side.conn), CONN_QUEUE_HIGH_BYTES + 2 * sizeof chunk);
    size_t seen_paused = server.seen.len;
    ck_assert_uint_le(seen_paused - before, TLS_INPUT_BYTES_MAX);
    conn_resume(server.conn);
    wanted = before + sent;
    wait_for(has_seen, &server);
    ck_assert_uint_eq(server.seen.len, wanted);
    for (size_t i = 0; i < sent; i += 1000)
        ck_assert_uint_eq(server.seen.data[before + i], (uint8_t)(i / sizeof chunk));
    uv_run(&loop.uv, UV_RUN_NOWAIT);
    ck_assert_uint_eq(side.drains, 1);
    say_goodbye(&side);
    stop();
}

START_TEST(paused_reader_holds_the_writer_back)
{
    flow_control(NULL, NULL);
}
END_TEST

START_TEST(paused_reader_holds_the_writer_back_over_tls)
{
    struct tls_config *tls = server_tls(), *mine = client_tls();
    flow_control(tls, mine);
    tls_config_unref(tls);
    tls_config_unref(mine);
}
END_TEST

START_TEST(writer_that_ignores_the_queue_is_closed_at_the_limit)
{
    serve("127.0.0.1:0", (struct listener_options){0});
    struct side side;
    dial_to(&side, listener_addr(listener), &(struct conn_options){0});
    wait_for(is_open, &side);
    static uint8_t chunk[1 << 20];
    for (int i = 0; i < 16; i++)
        conn_write(side.conn, chunk, sizeof chunk);
    ck_assert_uint_eq(conn_queued(side.conn), CONN_QUEUE_BYTES_MAX);
    ck_assert(!conn_closing(side.conn));
    conn_write(side.conn, chunk, 1);
    ck_assert(conn_closing(side.conn));
    wait_for(is_closed, &side);
    ck_assert_int_eq(side.why.code, ERR_RESOURCE_EXHAUSTED);
    stop();
}
END_TEST

// docker attach closes its sending half and goes on reading.
START_TEST(half_close_lets_the_other_direction_finish)
{
    serve("127.0.0.1:0", (struct listener_options){0});
    struct side side;
    dial_to(&side, listener_addr(listener), &(struct conn_options){0});
    wait_for(is_open, &side);
    conn_write(side.conn, "last words", 10);
    conn_end(side.conn);
    wanted = 10;
    wait_for(has_seen, &side);
    wait_for(is_closed, &server); // it echoed, then shut down
    ck_assert_uint_eq(server.ends, 1);
    ck_assert_uint_eq(side.seen.len, 10);
    wait_for(is_closed, &side);
    buf_fini(&side.seen);
    stop();
}
END_TEST

// Goal: a peer that was sent away and goes on sending is cut off well before the time for farewells
// is over.
START_TEST(dismissed_peer_that_goes_on_is_cut_off)
{
    serve("127.0.0.1:0", (struct listener_options){0});
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(listener_addr(listener)->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    ck_assert_int_eq(send(fd, "hello", 5, MSG_NOSIGNAL), 5);
    wanted = 5;
    wait_for(has_seen, &server);
    conn_dismiss(server.conn);
    static const uint8_t chunk[CONN_DISMISS_BYTES / 2];
    for (int i = 0; i < 3; i++)
        ck_assert_int_gt(send(fd, chunk, sizeof chunk, MSG_DONTWAIT | MSG_NOSIGNAL), 0);
    wait_for(is_closed, &server);
    ck_assert_uint_eq(server.seen.len, 5);
    close(fd);
    stop();
}
END_TEST

START_TEST(deadlines_close_with_their_reason)
{
    serve("127.0.0.1:0", (struct listener_options){.idle_ms = 1000});
    struct side side;
    dial_to(&side, listener_addr(listener), &(struct conn_options){0});
    wait_for(is_open, &side);
    conn_set_deadline(side.conn, 30, "no answer came");
    wait_for(is_closed, &side);
    ck_assert_int_eq(side.why.code, ERR_DEADLINE_EXCEEDED);
    ck_assert_str_eq(side.why.message, "no answer came");
    dial_to(&side, listener_addr(listener), &(struct conn_options){0});
    wait_for(is_open, &side);
    assert_echo(&side);
    wait_for(is_closed, &server);
    ck_assert_int_eq(server.why.code, ERR_DEADLINE_EXCEEDED);
    ck_assert_str_eq(server.why.message, "idle for 1000 ms");
    wait_for(is_closed, &side);
    buf_fini(&side.seen);
    stop();
}
END_TEST

START_TEST(silent_and_endless_handshakes_are_closed_and_others_served)
{
    struct tls_config *tls = server_tls(), *mine = client_tls();
    serve("127.0.0.1:0", (struct listener_options){.tls = tls, .open_ms = 2000});
    struct side silent, endless, agent;
    dial_to(&silent, listener_addr(listener), &(struct conn_options){0});
    dial_to(&endless, listener_addr(listener), &(struct conn_options){0});
    wait_for(is_open, &endless);
    conn_write(endless.conn, "\x16\x03\x01\x01\x00", 5); // a hello of 256 bytes that never comes
    dial_to(&agent, listener_addr(listener), &(struct conn_options){.tls = mine});
    wait_for(is_open, &agent);
    assert_echo(&agent);
    wait_for(is_closed, &silent);
    wait_for(is_closed, &endless);
    assert_echo(&agent);
    ck_assert_uint_eq(accepted, 1);
    say_goodbye(&agent);
    stop();
    tls_config_unref(tls);
    tls_config_unref(mine);
}
END_TEST

START_TEST(addresses_meet_their_caps)
{
    struct admission_limits limits = {
        .total = 10, .per_address = 2, .handshakes_burst = 1, .handshakes_per_s = 1};
    struct gate *gate = gate_new(&limits);
    struct tls_config *tls = server_tls(), *mine = client_tls();
    serve("127.0.0.1:0", (struct listener_options){.gate = gate, .tls = tls});
    struct side first, second, third;
    dial_to(&first, listener_addr(listener), &(struct conn_options){.tls = mine});
    wait_for(is_open, &first);
    dial_to(&second, listener_addr(listener), &(struct conn_options){.tls = mine});
    wait_for(is_closed, &second); // a second handshake within the second
    ck_assert_int_eq(second.why.code, ERR_UNAVAILABLE);
    ck_assert_str_eq(second.why.message, "the peer ended TLS with alert 49"); // and is told so
    dial_to(&second, listener_addr(listener), &(struct conn_options){0});
    wait_for(is_open, &second);
    dial_to(&third, listener_addr(listener), &(struct conn_options){0});
    wait_for(is_closed, &third);
    ck_assert_uint_eq(gate_open(gate), 2);
    assert_echo(&first);
    conn_close(second.conn, NULL);
    wait_for(is_closed, &second);
    say_goodbye(&first);
    stop();
    ck_assert_uint_eq(gate_open(gate), 0);
    gate_unref(gate);
    tls_config_unref(tls);
    tls_config_unref(mine);
}
END_TEST

static void files_as_many_as_allowed(void)
{
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

// Another process, so that each has descriptors enough: connects `count` times and then says
// nothing until the test closes *hold.
static pid_t crowd_start(uint16_t port, unsigned count, int *hold)
{
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid > 0) {
        close(fds[0]);
        *hold = fds[1];
        return pid;
    }
    close(fds[1]);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (unsigned i = 0; i < count; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
            _exit(1);
    }
    char none;
    _exit(read(fds[0], &none, 1) == 0 ? 0 : 1);
}

static void crowd_stop(pid_t pid, int hold)
{
    int status;
    close(hold);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

// security.md: at most 1 KB for a silent TCP connection, ten thousand of them, others served.
START_TEST(ten_thousand_silent_connections_stay_small)
{
    enum { COUNT = 10000, BYTES_EACH_MAX = 1024 };
    files_as_many_as_allowed();
    struct admission_limits limits = admission_limits_default();
    limits.per_address = COUNT + 10;
    struct gate *gate = gate_new(&limits);
    struct tls_config *tls = server_tls(), *mine = client_tls();
    serve("127.0.0.1:0", (struct listener_options){.gate = gate, .tls = tls, .open_ms = 60000});
    size_t before = mallinfo2().uordblks;
    int hold;
    pid_t crowd = crowd_start(listener_addr(listener)->port, COUNT, &hold);
    struct mono give_up = mono_add(mono_now(), 3 * WAIT_MS * NS_PER_MS);
    while (gate_open(gate) < COUNT && mono_before(mono_now(), give_up))
        uv_run(&loop.uv, UV_RUN_NOWAIT);
    ck_assert_uint_eq(gate_open(gate), COUNT);
    size_t each = (mallinfo2().uordblks - before) / COUNT;
    ck_assert_msg(each <= BYTES_EACH_MAX, "%zu bytes each", each);
    struct side agent;
    dial_to(&agent, listener_addr(listener), &(struct conn_options){.tls = mine});
    wait_for(is_open, &agent);
    assert_echo(&agent);
    say_goodbye(&agent);
    crowd_stop(crowd, hold);
    give_up = mono_add(mono_now(), WAIT_MS * NS_PER_MS);
    while (gate_open(gate) > 0 && mono_before(mono_now(), give_up))
        uv_run(&loop.uv, UV_RUN_NOWAIT);
    ck_assert_uint_eq(gate_open(gate), 0);
    stop();
    gate_unref(gate);
    tls_config_unref(tls);
    tls_config_unref(mine);
}
END_TEST

START_TEST(adopted_descriptor_works_as_either_side)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    loop_init(&loop);
    struct tls_config *tls = server_tls(), *mine = client_tls();
    struct side client;
    side_init(&client);
    side_init(&server);
    server.echo = true;
    server.conn = conn_adopt(&loop, pair[0], true, &(struct conn_options){.tls = tls}, &handler,
                             &server, NULL);
    client.conn = conn_adopt(&loop, pair[1], false, &(struct conn_options){.tls = mine}, &handler,
                             &client, NULL);
    ck_assert_uint_eq(client.opens, 0);
    conn_write(client.conn, "early", 5); // waits for the handshake
    wanted = 5;
    wait_for(has_seen, &client);
    ck_assert_uint_eq(client.seen.len, 5);
    ck_assert_uint_eq(server.opens, 1);
    say_goodbye(&client);
    struct err err = ERR_INIT;
    FILE *plain = tmpfile();
    ck_assert_ptr_null(conn_adopt(&loop, dup(fileno(plain)), true, &(struct conn_options){0},
                                  &handler, &server, &err));
    ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
    fclose(plain);
    buf_fini(&server.seen);
    loop_fini(&loop);
    tls_config_unref(tls);
    tls_config_unref(mine);
}
END_TEST

Suite *suite_conn_io(void);
Suite *suite_conn_io(void)
{
    Suite *suite = suite_create("conn_io");
    TCase *tcase = tcase_create("sockets");
    tcase_set_timeout(tcase, 100);
    tcase_add_test(tcase, plain_bytes_come_back_over_tcp);
    tcase_add_test(tcase, bytes_come_back_over_a_unix_socket_that_replaces_a_stale_one);
    tcase_add_test(tcase, tls_opens_echoes_and_is_resumed_the_second_time);
    tcase_add_test(tcase, tls_config_is_swapped_at_run_time);
    tcase_add_test(tcase, failed_verification_is_told_as_such);
    tcase_add_test(tcase, refused_connect_and_unknown_name_close_with_unavailable);
    tcase_add_test(tcase, a_name_is_looked_up);
    tcase_add_test(tcase, paused_reader_holds_the_writer_back);
    tcase_add_test(tcase, paused_reader_holds_the_writer_back_over_tls);
    tcase_add_test(tcase, writer_that_ignores_the_queue_is_closed_at_the_limit);
    tcase_add_test(tcase, half_close_lets_the_other_direction_finish);
    tcase_add_test(tcase, dismissed_peer_that_goes_on_is_cut_off);
    tcase_add_test(tcase, deadlines_close_with_their_reason);
    tcase_add_test(tcase, silent_and_endless_handshakes_are_closed_and_others_served);
    tcase_add_test(tcase, addresses_meet_their_caps);
    tcase_add_test(tcase, ten_thousand_silent_connections_stay_small);
    tcase_add_test(tcase, adopted_descriptor_works_as_either_side);
    suite_add_tcase(suite, tcase);
    return suite;
}
