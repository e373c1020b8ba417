#include <check.h>
#include <string.h>

#include "agent/net/ipnet.h"

static struct ipnet ip_of(const char *text)
{
    struct ipnet ip;
    ck_assert_msg(ipnet_parse(text, &ip), "%s", text);
    return ip;
}

// Goal: what is read is written again, and what is no address is none.
START_TEST(text_goes_in_and_out)
{
    static const char *const good[] = {"10.0.1.4/24", "0.0.0.0/0", "fd00::1/64", "10.0.0.1/32"};
    static const char *const bad[] = {"",      "10.0.0",      "10.0.0.1/33", "10.0.0.1/", "<nil>",
                                      "a.b.c", "10.0.0.1/-1", "fd00::/129",  " 10.0.0.1"};
    char text[IPNET_TEXT_BYTES];
    struct ipnet ip;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ip = ip_of(good[i]);
        ck_assert_str_eq(ipnet_format(&ip, text), good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_msg(!ipnet_parse(bad[i], &ip), "%s", bad[i]);
        ck_assert(!ipnet_is_set(&ip));
    }
    ck_assert(!ipnet_parse(NULL, &ip));
    ip = ip_of("10.0.1.4");
    ck_assert_uint_eq(ip.prefix, 32);
    ck_assert_str_eq(ipnet_format_ip(&ip, text), "10.0.1.4");
    ck_assert_uint_eq(ipnet_u32(&ip), 0x0a000104);
}
END_TEST

// Goal: networks know what lies in them.
START_TEST(networks_contain_and_overlap)
{
    struct ipnet net = ip_of("10.0.1.77/24"), in = ip_of("10.0.1.4"), out = ip_of("10.0.2.4");
    struct ipnet wide = ip_of("10.0.0.0/8"), six = ip_of("fd00::1/64"), odd = ip_of("10.0.1.0/25");
    char text[IPNET_TEXT_BYTES];
    ck_assert(ipnet_contains(&net, &in));
    ck_assert(!ipnet_contains(&net, &out));
    ck_assert(!ipnet_contains(&net, &six));
    ck_assert(ipnet_overlaps(&net, &wide));
    ck_assert(ipnet_overlaps(&wide, &net));
    ck_assert(!ipnet_overlaps(&net, &six));
    ck_assert(ipnet_overlaps(&net, &odd));
    struct ipnet base = ipnet_base(&net);
    ck_assert_str_eq(ipnet_format(&base, text), "10.0.1.0/24");
    ck_assert_int_lt(ipnet_compare(&in, &out), 0);
    ck_assert(ipnet_is_unicast(&in));
    struct ipnet none[] = {ip_of("0.0.0.0"),         ip_of("127.0.0.1"), ip_of("224.0.0.1"),
                           ip_of("255.255.255.255"), ip_of("::1"),       ip_of("ff02::1")};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ck_assert(!ipnet_is_unicast(&none[i]));
}
END_TEST

// Goal: MAC addresses follow addresses, and odd texts are refused.
START_TEST(macs_follow_addresses)
{
    struct ipnet ip = ip_of("10.0.1.4/24");
    uint8_t mac[MAC_BYTES], back[MAC_BYTES];
    char text[MAC_TEXT_BYTES];
    mac_of_ip(&ip, mac);
    ck_assert_str_eq(mac_format(mac, text), "02:42:0a:00:01:04");
    ck_assert(mac_parse("02:42:0A:00:01:04", back));
    ck_assert_mem_eq(mac, back, MAC_BYTES);
    ck_assert(!mac_parse("02:42:0a:00:01", back));
    ck_assert(!mac_parse("02:42:0a:00:01:0g", back));
    ck_assert(!mac_parse("02-42-0a-00-01-04", back));
    ck_assert(mac_is_unicast(mac));
    mac[0] |= 1;
    ck_assert(!mac_is_unicast(mac));
}
END_TEST

Suite *suite_ipnet(void);
Suite *suite_ipnet(void)
{
    Suite *suite = suite_create("ipnet");
    TCase *tcase = tcase_create("ipnet");
    tcase_add_test(tcase, text_goes_in_and_out);
    tcase_add_test(tcase, networks_contain_and_overlap);
    tcase_add_test(tcase, macs_follow_addresses);
    suite_add_tcase(suite, tcase);
    return suite;
}
