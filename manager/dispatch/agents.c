#include "manager/dispatch/agents.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/defaults.h"

void agents_init(struct agents *agents, uint64_t seed)
{
    map_init(&agents->table);
    timers_init(&agents->timers);
    rand_init(&agents->rand, seed);
    agents->period_ns = DEFAULT_HEARTBEAT_NS;
    agents->live = 0;
}

void agents_fini(struct agents *agents)
{
    CHECK(map_count(&agents->table) == 0);
    map_fini(&agents->table);
    timers_fini(&agents->timers);
}

struct agent *agents_get(const struct agents *agents, const char *node_id)
{
    struct agent *agent = map_get_str(&agents->table, node_id);
    if (agent)
        MAGIC_CHECK(agent, AGENT_MAGIC);
    return agent;
}

struct agent *agents_add(struct agents *agents, const char *node_id)
{
    size_t size = strlen(node_id) + 1;
    struct agent *agent = mem_alloc(sizeof *agent + size);
    MAGIC_SET(agent, AGENT_MAGIC);
    memcpy(agent->id, node_id, size);
    list_init(&agent->sessions);
    list_init(&agent->assignments);
    list_init(&agent->dirty);
    map_put_str(&agents->table, agent->id, agent);
    return agent;
}

static void set_state(struct agents *agents, struct agent *agent, enum agent_state state)
{
    agents->live -= agent->state == AGENT_LIVE;
    agents->live += state == AGENT_LIVE;
    agent->state = state;
    if (state != AGENT_LIVE)
        agent->session[0] = 0;
}

void agents_remove(struct agents *agents, struct agent *agent)
{
    CHECK(list_empty(&agent->sessions));
    CHECK(list_empty(&agent->assignments));
    set_state(agents, agent, AGENT_UNKNOWN);
    timers_cancel(&agents->timers, &agent->timer);
    list_remove(&agent->dirty);
    map_remove_str(&agents->table, agent->id);
    MAGIC_CLEAR(agent);
    free(agent);
}

int agents_check_rate(struct agent *agent, struct mono now, struct err *err)
{
    bool first = agent->registered.ns == 0;
    if (first || mono_since(now, agent->registered) > REGISTRATION_SPACING_NS)
        agent->in_a_row = 0;
    if (!first && ++agent->in_a_row > REGISTRATIONS_IN_A_ROW_MAX)
        return err_set(err, ERR_UNAVAILABLE, "node %s exceeded rate limit count of registrations",
                       agent->id);
    agent->registered = now;
    return 0;
}

void agents_register(struct agents *agents, struct agent *agent, const struct rng *rng,
                     struct mono now)
{
    unsigned char random[ID_RANDOM_BYTES];
    rng_fill(rng, random, sizeof random);
    struct id id = id_from_random(random);
    set_state(agents, agent, AGENT_LIVE);
    str_copy(agent->session, sizeof agent->session, id.text);
    timers_set(&agents->timers, &agent->timer,
               mono_add(now, HEARTBEAT_GRACE_FACTOR * agents->period_ns));
}

struct agent *agents_with_session(const struct agents *agents, const char *node_id,
                                  const char *session_id, struct err *err)
{
    struct agent *agent = agents_get(agents, node_id);
    if (!agent || agent->state == AGENT_DOWN) {
        err_set(err, ERR_NOT_FOUND, DISPATCH_ERR_REGISTERED);
        return NULL;
    }
    if (str_empty(session_id) || strcmp(agent->session, session_id) != 0) {
        err_set(err, ERR_INVALID_ARGUMENT, DISPATCH_ERR_SESSION);
        return NULL;
    }
    return agent;
}

int64_t agents_beat(struct agents *agents, struct agent *agent, struct mono now)
{
    // Half a second either way spreads the beats of agents that registered together; never so much
    // that a short period loses its meaning.
    int64_t jitter =
        HEARTBEAT_JITTER_NS < agents->period_ns / 2 ? HEARTBEAT_JITTER_NS : agents->period_ns / 2;
    int64_t period = agents->period_ns + rand_between(&agents->rand, -jitter, jitter);
    timers_set(&agents->timers, &agent->timer, mono_add(now, HEARTBEAT_GRACE_FACTOR * period));
    return period;
}

void agents_await(struct agents *agents, struct agent *agent, struct mono now)
{
    timers_set(&agents->timers, &agent->timer,
               mono_add(now, HEARTBEAT_GRACE_FACTOR_NEW * agents->period_ns));
}

void agents_set_down(struct agents *agents, struct agent *agent, struct mono now)
{
    set_state(agents, agent, AGENT_DOWN);
    timers_set(&agents->timers, &agent->timer, mono_add(now, NODE_DOWN_TO_ORPHANED_NS));
}
