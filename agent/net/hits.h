// What goes through published ports: collections and chains that count it, which the tables of the
// host share (those of its own ports and of the routing mesh). Pure.
//
// A connection's first packet meets the rules that lead it away, and is counted there. The others
// know that they belong to a connection that was led: those of the client bear the published port
// until it is exchanged, those of the server again once that was undone.
#ifndef AGENT_NET_HITS_H
#define AGENT_NET_HITS_H

#include "agent/net/nftable.h"

// Sets of "protocol . port", each element with a counter.
#define HITS_OPENED "hits"   // connections
#define HITS_CAME   "came"   // packets and bytes of clients
#define HITS_WENT   "went"   // of servers
#define HITS_RESETS "resets" // of either

// The collections, before any chain.
void hits_sets(struct nftable *table);

// The chains, which every packet of the host passes: only where a port is published.
void hits_chains(struct nftable *table);

// In a chain of a nat hook, before the rule that leads a port away.
void hits_first(struct nftable *table);

// A port; `key` as the table's other collections have it: "6 . 8080".
void hits_element(struct nftable *table, const char *key);

#endif
