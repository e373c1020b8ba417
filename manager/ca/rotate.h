// Moving a cluster to a new root (swarmkit.md section 5.1): the way and the end; it begins with
// settle.h.
//
// A rotation stands in the cluster object from its beginning to its end, so that any leader goes on
// with it: leaves are signed by the new key under the cross-signed certificate, nodes are asked to
// renew a few at a time, and when every node reports the new issuer, the new root takes the old
// one's place.
#ifndef MANAGER_CA_ROTATE_H
#define MANAGER_CA_ROTATE_H

#include "manager/store/txn.h"
#include "proto/identity/rng.h"
#include "proto/wire/objects.pb-c.h"

// Nodes asked per round, and the time between rounds.
#define ROTATE_BATCH_MAX 30
#define ROTATE_ROUND_MS  3000

// What there is to do next.
struct rotate_plan {
    const struct object *nodes[ROTATE_BATCH_MAX]; // to be asked; they live as long as the view
    size_t nodes_count;
    size_t behind; // nodes that do not report the new issuer yet
};

// `root_pem` is the new root. INVALID_ARGUMENT when it cannot be read.
int rotate_plan(struct view view, const char *root_pem, struct rotate_plan *plan, struct err *err);

// The end: the new root takes over, with new join tokens.
void rotate_finish(Swarm__Cluster *cluster, const struct rng *rng, struct arena *arena);

// One round against the store: asks nodes, or finishes. Nothing without a rotation.
int rotate_round(struct store *store, const struct rng *rng, struct wall now, struct err *err);

#endif
