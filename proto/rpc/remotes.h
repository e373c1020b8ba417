// The managers a node knows, each with a weight that good and bad experience moves (swarmkit.md
// section 8.6). Pure.
#ifndef PROTO_RPC_REMOTES_H
#define PROTO_RPC_REMOTES_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/rand.h"

#define REMOTES_OBSERVED_GOOD 10
#define REMOTES_OBSERVED_BAD  (-10)
#define REMOTES_WEIGHT_MAX    256 // and -256

// Most remotes kept; a swarm has a handful of managers. Further ones are left out.
#define REMOTES_MAX 256

struct remote {
    char node_id[64];
    char addr[320]; // "host:port"
    int weight;
};

struct remotes {
    struct remote *list; // in order of arrival
    size_t count;
    size_t cap;
    struct remote own; // remotes_set_own; without an id: none
};

void remotes_init(struct remotes *remotes);
void remotes_fini(struct remotes *remotes);

// Notes an experience with a remote, which is added when it is new (its weight is then `weight`).
// Otherwise half of the old and half of the new one, rounded up. False when the texts are too long,
// `addr` is empty or the list is full.
bool remotes_observe(struct remotes *remotes, const char *node_id, const char *addr, int weight);

// As remotes_observe, but only for a remote that is known: a late answer does not bring back one
// that was removed.
void remotes_observe_known(struct remotes *remotes, const char *node_id, const char *addr,
                           int weight);

void remotes_remove(struct remotes *remotes, const char *node_id, const char *addr);

// Takes the list of a session message: those it lacks are dropped, new ones come in with their
// weight, the others observe it.
void remotes_update(struct remotes *remotes, const struct remote *list, size_t count);

// This node's own manager is to be dialled at `addr`, whatever it is listed with: what it
// advertises may be an address that leads to this host only from outside. False when the texts are
// too long.
bool remotes_set_own(struct remotes *remotes, const char *node_id, const char *addr);

// Where to dial a remote.
const char *remotes_dialled(const struct remotes *remotes, const struct remote *remote);

// Picks one at random, in proportion to max(weight, 0) + 0.001, other than those whose node id is
// in `except`. NULL when there is none. Valid until the next change.
const struct remote *remotes_pick(const struct remotes *remotes, struct rand *rand,
                                  const char *const *except, size_t except_count);

#endif
