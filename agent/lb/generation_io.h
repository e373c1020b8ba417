// The generation of a network namespace's packet filter: a number that the kernel changes with
// every transaction of anybody. Who has looked at all tables and finds it again need not look.
#ifndef AGENT_LB_GENERATION_IO_H
#define AGENT_LB_GENERATION_IO_H

#include <stddef.h>
#include <stdint.h>

#include "agent/lb/nft_io.h"

// Of the namespace `netns_fd` (NFT_NETNS_OWN: of the one the thread is in); 0 when it cannot be
// had, which it never is itself. What the kernel does alone does not count: elements that packets
// add or that expire, and chains that go with their device. Blocks for a moment, as all of
// nft_io.h.
uint32_t generation_of(int netns_fd);

// The generation in the kernel's answer; 0: none. (For generation_of and its tests.)
uint32_t generation_parse(const void *bytes, size_t size);

#endif
