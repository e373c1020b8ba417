// Three nodes on loopback find each other and share rows, over real sockets.
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/gossip/gossip_io.h"
#include "agent/gossip/packet.h"
#include "agent/gossip/stream.h"
#include "proto/base/check.h"
#include "proto/base/rand.h"
#include "proto/base/str.h"
#include "tests/unit/agent/gossip/ring.h"

#define NODES       3
#define PATIENCE_MS 50000 // what a machine with much else to do may need

struct node {
    struct gossip *gossip;
    unsigned rows_changed;
    unsigned nodes_changed;
};

static struct loop loop;
static struct node nodes[NODES];
static int port;
static unsigned closed;

static bool is_free(int family, int type, const void *sock, socklen_t size)
{
    int fd = socket(family, type | SOCK_CLOEXEC, 0);
    bool is_bound = fd < 0 || bind(fd, sock, size) == 0; // a kernel without IPv6 has it free
    if (fd >= 0)
        close(fd);
    return is_bound;
}

// A port that is free on every address for both protocols, outside of where the kernel takes ports
// for connections.
static int free_port(void)
{
    static unsigned tried;
    for (;;) {
        int found = 10000 + (int)(((unsigned)getpid() * 31 + ++tried * 977) % 20000);
        struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)found)};
        if (is_free(AF_INET6, SOCK_STREAM, &any, sizeof any) &&
            is_free(AF_INET6, SOCK_DGRAM, &any, sizeof any))
            return found;
        ck_assert_uint_lt(tried, 200);
    }
}

static void on_rows(void *owner, const char *network_id)
{
    struct node *node = owner;
    ck_assert_str_eq(network_id, "net1");
    node->rows_changed++;
}

static void on_nodes(void *owner)
{
    struct node *node = owner;
    node->nodes_changed++;
}

static struct addr parse(const char *text)
{
    struct addr addr;
    int result = addr_parse(text, 0, &addr, NULL);
    CHECK(result == 0);
    return addr;
}

static struct addr address(int i)
{
    char text[32];
    str_format(text, sizeof text, "127.0.0.%d:%d", i + 1, port);
    return parse(text);
}

static void keys_give(struct gossip *gossip, uint8_t first)
{
    struct key_set set = {0};
    for (uint8_t i = 0; i < KEYRING_KEYS; i++) {
        uint8_t key[KEYRING_KEY_BYTES];
        memset(key, first + i, sizeof key);
        key_set_add(&set, KEYRING_GOSSIP, key, (uint64_t)first + i);
    }
    ck_assert_int_eq(gossip_keys(gossip, set.list, set.count, NULL), 0);
}

static void start_at(int i, struct addr bind, struct addr advertise)
{
    struct node *node = &nodes[i];
    struct err err = ERR_INIT;
    *node = (struct node){0};
    struct gossip_config config = {.loop = &loop,
                                   .bind = bind,
                                   .advertise = advertise,
                                   .events = {.rows_changed = on_rows, .nodes_changed = on_nodes},
                                   .owner = node};
    ck_assert_msg(gossip_open(&config, &node->gossip, &err) == 0, "%s", err.message);
    const char *bootstrap[] = {"127.0.0.1:2377", "127.0.0.2", "no address"};
    gossip_bootstrap(node->gossip, bootstrap, COUNT_OF(bootstrap));
    keys_give(node->gossip, 10);
}

static void start(int i)
{
    start_at(i, address(i), address(i));
}

static void on_closed(void *ctx)
{
    (void)ctx;
    closed++;
}

static bool has_closed(void *ctx)
{
    const unsigned *wanted = ctx;
    return closed >= *wanted;
}

static void end(int i, enum gossip_end how)
{
    unsigned wanted = closed + 1;
    gossip_close(nodes[i].gossip, how, on_closed, NULL);
    nodes[i].gossip = NULL;
    ck_assert(loop_run_until(&loop, has_closed, &wanted, PATIENCE_MS));
}

static void setup(void)
{
    closed = 0;
    port = free_port();
    loop_init(&loop);
    for (int i = 0; i < NODES; i++)
        start(i);
}

static void teardown(void)
{
    for (int i = 0; i < NODES; i++)
        if (nodes[i].gossip)
            end(i, GOSSIP_END_SILENT);
    loop_fini(&loop);
}

// ---- what is looked at --------------------------------------------------------------------------

static void count_member(void *ctx, const struct gossip_member *member)
{
    unsigned *count = ctx;
    (void)member;
    ++*count;
}

static void count_row(void *ctx, const struct gossip_row *row)
{
    unsigned *count = ctx;
    ck_assert_str_eq(row->table, GOSSIP_TABLE_PEERS);
    ck_assert_uint_eq(row->site->port, (unsigned)port);
    ++*count;
}

struct wanted {
    unsigned members;
    unsigned rows;
};

static bool all_see(void *ctx)
{
    const struct wanted *wanted = ctx;
    for (int i = 0; i < NODES; i++) {
        unsigned members = 0, rows = 0;
        if (!nodes[i].gossip)
            continue;
        gossip_members(nodes[i].gossip, "net1", count_member, &members);
        gossip_rows(nodes[i].gossip, "net1", GOSSIP_TABLE_PEERS, count_row, &rows);
        if (members != wanted->members || rows != wanted->rows)
            return false;
    }
    return true;
}

static void none_was_found_dead(void)
{
    for (int i = 0; i < NODES; i++)
        if (nodes[i].gossip)
            ck_assert_uint_eq(gossip_counters(nodes[i].gossip)->deaths, 0);
}

static void join_and_put(int i)
{
    char key[8];
    ck_assert_int_eq(gossip_network_join(nodes[i].gossip, "net1", NULL), 0);
    str_format(key, sizeof key, "key%d", i);
    ck_assert_int_eq(gossip_row_put(nodes[i].gossip, "net1", GOSSIP_TABLE_PEERS, key, "v", 1, NULL),
                     0);
}

START_TEST(nodes_share_rows_and_lose_them_with_their_owner)
{
    for (int i = 0; i < NODES; i++)
        join_and_put(i);
    struct wanted wanted = {NODES, NODES};
    ck_assert(loop_run_until(&loop, all_see, &wanted, PATIENCE_MS));
    ck_assert_uint_gt(nodes[0].rows_changed, 0);
    ck_assert_uint_gt(nodes[0].nodes_changed, 0);

    gossip_row_remove(nodes[1].gossip, "net1", GOSSIP_TABLE_PEERS, "key1");
    wanted.rows--;
    ck_assert(loop_run_until(&loop, all_see, &wanted, PATIENCE_MS));

    // A rotation: nodes learn of it one after another, and nothing is lost meanwhile.
    keys_give(nodes[0].gossip, 11);
    join_and_put(1);
    wanted.rows++;
    ck_assert(loop_run_until(&loop, all_see, &wanted, PATIENCE_MS));
    for (int i = 1; i < NODES; i++)
        keys_give(nodes[i].gossip, 11);
    ck_assert_uint_eq(gossip_counters(nodes[0].gossip)->drop_unsealed, 0);

    end(2, GOSSIP_END_LEAVE);
    wanted = (struct wanted){NODES - 1, NODES - 1};
    ck_assert(loop_run_until(&loop, all_see, &wanted, PATIENCE_MS));
    // At its word, and not because it did not answer.
    none_was_found_dead();
}
END_TEST

START_TEST(a_new_life_replaces_the_former_one_at_once)
{
    for (int i = 0; i < NODES; i++)
        join_and_put(i);
    struct wanted wanted = {NODES, NODES};
    ck_assert(loop_run_until(&loop, all_see, &wanted, PATIENCE_MS));
    end(2, GOSSIP_END_SILENT);
    start(2);
    // The former life's row is gone with it, though no probe found it dead yet.
    ck_assert_int_eq(gossip_network_join(nodes[2].gossip, "net1", NULL), 0);
    wanted.rows--;
    ck_assert(loop_run_until(&loop, all_see, &wanted, PATIENCE_MS));
    join_and_put(2);
    wanted.rows++;
    ck_assert(loop_run_until(&loop, all_see, &wanted, PATIENCE_MS));
    none_was_found_dead();
}
END_TEST

START_TEST(bad_wishes_are_refused)
{
    struct gossip *gossip = nodes[0].gossip;
    struct err err = ERR_INIT;
    ck_assert_int_eq(gossip_network_join(gossip, "", &err), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(gossip_network_join(gossip, "a/b", &err), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(gossip_row_put(gossip, "net1", "t", "k", "v", 1, &err),
                     -ERR_FAILED_PRECONDITION);
    ck_assert_int_eq(gossip_network_join(gossip, "net1", &err), 0);
    ck_assert_int_eq(gossip_row_put(gossip, "net1", "t", "a/b", "v", 1, &err),
                     -ERR_INVALID_ARGUMENT);
    char *large = mem_alloc(GOSSIP_VALUE_BYTES + 1);
    ck_assert_int_eq(gossip_row_put(gossip, "net1", "t", "k", large, GOSSIP_VALUE_BYTES + 1, &err),
                     -ERR_INVALID_ARGUMENT);
    free(large);
    gossip_row_remove(gossip, "net1", "t", "k");
    gossip_network_leave(gossip, "net2");
    // A second node at the same address is told so.
    struct gossip *other;
    struct gossip_config config = {.loop = &loop, .bind = address(0), .advertise = address(0)};
    ck_assert_int_ne(gossip_open(&config, &other, &err), 0);
    config.advertise = (struct addr){.kind = ADDR_IP4};
    ck_assert_int_eq(gossip_open(&config, &other, &err), -ERR_INVALID_ARGUMENT);
}
END_TEST

// ---- what strangers do --------------------------------------------------------------------------

static struct sockaddr_in sock_of_node(int i)
{
    struct sockaddr_in sock = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    sock.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)i);
    return sock;
}

static void send_datagram(int fd, int to, const void *bytes, size_t size)
{
    struct sockaddr_in sock = sock_of_node(to);
    ssize_t sent = sendto(fd, bytes, size, 0, (struct sockaddr *)&sock, sizeof sock);
    ck_assert_int_eq(sent, (ssize_t)size);
}

// A ring whose keys all begin at `first`, as keys_give makes them.
static struct keyring *ring_of(uint8_t first)
{
    struct key_set set = {0};
    for (uint8_t i = 0; i < KEYRING_KEYS; i++) {
        uint8_t key[KEYRING_KEY_BYTES];
        memset(key, first + i, sizeof key);
        key_set_add(&set, KEYRING_GOSSIP, key, (uint64_t)first + i);
    }
    struct keyring *ring = keyring_new();
    ck_assert_int_eq(keyring_load(ring, set.list, set.count, NULL), 0);
    return ring;
}

// A sealed word that node 1 is dead, as one of the cluster (or a stranger) could say.
static struct buf say_dead(struct keyring *ring)
{
    struct buf plain, sealed;
    struct gossip_message dead = {.type = GOSSIP_DEAD,
                                  .verdict = {.incarnation = 1,
                                              .node = span_text(gossip_name(nodes[1].gossip)),
                                              .from = span_text("somebody")}};
    buf_init(&plain, 1000);
    buf_init(&sealed, 1000);
    gossip_encode(&dead, &plain);
    struct span part = {plain.data, plain.len};
    packet_write(ring, nonce_golden, (struct packet_shape){0}, &part, 1, &sealed);
    buf_fini(&plain);
    return sealed;
}

static bool counted(void *ctx)
{
    const uint64_t *wanted = ctx;
    return gossip_counters(nodes[0].gossip)->drop_unsealed >= *wanted;
}

static bool saw_death(void *ctx)
{
    (void)ctx;
    return gossip_counters(nodes[0].gossip)->deaths > 0;
}

static int connect_to_first(void)
{
    struct sockaddr_in sock = sock_of_node(0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sock, sizeof sock), 0);
    return fd;
}

struct reading {
    int fd;
    uint8_t bytes[4096];
    size_t size;
};

static bool reads_to_the_end(void *ctx)
{
    struct reading *reading = ctx;
    ssize_t got = recv(reading->fd, reading->bytes + reading->size,
                       sizeof reading->bytes - reading->size, MSG_DONTWAIT);
    if (got > 0)
        reading->size += (size_t)got;
    return got == 0 || reading->size == sizeof reading->bytes;
}

static bool reads_something(void *ctx)
{
    reads_to_the_end(ctx);
    return ((struct reading *)ctx)->size > 0;
}

START_TEST(addresses_of_both_families_work)
{
    // All of one machine's addresses, IPv4 ones among them, on an IPv6 socket.
    char any[16];
    int probe = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (probe < 0)
        return; // a kernel without IPv6
    close(probe);
    for (int i = 0; i < NODES; i++)
        end(i, GOSSIP_END_SILENT);
    port = free_port();
    str_format(any, sizeof any, "[::]:%d", port);
    start_at(0, parse(any), address(0));
    ck_assert_int_eq(gossip_network_join(nodes[0].gossip, "net1", NULL), 0);
    struct keyring *ours = ring_of(10);
    struct gossip_message ping = {.type = GOSSIP_PING, .ping = {.seq = 77}};
    struct buf plain, sealed;
    buf_init(&plain, 1000);
    buf_init(&sealed, 1000);
    gossip_encode(&ping, &plain);
    struct span part = {plain.data, plain.len};
    packet_write(ours, nonce_golden, (struct packet_shape){0}, &part, 1, &sealed);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    send_datagram(fd, 0, sealed.data, sealed.len);
    struct reading reading = {.fd = fd};
    ck_assert(loop_run_until(&loop, reads_something, &reading, PATIENCE_MS));
    close(fd);
    buf_fini(&plain);
    buf_fini(&sealed);
    keyring_free(ours);
}
END_TEST

START_TEST(strangers_change_nothing)
{
    for (int i = 0; i < NODES; i++)
        join_and_put(i);
    struct wanted wanted = {NODES, NODES};
    ck_assert(loop_run_until(&loop, all_see, &wanted, PATIENCE_MS));

    // Junk of all sizes, and a true form under another cluster's keys.
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct rand rand;
    uint8_t junk[9000];
    uint64_t unsealed = 0;
    rand_init(&rand, 5);
    for (size_t i = 0; i < 200; i++) {
        rand_bytes(&rand, junk, sizeof junk);
        junk[0] = (uint8_t)(i & 1); // a version that exists
        send_datagram(fd, 0, junk, i < 100 ? i + 1 : 45 * i);
        // No more at once than the kernel holds for an unprivileged user.
        if (++unsealed % 10 == 0)
            ck_assert(loop_run_until(&loop, counted, &unsealed, PATIENCE_MS));
    }
    struct keyring *foreign = ring_of(90);
    struct buf forged = say_dead(foreign);
    send_datagram(fd, 0, forged.data, forged.len);
    unsealed++;
    ck_assert(loop_run_until(&loop, counted, &unsealed, PATIENCE_MS));
    ck_assert_uint_eq(gossip_counters(nodes[0].gossip)->deaths, 0);

    // A true word is believed once, and refuted; sent again it is old.
    struct keyring *ours = ring_of(10);
    struct buf dead = say_dead(ours);
    send_datagram(fd, 0, dead.data, dead.len);
    ck_assert(loop_run_until(&loop, saw_death, NULL, PATIENCE_MS));
    ck_assert(loop_run_until(&loop, all_see, &wanted, PATIENCE_MS));
    for (int i = 0; i < 20; i++)
        send_datagram(fd, 0, dead.data, dead.len);
    gossip_row_remove(nodes[2].gossip, "net1", GOSSIP_TABLE_PEERS, "key2");
    wanted.rows--;
    ck_assert(loop_run_until(&loop, all_see, &wanted, PATIENCE_MS));
    ck_assert_uint_eq(gossip_counters(nodes[0].gossip)->deaths, 1);
    close(fd);
    buf_fini(&forged);
    buf_fini(&dead);
    keyring_free(foreign);

    // A stream in the clear is told so, under the cluster's keys; a frame too large is cut off.
    struct reading reading = {.fd = connect_to_first()};
    ck_assert_int_eq(send(reading.fd, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    ck_assert(loop_run_until(&loop, reads_to_the_end, &reading, PATIENCE_MS));
    struct buf plain;
    buf_init(&plain, 1 << 16);
    ck_assert_int_eq(stream_unseal(ours, reading.bytes, reading.size, &plain, NULL), 0);
    ck_assert_uint_eq(plain.data[0], GOSSIP_ERROR);
    buf_fini(&plain);
    close(reading.fd);
    reading = (struct reading){.fd = connect_to_first()};
    ck_assert_int_eq(send(reading.fd, "\x0a\xff\xff\xff\xff", 5, 0), 5);
    ck_assert(loop_run_until(&loop, reads_to_the_end, &reading, PATIENCE_MS));
    ck_assert_uint_eq(reading.size, 0);
    close(reading.fd);

    // Connections that say nothing take no place from the others.
    int silent[100];
    for (size_t i = 0; i < COUNT_OF(silent); i++)
        silent[i] = connect_to_first();
    end(2, GOSSIP_END_SILENT);
    start(2);
    join_and_put(2);
    wanted.rows++;
    ck_assert(loop_run_until(&loop, all_see, &wanted, PATIENCE_MS));
    for (size_t i = 0; i < COUNT_OF(silent); i++)
        close(silent[i]);
    keyring_free(ours);
}
END_TEST

Suite *suite_gossip_io(void);
Suite *suite_gossip_io(void)
{
    Suite *suite = suite_create("gossip_io");
    TCase *nodes_case = tcase_create("nodes");
    tcase_add_checked_fixture(nodes_case, setup, teardown);
    tcase_set_timeout(nodes_case, 110);
    tcase_add_test(nodes_case, nodes_share_rows_and_lose_them_with_their_owner);
    tcase_add_test(nodes_case, a_new_life_replaces_the_former_one_at_once);
    tcase_add_test(nodes_case, bad_wishes_are_refused);
    tcase_add_test(nodes_case, addresses_of_both_families_work);
    tcase_add_test(nodes_case, strangers_change_nothing);
    suite_add_tcase(suite, nodes_case);
    return suite;
}
