// Addresses of one subnet: which are held, which comes next (swarmkit.md section 17.2).
//
// Serial: the next free one after the last handed out, wrapping, so that a freed address rests as
// long as possible. Sparse: memory follows what is held, not the size of the subnet.
#ifndef MANAGER_ALLOC_IPAM_H
#define MANAGER_ALLOC_IPAM_H

#include "manager/alloc/prefix.h"
#include "proto/base/map.h"

struct ipam {
    struct prefix subnet;
    uint64_t first; // offsets handed out lie in [first, last]
    uint64_t last;
    uint64_t cursor;   // offset handed out last
    uint64_t held;     // in [first, last]
    struct map chunks; // offset / IPAM_CHUNK_BITS -> bits
};

#define IPAM_CHUNK_BITS 512

// `range` (NULL for none) narrows what is handed out by itself; it lies within the subnet. The
// network and, for IPv4, the broadcast address are never handed out; networks of one or two
// addresses (/31, /32) have neither.
void ipam_init(struct ipam *ipam, const struct prefix *subnet, const struct prefix *range);
void ipam_fini(struct ipam *ipam);

// Takes the next free address. False when there is none.
bool ipam_take(struct ipam *ipam, uint64_t *offset);

// Takes that address. False when it is held or outside the subnet.
bool ipam_claim(struct ipam *ipam, const struct prefix *address, uint64_t *offset);

// Gives back what is held.
void ipam_release(struct ipam *ipam, uint64_t offset);

bool ipam_is_held(const struct ipam *ipam, uint64_t offset);

// Addresses held altogether, gateway and reserved ones included.
uint64_t ipam_count(const struct ipam *ipam);

#endif
