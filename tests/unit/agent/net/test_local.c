// Local networks: what may be asked for, how subnets and addresses are chosen, and that a record
// comes back as it went.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "agent/net/local.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define C1 "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define C2 "2123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct local *make(const char *body, struct err *err)
{
    json_t *json = json_parse(body, strlen(body), NULL);
    ck_assert_ptr_nonnull(json);
    struct local *local = local_of_body(json, ID, (struct wall){NS_PER_S}, err);
    json_decref(json);
    return local;
}

static struct ipnet net_of(const char *text)
{
    struct ipnet ip;
    ck_assert(ipnet_parse(text, &ip));
    return ip;
}

static const struct local_defaults docker;

START_TEST(what_cannot_be_is_refused)
{
    static const struct {
        const char *body;
        enum err_code code;
    } rows[] = {
        {"{}", ERR_INVALID_ARGUMENT},
        {"{\"Name\":\"a\",\"Driver\":\"weave\"}", ERR_NOT_FOUND},
        {"{\"Name\":\"a\",\"EnableIPv6\":true}", ERR_INVALID_ARGUMENT},
        {"{\"Name\":\"a\",\"IPAM\":{\"Config\":[{\"Subnet\":\"fd00::/64\"}]}}",
         ERR_INVALID_ARGUMENT},
        {"{\"Name\":\"a\",\"IPAM\":{\"Config\":[{\"Subnet\":\"10.0.0.0/24\"},"
         "{\"Subnet\":\"10.0.1.0/24\"}]}}",
         ERR_PERMISSION_DENIED},
        {"{\"Name\":\"a\",\"Driver\":\"macvlan\",\"Options\":{\"parent\":\"e\"},\"IPAM\":"
         "{\"Config\":[{\"Subnet\":\"10.0.0.0/24\"},{\"Subnet\":\"10.0.0.0/25\"}]}}",
         ERR_PERMISSION_DENIED},
        {"{\"Name\":\"a\",\"IPAM\":{\"Config\":[{\"Subnet\":\"10.0.0.0/24\","
         "\"AuxiliaryAddresses\":{\"r\":\"10.0.1.9\"}}]}}",
         ERR_INVALID_ARGUMENT},
        {"{\"Name\":\"a\",\"Options\":{\"x\":\"y\"}}", ERR_UNIMPLEMENTED},
        {"{\"Name\":\"a\",\"Driver\":\"macvlan\"}", ERR_INVALID_ARGUMENT},
        {"{\"Name\":\"a\",\"Driver\":\"ipvlan\",\"Options\":{\"parent\":\"e\","
         "\"ipvlan_mode\":\"l9\"}}",
         ERR_INVALID_ARGUMENT},
        {"{\"Name\":\"a\",\"Options\":{\"com.docker.network.bridge.name\":\"a/b\"}}",
         ERR_INVALID_ARGUMENT},
        {"{\"Name\":\"a\",\"Options\":{\"com.docker.network.bridge.enable_icc\":\"maybe\"}}",
         ERR_INVALID_ARGUMENT},
        {"{\"Name\":\"a\",\"IPAM\":{\"Config\":[{\"Gateway\":\"10.0.0.1\"}]}}",
         ERR_INVALID_ARGUMENT},
        {"{\"Name\":\"a\",\"IPAM\":{\"Config\":[{\"Subnet\":\"10.0.0.0/31\"}]}}",
         ERR_INVALID_ARGUMENT},
        {"{\"Name\":\"a\",\"IPAM\":{\"Config\":[{\"Subnet\":\"10.0.0.0/24\","
         "\"Gateway\":\"10.0.1.1\"}]}}",
         ERR_INVALID_ARGUMENT},
        {"{\"Name\":\"a\",\"IPAM\":{\"Config\":[{\"Subnet\":\"10.0.0.0/24\","
         "\"IPRange\":\"10.0.0.0/16\"}]}}",
         ERR_INVALID_ARGUMENT},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct err err = ERR_INIT;
        ck_assert_msg(!make(rows[i].body, &err), "%s", rows[i].body);
        ck_assert_msg(err.code == rows[i].code, "%s: %s", rows[i].body, err.message);
    }
}
END_TEST

START_TEST(a_configuration_is_no_network)
{
    struct err err = ERR_INIT;
    struct buf text;
    struct json_out out;
    struct local *local =
        make("{\"Name\":\"cfg\",\"Driver\":\"bridge\",\"ConfigOnly\":true,"
             "\"IPAM\":{\"Options\":{},\"Config\":[{\"Subnet\":\"10.60.0.0/24\"}]},"
             "\"Options\":{\"parent\":\"eth0\"}}",
             &err);
    ck_assert_ptr_nonnull(local);
    ck_assert_int_eq(local->driver, LOCAL_CONFIG);
    ck_assert_str_eq(local->link, "");
    buf_init(&text, 65536);
    json_out_init(&out, &text);
    local_record(local, &out);
    ck_assert(json_out_done(&out));
    local_free(local);
    json_t *record = json_parse(text.data, text.len, &err);
    ck_assert_str_eq(json_string_value(json_object_get(record, "Driver")), "null");
    ck_assert(json_is_true(json_object_get(record, "ConfigOnly")));
    local = local_of_record(record, &err);
    ck_assert_msg(local, "%s", err.message);
    ck_assert_int_eq(local->driver, LOCAL_CONFIG);
    ck_assert_int_eq(local->subnet.prefix, 24);
    local_free(local);
    json_decref(record);
    buf_fini(&text);
}
END_TEST

START_TEST(the_first_free_pool_is_chosen)
{
    struct err err = ERR_INIT;
    struct local *local = make("{\"Name\":\"a\"}", &err);
    const struct ipnet taken[] = {net_of("0.0.0.0/0"), net_of("172.17.0.0/16"),
                                  net_of("172.18.5.0/24")};
    char text[IPNET_TEXT_BYTES];
    ck_assert_int_eq(local_choose(local, &docker, taken, COUNT_OF(taken), &err), 0);
    ck_assert_str_eq(ipnet_format(&local->subnet, text), "172.19.0.0/16");
    ck_assert_str_eq(ipnet_format(&local->gateway, text), "172.19.0.1/16");
    ck_assert_str_eq(local->link, "br-0123456789ab");
    local_free(local);
    local = make("{\"Name\":\"a\",\"IPAM\":{\"Config\":[{\"Subnet\":\"172.18.0.0/16\"}]}}", &err);
    ck_assert_int_eq(local_choose(local, &docker, taken, COUNT_OF(taken), &err),
                     -ERR_PERMISSION_DENIED);
    local_free(local);
}
END_TEST

static const char small[] = "{\"Name\":\"a\",\"Internal\":true,\"Labels\":{\"x\":\"y\"},\"IPAM\":"
                            "{\"Config\":[{\"Subnet\":\"10.1.0.0/29\",\"Gateway\":\"10.1.0.2\"}]}}";

START_TEST(addresses_are_given_once)
{
    struct err err = ERR_INIT;
    struct local *local = make(small, &err);
    struct ipnet ip = net_of("10.1.0.4");
    ck_assert_int_eq(local_choose(local, &docker, NULL, 0, &err), 0);
    ck_assert_ptr_nonnull(local_attach(local, C1, "one", &ip, NULL, &err));
    ck_assert_ptr_null(local_attach(local, C1, "one", NULL, NULL, &err));
    ck_assert_int_eq(err.code, ERR_ALREADY_EXISTS);
    ck_assert_ptr_null(local_attach(local, C2, "two", &ip, NULL, &err));
    ip = net_of("10.1.0.2"); // the gateway's
    ck_assert_ptr_null(local_attach(local, C2, "two", &ip, NULL, &err));
    ip = net_of("10.2.0.2");
    ck_assert_ptr_null(local_attach(local, C2, "two", &ip, NULL, &err));
    ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
    // Of eight addresses the first, the last, the gateway's and one endpoint's are taken.
    static const char *const left[] = {"10.1.0.1", "10.1.0.3", "10.1.0.5", "10.1.0.6"};
    for (size_t i = 0; i < COUNT_OF(left); i++) {
        char container[LOCAL_ID_BYTES], text[IPNET_TEXT_BYTES];
        str_format(container, sizeof container, "%zu%.63s", i + 3, &C1[1]);
        const struct local_endpoint *it = local_attach(local, container, "x", NULL, NULL, &err);
        ck_assert_ptr_nonnull(it);
        ck_assert_str_eq(ipnet_format_ip(&it->ip, text), left[i]);
    }
    ck_assert_ptr_null(local_attach(local, C2, "two", NULL, NULL, &err));
    ck_assert_int_eq(err.code, ERR_RESOURCE_EXHAUSTED);
    local_detach(local, C1);
    ck_assert_ptr_nonnull(local_attach(local, C2, "two", NULL, NULL, &err));
    local_free(local);
}
END_TEST

static char *record_of(const struct local *local)
{
    struct buf text;
    struct json_out out;
    buf_init(&text, 1u << 20);
    json_out_init(&out, &text);
    local_record(local, &out);
    ck_assert(json_out_done(&out));
    char *copy = str_dup(buf_cstr(&text));
    buf_fini(&text);
    return copy;
}

static const char wide[] =
    "{\"Name\":\"a\",\"Driver\":\"macvlan\",\"Options\":{\"parent\":\"e\"},\"EnableIPv6\":true,"
    "\"IPAM\":{\"Config\":[{\"Subnet\":\"10.1.0.0/30\","
    "\"AuxiliaryAddresses\":{\"r\":\"10.1.0.2\"}},"
    "{\"Subnet\":\"10.2.0.0/24\",\"Gateway\":\"10.2.0.9\",\"IPRange\":\"10.2.0.8/29\"},"
    "{\"Subnet\":\"fd00:1::/64\",\"AuxiliaryAddresses\":{\"s\":\"fd00:1::2\"}}]}}";

// Goal: addresses of others are never given, a full subnet is followed by the next, each has its
// own gateway, and IPv6 comes along; the record says it all.
START_TEST(several_subnets_and_both_families)
{
    struct err err = ERR_INIT;
    char text[IPNET_TEXT_BYTES];
    struct local *local = make(wide, &err);
    ck_assert_msg(local, "%s", err.message);
    ck_assert_int_eq(local_choose(local, &docker, NULL, 0, &err), 0);
    struct ipnet ip = net_of("10.1.0.2");
    ck_assert_ptr_null(local_attach(local, C1, "one", &ip, NULL, &err));
    ck_assert_int_eq(err.code, ERR_ALREADY_EXISTS);
    struct local_endpoint *endpoint = local_attach(local, C1, "one", NULL, NULL, &err);
    ck_assert_ptr_nonnull(endpoint);
    ck_assert_str_eq(ipnet_format(&endpoint->ip, text), "10.2.0.8/24");
    ip = local_gateway(local, &endpoint->ip);
    ck_assert_str_eq(ipnet_format_ip(&ip, text), "10.2.0.9");
    ck_assert_int_eq(local_attach6(local, endpoint, NULL, &err), 0);
    ck_assert_str_eq(ipnet_format(&endpoint->ip6, text), "fd00:1::3/64");
    ip = local_gateway(local, &endpoint->ip6);
    ck_assert_str_eq(ipnet_format_ip(&ip, text), "fd00:1::1");
    str_copy(endpoint->eth, sizeof endpoint->eth, "eth0");
    str_copy(endpoint->id, sizeof endpoint->id, C2);
    endpoint = local_attach(local, C2, "two", NULL, NULL, &err);
    ck_assert_str_eq(ipnet_format(&endpoint->ip, text), "10.2.0.10/24");
    ip = net_of("fd00:1::3");
    ck_assert_int_eq(local_attach6(local, endpoint, &ip, &err), -ERR_ALREADY_EXISTS);
    ip = net_of("fd00:2::3");
    ck_assert_int_eq(local_attach6(local, endpoint, &ip, &err), -ERR_INVALID_ARGUMENT);
    local_detach(local, C2);
    char *before = record_of(local);
    json_t *json = json_parse(before, strlen(before), &err);
    struct local *again = local_of_record(json, &err);
    ck_assert_msg(again != NULL, "%s", err.message);
    char *after = record_of(again);
    ck_assert_str_eq(before, after);
    json_decref(json);
    local_free(local);
    local_free(again);
    free(before);
    free(after);
}
END_TEST

START_TEST(a_record_comes_back_as_it_went)
{
    struct err err = ERR_INIT;
    struct local *local = make(small, &err);
    ck_assert_int_eq(local_choose(local, &docker, NULL, 0, &err), 0);
    struct local_endpoint *endpoint = local_attach(local, C1, "one", NULL, NULL, &err);
    str_copy(endpoint->eth, sizeof endpoint->eth, "eth0");
    str_copy(endpoint->id, sizeof endpoint->id, C2);
    endpoint->ports = mem_alloc_array(2, sizeof *endpoint->ports);
    endpoint->ports[0] = (struct ports_row){.protocol = 6, .published = 8080, .target = 80};
    endpoint->ports[1] = (struct ports_row){
        .protocol = 6, .published = 8080, .target = 80, .only6 = true, .host6 = {[15] = 1}};
    endpoint->ports_count = 2;
    endpoint->names = json_pack("{s:[s]}", "Aliases", "db");
    char *before = record_of(local);
    json_t *json = json_parse(before, strlen(before), &err);
    struct local *again = local_of_record(json, &err);
    ck_assert_msg(again != NULL, "%s", err.message);
    char *after = record_of(again);
    ck_assert_str_eq(before, after);
    ck_assert(again->internal);
    json_object_set_new(json, "Id", json_string("short"));
    ck_assert_ptr_null(local_of_record(json, &err));
    json_decref(json);
    local_free(local);
    local_free(again);
    free(before);
    free(after);
}
END_TEST

Suite *suite_local(void);
Suite *suite_local(void)
{
    Suite *suite = suite_create("local");
    TCase *tcase = tcase_create("local");
    tcase_add_test(tcase, what_cannot_be_is_refused);
    tcase_add_test(tcase, a_configuration_is_no_network);
    tcase_add_test(tcase, the_first_free_pool_is_chosen);
    tcase_add_test(tcase, addresses_are_given_once);
    tcase_add_test(tcase, several_subnets_and_both_families);
    tcase_add_test(tcase, a_record_comes_back_as_it_went);
    suite_add_tcase(suite, tcase);
    return suite;
}
