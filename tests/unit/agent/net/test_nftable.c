// Transactions lead from what is to what is wanted: a few elements where the frame is the same, all
// of it where it is not.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "agent/net/nftable.h"
#include "proto/base/check.h"
#include "proto/base/str.h"

static struct nftable *sample(const char *rule)
{
    struct nftable *table = nftable_new("ip", "t");
    nftable_collection(table, "map", "ports", "type inet_proto . inet_service : verdict;");
    nftable_collection(table, "set", "seen", "type ipv4_addr; flags dynamic,timeout; timeout 9s;");
    nftable_chain(table, "to", NULL);
    nftable_rule(table, "dnat to 10.0.0.1");
    nftable_chain(table, "pre", "type nat hook prerouting priority -100");
    nftable_rule(table, "%s", rule);
    return table;
}

static char *diff(const struct nftable *actual, const struct nftable *wanted)
{
    struct buf out;
    buf_init(&out, 65536);
    bool some = nftable_diff(actual, wanted, &out);
    char *text = str_dup(str_or(buf_cstr(&out), ""));
    ck_assert_int_eq(some, *text != '\0');
    buf_fini(&out);
    return text;
}

START_TEST(a_first_load_holds_frame_and_elements)
{
    struct nftable *wanted = sample("accept");
    nftable_element(wanted, "ports", "6 . 80", "goto to");
    char *text = diff(NULL, wanted);
    ck_assert(str_starts(text, "add table ip t\ndelete table ip t\ntable ip t {\n"));
    ck_assert(
        strstr(text, "chain pre {\ntype nat hook prerouting priority -100; policy accept;\n"));
    ck_assert(strstr(text, "accept comment \"skep-"));
    ck_assert(str_ends(text, "add element ip t ports { 6 . 80 : goto to }\n"));
    free(text);
    nftable_free(wanted);
}
END_TEST

START_TEST(elements_alone_are_a_delta)
{
    struct nftable *a = sample("accept"), *b = sample("accept");
    nftable_element(a, "ports", "6 . 80", "goto to");
    nftable_element(a, "ports", "6 . 81", "goto to");
    nftable_element(b, "ports", "6 . 81", "goto to");
    nftable_element(b, "ports", "17 . 53", "goto to");
    char *text = diff(a, b);
    ck_assert_str_eq(text, "delete element ip t ports { 6 . 80 }\n"
                           "add element ip t ports { 17 . 53 : goto to }\n");
    free(text);
    text = diff(b, b);
    ck_assert_str_eq(text, "");
    free(text);
    nftable_free(a);
    nftable_free(b);
}
END_TEST

// What is there and not known yet stays; what is known is right.
START_TEST(what_is_kept_is_not_deleted)
{
    struct nftable *a = sample("accept"), *b = sample("accept"), *other = sample("drop");
    nftable_element(a, "ports", "6 . 80", "goto to");
    nftable_element(a, "ports", "6 . 81", "goto to");
    nftable_element(b, "ports", "6 . 81", "drop");
    nftable_element(b, "ports", "17 . 53", "goto to");
    nftable_keep(b, a);
    ck_assert_str_eq(nftable_find(b, "ports", "6 . 80"), "goto to");
    ck_assert_str_eq(nftable_find(b, "ports", "6 . 81"), "drop");
    ck_assert_uint_eq(nftable_elements_count(b, "ports"), 3);
    // Of a table with other rules nothing is taken.
    nftable_keep(other, a);
    ck_assert_uint_eq(nftable_elements_count(other, "ports"), 0);
    nftable_keep(other, NULL);
    nftable_free(a);
    nftable_free(b);
    nftable_free(other);
}
END_TEST

START_TEST(another_rule_replaces_the_table)
{
    struct nftable *a = sample("accept"), *b = sample("drop");
    char *text = diff(a, b);
    ck_assert(str_starts(text, "add table ip t\ndelete table ip t\n"));
    free(text);
    nftable_free(a);
    nftable_free(b);
}
END_TEST

START_TEST(chains_without_a_hook_come_before_what_leads_to_them)
{
    struct nftable *a = sample("accept"), *b = sample("accept");
    nftable_chain(b, "more", NULL);
    nftable_rule(b, "drop");
    nftable_element(b, "ports", "6 . 80", "goto more");
    char *text = diff(a, b);
    ck_assert(str_starts(text, "add chain ip t more\nflush chain ip t more\n"
                               "table ip t {\nchain more {\ndrop comment"));
    ck_assert(str_ends(text, "add element ip t ports { 6 . 80 : goto more }\n"));
    free(text);
    // The way back leaves the chain: the next change may want it again.
    text = diff(b, a);
    ck_assert_str_eq(text, "delete element ip t ports { 6 . 80 }\n");
    free(text);
    nftable_free(a);
    nftable_free(b);
}
END_TEST

// The listing nft would give of the sample with two elements; %s is the rules' comments.
static const char listing[] =
    "{\"nftables\": [{\"metainfo\": {\"version\": \"1.0.6\"}},"
    "{\"table\": {\"family\": \"ip\", \"name\": \"t\", \"handle\": 1}},"
    "{\"map\": {\"family\": \"ip\", \"name\": \"ports\", \"table\": \"t\", \"map\": \"verdict\","
    " \"elem\": [[{\"concat\": [6, 80]}, {\"goto\": {\"target\": \"to\"}}]]}},"
    "{\"set\": {\"family\": \"ip\", \"name\": \"seen\", \"table\": \"t\", \"timeout\": 9,"
    " \"elem\": [{\"elem\": {\"val\": \"10.0.0.9\", \"expires\": 3}}]}},"
    "{\"chain\": {\"family\": \"ip\", \"table\": \"t\", \"name\": \"to\", \"handle\": 1}},"
    "{\"chain\": {\"family\": \"ip\", \"table\": \"t\", \"name\": \"pre\", \"type\": \"nat\","
    " \"hook\": \"prerouting\", \"prio\": -100, \"policy\": \"%s\"}},"
    "{\"rule\": {\"chain\": \"to\", \"comment\": \"%s\", \"expr\": []}},"
    "{\"rule\": {\"chain\": \"pre\", \"comment\": \"%s\", \"expr\": []}}]}";

// The fingerprint that a chain of the sample bears.
static char *mark_of(const char *chain)
{
    struct nftable *wanted = sample("accept");
    char *text = diff(NULL, wanted);
    char *at = strstr(strstr(text, chain), "skep-");
    char *mark = str_ndup(at, strlen("skep-") + 16);
    free(text);
    nftable_free(wanted);
    return mark;
}

static char *lead_from_listing(const char *policy, const char *to, const char *pre)
{
    struct err err = ERR_INIT;
    char *json = str_printf(listing, policy, to, pre);
    struct nftable *actual = nftable_parse("ip", "t", json, strlen(json), &err);
    ck_assert_msg(actual != NULL, "%s", err.message);
    struct nftable *wanted = sample("accept");
    nftable_element(wanted, "ports", "6 . 80", "goto to");
    char *text = diff(actual, wanted);
    nftable_free(actual);
    nftable_free(wanted);
    free(json);
    return text;
}

START_TEST(a_listing_of_what_is_wanted_needs_nothing)
{
    char *to = mark_of("chain to"), *pre = mark_of("chain pre");
    char *text = lead_from_listing("accept", to, pre);
    ck_assert_str_eq(text, "");
    free(text);
    text = lead_from_listing("drop", to, pre);
    ck_assert(str_starts(text, "add table"));
    free(text);
    text = lead_from_listing("accept", to, "by hand");
    ck_assert(str_starts(text, "add table"));
    free(text);
    free(to);
    free(pre);
}
END_TEST

START_TEST(what_is_no_listing_is_an_error)
{
    const char *texts[] = {"", "[]", "{}", "{\"nftables\":", "{\"nftables\":{}}"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct err err = ERR_INIT;
        ck_assert_ptr_null(nftable_parse("ip", "t", texts[i], strlen(texts[i]), &err));
        ck_assert_int_eq(err.code, ERR_INVALID_ARGUMENT);
    }
}
END_TEST

Suite *suite_nftable(void);
Suite *suite_nftable(void)
{
    Suite *suite = suite_create("nftable");
    TCase *tcase = tcase_create("nftable");
    tcase_add_test(tcase, a_first_load_holds_frame_and_elements);
    tcase_add_test(tcase, elements_alone_are_a_delta);
    tcase_add_test(tcase, what_is_kept_is_not_deleted);
    tcase_add_test(tcase, another_rule_replaces_the_table);
    tcase_add_test(tcase, chains_without_a_hook_come_before_what_leads_to_them);
    tcase_add_test(tcase, a_listing_of_what_is_wanted_needs_nothing);
    tcase_add_test(tcase, what_is_no_listing_is_an_error);
    suite_add_tcase(suite, tcase);
    return suite;
}
