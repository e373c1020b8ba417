// The address that a VXLAN link's packets leave with, on a real kernel: this host has two, and the
// other end sees which one it was. Needs the right to make namespaces.
#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/net/apply_io.h"
#include "agent/net/netns_io.h"
#include "agent/net/nets_io.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "tests/unit/agent/net/spaces.h"

#define HERE      "10.9.0.1"
#define DATA      "10.9.0.11" // the data path's
#define THERE     "10.9.0.2"
#define INNER     "10.0.9.7" // behind the tunnel
#define NODE      "nodenodenodenodenodenoden"
#define NETWORK   "blueblueblueblueblueblueb"
#define CONTAINER "1111111111111111111111111111111111111111111111111111111111111111"
#define CHANGES   20
#define ROOM      (8 << 20)
#define WAIT      10000
#define TRIES     1500 // of 20 ms: no promise, only an end

static struct ipnet ip_of(const char *text)
{
    struct ipnet ip;
    ck_assert(ipnet_parse(text, &ip));
    return ip;
}

static void address(const char *text, bool add)
{
    struct err err = ERR_INIT;
    struct layout_addr addr = {.link = "up0", .ip = ip_of(text)};
    struct netlink *own = spaces_netlink(NETLINK_NETNS_OWN);
    int rc = add ? netlink_addr_add(own, &addr, &err) : netlink_addr_del(own, &addr, &err);
    ck_assert_msg(rc == 0, "%s", err.message);
    netlink_close(own);
}

static struct sockaddr_in place_of(const char *ip, uint16_t port)
{
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (ip)
        inet_pton(AF_INET, ip, &place.sin_addr);
    return place;
}

static int socket_here(void *ctx, struct err *err)
{
    (void)err;
    *(int *)ctx = socket(AF_INET, SOCK_DGRAM, 0);
    return 0;
}

static int socket_in(int netns_fd)
{
    int fd = -1;
    ck_assert_int_eq(netns_in(netns_fd, socket_here, &fd, NULL), 0);
    ck_assert_int_ge(fd, 0);
    return fd;
}

// The host with its two addresses, and another beside it. The other's namespace.
static int hosts(void)
{
    struct err err = ERR_INIT;
    int there = spaces_make("there");
    // Its descriptor holds it: what is pinned in the folder and of no container is swept away.
    ck_assert_int_eq(netns_remove(spaces_path("there"), &err), 0);
    struct netlink *own = spaces_netlink(NETLINK_NETNS_OWN), *other = spaces_netlink(there);
    struct netlink_link pair = {
        .kind = LAYOUT_VETH,
        .end = {.name = "up0", .netns_fd = NETLINK_NETNS_OWN, .up = true},
        .peer = {.name = "up0", .netns_fd = there},
    };
    struct layout_addr addr = {.link = "up0", .ip = ip_of(THERE "/24")};
    ck_assert_msg(netlink_link_add(own, &pair, &err) == 0, "%s", err.message);
    ck_assert_int_eq(netlink_link_up(own, "lo", true, &err), 0);
    ck_assert_int_eq(netlink_link_up(other, "up0", true, &err), 0);
    ck_assert_int_eq(netlink_addr_add(other, &addr, &err), 0);
    netlink_close(own);
    netlink_close(other);
    address(HERE "/24", true);
    address(DATA "/24", true);
    return there;
}

// ---- packets ------------------------------------------------------------------------------------

static struct layout wanted;

// What the overlay's namespace should hold; `local` NULL: it does not matter.
static void want(const char *local)
{
    struct ipnet inner = ip_of(INNER), dst = ip_of(THERE), own = ip_of("10.0.9.1/24");
    uint8_t mac[MAC_BYTES];
    layout_clear(&wanted);
    struct layout_link *link = layout_add_link(&wanted, "vxlan0", LAYOUT_VXLAN);
    link->vni = 4100;
    link->port = 4789;
    link->up = true;
    link->local_set = local != NULL;
    if (local && *local)
        link->local = ip_of(local);
    mac_of_ip(&inner, mac);
    layout_add_addr(&wanted, "vxlan0", &own);
    layout_add_neigh(&wanted, "vxlan0", &inner, mac);
    layout_add_fdb(&wanted, "vxlan0", mac, &dst);
    layout_settle(&wanted);
}

static size_t bring(const char *path, const char *local)
{
    struct err err = ERR_INIT;
    size_t steps = 0;
    want(local);
    struct apply apply = {.path = path, .wanted = &wanted, .rules = {.links = "", .rows = true}};
    ck_assert_msg(apply_layout(&apply, NULL, &steps, &err) == 0, "%s", err.message);
    return steps;
}

static void say(int fd)
{
    struct sockaddr_in to = place_of(INNER, 9);
    ck_assert_int_eq((int)sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
}

// Where the next of the tunnel's packets came from; 0: there is none.
static uint32_t heard(int fd)
{
    uint8_t packet[256];
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t got =
        recvfrom(fd, packet, sizeof packet, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
    return got < 0 ? 0 : ntohl(from.sin_addr.s_addr);
}

struct speaker {
    int fd;
    atomic_bool end;
    size_t said;
};

static void *speak(void *ctx)
{
    struct speaker *speaker = ctx;
    while (!atomic_load(&speaker->end)) {
        say(speaker->fd);
        speaker->said++;
        usleep(200);
    }
    return NULL;
}

static int listener(int there)
{
    const int room = ROOM;
    struct sockaddr_in any = place_of(NULL, 4789);
    int fd = socket_in(there);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room), 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
    return fd;
}

// Goal: packets leave with the address that is wanted, also those of a tunnel that has been in use
// (as one that an earlier release made without an address), and none is lost while it changes.
START_TEST(packets_leave_with_the_address_that_is_wanted)
{
    if (!spaces_begin())
        return;
    int there = hosts();
    const char *path = spaces_path("net");
    uint32_t here = ipnet_u32(&(struct ipnet){.size = 4, .bytes = {10, 9, 0, 1}});
    uint32_t data = here + 10;
    layout_init(&wanted);
    int net = spaces_make("net");
    ck_assert_uint_gt(bring(path, NULL), 0);
    int ear = listener(there);
    struct speaker speaker = {.fd = socket_in(net)};
    say(speaker.fd);
    ck_assert_uint_eq(heard(ear), here);
    ck_assert_uint_eq(bring(path, NULL), 0);
    ck_assert_uint_eq(bring(path, DATA), 1);
    ck_assert_uint_eq(bring(path, DATA), 0);
    ck_assert_uint_eq(bring(path, NULL), 0); // what does not matter stays
    say(speaker.fd);
    ck_assert_uint_eq(heard(ear), data);
    ck_assert_uint_eq(bring(path, ""), 1);
    say(speaker.fd);
    ck_assert_uint_eq(heard(ear), here);

    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, speak, &speaker), 0);
    for (int i = 0; i < CHANGES; i++) {
        ck_assert_uint_eq(bring(path, i % 2 ? "" : DATA), 1);
        usleep(2000);
    }
    atomic_store(&speaker.end, true);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    size_t count = 0;
    for (uint32_t from = heard(ear); from; from = heard(ear), count++)
        ck_assert(from == here || from == data);
    ck_assert_uint_eq(count, speaker.said);
    close(ear);
    close(speaker.fd);
    layout_fini(&wanted);
    spaces_end();
}
END_TEST

// ---- the node's ---------------------------------------------------------------------------------

static struct loop loop;
static struct nets *nets;
static unsigned answers;

static void on_made(void *owner, const char *path, const struct err *err)
{
    (void)owner;
    (void)path;
    ck_assert_msg(!err, "%s", err->message);
    answers++;
}

static void on_ended(void *owner)
{
    (void)owner;
    answers++;
}

static bool is_answered(void *ctx)
{
    return answers >= *(unsigned *)ctx;
}

static void await_answers(unsigned count)
{
    ck_assert(loop_run_until(&loop, is_answered, &count, WAIT));
}

static void begin(const char *data_path)
{
    struct err err = ERR_INIT;
    struct nets_config config = {.loop = &loop, .dir = spaces_dir(), .audit_ms = 50};
    struct nets_swarm swarm = {.node_id = NODE};
    ck_assert_int_eq(nets_open(&config, &nets, &err), 0);
    ck_assert_int_eq(addr_parse(HERE ":7946", 0, &swarm.bind, &err), 0);
    ck_assert_int_eq(addr_parse(HERE ":7946", 0, &swarm.advertise, &err), 0);
    ck_assert_int_eq(addr_parse(data_path, 4789, &swarm.data_path, &err), 0);
    ck_assert_msg(nets_swarm_begin(nets, &swarm, &err) == 0, "%s", err.message);
    struct order_network network = {.ip = ip_of("10.0.9.3/24")};
    str_copy(network.overlay.id, sizeof network.overlay.id, NETWORK);
    str_copy(network.overlay.name, sizeof network.overlay.name, "blue");
    network.overlay.mtu = 1450;
    network.overlay.subnets_count = 1;
    network.overlay.subnets[0] =
        (struct overlay_subnet){ip_of("10.0.9.0/24"), ip_of("10.0.9.1/24"), 4100};
    mac_of_ip(&network.ip, network.mac);
    struct order order = {
        .id = CONTAINER, .name = CONTAINER, .networks = &network, .networks_count = 1};
    nets_keep(nets, CONTAINER);
    nets_sweep(nets);
    unsigned before = answers;
    ck_assert_msg(nets_sandbox_make(nets, &order, false, on_made, NULL, &err) == 0, "%s",
                  err.message);
    await_answers(before + 1);
}

static void end(void)
{
    unsigned before = answers;
    nets_swarm_end(nets, false, on_ended, NULL);
    await_answers(before + 1);
    nets_close(nets, on_ended, NULL);
    await_answers(before + 2);
}

// Whether the network's link is there, and has the index and that address.
static bool has_local(uint32_t *index, const char *local)
{
    struct err err = ERR_INIT;
    struct layout layout;
    struct ipnet ip = {0};
    int fd = -1;
    ck_assert_int_eq(netns_open(spaces_path("1-bluebluebl"), &fd, &err), 0);
    struct netlink *netlink = spaces_netlink(fd);
    layout_init(&layout);
    ck_assert_int_eq(netlink_dump(netlink, &layout, &err), 0);
    const struct layout_link *link = layout_link(&layout, "vxlan0");
    ck_assert_ptr_nonnull(link);
    if (*local)
        ip = ip_of(local);
    bool right = link->local_set && ipnet_compare(&link->local, &ip) == 0;
    if (!*index)
        *index = link->index;
    ck_assert_uint_eq(*index, link->index);
    layout_fini(&layout);
    netlink_close(netlink);
    close(fd);
    return right;
}

static void await_local(uint32_t *index, const char *local)
{
    bool right = false;
    for (int i = 0; i < TRIES && !right; i++) {
        loop_run_until(&loop, is_answered, &(unsigned){answers + 1}, 20);
        right = has_local(index, local);
    }
    ck_assert_msg(right, "the address is not \"%s\"", local);
}

static void strip(void)
{
    struct err err = ERR_INIT;
    int fd = -1;
    ck_assert_int_eq(netns_open(spaces_path("1-bluebluebl"), &fd, &err), 0);
    struct netlink *netlink = spaces_netlink(fd);
    ck_assert_int_eq(netlink_link_local(netlink, "vxlan0", &(struct ipnet){0}, &err), 0);
    netlink_close(netlink);
    close(fd);
}

// Goal: the data path's address is the link's, from its making on, when somebody took it away, and
// when an earlier release made it without; it goes and comes with the host's address. The link is
// never made anew.
START_TEST(the_link_has_the_data_paths_address)
{
    uint32_t index = 0;
    if (!spaces_begin())
        return;
    (void)hosts();
    loop_init(&loop);
    begin(DATA);
    ck_assert(has_local(&index, DATA));
    strip();
    await_local(&index, DATA);
    address(DATA "/24", false);
    await_local(&index, "");
    address(DATA "/24", true);
    await_local(&index, DATA);
    end();
    strip();
    begin(DATA);
    await_local(&index, DATA);
    end();
    // The data path moved.
    begin(HERE);
    await_local(&index, HERE);
    end();
    loop_fini(&loop);
    spaces_end();
}
END_TEST

// Goal: an address that is none of the host's, as one that a router translates, is not set.
START_TEST(an_address_of_others_is_not_set)
{
    uint32_t index = 0;
    if (!spaces_begin())
        return;
    (void)hosts();
    loop_init(&loop);
    begin("192.0.2.44");
    ck_assert(has_local(&index, ""));
    end();
    loop_fini(&loop);
    spaces_end();
}
END_TEST

Suite *suite_vxlan_io(void);
Suite *suite_vxlan_io(void)
{
    Suite *suite = suite_create("vxlan_io");
    TCase *tcase = tcase_create("vxlan_io");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, packets_leave_with_the_address_that_is_wanted);
    tcase_add_test(tcase, the_link_has_the_data_paths_address);
    tcase_add_test(tcase, an_address_of_others_is_not_set);
    suite_add_tcase(suite, tcase);
    return suite;
}
