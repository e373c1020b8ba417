// What a node makes of what it heard from another.
#include <check.h>
#include <string.h>

#include "agent/net/checkup.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

static struct checkup_node sound(void)
{
    return (struct checkup_node){.name = "10.0.0.2",
                                 .address = "10.0.0.2",
                                 .manager = true,
                                 .gossip_tcp = HEARD_ANSWER,
                                 .manager_tcp = HEARD_ANSWER,
                                 .echo = HEARD_ANSWER,
                                 .needed = 1500,
                                 .passed = 1500,
                                 .network = "ingress",
                                 .tunnel = HEARD_ANSWER,
                                 .tunnel_full = HEARD_ANSWER,
                                 .tunnel_tcp = HEARD_REFUSAL,
                                 .plain = "ingress",
                                 .sealed = HEARD_ANSWER,
                                 .secret = "vault",
                                 .clock = HEARD_ANSWER,
                                 .source = "10.0.0.1"};
}

// The rows that are not fine: "check: found" each, a line.
static const char *complaints(const struct checkup *checkup)
{
    static char text[4096];
    struct buf rows;
    struct json_out out;
    struct err err = ERR_INIT;
    text[0] = '\0';
    buf_init(&rows, 1u << 16);
    json_out_init(&out, &rows);
    json_out_array(&out, NULL);
    checkup_write(checkup, &out);
    json_out_end(&out);
    ck_assert(json_out_done(&out));
    json_t *list = json_parse(rows.data, rows.len, &err), *row;
    size_t i;
    ck_assert_ptr_nonnull(list);
    json_array_foreach(list, i, row)
    {
        size_t at = strlen(text);
        if (str_equal(json_string_value(json_object_get(row, "Verdict")), "ok"))
            continue;
        (void)str_format(text + at, sizeof text - at, "%s: %s\n",
                         json_string_value(json_object_get(row, "Check")),
                         json_string_value(json_object_get(row, "Found")));
    }
    json_decref(list);
    buf_fini(&rows);
    return text;
}

static const char *of_node(struct checkup_node node)
{
    static struct checkup_node kept;
    kept = node;
    struct checkup checkup = {.self = "10.0.0.1",
                              .source = "10.0.0.1",
                              .port = 4789,
                              .nodes = &kept,
                              .nodes_count = 1,
                              .blocked_by = ""};
    return complaints(&checkup);
}

START_TEST(each_trouble_has_its_verdict)
{
    struct checkup_node node = sound();
    ck_assert_str_eq(of_node(node), "");
    node.ahead_ms = -61500;
    ck_assert_str_eq(of_node(node), "clock: 61.500 s behind ours\n");
    node = sound();
    node.gossip_udp_silent = true;
    node.manager_tcp = HEARD_REFUSAL;
    ck_assert_str_eq(of_node(node), "gossip, UDP 7946: pings are answered over TCP alone\n"
                                    "manager, TCP 2377: refused: nothing listens there\n");
    node = sound();
    node.sealed = HEARD_NOTHING;
    node.tunnel_tcp = HEARD_NOTHING;
    ck_assert_str_eq(of_node(node),
                     "checksum offload: network ingress: pings pass, TCP does not\n"
                     "encrypted overlay, ESP: network vault: nothing comes through to 10.0.0.2\n");
    node = sound();
    node.source[7] = '9';
    ck_assert_str_eq(of_node(node), "tunnel's source address: packets leave from 10.0.0.9, the "
                                    "others expect 10.0.0.1\n");
}
END_TEST

START_TEST(path_mtu_by_what_is_known)
{
    struct checkup_node node = sound();
    node.passed = 1400;
    ck_assert_str_eq(of_node(node), "path MTU: network ingress needs 1500 bytes, 1400 pass\n");
    // Where hosts do not answer pings, the tunnel tells.
    node.passed = 0;
    node.echo = node.clock = HEARD_NOTHING;
    ck_assert_str_eq(of_node(node), "");
    node.tunnel_full = HEARD_NOTHING;
    ck_assert_str_eq(of_node(node),
                     "path MTU: network ingress: small packets pass, full ones do not\n");
}
END_TEST

START_TEST(who_is_gone_is_not_asked_for_more)
{
    struct checkup_node node = sound();
    node.gossip_tcp = node.echo = node.tunnel = node.sealed = HEARD_NOTHING;
    ck_assert_str_eq(of_node(node), "host: 10.0.0.2: neither gossip nor pings are answered\n");
}
END_TEST

START_TEST(this_nodes_own_state)
{
    const struct checkup_drift drift = {
        .place = "network blue", .forwarding = 2, .neighbours = 1, .balancer = 1};
    struct checkup checkup = {.self = "10.0.0.1",
                              .drifts = &drift,
                              .drifts_count = 1,
                              .repairs = 7,
                              .names_asked = 3,
                              .names_wrong = 1,
                              .name_wrong = "web.blue",
                              .blocked_by = "inet firewalld/filter_FORWARD"};
    ck_assert_str_eq(
        complaints(&checkup),
        "network state: network blue was not what the managers say, and is repaired: 1 neighbour "
        "rows, 2 forwarding (FDB) rows, 1 balancer tables\n"
        "repairs since the start: 7\n"
        "DNS at 127.0.0.11: 1 of 3 containers' names are not answered, web.blue for one\n"
        "packet filter: forwarded packets are dropped by inet firewalld/filter_FORWARD\n");
}
END_TEST

Suite *suite_checkup(void);
Suite *suite_checkup(void)
{
    Suite *suite = suite_create("checkup");
    TCase *tcase = tcase_create("checkup");
    tcase_add_test(tcase, each_trouble_has_its_verdict);
    tcase_add_test(tcase, path_mtu_by_what_is_known);
    tcase_add_test(tcase, who_is_gone_is_not_asked_for_more);
    tcase_add_test(tcase, this_nodes_own_state);
    suite_add_tcase(suite, tcase);
    return suite;
}
