// The kernel's IPsec states and policies of the process's own network namespace, as far as they are
// the swarm's: read them, take steps. A thin hand for ipsec.h. All calls block: for worker jobs.
#ifndef AGENT_NET_XFRM_IO_H
#define AGENT_NET_XFRM_IO_H

#include "agent/net/ipsec.h"
#include "proto/base/err.h"

struct xfrm;

// FAILED_PRECONDITION when the kernel has no IPsec.
int xfrm_open(struct xfrm **out, struct err *err);
void xfrm_close(struct xfrm *xfrm); // NULL is fine

// Fills `out` (empty) with states that have our reqid and policies that have our mark, sorted.
int xfrm_read(struct xfrm *xfrm, struct ipsec_set *out, struct err *err);

// Takes one step. What is there already, or gone already, is no error.
int xfrm_step(struct xfrm *xfrm, const struct ipsec_step *step, struct err *err);

// Whether this kernel can encrypt as the swarm does: a state is made and taken away again.
// FAILED_PRECONDITION with the reason when it cannot.
int xfrm_probe(struct err *err);

#endif
