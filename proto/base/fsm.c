#include "proto/base/fsm.h"

#include <stdio.h>

#include "proto/base/check.h"

void fsm_init(struct fsm *fsm, const struct fsm_state *states, unsigned count, unsigned first)
{
    CHECK(count <= FSM_STATES_MAX);
    CHECK(first < count);
    *fsm = (struct fsm){.states = states, .count = count, .now = first};
}

static void check_invariant(const struct fsm *fsm)
{
    CHECK(!fsm->invariant || fsm->invariant(fsm->owner, fsm->now));
}

void fsm_set_invariant(struct fsm *fsm, bool (*invariant)(const void *owner, unsigned state),
                       const void *owner)
{
    fsm->invariant = invariant;
    fsm->owner = owner;
    check_invariant(fsm);
}

bool fsm_may(const struct fsm *fsm, unsigned state)
{
    CHECK(state < fsm->count);
    return (fsm->states[fsm->now].next & FSM_BIT(state)) != 0;
}

void fsm_move(struct fsm *fsm, unsigned state)
{
    if (!fsm_may(fsm, state)) {
        char what[128];
        snprintf(what, sizeof what, "move from state %s to %s", fsm->states[fsm->now].name,
                 fsm->states[state].name);
        UNREACHABLE(what);
    }
    fsm->now = state;
    check_invariant(fsm);
}

const char *fsm_name(const struct fsm *fsm)
{
    return fsm->states[fsm->now].name;
}
