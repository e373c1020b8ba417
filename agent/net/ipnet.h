// IP addresses with their prefix, and MAC addresses, as plain values. Pure.
#ifndef AGENT_NET_IPNET_H
#define AGENT_NET_IPNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Room for any text made here, terminator included.
#define IPNET_TEXT_BYTES 52
#define MAC_TEXT_BYTES   18
#define MAC_BYTES        6

// An address and how many of its bits name the network. All zero: none.
struct ipnet {
    uint8_t size; // 4 or 16; 0 = none
    uint8_t prefix;
    uint8_t bytes[16]; // unused ones are 0
};

// "10.0.1.4/24", "fd00::1/64"; without a prefix length all bits name the network. False, with *out
// none, on anything else.
bool ipnet_parse(const char *text, struct ipnet *out);

// With the prefix length, or without. Both return `out`; "" for none.
const char *ipnet_format(const struct ipnet *ip, char out[IPNET_TEXT_BYTES]);
const char *ipnet_format_ip(const struct ipnet *ip, char out[IPNET_TEXT_BYTES]);

// IPv4 from and to host byte order. ipnet_u32 gives 0 for anything but IPv4.
struct ipnet ipnet_of_u32(uint32_t address, uint8_t prefix);
uint32_t ipnet_u32(const struct ipnet *ip);

// The network: all other bits 0.
struct ipnet ipnet_base(const struct ipnet *ip);
// The address alone: its prefix is all bits.
struct ipnet ipnet_host(const struct ipnet *ip);

// `ip` (its prefix is not looked at) lies in the network. Families never mix.
bool ipnet_contains(const struct ipnet *net, const struct ipnet *ip);
bool ipnet_overlaps(const struct ipnet *a, const struct ipnet *b);

static inline bool ipnet_is_set(const struct ipnet *ip)
{
    return ip->size != 0;
}
// Orders by family, address, prefix; 0 for equal ones.
int ipnet_compare(const struct ipnet *a, const struct ipnet *b);
bool ipnet_same_ip(const struct ipnet *a, const struct ipnet *b); // prefix ignored

// An address that one host can have: not zero, loopback, multicast or broadcast.
bool ipnet_is_unicast(const struct ipnet *ip);

// ---- MAC addresses ------------------------------------------------------------------------------

// What swarm endpoints have unless told otherwise: 02:42 and the IPv4 address.
void mac_of_ip(const struct ipnet *ip, uint8_t mac[MAC_BYTES]);

// Six pairs of hexadecimal digits with colons. False on anything else.
bool mac_parse(const char *text, uint8_t mac[MAC_BYTES]);
const char *mac_format(const uint8_t mac[MAC_BYTES], char out[MAC_TEXT_BYTES]);
// Neither zero nor a group's.
bool mac_is_unicast(const uint8_t mac[MAC_BYTES]);

#endif
