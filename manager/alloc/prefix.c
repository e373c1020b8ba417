#include "manager/alloc/prefix.h"

#include <arpa/inet.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

static bool parse(const char *text, bool need_bits, struct prefix *out)
{
    char address[PREFIX_TEXT_BYTES];
    if (!str_copy(address, sizeof(address), text ? text : ""))
        return false;
    char *slash = strchr(address, '/');
    if (!slash && need_bits)
        return false;
    if (slash)
        *slash = '\0';
    *out = (struct prefix){.bytes = 4};
    if (inet_pton(AF_INET, address, out->addr) != 1) {
        out->bytes = 16;
        if (inet_pton(AF_INET6, address, out->addr) != 1)
            return false;
    }
    uint64_t bits = out->bytes * 8U;
    if (slash && !str_to_u64(slash + 1, bits, &bits))
        return false;
    out->bits = (uint8_t)bits;
    return true;
}

bool prefix_parse(const char *text, struct prefix *out)
{
    return parse(text, true, out);
}

bool prefix_parse_address(const char *text, struct prefix *out)
{
    return parse(text, false, out);
}

struct prefix prefix_network(struct prefix prefix)
{
    for (unsigned i = 0; i < prefix.bytes; i++) {
        unsigned kept = prefix.bits > 8 * i ? prefix.bits - 8 * i : 0;
        if (kept < 8)
            prefix.addr[i] &= (uint8_t)(0xff00u >> kept);
    }
    return prefix;
}

static bool equal_bits(const struct prefix *a, const struct prefix *b, unsigned bits)
{
    if (a->bytes != b->bytes || memcmp(a->addr, b->addr, bits / 8))
        return false;
    return bits % 8 == 0 || (a->addr[bits / 8] ^ b->addr[bits / 8]) >> (8 - bits % 8) == 0;
}

bool prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
    return equal_bits(a, b, a->bits < b->bits ? a->bits : b->bits);
}

bool prefix_contains(const struct prefix *network, const struct prefix *address)
{
    return equal_bits(network, address, network->bits);
}

uint64_t prefix_size(const struct prefix *network)
{
    unsigned host_bits = network->bytes * 8U - network->bits;
    return host_bits >= 64 ? UINT64_MAX : UINT64_C(1) << host_bits;
}

struct prefix prefix_at(const struct prefix *network, uint64_t offset)
{
    struct prefix at = prefix_network(*network);
    for (unsigned i = at.bytes; i-- > 0 && offset > 0;) {
        uint64_t sum = at.addr[i] + (offset & 0xff);
        at.addr[i] = (uint8_t)sum;
        offset = (offset >> 8) + (sum >> 8);
    }
    return at;
}

uint64_t prefix_offset(const struct prefix *network, const struct prefix *address)
{
    CHECK(prefix_contains(network, address));
    uint64_t offset = 0;
    for (unsigned i = network->bytes > 8 ? network->bytes - 8U : 0; i < network->bytes; i++) {
        unsigned kept = network->bits > 8 * i ? network->bits - 8 * i : 0;
        uint8_t host = kept >= 8 ? 0 : address->addr[i] & (uint8_t)(0xffu >> kept);
        offset = offset << 8 | host;
    }
    return offset;
}

const char *prefix_format_address(const struct prefix *prefix, char out[PREFIX_TEXT_BYTES])
{
    int family = prefix->bytes == 4 ? AF_INET : AF_INET6;
    CHECK(inet_ntop(family, prefix->addr, out, PREFIX_TEXT_BYTES));
    return out;
}

const char *prefix_format(const struct prefix *prefix, char out[PREFIX_TEXT_BYTES])
{
    prefix_format_address(prefix, out);
    size_t len = strlen(out);
    CHECK(str_format(out + len, PREFIX_TEXT_BYTES - len, "/%u", prefix->bits));
    return out;
}
