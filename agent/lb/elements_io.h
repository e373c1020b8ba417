// Changes of the balancer's collections in the kernel's own language: a batch of nfnetlink
// messages, ready to be sent in one piece. Of a full load three quarters of the time would go into
// a library that reads nft's text; the elements have three fixed forms, so they are written here.
// Sends nothing itself.
#ifndef AGENT_LB_ELEMENTS_IO_H
#define AGENT_LB_ELEMENTS_IO_H

#include "agent/lb/ruleset.h"

// Room that a batch may need: a buf for elements_pack has at least this limit.
#define ELEMENTS_BYTES_MAX (256u << 20)

// Puts into `out` (empty) the one transaction that turns the elements of `actual` into those of
// `wanted`, where the frame stands and has the chains that `wanted` needs. False, and nothing put,
// when there is nothing to do. The last message asks the kernel for an answer; what fails before
// is answered besides, and nothing is changed then.
bool elements_pack(const struct ruleset *actual, const struct ruleset *wanted, struct buf *out);

// Reads the kernel's answers: 0 when these bytes hold no complaint, else its -errno. `*acked`
// becomes true with the answer that was asked for; otherwise it stays.
int elements_answer(const void *bytes, size_t size, bool *acked);

#endif
