// The table of names: what a record yields, who sees it, and what is left when it goes.
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "agent/dns/names.h"

static struct names *names;
static const struct names_sandbox *both, *front, *back; // sandboxes by the networks they see

static void setup(void)
{
    static const char *const ids[] = {"n1", "n2"};
    names = names_new(7);
    ck_assert_int_eq(names_network_put(names, "n1", "Front", false, NULL), 0);
    ck_assert_int_eq(names_network_put(names, "n2", "back.end", true, NULL), 0);
    ck_assert_int_eq(names_sandbox_put(names, "both", ids, 2, NULL), 0);
    ck_assert_int_eq(names_sandbox_put(names, "front", ids, 1, NULL), 0);
    ck_assert_int_eq(names_sandbox_put(names, "back", ids + 1, 1, NULL), 0);
    both = names_sandbox_get(names, "both");
    front = names_sandbox_get(names, "front");
    back = names_sandbox_get(names, "back");
}

static void teardown(void)
{
    names_free(names);
}

static struct names_ip ip4(uint8_t third, uint8_t fourth)
{
    return (struct names_ip){4, {10, 0, third, fourth}};
}

static const char *const service_aliases[] = {"www"};
static const char *const aliases[] = {"0123456789ab", "host-1"};

// A task of service `web` with the last byte of its address; with a virtual address of 200 or none.
static struct names_record task(const char *endpoint, const char *name, uint8_t last, bool vip)
{
    struct names_record record = {
        .endpoint = endpoint,
        .name = name,
        .service = "web",
        .aliases = aliases,
        .aliases_count = 2,
        .service_aliases = service_aliases,
        .service_aliases_count = 1,
        .ips = {ip4(1, last)},
    };
    if (vip)
        record.vips[0] = ip4(1, 200);
    return record;
}

static void put(const char *network, const struct names_record *record)
{
    ck_assert_int_eq(names_record_put(names, network, record, NULL), 0);
}

// The answer as sorted last bytes of its addresses ("5,6"), "none" when the name exists without
// one, "unknown".
static const char *ask_size(const struct names_sandbox *sandbox, const char *text, uint8_t size)
{
    static char out[256];
    struct dns_name name;
    struct names_answer answer;
    ck_assert_int_eq(dns_name_parse(text, &name, NULL), 0);
    if (!names_lookup(names, sandbox, &name, size, 64, &answer))
        return "unknown";
    out[0] = '\0';
    for (unsigned last = 0; last < 256; last++)
        for (size_t i = 0; i < answer.count; i++)
            if (answer.ips[i].bytes[size - 1] == last)
                sprintf(out + strlen(out), "%s%u", *out ? "," : "", last);
    return *out ? out : "none";
}

static const char *ask(const struct names_sandbox *sandbox, const char *text)
{
    return ask_size(sandbox, text, 4);
}

START_TEST(service_with_virtual_address)
{
    struct names_record one = task("e1", "web.1.x", 5, true), two = task("e2", "web.2.y", 6, true);
    put("n1", &one);
    put("n1", &two);
    ck_assert_str_eq(ask(front, "web"), "200");
    ck_assert_str_eq(ask(front, "www"), "200");
    ck_assert_str_eq(ask(front, "tasks.web"), "5,6");
    ck_assert_str_eq(ask(front, "tasks.www"), "5,6");
    ck_assert_str_eq(ask(front, "web.1.x"), "5");
    ck_assert_str_eq(ask(front, "web.2.y"), "6");
    ck_assert_str_eq(ask(front, "0123456789ab"), "5,6"); // shared: all who answer to it
    ck_assert_str_eq(ask(front, "host-1"), "5,6");
    ck_assert_str_eq(ask(front, "e1"), "unknown");
    ck_assert_str_eq(ask(front, "tasks.host-1"), "unknown");
    ck_assert_str_eq(ask(front, "tasks"), "unknown");
    ck_assert_str_eq(ask(front, ""), "unknown");
}
END_TEST

START_TEST(service_without_virtual_address_has_its_tasks)
{
    struct names_record one = task("e1", "web.1.x", 5, false),
                        two = task("e2", "web.2.y", 6, false);
    put("n1", &one);
    put("n1", &two);
    ck_assert_str_eq(ask(front, "web"), "5,6");
    ck_assert_str_eq(ask(front, "www"), "5,6");
    ck_assert_str_eq(ask(front, "tasks.web"), "5,6");
}
END_TEST

START_TEST(container_without_service)
{
    struct names_record record = {.endpoint = "e1", .name = "db", .ips = {ip4(1, 9)}};
    put("n1", &record);
    ck_assert_str_eq(ask(front, "db"), "9");
    ck_assert_str_eq(ask(front, "tasks.db"), "unknown");
}
END_TEST

START_TEST(case_is_ignored)
{
    struct names_record record = {.endpoint = "e1", .name = "Db", .ips = {ip4(1, 9)}};
    put("n1", &record);
    ck_assert_str_eq(ask(front, "dB"), "9");
    ck_assert_str_eq(ask(front, "DB.fRONT"), "9");
}
END_TEST

START_TEST(names_are_visible_on_their_network_only)
{
    struct names_record one = task("e1", "web.1.x", 5, true);
    put("n1", &one);
    ck_assert_str_eq(ask(back, "web"), "unknown");
    ck_assert_str_eq(ask(back, "web.front"), "unknown");
    ck_assert_str_eq(ask(both, "web"), "200");
}
END_TEST

START_TEST(network_at_the_end_chooses_the_network)
{
    struct names_record one = {.endpoint = "e1", .name = "db", .ips = {ip4(1, 9)}};
    struct names_record two = {.endpoint = "e2", .name = "db", .ips = {ip4(2, 8)}};
    put("n1", &one);
    put("n2", &two);
    ck_assert_str_eq(ask(both, "db"), "9"); // the first network in the sandbox's order
    ck_assert_str_eq(ask(both, "db.front"), "9");
    ck_assert_str_eq(ask(both, "db.back.end"), "8");
    ck_assert_str_eq(ask(both, "db.back"), "unknown");
    ck_assert_str_eq(ask(both, "db.end"), "unknown");
    ck_assert_str_eq(ask(both, "front"), "unknown");
}
END_TEST

START_TEST(longest_name_is_tried_first)
{
    struct names_record one = {.endpoint = "e1", .name = "db.front", .ips = {ip4(2, 7)}};
    struct names_record two = {.endpoint = "e2", .name = "db", .ips = {ip4(1, 9)}};
    put("n2", &one);
    put("n1", &two);
    ck_assert_str_eq(ask(both, "db.front"), "7");
    ck_assert_str_eq(ask(front, "db.front"), "9");
}
END_TEST

START_TEST(draining_takes_addresses_but_not_names)
{
    struct names_record one = task("e1", "web.1.x", 5, true), two = task("e2", "web.2.y", 6, true);
    put("n1", &one);
    put("n1", &two);
    one.draining = true;
    put("n1", &one);
    ck_assert_str_eq(ask(front, "web"), "200");
    ck_assert_str_eq(ask(front, "tasks.web"), "6");
    ck_assert_str_eq(ask(front, "web.1.x"), "none");
    two.draining = true;
    put("n1", &two);
    ck_assert_str_eq(ask(front, "web"), "200");
    ck_assert_str_eq(ask(front, "tasks.web"), "none");
    ck_assert(names_record_remove(names, "n1", "e1"));
    ck_assert(names_record_remove(names, "n1", "e2"));
    ck_assert_str_eq(ask(front, "web"), "unknown");
    ck_assert_str_eq(ask(front, "tasks.web"), "unknown");
}
END_TEST

START_TEST(name_without_address_on_one_network_has_it_from_the_next)
{
    struct names_record one = {.endpoint = "e1", .name = "db", .draining = true};
    struct names_record two = {.endpoint = "e2", .name = "db", .ips = {ip4(2, 8)}};
    put("n1", &one);
    put("n2", &two);
    ck_assert_str_eq(ask(both, "db"), "8");
}
END_TEST

START_TEST(addresses_of_both_sizes)
{
    struct names_record four = {.endpoint = "e1", .name = "four", .ips = {ip4(1, 9)}};
    struct names_record dual = {
        .endpoint = "e2", .name = "dual", .ips = {ip4(1, 8), {16, {0xfd, [15] = 3}}}};
    put("n1", &four);
    put("n1", &dual);
    ck_assert_str_eq(ask_size(front, "four", 16), "none");
    ck_assert_str_eq(ask_size(front, "dual", 16), "3");
    ck_assert_str_eq(ask_size(front, "dual", 4), "8");
}
END_TEST

START_TEST(replaced_record_leaves_nothing_behind)
{
    struct names_record one = task("e1", "web.1.x", 5, true);
    put("n1", &one);
    struct names_record other = {.endpoint = "e1", .name = "db", .ips = {ip4(1, 6)}};
    put("n1", &other);
    ck_assert_str_eq(ask(front, "web"), "unknown");
    ck_assert_str_eq(ask(front, "www"), "unknown");
    ck_assert_str_eq(ask(front, "web.1.x"), "unknown");
    ck_assert_str_eq(ask(front, "db"), "6");
    ck_assert_uint_eq(names_record_count(names, "n1"), 1);
    ck_assert(names_record_remove(names, "n1", "e1"));
    ck_assert(!names_record_remove(names, "n1", "e1"));
    ck_assert(!names_record_remove(names, "n9", "e1"));
}
END_TEST

START_TEST(one_address_of_two_records_stays_until_both_are_gone)
{
    struct names_record one = task("e1", "web.1.x", 5, false),
                        two = task("e2", "web.1.x", 5, false);
    put("n1", &one);
    put("n1", &two);
    ck_assert_str_eq(ask(front, "web"), "5");
    ck_assert(names_record_remove(names, "n1", "e1"));
    ck_assert_str_eq(ask(front, "web"), "5");
    ck_assert(names_record_remove(names, "n1", "e2"));
    ck_assert_str_eq(ask(front, "web"), "unknown");
}
END_TEST

START_TEST(order_is_shuffled_evenly_and_repeats_with_the_seed)
{
    unsigned first[2][4] = {{0}};
    uint64_t trace[2] = {0};
    struct dns_name web;
    ck_assert_int_eq(dns_name_parse("web", &web, NULL), 0);
    for (int run = 0; run < 2; run++) {
        teardown();
        setup();
        for (uint8_t i = 0; i < 4; i++) {
            char endpoint[] = {(char)('a' + i), '\0'};
            struct names_record record = task(endpoint, "web.1.x", i, false);
            put("n1", &record);
        }
        for (int i = 0; i < 4000; i++) {
            struct names_answer answer;
            ck_assert(names_lookup(names, front, &web, 4, 1, &answer));
            ck_assert_uint_eq(answer.count, 1); // no more than asked for
            first[run][answer.ips[0].bytes[3]]++;
            trace[run] = trace[run] * 31 + answer.ips[0].bytes[3];
        }
    }
    for (int i = 0; i < 4; i++)
        ck_assert_uint_lt(first[0][i] - 850, 300); // 1000 each, give or take
    ck_assert(trace[0] == trace[1]);
}
END_TEST

static const char *reverse(const struct names_sandbox *sandbox, struct names_ip ip)
{
    static char text[DNS_TEXT_BYTES];
    struct dns_name name;
    return names_reverse(sandbox, &ip, &name) ? dns_name_format(&name, text) : "unknown";
}

START_TEST(reverse_names_the_endpoint_and_its_network)
{
    struct names_record one = task("e1", "web.1.x", 5, true);
    one.ips[1] = (struct names_ip){16, {0xfd, [15] = 3}};
    put("n1", &one);
    ck_assert_str_eq(reverse(front, ip4(1, 5)), "web.1.x.Front.");
    ck_assert_str_eq(reverse(both, one.ips[1]), "web.1.x.Front.");
    ck_assert_str_eq(reverse(front, ip4(1, 200)), "unknown"); // a virtual address
    ck_assert_str_eq(reverse(back, ip4(1, 5)), "unknown");
    one.draining = true;
    put("n1", &one);
    ck_assert_str_eq(reverse(front, ip4(1, 5)), "unknown");
}
END_TEST

START_TEST(reverse_of_a_shared_address_is_the_elder_until_it_goes)
{
    struct names_record one = task("e1", "web.1.x", 5, true), two = task("e2", "web.1.y", 5, true);
    put("n1", &one);
    put("n1", &two);
    ck_assert_str_eq(reverse(front, ip4(1, 5)), "web.1.x.Front.");
    ck_assert(names_record_remove(names, "n1", "e1"));
    ck_assert_str_eq(reverse(front, ip4(1, 5)), "web.1.y.Front.");
}
END_TEST

START_TEST(names_that_dns_cannot_say_are_left_out)
{
    char label[65];
    memset(label, 'a', 64);
    label[64] = '\0';
    struct names_record one = task("e1", label, 5, true);
    one.aliases = (const char *const[]){"a..b", "good"};
    put("n1", &one);
    ck_assert_str_eq(ask(front, "good"), "5");
    ck_assert_str_eq(ask(front, "web"), "200");
    ck_assert_str_eq(reverse(front, ip4(1, 5)), "unknown");
}
END_TEST

START_TEST(limits_and_missing_things_are_errors_and_change_nothing)
{
    struct err err = ERR_INIT;
    static const char *many[NAMES_ALIASES_MAX + 1];
    for (size_t i = 0; i <= NAMES_ALIASES_MAX; i++)
        many[i] = "a";
    struct names_record record = task("e1", "web.1.x", 5, true);
    ck_assert_int_eq(names_record_put(names, "n9", &record, &err), -ERR_NOT_FOUND);
    record.aliases = many;
    record.aliases_count = NAMES_ALIASES_MAX + 1;
    ck_assert_int_eq(names_record_put(names, "n1", &record, &err), -ERR_RESOURCE_EXHAUSTED);
    record.aliases_count = NAMES_ALIASES_MAX;
    record.ips[0].size = 5;
    ck_assert_int_eq(names_record_put(names, "n1", &record, &err), -ERR_INVALID_ARGUMENT);
    ck_assert_uint_eq(names_record_count(names, "n1"), 0);
    record.ips[0].size = 4;
    record.endpoint = "";
    ck_assert_int_eq(names_record_put(names, "n1", &record, &err), -ERR_INVALID_ARGUMENT);
    record.endpoint = "e1";
    put("n1", &record);
    static const char *ids[NAMES_SANDBOX_NETWORKS_MAX + 1];
    for (size_t i = 0; i <= NAMES_SANDBOX_NETWORKS_MAX; i++)
        ids[i] = "n2";
    ck_assert_int_eq(names_sandbox_put(names, "front", ids, NAMES_SANDBOX_NETWORKS_MAX + 1, &err),
                     -ERR_RESOURCE_EXHAUSTED);
    ids[1] = "n9";
    ck_assert_int_eq(names_sandbox_put(names, "front", ids, 2, &err), -ERR_NOT_FOUND);
    ck_assert_str_eq(ask(front, "web"), "200");
    char id[16];
    for (unsigned i = 2; i < NAMES_NETWORKS_MAX; i++) {
        snprintf(id, sizeof id, "m%u", i);
        ck_assert_int_eq(names_network_put(names, id, id, false, &err), 0);
    }
    ck_assert_int_eq(names_network_put(names, "one too many", "x", false, &err),
                     -ERR_RESOURCE_EXHAUSTED);
    ck_assert_int_eq(names_network_put(names, "n1", "renamed", false, &err), 0);
    ck_assert_str_eq(ask(front, "web.renamed"), "200");
    ck_assert_str_eq(ask(front, "web.front"), "unknown");
}
END_TEST

START_TEST(sandboxes_and_networks_come_and_go)
{
    struct names_record one = task("e1", "web.1.x", 5, true);
    put("n1", &one);
    ck_assert(names_sandbox_external(both));
    ck_assert(!names_sandbox_external(back));
    ck_assert(names_network_remove(names, "n1"));
    ck_assert(!names_network_remove(names, "n1"));
    ck_assert_str_eq(ask(both, "web"), "unknown");
    ck_assert(!names_sandbox_external(both));  // only the internal one is left
    ck_assert(!names_sandbox_external(front)); // none at all
    ck_assert(names_sandbox_remove(names, "both"));
    ck_assert(!names_sandbox_remove(names, "both"));
    ck_assert_ptr_null(names_sandbox_get(names, "both"));
}
END_TEST

Suite *suite_names(void);
Suite *suite_names(void)
{
    Suite *suite = suite_create("names");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, service_with_virtual_address);
    tcase_add_test(tcase, service_without_virtual_address_has_its_tasks);
    tcase_add_test(tcase, container_without_service);
    tcase_add_test(tcase, case_is_ignored);
    tcase_add_test(tcase, names_are_visible_on_their_network_only);
    tcase_add_test(tcase, network_at_the_end_chooses_the_network);
    tcase_add_test(tcase, longest_name_is_tried_first);
    tcase_add_test(tcase, draining_takes_addresses_but_not_names);
    tcase_add_test(tcase, name_without_address_on_one_network_has_it_from_the_next);
    tcase_add_test(tcase, addresses_of_both_sizes);
    tcase_add_test(tcase, replaced_record_leaves_nothing_behind);
    tcase_add_test(tcase, one_address_of_two_records_stays_until_both_are_gone);
    tcase_add_test(tcase, order_is_shuffled_evenly_and_repeats_with_the_seed);
    tcase_add_test(tcase, reverse_names_the_endpoint_and_its_network);
    tcase_add_test(tcase, reverse_of_a_shared_address_is_the_elder_until_it_goes);
    tcase_add_test(tcase, names_that_dns_cannot_say_are_left_out);
    tcase_add_test(tcase, limits_and_missing_things_are_errors_and_change_nothing);
    tcase_add_test(tcase, sandboxes_and_networks_come_and_go);
    suite_add_tcase(suite, tcase);
    return suite;
}
