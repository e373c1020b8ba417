// Any message through the reader, as a question to the resolver (the first byte chooses transport
// and sandbox), and as an upstream server's reply to what was asked.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/dns/resolver.h"
#include "proto/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MANY 64

static struct names *table(void)
{
    struct names *names = names_new(1);
    const char *const networks[] = {"n1", "n2"};
    CHECK(names_network_put(names, "n1", "front", false, NULL) == 0);
    CHECK(names_network_put(names, "n2", "back.end", true, NULL) == 0);
    CHECK(names_sandbox_put(names, "open", networks, 2, NULL) == 0);
    CHECK(names_sandbox_put(names, "closed", networks + 1, 1, NULL) == 0);
    const char *const aliases[] = {"www"};
    for (uint8_t i = 0; i < MANY; i++) {
        char endpoint[] = {(char)('0' + i), '\0'};
        struct names_record record = {
            .endpoint = endpoint,
            .name = "web.1.x",
            .service = i % 2 ? "web" : "db",
            .service_aliases = aliases,
            .service_aliases_count = 1,
            .ips = {{4, {10, 0, 1, i}}, {16, {0xfd, [15] = i}}},
            .vips = {{i % 2 ? 4 : 0, {10, 0, 1, 200}}},
        };
        CHECK(names_record_put(names, i % 3 ? "n1" : "n2", &record, NULL) == 0);
    }
    return names;
}

// What was built is well-formed, repeats the question, and answers under its ID.
static void check_reply(const struct dns_msg *query, const struct buf *reply, bool tcp)
{
    struct dns_msg again;
    CHECK(reply->len <= dns_reply_limit(query, tcp));
    int rc = dns_msg_parse(reply->data, reply->len, &again, NULL);
    CHECK(again.header_read);
    CHECK(again.response);
    CHECK(again.id == query->id);
    CHECK(again.opcode == query->opcode);
    if (query->opcode != 0)
        return;
    CHECK(rc == 0);
    CHECK(again.edns == query->edns);
    CHECK(again.has_question == query->has_question);
    if (query->has_question)
        CHECK(dns_name_equal(&again.question.name, &query->question.name));
}

static void check_name(const struct dns_name *name)
{
    char text[DNS_TEXT_BYTES];
    CHECK(strlen(dns_name_format(name, text)) < sizeof text);
    struct dns_name folded = *name;
    dns_name_fold(&folded);
    CHECK(dns_name_equal(name, &folded));
    CHECK(dns_name_under(name, &folded));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct names *names;
    if (!names)
        names = table();
    if (size < 1 || size - 1 > DNS_MESSAGE_BYTES)
        return 0;
    bool tcp = data[0] & 1;
    bool closed = data[0] & 2;
    const uint8_t *bytes = data + 1;
    size--;

    struct dns_walk walk;
    struct dns_record record;
    if (dns_walk_start(&walk, bytes, size, NULL) == 0)
        while (dns_walk_next(&walk, &record, NULL) > 0) {
            CHECK(record.data + record.data_bytes <= bytes + size);
            check_name(&record.name);
        }

    struct dns_name search;
    CHECK(dns_name_parse("corp.example", &search, NULL) == 0);
    struct resolver_policy policy = {
        .upstreams_count = 1, .ndots_set = data[0] & 4, .search = &search, .search_count = 1};
    const struct names_sandbox *sandbox = names_sandbox_get(names, closed ? "closed" : "open");
    struct dns_msg query;
    struct buf reply;
    buf_init(&reply, DNS_MESSAGE_BYTES);
    enum resolver_verdict verdict =
        resolver_ask(names, sandbox, &policy, bytes, size, tcp, &query, &reply);
    if (verdict == RESOLVER_ANSWER || verdict == RESOLVER_REFUSE) {
        check_reply(&query, &reply, tcp);
    } else {
        CHECK(reply.len == 0);
    }
    if (verdict == RESOLVER_FORWARD) {
        CHECK(!closed); // an internal network never goes upstream
        resolver_fail(&query, tcp, DNS_RCODE_SERVFAIL, &reply);
        check_reply(&query, &reply, tcp);
    }
    if (query.has_question) {
        check_name(&query.question.name);
        resolver_judge(&query, query.id, bytes, size);
    }
    buf_fini(&reply);
    return 0;
}
