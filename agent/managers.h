// The known managers as dockerd's state.json keeps them: a JSON list of {"node_id","addr"}, sorted
// by node id (swarmkit.md section 6.1). Pure.
#ifndef AGENT_MANAGERS_H
#define AGENT_MANAGERS_H

#include <stddef.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/rpc/remotes.h"

#define MANAGERS_FILE      "state.json"
#define MANAGERS_BYTES_MAX (256u << 10)

void managers_write(const struct remotes *remotes, struct buf *out);

// Adds what the text lists. INVALID_ARGUMENT when it is no such list; entries without an address
// are skipped.
int managers_read(const void *text, size_t size, struct remotes *remotes, struct err *err);

#endif
