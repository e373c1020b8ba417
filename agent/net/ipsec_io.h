// Keeps the kernel's IPsec as ipsec.h says it should be: for the node's peers on encrypted
// networks, with the keys the manager gave last. Everything runs on the loop's thread; the kernel
// is brought there in worker jobs.
#ifndef AGENT_NET_IPSEC_IO_H
#define AGENT_NET_IPSEC_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/net/ipsec.h"
#include "proto/base/err.h"
#include "proto/base/loop_io.h"

#define IPSEC_AUDIT_MS 30000
#define IPSEC_RETRY_MS 1000
#define IPSEC_KEEP_MS  60000 // how long what a life before left stays, whatever is said

struct ipsec;

struct ipsec_counts {
    uint64_t steps;   // states and policies put or taken away
    uint64_t repairs; // of these, what an audit found missing or wrong
    uint64_t failures;
};

// `settled` runs after each change: NULL, or what failed (and is tried again). `probed` runs when
// ipsec_able is known. Both may be NULL.
struct ipsec *ipsec_open(struct loop *loop, void (*settled)(void *owner, const struct err *err),
                         void (*probed)(void *owner), void *owner);

// The keys of a session message. Errors of ipsec_keys_load: what is set stays.
int ipsec_take_keys(struct ipsec *ipsec, Swarm__EncryptionKey *const *keys, size_t count,
                    struct err *err);

bool ipsec_has_keys(const struct ipsec *ipsec);

enum ipsec_able {
    IPSEC_UNKNOWN, // a look at the kernel is under way; `probed` says when it is over
    IPSEC_ABLE,
    IPSEC_UNABLE, // `why` says what it lacks; each question has it looked at again
};

// Whether this kernel can encrypt. The first look may have the kernel load modules, which takes as
// long as it takes: it is a worker's.
enum ipsec_able ipsec_able(struct ipsec *ipsec, struct err *why);

// The peers to speak with (copied; a count of 0 takes everything away but what blocks). Before
// there are keys everything is blocked, but for what this node's life before left: that goes on for
// IPSEC_KEEP_MS at least, so that a restart loses no packet.
void ipsec_set(struct ipsec *ipsec, const struct ipsec_local *local, const uint32_t *peers,
               size_t count);

bool ipsec_busy(const struct ipsec *ipsec);
struct ipsec_counts ipsec_counts(const struct ipsec *ipsec);

// What the kernel holds stays when `keep`, so that a restart loses no packet; else it is taken
// away. `closed` runs once, later.
void ipsec_close(struct ipsec *ipsec, bool keep, void (*closed)(void *owner), void *owner);

#endif
