// The remote endpoints of one network, from the peer rows of its gossip: which row counts when two
// name one address. Pure.
//
// While a task is replaced two rows may share an address. The one that counts stays until it is
// gone, then the other follows: the same as on stock nodes, where the first one is programmed and
// the second waits. Level-triggered: every change is told with all rows.
#ifndef AGENT_NET_TUNNELS_H
#define AGENT_NET_TUNNELS_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/net/overlay.h"

#define TUNNELS_MAX (1u << 18) // rows of one network; those past it are passed over

struct tunnels;

struct tunnels *tunnels_new(void);
void tunnels_free(struct tunnels *peers);

// Begin, one row each, end. `key` is the row's (copied). A row is passed over when its address lies
// in no subnet or has another prefix than it, or is the gateway's.
void tunnels_begin(struct tunnels *peers);
void tunnels_row(struct tunnels *peers, const struct overlay *overlay, const char *key,
                 const struct overlay_peer *peer);
// True when what counts has changed.
bool tunnels_end(struct tunnels *peers);

// What counts: one per address, ordered by address. Valid until the next end.
const struct overlay_peer *tunnels_list(const struct tunnels *peers, size_t *count);

#endif
