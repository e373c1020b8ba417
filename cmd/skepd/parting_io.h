// What it would do to the cluster if this manager left, in docker's words.
#ifndef CMD_SKEPD_PARTING_IO_H
#define CMD_SKEPD_PARTING_IO_H

#include "proto/base/err.h"
#include "proto/rpc/client_io.h"

#define PARTING_ASK_MS 5000

// Asks the managers how many of them there are; `warned` runs once, later, with the text that a
// leave without force is refused with. `client` is the manager's local socket; NULL: this manager
// takes no part.
void parting_warn(struct loop *loop, struct rpc_client *client,
                  void (*warned)(void *owner, const struct err *why), void *owner);

// The text alone. Pure.
void parting_text(size_t reachable, size_t unreachable, struct err *why);

#endif
