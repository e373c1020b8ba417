#include "agent/task/health.h"

#include "proto/base/check.h"
#include "proto/base/str.h"
#include "proto/wire/times.h"

bool health_wanted(const Swarm__HealthConfig *config)
{
    if (!config || config->n_test < 2)
        return false;
    return str_equal(config->test[0], "CMD") || str_equal(config->test[0], "CMD-SHELL");
}

static int64_t positive_or(int64_t value, int64_t fallback)
{
    return value > 0 ? value : fallback;
}

void health_init(struct health *health, const Swarm__HealthConfig *config)
{
    *health = (struct health){.state = HEALTH_NONE, .due = MONO_NEVER};
    if (!health_wanted(config))
        return;
    health->state = HEALTH_STARTING;
    health->interval_ns = positive_or(duration_to_ns(config->interval, 0), HEALTH_INTERVAL_NS);
    health->timeout_ns = positive_or(duration_to_ns(config->timeout, 0), HEALTH_TIMEOUT_NS);
    health->start_period_ns = positive_or(duration_to_ns(config->start_period, 0), 0);
    health->start_interval_ns =
        positive_or(duration_to_ns(config->start_interval, 0), HEALTH_START_INTERVAL_NS);
    health->retries = config->retries > 0 ? config->retries : HEALTH_RETRIES;
}

// Still in the start period, which a first success ends early.
static bool starting(const struct health *health, struct mono now)
{
    return health->state == HEALTH_STARTING &&
           mono_since(now, health->started) < health->start_period_ns;
}

static void schedule(struct health *health, struct mono now)
{
    int64_t pause = health->interval_ns;
    if (starting(health, now) && health->start_interval_ns < pause)
        pause = health->start_interval_ns;
    health->due = mono_add(now, pause);
}

void health_start(struct health *health, struct mono now)
{
    if (health->state == HEALTH_NONE)
        return;
    health->started = now;
    health->checked = now;
    health->failing = 0;
    health->state = HEALTH_STARTING;
    schedule(health, now);
}

void health_resume(struct health *health, enum health_state state, int32_t failing, int64_t age_ns,
                   struct mono now)
{
    CHECK(state != HEALTH_NONE);
    if (health->state == HEALTH_NONE)
        return;
    health->started = mono_add(now, age_ns > 0 ? -age_ns : 0);
    health->checked = now;
    health->failing = failing > 0 ? failing : 0;
    health->state = state;
    schedule(health, now);
}

void health_stop(struct health *health)
{
    health->due = MONO_NEVER;
}

bool health_take_due(struct health *health, struct mono now)
{
    if (health->state == HEALTH_NONE || mono_before(now, health->due))
        return false;
    health->due = MONO_NEVER;
    health->checked = now;
    return true;
}

void health_result(struct health *health, bool passed, struct mono now)
{
    CHECK(health->state != HEALTH_NONE);
    if (passed) {
        health->failing = 0;
        health->state = HEALTH_HEALTHY;
    } else if (!starting(health, health->checked)) {
        if (health->failing < INT32_MAX)
            health->failing++;
        if (health->failing >= health->retries)
            health->state = HEALTH_UNHEALTHY;
    }
    schedule(health, now);
}
