// Messages: what is read, what is refused, and what replies look like on the wire.
#include <check.h>
#include <string.h>

#include "agent/dns/dns_msg.h"

#define HEADER "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"

static struct dns_name name_of(const char *text)
{
    struct dns_name name;
    ck_assert_int_eq(dns_name_parse(text, &name, NULL), 0);
    return name;
}

static int parse(const char *bytes, size_t size, struct dns_msg *out)
{
    return dns_msg_parse((const uint8_t *)bytes, size, out, NULL);
}

#define PARSE(literal, out) parse(literal, sizeof(literal) - 1, out)

// ---- names ------------------------------------------------------------------------------------

START_TEST(name_text_round_trips_and_escapes)
{
    char text[DNS_TEXT_BYTES];
    struct dns_name name = name_of("Web.2.x_y");
    ck_assert_str_eq(dns_name_format(&name, text), "Web.2.x_y.");
    ck_assert_uint_eq(dns_name_labels(&name), 3);
    name = name_of(".");
    ck_assert_uint_eq(name.size, 1);
    ck_assert_str_eq(dns_name_format(&name, text), ".");
    struct dns_name odd = {.size = 6, .wire = "\4a.\\\7"};
    ck_assert_str_eq(dns_name_format(&odd, text), "a\\.\\\\\\007.");
}
END_TEST

START_TEST(name_text_out_of_bounds_is_refused)
{
    struct dns_name name;
    char label[65];
    memset(label, 'a', 64);
    label[64] = '\0';
    ck_assert_int_eq(dns_name_parse(label, &name, NULL), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(dns_name_parse(label + 1, &name, NULL), 0);
    ck_assert_int_eq(dns_name_parse("a..b", &name, NULL), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(dns_name_parse(".a", &name, NULL), -ERR_INVALID_ARGUMENT);
    char text[260] = "";
    for (int i = 0; i < 127; i++)
        strcat(text, "a.");
    ck_assert_int_eq(dns_name_parse(text, &name, NULL), 0);
    ck_assert_uint_eq(name.size, DNS_NAME_BYTES);
    strcat(text, "a");
    ck_assert_int_eq(dns_name_parse(text, &name, NULL), -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(names_compare_without_case_and_at_labels)
{
    struct dns_name name = name_of("WEB.Corp.example");
    struct dns_name same = name_of("web.cORP.example.");
    struct dns_name above = name_of("corp.EXAMPLE");
    struct dns_name cut = name_of("orp.example");
    struct dns_name root = name_of("");
    ck_assert(dns_name_equal(&name, &same));
    ck_assert(!dns_name_equal(&name, &above));
    ck_assert(dns_name_under(&name, &above));
    ck_assert(dns_name_under(&name, &name));
    ck_assert(dns_name_under(&name, &root));
    ck_assert(!dns_name_under(&name, &cut));
    ck_assert(!dns_name_under(&above, &name));
}
END_TEST

START_TEST(joined_names_keep_the_limit)
{
    struct dns_name front = name_of("web.1"), back = name_of("front"), out;
    ck_assert(dns_name_join(&front, &back, &out));
    struct dns_name whole = name_of("web.1.front");
    ck_assert(dns_name_equal(&out, &whole));
    while (dns_name_join(&back, &out, &out))
        ck_assert_uint_le(out.size, DNS_NAME_BYTES);
    ck_assert_uint_gt(out.size + back.size, DNS_NAME_BYTES);
}
END_TEST

START_TEST(reverse_names_give_their_address)
{
    uint8_t ip[16];
    struct dns_name name = name_of("5.1.0.10.In-Addr.ARPA");
    ck_assert_uint_eq(dns_name_reversed(&name, ip), 4);
    ck_assert_mem_eq(ip, "\x0a\x00\x01\x05", 4);
    name = name_of("b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.IP6.arpa");
    ck_assert_uint_eq(dns_name_reversed(&name, ip), 16);
    ck_assert_mem_eq(ip, "\x43\x21\0\0\0\1\0\2\0\3\0\4\5\x67\x89\xab", 16);
    const char *const bad[] = {"1.0.10.in-addr.arpa",     "256.1.0.10.in-addr.arpa",
                               "05.1.0.10.in-addr.arpa",  "x.1.0.10.in-addr.arpa",
                               "9.5.1.0.10.in-addr.arpa", "in-addr.arpa",
                               "5.1.0.10.example.org"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        name = name_of(bad[i]);
        ck_assert_uint_eq(dns_name_reversed(&name, ip), 0);
    }
}
END_TEST

// ---- reading ----------------------------------------------------------------------------------

START_TEST(query_is_read)
{
    struct dns_msg msg;
    ck_assert_int_eq(PARSE(HEADER "\3wEb\0\0\1\0\1", &msg), 0);
    struct dns_name web = name_of("web");
    ck_assert_uint_eq(msg.id, 0x1234);
    ck_assert(!msg.response);
    ck_assert(msg.recursion_desired);
    ck_assert(!msg.edns);
    ck_assert(dns_name_equal(&msg.question.name, &web));
    ck_assert_mem_eq(msg.question.name.wire, "\3wEb", 5); // as it was spelled
    ck_assert_uint_eq(msg.question.type, DNS_TYPE_A);
    ck_assert_uint_eq(msg.question.class, DNS_CLASS_IN);
}
END_TEST

START_TEST(every_cut_and_every_added_byte_is_refused)
{
    static const char query[] = HEADER "\3web\0\0\1\0\1";
    struct dns_msg msg;
    for (size_t size = 0; size < sizeof query - 1; size++) {
        ck_assert_int_eq(parse(query, size, &msg), -ERR_INVALID_ARGUMENT);
        ck_assert(msg.header_read == (size >= DNS_HEADER_BYTES));
    }
    ck_assert_int_eq(parse(query, sizeof query, &msg), -ERR_INVALID_ARGUMENT);
    ck_assert(msg.has_question);
}
END_TEST

START_TEST(wrong_question_counts_and_opcodes_are_refused)
{
    struct dns_msg msg;
    ck_assert_int_eq(PARSE("\0\1\1\0\0\0\0\0\0\0\0\0", &msg), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(PARSE("\0\1\1\0\0\2\0\0\0\0\0\0\0\0\1\0\1\0\0\1\0\1", &msg),
                     -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(PARSE("\0\1\x28\0\0\1\0\0\0\0\0\0\0\0\1\0\1", &msg), -ERR_UNIMPLEMENTED);
    ck_assert_uint_eq(msg.opcode, 5);
    ck_assert_int_eq(PARSE("\0\1\x81\x82\0\0\0\0\0\0\0\0", &msg), 0); // a bare SERVFAIL
    ck_assert(msg.response);
    ck_assert_uint_eq(msg.rcode, DNS_RCODE_SERVFAIL);
}
END_TEST

START_TEST(pointers_only_lead_backwards)
{
    struct dns_msg msg;
    ck_assert_int_eq(PARSE(HEADER "\xc0\x0c\0\1\0\1", &msg), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(PARSE(HEADER "\1a\xc0\x0c\0\1\0\1", &msg), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(PARSE(HEADER "\1a\xc0\x10\0\1\0\1\0", &msg), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(PARSE(HEADER "\1a\xc0\x04\0\1\0\1", &msg), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(PARSE(HEADER "\x41"
                                  "a\0\0\1\0\1",
                           &msg),
                     -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(PARSE(HEADER "\x81"
                                  "a\0\0\1\0\1",
                           &msg),
                     -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(PARSE(HEADER "\xc0", &msg), -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(compressed_records_are_walked)
{
    static const char reply[] = "\0\1\x85\x80\0\1\0\1\0\0\0\1"
                                "\3web\4corp\0\0\1\0\1"
                                "\3www\xc0\x10\0\1\0\1\0\0\2\x58\0\4\x0a\0\1\5"
                                "\xc0\x1a\0\x1c\0\1\0\0\0\0\0\0";
    struct dns_walk walk;
    struct dns_record record;
    ck_assert_int_eq(dns_walk_start(&walk, (const uint8_t *)reply, sizeof reply - 1, NULL), 0);
    ck_assert_int_eq(dns_walk_next(&walk, &record, NULL), 1);
    struct dns_name www = name_of("www.corp");
    ck_assert(dns_name_equal(&record.name, &www));
    ck_assert_int_eq(record.section, DNS_SECTION_ANSWER);
    ck_assert_uint_eq(record.ttl_s, 600);
    ck_assert_uint_eq(record.data_bytes, 4);
    ck_assert_mem_eq(record.data, "\x0a\0\1\5", 4);
    ck_assert_mem_eq(reply + record.data_at, "\x0a\0\1\5", 4);
    ck_assert_int_eq(dns_walk_next(&walk, &record, NULL), 1); // a pointer to a pointer
    ck_assert(dns_name_equal(&record.name, &www));
    ck_assert_int_eq(record.section, DNS_SECTION_ADDITIONAL);
    ck_assert_int_eq(dns_walk_next(&walk, &record, NULL), 0);
    struct dns_msg msg;
    ck_assert_int_eq(parse(reply, sizeof reply - 1, &msg), 0);
    ck_assert(msg.authoritative);
    ck_assert(msg.recursion_available);
    ck_assert_uint_eq(msg.answers_count, 1);
    ck_assert_int_eq(parse(reply, sizeof reply - 2, &msg), -ERR_INVALID_ARGUMENT);
}
END_TEST

START_TEST(names_cannot_grow_past_the_limit_by_pointers)
{
    // A label before a pointer to three labels of 63 bytes.
    uint8_t bytes[400] = "\0\1\1\0\0\1\0\0\0\0\0\0";
    size_t at = DNS_HEADER_BYTES;
    for (int i = 0; i < 3; i++, at += 64)
        bytes[at] = 63;
    bytes[at++] = 0;
    size_t start = at;
    bytes[at] = 61; // 61 + 1 + 3 * 64 + 1 = 255
    at += 62;
    bytes[at++] = 0xc0;
    bytes[at++] = DNS_HEADER_BYTES;
    struct dns_name name;
    size_t read = start;
    ck_assert_int_eq(dns_name_read(bytes, at, &read, &name, NULL), 0);
    ck_assert_uint_eq(name.size, DNS_NAME_BYTES);
    ck_assert_uint_eq(read, at);
    bytes[start] = 62; // one more, and the pointer one byte later
    bytes[at - 2] = 'a';
    bytes[at - 1] = 0xc0;
    bytes[at] = DNS_HEADER_BYTES;
    read = start;
    ck_assert_int_eq(dns_name_read(bytes, at + 1, &read, &name, NULL), -ERR_INVALID_ARGUMENT);
}
END_TEST

#define EDNS_HEADER(count) "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00" count "\0\0\1\0\1"
#define OPT                "\0\0\x29\x04\xd0\x01\x02\0\0\0\0"

START_TEST(edns_is_read_once_and_only_at_the_root)
{
    struct dns_msg msg;
    ck_assert_int_eq(PARSE(EDNS_HEADER("\1") OPT, &msg), 0);
    ck_assert(msg.edns);
    ck_assert_uint_eq(msg.edns_bytes, 1232);
    ck_assert_uint_eq(msg.edns_version, 2);
    ck_assert_uint_eq(msg.rcode, 16);
    ck_assert_int_eq(PARSE(EDNS_HEADER("\2") OPT OPT, &msg), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(PARSE(EDNS_HEADER("\1") "\1a" OPT, &msg), -ERR_INVALID_ARGUMENT);
    ck_assert_int_eq(PARSE("\0\1\1\0\0\1\0\1\0\0\0\0\0\0\1\0\1" OPT, &msg),
                     -ERR_INVALID_ARGUMENT); // in the answer section
}
END_TEST

// ---- replying ---------------------------------------------------------------------------------

START_TEST(reply_limit_follows_transport_and_offer)
{
    struct dns_msg query = {0};
    ck_assert_uint_eq(dns_reply_limit(&query, false), 512);
    ck_assert_uint_eq(dns_reply_limit(&query, true), 65535);
    query.edns = true;
    query.edns_bytes = 100;
    ck_assert_uint_eq(dns_reply_limit(&query, false), 512);
    query.edns_bytes = 1232;
    ck_assert_uint_eq(dns_reply_limit(&query, false), 1232);
    query.edns_bytes = 65535;
    ck_assert_uint_eq(dns_reply_limit(&query, false), DNS_UDP_BYTES_MAX);
}
END_TEST

START_TEST(reply_bytes_are_as_the_standard_says)
{
    struct dns_msg query;
    struct dns_reply reply;
    struct buf out;
    buf_init(&out, DNS_MESSAGE_BYTES);
    ck_assert_int_eq(PARSE(HEADER "\3wEb\0\0\1\0\1", &query), 0);
    dns_reply_start(&reply, &query, 512, &out);
    ck_assert(dns_reply_address(&reply, (const uint8_t *)"\x0a\0\1\5", 4, 600));
    dns_reply_finish(&reply, DNS_RCODE_NOERROR);
    static const char wanted[] = "\x12\x34\x81\x80\0\1\0\1\0\0\0\0\3wEb\0\0\1\0\1"
                                 "\xc0\x0c\0\1\0\1\0\0\2\x58\0\4\x0a\0\1\5";
    ck_assert_uint_eq(out.len, sizeof wanted - 1);
    ck_assert_mem_eq(out.data, wanted, out.len);
    buf_fini(&out);
}
END_TEST

START_TEST(reply_that_does_not_fit_is_cut_between_records)
{
    struct dns_msg query, again;
    struct dns_reply reply;
    struct buf out;
    buf_init(&out, DNS_MESSAGE_BYTES);
    ck_assert_int_eq(PARSE(EDNS_HEADER("\1") "\0\0\x29\x02\0\0\0\0\0\0\0", &query), 0);
    dns_reply_start(&reply, &query, dns_reply_limit(&query, false), &out);
    uint16_t fitted = 0;
    while (dns_reply_address(&reply, (const uint8_t *)"\x0a\0\1\5", 4, 600))
        fitted++;
    struct dns_name target = name_of("a");
    ck_assert(!dns_reply_ptr(&reply, &target, 600)); // would fit, but nothing follows the cut
    dns_reply_finish(&reply, DNS_RCODE_NOERROR);
    ck_assert_uint_eq(fitted, (512 - 17 - 11) / 16);
    ck_assert_uint_le(out.len, 512);
    ck_assert_int_eq(dns_msg_parse(out.data, out.len, &again, NULL), 0);
    ck_assert(again.truncated);
    ck_assert(again.edns); // room for it was kept
    ck_assert_uint_eq(again.answers_count, fitted);
    buf_fini(&out);
}
END_TEST

START_TEST(extended_codes_travel_in_the_opt_record)
{
    struct dns_msg query, again;
    struct dns_reply reply;
    struct buf out;
    buf_init(&out, DNS_MESSAGE_BYTES);
    ck_assert_int_eq(PARSE(EDNS_HEADER("\1") OPT, &query), 0);
    dns_reply_start(&reply, &query, 512, &out);
    dns_reply_finish(&reply, DNS_RCODE_BADVERS);
    ck_assert_int_eq(dns_msg_parse(out.data, out.len, &again, NULL), 0);
    ck_assert_uint_eq(again.rcode, DNS_RCODE_BADVERS);
    ck_assert_uint_eq(again.edns_version, 0);
    buf_fini(&out);
}
END_TEST

Suite *suite_dns_msg(void);
Suite *suite_dns_msg(void)
{
    Suite *suite = suite_create("dns_msg");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, name_text_round_trips_and_escapes);
    tcase_add_test(tcase, name_text_out_of_bounds_is_refused);
    tcase_add_test(tcase, names_compare_without_case_and_at_labels);
    tcase_add_test(tcase, joined_names_keep_the_limit);
    tcase_add_test(tcase, reverse_names_give_their_address);
    tcase_add_test(tcase, query_is_read);
    tcase_add_test(tcase, every_cut_and_every_added_byte_is_refused);
    tcase_add_test(tcase, wrong_question_counts_and_opcodes_are_refused);
    tcase_add_test(tcase, pointers_only_lead_backwards);
    tcase_add_test(tcase, compressed_records_are_walked);
    tcase_add_test(tcase, names_cannot_grow_past_the_limit_by_pointers);
    tcase_add_test(tcase, edns_is_read_once_and_only_at_the_root);
    tcase_add_test(tcase, reply_limit_follows_transport_and_offer);
    tcase_add_test(tcase, reply_bytes_are_as_the_standard_says);
    tcase_add_test(tcase, reply_that_does_not_fit_is_cut_between_records);
    tcase_add_test(tcase, extended_codes_travel_in_the_opt_record);
    suite_add_tcase(suite, tcase);
    return suite;
}
