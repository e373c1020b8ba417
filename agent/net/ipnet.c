#include "agent/net/ipnet.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"

#define V4_BYTES 4
#define V6_BYTES 16

bool ipnet_parse(const char *text, struct ipnet *out)
{
    char ip[IPNET_TEXT_BYTES];
    struct ipnet made = {0};
    *out = made;
    if (!text || !str_copy(ip, sizeof ip, text))
        return false;
    char *slash = strchr(ip, '/');
    if (slash)
        *slash++ = '\0';
    if (inet_pton(AF_INET, ip, made.bytes) == 1)
        made.size = V4_BYTES;
    else if (inet_pton(AF_INET6, ip, made.bytes) == 1)
        made.size = V6_BYTES;
    else
        return false;
    uint64_t prefix = made.size * 8u;
    if (slash && !str_to_u64(slash, prefix, &prefix))
        return false;
    made.prefix = (uint8_t)prefix;
    *out = made;
    return true;
}

const char *ipnet_format_ip(const struct ipnet *ip, char out[IPNET_TEXT_BYTES])
{
    out[0] = '\0';
    if (ip->size) {
        const char *text =
            inet_ntop(ip->size == V4_BYTES ? AF_INET : AF_INET6, ip->bytes, out, IPNET_TEXT_BYTES);
        CHECK(text);
    }
    return out;
}

const char *ipnet_format(const struct ipnet *ip, char out[IPNET_TEXT_BYTES])
{
    char text[IPNET_TEXT_BYTES];
    ipnet_format_ip(ip, text);
    if (!ip->size || !str_format(out, IPNET_TEXT_BYTES, "%s/%u", text, ip->prefix))
        out[0] = '\0';
    return out;
}

struct ipnet ipnet_of_u32(uint32_t address, uint8_t prefix)
{
    struct ipnet ip = {.size = V4_BYTES, .prefix = prefix};
    CHECK(prefix <= V4_BYTES * 8);
    for (size_t i = 0; i < V4_BYTES; i++)
        ip.bytes[i] = (uint8_t)(address >> (24 - 8 * i));
    return ip;
}

uint32_t ipnet_u32(const struct ipnet *ip)
{
    uint32_t address = 0;
    for (size_t i = 0; i < V4_BYTES && ip->size == V4_BYTES; i++)
        address = (address << 8) | ip->bytes[i];
    return address;
}

struct ipnet ipnet_base(const struct ipnet *ip)
{
    struct ipnet base = *ip;
    for (size_t i = 0; i < ip->size; i++) {
        unsigned bits = ip->prefix > 8 * i ? ip->prefix - 8 * (unsigned)i : 0;
        if (bits < 8)
            base.bytes[i] &= (uint8_t)(0xff00u >> bits);
    }
    return base;
}

struct ipnet ipnet_host(const struct ipnet *ip)
{
    struct ipnet host = *ip;
    host.prefix = (uint8_t)(ip->size * 8);
    return host;
}

bool ipnet_contains(const struct ipnet *net, const struct ipnet *ip)
{
    if (!net->size || net->size != ip->size)
        return false;
    struct ipnet low = ipnet_base(net);
    struct ipnet cut = *ip;
    cut.prefix = net->prefix;
    cut = ipnet_base(&cut);
    return memcmp(low.bytes, cut.bytes, net->size) == 0;
}

bool ipnet_overlaps(const struct ipnet *a, const struct ipnet *b)
{
    return a->prefix <= b->prefix ? ipnet_contains(a, b) : ipnet_contains(b, a);
}

int ipnet_compare(const struct ipnet *a, const struct ipnet *b)
{
    if (a->size != b->size)
        return a->size < b->size ? -1 : 1;
    int order = memcmp(a->bytes, b->bytes, sizeof a->bytes);
    return order ? order : (int)a->prefix - (int)b->prefix;
}

bool ipnet_same_ip(const struct ipnet *a, const struct ipnet *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool ipnet_is_unicast(const struct ipnet *ip)
{
    static const uint8_t zero[V6_BYTES], loopback[V6_BYTES] = {[15] = 1};
    if (!ip->size || memcmp(ip->bytes, zero, ip->size) == 0)
        return false;
    if (ip->size == V4_BYTES)
        return ip->bytes[0] != 0 && ip->bytes[0] != 127 && ip->bytes[0] < 224;
    return ip->bytes[0] != 0xff && memcmp(ip->bytes, loopback, V6_BYTES) != 0;
}

void mac_of_ip(const struct ipnet *ip, uint8_t mac[MAC_BYTES])
{
    CHECK(ip->size == V4_BYTES);
    mac[0] = 0x02;
    mac[1] = 0x42;
    memcpy(mac + 2, ip->bytes, V4_BYTES);
}

static int hex_of(char c)
{
    if (isdigit((unsigned char)c))
        return c - '0';
    return isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10 : -1;
}

bool mac_parse(const char *text, uint8_t mac[MAC_BYTES])
{
    if (!text || strlen(text) != MAC_TEXT_BYTES - 1)
        return false;
    for (size_t i = 0; i < MAC_BYTES; i++) {
        int high = hex_of(text[3 * i]), low = hex_of(text[3 * i + 1]);
        if (high < 0 || low < 0 || (i + 1 < MAC_BYTES && text[3 * i + 2] != ':'))
            return false;
        mac[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

const char *mac_format(const uint8_t mac[MAC_BYTES], char out[MAC_TEXT_BYTES])
{
    str_format(out, MAC_TEXT_BYTES, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
               mac[4], mac[5]);
    return out;
}

bool mac_is_unicast(const uint8_t mac[MAC_BYTES])
{
    static const uint8_t zero[MAC_BYTES];
    return !(mac[0] & 1) && memcmp(mac, zero, MAC_BYTES) != 0;
}
