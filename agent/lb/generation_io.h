// The generation of a network namespace's packet filter: a number that the kernel changes with
// every transaction of anybody. Who has looked at all tables and finds it again need not look.
#ifndef AGENT_LB_GENERATION_IO_H
#define AGENT_LB_GENERATION_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/lb/nft_io.h"

// Of the namespace `netns_fd` (NFT_NETNS_OWN: of the one the thread is in); 0 when it cannot be
// had, which it never is itself. What the kernel does alone does not count: elements that packets
// add or that expire, and chains that go with their device. Blocks for a moment, as all of
// nft_io.h.
uint32_t generation_of(int netns_fd);

// What the last look at all tables found, and how often that may still do instead of a look.
struct generation_trust {
    uint32_t generation; // at which all was as it should be; 0: it was not
    unsigned left;
};

// So many looks in a row, between which nothing was changed, read once.
#define GENERATION_LOOKS 10

// Whether a look at this generation (0: not known) need not read. Uses up one.
bool generation_trusted(struct generation_trust *trust, uint32_t generation);

// All was read at this generation, and as it should be. 0: it was not, or was not read.
void generation_looked(struct generation_trust *trust, uint32_t generation);

// The generation in the kernel's answer; 0: none. (For generation_of and its tests.)
uint32_t generation_parse(const void *bytes, size_t size);

#endif
