// DNS messages (RFC 1035, EDNS of RFC 6891): names, questions, records, and replies to questions.
//
// Everything here takes bytes from containers and from upstream servers. A compressed name may only
// point backwards, so that reading one ends; a name has at most 255 bytes; and every record of a
// message is walked before the message is believed.
#ifndef AGENT_DNS_DNS_MSG_H
#define AGENT_DNS_DNS_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

#define DNS_HEADER_BYTES  12u
#define DNS_NAME_BYTES    255u   // longest name on the wire, root label included
#define DNS_LABEL_BYTES   63u    // longest label
#define DNS_TEXT_BYTES    1024u  // room for any name as text: each byte may become \DDD
#define DNS_UDP_BYTES     512u   // largest UDP reply without EDNS
#define DNS_UDP_BYTES_MAX 65507u // largest UDP payload over IPv4
#define DNS_MESSAGE_BYTES 65535u // largest message over TCP
#define DNS_QUERY_BYTES   4096u  // largest query taken over UDP, as EDNS says of us

enum dns_type {
    DNS_TYPE_A = 1,
    DNS_TYPE_PTR = 12,
    DNS_TYPE_MX = 15,
    DNS_TYPE_AAAA = 28,
    DNS_TYPE_SRV = 33,
    DNS_TYPE_OPT = 41,
    DNS_TYPE_IXFR = 251,
    DNS_TYPE_AXFR = 252,
    DNS_TYPE_ANY = 255,
};

enum dns_class {
    DNS_CLASS_IN = 1,
    DNS_CLASS_ANY = 255,
};

enum dns_rcode {
    DNS_RCODE_NOERROR = 0,
    DNS_RCODE_FORMERR = 1,
    DNS_RCODE_SERVFAIL = 2,
    DNS_RCODE_NXDOMAIN = 3,
    DNS_RCODE_NOTIMP = 4,
    DNS_RCODE_REFUSED = 5,
    DNS_RCODE_BADVERS = 16, // only in messages with an OPT record
};

// ---- names -----------------------------------------------------------------------------------

// A name as uncompressed labels with the root label at the end. Labels may hold any byte, so text
// is only ever a rendering of it.
struct dns_name {
    uint8_t size; // bytes in use, at least 1 (the root)
    uint8_t wire[DNS_NAME_BYTES];
};

// From text without escapes, with or without the last dot; "" and "." are the root.
// INVALID_ARGUMENT for empty or too long labels and for too long names.
int dns_name_parse(const char *text, struct dns_name *out, struct err *err);

// As text with its last dot; dots and backslashes in labels get a backslash, other bytes that do
// not print become \DDD. Returns out.
const char *dns_name_format(const struct dns_name *name, char out[DNS_TEXT_BYTES]);

// Lower-cases the ASCII letters in place (RFC 4343).
void dns_name_fold(struct dns_name *name);

// The same name, ASCII case ignored.
bool dns_name_equal(const struct dns_name *a, const struct dns_name *b);

// True when `name` is `suffix` or lies under it, ASCII case ignored. Everything is under the root.
bool dns_name_under(const struct dns_name *name, const struct dns_name *suffix);

// Number of labels, the root not counted.
size_t dns_name_labels(const struct dns_name *name);

// *out becomes `front` followed by `back`. False (and *out unchanged) when that is too long. *out
// may be either of them.
bool dns_name_join(const struct dns_name *front, const struct dns_name *back, struct dns_name *out);

// The address that a name under in-addr.arpa or ip6.arpa stands for. Returns its bytes, 4 or 16, or
// 0 when it is no whole address.
size_t dns_name_reversed(const struct dns_name *name, uint8_t out[16]);

// ---- reading ---------------------------------------------------------------------------------

struct dns_question {
    struct dns_name name; // as it was spelled
    uint16_t type;
    uint16_t class;
};

// What a resolver has to know about a message.
struct dns_msg {
    bool header_read; // the header was there: an error can be answered if this is a query
    uint16_t id;
    bool response;
    uint8_t opcode; // 0 is a plain query
    bool authoritative;
    bool truncated;
    bool recursion_desired;
    bool recursion_available;
    bool checking_disabled;
    uint16_t rcode; // with the upper bits of EDNS
    bool has_question;
    struct dns_question question;
    uint16_t answers_count; // records in the answer section
    bool edns;
    uint8_t edns_version;
    uint16_t edns_bytes; // UDP payload that the sender takes
};

// Reads a whole message. INVALID_ARGUMENT for everything that is not well-formed, bytes after the
// last record and a second OPT record included; UNIMPLEMENTED for opcodes other than a query's,
// whose sections may mean something else. What was read until then is in *out.
// A message of no or several questions is INVALID_ARGUMENT too, except a response without one.
int dns_msg_parse(const uint8_t *bytes, size_t size, struct dns_msg *out, struct err *err);

enum dns_section { DNS_SECTION_ANSWER, DNS_SECTION_AUTHORITY, DNS_SECTION_ADDITIONAL };

struct dns_record {
    enum dns_section section;
    struct dns_name name;
    uint16_t type;
    uint16_t class;
    uint32_t ttl_s;
    const uint8_t *data; // borrowed from the message
    uint16_t data_bytes;
    size_t data_at; // where data begins in the message, for compressed names in it
};

// A walk over the records of a message, which must outlive it.
struct dns_walk {
    const uint8_t *bytes;
    size_t size;
    size_t at;
    uint16_t left[3]; // records still to come, per section
};

// Steps over header and questions. INVALID_ARGUMENT when they are not well-formed.
int dns_walk_start(struct dns_walk *walk, const uint8_t *bytes, size_t size, struct err *err);

// 1 with the next record, 0 at the end, or INVALID_ARGUMENT.
int dns_walk_next(struct dns_walk *walk, struct dns_record *out, struct err *err);

// Reads the name at *at, following compression, and moves *at behind it. INVALID_ARGUMENT for
// pointers that do not go backwards, label types other than plain and pointer, and longer names.
int dns_name_read(const uint8_t *bytes, size_t size, size_t *at, struct dns_name *out,
                  struct err *err);

// ---- replying --------------------------------------------------------------------------------

// A reply being built. Records that do not fit set TC, and none follow.
struct dns_reply {
    struct buf *out;
    size_t limit;
    const struct dns_msg *query;
    uint16_t answers_count;
    bool truncated;
};

// Most bytes that a reply to `query` may have on that transport: 65535 over TCP; over UDP what EDNS
// offers, and 512 without it or when it offers less.
size_t dns_reply_limit(const struct dns_msg *query, bool tcp);

// Begins a reply in `out`, which is cleared and has a limit of at least DNS_UDP_BYTES. `query` must
// have its header read and be no response; it and `out` are borrowed until dns_reply_finish. The
// question is repeated in its own spelling if the query has one.
void dns_reply_start(struct dns_reply *reply, const struct dns_msg *query, size_t limit,
                     struct buf *out);

// Adds an answer of class IN for the question's name, which must be there. False when it did not
// fit; the reply is then marked truncated.
bool dns_reply_address(struct dns_reply *reply, const uint8_t *ip, size_t ip_bytes, uint32_t ttl_s);
bool dns_reply_ptr(struct dns_reply *reply, const struct dns_name *target, uint32_t ttl_s);

// Completes the header: response, RA set, AA clear, RD and CD as asked. A query with EDNS gets an
// OPT record back (RFC 6891, 6.1.1), for which room was kept. BADVERS needs such a query.
void dns_reply_finish(struct dns_reply *reply, enum dns_rcode rcode);

#endif
