// Network addresses as text and as socket addresses: "10.0.0.1:2377", "[fd00::1]:2377",
// "name.example:2377", "unix:///run/x.sock". Pure: no name is looked up here.
#ifndef PROTO_NET_ADDR_H
#define PROTO_NET_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/err.h"

// Longest host name taken (RFC 1035, 253 characters) and longest unix path (sun_path), with NUL.
#define ADDR_HOST_BYTES 254
#define ADDR_PATH_BYTES 108

// Room for any text made here: "[address%scope]:65535", terminator included.
#define ADDR_TEXT_BYTES 320

enum addr_kind {
    ADDR_IP4,
    ADDR_IP6,
    ADDR_NAME, // host and port, to be looked up
    ADDR_UNIX, // a path; a leading '@' means the abstract namespace
};

struct addr {
    enum addr_kind kind;
    uint16_t port;              // all but ADDR_UNIX
    uint8_t ip[16];             // 4 or 16 bytes in network order
    char host[ADDR_HOST_BYTES]; // the address or name as text (IPv6 with its %scope); ADDR_UNIX:
                                // the path
};

// Parses the forms above, also with "tcp://" in front, a bare "/path" and ":2377" (all addresses,
// "::"). `default_port` fills a missing port; with 0 a missing port is an error. INVALID_ARGUMENT
// names what is wrong.
int addr_parse(const char *text, uint16_t default_port, struct addr *out, struct err *err);

// An IPv4 (4) or IPv6 (16) address of `size` bytes with its port.
struct addr addr_of_ip(const uint8_t *ip, size_t size, uint16_t port);

// "10.0.0.1:2377", "[fd00::1]:2377", "unix:///run/x.sock". Returns out.
const char *addr_format(const struct addr *addr, char out[ADDR_TEXT_BYTES]);

// What limits per peer count by: the IPv4 address, the /64 of an IPv6 address (one host owns a
// whole /64), an IPv4-mapped address as its IPv4 one. 0 bytes for unix sockets. Returns the bytes
// used.
size_t addr_peer_key(const struct addr *addr, uint8_t out[16]);

#endif
