// Addresses: what is taken, what is refused, and how peers are counted.
#include <check.h>
#include <string.h>

#include "proto/net/addr.h"

static const struct {
    const char *text;
    enum addr_kind kind;
    const char *again; // as addr_format writes it
} good[] = {
    {"10.0.0.1:2377", ADDR_IP4, "10.0.0.1:2377"},
    {"tcp://10.0.0.1:1", ADDR_IP4, "10.0.0.1:1"},
    {"10.0.0.1", ADDR_IP4, "10.0.0.1:99"},
    {"[fd00::1]:2377", ADDR_IP6, "[fd00::1]:2377"},
    {"[fd00::1]", ADDR_IP6, "[fd00::1]:99"},
    {"fd00::1", ADDR_IP6, "[fd00::1]:99"},
    {":2377", ADDR_IP6, "[::]:2377"},
    {"[fe80::1%lo]:1", ADDR_IP6, "[fe80::1%lo]:1"},
    {"manager.example:2377", ADDR_NAME, "manager.example:2377"},
    {"manager", ADDR_NAME, "manager:99"},
    {"unix:///run/skep.sock", ADDR_UNIX, "unix:///run/skep.sock"},
    {"/run/skep.sock", ADDR_UNIX, "unix:///run/skep.sock"},
    {"unix://@skep", ADDR_UNIX, "unix://@skep"},
};

START_TEST(good_forms_are_read_and_written)
{
    struct addr addr;
    struct err err = ERR_INIT;
    char text[ADDR_TEXT_BYTES];
    ck_assert_msg(addr_parse(good[_i].text, 99, &addr, &err) == 0, "%s", err.message);
    ck_assert_int_eq(addr.kind, good[_i].kind);
    ck_assert_str_eq(addr_format(&addr, text), good[_i].again);
}
END_TEST

static const char *const bad[] = {
    "",         "tcp://",       "host:", "host:65536",  "host:-1",       "[fd00::1", "[]:1",
    "[host]:1", "[10.0.0.1]:1", "a b:1", "host/path:1", "10.0.0.1%lo:1", "unix://",  "fd00::zz",
};

START_TEST(bad_forms_are_refused)
{
    struct addr addr;
    ck_assert_msg(addr_parse(bad[_i], 99, &addr, NULL) == -ERR_INVALID_ARGUMENT, "%s", bad[_i]);
}
END_TEST

START_TEST(missing_port_without_default_is_refused)
{
    struct addr addr;
    ck_assert_int_eq(addr_parse("10.0.0.1", 0, &addr, NULL), -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(names_and_paths_have_a_longest)
{
    char text[400];
    struct addr addr;
    memset(text, 'a', sizeof text);
    text[ADDR_HOST_BYTES - 1] = '\0';
    ck_assert_int_eq(addr_parse(text, 1, &addr, NULL), 0);
    text[ADDR_HOST_BYTES - 1] = 'a';
    text[ADDR_HOST_BYTES] = '\0';
    ck_assert_int_eq(addr_parse(text, 1, &addr, NULL), -ERR_INVALID_ARGUMENT);
    text[0] = '/';
    text[ADDR_PATH_BYTES - 1] = '\0';
    ck_assert_int_eq(addr_parse(text, 1, &addr, NULL), 0);
    text[ADDR_PATH_BYTES - 1] = 'a';
    text[ADDR_PATH_BYTES] = '\0';
    ck_assert_int_eq(addr_parse(text, 1, &addr, NULL), -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(peers_count_by_ipv4_address_and_ipv6_network)
{
    struct addr a, b;
    uint8_t key_a[16], key_b[16];
    ck_assert_int_eq(addr_parse("10.0.0.1:1", 0, &a, NULL), 0);
    ck_assert_int_eq(addr_parse("[::ffff:10.0.0.1]:2", 0, &b, NULL), 0);
    ck_assert_uint_eq(addr_peer_key(&a, key_a), 4);
    ck_assert_uint_eq(addr_peer_key(&b, key_b), 4);
    ck_assert_mem_eq(key_a, key_b, 4);
    ck_assert_int_eq(addr_parse("[fd00:0:0:7::1]:1", 0, &a, NULL), 0);
    ck_assert_int_eq(addr_parse("[fd00:0:0:7:8::2]:1", 0, &b, NULL), 0);
    ck_assert_uint_eq(addr_peer_key(&a, key_a), 8);
    ck_assert_uint_eq(addr_peer_key(&b, key_b), 8);
    ck_assert_mem_eq(key_a, key_b, 8);
    ck_assert_int_eq(addr_parse("/run/x", 0, &a, NULL), 0);
    ck_assert_uint_eq(addr_peer_key(&a, key_a), 0);
}
END_TEST

Suite *suite_addr(void);
Suite *suite_addr(void)
{
    Suite *suite = suite_create("addr");
    TCase *tcase = tcase_create("text");
    tcase_add_loop_test(tcase, good_forms_are_read_and_written, 0, sizeof good / sizeof good[0]);
    tcase_add_loop_test(tcase, bad_forms_are_refused, 0, sizeof bad / sizeof bad[0]);
    tcase_add_test(tcase, missing_port_without_default_is_refused);
    tcase_add_test(tcase, names_and_paths_have_a_longest);
    tcase_add_test(tcase, peers_count_by_ipv4_address_and_ipv6_network);
    suite_add_tcase(suite, tcase);
    return suite;
}
