// The remote endpoints of one network, from the peer rows of its gossip: which row counts when two
// name one address. Pure.
//
// While a task is replaced two rows may share an address. The one that counts stays until it is
// gone, then the other follows: the same as on stock nodes, where the first one is programmed and
// the second waits. Level-triggered: every change is told with all rows.
#ifndef AGENT_NET_PEERS_H
#define AGENT_NET_PEERS_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/net/overlay.h"

#define PEERS_MAX (1u << 18) // rows of one network; those past it are passed over

struct peers;

struct peers *peers_new(void);
void peers_free(struct peers *peers);

// Begin, one row each, end. `key` is the row's (copied). A row is passed over when its address lies
// in no subnet or has another prefix than it, or is the gateway's.
void peers_begin(struct peers *peers);
void peers_row(struct peers *peers, const struct overlay *overlay, const char *key,
               const struct overlay_peer *peer);
// True when what counts has changed.
bool peers_end(struct peers *peers);

// What counts: one per address, ordered by address. Valid until the next end.
const struct overlay_peer *peers_list(const struct peers *peers, size_t *count);

#endif
