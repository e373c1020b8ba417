// State machines as tables: each state has a name and the states that may follow it. A move that
// the table does not allow is a broken invariant.
#ifndef PROTO_BASE_FSM_H
#define PROTO_BASE_FSM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FSM_STATES_MAX 32

// One row; the state's number is its place in the table.
struct fsm_state {
    const char *name;
    uint32_t next; // FSM_BIT of every state that may follow
};

#define FSM_BIT(state) (UINT32_C(1) << (state))

struct fsm {
    const struct fsm_state *states;
    unsigned count;
    unsigned now;
    // Checked after each move when not NULL: what must be true of `owner` in its new state.
    bool (*invariant)(const void *owner, unsigned state);
    const void *owner;
};

// Starts in state `first`. The table must outlive the machine. count is at most FSM_STATES_MAX.
void fsm_init(struct fsm *fsm, const struct fsm_state *states, unsigned count, unsigned first);

// Adds an invariant, checked now and after every move.
void fsm_set_invariant(struct fsm *fsm, bool (*invariant)(const void *owner, unsigned state),
                       const void *owner);

// Whether the table allows going to `state` from here.
bool fsm_may(const struct fsm *fsm, unsigned state);

// Goes to `state`. A move that the table does not allow stops the process.
void fsm_move(struct fsm *fsm, unsigned state);

const char *fsm_name(const struct fsm *fsm); // of the present state

#endif
