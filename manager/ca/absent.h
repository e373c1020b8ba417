// How many nodes that joined from an address are not there.
//
// Whoever has a join token can join and leave again in a loop (CVE-2016-6595); each round leaves a
// node that is down, in the store of every manager, until an operator removes it. So an address
// whose nodes are mostly there may add as many as it likes, and one that only leaves nodes behind
// comes to an end. Pure; the CA shows it every node that changes.
#ifndef MANAGER_CA_ABSENT_H
#define MANAGER_CA_ABSENT_H

#include <stdbool.h>

#include "manager/store/object.h"
#include "proto/base/map.h"

// Nodes of one address (of one IPv6 /64) that may be down, or never came after they had joined.
#define ABSENT_MAX 1024

struct absent {
    struct map nodes;     // id -> struct absent_node, only of those that are not there
    struct map addresses; // addr_peer_key -> struct absent_address
};

void absent_init(struct absent *absent);
void absent_fini(struct absent *absent);

// The node as it is now in the store.
void absent_see(struct absent *absent, const struct object *node);

// A node that just joined from `addr` ("ip" or "ip:port") and was not heard of yet.
void absent_add(struct absent *absent, const char *node_id, const char *addr);

// The node is gone, or there.
void absent_forget(struct absent *absent, const char *node_id);

// False: no more nodes may join from this address. Local callers ("") may always.
bool absent_allows(const struct absent *absent, const char *addr);

#endif
