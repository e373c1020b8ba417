// Questions to other hosts that are answered by their kernels: does a TCP port answer, does an echo
// of that size come back, what is their clock. They say what a network lets through without a
// program of ours at the other end.
//
// Blocks: use it in worker jobs. Needs CAP_NET_RAW and CAP_SYS_ADMIN.
#ifndef AGENT_NET_PROBE_IO_H
#define AGENT_NET_PROBE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBE_PATH_BYTES 256
#define PROBES_MAX       768 // at once: each takes a descriptor
#define PROBE_NAME_BYTES 256

enum probe_kind {
    PROBE_TCP,   // a connection, which is closed at once; a refusal is an answer too
    PROBE_ECHO,  // ICMP echo
    PROBE_CLOCK, // ICMP timestamp
    PROBE_NAME,  // an address asked of the DNS server `to`
};

struct probe {
    enum probe_kind kind;
    char netns[PROBE_PATH_BYTES]; // asked from there; "" the thread's own
    uint32_t to;                  // IPv4
    uint32_t own;                 // IPv4: asked from it, if it is this host's; 0: as routes have it
    uint16_t port;                // TCP
    uint16_t bytes;               // of the packet, its IP header included; echo
    bool whole;                   // not to be cut on its way; echo
    char name[PROBE_NAME_BYTES];  // DNS
    uint32_t wanted;              // DNS: an answer is one that holds this address
    // What came of it.
    bool answered, refused;
    bool too_big;     // for this host's own interface, or one on the way that said so
    int errnum;       // what the kernel said; 0: nothing, it was not answered in time
    uint32_t from;    // the address it was asked from
    int64_t ahead_ms; // the other clock before ours; clock
};

// Asks all at once, and again what is not answered halfway.
void probe_all(struct probe *probes, size_t count, int64_t timeout_ms);

#endif
