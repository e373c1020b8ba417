// A container's side of its networks: what its namespace should hold. Pure.
#ifndef AGENT_NET_SANDBOX_H
#define AGENT_NET_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/net/overlay.h"
#include "proto/base/buf.h"

#define SANDBOX_ENDPOINT_BYTES 65 // 64 hexadecimal digits and the end

// One interface: the other end of its pair is a port of a bridge in some namespace.
struct sandbox_end {
    char endpoint[SANDBOX_ENDPOINT_BYTES];
    char eth[LAYOUT_NAME_BYTES];
    struct ipnet ip;
    uint8_t mac[MAC_BYTES];
    uint32_t mtu;
    char port[LAYOUT_NAME_BYTES];
    char place[LAYOUT_PLACE_BYTES]; // of the bridge; "" the host
    char bridge[LAYOUT_NAME_BYTES];
    struct ipnet gateway;          // of the default route; none: not by this one
    const struct overlay *overlay; // NULL: the gateway bridge
    struct ipnet vip;              // held on the loopback device too (dsr); none
};

// An endpoint's id, made of what tells it apart: the same after a restart.
void sandbox_endpoint_id(const char *container_id, const char *network_id, const char *salt,
                         char out[SANDBOX_ENDPOINT_BYTES]);

// Name of the file that pins a container's namespace: 12 characters of its id.
void sandbox_place(const char *container_id, char out[OVERLAY_TEXT_BYTES]);

// Appends what the namespace should hold, unsorted: the default route leads through the first end
// that has a gateway, the other subnets of an overlay through its own subnet's.
void sandbox_layout(const struct sandbox_end *ends, size_t count, struct layout *out);

// One row of the guard below.
struct sandbox_guard {
    const char *port;
    uint8_t mac[MAC_BYTES];
    struct ipnet ip;
    struct ipnet vip; // may be spoken for too (dsr); none
};

// Appends nft's commands for the guard in an overlay's namespace, in place of the one before: what
// a container sends has its own MAC and IP address, or is dropped and counted. Ports in `free`
// (of ingress sandboxes, which send what clients sent) may say anything with their MAC address.
// With `others` ports that are in no row may say anything: there are some that nobody has asked for
// yet.
void sandbox_guard_rules(const struct sandbox_guard *rows, size_t count, const char *const *free,
                         size_t free_count, bool others, struct buf *out);

#endif
