// What becomes of a question: answered, forwarded, refused or dropped; and of an upstream's reply.
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "agent/dns/resolver.h"

static struct names *names;
static struct resolver_policy policy;
static struct dns_name search[1];
static struct buf query_bytes, reply;
static struct dns_msg query, got;

static void setup(void)
{
    static const char *const ids[] = {"n1", "n2"};
    names = names_new(3);
    ck_assert_int_eq(names_network_put(names, "n1", "front", false, NULL), 0);
    ck_assert_int_eq(names_network_put(names, "n2", "back", true, NULL), 0);
    ck_assert_int_eq(names_sandbox_put(names, "open", ids, 2, NULL), 0);
    ck_assert_int_eq(names_sandbox_put(names, "closed", ids + 1, 1, NULL), 0);
    struct names_record web = {.endpoint = "e1",
                               .name = "web.1.x",
                               .service = "web",
                               .vips = {{4, {10, 0, 1, 200}}},
                               .ips = {{4, {10, 0, 1, 5}}}};
    struct names_record dual = {
        .endpoint = "e2", .name = "dual", .ips = {{4, {10, 0, 2, 7}}, {16, {0xfd, [15] = 7}}}};
    ck_assert_int_eq(names_record_put(names, "n1", &web, NULL), 0);
    ck_assert_int_eq(names_record_put(names, "n2", &dual, NULL), 0);
    ck_assert_int_eq(dns_name_parse("corp.example", &search[0], NULL), 0);
    policy = (struct resolver_policy){.upstreams_count = 1, .search = search, .search_count = 1};
    buf_init(&query_bytes, 1024);
    buf_init(&reply, DNS_MESSAGE_BYTES);
}

static void teardown(void)
{
    buf_fini(&query_bytes);
    buf_fini(&reply);
    names_free(names);
}

static void write_query(unsigned flags, const char *text, uint16_t type, uint16_t class)
{
    struct dns_name name;
    ck_assert_int_eq(dns_name_parse(text, &name, NULL), 0);
    buf_clear(&query_bytes);
    buf_put_u16be(&query_bytes, 77);
    buf_put_u16be(&query_bytes, (uint16_t)flags);
    buf_put(&query_bytes, "\0\1\0\0\0\0\0\0", 8);
    buf_put(&query_bytes, name.wire, name.size);
    buf_put_u16be(&query_bytes, type);
    buf_put_u16be(&query_bytes, class);
}

static void add_opt(uint16_t bytes, uint8_t version)
{
    query_bytes.data[11]++;
    buf_put(&query_bytes, "\0\0\x29", 3);
    buf_put_u16be(&query_bytes, bytes);
    buf_put_u8(&query_bytes, 0);
    buf_put_u8(&query_bytes, version);
    buf_put(&query_bytes, "\0\0\0\0", 4);
}

static enum resolver_verdict resolve(const char *sandbox, bool tcp)
{
    enum resolver_verdict verdict =
        resolver_ask(names, names_sandbox_get(names, sandbox), &policy, query_bytes.data,
                     query_bytes.len, tcp, &query, &reply);
    if (verdict == RESOLVER_FORWARD || verdict == RESOLVER_DROP)
        ck_assert_uint_eq(reply.len, 0);
    else
        dns_msg_parse(reply.data, reply.len, &got, NULL);
    return verdict;
}

static enum resolver_verdict ask(const char *sandbox, const char *text, uint16_t type)
{
    write_query(0x0100, text, type, DNS_CLASS_IN);
    return resolve(sandbox, false);
}

#define NODATA(sandbox, text, type)                                                                \
    do {                                                                                           \
        ck_assert_int_eq(ask(sandbox, text, type), RESOLVER_ANSWER);                               \
        ck_assert_uint_eq(got.rcode, DNS_RCODE_NOERROR);                                           \
        ck_assert_uint_eq(got.answers_count, 0);                                                   \
    } while (0)

START_TEST(known_name_is_answered)
{
    ck_assert_int_eq(ask("open", "wEb", DNS_TYPE_A), RESOLVER_ANSWER);
    ck_assert(got.recursion_available);
    ck_assert(got.recursion_desired);
    ck_assert(!got.authoritative);
    ck_assert_uint_eq(got.id, 77);
    ck_assert_mem_eq(got.question.name.wire, "\3wEb", 5); // its spelling comes back
    struct dns_walk walk;
    struct dns_record record;
    ck_assert_int_eq(dns_walk_start(&walk, reply.data, reply.len, NULL), 0);
    ck_assert_int_eq(dns_walk_next(&walk, &record, NULL), 1);
    ck_assert_uint_eq(record.ttl_s, 600);
    ck_assert_mem_eq(record.data, "\x0a\0\1\xc8", 4);
    ck_assert_int_eq(dns_walk_next(&walk, &record, NULL), 0);
}
END_TEST

START_TEST(known_name_without_such_records_is_no_data)
{
    NODATA("open", "web", DNS_TYPE_AAAA);
    NODATA("open", "web", DNS_TYPE_MX);
    NODATA("open", "web", 65); // HTTPS: an upstream's NXDOMAIN would deny the whole name
    NODATA("closed", "dual", DNS_TYPE_MX);
}
END_TEST

START_TEST(known_name_has_addresses_of_both_sizes)
{
    ck_assert_int_eq(ask("open", "dual", DNS_TYPE_AAAA), RESOLVER_ANSWER);
    ck_assert_uint_eq(got.answers_count, 1);
    ck_assert_int_eq(ask("open", "dual", DNS_TYPE_ANY), RESOLVER_ANSWER);
    ck_assert_uint_eq(got.answers_count, 2);
}
END_TEST

START_TEST(reverse_is_answered_or_forwarded)
{
    ck_assert_int_eq(ask("open", "5.1.0.10.in-addr.arpa", DNS_TYPE_PTR), RESOLVER_ANSWER);
    struct dns_walk walk;
    struct dns_record record;
    ck_assert_int_eq(dns_walk_start(&walk, reply.data, reply.len, NULL), 0);
    ck_assert_int_eq(dns_walk_next(&walk, &record, NULL), 1);
    ck_assert_uint_eq(record.type, DNS_TYPE_PTR);
    ck_assert_uint_eq(record.data_bytes, 15);
    ck_assert_mem_eq(record.data,
                     "\3web\1"
                     "1\1x\5front",
                     15);
    ck_assert_int_eq(ask("open", "200.1.0.10.in-addr.arpa", DNS_TYPE_PTR), RESOLVER_FORWARD);
    ck_assert_int_eq(ask("closed", "5.1.0.10.in-addr.arpa", DNS_TYPE_PTR), RESOLVER_REFUSE);
}
END_TEST

START_TEST(unknown_name_is_forwarded)
{
    ck_assert_int_eq(ask("open", "example.org", DNS_TYPE_A), RESOLVER_FORWARD);
    ck_assert_int_eq(ask("open", "single", DNS_TYPE_A), RESOLVER_FORWARD);
    ck_assert_int_eq(ask("open", "web.corp.example", DNS_TYPE_A), RESOLVER_FORWARD);
}
END_TEST

START_TEST(single_label_stays_here_when_ndots_is_set)
{
    policy.ndots_set = true;
    NODATA("open", "single", DNS_TYPE_A);
    NODATA("open", "single", DNS_TYPE_AAAA);
    ck_assert_int_eq(ask("open", "single", DNS_TYPE_MX), RESOLVER_FORWARD);
    ck_assert_int_eq(ask("open", "two.labels", DNS_TYPE_A), RESOLVER_FORWARD);
}
END_TEST

START_TEST(internal_network_never_goes_upstream)
{
    static const uint16_t types[] = {DNS_TYPE_A,   DNS_TYPE_AAAA, DNS_TYPE_MX,
                                     DNS_TYPE_PTR, DNS_TYPE_ANY,  16};
    static const char *const asked[] = {"web", "example.org",   "x.back", "1.0.0.10.in-addr.arpa",
                                        "",    "a.corp.example"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (size_t j = 0; j < sizeof asked / sizeof *asked; j++)
            ck_assert_int_ne(ask("closed", asked[j], types[i]), RESOLVER_FORWARD);
    ck_assert_int_eq(ask("closed", "example.org", DNS_TYPE_A), RESOLVER_REFUSE);
    ck_assert_uint_eq(got.rcode, DNS_RCODE_SERVFAIL);
    ck_assert_int_eq(ask("closed", "dual", DNS_TYPE_A), RESOLVER_ANSWER);
}
END_TEST

START_TEST(search_on_an_internal_network_goes_on)
{
    ck_assert_int_eq(ask("closed", "dual.Corp.example", DNS_TYPE_A), RESOLVER_ANSWER);
    ck_assert_uint_eq(got.rcode, DNS_RCODE_NXDOMAIN);
    search[0].size = 1; // the root is no search domain: it would cover every name
    search[0].wire[0] = 0;
    ck_assert_int_eq(ask("closed", "example.org", DNS_TYPE_A), RESOLVER_REFUSE);
}
END_TEST

START_TEST(without_upstream_servers_the_question_fails)
{
    policy.upstreams_count = 0;
    ck_assert_int_eq(ask("open", "example.org", DNS_TYPE_A), RESOLVER_REFUSE);
    ck_assert_uint_eq(got.rcode, DNS_RCODE_SERVFAIL);
    ck_assert_int_eq(ask("open", "web", DNS_TYPE_A), RESOLVER_ANSWER);
}
END_TEST

START_TEST(what_is_no_question_is_dropped)
{
    write_query(0x8180, "web", DNS_TYPE_A, DNS_CLASS_IN); // a reply
    ck_assert_int_eq(resolve("open", false), RESOLVER_DROP);
    write_query(0x0100, "web", DNS_TYPE_A, DNS_CLASS_IN);
    query_bytes.len = DNS_HEADER_BYTES - 1;
    ck_assert_int_eq(resolve("open", false), RESOLVER_DROP);
}
END_TEST

START_TEST(bad_questions_get_their_code)
{
    write_query(0x0100, "web", DNS_TYPE_A, DNS_CLASS_IN);
    query_bytes.len--;
    ck_assert_int_eq(resolve("open", false), RESOLVER_REFUSE);
    ck_assert_uint_eq(got.rcode, DNS_RCODE_FORMERR);
    write_query(0x2900, "web", DNS_TYPE_A, DNS_CLASS_IN); // an UPDATE
    ck_assert_int_eq(resolve("open", false), RESOLVER_REFUSE);
    ck_assert_uint_eq(got.rcode, DNS_RCODE_NOTIMP);
    ck_assert_uint_eq(got.opcode, 5);
    write_query(0x0100, "version.bind", 16, 3); // class CH
    ck_assert_int_eq(resolve("open", false), RESOLVER_REFUSE);
    ck_assert_uint_eq(got.rcode, DNS_RCODE_REFUSED);
    ck_assert_int_eq(ask("open", "web", DNS_TYPE_AXFR), RESOLVER_REFUSE);
    ck_assert_uint_eq(got.rcode, DNS_RCODE_REFUSED);
    write_query(0x0100, "web", DNS_TYPE_A, DNS_CLASS_IN);
    add_opt(1232, 1);
    ck_assert_int_eq(resolve("open", false), RESOLVER_REFUSE);
    ck_assert_uint_eq(got.rcode, DNS_RCODE_BADVERS);
}
END_TEST

START_TEST(long_answers_are_cut_to_what_the_client_takes)
{
    for (unsigned i = 0; i < 200; i++) {
        char endpoint[16];
        snprintf(endpoint, sizeof endpoint, "many%u", i);
        struct names_record record = {
            .endpoint = endpoint, .service = "many", .ips = {{4, {10, 0, 3, (uint8_t)i}}}};
        ck_assert_int_eq(names_record_put(names, "n1", &record, NULL), 0);
    }
    ck_assert_int_eq(ask("open", "many", DNS_TYPE_A), RESOLVER_ANSWER);
    ck_assert(got.truncated);
    ck_assert_uint_le(reply.len, 512);
    ck_assert_uint_eq(got.answers_count, (512 - 12 - 10) / 16);
    add_opt(1232, 0);
    ck_assert_int_eq(resolve("open", false), RESOLVER_ANSWER);
    ck_assert(got.truncated);
    ck_assert(got.edns);
    ck_assert_uint_gt(reply.len, 1200);
    ck_assert_uint_le(reply.len, 1232);
    ck_assert_int_eq(resolve("open", true), RESOLVER_ANSWER);
    ck_assert(!got.truncated);
    ck_assert_uint_eq(got.answers_count, 200);
}
END_TEST

// A bare reply to the question in `query_bytes`.
static enum resolver_judgement judge(uint16_t id, unsigned flags, const char *text, uint16_t type)
{
    write_query(flags, text, type, DNS_CLASS_IN);
    return resolver_judge(&query, id, query_bytes.data, query_bytes.len);
}

START_TEST(upstream_replies_are_judged)
{
    ck_assert_int_eq(ask("open", "example.org", DNS_TYPE_A), RESOLVER_FORWARD);
    ck_assert_int_eq(judge(77, 0x8180, "EXAMPLE.org", DNS_TYPE_A), RESOLVER_TAKE);
    ck_assert_int_eq(judge(77, 0x8183, "example.org", DNS_TYPE_A), RESOLVER_TAKE); // NXDOMAIN
    ck_assert_int_eq(judge(77, 0x8380, "example.org", DNS_TYPE_A), RESOLVER_TAKE); // TC
    ck_assert_int_eq(judge(77, 0x8182, "example.org", DNS_TYPE_A), RESOLVER_NEXT);
    ck_assert_int_eq(judge(77, 0x8185, "example.org", DNS_TYPE_A), RESOLVER_NEXT);
    ck_assert_int_eq(judge(78, 0x8180, "example.org", DNS_TYPE_A), RESOLVER_IGNORE);
    ck_assert_int_eq(judge(77, 0x0180, "example.org", DNS_TYPE_A), RESOLVER_IGNORE);
    ck_assert_int_eq(judge(77, 0x8180, "example.com", DNS_TYPE_A), RESOLVER_IGNORE);
    ck_assert_int_eq(judge(77, 0x8180, "example.org", DNS_TYPE_MX), RESOLVER_IGNORE);
    static const uint8_t bare[2][12] = {{0, 77, 0x81, 0x82}, {0, 77, 0x81, 0x80}};
    ck_assert_int_eq(resolver_judge(&query, 77, bare[0], 12), RESOLVER_NEXT);
    ck_assert_int_eq(resolver_judge(&query, 77, bare[1], 12), RESOLVER_IGNORE);
    ck_assert_int_eq(resolver_judge(&query, 77, bare[0], 11), RESOLVER_IGNORE);
}
END_TEST

START_TEST(failed_forwarding_is_told)
{
    ck_assert_int_eq(ask("open", "example.org", DNS_TYPE_A), RESOLVER_FORWARD);
    resolver_fail(&query, false, DNS_RCODE_SERVFAIL, &reply);
    ck_assert_int_eq(dns_msg_parse(reply.data, reply.len, &got, NULL), 0);
    ck_assert_uint_eq(got.id, 77);
    ck_assert_uint_eq(got.rcode, DNS_RCODE_SERVFAIL);
    ck_assert(got.has_question);
}
END_TEST

Suite *suite_resolver(void);
Suite *suite_resolver(void)
{
    Suite *suite = suite_create("resolver");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, known_name_is_answered);
    tcase_add_test(tcase, known_name_without_such_records_is_no_data);
    tcase_add_test(tcase, known_name_has_addresses_of_both_sizes);
    tcase_add_test(tcase, reverse_is_answered_or_forwarded);
    tcase_add_test(tcase, unknown_name_is_forwarded);
    tcase_add_test(tcase, single_label_stays_here_when_ndots_is_set);
    tcase_add_test(tcase, internal_network_never_goes_upstream);
    tcase_add_test(tcase, search_on_an_internal_network_goes_on);
    tcase_add_test(tcase, without_upstream_servers_the_question_fails);
    tcase_add_test(tcase, what_is_no_question_is_dropped);
    tcase_add_test(tcase, bad_questions_get_their_code);
    tcase_add_test(tcase, long_answers_are_cut_to_what_the_client_takes);
    tcase_add_test(tcase, upstream_replies_are_judged);
    tcase_add_test(tcase, failed_forwarding_is_told);
    suite_add_tcase(suite, tcase);
    return suite;
}
