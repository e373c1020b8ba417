// IP addresses and networks, of either family, as bytes.
#ifndef MANAGER_ALLOC_PREFIX_H
#define MANAGER_ALLOC_PREFIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Room for any text made here: an IPv6 address with its prefix length.
#define PREFIX_TEXT_BYTES 64

struct prefix {
    uint8_t addr[16]; // IPv4: the first 4 bytes
    uint8_t bytes;    // 4 or 16
    uint8_t bits;     // of the network
};

// Reads "10.0.0.0/24" or "fd00::/64"; host bits may be set. False on anything else.
bool prefix_parse(const char *text, struct prefix *out);

// Reads an address with or without a length ("10.0.0.5", "10.0.0.5/24"); without, bits is all.
bool prefix_parse_address(const char *text, struct prefix *out);

// The network: host bits cleared.
struct prefix prefix_network(struct prefix prefix);

// True when the networks share an address.
bool prefix_overlaps(const struct prefix *a, const struct prefix *b);

// True when the address (its bits do not matter) lies in the network.
bool prefix_contains(const struct prefix *network, const struct prefix *address);

// How many addresses the network has; UINT64_MAX for more than fit.
uint64_t prefix_size(const struct prefix *network);

// The address `offset` behind the network's first, with the network's bits; and back.
struct prefix prefix_at(const struct prefix *network, uint64_t offset);
uint64_t prefix_offset(const struct prefix *network, const struct prefix *address);

// "10.0.0.5/24", and "10.0.0.5". Return out.
const char *prefix_format(const struct prefix *prefix, char out[PREFIX_TEXT_BYTES]);
const char *prefix_format_address(const struct prefix *prefix, char out[PREFIX_TEXT_BYTES]);

#endif
