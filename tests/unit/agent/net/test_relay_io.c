// Ports relayed from [::1] to 127.0.0.1, in a namespace of the test's own. The node process's half
// (relays_io) tells the relay's half over a real channel.
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/net/hold_io.h"
#include "agent/net/relay_io.h"
#include "agent/net/relays_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "tests/unit/agent/net/spaces.h"

#define PORT  7900
#define OTHER 7901
#define WAIT  60000
#define STEP  5
#define MUCH  (1u << 20)

static struct loop loop;
static struct relays *relays;
static struct relay *relay;
static struct channel *node_side, *relay_side;
static unsigned wanted;

static void on_node_message(void *owner, const struct channel_message *message)
{
    (void)owner;
    ck_abort_msg("a message of type %u", message->type);
}

static void on_relay_message(void *owner, const struct channel_message *message)
{
    struct err err = ERR_INIT;
    (void)owner;
    ck_assert_msg(relay_take(relay, message, &err) == 0, "%s", err.message);
}

static void on_channel_closed(void *owner, const struct err *why)
{
    (void)owner;
    (void)why;
}

static void on_wanted(void *owner)
{
    static const struct channel_rule rules[] = {RELAY_ROWS_FROM_NODE};
    static const struct channel_rules none = {NULL, 0}, ours = {rules, COUNT_OF(rules)};
    static const struct channel_handler node_handler = {on_node_message, on_channel_closed};
    static const struct channel_handler relay_handler = {on_relay_message, on_channel_closed};
    struct err err = ERR_INIT;
    int fds[2];
    (void)owner;
    wanted++;
    ck_assert_int_eq(channel_pair(fds, &err), 0);
    ck_assert_int_eq(channel_open(&loop, fds[0], &none, &node_handler, NULL, &node_side, &err), 0);
    ck_assert_int_eq(channel_open(&loop, fds[1], &ours, &relay_handler, NULL, &relay_side, &err),
                     0);
    relay = relay_open(&loop);
    relays_attach(relays, node_side);
}

// False on a machine without namespaces or without IPv6.
static bool begin(void)
{
    struct err err = ERR_INIT;
    if (!spaces_begin())
        return false;
    struct netlink *own = spaces_netlink(NETLINK_NETNS_OWN);
    ck_assert_int_eq(netlink_link_up(own, "lo", true, &err), 0);
    netlink_close(own);
    const struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool six = fd >= 0 && bind(fd, (const struct sockaddr *)&at, sizeof at) == 0;
    if (fd >= 0)
        close(fd);
    if (!six) {
        spaces_end();
        return false;
    }
    loop_init(&loop);
    relays = relays_open(&loop);
    relays_on_wanted(relays, on_wanted, NULL);
    wanted = 0;
    return true;
}

static void process_ends(void)
{
    relays_detach(relays);
    relay_close(relay);
    channel_close(relay_side);
    channel_close(node_side);
    relay = NULL;
}

static void end(void)
{
    if (relay)
        process_ends();
    relays_close(relays);
    loop_fini(&loop);
    spaces_end();
}

// What comes to the test's own sockets does not wake the loop.
static void await(bool (*done)(void *ctx), void *ctx)
{
    for (int i = 0; i < WAIT / STEP; i++)
        if (loop_run_until(&loop, done, ctx, STEP))
            return;
    ck_abort_msg("it does not come");
}

static bool are_ports(void *ctx)
{
    return relay && relay_counts(relay).ports_now == *(uint64_t *)ctx;
}

static void await_ports(uint64_t count)
{
    await(are_ports, &count);
}

static void want(const struct relay_port *ports, size_t count)
{
    relays_want(relays, RELAYS_MESH, ports, NULL, count);
}

// ---- sockets ------------------------------------------------------------------------------------

static int serve(int type, uint16_t port)
{
    const struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
    if (type == SOCK_STREAM)
        ck_assert_int_eq(listen(fd, 16), 0);
    return fd;
}

// The kernel takes the connection, whoever serves it.
static int dial(int type, uint16_t port)
{
    const struct sockaddr_in6 to = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback};
    int fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    if (connect(fd, (const struct sockaddr *)&to, sizeof to)) {
        close(fd);
        return -errno;
    }
    return fd;
}

struct accepting {
    int fd, got;
};

static bool is_accepted(void *ctx)
{
    struct accepting *accepting = ctx;
    accepting->got = accept4(accepting->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return accepting->got >= 0;
}

static int await_accept(int fd)
{
    struct accepting accepting = {.fd = fd};
    await(is_accepted, &accepting);
    return accepting.got;
}

struct talk {
    int from, to;
    size_t sent, got, want;
    bool ended;
    int error;
};

static uint8_t byte_at(size_t at)
{
    return (uint8_t)(at * 7 + at / 251);
}

// Sends and takes what there is room for; the bytes are those of byte_at.
static bool is_passed(void *ctx)
{
    struct talk *talk = ctx;
    static uint8_t bytes[64 << 10];
    size_t more = talk->want - talk->sent < sizeof bytes ? talk->want - talk->sent : sizeof bytes;
    for (size_t i = 0; i < more; i++)
        bytes[i] = byte_at(talk->sent + i);
    ssize_t sent = more ? send(talk->from, bytes, more, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    if (sent > 0)
        talk->sent += (size_t)sent;
    ssize_t got = recv(talk->to, bytes, sizeof bytes, MSG_DONTWAIT);
    for (ssize_t i = 0; i < got; i++)
        ck_assert_uint_eq(bytes[i], byte_at(talk->got + (size_t)i));
    if (got > 0)
        talk->got += (size_t)got;
    return talk->got == talk->want;
}

static void pass(int from, int to, size_t size)
{
    struct talk talk = {.from = from, .to = to, .want = size};
    await(is_passed, &talk);
}

static bool is_ended(void *ctx)
{
    struct talk *talk = ctx;
    char byte;
    ssize_t got = recv(talk->to, &byte, 1, MSG_DONTWAIT);
    talk->error = got < 0 ? errno : 0;
    return got == 0 || (got < 0 && errno != EAGAIN);
}

// How the connection ends: 0 or what went wrong.
static int await_end(int fd)
{
    struct talk talk = {.to = fd};
    await(is_ended, &talk);
    return talk.error;
}

static bool is_idle(void *ctx)
{
    (void)ctx;
    return relay_counts(relay).conns_now == 0;
}

// ---- tests --------------------------------------------------------------------------------------

// Goal: what one side sends comes to the other, much at a time too; each may end its half.
START_TEST(connections_are_passed_on)
{
    static const struct relay_port port = {.protocol = RELAY_TCP, .port = PORT};
    if (!begin())
        return;
    int listening = serve(SOCK_STREAM, PORT);
    want(&port, 1);
    await_ports(1);
    ck_assert_uint_eq(wanted, 1);
    int client = dial(SOCK_STREAM, PORT);
    ck_assert_int_ge(client, 0);
    int server = await_accept(listening);
    pass(client, server, 5);
    pass(server, client, MUCH);
    pass(client, server, MUCH);
    ck_assert_int_eq(shutdown(client, SHUT_WR), 0);
    ck_assert_int_eq(await_end(server), 0);
    pass(server, client, 5);
    close(server);
    ck_assert_int_eq(await_end(client), 0);
    await(is_idle, NULL);
    ck_assert_uint_eq(relay_counts(relay).conns, 1);
    ck_assert_uint_eq(relay_counts(relay).conns_failed, 0);
    close(client);
    close(listening);
    end();
}
END_TEST

// Goal: a port of one address is served on the socket that its holder has, and leads to the
// container itself; the port is nobody else's, nor that of all addresses.
START_TEST(a_port_of_one_address_leads_to_the_container)
{
    const struct relay_port port = {.protocol = RELAY_TCP,
                                    .port = PORT,
                                    .at = {[15] = 1},
                                    .inner = INADDR_LOOPBACK,
                                    .inner_port = OTHER};
    static const uint8_t any[16];
    struct err err = ERR_INIT;
    uint16_t number = PORT;
    if (!begin())
        return;
    int held = hold_open6(RELAY_TCP, port.at, &number, &err);
    ck_assert_msg(held >= 0, "%s", err.message);
    ck_assert_int_eq(hold_open6(RELAY_TCP, port.at, &number, &err), -ERR_ALREADY_EXISTS);
    ck_assert_int_eq(hold_open6(RELAY_TCP, any, &number, &err), -ERR_ALREADY_EXISTS);
    int listening = serve(SOCK_STREAM, OTHER);
    relays_want(relays, RELAYS_HOST, &port, &held, 1);
    await_ports(1);
    close(held); // the relay has its own
    int client = dial(SOCK_STREAM, PORT);
    ck_assert_int_ge(client, 0);
    int server = await_accept(listening);
    pass(client, server, 5);
    pass(server, client, MUCH);
    close(server);
    ck_assert_int_eq(await_end(client), 0);
    close(client);
    relays_want(relays, RELAYS_HOST, NULL, NULL, 0);
    await_ports(0);
    number = PORT;
    held = hold_open6(RELAY_TCP, any, &number, &err);
    ck_assert_msg(held >= 0, "%s", err.message);
    close(held);
    close(listening);
    end();
}
END_TEST

// Goal: where no task takes it the client is told at once, as over IPv4; a reset is passed on.
START_TEST(a_connection_that_nobody_takes_is_reset)
{
    static const struct relay_port port = {.protocol = RELAY_TCP, .port = PORT};
    const struct linger now = {.l_onoff = 1};
    if (!begin())
        return;
    want(&port, 1);
    await_ports(1);
    int client = dial(SOCK_STREAM, PORT);
    ck_assert_int_ge(client, 0);
    ck_assert_int_eq(await_end(client), ECONNRESET);
    close(client);
    ck_assert_uint_eq(relay_counts(relay).conns_failed, 1);
    int listening = serve(SOCK_STREAM, PORT);
    client = dial(SOCK_STREAM, PORT);
    int server = await_accept(listening);
    pass(client, server, 5);
    ck_assert_int_eq(setsockopt(server, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    close(server);
    ck_assert_int_eq(await_end(client), ECONNRESET);
    close(client);
    close(listening);
    end();
}
END_TEST

struct datagram {
    int fd;
    char text[16];
    struct sockaddr_storage from;
    socklen_t from_size;
};

static bool has_datagram(void *ctx)
{
    struct datagram *got = ctx;
    got->from_size = sizeof got->from;
    memset(got->text, 0, sizeof got->text);
    return recvfrom(got->fd, got->text, sizeof got->text - 1, MSG_DONTWAIT,
                    (struct sockaddr *)&got->from, &got->from_size) >= 0;
}

// Goal: datagrams go there and back, each client's own, and from the address that was asked.
START_TEST(datagrams_are_passed_on)
{
    static const struct relay_port port = {.protocol = RELAY_UDP, .port = PORT};
    static const char *const words[] = {"one", "two"};
    if (!begin())
        return;
    struct datagram server = {.fd = serve(SOCK_DGRAM, PORT)}, clients[COUNT_OF(words)];
    want(&port, 1);
    await_ports(1);
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        // Connected: what comes from another address would not be heard.
        clients[i].fd = dial(SOCK_DGRAM, PORT);
        ck_assert_int_ge(clients[i].fd, 0);
        for (int turn = 0; turn < 2; turn++) {
            ck_assert_int_eq((int)send(clients[i].fd, words[i], 3, 0), 3);
            await(has_datagram, &server);
            ck_assert_str_eq(server.text, words[i]);
            ck_assert_int_eq((int)sendto(server.fd, words[i], 3, 0, (struct sockaddr *)&server.from,
                                         server.from_size),
                             3);
            await(has_datagram, &clients[i]);
            ck_assert_str_eq(clients[i].text, words[i]);
        }
    }
    ck_assert_uint_eq(relay_counts(relay).flows, 2);
    ck_assert_uint_eq(relay_counts(relay).flows_now, 2);
    for (size_t i = 0; i < COUNT_OF(words); i++)
        close(clients[i].fd);
    close(server.fd);
    end();
}
END_TEST

// Goal: a port is open as long as anyone wants it; a new process is told all that is wanted.
START_TEST(ports_come_and_go)
{
    static const struct relay_port both[] = {{.protocol = RELAY_TCP, .port = PORT},
                                             {.protocol = RELAY_TCP, .port = OTHER},
                                             {.protocol = 132, .port = PORT}};
    if (!begin())
        return;
    want(both, 3);
    await_ports(2);
    relays_want(relays, RELAYS_HOST, both, NULL, 1);
    want(NULL, 0);
    await_ports(1);
    int client = dial(SOCK_STREAM, OTHER);
    ck_assert_int_eq(client, -ECONNREFUSED);
    client = dial(SOCK_STREAM, PORT);
    ck_assert_int_ge(client, 0);
    close(client);
    process_ends();
    on_wanted(NULL);
    want(both, 2);
    await_ports(2);
    want(NULL, 0);
    relays_want(relays, RELAYS_HOST, NULL, NULL, 0);
    await_ports(0);
    ck_assert_int_eq(dial(SOCK_STREAM, PORT), -ECONNREFUSED);
    end();
}
END_TEST

// Goal: a port that another program has on IPv6 is taken once that gives it back.
START_TEST(a_port_in_use_is_waited_for)
{
    static const struct relay_port ports[] = {{.protocol = RELAY_TCP, .port = PORT},
                                              {.protocol = RELAY_TCP, .port = OTHER}};
    const struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
    if (!begin())
        return;
    int other = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(other, (const struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(other, 1), 0);
    want(ports, 2);
    await_ports(1);
    close(other);
    await_ports(2);
    end();
}
END_TEST

Suite *suite_relay_io(void);
Suite *suite_relay_io(void)
{
    Suite *suite = suite_create("relay_io");
    TCase *tcase = tcase_create("relay_io");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, connections_are_passed_on);
    tcase_add_test(tcase, a_connection_that_nobody_takes_is_reset);
    tcase_add_test(tcase, a_port_of_one_address_leads_to_the_container);
    tcase_add_test(tcase, datagrams_are_passed_on);
    tcase_add_test(tcase, ports_come_and_go);
    tcase_add_test(tcase, a_port_in_use_is_waited_for);
    suite_add_tcase(suite, tcase);
    return suite;
}
