#include "agent/dns/dns_msg.h"

#include <string.h>

#include "proto/base/check.h"

#define FLAG_RESPONSE            0x8000u
#define FLAG_AUTHORITATIVE       0x0400u
#define FLAG_TRUNCATED           0x0200u
#define FLAG_RECURSION_DESIRED   0x0100u
#define FLAG_RECURSION_AVAILABLE 0x0080u
#define FLAG_CHECKING_DISABLED   0x0010u

#define POINTER_BITS 0xc0u
#define OPT_BYTES    11u // an OPT record without options

static_assert(DNS_NAME_BYTES <= UINT8_MAX, "dns_name.size holds every size");

// ---- names ------------------------------------------------------------------------------------

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + ('a' - 'A')) : byte;
}

int dns_name_parse(const char *text, struct dns_name *out, struct err *err)
{
    CHECK(text);
    size_t used = 0;
    if (text[0] == '.' && text[1] == '\0')
        text++;
    while (*text) {
        size_t label = strcspn(text, ".");
        if (label == 0)
            return err_set(err, ERR_INVALID_ARGUMENT, "a DNS name has an empty label");
        if (label > DNS_LABEL_BYTES)
            return err_set(err, ERR_INVALID_ARGUMENT, "a label of a DNS name exceeds %u bytes",
                           DNS_LABEL_BYTES);
        if (used + 1 + label + 1 > DNS_NAME_BYTES)
            return err_set(err, ERR_INVALID_ARGUMENT, "a DNS name exceeds %u bytes",
                           DNS_NAME_BYTES);
        out->wire[used] = (uint8_t)label;
        memcpy(out->wire + used + 1, text, label);
        used += 1 + label;
        text += label;
        if (*text == '.')
            text++;
    }
    out->wire[used] = 0;
    out->size = (uint8_t)(used + 1);
    return 0;
}

const char *dns_name_format(const struct dns_name *name, char out[DNS_TEXT_BYTES])
{
    // Each wire byte becomes at most four characters, so the longest name needs 4 * 254 + 1.
    static_assert(4 * (DNS_NAME_BYTES - 1) + 1 <= DNS_TEXT_BYTES, "any name fits");
    CHECK(name->size >= 1);
    size_t used = 0;
    for (size_t at = 0; name->wire[at]; at += 1u + name->wire[at]) {
        for (size_t i = 1; i <= name->wire[at]; i++) {
            uint8_t byte = name->wire[at + i];
            if (byte <= ' ' || byte > '~') {
                out[used++] = '\\';
                out[used++] = (char)('0' + byte / 100);
                out[used++] = (char)('0' + byte / 10 % 10);
                out[used++] = (char)('0' + byte % 10);
                continue;
            }
            if (byte == '.' || byte == '\\')
                out[used++] = '\\';
            out[used++] = (char)byte;
        }
        out[used++] = '.';
    }
    if (used == 0)
        out[used++] = '.';
    CHECK(used < DNS_TEXT_BYTES);
    out[used] = '\0';
    return out;
}

void dns_name_fold(struct dns_name *name)
{
    // Lengths are at most 63 and so no letters: folding every byte changes none of them.
    for (size_t i = 0; i < name->size; i++)
        name->wire[i] = lower(name->wire[i]);
}

static bool equal_folded(const uint8_t *a, const uint8_t *b, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

bool dns_name_equal(const struct dns_name *a, const struct dns_name *b)
{
    return a->size == b->size && equal_folded(a->wire, b->wire, a->size);
}

bool dns_name_under(const struct dns_name *name, const struct dns_name *suffix)
{
    if (name->size < suffix->size)
        return false;
    size_t at = 0;
    while (name->size - at > suffix->size)
        at += 1u + name->wire[at];
    return name->size - at == suffix->size &&
           equal_folded(name->wire + at, suffix->wire, suffix->size);
}

size_t dns_name_labels(const struct dns_name *name)
{
    size_t count = 0;
    for (size_t at = 0; name->wire[at]; at += 1u + name->wire[at])
        count++;
    return count;
}

bool dns_name_join(const struct dns_name *front, const struct dns_name *back, struct dns_name *out)
{
    CHECK(front->size >= 1);
    size_t front_bytes = front->size - 1u;
    if (front_bytes + back->size > DNS_NAME_BYTES)
        return false;
    struct dns_name joined = {.size = (uint8_t)(front_bytes + back->size)};
    memcpy(joined.wire, front->wire, front_bytes);
    memcpy(joined.wire + front_bytes, back->wire, back->size);
    *out = joined;
    return true;
}

// The number of a label of an address in reverse, or -1. Leading zeros are not canonical.
static int reversed_label(const uint8_t *label, unsigned base, unsigned max)
{
    size_t size = label[0];
    if (size == 0 || size > 3 || (size > 1 && (base == 16 || label[1] == '0')))
        return -1;
    unsigned value = 0;
    for (size_t i = 1; i <= size; i++) {
        uint8_t byte = lower(label[i]);
        if (byte >= '0' && byte <= '9')
            value = value * base + (unsigned)(byte - '0');
        else if (base == 16 && byte >= 'a' && byte <= 'f')
            value = value * base + (unsigned)(byte - 'a') + 10;
        else
            return -1;
    }
    return value <= max ? (int)value : -1;
}

size_t dns_name_reversed(const struct dns_name *name, uint8_t out[16])
{
    static const struct dns_name zone4 = {14, "\7in-addr\4arpa"};
    static const struct dns_name zone6 = {10, "\3ip6\4arpa"};
    bool is4 = dns_name_under(name, &zone4);
    if (!is4 && !dns_name_under(name, &zone6))
        return 0;
    size_t parts = is4 ? 4 : 32;
    if (dns_name_labels(name) != parts + 2)
        return 0;
    memset(out, 0, 16);
    size_t at = 0;
    for (size_t part = parts; part-- > 0; at += 1u + name->wire[at]) {
        int value = reversed_label(name->wire + at, is4 ? 10 : 16, is4 ? 255 : 15);
        if (value < 0)
            return 0;
        if (is4)
            out[part] = (uint8_t)value;
        else
            out[part / 2] = (uint8_t)(out[part / 2] | (unsigned)value << (part % 2 ? 0 : 4));
    }
    return is4 ? 4 : 16;
}

// ---- reading ----------------------------------------------------------------------------------

static int cut_short(struct err *err)
{
    return err_set(err, ERR_INVALID_ARGUMENT, "the DNS message is cut short");
}

int dns_name_read(const uint8_t *bytes, size_t size, size_t *at, struct dns_name *out,
                  struct err *err)
{
    size_t read = *at;
    size_t floor = *at; // a pointer must lead below where this stretch of labels began
    size_t used = 0;
    bool jumped = false;
    for (;;) {
        if (read >= size)
            return cut_short(err);
        unsigned label = bytes[read];
        if ((label & POINTER_BITS) == POINTER_BITS) {
            if (size - read < 2)
                return cut_short(err);
            size_t target = (size_t)(label & ~POINTER_BITS) << 8 | bytes[read + 1];
            if (!jumped)
                *at = read + 2;
            jumped = true;
            if (target >= floor || target < DNS_HEADER_BYTES)
                return err_set(err, ERR_INVALID_ARGUMENT,
                               "a compressed DNS name does not point backwards");
            read = floor = target;
            continue;
        }
        if (label & POINTER_BITS)
            return err_set(err, ERR_INVALID_ARGUMENT, "a DNS name has an unknown kind of label");
        if (size - read < 1 + label)
            return cut_short(err);
        // The root label still has to fit behind any other.
        if (used + 1 + label + (label ? 1 : 0) > DNS_NAME_BYTES)
            return err_set(err, ERR_INVALID_ARGUMENT, "a DNS name exceeds %u bytes",
                           DNS_NAME_BYTES);
        memcpy(out->wire + used, bytes + read, 1 + label);
        used += 1 + label;
        read += 1 + label;
        if (label == 0)
            break;
    }
    if (!jumped)
        *at = read;
    out->size = (uint8_t)used;
    return 0;
}

// The fields of fixed size behind a name; *at moves over them.
static struct cursor fixed_fields(const uint8_t *bytes, size_t size, size_t *at, size_t want)
{
    CHECK(*at <= size);
    struct cursor cursor = cursor_of(bytes + *at, size - *at);
    struct cursor fields = cursor_sub(&cursor, want);
    if (cursor_ok(&cursor))
        *at += want;
    return fields;
}

static int read_question(const uint8_t *bytes, size_t size, size_t *at, struct dns_question *out,
                         struct err *err)
{
    int rc = dns_name_read(bytes, size, at, &out->name, err);
    if (rc)
        return rc;
    struct cursor fields = fixed_fields(bytes, size, at, 4);
    out->type = cursor_u16be(&fields);
    out->class = cursor_u16be(&fields);
    return cursor_ok(&fields) ? 0 : cut_short(err);
}

int dns_walk_start(struct dns_walk *walk, const uint8_t *bytes, size_t size, struct err *err)
{
    struct cursor header = cursor_of(bytes, size);
    cursor_u32be(&header); // ID and flags
    uint16_t questions = cursor_u16be(&header);
    *walk = (struct dns_walk){.bytes = bytes, .size = size, .at = DNS_HEADER_BYTES};
    for (size_t i = 0; i < COUNT_OF(walk->left); i++)
        walk->left[i] = cursor_u16be(&header);
    if (!cursor_ok(&header))
        return cut_short(err);
    for (; questions > 0; questions--) {
        struct dns_question question;
        int rc = read_question(bytes, size, &walk->at, &question, err);
        if (rc)
            return rc;
    }
    return 0;
}

int dns_walk_next(struct dns_walk *walk, struct dns_record *out, struct err *err)
{
    size_t section = 0;
    while (section < COUNT_OF(walk->left) && walk->left[section] == 0)
        section++;
    if (section == COUNT_OF(walk->left))
        return 0;
    walk->left[section]--;
    out->section = (enum dns_section)section;
    int rc = dns_name_read(walk->bytes, walk->size, &walk->at, &out->name, err);
    if (rc)
        return rc;
    struct cursor fields = fixed_fields(walk->bytes, walk->size, &walk->at, 10);
    out->type = cursor_u16be(&fields);
    out->class = cursor_u16be(&fields);
    out->ttl_s = cursor_u32be(&fields);
    out->data_bytes = cursor_u16be(&fields);
    if (!cursor_ok(&fields) || walk->size - walk->at < out->data_bytes)
        return cut_short(err);
    out->data = walk->bytes + walk->at;
    out->data_at = walk->at;
    walk->at += out->data_bytes;
    return 1;
}

// The OPT record: class and TTL are fields of their own (RFC 6891, 6.1.3).
static int read_opt(const struct dns_record *record, struct dns_msg *out, struct err *err)
{
    if (out->edns || record->section != DNS_SECTION_ADDITIONAL || record->name.size != 1)
        return err_set(err, ERR_INVALID_ARGUMENT, "an OPT record where none may be");
    out->edns = true;
    out->edns_bytes = record->class;
    out->edns_version = (uint8_t)(record->ttl_s >> 16);
    out->rcode = (uint16_t)(out->rcode | (record->ttl_s >> 24) << 4);
    return 0;
}

static int read_records(const uint8_t *bytes, size_t size, struct dns_msg *out, struct err *err)
{
    struct dns_walk walk;
    int rc = dns_walk_start(&walk, bytes, size, err);
    if (rc)
        return rc;
    struct dns_record record;
    while ((rc = dns_walk_next(&walk, &record, err)) > 0) {
        if (record.type == DNS_TYPE_OPT && (rc = read_opt(&record, out, err)))
            return rc;
    }
    if (rc)
        return rc;
    if (walk.at != size)
        return err_set(err, ERR_INVALID_ARGUMENT, "bytes after the end of a DNS message");
    return 0;
}

int dns_msg_parse(const uint8_t *bytes, size_t size, struct dns_msg *out, struct err *err)
{
    *out = (struct dns_msg){.header_read = size >= DNS_HEADER_BYTES};
    if (!out->header_read)
        return cut_short(err);
    struct cursor header = cursor_of(bytes, size);
    out->id = cursor_u16be(&header);
    unsigned flags = cursor_u16be(&header);
    uint16_t questions = cursor_u16be(&header);
    out->answers_count = cursor_u16be(&header);
    out->response = (flags & FLAG_RESPONSE) != 0;
    out->opcode = flags >> 11 & 0xf;
    out->authoritative = (flags & FLAG_AUTHORITATIVE) != 0;
    out->truncated = (flags & FLAG_TRUNCATED) != 0;
    out->recursion_desired = (flags & FLAG_RECURSION_DESIRED) != 0;
    out->recursion_available = (flags & FLAG_RECURSION_AVAILABLE) != 0;
    out->checking_disabled = (flags & FLAG_CHECKING_DISABLED) != 0;
    out->rcode = flags & 0xf;
    if (out->opcode != 0)
        return err_set(err, ERR_UNIMPLEMENTED, "a DNS message with opcode %u", out->opcode);
    if (questions > 1 || (questions == 0 && !out->response))
        return err_set(err, ERR_INVALID_ARGUMENT, "a DNS message with %u questions", questions);
    if (questions == 1) {
        size_t at = DNS_HEADER_BYTES;
        int rc = read_question(bytes, size, &at, &out->question, err);
        if (rc)
            return rc;
        out->has_question = true;
    }
    return read_records(bytes, size, out, err);
}

// ---- replying ---------------------------------------------------------------------------------

size_t dns_reply_limit(const struct dns_msg *query, bool tcp)
{
    if (tcp)
        return DNS_MESSAGE_BYTES;
    if (!query->edns || query->edns_bytes < DNS_UDP_BYTES)
        return DNS_UDP_BYTES;
    return query->edns_bytes < DNS_UDP_BYTES_MAX ? query->edns_bytes : DNS_UDP_BYTES_MAX;
}

void dns_reply_start(struct dns_reply *reply, const struct dns_msg *query, size_t limit,
                     struct buf *out)
{
    static_assert(DNS_HEADER_BYTES + DNS_NAME_BYTES + 4 + OPT_BYTES <= DNS_UDP_BYTES,
                  "question and OPT fit into every reply");
    CHECK(query->header_read);
    CHECK(!query->response);
    CHECK(limit >= DNS_UDP_BYTES);
    CHECK(out->limit >= DNS_UDP_BYTES);
    buf_clear(out);
    limit = limit < out->limit ? limit : out->limit;
    *reply = (struct dns_reply){.out = out, .query = query};
    reply->limit = limit - (query->edns ? OPT_BYTES : 0);
    memset(buf_extend(out, DNS_HEADER_BYTES), 0, DNS_HEADER_BYTES); // filled at the end
    if (query->has_question) {
        buf_put(out, query->question.name.wire, query->question.name.size);
        buf_put_u16be(out, query->question.type);
        buf_put_u16be(out, query->question.class);
    }
    CHECK(out->len <= reply->limit);
}

static bool add_answer(struct dns_reply *reply, enum dns_type type, const void *data,
                       size_t data_bytes, uint32_t ttl_s)
{
    CHECK(reply->query->has_question);
    if (reply->truncated || reply->limit - reply->out->len < 12 + data_bytes) {
        reply->truncated = true;
        return false;
    }
    CHECK(reply->answers_count < UINT16_MAX);
    // The owner is the question's name, right behind the header.
    buf_put_u16be(reply->out, (uint16_t)(POINTER_BITS << 8 | DNS_HEADER_BYTES));
    buf_put_u16be(reply->out, (uint16_t)type);
    buf_put_u16be(reply->out, DNS_CLASS_IN);
    buf_put_u32be(reply->out, ttl_s);
    buf_put_u16be(reply->out, (uint16_t)data_bytes);
    buf_put(reply->out, data, data_bytes);
    CHECK(buf_ok(reply->out));
    reply->answers_count++;
    return true;
}

bool dns_reply_address(struct dns_reply *reply, const uint8_t *ip, size_t ip_bytes, uint32_t ttl_s)
{
    CHECK(ip_bytes == 4 || ip_bytes == 16);
    return add_answer(reply, ip_bytes == 4 ? DNS_TYPE_A : DNS_TYPE_AAAA, ip, ip_bytes, ttl_s);
}

bool dns_reply_ptr(struct dns_reply *reply, const struct dns_name *target, uint32_t ttl_s)
{
    return add_answer(reply, DNS_TYPE_PTR, target->wire, target->size, ttl_s);
}

static void set_u16be(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

void dns_reply_finish(struct dns_reply *reply, enum dns_rcode rcode)
{
    const struct dns_msg *query = reply->query;
    CHECK((unsigned)rcode <= 0xf || query->edns);
    if (query->edns) {
        buf_put_u8(reply->out, 0);
        buf_put_u16be(reply->out, DNS_TYPE_OPT);
        buf_put_u16be(reply->out, DNS_QUERY_BYTES);
        buf_put_u32be(reply->out, (uint32_t)rcode >> 4 << 24);
        buf_put_u16be(reply->out, 0);
    }
    CHECK(buf_ok(reply->out));
    unsigned flags = FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE | (unsigned)query->opcode << 11 |
                     ((unsigned)rcode & 0xf);
    flags |= reply->truncated ? FLAG_TRUNCATED : 0;
    flags |= query->recursion_desired ? FLAG_RECURSION_DESIRED : 0;
    flags |= query->checking_disabled ? FLAG_CHECKING_DISABLED : 0;
    uint8_t *header = reply->out->data;
    set_u16be(header, query->id);
    set_u16be(header + 2, flags);
    set_u16be(header + 4, query->has_question);
    set_u16be(header + 6, reply->answers_count);
    set_u16be(header + 10, query->edns);
}
