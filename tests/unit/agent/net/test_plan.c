#include <check.h>
#include <string.h>

#include "agent/net/overlay.h"
#include "agent/net/plan.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

static struct layout wanted, actual;
static struct plan plan;

static struct ipnet ip_of(const char *text)
{
    struct ipnet ip;
    ck_assert(ipnet_parse(text, &ip));
    return ip;
}

static void setup(void)
{
    layout_init(&wanted);
    layout_init(&actual);
    plan_init(&plan);
}

static void teardown(void)
{
    layout_fini(&wanted);
    layout_fini(&actual);
    plan_fini(&plan);
}

static void make(const char *links, bool rows)
{
    struct plan_rules rules = {.links = links, .rows = rows};
    layout_settle(&wanted);
    layout_sort(&actual);
    plan_fini(&plan);
    plan_make(&plan, &wanted, &actual, &rules);
}

static void peer(struct layout *layout, const char *ip, const char *tunnel)
{
    struct ipnet at = ip_of(ip), dst = ip_of(tunnel);
    uint8_t mac[MAC_BYTES];
    mac_of_ip(&at, mac);
    layout_add_neigh(layout, "vxlan0", &at, mac);
    layout_add_fdb(layout, "vxlan0", mac, &dst);
}

static void frame(struct layout *layout, bool read)
{
    struct ipnet gateway = ip_of("10.0.1.1/24");
    struct layout_link *link = layout_add_link(layout, "br0", LAYOUT_BRIDGE);
    link->up = true;
    link = layout_add_link(layout, "vxlan0", LAYOUT_VXLAN);
    link->up = true;
    link->mtu = 1450;
    link->vni = 4097;
    link->port = 4789;
    str_copy(link->master, sizeof link->master, "br0");
    layout_add_addr(layout, "br0", &gateway);
    if (read)
        layout_add_link(layout, "lo", LAYOUT_LOOPBACK);
}

static size_t count(enum plan_what what)
{
    size_t n = 0;
    for (size_t i = 0; i < plan.count; i++)
        n += plan.steps[i].what == what;
    return n;
}

// Goal: what is as wanted gives no step.
START_TEST(same_gives_nothing)
{
    frame(&wanted, false);
    frame(&actual, true);
    peer(&wanted, "10.0.1.9", "192.0.2.9");
    peer(&wanted, "10.0.1.9", "192.0.2.9");
    peer(&wanted, "10.0.1.7", "192.0.2.7");
    peer(&actual, "10.0.1.7", "192.0.2.7");
    peer(&actual, "10.0.1.9", "192.0.2.9");
    make("", true);
    ck_assert_uint_eq(plan.count, 0);
}
END_TEST

// Goal: from nothing, links come first and rows last.
START_TEST(all_from_nothing_in_order)
{
    frame(&wanted, false);
    peer(&wanted, "10.0.1.7", "192.0.2.7");
    layout_add_link(&wanted, "vport", LAYOUT_VETH); // made by its other end
    make("", true);
    ck_assert_uint_eq(count(PLAN_LINK_ADD), 2);
    ck_assert_uint_eq(count(PLAN_LINK_MASTER), 1);
    ck_assert_uint_eq(count(PLAN_LINK_UP), 2);
    ck_assert_uint_eq(count(PLAN_NEIGH_PUT), 1);
    ck_assert_uint_eq(count(PLAN_FDB_PUT), 1);
    for (size_t i = 1; i < plan.count; i++)
        ck_assert_int_le(plan.steps[i - 1].what, plan.steps[i].what);
}
END_TEST

// Goal: a moved endpoint is one replacement; one that went takes its learned entry along.
START_TEST(rows_move_and_go)
{
    struct ipnet none = {0};
    struct ipnet gone = ip_of("10.0.1.8");
    uint8_t mac[MAC_BYTES];
    mac_of_ip(&gone, mac);
    frame(&wanted, false);
    frame(&actual, true);
    peer(&wanted, "10.0.1.7", "192.0.2.77");
    peer(&actual, "10.0.1.7", "192.0.2.7");
    peer(&actual, "10.0.1.8", "192.0.2.8");
    layout_add_fdb(&actual, "vxlan0", mac, &none)->permanent = false; // the bridge's
    layout_add_fdb(&actual, "br0", mac, &none);                       // its own
    make("", true);
    ck_assert_uint_eq(count(PLAN_FDB_PUT), 1);
    ck_assert_uint_eq(count(PLAN_FDB_DEL), 2);
    ck_assert_uint_eq(count(PLAN_NEIGH_DEL), 1);
    ck_assert_uint_eq(plan.count, 4);
    make(NULL, false);
    ck_assert_uint_eq(plan.count, 1);
}
END_TEST

// Goal: only what is ours goes, and a link of another kind or number is made anew.
START_TEST(links_go_when_ours)
{
    frame(&wanted, false);
    frame(&actual, true);
    actual.links[1].vni = 5000;
    layout_add_link(&actual, "vold", LAYOUT_VETH);
    layout_add_link(&actual, "tunl0", LAYOUT_OTHER);
    make("", true);
    ck_assert_uint_eq(count(PLAN_LINK_DEL), 2);
    ck_assert_uint_eq(count(PLAN_LINK_ADD), 1);
    make("x", true);
    ck_assert_uint_eq(count(PLAN_LINK_DEL), 1); // the wrong tunnel alone
    actual.links[0].kind = LAYOUT_OTHER;
    make(NULL, false);
    ck_assert_uint_ge(count(PLAN_LINK_ADD), 1);
}
END_TEST

// Goal: a link is made with its tunnels' address; another address is one step, and one of the other
// family a link made anew. Where it does not matter whatever is there stays.
START_TEST(the_tunnels_address_changes_in_place)
{
    frame(&wanted, false);
    wanted.links[1].local_set = true;
    wanted.links[1].local = ip_of("192.0.2.1");
    make("", true);
    ck_assert_uint_eq(count(PLAN_LINK_ADD), 2);
    ck_assert_uint_eq(count(PLAN_LINK_LOCAL), 0);
    frame(&actual, true);
    make("", true);
    ck_assert_uint_eq(plan.count, 1);
    ck_assert_uint_eq(count(PLAN_LINK_LOCAL), 1);
    layout_sort(&actual);
    struct layout_link *there = (struct layout_link *)layout_link(&actual, "vxlan0");
    there->local = ip_of("192.0.2.1");
    make("", true);
    ck_assert_uint_eq(plan.count, 0);
    ((struct layout_link *)layout_link(&wanted, "vxlan0"))->local = (struct ipnet){0};
    make("", true);
    ck_assert_uint_eq(count(PLAN_LINK_LOCAL), 1);
    there->local = ip_of("fd00::1");
    make("", true);
    ck_assert_uint_eq(count(PLAN_LINK_DEL), 1);
    ck_assert_uint_eq(count(PLAN_LINK_ADD), 1);
    ((struct layout_link *)layout_link(&wanted, "vxlan0"))->local_set = false;
    make("", true);
    ck_assert_uint_eq(plan.count, 0);
}
END_TEST

Suite *suite_plan(void);
Suite *suite_plan(void)
{
    Suite *suite = suite_create("plan");
    TCase *tcase = tcase_create("plan");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, same_gives_nothing);
    tcase_add_test(tcase, all_from_nothing_in_order);
    tcase_add_test(tcase, rows_move_and_go);
    tcase_add_test(tcase, links_go_when_ours);
    tcase_add_test(tcase, the_tunnels_address_changes_in_place);
    suite_add_tcase(suite, tcase);
    return suite;
}
