#include <check.h>
#include <string.h>

#include "agent/net/order.h"
#include "agent/net/overlay.h"
#include "agent/net/sandbox.h"
#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/names.h"
#include "proto/wire/wire.h"
#include "tests/unit/agent/net/objects.h"

#define ID "foxco8tvppxyzxyzxyzxyzxyz"

static struct arena arena;

static void setup(void)
{
    arena_init(&arena, 1 << 20);
}

static void teardown(void)
{
    arena_fini(&arena);
}

static int parse(const char *subnets, const char *vnis, const char *option, const char *value,
                 struct overlay *out)
{
    struct err err = ERR_INIT;
    return overlay_parse(objects_network(&arena, ID, subnets, vnis, option, value), out, &err);
}

// Goal: a network as allocated is understood, with the MTU everybody computes.
START_TEST(network_is_understood)
{
    struct overlay overlay;
    char name[OVERLAY_TEXT_BYTES];
    ck_assert_int_eq(parse("10.0.1.0/24 fd00::/64 10.0.2.0/24", "4097,4098", NULL, NULL, &overlay),
                     0);
    ck_assert_uint_eq(overlay.subnets_count, 2);
    ck_assert_uint_eq(overlay.subnets[1].vni, 4098);
    ck_assert_uint_eq(overlay.mtu, 1450);
    ck_assert(!overlay.encrypted);
    overlay_place(ID, name);
    ck_assert_str_eq(name, "1-foxco8tvpp");
    ck_assert_int_eq(parse("10.0.1.0/24", "4097", NAME_OPTION_MTU, "9000", &overlay), 0);
    ck_assert_uint_eq(overlay.mtu, 8950);
    ck_assert_int_eq(parse("10.0.1.0/24", "4097", NAME_OPTION_ENCRYPTED, "false", &overlay), 0);
    ck_assert(overlay.encrypted);
    ck_assert_uint_eq(overlay.mtu, 1424);
    ck_assert_int_eq(parse("10.0.1.0/24", "4097", "dsr", "", &overlay), 0);
    ck_assert(overlay.dsr);
}
END_TEST

// Goal: what is not allocated or makes no sense is refused.
START_TEST(nonsense_is_refused)
{
    static const struct {
        const char *subnets, *vnis, *option, *value;
    } bad[] = {
        {"10.0.1.0/24", "", NULL, NULL},
        {"10.0.1.0/24", "x", NULL, NULL},
        {"10.0.1.0/24", "16777216", NULL, NULL},
        {"10.0.1.0/24 10.0.2.0/24", "4097", NULL, NULL},
        {"10.0.1.0/24 10.0.1.128/25", "4097,4098", NULL, NULL},
        {"10.0.1.0/31", "4097", NULL, NULL},
        {"fd00::/64", "4097", NULL, NULL},
        {"", "4097", NULL, NULL},
        {"nothing", "4097", NULL, NULL},
        {"10.0.1.0/24", "4097", NAME_OPTION_MTU, "-1"},
        {"10.0.1.0/24", "4097", NAME_OPTION_MTU, "90"},
        {"10.0.1.0/24", "4097", NAME_OPTION_MTU, "70000"},
    };
    struct overlay overlay;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        ck_assert_msg(parse(bad[i].subnets, bad[i].vnis, bad[i].option, bad[i].value, &overlay) ==
                          -ERR_INVALID_ARGUMENT,
                      "row %zu", i);
}
END_TEST

// Goal: rows land on the link of their subnet, and an address outside of all is left out.
START_TEST(rows_follow_subnets)
{
    struct overlay overlay;
    struct layout layout;
    struct overlay_peer peers[2] = {{{0}}};
    struct overlay_local local = {.endpoint_id = "0123456789abcdef"};
    struct ipnet tunnel;
    ck_assert(ipnet_parse("192.0.2.1", &tunnel));
    ck_assert_int_eq(parse("10.0.1.0/24 10.0.2.0/24", "4097,4098", NULL, NULL, &overlay), 0);
    ck_assert(ipnet_parse("10.0.2.5/24", &peers[0].ip));
    ck_assert(ipnet_parse("192.0.2.5", &peers[0].tunnel));
    ck_assert(ipnet_parse("10.9.2.5/24", &peers[1].ip));
    ck_assert(ipnet_parse("10.0.2.6/24", &local.ip));
    layout_init(&layout);
    overlay_layout(&overlay, 4789, &tunnel, &local, 1, peers, 2, &layout);
    layout_settle(&layout);
    ck_assert_uint_eq(layout.neighs_count, 1);
    ck_assert_str_eq(layout.neighs[0].link, "vxlan1");
    ck_assert_uint_eq(layout.fdbs_count, 1);
    ck_assert_str_eq(layout_link(&layout, "v0123456789ab")->master, "br1");
    ck_assert_uint_eq(layout.links_count, 5);
    ck_assert(layout_link(&layout, "vxlan1")->local_set);
    ck_assert(ipnet_same_ip(&layout_link(&layout, "vxlan1")->local, &tunnel));
    layout_clear(&layout);
    overlay_layout(&overlay, 4789, &(struct ipnet){0}, &local, 1, peers, 2, &layout);
    layout_settle(&layout);
    ck_assert(!layout_link(&layout, "vxlan1")->local_set);
    layout_fini(&layout);
}
END_TEST

// Goal: a task's assignment becomes an order: address, MAC, virtual address, ports, names, servers.
START_TEST(task_becomes_order)
{
    struct err err = ERR_INIT;
    struct order order;
    Swarm__Network *network = objects_network(&arena, ID, "10.0.1.0/24", "4097", NULL, NULL);
    Swarm__Task *task = objects_task(&arena, network, "10.0.1.7/24");
    ck_assert(order_wants_sandbox(task));
    task->n_networks = 0; // the gateway bridge is for it
    ck_assert(order_wants_sandbox(task));
    task->n_networks = 1;
    task->spec->container->hostname = "myhost";
    int rc = order_of_task(task, "0123456789abcdef", "web.1.task1",
                           "# c\nnameserver 127.0.0.53\nnameserver\t10.1.1.1 # x\nnameserver bad\n",
                           &arena, &order, &err);
    ck_assert_msg(rc == 0, "%s", err.message);
    ck_assert_uint_eq(order.networks_count, 1);
    ck_assert_uint_eq(ipnet_u32(&order.networks[0].ip), 0x0a000107);
    ck_assert_uint_eq(order.networks[0].mac[5], 7);
    ck_assert_uint_eq(order.servers_count, 2);
    ck_assert(!order.servers[0].inside);
    ck_assert_uint_eq(order.names_count, 2);
    ck_assert_str_eq(order.names[0], "0123456789ab");
    ck_assert_str_eq(order.names[1], "myhost");
    struct order *copy = order_copy(&order, &arena);
    ck_assert_ptr_nonnull(copy);
    ck_assert_str_eq(copy->service_name, "web");
    task = objects_task(&arena, network, "10.7.1.7/24");
    ck_assert_int_eq(order_of_task(task, "0123456789abcdef", "n", NULL, &arena, &order, &err),
                     -ERR_INVALID_ARGUMENT);
}
END_TEST

static Swarm__PortConfig *port_add(Swarm__Task *task, uint32_t published, uint32_t target)
{
    Swarm__PortConfig *port = wire_new(&swarm__port_config__descriptor, &arena);
    Swarm__PortConfig **ports =
        arena_alloc_array(&arena, task->endpoint ? task->endpoint->n_ports + 1 : 1, sizeof *ports);
    if (!task->endpoint)
        task->endpoint = wire_new(&swarm__endpoint__descriptor, &arena);
    for (size_t i = 0; i < task->endpoint->n_ports; i++)
        ports[i] = task->endpoint->ports[i];
    port->publish_mode = SWARM__PORT_CONFIG__PUBLISH_MODE__HOST;
    port->protocol = SWARM__PORT_CONFIG__PROTOCOL__UDP;
    port->published_port = published;
    port->target_port = target;
    ports[task->endpoint->n_ports++] = port;
    task->endpoint->ports = ports;
    return port;
}

// Goal: ports in host mode are told from those of the mesh, are bounded, ask for a sandbox where
// there is no network, and are refused where no way leads out.
START_TEST(ports_of_the_host_are_ordered)
{
    struct err err = ERR_INIT;
    struct order order;
    Swarm__Network *network = objects_network(&arena, ID, "10.0.1.0/24", "4097", NULL, NULL);
    Swarm__Task *task = objects_task(&arena, network, "10.0.1.7/24");
    Swarm__PortConfig *port = port_add(task, 8081, 80);
    port_add(task, 0, 53);
    port_add(task, 9090, 90)->publish_mode = SWARM__PORT_CONFIG__PUBLISH_MODE__INGRESS;
    ck_assert_int_eq(order_of_task(task, "0123456789abcdef", "n", NULL, &arena, &order, &err), 0);
    ck_assert_uint_eq(order.ports_count, 1);
    ck_assert_uint_eq(order.host_ports_count, 2);
    const struct order *copy = order_copy(&order, &arena);
    ck_assert_uint_eq(copy->host_ports[0].protocol, 17);
    ck_assert_uint_eq(copy->host_ports[0].published, 8081);
    ck_assert_uint_eq(copy->host_ports[0].target, 80);
    ck_assert_uint_eq(copy->host_ports[1].published, 0);
    network->spec->internal = true;
    ck_assert_int_eq(order_of_task(task, "0123456789abcdef", "n", NULL, &arena, &order, &err),
                     -ERR_FAILED_PRECONDITION);
    ck_assert_ptr_nonnull(strstr(err.message, "8081"));
    task->n_networks = 0;
    ck_assert_int_eq(order_of_task(task, "0123456789abcdef", "n", NULL, &arena, &order, &err), 0);
    ck_assert_uint_eq(order.networks_count, 0);
    port->target_port = 65536;
    ck_assert_int_eq(order_of_task(task, "0123456789abcdef", "n", NULL, &arena, &order, &err),
                     -ERR_INVALID_ARGUMENT);
    port->target_port = 80;
    port->published_port = 65536;
    ck_assert_int_eq(order_of_task(task, "0123456789abcdef", "n", NULL, &arena, &order, &err),
                     -ERR_INVALID_ARGUMENT);
}
END_TEST

// Goal: the container's side: one default route, routes to sibling subnets, the loopback's virtual
// address where tasks hold it themselves.
START_TEST(sandbox_has_its_routes)
{
    struct overlay overlay;
    struct layout layout;
    struct sandbox_end ends[3] = {{{0}}};
    ck_assert_int_eq(parse("10.0.1.0/24 10.0.2.0/24", "4097,4098", NULL, NULL, &overlay), 0);
    str_copy(ends[0].eth, sizeof ends[0].eth, "eth0");
    ends[0].overlay = &overlay;
    ck_assert(ipnet_parse("10.0.2.6/24", &ends[0].ip));
    ck_assert(ipnet_parse("10.0.2.9", &ends[0].vip));
    for (int i = 1; i < 3; i++) {
        str_format(ends[i].eth, sizeof ends[i].eth, "eth%d", i);
        ck_assert(ipnet_parse("172.18.0.2/16", &ends[i].ip));
        ck_assert(ipnet_parse("172.18.0.1", &ends[i].gateway));
    }
    layout_init(&layout);
    sandbox_layout(ends, 3, &layout);
    layout_settle(&layout);
    ck_assert_uint_eq(layout.routes_count, 2);
    ck_assert_uint_eq(layout.routes[0].to.prefix, 0);
    ck_assert_str_eq(layout.routes[0].link, "eth1");
    char text[IPNET_TEXT_BYTES];
    ck_assert_str_eq(ipnet_format_ip(&layout.routes[1].gateway, text), "10.0.2.1");
    ck_assert_str_eq(layout.addrs[3].link, "lo");
    layout_fini(&layout);
}
END_TEST

Suite *suite_overlay(void);
Suite *suite_overlay(void)
{
    Suite *suite = suite_create("overlay");
    TCase *tcase = tcase_create("overlay");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, network_is_understood);
    tcase_add_test(tcase, nonsense_is_refused);
    tcase_add_test(tcase, rows_follow_subnets);
    tcase_add_test(tcase, task_becomes_order);
    tcase_add_test(tcase, ports_of_the_host_are_ordered);
    tcase_add_test(tcase, sandbox_has_its_routes);
    suite_add_tcase(suite, tcase);
    return suite;
}
