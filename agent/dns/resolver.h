// Decides what becomes of a question from a sandbox: answered from the table of names, forwarded,
// or refused; and what becomes of an upstream server's reply. Bytes in, bytes out.
#ifndef AGENT_DNS_RESOLVER_H
#define AGENT_DNS_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/dns/dns_msg.h"
#include "agent/dns/names.h"

#define RESOLVER_TTL_S         600u // of every answer from the table, as the Engine's
#define RESOLVER_SEARCH_MAX    32u  // search domains of one sandbox
#define RESOLVER_UPSTREAMS_MAX 3u   // servers tried; further ones are not asked, as in the Engine

// What a sandbox's settings say. Open and copied freely; the domains are borrowed.
struct resolver_policy {
    size_t upstreams_count;        // servers there are to ask
    bool ndots_set;                // the user set ndots above 0: single labels are no whole names
    const struct dns_name *search; // its search domains
    size_t search_count;
};

enum resolver_verdict {
    RESOLVER_ANSWER,  // `reply` says it, from the table
    RESOLVER_FORWARD, // to be asked upstream; `reply` is empty
    RESOLVER_REFUSE,  // `reply` holds the error code
    RESOLVER_DROP,    // not a question at all; `reply` is empty
};

// Takes a query as it came. `reply` is cleared first; its limit is at least DNS_MESSAGE_BYTES.
// `query` gets what was read (needed for the two functions below).
//
// Nothing of a sandbox whose networks are all internal is ever forwarded: its unknown names get
// SERVFAIL, as in the Engine, but NXDOMAIN under one of its search domains, because some C
// libraries stop searching at SERVFAIL. A name in the table never goes upstream, whatever the type
// asked for: what it does not have is answered with no records.
enum resolver_verdict resolver_ask(struct names *names, const struct names_sandbox *sandbox,
                                   const struct resolver_policy *policy, const uint8_t *bytes,
                                   size_t size, bool tcp, struct dns_msg *query, struct buf *reply);

enum resolver_judgement {
    RESOLVER_TAKE,   // pass it on, under the client's ID
    RESOLVER_NEXT,   // this server cannot answer (SERVFAIL, REFUSED): ask the next one
    RESOLVER_IGNORE, // not the reply to this question: forged, late or broken; go on waiting
};

// Judges what came from an upstream server that was asked `query` under the ID `id`.
enum resolver_judgement resolver_judge(const struct dns_msg *query, uint16_t id,
                                       const uint8_t *bytes, size_t size);

// An error in reply to `query`, for when every upstream server failed. As in resolver_ask, `query`
// is a question that was forwarded and `reply` is cleared first.
void resolver_fail(const struct dns_msg *query, bool tcp, enum dns_rcode rcode, struct buf *reply);

// As resolver_fail, but without an error: says that the reply is longer than can be sent this way.
void resolver_cut(const struct dns_msg *query, bool tcp, struct buf *reply);

#endif
