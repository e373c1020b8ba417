// Published ports on IPv6. Containers have IPv4 alone, and the packet filter cannot lead packets
// from one family to the other: so a process listens on the host's IPv6 addresses and asks the same
// port at 127.0.0.1, from where the packet filter leads on. A port of one IPv6 address alone has no
// such place, and is asked of the container itself. This is what the node process tells it. Pure.
//
// The task sees the node as its client: an IPv6 address has no place in an IPv4 packet.
#ifndef AGENT_NET_RELAY_H
#define AGENT_NET_RELAY_H

#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/channel_frame.h"
#include "proto/base/err.h"

#define RELAY_TCP 6
#define RELAY_UDP 17

// One published port; SCTP is not relayed.
struct relay_port {
    uint8_t protocol;
    uint16_t port;
    uint8_t at[16];      // the host's address; zero: all of them
    uint32_t inner;      // who is asked (IPv4, host byte order); 0: `port` at 127.0.0.1
    uint16_t inner_port; // 0 with that
};

// Types 48 to 63 of a channel are the relay's. Both carry a port; what comes with RELAY_OPEN is the
// socket to serve: bound to [at]:port and for IPv6 alone, a TCP one listening.
enum relay_type { RELAY_OPEN = 48, RELAY_SHUT = 49 };

#define RELAY_PORT_BYTES 25u
#define RELAY_KEY_BYTES  72u

// What tells ports apart, as text.
void relay_key(const struct relay_port *port, char out[RELAY_KEY_BYTES]);
#define RELAY_ROWS_FROM_NODE                                                                       \
    {.type = RELAY_OPEN,                                                                           \
     .name = "relay-open",                                                                         \
     .bytes_min = RELAY_PORT_BYTES,                                                                \
     .bytes_max = RELAY_PORT_BYTES,                                                                \
     .fds_min = 1,                                                                                 \
     .fds_max = 1},                                                                                \
    {                                                                                              \
        .type = RELAY_SHUT, .name = "relay-shut", .bytes_min = RELAY_PORT_BYTES,                   \
        .bytes_max = RELAY_PORT_BYTES                                                              \
    }

void relay_pack(struct buf *out, const struct relay_port *port);

// INVALID_ARGUMENT for anything that relay_pack does not make of a port that can be relayed.
int relay_parse(const void *payload, size_t size, struct relay_port *out, struct err *err);

#endif
