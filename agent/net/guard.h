// The guard of the data path port: VXLAN has no authentication of its own, so the packet filter
// decides who may speak it. Pure: from members and encrypted networks to a table, which tables_io
// keeps on the host.
//
//   pre      datagrams to the port from addresses that are no current member's are dropped
//   in       so are those for an encrypted network that did not come through IPsec (CVE-2023-28840
//            and its kin)
//   out      datagrams to a member's port that some local program made are dropped: the kernel's
//            own VXLAN sends without a socket, so what has one is forged (CVE-2026-92542)
//   forward  what passes through (from a container, which would get this member's address on the
//            way out) is dropped as well
//   seal     frames of encrypted networks get the mark that the IPsec policies ask for
//
// What passes between members is not tracked by the host: a connection in an overlay is one of the
// tunnel's, too (its source port is a hash of it), and each would take a row and the time to make
// it.
//
// It goes in before the first VXLAN device does, and counts what it drops. IPv4 alone, as the
// tunnels are.
#ifndef AGENT_NET_GUARD_H
#define AGENT_NET_GUARD_H

#include <stddef.h>
#include <stdint.h>

#include "agent/net/nftable.h"

#define GUARD_TABLE "skep_guard" // family ip
#define GUARD_MARK  0xd0c4e3u    // what stock nodes use, in policies and as the states' reqid
#define GUARD_PORT  4789

struct guard {
    uint16_t port;           // the data path port; 0: GUARD_PORT
    const uint32_t *members; // data path addresses of the nodes, host byte order
    size_t members_count;
    const uint32_t *sealed; // VNIs of encrypted networks
    size_t sealed_count;
};

// To be freed with nftable_free. Its counters are "foreign", "clear", "forged" and "passing".
struct nftable *guard_table(const struct guard *guard);

#endif
