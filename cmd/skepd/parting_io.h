// A manager's way out: what its leaving would do to the cluster, in docker's words, and its leave
// of the consensus, so that those left need not count it as lost.
#ifndef CMD_SKEPD_PARTING_IO_H
#define CMD_SKEPD_PARTING_IO_H

#include "proto/base/err.h"
#include "proto/rpc/client_io.h"

#define PARTING_ASK_MS   5000
#define PARTING_LEAVE_MS 5000

// Asks the managers how many of them there are; `warned` runs once, later, with the text that a
// leave without force is refused with. `client` is the manager's local socket; NULL: this manager
// takes no part.
void parting_warn(struct loop *loop, struct rpc_client *client,
                  void (*warned)(void *owner, const struct err *why), void *owner);

// Has this node removed from the members of the consensus, when there are others and they agree;
// `gone` runs once, later, whatever came of it. (Stock nodes just go, and stay members that are
// unreachable.) `client` as above.
void parting_go(struct loop *loop, struct rpc_client *client, const char *node_id,
                void (*gone)(void *owner), void *owner);

// The text alone. Pure.
void parting_text(size_t reachable, size_t unreachable, struct err *why);

#endif
