#include <check.h>
#include <string.h>

#include "agent/net/gateway.h"
#include "agent/net/tunnels.h"
#include "agent/net/records.h"
#include "proto/base/check.h"

static struct overlay overlay;
static struct tunnels *peers;

static struct ipnet ip_of(const char *text)
{
    struct ipnet ip;
    ck_assert(ipnet_parse(text, &ip));
    return ip;
}

static void setup(void)
{
    memset(&overlay, 0, sizeof overlay);
    overlay.subnets_count = 1;
    overlay.subnets[0].subnet = ip_of("10.0.1.0/24");
    overlay.subnets[0].gateway = ip_of("10.0.1.1/24");
    peers = tunnels_new();
}

static void teardown(void)
{
    tunnels_free(peers);
}

static void row(const char *key, const char *ip, const char *tunnel)
{
    struct overlay_peer peer = {.ip = ip_of(ip), .tunnel = ip_of(tunnel)};
    mac_of_ip(&peer.ip, peer.mac);
    tunnels_row(peers, &overlay, key, &peer);
}

static uint32_t tunnel_of(size_t at)
{
    size_t count;
    const struct overlay_peer *list = tunnels_list(peers, &count);
    ck_assert_uint_lt(at, count);
    return ipnet_u32(&list[at].tunnel);
}

// Goal: of two rows for one address the first stays until it is gone, then the other counts.
START_TEST(first_stays_until_gone)
{
    tunnels_begin(peers);
    row("zz", "10.0.1.5/24", "192.0.2.1");
    ck_assert(tunnels_end(peers));
    tunnels_begin(peers);
    row("aa", "10.0.1.5/24", "192.0.2.2");
    row("zz", "10.0.1.5/24", "192.0.2.1");
    ck_assert(!tunnels_end(peers));
    ck_assert_uint_eq(tunnel_of(0) & 0xff, 1);
    tunnels_begin(peers);
    row("aa", "10.0.1.5/24", "192.0.2.2");
    ck_assert(tunnels_end(peers));
    ck_assert_uint_eq(tunnel_of(0) & 0xff, 2);
    tunnels_begin(peers);
    ck_assert(tunnels_end(peers));
}
END_TEST

// Goal: rows that cannot be true are passed over.
START_TEST(odd_rows_are_passed_over)
{
    size_t count;
    tunnels_begin(peers);
    row("a", "10.0.1.5/16", "192.0.2.1");
    row("b", "10.0.2.5/24", "192.0.2.1");
    row("c", "10.0.1.1/24", "192.0.2.1");
    ck_assert(!tunnels_end(peers));
    tunnels_list(peers, &count);
    ck_assert_uint_eq(count, 0);
}
END_TEST

// Goal: rows are written as stock nodes write them, byte by byte, and read back.
START_TEST(records_are_stock_rows)
{
    static const char stock[] = "\x0a\x0b"
                                "10.0.1.4/24"
                                "\x12\x11"
                                "02:42:0a:00:01:04"
                                "\x1a\x0d"
                                "192.168.77.11";
    struct overlay_peer peer = {.ip = ip_of("10.0.1.4/24"), .tunnel = ip_of("192.168.77.11")};
    struct overlay_peer back;
    struct buf bytes;
    mac_of_ip(&peer.ip, peer.mac);
    buf_init(&bytes, 4096);
    records_pack_peer(&peer, &bytes);
    ck_assert_uint_eq(bytes.len, sizeof stock - 1);
    ck_assert_mem_eq(bytes.data, stock, bytes.len);
    ck_assert_int_eq(records_parse_peer(bytes.data, bytes.len, &back, NULL), 0);
    ck_assert_mem_eq(&back, &peer, sizeof peer);
    buf_clear(&bytes);
    const char *aliases[] = {"alias"};
    struct records_port port = {.name = "", .protocol = 1, .target = 80, .published = 8080};
    struct records_endpoint endpoint = {
        .name = "web.1.x",
        .service_name = "web",
        .service_id = "id",
        .ip = ip_of("10.0.1.4"),
        .ports = &port,
        .ports_count = 1,
        .aliases = aliases,
        .aliases_count = 1,
        .disabled = true,
    };
    struct records_endpoint read;
    struct arena arena;
    arena_init(&arena, 1 << 16);
    records_pack_endpoint(&endpoint, &bytes);
    ck_assert_int_eq(records_parse_endpoint(bytes.data, bytes.len, &arena, &read, NULL), 0);
    ck_assert(!ipnet_is_set(&read.vip));
    ck_assert(read.disabled);
    ck_assert_uint_eq(read.ports[0].published, 8080);
    ck_assert_str_eq(read.aliases[0], "alias");
    endpoint.name = "";
    buf_clear(&bytes);
    records_pack_endpoint(&endpoint, &bytes);
    ck_assert_int_eq(records_parse_endpoint(bytes.data, bytes.len, &arena, &read, NULL),
                     -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(records_parse_peer("\xff\xff", 2, &back, NULL), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(records_parse_peer("", 0, &back, NULL), -ERR_INVALID_ARGUMENT);
    arena_fini(&arena);
    buf_fini(&bytes);
}
END_TEST

// Goal: the gateway bridge keeps away from what the host has, and its addresses are given once.
START_TEST(gateway_keeps_away)
{
    struct gateway gateway;
    struct layout host;
    struct ipnet a, b, used = ip_of("172.18.5.1/24"), route = ip_of("172.19.0.0/16");
    char text[IPNET_TEXT_BYTES];
    layout_init(&host);
    gateway_init(&gateway);
    layout_add_addr(&host, "eth9", &used);
    layout_add_route(&host, &route, "eth9", NULL);
    ck_assert_int_eq(gateway_choose(&gateway, &host, NULL), 0);
    ck_assert_str_eq(ipnet_format(&gateway.ip, text), "172.20.0.1/16");
    ck_assert_int_eq(gateway_take(&gateway, &a, NULL), 0);
    ck_assert_int_eq(gateway_take(&gateway, &b, NULL), 0);
    ck_assert_str_eq(ipnet_format(&b, text), "172.20.0.3/16");
    ck_assert(!gateway_claim(&gateway, &a));
    gateway_give(&gateway, &a);
    ck_assert(gateway_claim(&gateway, &a));
    ck_assert(!gateway_claim(&gateway, &used));
    // What the default bridge is going to take is left to it, as where a stock daemon has two.
    struct ipnet theirs = ip_of("172.17.0.1/16"), ours = ip_of("172.20.0.1/16");
    layout_add_addr(&host, "docker0", &theirs);
    ck_assert_int_eq(gateway_choose(&gateway, &host, NULL), 0);
    ck_assert_str_eq(ipnet_format(&gateway.ip, text), "172.21.0.1/16");
    layout_add_addr(&host, "skep0", &ours);
    ck_assert_int_eq(gateway_choose(&gateway, &host, NULL), 0);
    ck_assert_str_eq(ipnet_format(&gateway.ip, text), "172.21.0.1/16");
    struct ipnet found = ip_of("192.168.40.1/28");
    layout_add_addr(&host, GATEWAY_BRIDGE, &found);
    ck_assert_int_eq(gateway_choose(&gateway, &host, NULL), 0);
    ck_assert_int_eq(ipnet_compare(&gateway.ip, &found), 0);
    for (int i = 0; i < 13; i++)
        ck_assert_int_eq(gateway_take(&gateway, &a, NULL), 0);
    ck_assert_int_eq(gateway_take(&gateway, &a, NULL), -ERR_RESOURCE_EXHAUSTED);
    layout_fini(&host);
    gateway_fini(&gateway);
}
END_TEST

Suite *suite_tunnels(void);
Suite *suite_tunnels(void)
{
    Suite *suite = suite_create("tunnels");
    TCase *tcase = tcase_create("tunnels");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, first_stays_until_gone);
    tcase_add_test(tcase, odd_rows_are_passed_over);
    tcase_add_test(tcase, records_are_stock_rows);
    tcase_add_test(tcase, gateway_keeps_away);
    suite_add_tcase(suite, tcase);
    return suite;
}
