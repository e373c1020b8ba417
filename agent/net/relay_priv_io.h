// What the relay_*_io.c files share.
#ifndef AGENT_NET_RELAY_PRIV_IO_H
#define AGENT_NET_RELAY_PRIV_IO_H

#include <netinet/in.h>

#include "agent/net/relay.h"
#include "agent/net/relay_io.h"
#include "proto/base/list.h"
#include "proto/base/map.h"

struct relay_tcp;
struct relay_udp;

struct relay {
    unsigned magic;
    struct loop *loop;
    struct map ports;  // relay_key -> struct relay_served
    struct list flows; // of all UDP ports, the one longest silent first
    struct loop_timer silence;
    struct relay_counts counts;
    uint8_t chunk[RELAY_CHUNK_BYTES]; // what is on its way, one at a time
};

// Where the packet filter takes over, or the container.
struct sockaddr_in relay_inner(const struct relay_port *port);

// Both take the socket. NULL, with *err, when it is not one to serve.
struct relay_tcp *relay_tcp_open(struct relay *relay, const struct relay_port *port, int fd,
                                 struct err *err);
void relay_tcp_close(struct relay_tcp *tcp);

struct relay_udp *relay_udp_open(struct relay *relay, const struct relay_port *port, int fd,
                                 struct err *err);
void relay_udp_close(struct relay_udp *udp);
// Forgets clients that have been silent for too long.
void relay_udp_expire(struct relay *relay);

#endif
