// Sandboxes of one node on a real kernel, without a swarm. Needs the right to make namespaces.
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/net/gateway.h"
#include "agent/net/nets_io.h"
#include "agent/net/netns_io.h"
#include "proto/base/check.h"
#include "proto/base/file_io.h"
#include "proto/base/str.h"
#include "tests/unit/agent/net/spaces.h"

#define ONE   "1111111111111111111111111111111111111111111111111111111111111111"
#define TWO   "2222222222222222222222222222222222222222222222222222222222222222"
#define VIP   "10.0.9.2"
#define PORT  7777
#define WAIT  10000
#define AUDIT 100
#define TRIES 3000 // of 20 ms: no promise, only an end

static struct loop loop;
static struct nets *nets;
static unsigned answers;
static char path_now[512];
static struct err err_now;

static bool begin(void)
{
    struct err err = ERR_INIT;
    if (!spaces_begin())
        return false;
    struct netlink *own = spaces_netlink(NETLINK_NETNS_OWN);
    ck_assert_int_eq(netlink_link_up(own, "lo", true, &err), 0);
    netlink_close(own);
    loop_init(&loop);
    return true;
}

static void open_nets(void)
{
    struct err err = ERR_INIT;
    struct nets_config config = {.loop = &loop,
                                 .dir = spaces_dir(),
                                 .wait_ms = 200,
                                 .audit_ms = AUDIT,
                                 .adopt_ms = TRIES * 20};
    ck_assert_msg(nets_open(&config, &nets, &err) == 0, "%s", err.message);
}

static void on_closed(void *owner)
{
    (void)owner;
    nets = NULL;
}

static bool is_closed(void *ctx)
{
    (void)ctx;
    return !nets;
}

static void close_nets(void)
{
    nets_close(nets, on_closed, NULL);
    ck_assert(loop_run_until(&loop, is_closed, NULL, WAIT));
}

static void end(void)
{
    loop_fini(&loop);
    spaces_end();
}

static void on_made(void *owner, const char *path, const struct err *err)
{
    (void)owner;
    answers++;
    err_clear(&err_now);
    if (err)
        err_now = *err;
    str_copy(path_now, sizeof path_now, path ? path : "");
}

static void on_done(void *owner, const struct err *err)
{
    on_made(owner, NULL, err);
}

static bool is_answered(void *ctx)
{
    return answers >= *(unsigned *)ctx;
}

static void await_answers(unsigned count)
{
    ck_assert(loop_run_until(&loop, is_answered, &count, WAIT));
}

static struct ipnet ip_of(const char *text)
{
    struct ipnet ip;
    ck_assert(ipnet_parse(text, &ip));
    return ip;
}

// An order for a container on network "blue", 10.0.9.0/24.
static struct order *order_of(const char *id, const char *ip, bool internal)
{
    static struct order order;
    static struct order_network network;
    memset(&order, 0, sizeof order);
    memset(&network, 0, sizeof network);
    str_copy(network.overlay.id, sizeof network.overlay.id, "blueblueblueblueblueblueb");
    str_copy(network.overlay.name, sizeof network.overlay.name, "blue");
    network.overlay.internal = internal;
    network.overlay.mtu = 1450;
    network.overlay.subnets_count = 1;
    network.overlay.subnets[0] =
        (struct overlay_subnet){ip_of("10.0.9.0/24"), ip_of("10.0.9.1/24"), 4100};
    network.ip = ip_of(ip);
    network.vip = ip_of(VIP);
    mac_of_ip(&network.ip, network.mac);
    order.id = id;
    order.name = id;
    order.service_id = "svc";
    order.service_name = "web";
    order.networks = &network;
    order.networks_count = 1;
    return &order;
}

static void make_ordered(const struct order *order)
{
    struct err err = ERR_INIT;
    unsigned before = answers;
    int rc = nets_sandbox_make(nets, order, false, on_made, NULL, &err);
    ck_assert_msg(rc == 0, "%s", err.message);
    await_answers(before + 1);
    ck_assert_msg(!err_now.code, "%s", err_now.message);
}

static void make(const char *id, const char *ip, bool internal)
{
    make_ordered(order_of(id, ip, internal));
}

// One that is of no service.
static void make_client(const char *id, const char *ip)
{
    struct order *order = order_of(id, ip, false);
    struct order_network network = order->networks[0];
    network.vip = (struct ipnet){0};
    order->networks = &network;
    make_ordered(order);
}

static void take_away(const char *id)
{
    unsigned before = answers;
    nets_sandbox_remove(nets, id, on_done, NULL);
    await_answers(before + 1);
    ck_assert_msg(!err_now.code, "%s", err_now.message);
}

// ---- packets -----------------------------------------------------------------------------------

struct talk {
    const char *to;
    int fd;
};

static int listen_here(void *ctx, struct err *err)
{
    (void)err;
    struct talk *talk = ctx;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    talk->fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(talk->fd, 0);
    ck_assert_int_eq(bind(talk->fd, (struct sockaddr *)&any, sizeof any), 0);
    return listen(talk->fd, 16);
}

static int dial_here(void *ctx, struct err *err)
{
    (void)err;
    struct talk *talk = ctx;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct timeval limit = {.tv_sec = 2};
    inet_pton(AF_INET, talk->to, &to.sin_addr);
    talk->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(talk->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(talk->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    int rc = connect(talk->fd, (struct sockaddr *)&to, sizeof to);
    return rc == 0 ? 0 : -errno;
}

static int in_box(const char *id, int (*work)(void *ctx, struct err *err), struct talk *talk)
{
    struct err err = ERR_INIT;
    char name[16];
    int fd = -1;
    str_format(name, 13, "%s", id);
    ck_assert_msg(netns_open(spaces_path(name), &fd, &err) == 0, "%s", err.message);
    int rc = netns_in(fd, work, talk, &err);
    close(fd);
    return rc;
}

static bool is_quiet(void *ctx)
{
    (void)ctx;
    return !nets_busy(nets);
}

// ---- tests -------------------------------------------------------------------------------------

static void count_name(void *ctx, const char *name)
{
    (void)name;
    ++*(size_t *)ctx;
}

static size_t pins(void)
{
    size_t count = 0;
    ck_assert_int_eq(netns_list(spaces_dir(), count_name, &count, NULL), 0);
    return count;
}

// Goal: two containers on one network talk by address and through their service's address; when
// they go, nothing is left.
START_TEST(containers_talk_and_leave_nothing)
{
    if (!begin())
        return;
    open_nets();
    make(ONE, "10.0.9.3/24", false);
    make(TWO, "10.0.9.4/24", false);
    ck_assert_str_eq(path_now, nets_sandbox_path(nets, TWO));
    struct talk server = {.fd = -1}, direct = {.to = "10.0.9.4"}, virtual = {.to = VIP};
    ck_assert_int_eq(in_box(TWO, listen_here, &server), 0);
    ck_assert_int_eq(in_box(ONE, dial_here, &direct), 0);
    // Nobody serves yet: refused at once, not after a timeout.
    ck_assert_int_eq(in_box(ONE, dial_here, &virtual), -ECONNREFUSED);
    close(virtual.fd);
    // About to start: it has its names, and gets no connections.
    nets_sandbox_serve(nets, TWO, NETS_SERVE_SELF);
    ck_assert(!nets_names_told(nets));
    for (int i = 0; i < TRIES && !(nets_names_told(nets) && !nets_busy(nets)); i++)
        loop_run_until(&loop, is_answered, &(unsigned){answers + 1}, 20);
    ck_assert(nets_names_told(nets));
    ck_assert_uint_eq(nets_counts(nets).records, 1);
    ck_assert(!nets_sandbox_is_served(nets, TWO));
    ck_assert_int_eq(in_box(ONE, dial_here, &virtual), -ECONNREFUSED);
    close(virtual.fd);
    nets_sandbox_serve(nets, TWO, NETS_SERVE_READY);
    ck_assert(nets_sandbox_is_served(nets, TWO));
    int rc = -1;
    for (int i = 0; i < TRIES && rc; i++) {
        loop_run_until(&loop, is_answered, &(unsigned){answers + 1}, 20);
        rc = in_box(ONE, dial_here, &virtual);
        if (rc)
            close(virtual.fd);
    }
    ck_assert_int_eq(rc, 0);
    // Draining: no new connections, while the open one goes on.
    nets_sandbox_serve(nets, TWO, NETS_SERVE_DRAIN);
    struct talk late = {.to = VIP};
    for (int i = 0; i < TRIES && rc == 0; i++) {
        loop_run_until(&loop, is_answered, &(unsigned){answers + 1}, 20);
        rc = in_box(ONE, dial_here, &late);
        close(late.fd);
    }
    ck_assert_int_eq(rc, -ECONNREFUSED);
    ck_assert_int_eq((int)send(virtual.fd, "x", 1, MSG_NOSIGNAL), 1);
    close(server.fd);
    close(direct.fd);
    take_away(TWO);
    ck_assert_uint_ge(nets_counts(nets).flows_cut + 1, 1);
    take_away(ONE);
    take_away(ONE);
    for (int i = 0; i < TRIES && (pins() || nets_busy(nets)); i++)
        loop_run_until(&loop, is_answered, &(unsigned){answers + 1}, 20);
    ck_assert_uint_eq(pins(), 0);
    ck_assert_uint_eq(nets_counts(nets).networks, 0);
    struct netlink *own = spaces_netlink(NETLINK_NETNS_OWN);
    ck_assert_uint_eq(netlink_link_index(own, GATEWAY_BRIDGE), 0);
    netlink_close(own);
    close(virtual.fd);
    close_nets();
    end();
}
END_TEST

static int dial_once(const char *id)
{
    struct talk talk = {.to = VIP};
    loop_run_until(&loop, is_answered, &(unsigned){answers + 1}, 20);
    int rc = in_box(id, dial_here, &talk);
    close(talk.fd);
    return rc;
}

// Goal: with a service's last task its connections end, and new ones are refused at once; until it
// has a task again.
START_TEST(a_service_without_a_task_any_more_refuses)
{
    if (!begin())
        return;
    open_nets();
    make_client(ONE, "10.0.9.3/24");
    int rc = -1;
    for (int life = 0; life < 2; life++) {
        struct talk server = {.fd = -1}, held = {.to = VIP};
        make(TWO, "10.0.9.4/24", false);
        ck_assert_int_eq(in_box(TWO, listen_here, &server), 0);
        nets_sandbox_serve(nets, TWO, NETS_SERVE_READY);
        for (int i = 0; i < TRIES && rc; i++)
            rc = dial_once(ONE);
        ck_assert_int_eq(rc, 0);
        ck_assert_int_eq(in_box(ONE, dial_here, &held), 0);
        take_away(TWO);
        for (int i = 0; i < TRIES && rc != -ECONNREFUSED; i++)
            rc = dial_once(ONE);
        ck_assert_int_eq(rc, -ECONNREFUSED);
        bool cut = false;
        for (int i = 0; i < TRIES && !cut; i++) {
            loop_run_until(&loop, is_answered, &(unsigned){answers + 1}, 20);
            cut = send(held.fd, "x", 1, MSG_NOSIGNAL) < 0;
        }
        ck_assert(cut);
        close(held.fd);
        close(server.fd);
    }
    take_away(ONE);
    close_nets();
    end();
}
END_TEST

static bool is_looked_at(void *ctx)
{
    return !nets_busy(nets) && nets_counts(nets).jobs >= *(uint64_t *)ctx;
}

// Goal: a restart forgets nothing of it: at no moment afterwards is such a service unknown, and it
// answers when it has a task again.
START_TEST(a_service_without_a_task_refuses_after_a_restart_too)
{
    if (!begin())
        return;
    open_nets();
    make_client(ONE, "10.0.9.3/24");
    make(TWO, "10.0.9.4/24", false);
    struct talk server = {.fd = -1};
    ck_assert_int_eq(in_box(TWO, listen_here, &server), 0);
    nets_sandbox_serve(nets, TWO, NETS_SERVE_READY);
    int rc = -1;
    for (int i = 0; i < TRIES && rc; i++)
        rc = dial_once(ONE);
    ck_assert_int_eq(rc, 0);
    close(server.fd);
    take_away(TWO);
    for (int i = 0; i < TRIES && rc != -ECONNREFUSED; i++)
        rc = dial_once(ONE);
    ck_assert_int_eq(rc, -ECONNREFUSED);
    for (int life = 0; life < 2; life++) {
        close_nets();
        open_nets();
        nets_keep(nets, ONE);
        nets_sweep(nets);
        make_client(ONE, "10.0.9.3/24");
        for (uint64_t jobs = 1; jobs < 6; jobs++) {
            ck_assert_int_eq(dial_once(ONE), -ECONNREFUSED);
            ck_assert(loop_run_until(&loop, is_looked_at, &jobs, WAIT));
        }
        ck_assert_int_eq(dial_once(ONE), -ECONNREFUSED);
    }
    make(TWO, "10.0.9.4/24", false);
    ck_assert_int_eq(in_box(TWO, listen_here, &server), 0);
    nets_sandbox_serve(nets, TWO, NETS_SERVE_READY);
    for (int i = 0; i < TRIES && rc; i++)
        rc = dial_once(ONE);
    ck_assert_int_eq(rc, 0);
    close(server.fd);
    take_away(TWO);
    take_away(ONE);
    close_nets();
    end();
}
END_TEST

// Goal: after a restart sandboxes are asked for one after the other; a service is reached all the
// time, also while the one that serves it has not been asked for.
START_TEST(services_stay_while_sandboxes_are_taken_over)
{
    if (!begin())
        return;
    open_nets();
    make_client(ONE, "10.0.9.3/24");
    make(TWO, "10.0.9.4/24", false);
    struct talk server = {.fd = -1};
    ck_assert_int_eq(in_box(TWO, listen_here, &server), 0);
    nets_sandbox_serve(nets, TWO, NETS_SERVE_READY);
    int rc = -1;
    for (int i = 0; i < TRIES && rc; i++)
        rc = dial_once(ONE);
    ck_assert_int_eq(rc, 0);
    close_nets();

    open_nets();
    nets_keep(nets, ONE);
    nets_keep(nets, TWO);
    nets_sweep(nets);
    make_client(ONE, "10.0.9.3/24");
    for (uint64_t jobs = 1; jobs < 4; jobs++) {
        ck_assert_int_eq(dial_once(ONE), 0);
        ck_assert(loop_run_until(&loop, is_looked_at, &jobs, WAIT));
    }
    make(TWO, "10.0.9.4/24", false);
    nets_sandbox_serve(nets, TWO, NETS_SERVE_READY);
    uint64_t jobs = nets_counts(nets).jobs + 4;
    ck_assert(loop_run_until(&loop, is_looked_at, &jobs, WAIT));
    ck_assert_int_eq(dial_once(ONE), 0);
    close(server.fd);
    take_away(TWO);
    take_away(ONE);
    close_nets();
    end();
}
END_TEST

// Goal: what somebody changes is put right by the audit, and counted; without a change nothing is.
START_TEST(drift_is_repaired_and_counted)
{
    struct err err = ERR_INIT;
    if (!begin())
        return;
    open_nets();
    make(ONE, "10.0.9.3/24", false);
    for (int i = 0; i < 10; i++)
        loop_run_until(&loop, is_answered, &(unsigned){answers + 1}, AUDIT / 2);
    ck_assert_uint_eq(nets_counts(nets).repairs, 0);
    int fd = -1;
    ck_assert_int_eq(netns_open(nets_sandbox_path(nets, ONE), &fd, &err), 0);
    struct netlink *box = spaces_netlink(fd);
    ck_assert_int_eq(netlink_link_mtu(box, "eth0", 1000, &err), 0);
    ck_assert_int_eq(netlink_link_del(box, "eth1", &err), 0);
    struct layout layout;
    bool right = false;
    layout_init(&layout);
    for (int i = 0; i < TRIES && !right; i++) {
        loop_run_until(&loop, is_answered, &(unsigned){answers + 1}, 20);
        ck_assert_int_eq(netlink_dump(box, &layout, &err), 0);
        const struct layout_link *eth0 = layout_link(&layout, "eth0");
        right =
            eth0 && eth0->mtu == 1450 && layout_link(&layout, "eth1") && layout.routes_count == 1;
    }
    ck_assert(right);
    loop_run_until(&loop, is_quiet, NULL, WAIT);
    ck_assert_uint_ge(nets_counts(nets).repairs, 2);
    layout_fini(&layout);
    netlink_close(box);
    close(fd);
    take_away(ONE);
    close_nets();
    end();
}
END_TEST

// Goal: after a restart a sandbox that is asked for again is as it was, its open connection too;
// one that nobody has any more is swept away.
START_TEST(restart_takes_over_and_sweeps)
{
    if (!begin())
        return;
    open_nets();
    make(ONE, "10.0.9.3/24", false);
    make(TWO, "10.0.9.4/24", false);
    struct talk server = {.fd = -1}, client = {.to = "10.0.9.4"};
    ck_assert_int_eq(in_box(TWO, listen_here, &server), 0);
    ck_assert_int_eq(in_box(ONE, dial_here, &client), 0);
    int other = accept(server.fd, NULL, NULL);
    ck_assert_int_ge(other, 0);
    close_nets();

    open_nets();
    nets_keep(nets, ONE);
    nets_keep(nets, TWO);
    nets_sweep(nets);
    loop_run_until(&loop, is_answered, &(unsigned){answers + 1}, 2 * AUDIT);
    // Kept, though nobody asked yet.
    ck_assert_int_eq((int)send(client.fd, "x", 1, MSG_NOSIGNAL), 1);
    char byte;
    ck_assert_int_eq((int)recv(other, &byte, 1, 0), 1);
    uint64_t steps = nets_counts(nets).steps;
    make(ONE, "10.0.9.3/24", false);
    make(TWO, "10.0.9.4/24", false);
    // The two balancers' tables are loaded anew at most; no link is touched.
    ck_assert_uint_le(nets_counts(nets).steps, steps + 2);
    ck_assert_int_eq((int)send(client.fd, "y", 1, MSG_NOSIGNAL), 1);
    ck_assert_int_eq((int)recv(other, &byte, 1, 0), 1);
    close_nets();

    open_nets();
    nets_keep(nets, ONE);
    nets_sweep(nets);
    make(ONE, "10.0.9.3/24", false);
    for (int i = 0; i < TRIES && pins() > 2; i++)
        loop_run_until(&loop, is_answered, &(unsigned){answers + 1}, 20);
    ck_assert_uint_eq(pins(), 2); // the network's, and ONE
    close(server.fd);
    close(client.fd);
    close(other);
    take_away(ONE);
    close_nets();
    end();
}
END_TEST

// Sends from another address than the sandbox has.
static int dial_forged(void *ctx, struct err *err)
{
    struct layout_addr addr = {.link = "eth0", .ip = ip_of("10.0.9.77/24")};
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    struct timeval limit = {.tv_sec = 0, .tv_usec = 300000};
    struct talk *talk = ctx;
    struct netlink *own = spaces_netlink(NETLINK_NETNS_OWN);
    int rc = netlink_addr_add(own, &addr, err);
    netlink_close(own);
    ck_assert(rc == 0 || rc == -ERR_ALREADY_EXISTS);
    inet_pton(AF_INET, "10.0.9.77", &from.sin_addr);
    inet_pton(AF_INET, talk->to, &to.sin_addr);
    to.sin_port = htons(PORT);
    talk->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(talk->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    ck_assert_int_eq(bind(talk->fd, (struct sockaddr *)&from, sizeof from), 0);
    rc = connect(talk->fd, (struct sockaddr *)&to, sizeof to);
    return rc == 0 ? 0 : -errno;
}

// Goal: a container that takes an address that is not its own is not heard.
START_TEST(forged_addresses_are_not_heard)
{
    if (!begin())
        return;
    open_nets();
    make(ONE, "10.0.9.3/24", false);
    make(TWO, "10.0.9.4/24", false);
    struct talk server = {.fd = -1}, honest = {.to = "10.0.9.4"}, forged = {.to = "10.0.9.4"};
    ck_assert_int_eq(in_box(TWO, listen_here, &server), 0);
    ck_assert_int_eq(in_box(ONE, dial_here, &honest), 0);
    ck_assert_int_lt(in_box(ONE, dial_forged, &forged), 0);
    close(server.fd);
    close(honest.fd);
    close(forged.fd);
    take_away(ONE);
    take_away(TWO);
    close_nets();
    end();
}
END_TEST

// Goal: a container on internal networks alone has no way out, and none is made for it.
START_TEST(internal_network_leads_nowhere)
{
    struct err err = ERR_INIT;
    if (!begin())
        return;
    open_nets();
    make(ONE, "10.0.9.3/24", true);
    int fd = -1;
    ck_assert_int_eq(netns_open(nets_sandbox_path(nets, ONE), &fd, &err), 0);
    struct netlink *box = spaces_netlink(fd);
    struct layout layout;
    layout_init(&layout);
    ck_assert_int_eq(netlink_dump(box, &layout, &err), 0);
    ck_assert_uint_eq(layout.routes_count, 0);
    ck_assert_ptr_null(layout_link(&layout, "eth1"));
    struct talk out = {.to = "192.0.2.1"};
    ck_assert_int_eq(in_box(ONE, dial_here, &out), -ENETUNREACH);
    close(out.fd);
    layout_fini(&layout);
    netlink_close(box);
    close(fd);
    take_away(ONE);
    close_nets();
    end();
}
END_TEST

static struct ports *ports;

static void on_ports_closed(void *owner)
{
    (void)owner;
    ports = NULL;
}

static bool are_ports_closed(void *ctx)
{
    (void)ctx;
    return !ports;
}

static bool is_free(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    bool free = bind(fd, (struct sockaddr *)&at, sizeof at) == 0;
    close(fd);
    return free;
}

// Goal: a container on no network has the gateway bridge, and the host's ports it asks for as long
// as it is there; nobody else gets them, and what is refused leaves nothing.
START_TEST(ports_of_the_host_go_with_the_sandbox)
{
    struct err err = ERR_INIT;
    size_t count;
    if (!begin())
        return;
    ports = ports_open(&loop, &err);
    if (!ports) { // no packet filter here
        end();
        return;
    }
    struct nets_config config = {.loop = &loop, .dir = spaces_dir(), .ports = ports};
    ck_assert_int_eq(nets_open(&config, &nets, &err), 0);
    const struct ports_row rows[] = {{.protocol = 6, .published = 8081, .target = 80},
                                     {.protocol = 6, .target = 80}};
    struct order one = {
        .id = ONE, .name = "one", .host_ports = rows, .host_ports_count = COUNT_OF(rows)};
    unsigned before = answers;
    ck_assert_msg(nets_sandbox_make(nets, &one, false, on_made, NULL, &err) == 0, "%s",
                  err.message);
    await_answers(before + 1);
    ck_assert_msg(!err_now.code, "%s", err_now.message);
    const struct ports_row *got = nets_sandbox_ports(nets, ONE, &count);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(got[0].published, 8081);
    ck_assert_uint_ne(got[0].address, 0);
    ck_assert_uint_gt(got[1].published, 1023);
    ck_assert(!is_free(8081));
    struct order two = {.id = TWO, .name = "two", .host_ports = rows, .host_ports_count = 1};
    ck_assert_int_eq(nets_sandbox_make(nets, &two, false, on_made, NULL, &err),
                     -ERR_ALREADY_EXISTS);
    ck_assert_ptr_nonnull(strstr(err.message, "8081"));
    ck_assert_ptr_null(nets_sandbox_path(nets, TWO));
    nets_sandbox_unpublish(nets, ONE);
    ck_assert(is_free(8081));
    take_away(ONE);
    ck_assert(is_free(8081));
    ck_assert_ptr_null(nets_sandbox_ports(nets, ONE, &count));
    close_nets();
    ports_close(ports, on_ports_closed, NULL);
    ck_assert(loop_run_until(&loop, are_ports_closed, NULL, WAIT));
    end();
}
END_TEST

// Goal: what cannot be is refused with its reason, and leaves nothing.
START_TEST(refusals_leave_nothing)
{
    struct err err = ERR_INIT;
    if (!begin())
        return;
    open_nets();
    struct order *order = order_of(ONE, "10.0.9.3/24", false);
    order->swarm = true;
    ck_assert_int_eq(nets_sandbox_make(nets, order, false, on_made, NULL, &err),
                     -ERR_FAILED_PRECONDITION);
    order = order_of(ONE, "10.7.9.3/24", false);
    ck_assert_int_eq(nets_sandbox_make(nets, order, false, on_made, NULL, &err),
                     -ERR_INVALID_ARGUMENT);
    order = order_of("../../etc", "10.0.9.3/24", false);
    ck_assert_int_eq(nets_sandbox_make(nets, order, false, on_made, NULL, &err),
                     -ERR_INVALID_ARGUMENT);
    // The VXLAN number is somebody else's on this host.
    int fd = spaces_make("other");
    struct netlink *home = spaces_netlink(NETLINK_NETNS_OWN);
    struct netlink_link vxlan = {.end = {.name = "vxlan0", .netns_fd = fd},
                                 .kind = LAYOUT_VXLAN,
                                 .vni = 4100,
                                 .port = OVERLAY_PORT};
    ck_assert_int_eq(netlink_link_add(home, &vxlan, &err), 0);
    unsigned before = answers;
    order = order_of(ONE, "10.0.9.3/24", false);
    ck_assert_int_eq(nets_sandbox_make(nets, order, false, on_made, NULL, &err), 0);
    await_answers(before + 1);
    ck_assert_int_eq(err_now.code, ERR_ALREADY_EXISTS);
    ck_assert_ptr_nonnull(strstr(err_now.message, "4100"));
    for (int i = 0; i < TRIES && pins() > 1; i++)
        loop_run_until(&loop, is_answered, &(unsigned){answers + 1}, 20);
    ck_assert_uint_eq(pins(), 1);
    netlink_close(home);
    close_nets();
    end();
}
END_TEST

static void reorder(struct order *order)
{
    struct err err = ERR_INIT;
    unsigned before = answers;
    int rc = nets_sandbox_make(nets, order, false, on_made, NULL, &err);
    ck_assert_msg(rc == 0, "%s", err.message);
    await_answers(before + 1);
    ck_assert_msg(!err_now.code, "%s", err_now.message);
}

static bool has_link(int fd, const char *name)
{
    struct netlink *there = spaces_netlink(fd);
    bool has = netlink_link_index(there, name) != 0;
    netlink_close(there);
    return has;
}

// Goal: in a namespace that is somebody else's, networks come and go one by one, under names that
// are free and stay; what is others' is never touched, and the end leaves it as it was.
START_TEST(shared_sandbox_changes)
{
    struct err err = ERR_INIT;
    static const char *const taken[] = {"eth0"};
    if (!begin())
        return;
    int fd = spaces_make("theirs");
    struct netlink *theirs = spaces_netlink(fd);
    struct netlink_link mine = {.end = {.name = "eth0", .netns_fd = fd}, .kind = LAYOUT_BRIDGE};
    ck_assert_int_eq(netlink_link_add(theirs, &mine, &err), 0);
    netlink_close(theirs);
    open_nets();
    struct order_network networks[2];
    struct order *order = order_of(ONE, "10.0.9.3/24", false);
    networks[0] = networks[1] = *order->networks;
    str_copy(networks[1].overlay.id, sizeof networks[1].overlay.id, "redredredredredredredredr");
    str_copy(networks[1].overlay.name, sizeof networks[1].overlay.name, "red");
    networks[1].overlay.subnets[0] =
        (struct overlay_subnet){ip_of("10.0.8.0/24"), ip_of("10.0.8.1/24"), 4101};
    networks[1].ip = ip_of("10.0.8.3/24");
    networks[1].vip = (struct ipnet){0};
    mac_of_ip(&networks[1].ip, networks[1].mac);
    order->networks = networks;
    order->share = spaces_path("theirs");
    order->taken = taken;
    order->taken_count = 1;
    reorder(order);
    ck_assert(has_link(fd, "eth1")); // blue
    ck_assert(has_link(fd, "eth2")); // the gateway bridge
    // Others lead out from now on, and a second network comes.
    order->led = true;
    order->networks_count = 2;
    reorder(order);
    ck_assert(has_link(fd, "eth1"));
    ck_assert(!has_link(fd, "eth2"));
    ck_assert(has_link(fd, "eth3")); // red
    // The first goes, the second keeps its name.
    order->networks = &networks[1];
    order->networks_count = 1;
    reorder(order);
    ck_assert(!has_link(fd, "eth1"));
    ck_assert(has_link(fd, "eth3"));
    const char *eths[2];
    ck_assert_uint_eq(nets_sandbox_eths(nets, ONE, eths, COUNT_OF(eths)), 1);
    ck_assert_str_eq(eths[0], "eth3");
    // What cannot be leaves it as it is.
    struct order_network bad = networks[1];
    bad.ip = ip_of("10.7.9.3/24");
    order->networks = &bad;
    ck_assert_int_eq(nets_sandbox_make(nets, order, false, on_made, NULL, &err),
                     -ERR_INVALID_ARGUMENT);
    ck_assert(has_link(fd, "eth3"));
    take_away(ONE);
    ck_assert(!has_link(fd, "eth3"));
    ck_assert(has_link(fd, "eth0"));
    close_nets();
    end();
}
END_TEST

Suite *suite_nets_io(void);
Suite *suite_nets_io(void)
{
    Suite *suite = suite_create("nets_io");
    TCase *tcase = tcase_create("nets_io");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, containers_talk_and_leave_nothing);
    tcase_add_test(tcase, a_service_without_a_task_any_more_refuses);
    tcase_add_test(tcase, a_service_without_a_task_refuses_after_a_restart_too);
    tcase_add_test(tcase, services_stay_while_sandboxes_are_taken_over);
    tcase_add_test(tcase, drift_is_repaired_and_counted);
    tcase_add_test(tcase, restart_takes_over_and_sweeps);
    tcase_add_test(tcase, forged_addresses_are_not_heard);
    tcase_add_test(tcase, internal_network_leads_nowhere);
    tcase_add_test(tcase, refusals_leave_nothing);
    tcase_add_test(tcase, shared_sandbox_changes);
    tcase_add_test(tcase, ports_of_the_host_go_with_the_sandbox);
    suite_add_tcase(suite, tcase);
    return suite;
}
