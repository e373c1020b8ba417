// Runs nftables transactions in a network namespace, and reads back what is there.
//
// All calls block (some milliseconds; a full load some tenths of a second): use them in worker
// jobs, for one struct nft one at a time. Opening and reading move the calling thread into the
// namespace and back; when the way back is barred the process stops, because nothing it did
// afterwards would be where it should. Needs CAP_NET_ADMIN there and CAP_SYS_ADMIN here.
#ifndef AGENT_LB_NFT_IO_H
#define AGENT_LB_NFT_IO_H

#include "agent/lb/ruleset.h"
#include "proto/base/err.h"

// As `netns_fd`: the namespace the thread is in.
#define NFT_NETNS_OWN (-1)

// A way into one namespace, which lives at least until nft_close.
struct nft;

// `netns_fd` stays the caller's and may be closed. NULL on an error, with *err filled.
struct nft *nft_open(int netns_fd, struct err *err);

// Leaves what the namespace holds as it is. NULL is allowed.
void nft_close(struct nft *nft);

// Gives back the socket and the memory that opening and transactions took; both go some
// milliseconds later, nobody waits for it (closer_io.h). NULL is allowed.
void nft_rest(struct nft *nft);

// Runs `commands` (nft's language) as one transaction: all of them, or none and an error. ABORTED
// with what nft says when the kernel refuses: what is there is not what the commands were made for,
// so read it back and make new ones.
int nft_apply(struct nft *nft, const char *commands, struct err *err);

// Brings the balancer's table from `actual` to `wanted`: chains that are missing first, then all
// elements that differ, in one transaction; where `actual` is there and not sound, the whole table
// in one. On success `actual` is what the kernel holds now and `wanted` is left empty; on an error
// (ABORTED when the kernel refuses) the caller reads the table back before it tries again.
// *changed: whether there was anything to do.
int nft_bring(struct nft *nft, struct ruleset *actual, struct ruleset *wanted, bool *changed,
              struct err *err);

// Fills `out` (initialised, empty) with what the namespace holds; a missing table is no error.
int nft_read(struct nft *nft, struct ruleset *out, struct err *err);

// Appends libnftables' JSON listing of one table to `out`, numbers instead of names wherever nft
// has the choice. Nothing is appended when there is no such table.
int nft_list(struct nft *nft, const char *family, const char *table, struct buf *out,
             struct err *err);

// Appends libnftables' JSON listing of all chains of all tables, without their rules.
int nft_chains(struct nft *nft, struct buf *out, struct err *err);

#endif
