// What another CA configuration makes of the cluster's root (swarmkit.md section 5): which of the
// changes it is, and what has to be heard from authorities outside first. Pure.
#ifndef MANAGER_CA_SETTLE_H
#define MANAGER_CA_SETTLE_H

#include "manager/ca/external.h"
#include "proto/base/arena.h"

// How much longer a new root must be valid at least.
#define SETTLE_VALID_NS (365 * 24 * NS_PER_H)

enum settle_turn {
    SETTLE_STAYS,    // everything as it was
    SETTLE_KEY,      // the same root with this key (or none); a rotation ends
    SETTLE_NEXT_KEY, // the same, of the root that is rotated to
    SETTLE_ROTATE,   // to this root
};

// Authorities of which one at least must be reachable, for nobody here has the root's key.
struct settle_need {
    const char *what;     // "current", "next", "desired"
    const char *root_pem; // that they serve
    const char *urls[EXTERNAL_CAS_MAX];
    size_t urls_count;
};

#define SETTLE_NEEDS_MAX 2

struct settle_plan {
    enum settle_turn turn;
    const char *root_pem; // of SETTLE_ROTATE
    const char *key_pem;  // "": the cluster is not to have it
    struct settle_need needs[SETTLE_NEEDS_MAX];
    size_t needs_count;
    bool crossed_outside; // needs[0]'s authorities are to sign the new root
};

// The plan for a cluster that has the wanted spec already; its texts are in the arena or borrowed
// from the message. INVALID_ARGUMENT for what cannot be: a key that is not the root's, a root that
// will not do, a way that does not exist.
int settle_plan(const Swarm__Cluster *cluster, const struct rng *rng, struct wall now,
                struct arena *arena, struct settle_plan *plan, struct err *err);

// Carries it out on the cluster's RootCA. `crossed_pem` is the new root signed by the present one
// for a plan that is `crossed_outside`, else NULL. last_forced_rotation follows the spec.
int settle_apply(Swarm__Cluster *cluster, const struct settle_plan *plan, const char *crossed_pem,
                 const struct rng *rng, struct arena *arena, struct err *err);

#endif
