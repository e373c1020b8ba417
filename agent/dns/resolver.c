#include "agent/dns/resolver.h"

#include "proto/base/check.h"

// A record with an address behind a compressed owner takes this much at least.
#define ANSWER_BYTES_MIN 16u

static enum resolver_verdict reply_code(const struct dns_msg *query, bool tcp, enum dns_rcode rcode,
                                        enum resolver_verdict verdict, struct buf *out)
{
    struct dns_reply reply;
    dns_reply_start(&reply, query, dns_reply_limit(query, tcp), out);
    dns_reply_finish(&reply, rcode);
    return verdict;
}

void resolver_fail(const struct dns_msg *query, bool tcp, enum dns_rcode rcode, struct buf *reply)
{
    reply_code(query, tcp, rcode, RESOLVER_REFUSE, reply);
}

void resolver_cut(const struct dns_msg *query, bool tcp, struct buf *out)
{
    struct dns_reply reply;
    dns_reply_start(&reply, query, dns_reply_limit(query, tcp), out);
    reply.truncated = true;
    dns_reply_finish(&reply, DNS_RCODE_NOERROR);
}

static bool under_search_domain(const struct resolver_policy *policy, const struct dns_name *name)
{
    for (size_t i = 0; i < policy->search_count; i++)
        if (policy->search[i].size > 1 && dns_name_under(name, &policy->search[i]))
            return true;
    return false;
}

// What the table does not know.
static enum resolver_verdict ask_unknown(const struct names_sandbox *sandbox,
                                         const struct resolver_policy *policy,
                                         const struct dns_msg *query, bool tcp, struct buf *out)
{
    const struct dns_question *question = &query->question;
    bool address = question->type == DNS_TYPE_A || question->type == DNS_TYPE_AAAA;
    // With ndots set, a single label is the first half of a search: the container comes back with
    // a domain added, and the label alone is nobody else's business.
    if (address && policy->ndots_set && dns_name_labels(&question->name) <= 1)
        return reply_code(query, tcp, DNS_RCODE_NOERROR, RESOLVER_ANSWER, out);
    if (!names_sandbox_external(sandbox)) {
        if (under_search_domain(policy, &question->name))
            return reply_code(query, tcp, DNS_RCODE_NXDOMAIN, RESOLVER_ANSWER, out);
        return reply_code(query, tcp, DNS_RCODE_SERVFAIL, RESOLVER_REFUSE, out);
    }
    if (policy->upstreams_count == 0)
        return reply_code(query, tcp, DNS_RCODE_SERVFAIL, RESOLVER_REFUSE, out);
    return RESOLVER_FORWARD;
}

static bool answer_reverse(const struct names_sandbox *sandbox, const struct dns_msg *query,
                           bool tcp, struct buf *out)
{
    struct names_ip ip = {0};
    struct dns_name target;
    ip.size = (uint8_t)dns_name_reversed(&query->question.name, ip.bytes);
    if (ip.size == 0 || !names_reverse(sandbox, &ip, &target))
        return false;
    struct dns_reply reply;
    dns_reply_start(&reply, query, dns_reply_limit(query, tcp), out);
    dns_reply_ptr(&reply, &target, RESOLVER_TTL_S);
    dns_reply_finish(&reply, DNS_RCODE_NOERROR);
    return true;
}

static bool answer_name(struct names *names, const struct names_sandbox *sandbox,
                        const struct dns_msg *query, bool tcp, struct buf *out)
{
    const struct dns_question *question = &query->question;
    bool wants4 = question->type == DNS_TYPE_A || question->type == DNS_TYPE_ANY;
    bool wants6 = question->type == DNS_TYPE_AAAA || question->type == DNS_TYPE_ANY;
    size_t limit = dns_reply_limit(query, tcp);
    size_t max = limit / ANSWER_BYTES_MIN; // more than fit, so that TC tells of the rest
    struct names_answer answer;
    if (!names_lookup(names, sandbox, &question->name, 4, wants4 ? max : 0, &answer))
        return false;
    struct dns_reply reply;
    dns_reply_start(&reply, query, limit, out);
    for (size_t i = 0; i < answer.count; i++)
        if (!dns_reply_address(&reply, answer.ips[i].bytes, 4, RESOLVER_TTL_S))
            break;
    if (wants6) {
        names_lookup(names, sandbox, &question->name, 16, max, &answer);
        for (size_t i = 0; i < answer.count; i++)
            if (!dns_reply_address(&reply, answer.ips[i].bytes, 16, RESOLVER_TTL_S))
                break;
    }
    dns_reply_finish(&reply, DNS_RCODE_NOERROR);
    return true;
}

enum resolver_verdict resolver_ask(struct names *names, const struct names_sandbox *sandbox,
                                   const struct resolver_policy *policy, const uint8_t *bytes,
                                   size_t size, bool tcp, struct dns_msg *query, struct buf *reply)
{
    CHECK(policy->search_count <= RESOLVER_SEARCH_MAX);
    CHECK(reply->limit >= DNS_MESSAGE_BYTES);
    buf_clear(reply);
    int rc = dns_msg_parse(bytes, size, query, NULL);
    // Answering an answer would let two resolvers talk to each other for ever.
    if (!query->header_read || query->response)
        return RESOLVER_DROP;
    if (rc == -ERR_UNIMPLEMENTED)
        return reply_code(query, tcp, DNS_RCODE_NOTIMP, RESOLVER_REFUSE, reply);
    if (rc)
        return reply_code(query, tcp, DNS_RCODE_FORMERR, RESOLVER_REFUSE, reply);
    if (query->edns && query->edns_version != 0)
        return reply_code(query, tcp, DNS_RCODE_BADVERS, RESOLVER_REFUSE, reply);
    const struct dns_question *question = &query->question;
    if (question->type == DNS_TYPE_AXFR || question->type == DNS_TYPE_IXFR)
        return reply_code(query, tcp, DNS_RCODE_REFUSED, RESOLVER_REFUSE, reply);
    if (question->class != DNS_CLASS_IN && question->class != DNS_CLASS_ANY)
        return reply_code(query, tcp, DNS_RCODE_REFUSED, RESOLVER_REFUSE, reply);
    if (question->type == DNS_TYPE_PTR && answer_reverse(sandbox, query, tcp, reply))
        return RESOLVER_ANSWER;
    if (answer_name(names, sandbox, query, tcp, reply))
        return RESOLVER_ANSWER;
    return ask_unknown(sandbox, policy, query, tcp, reply);
}

enum resolver_judgement resolver_judge(const struct dns_msg *query, uint16_t id,
                                       const uint8_t *bytes, size_t size)
{
    struct dns_msg got;
    CHECK(query->has_question);
    if (dns_msg_parse(bytes, size, &got, NULL) || !got.response || got.id != id)
        return RESOLVER_IGNORE;
    bool failed = got.rcode == DNS_RCODE_SERVFAIL || got.rcode == DNS_RCODE_REFUSED;
    // Servers that could not read the question at all do not repeat it.
    if (!got.has_question)
        return failed || got.rcode == DNS_RCODE_FORMERR || got.rcode == DNS_RCODE_NOTIMP
                   ? RESOLVER_NEXT
                   : RESOLVER_IGNORE;
    if (got.question.type != query->question.type || got.question.class != query->question.class ||
        !dns_name_equal(&got.question.name, &query->question.name))
        return RESOLVER_IGNORE;
    return failed ? RESOLVER_NEXT : RESOLVER_TAKE;
}
