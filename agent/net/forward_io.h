// Sees to it that packets of our bridges pass other programs' rules (forward.h), and says which it
// cannot get past. Everything runs on the loop's thread.
#ifndef AGENT_NET_FORWARD_IO_H
#define AGENT_NET_FORWARD_IO_H

#include <stddef.h>

#include "proto/base/loop_io.h"

struct forward;

struct forward *forward_open(struct loop *loop);

// The bridges to let pass (copied); compares with the kernel, in a worker job. To be called again
// whenever the packet filter changed.
void forward_want(struct forward *forward, const char *const *bridges, size_t count);

// How often rules were brought back, and the chains (as forward_blockers names them, separated by
// ", ") that drop what nobody there lets pass; "" for none.
size_t forward_repairs(const struct forward *forward);
const char *forward_blocked_by(const struct forward *forward);

// What the kernel holds stays. Frees it; `closed` runs once, at once or when its job has ended.
void forward_close(struct forward *forward, void (*closed)(void *owner), void *owner);

#endif
