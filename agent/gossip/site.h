// Where a gossip node listens, UDP and TCP alike: an address in network order and a port.
#ifndef AGENT_GOSSIP_SITE_H
#define AGENT_GOSSIP_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/gossip/codec.h"
#include "proto/net/addr.h"

struct site {
    uint8_t ip[16];
    uint8_t ip_size; // 4 or 16; 0: none
    uint16_t port;
};

// Of bytes from the wire; port 0 becomes GOSSIP_PORT. An IPv4 address in IPv6 form (::ffff:a.b.c.d)
// is taken as the IPv4 one: peers compare raw bytes, and IPv4 travels as four of them. False for
// what is no address.
bool site_of(struct span ip, uint16_t port, struct site *out);

// Of a numeric address (ADDR_IP4, ADDR_IP6); false for other kinds.
bool site_of_addr(const struct addr *addr, struct site *out);

bool site_equal(const struct site *a, const struct site *b);
bool site_same_ip(const struct site *a, const struct site *b);

// The address's bytes, borrowed from the site.
struct span site_ip(const struct site *site);

// "10.0.0.1:7946". Returns out.
const char *site_format(const struct site *site, char out[ADDR_TEXT_BYTES]);

#endif
