// The agents a leader knows: who has which session, when the next heartbeat is due, who registers
// too often (swarmkit.md sections 8.2 and 9). Pure.
#ifndef MANAGER_DISPATCH_AGENTS_H
#define MANAGER_DISPATCH_AGENTS_H

#include "manager/dispatch/dispatcher.h"
#include "proto/base/id.h"
#include "proto/base/map.h"
#include "proto/base/rand.h"

enum agent_state {
    AGENT_UNKNOWN, // not heard of since this leader began
    AGENT_LIVE,    // has a session
    AGENT_DOWN,    // missed its heartbeats
};

#define AGENT_MAGIC 0x61676e74u

struct agent {
    unsigned magic;
    enum agent_state state;
    struct timer timer; // UNKNOWN, LIVE: down then; DOWN: its tasks are orphaned then
    struct mono registered;
    unsigned in_a_row; // registrations that came too fast
    char session[ID_CHARS + 1];
    struct list sessions;    // struct dispatch_stream, oldest first
    struct list assignments; // the same
    struct list dirty;       // the dispatcher's: a session message may be due
    char id[];
};

struct agents {
    struct map table;     // id -> struct agent
    struct timers timers; // agent.timer
    struct rand rand;
    int64_t period_ns; // between heartbeats, from the cluster
    size_t live;
};

void agents_init(struct agents *agents, uint64_t seed);

// All agents are removed already.
void agents_fini(struct agents *agents);

struct agent *agents_get(const struct agents *agents, const char *node_id);

// A new one, UNKNOWN and without timer.
struct agent *agents_add(struct agents *agents, const char *node_id);

// Its streams are gone already.
void agents_remove(struct agents *agents, struct agent *agent);

// UNAVAILABLE when the agent registered too often lately; counts this attempt.
int agents_check_rate(struct agent *agent, struct mono now, struct err *err);

// Gives it a new session and makes it LIVE.
void agents_register(struct agents *agents, struct agent *agent, const struct rng *rng,
                     struct mono now);

// The agent with that session. NOT_FOUND, INVALID_ARGUMENT as in section 9; NULL then.
struct agent *agents_with_session(const struct agents *agents, const char *node_id,
                                  const char *session_id, struct err *err);

// It was heard of; returns when it should send the next one.
int64_t agents_beat(struct agents *agents, struct agent *agent, struct mono now);

// Not heard of since the leader began: down after the longer grace.
void agents_await(struct agents *agents, struct agent *agent, struct mono now);

// Down: from now on the time until its tasks are orphaned runs.
void agents_set_down(struct agents *agents, struct agent *agent, struct mono now);

#endif
