// Other programs' rules for packets that the host forwards: dockerd, ufw and the like have a chain
// FORWARD (iptables' table filter) that drops what nobody there lets pass, and a drop in any table
// is final. So our bridges are let pass there, as dockerd lets its own; what may pass is decided in
// our own tables. Pure: from nft's listings to commands.
//
// Only matches by interface are used, which `iptables` can show.
#ifndef AGENT_NET_FORWARD_H
#define AGENT_NET_FORWARD_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"

#define FORWARD_CHAIN        "SKEP-FORWARD"
#define FORWARD_BLOCKERS_MAX 4
#define FORWARD_NAME_BYTES   96

// Appends what brings the table `ip filter`, as listed (JSON; empty: there is none), to let the
// bridges pass: our chain, led to first from FORWARD, and in it DOCKER-USER, where an operator's
// rules are, before ours. Nothing when it is so already, or there is no chain FORWARD. The bridges
// are sorted. INVALID_ARGUMENT for what is no listing.
int forward_commands(const char *listing, size_t size, const char *const *bridges, size_t count,
                     struct buf *out, struct err *err);

// Names ("inet firewalld/filter_FORWARD") of other chains that drop forwarded packets unless some
// rule in them accepts, as listed (JSON of `list chains`). Ours and the one above are none. Returns
// how many.
size_t forward_blockers(const char *listing, size_t size,
                        char out[FORWARD_BLOCKERS_MAX][FORWARD_NAME_BYTES]);

#endif
