// Runs nftables transactions in a network namespace, and reads back what is there.
//
// All calls block (some milliseconds; a full load some tenths of a second): use them in worker
// jobs. They move the calling thread into the namespace and back; when the way back is barred the
// process stops, because nothing it did afterwards would be where it should. Needs CAP_NET_ADMIN
// there and CAP_SYS_ADMIN here.
#ifndef AGENT_LB_NFT_IO_H
#define AGENT_LB_NFT_IO_H

#include "agent/lb/ruleset.h"
#include "proto/base/err.h"

// As `netns_fd`: the namespace the thread is in.
#define NFT_NETNS_OWN (-1)

// Runs `commands` (nft's language) as one transaction: all of them, or none and an error. ABORTED
// with what nft says when the kernel refuses: what is there is not what the commands were made for,
// so read it back and make new ones.
int nft_apply(int netns_fd, const char *commands, struct err *err);

// Fills `out` (initialised, empty) with what the namespace holds; a missing table is no error.
int nft_read(int netns_fd, struct ruleset *out, struct err *err);

#endif
