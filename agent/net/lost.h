// Services of one network that lost their last task: their virtual addresses, which refuse
// connections from then on rather than lead nowhere. Pure.
//
// Nobody says whether such a service gets a task again or was removed; its address is let go when
// it has tasks, or when it is an endpoint's own.
#ifndef AGENT_NET_LOST_H
#define AGENT_NET_LOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOST_MAX 1024 // those past it are forgotten

struct lost;

struct lost *lost_new(void);
void lost_free(struct lost *lost); // NULL is fine

// Virtual addresses, in any order, that had tasks at some time or were lost then: what an earlier
// life left in the kernel. The next update tells which of them are lost.
void lost_had(struct lost *lost, const uint32_t *vips, size_t count);

// Takes what there is now: the virtual addresses with tasks, and the addresses that are endpoints'.
// Both sorted, each address once. True when the list changed.
bool lost_update(struct lost *lost, const uint32_t *vips, size_t vips_count,
                 const uint32_t *endpoints, size_t endpoints_count);

// Sorted. Valid until the next update.
const uint32_t *lost_list(const struct lost *lost, size_t *count);

#endif
