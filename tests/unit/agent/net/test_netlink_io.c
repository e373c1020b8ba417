// What the kernel is told is what it says it has. Needs the right to make network namespaces.
#include <check.h>
#include <string.h>

#include "agent/net/netlink_io.h"
#include "tests/unit/agent/net/spaces.h"

static struct err err;

#define OK(call)                                                                                   \
    do {                                                                                           \
        err_clear(&err);                                                                           \
        int ok_rc = (call);                                                                        \
        ck_assert_msg(ok_rc == 0, "%s", err.message);                                              \
    } while (0)

static struct ipnet ip_of(const char *text)
{
    struct ipnet ip;
    ck_assert(ipnet_parse(text, &ip));
    return ip;
}

static const struct layout_link *read_link(struct netlink *netlink, const char *name)
{
    static struct layout layout;
    layout_fini(&layout);
    layout_init(&layout);
    OK(netlink_dump(netlink, &layout, &err));
    return layout_link(&layout, name);
}

static void add(struct netlink *netlink, const char *name, enum layout_kind kind)
{
    struct netlink_link link = {
        .end = {.name = name, .netns_fd = NETLINK_NETNS_OWN, .up = true},
        .kind = kind,
        .peer = {.name = "other", .netns_fd = NETLINK_NETNS_OWN},
    };
    OK(netlink_link_add(netlink, &link, &err));
}

// Goal: a VXLAN link lives in another namespace from its first moment, with its tunnel at home, and
// a second one of the same number is refused.
START_TEST(vxlan_is_born_elsewhere)
{
    if (!spaces_begin())
        return;
    int fd = spaces_make("net");
    struct netlink *home = spaces_netlink(NETLINK_NETNS_OWN), *net = spaces_netlink(fd);
    struct netlink_link vxlan = {
        .end = {.name = "vxlan0", .netns_fd = fd, .mtu = 1450, .up = true},
        .kind = LAYOUT_VXLAN,
        .vni = 4097,
        .port = 4789,
        .vxlan_flags = NETLINK_VXLAN_PROXY | NETLINK_VXLAN_L2MISS | NETLINK_VXLAN_L3MISS,
    };
    add(net, "br0", LAYOUT_BRIDGE);
    vxlan.end.master_index = netlink_link_index(net, "br0");
    ck_assert_uint_ne(vxlan.end.master_index, 0);
    OK(netlink_link_add(home, &vxlan, &err));
    ck_assert_ptr_null(read_link(home, "vxlan0"));
    const struct layout_link *link = read_link(net, "vxlan0");
    ck_assert_ptr_nonnull(link);
    ck_assert_int_eq(link->kind, LAYOUT_VXLAN);
    ck_assert_uint_eq(link->vni, 4097);
    ck_assert_uint_eq(link->port, 4789);
    ck_assert_uint_eq(link->mtu, 1450);
    ck_assert(link->up);
    ck_assert_str_eq(link->master, "br0");
    vxlan.end.name = "vxlan1";
    vxlan.end.master_index = 0;
    ck_assert_int_eq(netlink_link_add(home, &vxlan, &err), -ERR_ALREADY_EXISTS);

    struct ipnet dst = ip_of("192.0.2.7"), peer = ip_of("10.0.1.4");
    struct layout_fdb fdb = {.link = "vxlan0", .dst = dst, .permanent = true};
    struct layout_neigh neigh = {.link = "vxlan0", .ip = peer};
    mac_of_ip(&peer, fdb.mac);
    mac_of_ip(&peer, neigh.mac);
    OK(netlink_fdb_put(net, &fdb, &err));
    OK(netlink_fdb_put(net, &fdb, &err));
    OK(netlink_neigh_put(net, &neigh, &err));
    struct layout rows;
    layout_init(&rows);
    OK(netlink_dump(net, &rows, &err));
    size_t seen = 0;
    for (size_t i = 0; i < rows.fdbs_count; i++)
        seen += layout_compare_fdb(&rows.fdbs[i], &fdb) == 0 && rows.fdbs[i].permanent;
    ck_assert_uint_eq(seen, 1);
    ck_assert_uint_eq(rows.neighs_count, 1);
    ck_assert_int_eq(layout_compare_neigh(&rows.neighs[0], &neigh), 0);
    // The tunnel may move without a moment in between.
    fdb.dst = ip_of("192.0.2.8");
    OK(netlink_fdb_put(net, &fdb, &err));
    OK(netlink_fdb_del(net, &fdb, &err));
    OK(netlink_neigh_del(net, &neigh, &err));
    ck_assert_int_eq(netlink_fdb_del(net, &fdb, &err), -ERR_NOT_FOUND);
    ck_assert_int_eq(netlink_neigh_del(net, &neigh, &err), -ERR_NOT_FOUND);
    layout_fini(&rows);
    netlink_close(net);
    netlink_close(home);
    spaces_end();
}
END_TEST

// Goal: one request makes both ends of a pair in two other namespaces, one a port of a bridge.
START_TEST(pair_is_made_whole)
{
    if (!spaces_begin())
        return;
    int net_fd = spaces_make("net"), box_fd = spaces_make("box");
    struct netlink *home = spaces_netlink(NETLINK_NETNS_OWN), *net = spaces_netlink(net_fd);
    struct netlink *box = spaces_netlink(box_fd);
    add(net, "br0", LAYOUT_BRIDGE);
    static const uint8_t mac[MAC_BYTES] = {0x02, 0x42, 10, 0, 1, 4};
    struct netlink_link pair = {
        .end = {.name = "vport", .netns_fd = net_fd, .mtu = 1450, .up = true},
        .kind = LAYOUT_VETH,
        .peer = {.name = "eth0", .netns_fd = box_fd, .mtu = 1450, .mac = mac},
    };
    pair.end.master_index = netlink_link_index(net, "br0");
    OK(netlink_link_add(home, &pair, &err));
    const struct layout_link *port = read_link(net, "vport");
    ck_assert_ptr_nonnull(port);
    ck_assert_str_eq(port->master, "br0");
    ck_assert_int_eq(port->kind, LAYOUT_VETH);
    ck_assert(port->up);
    const struct layout_link *eth = read_link(box, "eth0");
    ck_assert_ptr_nonnull(eth);
    ck_assert_mem_eq(eth->mac, mac, MAC_BYTES);
    ck_assert_uint_eq(eth->mtu, 1450);
    ck_assert_int_eq(netlink_link_add(home, &pair, &err), -ERR_ALREADY_EXISTS);
    OK(netlink_link_up(box, "eth0", true, &err));
    OK(netlink_port_set(net, "vport", false, true, &err));

    struct layout_addr addr = {.link = "eth0", .ip = ip_of("10.0.1.4/24")};
    struct layout_route route = {.link = "eth0", .gateway = ip_of("10.0.1.1")};
    route.to.size = 4;
    OK(netlink_addr_add(box, &addr, &err));
    ck_assert_int_eq(netlink_addr_add(box, &addr, &err), -ERR_ALREADY_EXISTS);
    OK(netlink_route_put(box, &route, &err));
    route.gateway = ip_of("10.0.1.2");
    OK(netlink_route_put(box, &route, &err));
    struct layout rows;
    layout_init(&rows);
    OK(netlink_dump(box, &rows, &err));
    ck_assert_uint_eq(rows.addrs_count, 1);
    ck_assert_int_eq(layout_compare_addr(&rows.addrs[0], &addr), 0);
    ck_assert_uint_eq(rows.routes_count, 1);
    ck_assert_int_eq(layout_compare_route(&rows.routes[0], &route), 0);
    layout_fini(&rows);
    OK(netlink_route_del(box, &route, &err));
    OK(netlink_addr_del(box, &addr, &err));
    OK(netlink_link_del(net, "vport", &err));
    ck_assert_ptr_null(read_link(box, "eth0"));
    netlink_close(box);
    netlink_close(net);
    netlink_close(home);
    spaces_end();
}
END_TEST

// Goal: links change in place, and names that are not there or are none say so.
START_TEST(links_change)
{
    if (!spaces_begin())
        return;
    struct netlink *own = spaces_netlink(NETLINK_NETNS_OWN);
    static const uint8_t mac[MAC_BYTES] = {2, 1, 2, 3, 4, 5};
    add(own, "br7", LAYOUT_BRIDGE);
    add(own, "d0", LAYOUT_VETH);
    OK(netlink_link_master(own, "d0", "br7", &err));
    OK(netlink_link_mtu(own, "d0", 1300, &err));
    OK(netlink_link_mac(own, "d0", mac, &err));
    OK(netlink_link_up(own, "d0", false, &err));
    OK(netlink_link_rename(own, "d0", "d1", &err));
    const struct layout_link *link = read_link(own, "d1");
    ck_assert_ptr_nonnull(link);
    ck_assert_uint_eq(link->mtu, 1300);
    ck_assert_mem_eq(link->mac, mac, MAC_BYTES);
    ck_assert(!link->up);
    ck_assert_str_eq(link->master, "br7");
    OK(netlink_link_master(own, "d1", "", &err));
    ck_assert_str_eq(read_link(own, "d1")->master, "");
    ck_assert_int_eq(netlink_link_del(own, "d0", &err), -ERR_NOT_FOUND);
    ck_assert_int_eq(netlink_link_up(own, "d0", true, &err), -ERR_NOT_FOUND);
    ck_assert_int_eq(netlink_link_master(own, "d1", "br9", &err), -ERR_NOT_FOUND);
    ck_assert_int_eq(netlink_link_del(own, "", &err), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(netlink_link_del(own, "much-too-long-a-name", &err), -ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(netlink_link_index(own, "d0"), 0);
    netlink_close(own);
    spaces_end();
}
END_TEST

// Goal: cutting flows where there are none does nothing, without complaint.
START_TEST(no_flows_to_cut)
{
    static const uint32_t gone[] = {0x0a000105};
    size_t cut = 7;
    if (!spaces_begin())
        return;
    struct netlink *own = spaces_netlink(NETLINK_NETNS_OWN);
    OK(netlink_flows_cut(own, gone, 1, &cut, &err));
    ck_assert_uint_eq(cut, 0);
    netlink_close(own);
    spaces_end();
}
END_TEST

Suite *suite_netlink_io(void);
Suite *suite_netlink_io(void)
{
    Suite *suite = suite_create("netlink_io");
    TCase *tcase = tcase_create("netlink_io");
    tcase_add_test(tcase, vxlan_is_born_elsewhere);
    tcase_add_test(tcase, pair_is_made_whole);
    tcase_add_test(tcase, links_change);
    tcase_add_test(tcase, no_flows_to_cut);
    suite_add_tcase(suite, tcase);
    return suite;
}
