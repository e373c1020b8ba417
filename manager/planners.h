// A leader's three planners together: orchestrator, allocator and scheduler, fed from one watch on
// the store. Pure but for the transactions they write: time comes with each turn, so that a
// simulator runs them as a leader does.
#ifndef MANAGER_PLANNERS_H
#define MANAGER_PLANNERS_H

#include "manager/store/store.h"
#include "proto/base/clock.h"

struct planners;

// How long they rest after they could not write.
#define PLANNERS_RELOAD_NS (100 * NS_PER_MS)

// `wake`: the store has changed, a turn is due. Everything is read anew in the first turn.
struct planners *planners_new(struct store *store, uint64_t seed, void (*wake)(void *ctx),
                              void *ctx);
void planners_free(struct planners *planners);

// Takes in what happened and writes what follows from it. Returns when the next turn is due at the
// latest, MONO_NEVER for when something changes.
struct mono planners_turn(struct planners *planners, struct mono tick, struct wall now);

#endif
