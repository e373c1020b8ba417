// Closes nftables' sockets behind the callers' backs.
//
// The kernel lets nobody close such a socket before it has cleared away what transactions replaced,
// of any namespace and by anybody: a grace period, 8 to 30 ms, ten times as long as a change. A
// thread that lives as long as there is something to close waits for it.
#ifndef AGENT_LB_CLOSER_IO_H
#define AGENT_LB_CLOSER_IO_H

struct nft_ctx;

// Takes the context (NULL: none) and the socket (-1: none). From any thread. When much waits
// already or there can be no thread, it closes them itself before it returns.
void closer_take(struct nft_ctx *ctx, int fd);

#endif
