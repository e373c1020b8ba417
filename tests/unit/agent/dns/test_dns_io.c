// The DNS server on sockets of this process, with a name server that the test plays by hand.
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/dns/ask_io.h"
#include "agent/dns/dns_io.h"
#include "agent/dns/feed.h"
#include "proto/base/check.h"

static struct loop loop;
static struct dns_server *server;
static struct sockaddr_in udp_at, tcp_at; // the server's
static int client;                        // UDP, connected to it
static int upstream, upstream_tcp;        // the name server's
static uint16_t upstream_port;
static uint8_t got[DNS_MESSAGE_BYTES];

// ---- sockets ------------------------------------------------------------------------------------

static int make_socket(int type)
{
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    return fd;
}

// At a port of the kernel's choice, or at `port`: -1 when somebody else has it.
static int bound_socket(int type, uint16_t port, struct sockaddr_in *at)
{
    int fd = make_socket(type);
    socklen_t size = sizeof *at;
    *at = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (port && bind(fd, (struct sockaddr *)at, size)) {
        close(fd);
        return -1;
    }
    if (!port)
        ck_assert_int_eq(bind(fd, (struct sockaddr *)at, size), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)at, &size), 0);
    if (type == SOCK_STREAM)
        ck_assert_int_eq(listen(fd, 16), 0);
    return fd;
}

static void turn(void)
{
    uv_run(&loop.uv, UV_RUN_NOWAIT);
}

static bool never(void *ctx)
{
    (void)ctx;
    return false;
}

// Runs the server until the descriptor is readable.
static void until_readable(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    for (int i = 0; i < 60000; i++) {
        turn();
        if (poll(&entry, 1, 1) > 0)
            return;
    }
    ck_abort_msg("nothing came");
}

// ---- the feed -----------------------------------------------------------------------------------

static int tell_fds(const struct feed_message *message, int *fds, size_t fds_count)
{
    struct buf payload;
    buf_init(&payload, FEED_MESSAGE_BYTES_MAX);
    feed_pack(&payload, message);
    struct channel_message packet = {
        .type = (uint16_t)message->type,
        .payload = payload.data,
        .payload_bytes = payload.len,
        .fds = fds,
        .fds_count = fds_count,
    };
    int result = dns_server_take(server, &packet, NULL);
    buf_fini(&payload);
    return result;
}

static void tell(const struct feed_message *message)
{
    ck_assert_int_eq(tell_fds(message, NULL, 0), 0);
}

static void tell_ask(const char *sandbox, int type, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int fd = make_socket(type);
        ck_assert_int_eq(tell_fds(&(struct feed_message){.type = FEED_SOCKETS,
                                                         .sandbox.id = sandbox,
                                                         .sockets = FEED_SOCKETS_ASK},
                                  &fd, 1),
                         0);
        ck_assert_int_eq(fd, -1);
    }
}

static void tell_sandbox(uint16_t first_port, uint16_t second_port)
{
    const char *const networks[] = {"n1"};
    struct feed_message message = {
        .type = FEED_SANDBOX_PUT,
        .sandbox = {.id = "s1",
                    .networks = networks,
                    .networks_count = 1,
                    .servers = {{{4, {127, 0, 0, 1}}, first_port, false},
                                {{4, {127, 0, 0, 1}}, second_port, false}},
                    .servers_count = second_port ? 2 : 1}};
    tell(&message);
}

static void setup(void)
{
    struct sockaddr_in at;
    loop_init(&loop);
    server = dns_server_open(&loop, 1);
    do {
        upstream = bound_socket(SOCK_DGRAM, 0, &at);
        upstream_port = ntohs(at.sin_port);
        upstream_tcp = bound_socket(SOCK_STREAM, upstream_port, &at);
        if (upstream_tcp < 0)
            close(upstream); // another test has the same port over TCP
    } while (upstream_tcp < 0);
    tell(&(struct feed_message){.type = FEED_NETWORK_PUT, .network = "n1", .name = "front"});
    tell(&(struct feed_message){
        .type = FEED_RECORD_PUT,
        .network = "n1",
        .record = {.endpoint = "e1", .name = "web", .ips = {{4, {10, 0, 0, 1}}}}});
    tell_sandbox(upstream_port, 0);
    int fds[] = {bound_socket(SOCK_DGRAM, 0, &udp_at), bound_socket(SOCK_STREAM, 0, &tcp_at)};
    ck_assert_int_eq(tell_fds(&(struct feed_message){.type = FEED_SOCKETS,
                                                     .sandbox.id = "s1",
                                                     .sockets = FEED_SOCKETS_ANSWER},
                              fds, 2),
                     0);
    tell_ask("", SOCK_DGRAM, 8);
    tell_ask("", SOCK_STREAM, 2);
    client = make_socket(SOCK_DGRAM);
    ck_assert_int_eq(connect(client, (struct sockaddr *)&udp_at, sizeof udp_at), 0);
}

static void teardown(void)
{
    dns_server_close(server);
    loop_fini(&loop);
    close(client);
    close(upstream);
    close(upstream_tcp);
}

// ---- questions ----------------------------------------------------------------------------------

static size_t question(uint16_t id, const char *text, uint16_t edns_bytes, uint8_t out[512])
{
    struct buf buf;
    struct dns_name name;
    ck_assert_int_eq(dns_name_parse(text, &name, NULL), 0);
    buf_init(&buf, 512);
    const uint16_t header[] = {id, 0x0100, 1, 0, 0, edns_bytes ? 1 : 0};
    for (size_t i = 0; i < COUNT_OF(header); i++)
        buf_put_u16be(&buf, header[i]);
    buf_put(&buf, name.wire, name.size);
    buf_put_u32be(&buf, (uint32_t)DNS_TYPE_A << 16 | DNS_CLASS_IN);
    if (edns_bytes) {
        buf_put_u8(&buf, 0);
        buf_put_u16be(&buf, DNS_TYPE_OPT);
        buf_put_u16be(&buf, edns_bytes);
        buf_put_u32be(&buf, 0);
        buf_put_u16be(&buf, 0);
    }
    size_t size = buf.len;
    memcpy(out, buf.data, size);
    buf_fini(&buf);
    return size;
}

static void ask_edns(uint16_t id, const char *text, uint16_t edns_bytes)
{
    uint8_t bytes[512];
    size_t size = question(id, text, edns_bytes, bytes);
    ck_assert_int_eq(send(client, bytes, size, 0), (ssize_t)size);
}

static void ask(uint16_t id, const char *text)
{
    ask_edns(id, text, 0);
}

// The reply to the client, which is to that question.
static struct dns_msg reply(uint16_t id)
{
    struct dns_msg msg;
    until_readable(client);
    ssize_t size = recv(client, got, sizeof got, 0);
    ck_assert_int_gt(size, 0);
    ck_assert_int_eq(dns_msg_parse(got, (size_t)size, &msg, NULL), 0);
    ck_assert(msg.response);
    ck_assert_uint_eq(msg.id, id);
    return msg;
}

// What the name server was asked; the reply goes out with `flags` in place of the question's, and
// with one byte of an answer's address when `last` is not 0.
static struct sockaddr_in asker;
static size_t asked_bytes;

static void be_asked(void)
{
    socklen_t size = sizeof asker;
    until_readable(upstream);
    ssize_t bytes = recvfrom(upstream, got, sizeof got, 0, (struct sockaddr *)&asker, &size);
    ck_assert_int_gt(bytes, 0);
    asked_bytes = (size_t)bytes;
}

static size_t make_answer(uint16_t flags, uint8_t last)
{
    got[2] = (uint8_t)(flags >> 8);
    got[3] = (uint8_t)flags;
    got[6] = 0;
    got[7] = last ? 1 : 0;
    got[10] = got[11] = 0;
    size_t size = DNS_HEADER_BYTES;
    while (got[size])
        size += 1u + got[size];
    size += 5;
    if (last) {
        const uint8_t record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, last};
        memcpy(got + size, record, sizeof record);
        size += sizeof record;
    }
    return size;
}

static void answer(uint16_t flags, uint8_t last)
{
    size_t size = make_answer(flags, last);
    ck_assert_int_eq(sendto(upstream, got, size, 0, (struct sockaddr *)&asker, sizeof asker),
                     (ssize_t)size);
}

#define FLAGS_OK       0x8180
#define FLAGS_CUT      0x8380
#define FLAGS_SERVFAIL 0x8182

START_TEST(names_are_answered_without_asking)
{
    ask(7, "web.front");
    struct dns_msg msg = reply(7);
    ck_assert_uint_eq(msg.answers_count, 1);
    ck_assert_uint_eq(dns_server_counters(server)->answered, 1);
    ck_assert_uint_eq(dns_server_counters(server)->forwarded, 0);
}
END_TEST

START_TEST(a_name_server_is_asked_under_another_id)
{
    ask(7, "www.example");
    be_asked();
    answer(FLAGS_OK, 5);
    struct dns_msg msg = reply(7);
    ck_assert_uint_eq(msg.answers_count, 1);
    // The next one comes from another port.
    struct sockaddr_in before = asker;
    ask(8, "www.example");
    be_asked();
    ck_assert_uint_ne(before.sin_port, asker.sin_port);
    answer(FLAGS_OK, 5);
    reply(8);
}
END_TEST

START_TEST(forged_answers_are_not_taken)
{
    ask(7, "www.example");
    be_asked();
    uint8_t low = got[1];
    got[1] = (uint8_t)(low + 1); // another ID
    answer(FLAGS_OK, 66);
    got[1] = low;
    got[13]++; // another name
    answer(FLAGS_OK, 66);
    got[13]--;
    // From another port.
    struct sockaddr_in at;
    int other = bound_socket(SOCK_DGRAM, 0, &at);
    size_t size = make_answer(FLAGS_OK, 66);
    sendto(other, got, size, 0, (struct sockaddr *)&asker, sizeof asker);
    close(other);
    for (int i = 0; i < 20; i++)
        turn();
    answer(FLAGS_OK, 5);
    reply(7);
    ck_assert_uint_eq(got[make_answer(FLAGS_OK, 0) + 15], 5);
}
END_TEST

// So many wrong answers are a guess under way: another port, another server.
START_TEST(many_forgeries_end_the_question_to_that_server)
{
    ask(7, "www.example");
    be_asked();
    got[1]++;
    for (int i = 0; i < ASK_FORGED_MAX; i++)
        answer(FLAGS_OK, 66);
    struct dns_msg msg = reply(7);
    ck_assert_uint_eq(msg.rcode, DNS_RCODE_SERVFAIL);
}
END_TEST

START_TEST(the_next_server_is_asked)
{
    struct sockaddr_in at;
    int nobody = bound_socket(SOCK_DGRAM, 0, &at);
    close(nobody); // refused at once
    tell_sandbox(ntohs(at.sin_port), upstream_port);
    ask(7, "www.example");
    be_asked();
    answer(FLAGS_OK, 5);
    ck_assert_uint_eq(reply(7).rcode, DNS_RCODE_NOERROR);
    tell_sandbox(upstream_port, upstream_port);
    ask(8, "www.example");
    be_asked();
    answer(FLAGS_SERVFAIL, 0);
    be_asked();
    answer(FLAGS_SERVFAIL, 0);
    ck_assert_uint_eq(reply(8).rcode, DNS_RCODE_SERVFAIL);
    ck_assert_uint_eq(dns_server_counters(server)->failed, 1);
}
END_TEST

static int accept_upstream(void)
{
    until_readable(upstream_tcp);
    int fd = accept4(upstream_tcp, NULL, NULL, SOCK_NONBLOCK);
    ck_assert_int_ge(fd, 0);
    return fd;
}

static void answer_tcp(int fd, uint8_t last)
{
    until_readable(fd);
    ck_assert_int_gt(recv(fd, got, 2, 0), 0);
    until_readable(fd);
    ck_assert_int_gt(recv(fd, got, sizeof got, 0), 0);
    size_t size = make_answer(FLAGS_OK, last);
    const uint8_t length[] = {(uint8_t)(size >> 8), (uint8_t)size};
    send(fd, length, 2, 0);
    turn();
    send(fd, got, size, 0);
}

START_TEST(a_cut_answer_is_asked_for_over_tcp)
{
    ask_edns(7, "www.example", 4096);
    be_asked();
    answer(FLAGS_CUT, 0);
    int fd = accept_upstream();
    answer_tcp(fd, 9);
    struct dns_msg msg = reply(7);
    ck_assert(!msg.truncated);
    ck_assert_uint_eq(msg.answers_count, 1);
    close(fd);
    // Who takes no more than 512 bytes hears that it was cut, and comes again over TCP.
    ask(8, "www.example");
    be_asked();
    answer(FLAGS_CUT, 0);
    ck_assert(reply(8).truncated);
}
END_TEST

START_TEST(a_server_without_tcp_leaves_the_cut_answer)
{
    close(upstream_tcp);
    upstream_tcp = -1;
    ask_edns(7, "www.example", 4096);
    be_asked();
    answer(FLAGS_CUT, 0);
    ck_assert(reply(7).truncated);
}
END_TEST

// More questions than sockets: all are asked, in turn.
START_TEST(questions_wait_for_sockets)
{
    enum { MANY = 40 };
    for (uint16_t i = 0; i < MANY; i++)
        ask(i, "www.example");
    for (int i = 0; i < MANY; i++) {
        be_asked();
        answer(FLAGS_OK, 5);
    }
    for (int i = 0; i < MANY; i++) {
        until_readable(client);
        ck_assert_int_gt(recv(client, got, sizeof got, 0), 0);
    }
    ck_assert_uint_eq(dns_server_counters(server)->forwarded, MANY);
    ck_assert_uint_eq(dns_server_counters(server)->failed, 0);
}
END_TEST

START_TEST(too_many_questions_are_refused)
{
    for (unsigned i = 0; i < DNS_PENDING_MAX + 40; i++) {
        ask((uint16_t)i, "www.example");
        if (i % 16 == 0)
            turn();
    }
    for (int i = 0; i < 50; i++)
        turn();
    ck_assert_uint_eq(dns_server_counters(server)->forwarded, DNS_PENDING_MAX);
    ck_assert_uint_eq(dns_server_counters(server)->refused, 40);
    ck_assert_uint_eq(reply(DNS_PENDING_MAX).rcode, DNS_RCODE_REFUSED);
}
END_TEST

// With questions on their way in it, and others waiting.
START_TEST(a_sandbox_can_go_at_any_time)
{
    for (uint16_t i = 0; i < 40; i++)
        ask(i, "www.example");
    be_asked();
    tell(&(struct feed_message){.type = FEED_SANDBOX_REMOVE, .sandbox.id = "s1"});
    answer(FLAGS_OK, 5);
    loop_run_until(&loop, never, NULL, 20);
    ck_assert_int_eq(recv(client, got, sizeof got, 0), -1);
}
END_TEST

static int connect_tcp(void)
{
    int fd = make_socket(SOCK_STREAM);
    connect(fd, (struct sockaddr *)&tcp_at, sizeof tcp_at);
    turn();
    return fd;
}

static void ask_tcp(int fd, uint16_t id, const char *text)
{
    uint8_t bytes[514];
    size_t size = question(id, text, 0, bytes + 2);
    bytes[0] = (uint8_t)(size >> 8);
    bytes[1] = (uint8_t)size;
    ck_assert_int_eq(send(fd, bytes, size + 2, 0), (ssize_t)size + 2);
}

START_TEST(several_questions_share_a_connection)
{
    int fd = connect_tcp();
    ask_tcp(fd, 1, "web");
    ask_tcp(fd, 2, "www.example");
    int asked = accept_upstream();
    answer_tcp(asked, 5);
    for (int i = 0; i < 2; i++) {
        until_readable(fd);
        ck_assert_int_eq(recv(fd, got, 2, 0), 2);
        size_t size = (size_t)got[0] << 8 | got[1];
        until_readable(fd);
        ck_assert_int_eq(recv(fd, got, size, 0), (ssize_t)size);
        ck_assert_uint_eq(got[1], i + 1);
    }
    close(asked);
    // Gone in the middle of a question that waits.
    ask_tcp(fd, 3, "www.example");
    asked = accept_upstream();
    close(fd);
    loop_run_until(&loop, never, NULL, 20);
    close(asked);
}
END_TEST

START_TEST(the_longest_silent_connection_makes_room)
{
    int fds[DNS_CONNECTIONS_MAX + 1];
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        fds[i] = connect_tcp();
        if (i == 0)
            loop_run_until(&loop, never, NULL, 5);
    }
    until_readable(fds[0]);
    ck_assert_int_eq(recv(fds[0], got, sizeof got, 0), 0);
    ask_tcp(fds[DNS_CONNECTIONS_MAX], 1, "web");
    until_readable(fds[DNS_CONNECTIONS_MAX]);
    for (size_t i = 0; i < COUNT_OF(fds); i++)
        close(fds[i]);
}
END_TEST

START_TEST(odd_descriptors_are_refused_and_closed)
{
    int fd = open("/dev/null", O_RDONLY), number = fd;
    const struct feed_message message = {
        .type = FEED_SOCKETS, .sandbox.id = "", .sockets = FEED_SOCKETS_ASK};
    ck_assert_int_eq(tell_fds(&message, &fd, 1), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(fcntl(number, F_GETFD), -1);
    ck_assert_int_eq(errno, EBADF);
}
END_TEST

Suite *suite_dns_io(void);

Suite *suite_dns_io(void)
{
    Suite *suite = suite_create("dns_io");
    TCase *tcase = tcase_create("dns_io");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, names_are_answered_without_asking);
    tcase_add_test(tcase, a_name_server_is_asked_under_another_id);
    tcase_add_test(tcase, forged_answers_are_not_taken);
    tcase_add_test(tcase, many_forgeries_end_the_question_to_that_server);
    tcase_add_test(tcase, the_next_server_is_asked);
    tcase_add_test(tcase, a_cut_answer_is_asked_for_over_tcp);
    tcase_add_test(tcase, a_server_without_tcp_leaves_the_cut_answer);
    tcase_add_test(tcase, questions_wait_for_sockets);
    tcase_add_test(tcase, too_many_questions_are_refused);
    tcase_add_test(tcase, a_sandbox_can_go_at_any_time);
    tcase_add_test(tcase, several_questions_share_a_connection);
    tcase_add_test(tcase, the_longest_silent_connection_makes_room);
    tcase_add_test(tcase, odd_descriptors_are_refused_and_closed);
    suite_add_tcase(suite, tcase);
    return suite;
}
